/* milters/common/session.c - libmilter's callbacks: a connection, its messages, and what is changed in them. Each runs in the connection's
 * thread. A message is in one of these states: none, header and body coming, ended.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>

#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>

#include "lib/base/mem.h"
#include "milters/common/milter.h"
#include "milters/common/say.h"

#define STEPS_UNUSED (SMFIP_NORCPT | SMFIP_NOUNKNOWN | SMFIP_NODATA)
/* Commands whose answer is known before: the MTA need not wait for it. What goes wrong is told at the end. */
#define STEPS_SILENT (SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_HDR | SMFIP_NR_EOH)
#define ACTIONS (SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_QUARANTINE)
#define NAME_MAX_KEPT 1024 /* octets of a HELO name or a sender */

struct connection {
	bool lead_space, can_skip;
	bool silent; /* no answers to STEPS_SILENT */
	bool internal;
	char client[INET6_ADDRSTRLEN];
	char helo[NAME_MAX_KEPT];
	struct mail *mail; /* NULL: none under way */
};

static const struct role *role;

/* An MTA that uses a connection for several clients negotiates once, before the first: the connection's memory is gone at the second. */
static atomic_bool last_lead_space, last_can_skip, last_silent;

static char *c_z(const char *z)
{
	return (char *)z; /* libmilter's prototypes lack const */
}

static struct connection *connection_of(SMFICTX *ctx)
{
	struct connection *c = smfi_getpriv(ctx);

	if (c == NULL) {
		c = mem_alloc(sizeof *c);
		c->lead_space = last_lead_space;
		c->can_skip = last_can_skip;
		c->silent = last_silent;
		smfi_setpriv(ctx, c);
	}
	return c;
}

static void forget_mail(struct connection *c)
{
	mail_free(c->mail);
	c->mail = NULL;
}

/* Our trouble, not the mail's: say so and ask for it again. */
static sfsistat our_trouble(SMFICTX *ctx, const struct mail *m, const struct err *e)
{
	char text[100];

	say_warn("%s: %s", m->queue_id, e->text);
	snprintf(text, sizeof text, "%s service is not available, try again later", role->service);
	(void)smfi_setreply(ctx, c_z("451"), c_z("4.7.5"), text);
	return SMFIS_TEMPFAIL;
}

/* ---- connection ---- */

static sfsistat negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long unused2, unsigned long unused3,
	unsigned long *want_actions, unsigned long *want_steps, unsigned long *want2, unsigned long *want3)
{
	bool lead_space = (steps & SMFIP_HDR_LEADSPC) != 0, can_skip = (steps & SMFIP_SKIP) != 0;
	bool silent = (steps & STEPS_SILENT) == STEPS_SILENT;

	(void)unused2;
	(void)unused3;
	*want_actions = ACTIONS & actions;
	*want_steps = steps & (STEPS_UNUSED | SMFIP_HDR_LEADSPC | SMFIP_SKIP | (silent ? STEPS_SILENT : 0));
	*want2 = *want3 = 0;
	last_lead_space = lead_space;
	last_can_skip = can_skip;
	last_silent = silent;
	connection_of(ctx)->lead_space = lead_space;
	connection_of(ctx)->can_skip = can_skip;
	connection_of(ctx)->silent = silent;
	return SMFIS_CONTINUE;
}

/* Of a command among STEPS_SILENT. */
static sfsistat go_on(const struct connection *c)
{
	return c->silent ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

/* No address: mail of this host's own programs. */
static bool is_internal(const struct settings *s, const char *client, struct err *e)
{
	enum table_answer answer;

	if (*client == '\0')
		return true;
	say_lock();
	answer = matchlist_addr(s->internal, str_z(client), e);
	say_unlock();
	if (answer == TABLE_FAILED)
		say_warn("%s: %s", role->internal_hosts, e->text);
	return answer == TABLE_FOUND;
}

static sfsistat connected(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	struct connection *c = connection_of(ctx);
	struct settings *s = settings_get();
	struct err e = ERR_INIT;

	(void)host; /* what the client's DNS says counts for nothing here */
	if (address != NULL && address->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, c->client, sizeof c->client);
	else if (address != NULL && address->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, c->client, sizeof c->client);
	c->internal = is_internal(s, c->client, &e);
	settings_put(s);
	return go_on(c);
}

static sfsistat greeted(SMFICTX *ctx, char *name)
{
	struct connection *c = connection_of(ctx);

	snprintf(c->helo, sizeof c->helo, "%s", name);
	return go_on(c);
}

static sfsistat closed(SMFICTX *ctx)
{
	struct connection *c = smfi_getpriv(ctx);

	if (c != NULL) {
		forget_mail(c);
		mem_free(c);
		smfi_setpriv(ctx, NULL);
	}
	return SMFIS_CONTINUE;
}

/* ---- message ---- */

static struct str without_brackets(struct str path)
{
	if (path.n >= 2 && path.p[0] == '<' && path.p[path.n - 1] == '>')
		path = str_sub(path, 1, path.n - 2);
	return str_sub(path, 0, NAME_MAX_KEPT);
}

static sfsistat begin_mail(SMFICTX *ctx, char **args)
{
	struct connection *c = connection_of(ctx);
	const char *login = smfi_getsymval(ctx, c_z("{auth_authen}"));
	struct mail *m;

	forget_mail(c);
	m = c->mail = mail_new(settings_get(), ctx);
	m->lead_space = c->lead_space;
	m->trusted = c->internal || (login != NULL && *login != '\0');
	m->client = arena_dup(m->life, str_z(c->client));
	m->helo = arena_dup(m->life, str_z(c->helo));
	m->sender = arena_dup(m->life, without_brackets(str_z(args[0])));
	return go_on(c);
}

static sfsistat header(SMFICTX *ctx, char *name, char *value)
{
	struct connection *c = connection_of(ctx);

	if (c->mail != NULL)
		mail_add_field(c->mail, name, value);
	return go_on(c);
}

static void learn_queue_id(SMFICTX *ctx, struct mail *m)
{
	const char *id = smfi_getsymval(ctx, c_z("i"));

	if (id != NULL && *m->queue_id == '\0')
		m->queue_id = arena_z(m->life, str_z(id));
}

static sfsistat end_of_header(SMFICTX *ctx)
{
	struct connection *c = connection_of(ctx);

	if (c->mail != NULL) {
		learn_queue_id(ctx, c->mail);
		c->mail->in_trouble = role->header(c->mail, &c->mail->trouble) < 0;
	}
	return go_on(c);
}

static sfsistat body(SMFICTX *ctx, unsigned char *text, size_t size)
{
	struct connection *c = connection_of(ctx);

	if (c->mail == NULL || c->mail->in_trouble || role->body(c->mail, str_n((const char *)text, size)))
		return SMFIS_CONTINUE;
	return c->can_skip ? SMFIS_SKIP : SMFIS_CONTINUE;
}

static sfsistat refuse(SMFICTX *ctx, const struct refusal *r)
{
	(void)smfi_setreply(ctx, c_z(r->code), c_z(r->dsn), c_z(r->text));
	return *r->code == '5' ? SMFIS_REJECT : SMFIS_TEMPFAIL;
}

static sfsistat end_of_mail(SMFICTX *ctx)
{
	struct connection *c = connection_of(ctx);
	sfsistat answer = SMFIS_CONTINUE;
	struct mail *m = c->mail;

	if (m == NULL)
		return SMFIS_CONTINUE;
	learn_queue_id(ctx, m);
	if (m->in_trouble || role->end(m, &m->trouble) < 0)
		answer = our_trouble(ctx, m, &m->trouble);
	else if (m->refusal.code != NULL)
		answer = refuse(ctx, &m->refusal);
	forget_mail(c);
	return answer;
}

static sfsistat aborted(SMFICTX *ctx)
{
	forget_mail(connection_of(ctx));
	return SMFIS_CONTINUE;
}

/* ---- changes ---- */

/* Fields go to the top. The MTA adds the blank behind the colon unless it leaves that to us. */
int mail_insert_field(struct mail *m, const char *name, struct str value, struct err *e)
{
	struct buf text = { 0 };
	int status;

	buf_addf(&text, "%s%.*s", m->lead_space ? " " : "", STRF(value));
	status = smfi_insheader(m->ctx, 0, c_z(name), text.p);
	buf_done(&text);
	return status == MI_SUCCESS ? 0 : err_temp(e, "the MTA does not take a %s field", name);
}

int mail_insert_results(struct mail *m, struct str results, struct err *e)
{
	struct buf value = { 0 };
	int status;

	authres_add_value(&value, m->set->authserv_id);
	buf_addf(&value, ";\n\t%.*s", STRF(results));
	status = mail_insert_field(m, AUTHRES, buf_str(&value), e);
	buf_done(&value);
	return status;
}

/* From the last to the first: MTAs differ in whether those behind a deleted one move up. */
int mail_remove_forged(struct mail *m, struct err *e)
{
	for (size_t n = m->set->first ? mail_count(m, AUTHRES) : 0; n > 0; n--) {
		if (!authres_claims(mail_field(m, AUTHRES, n)->value, m->set->authserv_id))
			continue;
		if (smfi_chgheader(m->ctx, c_z(AUTHRES), (int)n, NULL) != MI_SUCCESS)
			return err_temp(e, "the MTA does not delete an " AUTHRES " field");
	}
	return 0;
}

int mail_quarantine(struct mail *m, const char *reason, struct err *e)
{
	return smfi_quarantine(m->ctx, c_z(reason)) == MI_SUCCESS ? 0 : err_temp(e, "the MTA does not put messages on hold");
}

int session_register(const struct role *of)
{
	static char name[40];

	role = of;
	snprintf(name, sizeof name, "gatepost-%s", of->name);
	return smfi_register((struct smfiDesc){
		.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = ACTIONS,
		.xxfi_connect = connected,
		.xxfi_helo = greeted,
		.xxfi_envfrom = begin_mail,
		.xxfi_header = header,
		.xxfi_eoh = end_of_header,
		.xxfi_body = body,
		.xxfi_eom = end_of_mail,
		.xxfi_abort = aborted,
		.xxfi_close = closed,
		.xxfi_negotiate = negotiate,
	});
}

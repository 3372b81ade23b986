/* milters/dkim/session.c - libmilter's callbacks: a connection, its messages, and what is changed in them. Each runs in the connection's
 * thread. A message is in one of these states: none, header and body coming, ended.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>

#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>

#include "lib/base/mem.h"
#include "milters/common/authres.h"
#include "milters/common/say.h"
#include "milters/dkim/dkim.h"

#define AUTHRES "Authentication-Results"
#define STEPS_UNUSED (SMFIP_NOHELO | SMFIP_NORCPT | SMFIP_NOUNKNOWN | SMFIP_NODATA)
#define ACTIONS (SMFIF_ADDHDRS | SMFIF_CHGHDRS)

struct connection {
	bool lead_space;
	bool internal;
	struct message *mail; /* NULL: none under way */
};

/* An MTA that uses a connection for several clients negotiates once, before the first: the connection's memory is gone at the second. */
static atomic_bool last_lead_space;

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
		smfi_setpriv(ctx, c);
	}
	return c;
}

static void forget_mail(struct connection *c)
{
	message_free(c->mail);
	c->mail = NULL;
}

/* Our trouble, not the mail's: say so and ask for it again. */
static sfsistat our_trouble(SMFICTX *ctx, const struct message *m, const struct err *e)
{
	say_warn("%s: %s", m->queue_id, e->text);
	(void)smfi_setreply(ctx, c_z("451"), c_z("4.7.5"), c_z("DKIM service is not available, try again later"));
	return SMFIS_TEMPFAIL;
}

/* ---- connection ---- */

static sfsistat negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long f2, unsigned long f3,
	unsigned long *want_actions, unsigned long *want_steps, unsigned long *want2, unsigned long *want3)
{
	bool lead_space = (steps & SMFIP_HDR_LEADSPC) != 0;

	(void)actions; /* libmilter itself refuses an MTA that cannot do what we want */
	(void)f2;
	(void)f3;
	*want_actions = ACTIONS;
	*want_steps = steps & (STEPS_UNUSED | SMFIP_HDR_LEADSPC);
	*want2 = *want3 = 0;
	last_lead_space = lead_space;
	connection_of(ctx)->lead_space = lead_space;
	return SMFIS_CONTINUE;
}

/* No address: mail of this host's own programs. */
static bool is_internal(const struct policy *p, const _SOCK_ADDR *address, struct err *e)
{
	char text[INET6_ADDRSTRLEN] = "";
	enum table_answer answer;

	if (address == NULL || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
		return true;
	if (address->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, text, sizeof text);
	else
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, text, sizeof text);
	say_lock();
	answer = matchlist_addr(p->internal, str_z(text), e);
	say_unlock();
	if (answer == TABLE_FAILED)
		say_warn("dkim_internal_hosts: %s", e->text);
	return answer == TABLE_FOUND;
}

static sfsistat connected(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	struct connection *c = connection_of(ctx);
	struct policy *p = policy_get();
	struct err e = ERR_INIT;

	(void)host; /* what the client's DNS says counts for nothing here */
	c->internal = is_internal(p, address, &e);
	policy_put(p);
	return SMFIS_CONTINUE;
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

static sfsistat begin_mail(SMFICTX *ctx, char **args)
{
	struct connection *c = connection_of(ctx);
	const char *login = smfi_getsymval(ctx, c_z("{auth_authen}"));

	(void)args; /* the envelope sender is not what DKIM is about */
	forget_mail(c);
	c->mail = message_new(policy_get());
	c->mail->lead_space = c->lead_space;
	c->mail->trusted = c->internal || (login != NULL && *login != '\0');
	return SMFIS_CONTINUE;
}

static sfsistat header(SMFICTX *ctx, char *name, char *value)
{
	struct message *m = connection_of(ctx)->mail;

	if (m != NULL)
		message_add_field(m, name, value);
	return SMFIS_CONTINUE;
}

static void learn_queue_id(SMFICTX *ctx, struct message *m)
{
	const char *id = smfi_getsymval(ctx, c_z("i"));

	if (id != NULL && *m->queue_id == '\0')
		m->queue_id = arena_z(m->life, str_z(id));
}

static sfsistat end_of_header(SMFICTX *ctx)
{
	struct message *m = connection_of(ctx)->mail;
	struct err e = ERR_INIT;

	if (m == NULL)
		return SMFIS_CONTINUE;
	learn_queue_id(ctx, m);
	if (sign_header(m, &e) < 0 || verify_header(m, &e) < 0)
		return our_trouble(ctx, m, &e);
	return SMFIS_CONTINUE;
}

static sfsistat body(SMFICTX *ctx, unsigned char *text, size_t size)
{
	struct message *m = connection_of(ctx)->mail;

	if (m == NULL)
		return SMFIS_CONTINUE;
	if (m->verify != NULL)
		(void)dkim_body(m->verify, text, size);
	for (size_t i = 0; i < m->sign_count; i++)
		(void)dkim_body(m->sign[i], text, size);
	return SMFIS_CONTINUE;
}

/* Fields go to the top. The MTA adds the blank behind the colon unless it leaves that to us. */
static int insert_field(SMFICTX *ctx, const struct message *m, const char *name, struct buf *value, struct err *e)
{
	struct buf text = { 0 };
	int status;

	buf_addf(&text, "%s%s", m->lead_space ? " " : "", buf_z(value));
	status = smfi_insheader(ctx, 0, c_z(name), text.p);
	buf_done(&text);
	return status == MI_SUCCESS ? 0 : err_temp(e, "the MTA does not take a %s field", name);
}

/* What others wrote in our name. From the last to the first: MTAs differ in whether those behind a deleted one move up. */
static int remove_forged(SMFICTX *ctx, const struct message *m, struct err *e)
{
	size_t count = 0;

	for (const struct field *f = m->fields; f != NULL; f = f->next)
		count += str_eqiz(str_z(f->name), AUTHRES);
	for (; count > 0; count--) {
		const struct field *f = message_field(m, AUTHRES, count);

		if (!authres_claims(str_z(f->value), m->policy->authserv_id))
			continue;
		if (smfi_chgheader(ctx, c_z(AUTHRES), (int)count, NULL) != MI_SUCCESS)
			return err_temp(e, "the MTA does not delete an " AUTHRES " field");
	}
	return 0;
}

static sfsistat refuse(SMFICTX *ctx, enum on_trouble what, enum verdict verdict)
{
	const char *text = verdict == VERDICT_TEMPERROR ? "DKIM key cannot be had, try again later" : "No passing DKIM signature found";

	if (what == ON_ACCEPT)
		return SMFIS_CONTINUE;
	/* RFC 7372 section 3.1 */
	(void)smfi_setreply(ctx, c_z(what == ON_REJECT ? "550" : "451"), c_z(what == ON_REJECT ? "5.7.20" : "4.7.20"), c_z(text));
	return what == ON_REJECT ? SMFIS_REJECT : SMFIS_TEMPFAIL;
}

static sfsistat end_verify(SMFICTX *ctx, struct message *m)
{
	struct buf results = { 0 }, line = { 0 }, value = { 0 };
	enum verdict verdict = verify_end(m, &results, &line);
	sfsistat answer = SMFIS_CONTINUE;
	struct err e = ERR_INIT;

	say_info("%s: %s", m->queue_id, buf_z(&line));
	if (m->excess_count > 0)
		say_info("%s: %zu more signatures not looked at", m->queue_id, m->excess_count);
	if (verdict == VERDICT_FAIL)
		answer = refuse(ctx, m->policy->on_fail, verdict);
	else if (verdict == VERDICT_TEMPERROR)
		answer = refuse(ctx, m->policy->on_temperror, verdict);
	if (answer == SMFIS_CONTINUE) {
		authres_add_value(&value, m->policy->authserv_id);
		buf_addf(&value, ";\n\t%s", buf_z(&results));
		if (remove_forged(ctx, m, &e) < 0 || insert_field(ctx, m, AUTHRES, &value, &e) < 0)
			answer = our_trouble(ctx, m, &e);
	}
	buf_done(&results);
	buf_done(&line);
	buf_done(&value);
	return answer;
}

/* The last comes first to the top. */
static int end_sign(SMFICTX *ctx, struct message *m, struct err *e)
{
	for (size_t i = m->sign_count; i-- > 0;) {
		struct buf value = { 0 };
		int status = sign_end(m, i, &value, e);

		if (status == 0)
			status = insert_field(ctx, m, DKIM_SIGNHEADER, &value, e);
		buf_done(&value);
		if (status < 0)
			return -1;
		say_info("%s: signed: d=%s, s=%s", m->queue_id, m->signers[i].domain, m->signers[i].selector);
	}
	return 0;
}

static sfsistat end_of_mail(SMFICTX *ctx)
{
	struct connection *c = connection_of(ctx);
	sfsistat answer = SMFIS_CONTINUE;
	struct err e = ERR_INIT;

	if (c->mail == NULL)
		return SMFIS_CONTINUE;
	learn_queue_id(ctx, c->mail);
	if (c->mail->verifying)
		answer = end_verify(ctx, c->mail);
	if (answer == SMFIS_CONTINUE && end_sign(ctx, c->mail, &e) < 0)
		answer = our_trouble(ctx, c->mail, &e);
	forget_mail(c);
	return answer;
}

static sfsistat aborted(SMFICTX *ctx)
{
	forget_mail(connection_of(ctx));
	return SMFIS_CONTINUE;
}

int session_register(void)
{
	static char name[] = "gatepost-dkim";

	return smfi_register((struct smfiDesc){
		.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = ACTIONS,
		.xxfi_connect = connected,
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

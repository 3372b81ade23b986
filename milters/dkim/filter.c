/* milters/dkim/filter.c - libmilter's callbacks: collect the header, decide whether to verify or to sign, pass the body through, report.
 * Nothing that a message holds ends the filter: what cannot be understood is reported as such.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <libmilter/mfapi.h>

#include "lib/base/mem.h"
#include "milters/common/log.h"
#include "milters/dkim/dkim.h"

#define FIELDS_MAX 5000
#define FIELD_OCTETS_MAX (4u * 1024 * 1024) /* of a header; more is left to the body's verdict: none */

struct session {
	bool internal;
	bool leading_space; /* values come with the white space behind the colon */
	struct message *m;
};

static void message_end(struct session *s)
{
	if (s->m == NULL)
		return;
	message_handles_free(s->m);
	mem_free(s->m->fields);
	mem_free(s->m->forged);
	arena_free(s->m->life);
	s->m = NULL;
}

static void message_start(struct session *s)
{
	struct arena *life = arena_new("dkim message");

	message_end(s);
	s->m = arena_alloc(life, sizeof *s->m);
	s->m->life = life;
	s->m->id = "";
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long a2, unsigned long a3,
	unsigned long *want_actions, unsigned long *want_steps, unsigned long *r2, unsigned long *r3)
{
	struct session *s = mem_alloc(sizeof *s);

	(void)a2; /* of protocols to come */
	(void)a3;
	s->leading_space = steps & SMFIP_HDR_LEADSPC;
	*want_actions = actions & (SMFIF_ADDHDRS | SMFIF_CHGHDRS);
	*want_steps = steps & (SMFIP_NOHELO | SMFIP_NORCPT | SMFIP_NOUNKNOWN | SMFIP_NODATA | SMFIP_NR_HDR | SMFIP_NR_CONN | SMFIP_NR_MAIL |
				      SMFIP_NR_EOH | SMFIP_NR_BODY | SMFIP_HDR_LEADSPC);
	*r2 = *r3 = 0;
	smfi_setpriv(ctx, s);
	return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *addr)
{
	struct session *s = smfi_getpriv(ctx);
	char text[INET6_ADDRSTRLEN] = "";
	struct err e;

	(void)host; /* a name proves nothing */
	if (s == NULL)
		return SMFIS_TEMPFAIL;
	if (addr == NULL) /* mail from this machine */
		s->internal = true;
	else if (addr->sa_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)addr)->sin_addr, text, sizeof text);
	else if (addr->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)addr)->sin6_addr, text, sizeof text);
	if (*text != '\0')
		s->internal = matchlist_addr(set.internal_hosts, str_z(text), &e) == TABLE_FOUND;
	return SMFIS_CONTINUE;
}

static sfsistat on_mail(SMFICTX *ctx, char **args)
{
	(void)args; /* DKIM is about the header, not the envelope */
	message_start(smfi_getpriv(ctx));
	return SMFIS_CONTINUE;
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
	struct session *s = smfi_getpriv(ctx);
	struct message *m = s->m;
	struct str text = str_z(value);

	if (m == NULL || m->field_count >= FIELDS_MAX || m->field_octets + text.n > FIELD_OCTETS_MAX)
		return SMFIS_CONTINUE;
	if (!s->leading_space)
		text = arena_printf(m->life, " %s", value);
	message_add_field(m, str_z(name), text);
	return SMFIS_CONTINUE;
}

static bool authenticated(SMFICTX *ctx)
{
	const char *user = smfi_getsymval(ctx, "{auth_authen}");

	return user != NULL && *user != '\0';
}

static sfsistat on_header_end(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);
	const char *id = smfi_getsymval(ctx, "i");
	struct message *m = s->m;
	struct err e;

	if (m == NULL)
		return SMFIS_CONTINUE;
	m->id = id != NULL ? arena_z(m->life, str_z(id)) : "NOQUEUE";
	if (s->internal || authenticated(ctx)) {
		if (set.sign && sign_begin(m, &e) < 0) {
			milter_log_warn("%s: %s", m->id, e.text);
			m->broken = true; /* told at the end, where a reply is due */
		}
	} else if (set.verify) {
		verify_begin(m);
	}
	return SMFIS_CONTINUE;
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *data, size_t n)
{
	struct session *s = smfi_getpriv(ctx);

	if (s->m == NULL || s->m->no_signature)
		return SMFIS_CONTINUE;
	for (size_t i = 0; i < s->m->handle_count; i++)
		(void)dkim_body(s->m->handles[i], data, n); /* a failure shows at the end */
	return SMFIS_CONTINUE;
}

/* ---- the end of the message ---- */

/* Later ones first: the numbers of earlier ones stay true. */
static void remove_forged(SMFICTX *ctx, const struct message *m)
{
	static char name[] = "Authentication-Results";

	for (size_t i = m->forged_count; i-- > 0;)
		(void)smfi_chgheader(ctx, name, (int)m->forged[i], NULL);
}

static sfsistat add_on_top(SMFICTX *ctx, const struct session *s, const char *name, struct str value)
{
	struct str text = s->leading_space ? arena_printf(s->m->life, " %.*s", STRF(value)) : value;

	if (smfi_insheader(ctx, 0, (char *)(uintptr_t)name, arena_z(s->m->life, text)) == MI_SUCCESS)
		return SMFIS_CONTINUE;
	milter_log_warn("%s: the mail server takes no %s field from us", s->m->id, name);
	return SMFIS_TEMPFAIL;
}

static sfsistat decide(SMFICTX *ctx, const struct message *m, enum verdict v)
{
	static char permanent[] = "550", temporary[] = "451", refused[] = "5.7.20", later[] = "4.7.20", key_later[] = "4.4.3";
	static char why_refused[] = "No valid DKIM signature", why_later[] = "DKIM key lookup failed, try again later";
	enum on_trouble todo = v == VERDICT_FAIL ? set.on_fail : v == VERDICT_TEMPERROR ? set.on_temperror : TROUBLE_ACCEPT;

	if (todo == TROUBLE_ACCEPT)
		return SMFIS_CONTINUE;
	milter_log("%s: refused: %s", m->id, v == VERDICT_FAIL ? why_refused : why_later);
	if (todo == TROUBLE_REJECT && v == VERDICT_FAIL) {
		smfi_setreply(ctx, permanent, refused, why_refused);
		return SMFIS_REJECT;
	}
	smfi_setreply(ctx, temporary, v == VERDICT_FAIL ? later : key_later, v == VERDICT_FAIL ? why_refused : why_later);
	return SMFIS_TEMPFAIL;
}

static sfsistat report(SMFICTX *ctx, struct session *s)
{
	struct buf results = { 0 };
	enum verdict v;
	sfsistat r;

	verify_end(s->m);
	buf_addz(&results, set.authserv_id);
	v = verify_results(s->m, &results);
	milter_log("%s: %.*s", s->m->id, STRF(str_skip(buf_str(&results), strlen(set.authserv_id) + 1)));
	remove_forged(ctx, s->m);
	r = add_on_top(ctx, s, "Authentication-Results", buf_str(&results));
	if (r == SMFIS_CONTINUE)
		r = decide(ctx, s->m, v);
	buf_done(&results);
	return r;
}

static sfsistat add_signatures(SMFICTX *ctx, struct session *s)
{
	struct str value;
	struct err e;

	for (size_t k = 0; k < s->m->handle_count; k++) {
		if (sign_value(s->m, k, &value, &e) < 0) {
			milter_log_warn("%s: %s", s->m->id, e.text);
			return SMFIS_TEMPFAIL;
		}
		if (add_on_top(ctx, s, DKIM_SIGNHEADER, value) != SMFIS_CONTINUE)
			return SMFIS_TEMPFAIL;
		milter_log("%s: signed as %s", s->m->id, s->m->signers[k]);
	}
	return SMFIS_CONTINUE;
}

static sfsistat on_message_end(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);
	sfsistat r = SMFIS_CONTINUE;

	if (s->m == NULL)
		return SMFIS_CONTINUE;
	if (s->m->verifying)
		r = report(ctx, s);
	else if (s->m->broken)
		r = SMFIS_TEMPFAIL; /* unsigned mail would be worse than late mail */
	else
		r = add_signatures(ctx, s);
	message_end(s);
	return r;
}

static sfsistat on_abort(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);

	if (s != NULL)
		message_end(s);
	return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);

	if (s != NULL)
		message_end(s);
	smfi_setpriv(ctx, NULL);
	mem_free(s);
	return SMFIS_CONTINUE;
}

int filter_run(struct err *e)
{
	static char name[] = "gatepost-dkim";
	struct smfiDesc filter = {
		.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_ADDHDRS | SMFIF_CHGHDRS,
		.xxfi_connect = on_connect,
		.xxfi_envfrom = on_mail,
		.xxfi_header = on_header,
		.xxfi_eoh = on_header_end,
		.xxfi_body = on_body,
		.xxfi_eom = on_message_end,
		.xxfi_abort = on_abort,
		.xxfi_close = on_close,
		.xxfi_negotiate = on_negotiate,
	};

	if (smfi_register(filter) != MI_SUCCESS || smfi_setconn((char *)(uintptr_t)set.socket) != MI_SUCCESS || smfi_opensocket(true) != MI_SUCCESS)
		return err_temp(e, "cannot listen on \"%s\" (parameter dkim_socket)", set.socket);
	milter_log("listening on %s", set.socket);
	if (smfi_main() != MI_SUCCESS)
		return err_temp(e, "libmilter ended with an error");
	return 0;
}

/* mta/smtpd/resolve.c - asks trivial-rewrite about envelope addresses. */
#include "mta/smtpd/resolve.h"

#include "lib/base/log.h"
#include "lib/mail/casefold.h"
#include "lib/service/service.h"
#include "mta/smtpd/settings.h"

struct rewrite_answer *resolve_ask(struct session *s, struct str address, bool known)
{
	struct rewrite_answer *a = arena_alloc(s->mail, sizeof *a);
	struct rewrite_question q = { known ? REWRITE_CHECK_KNOWN : 0u, s->t.sender, address, str_z(service_name()) };
	struct err e = ERR_INIT;

	if (rewrite_ask(cf.rewrite, s->mail, &q, a, &e) < 0) {
		log_warn("problem talking to trivial-rewrite: %s", e.text);
		return NULL;
	}
	if (!a->temp_fail)
		return a;
	log_warn("lookup of \"%.*s\" failed: %.*s", STRF(address), STRF(a->why));
	return NULL;
}

struct str resolve_sender_key(struct session *s)
{
	if (s->t.sender_answer == NULL || s->t.sender.n == 0)
		return s->t.sender;
	return casefold(session_scratch(s), s->t.sender_answer->address);
}

struct str resolve_rcpt_key(struct session *s)
{
	if (s->t.rcpt_now.n > 0)
		return s->t.rcpt_answer != NULL ? casefold(session_scratch(s), s->t.rcpt_answer->address) : s->t.rcpt_now;
	return s->t.rcpts.count == 1 ? s->t.rcpts.v[0].addr : STR_NONE;
}

bool resolve_is_ours(const struct rewrite_answer *a)
{
	return a->klass != CLASS_DEFAULT && (!(a->flags & REWRITE_ROUTED) || cf.allow_untrusted_routing);
}

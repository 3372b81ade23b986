/* mta/smtpd/restrict_generic.c - restrictions that fit any list: permit, reject, defer and their conditional forms. */
#include "lib/base/log.h"
#include "lib/net/fiber.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define SLEEP_MAX_S 300 /* longer than this a client would hang up anyway */

enum verdict restrict_permit(struct check *c, const struct rule *r)
{
	(void)c; /* needs to know nothing */
	(void)r;
	return CHECK_OK;
}

enum verdict restrict_reject(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return check_reject_about(c, CODE((short)cf.code_reject, 5, 7, 1), c->name, c->klass, STR("Access denied"));
}

enum verdict restrict_defer(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return check_reject_about(c, CODE((short)cf.code_defer, 4, 3, 2), c->name, c->klass, STR("Try again later"));
}

static struct str requested(struct check *c, const char *what)
{
	return arena_printf(session_scratch(c->s), "<%.*s>: %s rejected: %s requested", STRF(c->name), c->klass, what);
}

enum verdict restrict_defer_if_permit(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return check_defer_if_permit(c, CODE(450, 4, 7, 0), requested(c, "defer_if_permit"));
}

enum verdict restrict_defer_if_reject(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return check_defer_if_reject(c, CODE(450, 4, 7, 0), requested(c, "defer_if_reject"));
}

enum verdict restrict_sleep(struct check *c, const struct rule *r)
{
	uint64_t seconds = 0;

	(void)c; /* the same for everybody */
	if (!str_to_u64(r->arg, SLEEP_MAX_S, &seconds))
		log_warn("sleep: \"%.*s\" is not a number of seconds up to %d", STRF(r->arg), SLEEP_MAX_S);
	else
		fiber_sleep((int64_t)seconds * 1000);
	return CHECK_DUNNO;
}

enum verdict reject_unauth_pipelining(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	if (!c->s->bad_pipelining)
		return CHECK_DUNNO;
	return check_reject_about(c, CODE(503, 5, 5, 0), c->name, c->klass, STR("Improper use of SMTP command pipelining"));
}

/* A bounce goes to the one who sent the mail. Before DATA the recipients are not all known, so "this one is not the first" counts. */
enum verdict reject_multi_recipient_bounce(struct check *c, const struct rule *r)
{
	const struct transaction *t = &c->s->t;

	(void)r; /* takes no argument */
	if (!t->open || t->sender.n > 0 || t->rcpts.count < (t->rcpt_now.n > 0 ? 1u : 2u))
		return CHECK_DUNNO;
	return check_reject_about(c, CODE((short)cf.code_multi_rcpt_bounce, 5, 5, 3), c->name, c->klass, STR("Multi-recipient bounce"));
}

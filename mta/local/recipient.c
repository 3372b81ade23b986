/* mta/local/recipient.c - a local name: alias, .forward, mailbox, or nobody of that name. */
#include "lib/base/log.h"
#include "mta/local/local.h"

/* An extension may become part of a path: no slash may lead out of where it belongs. */
struct local_name name_split(struct arena *a, struct str address)
{
	struct addr parts = addr_split(address);
	struct local_name n = { .full = arena_lower(a, parts.local), .domain = arena_lower(a, parts.domain) };

	n.base = addr_base(n.full, cfg.delimiter, &n.ext);
	if (str_chr(n.ext, '/') >= 0) {
		log_warn("address with illegal extension: %.*s", STRF(n.full));
		n.ext = STR_NONE;
	}
	if (n.ext.n > 0) {
		n.delimiter = n.ext.p[0];
		n.ext = str_skip(n.ext, 1);
	}
	return n;
}

struct str name_extension(const struct local_name *n)
{
	return n->delimiter != '\0' ? str_skip(n->full, n->base.n) : STR_NONE;
}

static bool loops(const struct job *j, struct str address)
{
	for (size_t i = 0; i < j->delivered_count; i++) {
		if (str_eqi(j->delivered_to[i], address))
			return true;
	}
	return false;
}

/* ---- names nobody has ---- */

/* A table of transports by user, then the transport for all. Empty: none. -1: decided. */
static int find_transport(struct job *j, const struct origin *o, const struct tables *ts, const char *all, struct str user, struct str *out)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	enum table_answer answer = tables_lookup(ts, user, &value, &e);

	*out = answer == TABLE_FOUND ? arena_dup(j->a, str_trim(buf_str(&value))) : str_z(all);
	buf_done(&value);
	if (answer != TABLE_FAILED)
		return 0;
	job_defer(j, o, &e);
	return -1;
}

/* Where the mail of unknown users goes: one address. The name in it is a stranger's choice, and so never anything else. */
static void relay_unknown(struct job *j, const struct origin *o, const struct local_name *n)
{
	struct identity nobody = { .name = "", .home = "", .shell = "" };
	struct origin *next = arena_alloc(j->a, sizeof *next);
	struct target t = { .kind = TARGET_ADDRESS };
	struct expanded address;
	struct err e = ERR_INIT;

	*next = *o;
	next->parent = o;
	next->depth = o->depth + 1;
	next->from = FROM_ALIAS;
	next->name = STR("luser_relay");
	if (expand_names(j->a, str_z(cfg.luser_relay), n, &nobody, o->rcpt.addr, NULL, &address, &e) < 0) {
		job_defer(j, o, &e);
		return;
	}
	t.text = address.text;
	job_targets(j, next, &t, 1);
}

static void unknown_user(struct job *j, const struct origin *o, const struct local_name *n)
{
	struct str where;

	if (find_transport(j, o, &cfg.fallback_transports, cfg.fallback_transport, n->base, &where) < 0)
		return;
	if (where.n > 0) {
		handover(j, o, where);
	} else if (cfg.luser_relay[0] != '\0' && !job_within(o, FROM_ALIAS, STR("luser_relay"))) {
		relay_unknown(j, o, n);
	} else if (str_eqz(n->base, "postmaster") || str_eqz(n->base, "mailer-daemon")) {
		log_warn("%s: required alias not found: %.*s", j->r->m.id, STRF(n->base));
		job_finish(j, o, DELIVER_SENT, CODE(0, 2, 0, 0), STR("discarded"));
	} else {
		job_finish(j, o, DELIVER_BOUNCED, CODE(0, 5, 1, 1), arena_printf(j->a, "unknown user: \"%.*s\"", STRF(n->base)));
	}
}

/* ---- names somebody has ---- */

static void mailbox_of(struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user, bool known)
{
	struct str where;

	if (find_transport(j, o, &cfg.mailbox_transports, cfg.mailbox_transport, n->base, &where) < 0)
		return;
	if (where.n > 0)
		handover(j, o, where);
	else if (!known)
		unknown_user(j, o, n);
	else if (!job_duplicate(j, 'm', n->base))
		deliver_mailbox(j, o, n, user);
}

static void deliver_name(struct job *j, const struct origin *o, const struct local_name *n, bool forwards)
{
	struct identity user = { .name = "", .home = "", .shell = "" };
	struct err e = ERR_INIT;
	int found = identity_find(j->a, n->base, &user, &e);

	if (found < 0)
		job_defer(j, o, &e);
	else if (found == 0 && forwards && expand_forward(j, o, n, &user))
		return;
	else
		mailbox_of(j, o, n, &user, found == 0);
}

void recipient_mailbox(struct job *j, const struct origin *o, const struct local_name *n)
{
	deliver_name(j, o, n, false);
}

void recipient_deliver(struct job *j, const struct origin *o, struct str address)
{
	struct local_name n = name_split(j->a, address);

	if (o->depth > NESTING_MAX) {
		job_finish(
			j, o, DELIVER_BOUNCED, CODE(0, 5, 4, 6), arena_printf(j->a, "recipient nesting limit of %d exceeded", NESTING_MAX));
	} else if (loops(j, address)) {
		job_finish(j, o, DELIVER_BOUNCED, CODE(0, 5, 4, 6), arena_printf(j->a, "mail forwarding loop for %.*s", STRF(address)));
	} else if (cfg.aliases_broken) {
		job_finish(j, o, DELIVER_DEFERRED, CODE(0, 4, 3, 0), STR("alias database unavailable"));
	} else if (!expand_alias(j, o, &n)) {
		bool itself = job_names_itself(o, n.base);

		if (job_goes_in_again(o) && !itself)
			forward_add(j, o, address);
		else
			deliver_name(j, o, &n, !itself && !job_within(o, FROM_FORWARD, n.base));
	}
}

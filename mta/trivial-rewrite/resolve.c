/* mta/trivial-rewrite/resolve.c - which class an address belongs to, and by which transport to which next hop its mail goes. */
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "mta/trivial-rewrite/routing.h"

#define REROUTE_MAX 20 /* user%a%b%c@here: one round for each */

struct resolving { /* one question being answered */
	const struct routing *r;
	struct arena *a;
	const struct rewrite_question *q;
	struct rewrite_answer *out;
	struct addr parts; /* of out->address */
	struct err e;
};

static int failed(struct resolving *s)
{
	s->out->temp_fail = 1;
	s->out->why = arena_dup(s->a, str_z(s->e.text));
	return -1;
}

static void send_to_error(struct resolving *s, const char *text)
{
	s->out->transport = STR("error");
	s->out->nexthop = str_z(text);
}

static void set_address(struct resolving *s, struct str address)
{
	s->out->address = address;
	s->parts = addr_split(address);
}

/* ---- is the domain ours? ---- */

static enum table_answer is_local_domain(struct resolving *s, struct str domain)
{
	struct str ip;
	enum table_answer answer;

	if (domain.n == 0)
		return s->r->null_domain_local ? TABLE_FOUND : TABLE_MISSING;
	answer = matchlist_host(s->r->mydestination, domain, &s->e);
	if (answer == TABLE_MISSING && addr_literal(domain, &ip))
		answer = matchlist_addr(s->r->own_addresses, ip, &s->e);
	return answer;
}

static bool needs_quotes(struct arena *a, struct str local)
{
	return str_starts(addr_quote(a, arena_printf(a, "%.*s@x", STRF(local))), STR("\""));
}

/* "user%domain@here", "site!user@here": what is left of a local domain may name another destination. Returns 1 when it did. */
static int reroute(struct resolving *s)
{
	struct str inner = s->parts.local, next;

	if (!s->r->dequoted && needs_quotes(s->a, inner))
		return 0;
	if (str_any(inner, s->r->percent_hack ? (s->r->swap_bangpath ? "@%!" : "@%") : (s->r->swap_bangpath ? "@!" : "@")) < 0)
		return 0;
	next = rewrite_address(s->r, s->a, inner, true);
	if (str_eq(addr_split(next).local, inner))
		return 0;
	set_address(s, next);
	s->out->flags |= REWRITE_ROUTED;
	return 1;
}

/* Peel local domains off. 1: the domain that is left is local, 0: it is not, -1: temporary failure. */
static int settle_domain(struct resolving *s)
{
	for (int round = 0; round < REROUTE_MAX; round++) {
		switch (is_local_domain(s, s->parts.domain)) {
		case TABLE_FAILED:
			return failed(s);
		case TABLE_MISSING:
			return 0;
		case TABLE_FOUND:
			if (reroute(s) == 0)
				return 1;
		}
	}
	return 1;
}

/* ---- class ---- */

/* First list that has the domain. */
static int find_class(struct resolving *s)
{
	const struct {
		const struct matchlist *list;
		enum rewrite_class klass;
	} lists[] = {
		{ s->r->virtual_alias_domains, CLASS_VIRTUAL_ALIAS },
		{ s->r->virtual_mailbox_domains, CLASS_VIRTUAL_MAILBOX },
		{ s->r->relay_domains, CLASS_RELAY },
	};

	s->out->klass = CLASS_DEFAULT;
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		enum table_answer answer = matchlist_host(lists[i].list, s->parts.domain, &s->e);

		if (answer == TABLE_FAILED)
			return failed(s);
		if (answer == TABLE_FOUND) {
			s->out->klass = lists[i].klass;
			return 0;
		}
	}
	return 0;
}

/* The operator should know that one of the two listings never counts. */
static void warn_of_double_listing(struct resolving *s)
{
	if (matchlist_host(s->r->virtual_alias_domains, s->parts.domain, &s->e) == TABLE_FOUND)
		log_warn("do not list domain %.*s in BOTH mydestination and virtual_alias_domains", STRF(s->parts.domain));
	if (matchlist_host(s->r->virtual_mailbox_domains, s->parts.domain, &s->e) == TABLE_FOUND)
		log_warn("do not list domain %.*s in BOTH mydestination and virtual_mailbox_domains", STRF(s->parts.domain));
}

/* ---- transport and next hop ---- */

/* "transport:nexthop", each may be missing. */
static struct str cut_transport(struct str value, struct str *nexthop)
{
	*nexthop = value;
	return str_cut(nexthop, ':');
}

/* A table keyed by sender: the address, without extension, its @domain; or the key for the null sender. DUNNO means no answer. */
static int ask_by_sender(struct resolving *s, const struct tables *ts, const char *null_key, struct str *value)
{
	struct buf found = { 0 };
	struct str ext;
	enum table_answer answer;

	*value = STR_NONE;
	if (ts->count == 0)
		return 0;
	if (s->q->sender.n == 0)
		answer = tables_lookup(ts, str_z(null_key), &found, &s->e);
	else
		answer = tables_lookup_address(ts, s->q->sender, s->r->delimiters, false, &found, &ext, &s->e);
	if (answer == TABLE_FOUND && !str_eqiz(str_trim(buf_str(&found)), "DUNNO"))
		*value = arena_dup(s->a, str_trim(buf_str(&found)));
	buf_done(&found);
	return answer == TABLE_FAILED ? failed(s) : 0;
}

/* relayhost and its sender-dependent form, for mail that leaves. */
static int find_relayhost(struct resolving *s, struct str *host)
{
	if (ask_by_sender(s, &s->r->sender_relayhost, s->r->null_sender_relayhost_key, host) < 0)
		return -1;
	if (host->n == 0)
		*host = str_z(s->r->relayhost);
	return 0;
}

static int default_route(struct resolving *s)
{
	struct str value = STR_NONE, nexthop, host = STR_NONE;

	switch (s->out->klass) {
	case CLASS_VIRTUAL_ALIAS:
		send_to_error(s, "5.1.1 User unknown in virtual alias table");
		return 0;
	case CLASS_LOCAL:
		value = str_z(s->r->local_transport);
		break;
	case CLASS_VIRTUAL_MAILBOX:
		value = str_z(s->r->virtual_transport);
		break;
	case CLASS_RELAY:
		value = str_z(s->r->relay_transport);
		break;
	case CLASS_DEFAULT:
		if (ask_by_sender(s, &s->r->sender_transport, s->r->null_sender_transport_key, &value) < 0)
			return -1;
		if (value.n == 0)
			value = str_z(s->r->default_transport);
		break;
	}
	s->out->transport = cut_transport(value, &nexthop);
	if (nexthop.n == 0 && (s->out->klass == CLASS_RELAY || s->out->klass == CLASS_DEFAULT) && find_relayhost(s, &host) < 0)
		return -1;
	s->out->nexthop = nexthop.n > 0 ? nexthop : host.n > 0 ? host : s->parts.domain;
	return 0;
}

/* transport(5): an empty transport leaves the transport, a transport with empty next hop resets that to the recipient's domain. */
static void apply_route(struct resolving *s, struct str value)
{
	struct str nexthop, transport = cut_transport(arena_dup(s->a, str_trim(value)), &nexthop);

	if (transport.n > 0) {
		s->out->transport = transport;
		s->out->nexthop = nexthop.n > 0 ? nexthop : s->parts.domain;
	} else if (nexthop.n > 0) {
		s->out->nexthop = nexthop;
	}
}

static int ask_transport_maps(struct resolving *s)
{
	const struct tables *ts = &s->r->transport;
	struct buf found = { 0 };
	struct str ext, key = s->out->address;
	enum table_answer answer;

	if (ts->count == 0 || s->out->klass == CLASS_VIRTUAL_ALIAS)
		return 0;
	if (s->q->address.n == 0)
		key = arena_printf(s->a, "%s@%s", s->r->null_recipient, s->r->myhostname);
	answer = tables_lookup_address(ts, key, s->r->delimiters, false, &found, &ext, &s->e);
	if (answer == TABLE_MISSING)
		answer = tables_lookup_domain(ts, addr_split(key).domain, s->r->transport_parents_plain, &found, &s->e);
	if (answer == TABLE_MISSING)
		answer = tables_lookup(ts, STR("*"), &found, &s->e);
	if (answer == TABLE_FOUND)
		apply_route(s, buf_str(&found));
	buf_done(&found);
	return answer == TABLE_FAILED ? failed(s) : 0;
}

static int ask_relocated_maps(struct resolving *s)
{
	struct buf found = { 0 };
	struct str ext, where;
	enum table_answer answer;

	if (s->r->relocated.count == 0)
		return 0;
	answer = tables_lookup_address(
		&s->r->relocated, s->out->address, s->r->delimiters, s->out->klass == CLASS_LOCAL, &found, &ext, &s->e);
	if (answer == TABLE_FOUND) {
		where = str_trim(buf_str(&found));
		where = arena_printf(s->a, "5.1.6 User has moved to %.*s", STRF(where));
		send_to_error(s, where.p);
	}
	buf_done(&found);
	return answer == TABLE_FAILED ? failed(s) : 0;
}

/* ---- the whole ---- */

/* "@domain" may be an entry of somebody's tables, or a mailbox of another host; here it is nobody. */
static bool bad_syntax(const struct resolving *s)
{
	if (s->parts.local.n == 0 && s->out->klass == CLASS_LOCAL)
		return true;
	if (str_starts(s->parts.local, STR("-")) && !s->r->allow_min_user)
		return true;
	return s->parts.domain.n > 0 ? !addr_domain_valid_utf8(s->parts.domain) : s->out->klass != CLASS_LOCAL;
}

static int resolve(struct resolving *s)
{
	struct rewrite_answer *out = s->out;
	struct str ip, address = s->q->address;
	int local;

	if ((s->q->flags & REWRITE_REMOTE_CONTEXT) != 0) {
		out->address = rewrite_address(s->r, s->a, address, false);
		return 0;
	}
	if (address.n == 0)
		address = str_z(s->r->null_recipient);
	set_address(s, rewrite_address(s->r, s->a, address, true));
	local = settle_domain(s);
	if (local < 0)
		return -1;
	if (s->r->numeric_domains && s->parts.domain.n > 0 && str_any(s->parts.domain, "[]") < 0) {
		struct str literal = arena_printf(s->a, "[%.*s]", STRF(s->parts.domain));

		if (addr_literal(literal, &ip))
			set_address(s, arena_printf(s->a, "%.*s@%.*s", STRF(s->parts.local), STRF(literal)));
	}
	out->klass = CLASS_LOCAL;
	if (!local && find_class(s) < 0)
		return -1;
	if (bad_syntax(s)) {
		out->flags |= REWRITE_ERROR;
		send_to_error(s, "5.1.3 bad address syntax");
		return 0;
	}
	if (local && s->parts.domain.n == 0)
		set_address(s, arena_printf(s->a, "%.*s@%s", STRF(s->parts.local), s->r->myhostname));
	if (local)
		warn_of_double_listing(s);
	/* Operators another host would take for routing: it must not be relayed by our trust in that host. */
	if (!local && str_any(s->parts.local, "@%!") >= 0)
		out->flags |= REWRITE_ROUTED;
	if (default_route(s) < 0 || ask_transport_maps(s) < 0 || ask_relocated_maps(s) < 0)
		return -1;
	if ((s->q->flags & REWRITE_CHECK_KNOWN) && resolve_known(s->r, s->a, out, &s->e) < 0)
		return failed(s);
	return 0;
}

void resolve_address(const struct routing *r, struct arena *a, const struct rewrite_question *q, struct rewrite_answer *out)
{
	struct resolving s = { r, a, q, out, { STR_NONE, STR_NONE }, ERR_INIT };

	*out = (struct rewrite_answer){
		.klass = CLASS_DEFAULT, .address = q->address, .transport = STR_NONE, .nexthop = STR_NONE, .why = STR_NONE
	};
	(void)resolve(&s); /* the answer tells */
	if (r->sender_relayhost.count == 0 && r->sender_transport.count == 0)
		out->flags |= REWRITE_ANY_SENDER;
}

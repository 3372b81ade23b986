/* t/unit/resolve.c - mta/trivial-rewrite: standard forms, classes, transports and next hops, known recipients, failing tables. */
#include "mta/trivial-rewrite/routing.h"
#include "t/unit/tap.h"

static const char base[] = "myhostname = mx.gate.test\n"
			   "mydomain = gate.test\n"
			   "myorigin = gate.test\n"
			   "mydestination = gate.test, mx.gate.test, localhost\n"
			   "inet_interfaces = 127.0.0.1\n"
			   "recipient_delimiter = +\n"
			   "local_recipient_maps = inline:{ ann=1, postmaster=1 }\n"
			   "virtual_alias_domains = alias.test\n"
			   "virtual_alias_maps = inline:{ {info@alias.test=ann}, {sales@relay.test=ann}, {@catch.test=ann} }\n"
			   "virtual_mailbox_domains = box.test\n"
			   "virtual_mailbox_maps = inline:{ joe@box.test=joe/ }\n"
			   "relay_domains = relay.test, strict.test\n"
			   "relay_recipient_maps = inline:{ bob@strict.test=1, @relay.test=1 }\n"
			   "compatibility_level = 3.6\n";

static struct conf *conf; /* of the routing that is open */

static struct routing *open_with(const char *more)
{
	struct buf text = { 0 };
	struct err e = ERR_INIT;
	struct routing *r = NULL;

	buf_addf(&text, "%s%s", base, more);
	conf = conf_parse(buf_str(&text), NULL, 0, NULL, NULL, &e);
	if (conf != NULL)
		r = routing_open(conf, &e);
	if (!ok(r != NULL, "open with \"%s\"", str_z(more).n > 60 ? "..." : ""))
		diag("%s: %s", more, e.text);
	buf_done(&text);
	return r;
}

static void close_it(struct routing *r)
{
	if (r != NULL)
		routing_close(r);
	conf_free(conf);
	conf = NULL;
}

static const struct {
	const char *in, *local, *remote;
} forms[] = {
	{ "ann@far.test", "ann@far.test", "ann@far.test" },
	{ "ann@far.test.", "ann@far.test", "ann@far.test" },
	{ "ann@far.test..", "ann@far.test..", "ann@far.test.." },
	{ "ann", "ann@gate.test", "ann" },
	{ "ann@host", "ann@host", "ann@host" },
	{ "site!ann", "ann@site", "ann@site" },
	{ "a!b!ann", "b!ann@a", "b!ann@a" },
	{ "ann%far.test", "ann@far.test", "ann@far.test" },
	{ "ann%a%b", "ann%a@b", "ann%a@b" },
	{ "site!ann@far.test", "site!ann@far.test", "site!ann@far.test" },
	{ "@one,@two:ann@far.test", "ann@far.test", "ann@far.test" },
	{ "ann@[192.0.2.1]", "ann@[192.0.2.1]", "ann@[192.0.2.1]" },
	{ "", "", "" },
	{ "@", "", "" },
	{ "ann@", "ann@", "ann@" },
};

static void test_forms(void)
{
	struct routing *r = open_with("");
	struct arena *a = arena_new("test");

	for (size_t i = 0; r != NULL && i < sizeof forms / sizeof *forms; i++) {
		is_str(rewrite_address(r, a, str_z(forms[i].in), true), str_z(forms[i].local), forms[i].in);
		is_str(rewrite_address(r, a, str_z(forms[i].in), false), str_z(forms[i].remote), "in remote context");
	}
	arena_free(a);
	close_it(r);
}

/* flags: k known, r routed, e error, a aliased */
static const struct route {
	const char *address, *klass, *transport, *nexthop, *flags;
} plain[] = {
	{ "ann@gate.test", "local", "local", "mx.gate.test", "k" },
	{ "ann+x@localhost", "local", "local", "mx.gate.test", "k" },
	{ "nobody@gate.test", "local", "local", "mx.gate.test", "" },
	{ "Ann@GATE.test", "local", "local", "mx.gate.test", "k" },
	{ "ann@[127.0.0.1]", "local", "local", "mx.gate.test", "k" },
	{ "ann@[192.0.2.55]", "default", "smtp", "[192.0.2.55]", "k" },
	{ "info@alias.test", "alias", "error", "5.1.1 User unknown in virtual alias table", "ka" },
	{ "other@alias.test", "alias", "error", "5.1.1 User unknown in virtual alias table", "" },
	{ "joe@box.test", "mailbox", "virtual", "box.test", "k" },
	{ "joe+x@box.test", "mailbox", "virtual", "box.test", "k" },
	{ "jim@box.test", "mailbox", "virtual", "box.test", "" },
	{ "bob@strict.test", "relay", "relay", "strict.test", "k" },
	{ "bab@strict.test", "relay", "relay", "strict.test", "" },
	{ "sales@relay.test", "relay", "relay", "relay.test", "ka" },
	{ "any@relay.test", "relay", "relay", "relay.test", "k" },
	{ "any@sub.relay.test", "relay", "relay", "sub.relay.test", "" },
	{ "x@far.test", "default", "smtp", "far.test", "k" },
	{ "x%far.test@gate.test", "default", "smtp", "far.test", "kr" },
	{ "x@far.test@gate.test", "default", "smtp", "far.test", "kr" },
	{ "far.test!x@gate.test", "default", "smtp", "far.test", "kr" },
	{ "x%relay.test@gate.test", "relay", "relay", "relay.test", "kr" },
	{ "x%far.test@relay.test", "relay", "relay", "relay.test", "kr" },
	{ "ann%gate.test@gate.test", "local", "local", "mx.gate.test", "kr" },
	{ "x@bad_.dom..ain", "default", "error", "5.1.3 bad address syntax", "e" },
	{ "x@", "default", "error", "5.1.3 bad address syntax", "e" },
	{ "@far.test", "default", "smtp", "far.test", "k" },
	{ "@gate.test", "local", "error", "5.1.3 bad address syntax", "e" },
	{ "@", "default", "error", "5.1.3 bad address syntax", "e" },
	{ "-x@far.test", "default", "error", "5.1.3 bad address syntax", "e" },
	{ "", "local", "local", "mx.gate.test", "" },
	{ NULL, NULL, NULL, NULL, NULL },
};

static const char *class_word(enum rewrite_class k)
{
	static const char *const words[] = { "local", "alias", "mailbox", "relay", "default" };

	return words[k];
}

static void check_route(const struct routing *r, const char *sender, const struct route *want)
{
	struct arena *a = arena_new("test");
	struct rewrite_question q = { REWRITE_CHECK_KNOWN, str_z(sender), str_z(want->address), STR_NONE };
	struct rewrite_answer got;
	struct str flags;

	resolve_address(r, a, &q, &got);
	flags = arena_printf(a, "%s%s%s%s", got.flags & REWRITE_KNOWN ? "k" : "", got.flags & REWRITE_ROUTED ? "r" : "",
		got.flags & REWRITE_ERROR ? "e" : "", got.flags & REWRITE_ALIASED ? "a" : "");
	if (!ok(!got.temp_fail && str_eqz(got.transport, want->transport) && str_eqz(got.nexthop, want->nexthop) &&
			    strcmp(class_word(got.klass), want->klass) == 0 && str_eqz(flags, want->flags),
		    "%s from <%s>", want->address, sender))
		diag("class %s transport %.*s nexthop %.*s flags %.*s %.*s", class_word(got.klass), STRF(got.transport), STRF(got.nexthop),
			STRF(flags), STRF(got.why));
	arena_free(a);
}

static void check_routes(const char *more, const char *sender, const struct route *want)
{
	struct routing *r = open_with(more);

	for (; r != NULL && want->address != NULL; want++)
		check_route(r, sender, want);
	close_it(r);
}

static void test_transport_maps(void)
{
	check_routes("transport_maps = inline:{ {x@far.test=uucp:hop}, {far.test=smtp:[10.0.0.1]:25}, {.far.test=slow:}, {keep.test=:}, "
		     "{hop.test=:[10.0.0.9]}, {gate.test=lmtp:unix:/run/l}, {no.test=error:5.1.2 no such place}, {*=last:} }\n"
		     "relayhost = [relay.host]\n",
		"s@x.test",
		(const struct route[]){ { "x@far.test", "default", "uucp", "hop", "k" }, { "x+e@far.test", "default", "uucp", "hop", "k" },
			{ "y@far.test", "default", "smtp", "[10.0.0.1]:25", "k" },
			{ "y@a.b.far.test", "default", "slow", "a.b.far.test", "k" },
			{ "y@keep.test", "default", "smtp", "[relay.host]", "k" }, { "y@hop.test", "default", "smtp", "[10.0.0.9]", "k" },
			{ "ann@gate.test", "local", "lmtp", "unix:/run/l", "k" },
			{ "y@no.test", "default", "error", "5.1.2 no such place", "k" },
			{ "y@elsewhere.test", "default", "last", "elsewhere.test", "k" },
			{ "info@alias.test", "alias", "error", "5.1.1 User unknown in virtual alias table", "ka" },
			{ NULL, NULL, NULL, NULL, NULL } });
	check_routes("transport_maps = inline:{ far.test=slow: }\nparent_domain_matches_subdomains = transport_maps, relay_domains\n", "",
		(const struct route[]){ { "y@a.far.test", "default", "slow", "a.far.test", "k" },
			{ "any@sub.strict.test", "relay", "relay", "sub.strict.test", "" }, { NULL, NULL, NULL, NULL, NULL } });
}

static void test_sender_dependent(void)
{
	static const char more[] =
		"sender_dependent_relayhost_maps = inline:{ {s@x.test=[one]}, {@y.test=[two]}, {<>=[null]}, {d@y.test=DUNNO} }\n"
		"sender_dependent_default_transport_maps = inline:{ {@z.test=slow:}, {@w.test=slow:[w]} }\n"
		"relayhost = [relay.host]:26\n";
	static const struct {
		const char *sender, *transport, *nexthop;
	} rows[] = { { "s@x.test", "smtp", "[one]" }, { "s+e@x.test", "smtp", "[one]" }, { "q@y.test", "smtp", "[two]" },
		{ "", "smtp", "[null]" }, { "d@y.test", "smtp", "[relay.host]:26" }, { "n@n.test", "smtp", "[relay.host]:26" },
		{ "z@z.test", "slow", "[relay.host]:26" }, { "z@w.test", "slow", "[w]" } };
	struct routing *r = open_with(more);

	for (size_t i = 0; r != NULL && i < sizeof rows / sizeof *rows; i++) {
		struct route want = { "u@far.test", "default", rows[i].transport, rows[i].nexthop, "k" };

		check_route(r, rows[i].sender, &want);
	}
	close_it(r);
	check_routes(more, "s@x.test",
		(const struct route[]){ { "bob@strict.test", "relay", "relay", "[one]", "k" },
			{ "joe@box.test", "mailbox", "virtual", "box.test", "k" }, { NULL, NULL, NULL, NULL, NULL } });
}

static void test_others(void)
{
	check_routes("relocated_maps = inline:{ {gone@gate.test=gone@new.test}, {left=the building} }\n", "s@x.test",
		(const struct route[]){ { "gone@gate.test", "local", "error", "5.1.6 User has moved to gone@new.test", "k" },
			{ "left@localhost", "local", "error", "5.1.6 User has moved to the building", "k" },
			{ NULL, NULL, NULL, NULL, NULL } });
	check_routes("relay_transport = smtp:[127.0.0.1]:2525\nrelayhost = [unused]\n", "",
		(const struct route[]){ { "any@relay.test", "relay", "smtp", "[127.0.0.1]:2525", "k" }, { NULL, NULL, NULL, NULL, NULL } });
	check_routes("resolve_numeric_domain = yes\nallow_min_user = yes\nallow_percent_hack = no\nswap_bangpath = no\nresolve_null_domain "
		     "= yes\n",
		"",
		(const struct route[]){ { "x@192.0.2.9", "default", "smtp", "[192.0.2.9]", "k" },
			{ "-x@far.test", "default", "smtp", "far.test", "k" },
			{ "x%far.test@gate.test", "local", "local", "mx.gate.test", "" }, { "ann@", "local", "local", "mx.gate.test", "k" },
			{ NULL, NULL, NULL, NULL, NULL } });
	check_routes("append_dot_mydomain = yes\n", "",
		(const struct route[]){ { "x@mx", "local", "local", "mx.gate.test", "" }, { NULL, NULL, NULL, NULL, NULL } });
}

static void test_failures(void)
{
	static const char *const settings[] = { "transport_maps = fail:t\n", "sender_dependent_relayhost_maps = fail:t\n",
		"relocated_maps = fail:t\n", "mydestination = fail:t\n", "relay_domains = fail:t\n", "canonical_maps = fail:t\n" };

	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		struct routing *r = open_with(settings[i]);
		struct arena *a = arena_new("test");
		struct rewrite_question q = { REWRITE_CHECK_KNOWN, STR("s@x.test"), STR("u@far.test"), STR_NONE };
		struct rewrite_answer got = { 0 };

		if (r != NULL) {
			resolve_address(r, a, &q, &got);
			ok(got.temp_fail && str_find(got.why, STR("table fail:t: lookup failed")) >= 0, "%.*s", STRF(got.why));
		}
		close_it(r);
		arena_free(a);
	}
}

int main(void)
{
	test_forms();
	check_routes("", "s@x.test", plain);
	test_transport_maps();
	test_sender_dependent();
	test_others();
	test_failures();
	return done_testing();
}

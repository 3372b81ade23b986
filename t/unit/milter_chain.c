/* t/unit/milter_chain.c - lists of milters as main.cf writes them. */
#include "lib/milter/milter.h"

#include "t/unit/tap.h"

static const struct milter_settings defaults = {
	.connect_ms = 1, .command_ms = 2, .content_ms = 3, .on_failure = MILTER_TEMPFAIL, .version = 6
};

static const struct {
	const char *in;
	size_t count; /* 99: refused */
	const char *endpoint;
	int64_t connect_ms, command_ms;
	enum milter_default on_failure;
	unsigned version;
} cases[] = {
	{ "", 0, NULL, 0, 0, 0, 0 },
	{ "inet:127.0.0.1:8891", 1, "inet:127.0.0.1:8891", 1, 2, MILTER_TEMPFAIL, 6 },
	{ "unix:/a, local:/b\n inet:[::1]:9", 3, "unix:/a", 1, 2, MILTER_TEMPFAIL, 6 },
	{ "{ inet:h:1, default_action=accept, command_timeout=20s }", 1, "inet:h:1", 1, 20000, MILTER_ACCEPT, 6 },
	{ "{ unix:/x connect_timeout=5s, protocol=4 } unix:/y", 2, "unix:/x", 5000, 2, MILTER_TEMPFAIL, 4 },
	{ "{ unix:/x, { default_action = quarantine }, { protocol = 6, no_header_reply } }", 1, "unix:/x", 1, 2, MILTER_QUARANTINE, 6 },
	{ "{ unix:/x, default_action=maybe }", 99, NULL, 0, 0, 0, 0 },
	{ "{ unix:/x, colour=red }", 99, NULL, 0, 0, 0, 0 },
	{ "{ unix:/x, command_timeout=soon }", 99, NULL, 0, 0, 0, 0 },
	{ "{ unix:/x, protocol=5 }", 99, NULL, 0, 0, 0, 0 },
	{ "carrier:pigeon", 99, NULL, 0, 0, 0, 0 },
};

int main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena *a = arena_new("test");
		struct milter_chain c;
		struct err e = ERR_INIT;
		int r = milter_chain_parse(a, cases[i].in, &defaults, &c, &e);

		if (cases[i].count == 99) {
			ok(r < 0 && e.text[0] != '\0', "refused: %s", cases[i].in);
		} else if (ok(r == 0 && c.count == cases[i].count, "\"%.40s\" has %zu", cases[i].in, cases[i].count) && c.count > 0) {
			is_str(str_z(c.filters[0].endpoint), str_z(cases[i].endpoint), "endpoint");
			is_int(c.filters[0].connect_ms, cases[i].connect_ms, "connect_timeout");
			is_int(c.filters[0].command_ms, cases[i].command_ms, "command_timeout");
			is_int(c.filters[0].on_failure, cases[i].on_failure, "default_action");
			is_int(c.filters[0].version, cases[i].version, "protocol");
		}
		arena_free(a);
	}
	return done_testing();
}

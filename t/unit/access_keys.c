/* t/unit/access_keys.c - the search orders of access(5). */
#include "policyd/access_keys.h"

#include "t/unit/tap.h"

enum { HOST, HOST_DOTS, IP, MAIL, MAIL_DOTS };

static const struct {
	int kind;
	const char *in, *want; /* keys, blank separated */
} cases[] = {
	{ HOST, "a.b.example.org", "a.b.example.org b.example.org example.org org" },
	{ HOST_DOTS, "a.b.example.org", "a.b.example.org .b.example.org .example.org .org" },
	{ HOST, "unknown", "unknown" },
	{ HOST, "192.0.2.1", "192.0.2.1" },
	{ HOST, "[192.0.2.1]", "[192.0.2.1]" },
	{ HOST, "a..b", "a..b .b b" },
	{ HOST, "a.", "a." },
	{ IP, "192.0.2.1", "192.0.2.1 192.0.2 192.0 192" },
	{ IP, "2001:db8::1", "2001:db8::1 2001:db8: 2001:db8 2001" },
	{ IP, "::1", "::1 :" },
	{ MAIL, "joe@x.example", "joe@x.example x.example example joe@" },
	{ MAIL, "joe+a@x.example", "joe+a@x.example joe@x.example x.example example joe+a@ joe@" },
	{ MAIL_DOTS, "joe@x.example", "joe@x.example x.example .example joe@" },
	{ MAIL, "joe@[192.0.2.1]", "joe@[192.0.2.1] [192.0.2.1] joe@" },
};

static struct access_keys keys_of(struct arena *a, int kind, struct str in)
{
	switch (kind) {
	case HOST:
	case HOST_DOTS:
		return access_host_keys(a, in, kind == HOST);
	case IP:
		return access_ip_keys(a, in);
	default:
		return access_mail_keys(a, in, "+", kind == MAIL);
	}
}

int main(void)
{
	struct arena *a = arena_new("test");

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct access_keys k = keys_of(a, cases[i].kind, str_z(cases[i].in));
		struct buf b = { 0 };

		for (size_t n = 0; n < k.count; n++)
			buf_addf(&b, "%s%.*s", n > 0 ? " " : "", STRF(k.list[n]));
		is_str(buf_str(&b), str_z(cases[i].want), cases[i].in);
		buf_done(&b);
	}
	arena_free(a);
	return done_testing();
}

/* t/unit/milter_edit.c - what a filter changes at the end of a message. */
#include "t/unit/milter_peer.h"

/* ---- edits ---- */

#define OURS "Received: ours\r\n"
#define REST "X-B:  b\r\nX-A: two\r\nX-A: three\r\nSubject: s\r\n t\r\n"

static const struct {
	const char *name;
	struct str packets; /* before the final continue */
	uint32_t protocol;
	const char *header, *body, *log;
	int smtp; /* 0: accepted */
} edits[] = {
	{ "add", STR_INIT("\0\0\0\7hX-N\0v\0"), 0, OURS "Received: old\r\nX-A: one\r\n" REST "X-N: v\r\n", "body\r\n", "", 0 },
	{ "add with leading space", STR_INIT("\0\0\0\7hX-N\0v\0"), LEADSPC, OURS "Received: old\r\nX-A: one\r\n" REST "X-N:v\r\n",
		"body\r\n", "", 0 },
	{ "insert 0 is above ours", STR_INIT("\0\0\0\013i\0\0\0\0X-N\0v\0"), 0, "X-N: v\r\n" OURS "Received: old\r\nX-A: one\r\n" REST,
		"body\r\n", "", 0 },
	{ "insert 1 is below ours", STR_INIT("\0\0\0\013i\0\0\0\1X-N\0v\0"), 0, OURS "X-N: v\r\nReceived: old\r\nX-A: one\r\n" REST,
		"body\r\n", "", 0 },
	{ "insert beyond the end", STR_INIT("\0\0\0\013i\0\0\0\143X-N\0v\0"), 0, OURS "Received: old\r\nX-A: one\r\n" REST "X-N: v\r\n",
		"body\r\n", "", 0 },
	{ "insert before nothing", STR_INIT("\0\0\0\013i\xff\xff\xff\xffX-N\0v\0"), 0, NULL, NULL, "", 451 },
	{ "change the first", STR_INIT("\0\0\0\013m\0\0\0\1x-a\0v\0"), 0, OURS "Received: old\r\nx-a: v\r\n" REST, "body\r\n", "", 0 },
	{ "0 is the first too", STR_INIT("\0\0\0\013m\0\0\0\0X-A\0v\0"), 0, OURS "Received: old\r\nX-A: v\r\n" REST, "body\r\n", "", 0 },
	{ "change Received: ours does not count", STR_INIT("\0\0\0\020m\0\0\0\1Received\0v\0"), 0, OURS "Received: v\r\nX-A: one\r\n" REST,
		"body\r\n", "", 0 },
	{ "change what is not there", STR_INIT("\0\0\0\013m\0\0\0\4X-A\0v\0"), 0, OURS "Received: old\r\nX-A: one\r\n" REST "X-A: v\r\n",
		"body\r\n", "", 0 },
	{ "delete the first", STR_INIT("\0\0\0\012m\0\0\0\1X-A\0\0"), 0, OURS "Received: old\r\n" REST, "body\r\n", "", 0 },
	{ "delete what is not there", STR_INIT("\0\0\0\012m\0\0\0\4X-A\0\0"), 0, OURS "Received: old\r\nX-A: one\r\n" REST, "body\r\n", "",
		0 },
	{ "counting is live",
		STR_INIT("\0\0\0\012m\0\0\0\1X-A\0\0"
			 "\0\0\0\013m\0\0\0\2X-A\0v\0"),
		0, OURS "Received: old\r\nX-B:  b\r\nX-A: two\r\nX-A: v\r\nSubject: s\r\n t\r\n", "body\r\n", "", 0 },
	{ "a value cannot begin a field", STR_INIT("\0\0\0\022hX-N\0a\nEvil: b\n\nc\0"), 0,
		OURS "Received: old\r\nX-A: one\r\n" REST "X-N: a\r\n\tEvil: b\r\n\tc\r\n", "body\r\n", "", 0 },
	{ "a name cannot hold a colon", STR_INIT("\0\0\0\7hX:N\0v\0"), 0, NULL, NULL, "", 451 },
	{ "no name at all", STR_INIT("\0\0\0\4h\0v\0"), 0, NULL, NULL, "", 451 },
	{ "addresses",
		STR_INIT("\0\0\0\7e<n@x>\0"
			 "\0\0\0\4e<>\0"
			 "\0\0\0\013+Ann <e@f>\0"
			 "\0\0\0\0162g@h\0NOTIFY=X\0"
			 "\0\0\0\7-<c@d>\0"),
		0, OURS "Received: old\r\nX-A: one\r\n" REST, "body\r\n", "from(n@x|) from(|) add(e@f|) add(g@h|NOTIFY=X) del(c@d|) ", 0 },
	{ "quarantine", STR_INIT("\0\0\0\6qodd \0"), 0, NULL, "body\r\n", "hold(odd |) ", 0 },
	{ "body in pieces, line ends mended",
		STR_INIT("\0\0\0\3ba\r"
			 "\0\0\0\4b\nb\n"
			 "\0\0\0\2bc"),
		0, NULL, "a\r\nb\r\nc\r\n", "", 0 },
	{ "bare CRs in a body",
		STR_INIT("\0\0\0\10ba\rb\r\rc\r"
			 "\0\0\0\5b\n\rd\r"),
		0, NULL, "a b  c\r\n d\r\n", "", 0 },
	{ "empty body", STR_INIT("\0\0\0\1b"), 0, NULL, "", "", 0 },
	{ "body after something else",
		STR_INIT("\0\0\0\2ba"
			 "\0\0\0\7hX-N\0v\0"
			 "\0\0\0\2bc"),
		0, NULL, NULL, "", 451 },
	{ "an edit that cannot be made", STR_INIT("\0\0\0\013+full@disk\0"), 0, NULL, NULL, "", 451 },
};

static void test_edits(void)
{
	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
		struct buf packets = { 0 };
		struct script sc = { .version = 6, .protocol = edits[i].protocol };
		struct letter l;
		struct talk t;

		buf_add(&packets, edits[i].packets);
		buf_addn(&packets, "\0\0\0\1c", 5);
		sc.answers[0] = (struct answer){ 'E', 0, buf_str(&packets) };
		talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
		letter_init(&l, t.a, mail_header, STR("body\r\n"));
		envelope(&t);
		milter_content(t.s, &l.mail, &t.answer);
		is_int(t.answer.code.smtp, edits[i].smtp, edits[i].name);
		if (edits[i].header != NULL)
			is_str(letter_header(&l, t.a), str_z(edits[i].header), "header");
		if (edits[i].body != NULL)
			is_str(l.mail.body, str_z(edits[i].body), "body");
		is_str(buf_str(&l.log), str_z(edits[i].log), "envelope");
		talk_end(&t);
		letter_done(&l);
		buf_done(&packets);
		arena_free(t.a);
	}
}

static int check_header(void *ctx, struct buf *field, struct buf *before, struct err *e)
{
	(void)ctx;
	(void)e;
	if (str_find(buf_str(field), STR("secret")) >= 0)
		return 0;
	if (str_eqz(buf_str(field), "X-Repl: old")) {
		buf_clear(field);
		buf_addz(field, "X-Repl: new");
		buf_addz(before, "X-Before: it");
	}
	return 1;
}

static void test_header_checks(void)
{
	struct script sc = { .version = 6,
		.answers = { { 'E', 0,
			STR_INIT("\0\0\0\014hX-S\0secret\0"
				 "\0\0\0\014hX-Repl\0old\0"
				 "\0\0\0\1c") } } };
	struct letter l;
	struct talk t;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	l.mail.check_header = check_header;
	envelope(&t);
	milter_content(t.s, &l.mail, &t.answer);
	is_str(letter_header(&l, t.a), STR("Received: ours\r\nA: b\r\nX-Before: it\r\nX-Repl: new\r\n"),
		"header checks drop, replace, prepend");
	talk_end(&t);
	letter_done(&l);
	arena_free(t.a);
}

static void test_next_filter(void)
{
	struct script sc[2] = { { .version = 6,
					.answers = { { 'E', 0,
						STR_INIT("\0\0\0\7hX-N\0v\0"
							 "\0\0\0\4bnew"
							 "\0\0\0\1a") } } },
		{ .version = 6 } };
	struct letter l;
	struct talk t;
	struct str seen;

	talk_begin(&t, sc, 2, MILTER_TEMPFAIL, false);
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	envelope(&t);
	milter_content(t.s, &l.mail, &t.answer);
	milter_session_quit(t.s);
	filter_end(&t.f[0], t.a);
	seen = filter_end(&t.f[1], t.a);
	is_str(seen, STR("O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(A|b) L(X-N|v) N B(newrn) E Q"),
		"the second filter sees what the first made of it");
	letter_done(&l);
	arena_free(t.a);
}

static void test_largest_body(void)
{
	struct script sc = { .version = 6, .answers = { { 'E', 0, STR_INIT("\0\0\0\013b0123456789\0\0\0\1c") } } };
	struct letter l;
	struct talk t;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	l.mail.body_max = 9;
	envelope(&t);
	milter_content(t.s, &l.mail, &t.answer);
	is_int(t.answer.code.smtp, 552, "a body over the limit");
	milter_abort(t.s);
	milter_mail(t.s, STR("<a@b>"), NULL, 0, &t.answer);
	is_int(t.answer.verdict, MILTER_GO_ON, "and the filter is still in step");
	talk_end(&t);
	letter_done(&l);
	arena_free(t.a);
}

static void tests(void)
{
	test_edits();
	test_header_checks();
	test_next_filter();
	test_largest_body();
}

int main(void)
{
	return peer_main(tests);
}

/* t/unit/milter_wire.c - a milter session against a scripted filter: what is sent, and when. */
#include "t/unit/milter_peer.h"

#include <string.h>

/* ---- what is sent ---- */

static const struct {
	const char *name;
	struct script sc;
	const char *seen;
} wires[] = {
	{ "a plain filter", { .version = 6 },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N "
		"B(bodyrn) E A A Q" },
	{ "leading space kept", { .version = 6, .protocol = LEADSPC },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(Received| old) L(X-A| one) L(X-B|  b) L(X-A| two) L(X-A| three) L(Subject| sn t) "
		"N "
		"B(bodyrn) E A A Q" },
	{ "no answers but the last", { .version = 6, .protocol = NR_ALL },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N "
		"B(bodyrn) E A A Q" },
	{ "nothing wanted but the end", { .version = 6, .protocol = NO_ALL }, "O E A A Q" },
	{ "version 2 knows no DATA", { .version = 2 },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N "
		"B(bodyrn) "
		"E A A Q" },
	{ "accept at RCPT is for the whole message", { .version = 6, .answers = { { 'R', 0, STR_INIT("\0\0\0\1a") } } },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) A A Q" },
	{ "accept at CONNECT closes", { .version = 6, .answers = { { 'C', 0, STR_INIT("\0\0\0\1a") } } }, "O C" },
	{ "skip", { .version = 6, .answers = { { 'L', 1, STR_INIT("\0\0\0\1s") } } },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(Received|old) N B(bodyrn) E A A Q" },
	{ "discard ends the talk", { .version = 6, .answers = { { 'R', 0, STR_INIT("\0\0\0\1d") } } },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) A A Q" },
};

static void test_wire(void)
{
	for (size_t i = 0; i < sizeof wires / sizeof *wires; i++) {
		struct letter l;
		struct talk t;

		talk_begin(&t, &wires[i].sc, 1, MILTER_TEMPFAIL, false);
		letter_init(&l, t.a, mail_header, STR("body\r\n"));
		envelope(&t);
		milter_content(t.s, &l.mail, &t.answer);
		milter_abort(t.s);
		milter_abort(t.s); /* once is enough */
		is_str(talk_end(&t), str_z(wires[i].seen), wires[i].name);
		letter_done(&l);
		arena_free(t.a);
	}
}

/* The first message is told step by step; the second in one piece, because the filter let the first come to its end. */
static const struct {
	const char *name;
	struct script sc;
	const char *seen; /* of the second message */
	enum milter_verdict verdict;
} gathered[] = {
	{ "in one piece", { .version = 6 },
		"L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N B(bodyrn) E A A Q", MILTER_GO_ON },
	{ "in one piece, without answers", { .version = 6, .protocol = NR_ALL },
		"L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N B(bodyrn) E A A Q", MILTER_GO_ON },
	{ "skip while all is on its way", { .version = 6, .answers = { { 'L', 7, STR_INIT("\0\0\0\1s") } } },
		"L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N B(bodyrn) E A A Q", MILTER_GO_ON },
	{ "accept at a header while all is on its way", { .version = 6, .answers = { { 'L', 8, STR_INIT("\0\0\0\1a") } } },
		"L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N B(bodyrn) E", MILTER_GO_ON },
	{ "reject at the body while its end is on its way", { .version = 6, .answers = { { 'B', 2, STR_INIT("\0\0\0\1r") } } },
		"L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N B(bodyrn) E", MILTER_REPLY },
};

static void test_gathered(void)
{
	for (size_t i = 0; i < sizeof gathered / sizeof *gathered; i++) {
		struct letter l;
		struct talk t;
		struct str seen;
		ptrdiff_t second;

		talk_begin(&t, &gathered[i].sc, 1, MILTER_TEMPFAIL, false);
		t.set[0].pipelining_after = 1;
		letter_init(&l, t.a, mail_header, STR("body\r\n"));
		envelope(&t);
		milter_content(t.s, &l.mail, &t.answer);
		milter_abort(t.s);
		milter_mail(t.s, STR("<2>"), NULL, 0, &t.answer);
		milter_data(t.s, &t.answer);
		milter_content(t.s, &l.mail, &t.answer);
		ok(t.answer.verdict == gathered[i].verdict, "%s: verdict", gathered[i].name);
		milter_abort(t.s);
		seen = talk_end(&t);
		second = str_find(seen, STR("M(<2>) T "));
		is_str(second < 0 ? seen : str_skip(seen, (size_t)second + 9), str_z(gathered[i].seen), gathered[i].name);
		letter_done(&l);
		arena_free(t.a);
	}
}

static void test_macros(void)
{
	struct script sc = { .version = 6, .lists = STR_INIT("\0\0\0\2i\0\0\0\0\1\0") };
	struct talk t;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, true);
	envelope(&t);
	milter_unknown(t.s, STR("FOO bar"), &t.answer);
	is_str(talk_end(&t),
		STR("O D(Cj|host|{nosuch}|given) C D(H) H(cli) D(Mi|ID) M(<a@b>|SIZE=1) D(R) R(<c@d>) D(T) T D(U) U(FOO bar) A A Q"),
		"macros in front of their event; lists the filter asked for");
	arena_free(t.a);
}

static void test_body_chunks(void)
{
	static char big[200000];
	static const uint32_t protocols[] = { 0, NR_ALL };
	static const struct {
		size_t size;
		const char *seen;
	} sizes[] = { { 0, "E" }, { 65535, "B[65535] E" }, { 65536, "B[65535] B(x) E" },
		{ 200000, "B[65535] B[65535] B[65535] B[3395] E" } };

	memset(big, 'x', sizeof big);
	for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
		struct script sc = { .version = 6, .protocol = protocols[i % 2] | 0x60 };
		struct letter l;
		struct talk t;
		struct str seen;

		talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
		letter_init(&l, t.a, mail_header, str_n(big, sizes[i / 2].size));
		envelope(&t);
		milter_content(t.s, &l.mail, &t.answer);
		seen = talk_end(&t);
		ok(t.answer.verdict == MILTER_GO_ON, "body of %zu octets passes", sizes[i / 2].size);
		is_str(str_skip(seen, (size_t)str_find(seen, STR(" T ")) + 3), arena_printf(t.a, "%s A A Q", sizes[i / 2].seen), "chunks");
		letter_done(&l);
		arena_free(t.a);
	}
}

static void test_helo_again(void)
{
	struct script sc = { .version = 6 };
	struct talk t;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	milter_connect(t.s, STR("unknown"), 'U', 0, STR_NONE, &t.answer);
	milter_helo(t.s, STR("one"), &t.answer);
	milter_mail(t.s, STR("<a@b>"), NULL, 0, &t.answer);
	milter_helo(t.s, STR("two"), &t.answer);
	milter_abort(t.s);
	is_str(talk_end(&t), STR("O C H(one) M(<a@b>) H(two) A A A Q"), "a second HELO: one abort for the first, one for the transaction");
	arena_free(t.a);
}

static void test_rejected_rcpt(void)
{
	static const struct {
		uint32_t protocol;
		const char *seen;
	} rows[] = { { 0, "O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T A A Q" },
		{ RCPT_REJ, "O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T R(<no@d>) A A Q" } };

	for (size_t i = 0; i < 2; i++) {
		struct script sc = { .version = 6, .protocol = rows[i].protocol };
		struct talk t;

		talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
		envelope(&t);
		ok(milter_wants_rejected_rcpt(t.s) == (i == 1), "refused recipients wanted: %d", (int)i);
		milter_rcpt_rejected(t.s, STR("<no@d>"), NULL, 0);
		is_str(talk_end(&t), str_z(rows[i].seen), "refused recipient");
		arena_free(t.a);
	}
}

static void tests(void)
{
	test_wire();
	test_gathered();
	test_macros();
	test_body_chunks();
	test_helo_again();
	test_rejected_rcpt();
}

int main(void)
{
	return peer_main(tests);
}

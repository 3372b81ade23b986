/* t/unit/milter_verdict.c - what answers of a filter mean, and its failures. */
#include "t/unit/milter_peer.h"

/* ---- verdicts ---- */

static const struct {
	const char *name;
	struct answer answer;
	enum milter_default on_failure;
	enum milter_verdict verdict;
	struct code code;
	const char *text;
	bool hold;
} verdicts[] = {
	{ "reject", { 'M', 0, STR_INIT("\0\0\0\1r") }, 0, MILTER_REPLY, { 550, 5, 7, 1 }, "Command rejected", false },
	{ "tempfail", { 'H', 0, STR_INIT("\0\0\0\1t") }, 0, MILTER_REPLY, { 451, 4, 7, 1 }, "Service unavailable - try again later",
		false },
	{ "reply", { 'R', 0, STR_INIT("\0\0\0\024y554 5.7.9 so there\0") }, 0, MILTER_REPLY, { 554, 5, 7, 9 }, "so there", false },
	{ "reply 421", { 'T', 0, STR_INIT("\0\0\0\017y421 4.7.0 bye\0") }, 0, MILTER_HANGUP, { 421, 4, 7, 0 }, "bye", false },
	{ "shutdown", { 'M', 0, STR_INIT("\0\0\0\0014") }, 0, MILTER_HANGUP, { 421, 4, 7, 0 }, "Server closing connection", false },
	{ "discard", { 'R', 0, STR_INIT("\0\0\0\1d") }, 0, MILTER_DISCARD, { 0, 0, 0, 0 }, "", false },
	{ "discard is nothing at HELO", { 'H', 0, STR_INIT("\0\0\0\1d") }, 0, MILTER_GO_ON, { 0, 0, 0, 0 }, "", false },
	{ "closed, accept", { 'M', 0, STR_INIT("!") }, MILTER_ACCEPT, MILTER_GO_ON, { 0, 0, 0, 0 }, "", false },
	{ "closed, reject", { 'M', 0, STR_INIT("!") }, MILTER_REJECT, MILTER_REPLY, { 550, 5, 5, 0 }, "Service unavailable", false },
	{ "closed, tempfail", { 'O', 0, STR_INIT("!") }, MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 },
		"Service unavailable - try again later", false },
	{ "closed, quarantine", { 'R', 0, STR_INIT("!") }, MILTER_QUARANTINE, MILTER_GO_ON, { 0, 0, 0, 0 }, "", true },
	{ "closed, shutdown", { 'M', 0, STR_INIT("!") }, MILTER_SHUTDOWN, MILTER_HANGUP, { 421, 4, 7, 1 },
		"Service unavailable - try again later", false },
	{ "nonsense", { 'M', 0, STR_INIT("\0\0\0\2Zx") }, MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 }, NULL, false },
	{ "silence", { 'M', 0, STR_INIT("") }, MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 }, NULL, false },
	{ "length 0", { 'M', 0, STR_INIT("\0\0\0\0") }, MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 }, NULL, false },
	{ "unreasonable length",
		{ 'M', 0,
			STR_INIT("\x7f\xff\xff\xff"
				 "c") },
		MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 }, NULL, false },
	{ "malformed reply", { 'M', 0, STR_INIT("\0\0\0\6y250 \0") }, MILTER_REJECT, MILTER_REPLY, { 451, 4, 3, 5 }, NULL, false },
	{ "edit before the end", { 'M', 0, STR_INIT("\0\0\0\5hA\0b\0") }, MILTER_REJECT, MILTER_REPLY, { 550, 5, 5, 0 }, NULL, false },
	{ "conn_fail", { 'M', 0, STR_INIT("\0\0\0\1f") }, MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 }, NULL, false },
	{ "a newer version", { 'O', 0, STR_INIT("\0\0\0\015O\0\0\0\7\0\0\0\0\0\0\0\0") }, MILTER_REJECT, MILTER_REPLY, { 550, 5, 5, 0 },
		NULL, false },
	{ "actions not offered", { 'O', 0, STR_INIT("\0\0\0\015O\0\0\0\6\0\0\4\0\0\0\0\0") }, MILTER_TEMPFAIL, MILTER_REPLY,
		{ 451, 4, 7, 1 }, NULL, false },
	{ "progress, then continue", { 'M', 0, STR_INIT("\0\0\0\1p\0\0\0\1p\0\0\0\1c") }, MILTER_REJECT, MILTER_GO_ON, { 0, 0, 0, 0 }, "",
		false },
};

static void test_verdicts(void)
{
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		struct script sc = { .version = 6, .answers = { verdicts[i].answer } };
		struct talk t;

		talk_begin(&t, &sc, 1, verdicts[i].on_failure, false);
		envelope(&t);
		is_int(t.answer.verdict, verdicts[i].verdict, verdicts[i].name);
		ok(t.answer.code.smtp == verdicts[i].code.smtp && t.answer.code.c == verdicts[i].code.c &&
				t.answer.code.s == verdicts[i].code.s && t.answer.code.d == verdicts[i].code.d,
			"code %d %d.%d.%d", t.answer.code.smtp, t.answer.code.c, t.answer.code.s, t.answer.code.d);
		if (verdicts[i].text != NULL)
			is_str(t.answer.text, str_z(verdicts[i].text), "text");
		ok(t.answer.hold == verdicts[i].hold, "hold");
		talk_end(&t);
		arena_free(t.a);
	}
}

/* A refusal at HELO and a failure stand for the session; one at MAIL or RCPT does not. */
static void test_standing(void)
{
	static const struct {
		struct answer answer;
		enum milter_verdict second;
	} rows[] = { { { 'H', 0, STR_INIT("\0\0\0\1r") }, MILTER_REPLY }, { { 'M', 1, STR_INIT("!") }, MILTER_REPLY },
		{ { 'M', 1, STR_INIT("\0\0\0\1r") }, MILTER_GO_ON }, { { 'R', 1, STR_INIT("\0\0\0\1r") }, MILTER_GO_ON } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct script sc = { .version = 6, .answers = { rows[i].answer } };
		struct talk t;

		talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
		envelope(&t);
		is_int(t.answer.verdict, MILTER_REPLY, "first time refused");
		milter_abort(t.s);
		milter_mail(t.s, STR("<again@b>"), NULL, 0, &t.answer);
		is_int(t.answer.verdict, rows[i].second, "second time");
		talk_end(&t);
		arena_free(t.a);
	}
}

static void tests(void)
{
	test_verdicts();
	test_standing();
}

int main(void)
{
	return peer_main(tests);
}

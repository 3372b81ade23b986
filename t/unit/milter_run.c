/* t/unit/milter_run.c - who hears, ends and changes a message when: parallel groups, streaming, shadows, budgets, verdicts that come early.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/fiber.h"
#include "t/unit/milter_peer.h"

enum { NO_CHANGES = 0x7f, NO_BODY_CHANGE = 0x2, NO_BODY = 0x10 };

#define ADD_A                                                                                                                              \
	"\0\0\0\7hX-A\0"                                                                                                                   \
	"1\0"
#define ADD_B                                                                                                                              \
	"\0\0\0\7hX-B\0"                                                                                                                   \
	"2\0"

static int pipes[2];

static void pipe_open(void)
{
	if (pipe(pipes) < 0)
		skip_all("no pipes here");
}

static void pipe_close(void)
{
	close(pipes[0]);
	close(pipes[1]);
}

static bool readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 0) == 1;
}

static struct talk t;
static struct letter l;

static void begin(const struct script *sc, size_t count, bool grouped)
{
	talk_begin(&t, sc, count, MILTER_TEMPFAIL, false);
	for (size_t i = 0; i < count; i++) {
		t.set[i].group = grouped;
		t.set[i].content_ms = 3000;
	}
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	envelope(&t);
}

static void end(void)
{
	letter_done(&l);
	arena_free(t.a);
}

/* The first answers at the end only after the second was told the end: no serial order does that. */
static void test_parallel(void)
{
	pipe_open();
	struct script sc[2] = {
		{ .version = 6,
			.no_actions = NO_BODY_CHANGE,
			.answers = { { 'E', 0, STR_INIT(ADD_A "\0\0\0\1c") } },
			.gate = { 'E', pipes[0], 0 } },
		{ .version = 6,
			.no_actions = NO_BODY_CHANGE,
			.answers = { { 'E', 0, STR_INIT(ADD_B "\0\0\0\1c") } },
			.gate = { 'E', 0, pipes[1] } },
	};

	begin(sc, 2, true);
	milter_content(t.s, &l.mail, &t.answer);
	is_int(t.answer.verdict, MILTER_GO_ON, "members of a group are asked at once");
	is_str(letter_header(&l, t.a), STR("Received: ours\r\nA: b\r\nX-A: 1\r\nX-B: 2\r\n"), "their changes are made in configured order");
	talk_end(&t);
	ok(str_find(t.seen[1], STR("X-A")) < 0, "and nobody sees another's");
	end();
	pipe_close();
}

/* Whoever may replace the body goes before those who look at it, in a group, too. */
static void test_body_orders(void)
{
	struct script sc[3] = {
		{ .version = 6,
			.answers = { { 'E', 0,
				STR_INIT(ADD_A "\0\0\0\5bnew\n"
					       "\0\0\0\1c") } } },
		{ .version = 6, .no_actions = NO_BODY_CHANGE },
		{ .version = 6, .no_actions = NO_BODY_CHANGE, .protocol = NO_BODY },
	};

	begin(sc, 3, true);
	milter_content(t.s, &l.mail, &t.answer);
	talk_end(&t);
	ok(str_find(t.seen[1], STR("B(newrn)")) >= 0, "the new body is seen by the next one");
	ok(str_find(t.seen[2], STR("L(X-A")) < 0, "who does not look at bodies did not wait for it");
	end();
}

/* ---- merge: each one's positions are meant in what it saw ---- */

static const struct {
	const char *name;
	struct str first, second;
	const char *header;
} merges[] = {
	{ "both insert at 1",
		STR_INIT("\0\0\0\013i\0\0\0\1X-N\0"
			 "1\0"),
		STR_INIT("\0\0\0\013i\0\0\0\1X-M\0"
			 "2\0"),
		"Received: ours\r\nX-M: 2\r\nX-N: 1\r\nS: one\r\nS: two\r\nZ: z\r\n" },
	{ "one deletes the first, the other the second", STR_INIT("\0\0\0\10m\0\0\0\1S\0\0"), STR_INIT("\0\0\0\10m\0\0\0\2S\0\0"),
		"Received: ours\r\nZ: z\r\n" },
	{ "both delete the same", STR_INIT("\0\0\0\10m\0\0\0\1S\0\0"), STR_INIT("\0\0\0\10m\0\0\0\1S\0\0"),
		"Received: ours\r\nS: two\r\nZ: z\r\n" },
	{ "both change the same: the later one wins", STR_INIT("\0\0\0\11m\0\0\0\1S\0a\0"), STR_INIT("\0\0\0\11m\0\0\0\1S\0b\0"),
		"Received: ours\r\nS: b\r\nS: two\r\nZ: z\r\n" },
	{ "one deletes what the other inserts behind", STR_INIT("\0\0\0\10m\0\0\0\2S\0\0"),
		STR_INIT("\0\0\0\013i\0\0\0\3X-M\0"
			 "2\0"),
		"Received: ours\r\nS: one\r\nX-M: 2\r\nZ: z\r\n" },
	{ "one deletes, the other changes: what is said last holds", STR_INIT("\0\0\0\10m\0\0\0\1S\0\0"),
		STR_INIT("\0\0\0\11m\0\0\0\1S\0b\0"), "Received: ours\r\nS: b\r\nS: two\r\nZ: z\r\n" },
	{ "both add", STR_INIT(ADD_A), STR_INIT(ADD_B), "Received: ours\r\nS: one\r\nS: two\r\nZ: z\r\nX-A: 1\r\nX-B: 2\r\n" },
};

static void test_merges(void)
{
	for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
		struct buf first = { 0 }, second = { 0 };
		struct script sc[2] = { { .version = 6, .no_actions = NO_BODY_CHANGE }, { .version = 6, .no_actions = NO_BODY_CHANGE } };

		buf_add(&first, merges[i].first);
		buf_add(&second, merges[i].second);
		buf_addn(&first, "\0\0\0\1c", 5);
		buf_addn(&second, "\0\0\0\1c", 5);
		sc[0].answers[0] = (struct answer){ 'E', 0, buf_str(&first) };
		sc[1].answers[0] = (struct answer){ 'E', 0, buf_str(&second) };
		begin(sc, 2, true);
		letter_done(&l);
		letter_init(&l, t.a, "S: one\r\nS: two\r\nZ: z\r\n\r\n", STR("x\r\n"));
		milter_content(t.s, &l.mail, &t.answer);
		is_str(letter_header(&l, t.a), str_z(merges[i].header), merges[i].name);
		talk_end(&t);
		buf_done(&first);
		buf_done(&second);
		end();
	}
}

/* ---- verdicts in a group ---- */

/* The second never answers: the first one's refusal ends the wait, costs the second its connection, and the session goes on with a new one.
 */
static void test_cut_short(void)
{
	pipe_open();
	struct script sc[2] = {
		{ .version = 6, .no_actions = NO_CHANGES, .answers = { { 'E', 0, STR_INIT("\0\0\0\1r") } }, .gate = { 'E', pipes[0], 0 } },
		{ .version = 6, .no_actions = NO_CHANGES, .answers = { { 'E', 0, STR_INIT("") } }, .gate = { 'E', 0, pipes[1] } },
	};
	struct buf report = { 0 };

	begin(sc, 2, true);
	milter_content(t.s, &l.mail, &t.answer);
	is_int(t.answer.code.smtp, 550, "a refusal ends it");
	is_str(str_z(t.answer.filter), str_z(t.set[0].endpoint), "the first one's");
	milter_report(t.s, &report);
	ok(str_find(buf_str(&report), STR(" cut-short")) > 0, "the second was not waited for: %s", buf_z(&report));
	talk_end(&t);
	buf_done(&report);
	end();
	pipe_close();
}

/* The second refuses at once, the first asks for another time later: the outcome is what the order says. */
static void test_order_of_verdicts(void)
{
	pipe_open();
	struct script sc[2] = {
		{ .version = 6, .no_actions = NO_CHANGES, .answers = { { 'E', 0, STR_INIT("\0\0\0\1t") } }, .gate = { 'E', pipes[0], 0 } },
		{ .version = 6, .no_actions = NO_CHANGES, .answers = { { 'E', 0, STR_INIT("\0\0\0\1r") } }, .gate = { 'E', 0, pipes[1] } },
	};

	begin(sc, 2, true);
	milter_content(t.s, &l.mail, &t.answer);
	is_int(t.answer.code.smtp, 451, "the first objection in configured order counts, whoever is faster");
	talk_end(&t);
	end();
	pipe_close();
}

static void test_envelope_of_group(void)
{
	pipe_open();
	struct script sc[2] = {
		{ .version = 6, .answers = { { 'R', 0, STR_INIT("\0\0\0\1c") } }, .gate = { 'R', pipes[0], 0 } },
		{ .version = 6, .answers = { { 'R', 0, STR_INIT("\0\0\0\1t") } }, .gate = { 'R', 0, pipes[1] } },
	};

	begin(sc, 2, true);
	is_int(t.answer.code.smtp, 451, "envelope events reach all members at once, too");
	milter_rcpt(t.s, STR("<more@d>"), NULL, 0, &t.answer);
	is_int(t.answer.code.smtp, 451, "and all are still in step");
	talk_end(&t);
	end();
	pipe_close();
}

/* ---- whole changes or none ---- */

static const struct {
	const char *name;
	struct str packets;
	uint32_t no_actions;
} halves[] = {
	{ "closes after a change",
		STR_INIT(ADD_A "\0\0\0\5bnew\n"
			       "\0\0\0\x7f"),
		0 },
	{ "a change it did not negotiate",
		STR_INIT(ADD_A "\0\0\0\5bnew\n"
			       "\0\0\0\1c"),
		0x2 },
	{ "nonsense after a change",
		STR_INIT(ADD_A "\0\0\0\2Zx"
			       "\0\0\0\1c"),
		0 },
	{ "a bad name after a change",
		STR_INIT(ADD_A "\0\0\0\7hX:N\0v\0"
			       "\0\0\0\1c"),
		0 },
	{ "a malformed reply after a change", STR_INIT(ADD_A "\0\0\0\6y250 \0"), 0 },
};

static void test_halves(void)
{
	for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
		struct script sc = { .version = 6, .no_actions = halves[i].no_actions, .answers = { { 'E', 0, halves[i].packets } } };

		talk_begin(&t, &sc, 1, MILTER_ACCEPT, false);
		letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
		envelope(&t);
		milter_content(t.s, &l.mail, &t.answer);
		is_int(t.answer.verdict, MILTER_GO_ON, halves[i].name);
		is_str(letter_header(&l, t.a), STR("Received: ours\r\nA: b\r\n"), "nothing is half changed");
		is_str(l.mail.body, STR("x\r\n"), "not the body either");
		talk_end(&t);
		end();
	}
}

/* ---- shadows, budgets ---- */

static const struct {
	const char *name;
	struct answer answer;
	const char *report;
} shadows[] = {
	{ "refuses the message", { 'E', 0, STR_INIT("\0\0\0\1r") }, " reject delay=" },
	{ "changes it", { 'E', 0, STR_INIT(ADD_A "\0\0\0\1a") }, " changes=+X-A (shadow)" },
	{ "refuses the sender", { 'M', 0, STR_INIT("\0\0\0\1t") }, " tempfail at=MAIL" },
	{ "refuses a recipient", { 'R', 0, STR_INIT("\0\0\0\1r") }, " reject at=RCPT" },
	{ "breaks", { 'L', 0, STR_INIT("!") }, " failed" },
};

static void test_shadows(void)
{
	for (size_t i = 0; i < sizeof shadows / sizeof *shadows; i++) {
		struct script sc = { .version = 6, .answers = { shadows[i].answer } };
		struct buf report = { 0 };

		talk_begin(&t, &sc, 1, MILTER_REJECT, false);
		t.set[0].shadow = true;
		letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
		envelope(&t);
		milter_content(t.s, &l.mail, &t.answer);
		is_int(t.answer.verdict, MILTER_GO_ON, shadows[i].name);
		is_str(letter_header(&l, t.a), STR("Received: ours\r\nA: b\r\n"), "not obeyed");
		milter_report(t.s, &report);
		ok(str_find(buf_str(&report), str_z(shadows[i].report)) >= 0, "but recorded: %s", buf_z(&report));
		talk_end(&t);
		buf_done(&report);
		end();
	}
}

static void test_budgets(void)
{
	struct script sc = { .version = 6, .answers = { { 'E', 0, STR_INIT("\0\0\0\1p") } } };

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	t.set[0].content_ms = 100000;
	t.set[0].budget_ms = 200;
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	envelope(&t);
	milter_content(t.s, &l.mail, &t.answer);
	is_int(t.answer.code.smtp, 451, "the budget ends a wait that progress reports prolong");
	talk_end(&t);
	end();

	talk_begin(&t, &sc, 1, MILTER_ACCEPT, false);
	t.set[0].content_ms = 100000;
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	l.mail.deadline = deadline_in(200);
	envelope(&t);
	milter_content(t.s, &l.mail, &t.answer);
	is_int(t.answer.verdict, MILTER_GO_ON, "and so does the limit for all of them together");
	talk_end(&t);
	end();
}

/* ---- a filter that lets everybody wait ---- */

static void test_breaker(void)
{
	struct milter_settings hung = {
		.endpoint = "unix:/nonexistent/never", .command_ms = 600, .breaker_ms = 60000, .breaker_failures = 2
	};
	struct script sc = { .version = 6, .answers = { { 'O', 0, STR_INIT("") } } };
	struct filter f[3];
	char path[sizeof f[0].path + 8];

	for (int i = 0; i < 3; i++) {
		struct milter_chain chain = { &hung, 1 };
		struct milter_macros none = { .defaults = NULL };
		struct arena *a = arena_new("test");
		struct milter_answer answer;
		struct milter_session *s;
		int64_t began = clock_mono_ms();

		filter_start(&f[i], &sc, false);
		if (i == 0)
			snprintf(path, sizeof path, "unix:%s", f[0].path);
		hung.endpoint = path;
		if (i > 0)
			rename(f[i].path, f[0].path);
		s = milter_session_new(a, &chain, &none, NULL, NULL);
		milter_connect(s, STR("x"), 'U', 0, STR_NONE, &answer);
		if (i < 2)
			ok(clock_mono_ms() - began >= 600, "waited for it, time %d", i + 1);
		else
			ok(clock_mono_ms() - began < 600, "then it rests: nobody waits");
		milter_session_quit(s);
		kill(f[i].pid, SIGKILL); /* the last one waits for a client in vain */
		filter_end(&f[i], a);
		arena_free(a);
	}
	unlink(path + strlen("unix:"));
}

/* ---- while the client sends ---- */

static void test_stream(uint32_t protocol)
{
	static char part[50000];
	struct script sc = { .version = 6, .protocol = protocol, .answers = { { 'E', 0, STR_INIT(ADD_A "\0\0\0\1c") } } };
	struct milter_run *r;
	struct buf whole = { 0 };

	memset(part, 'x', sizeof part);
	begin(&sc, 1, false);
	r = milter_stream_begin(t.s, &l.mail);
	if (!ok(r != NULL, "the first filter hears content as it comes"))
		return;
	for (int i = 0; i < 3; i++) {
		milter_stream_body(r, str_n(part, sizeof part));
		buf_addn(&whole, part, sizeof part);
	}
	l.mail.body = buf_str(&whole);
	milter_stream_end(r, &t.answer);
	is_int(t.answer.verdict, MILTER_GO_ON, "and agrees in the end");
	is_str(letter_header(&l, t.a), STR("Received: ours\r\nA: b\r\nX-A: 1\r\n"), "its change is made");
	is_str(talk_end(&t), STR("O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(A|b) N B[65535] B[65535] B[18930] E A A Q"),
		"the same packets as ever");
	buf_done(&whole);
	end();
}

/* Told before the body is complete: the filter's answer to EOH is what lets the test go on. */
static void test_stream_early(void)
{
	pipe_open();
	struct script sc[2] = {
		{ .version = 6, .no_actions = NO_CHANGES },
		{ .version = 6, .answers = { { 'N', 0, STR_INIT("\0\0\0\1r") } }, .gate = { 'N', 0, pipes[1] } },
	};
	struct milter_run *r;
	char octet;

	begin(sc, 2, false);
	r = milter_stream_begin(t.s, &l.mail);
	ok(r != NULL, "two filters, the first of which changes nothing");
	for (int i = 0; i < 1000 && r != NULL && !readable(pipes[0]); i++) {
		milter_stream_body(r, STR("x\r\n"));
		fiber_sleep(10);
	}
	ok(readable(pipes[0]) && read(pipes[0], &octet, 1) == 1, "the second has heard the header while the body is still coming");
	l.mail.body = STR("x\r\n");
	milter_stream_end(r, &t.answer);
	is_int(t.answer.code.smtp, 550, "its refusal holds");
	talk_end(&t);
	ok(str_find(t.seen[0], STR(" E ")) > 0, "after the first one's verdict");
	end();
	pipe_close();
}

/* A filter that may change headers is not overtaken. */
static void test_stream_order(void)
{
	struct script sc[2] = { { .version = 6, .answers = { { 'E', 0, STR_INIT(ADD_A "\0\0\0\1c") } } }, { .version = 6 } };
	struct milter_run *r;

	begin(sc, 2, false);
	r = milter_stream_begin(t.s, &l.mail);
	milter_stream_body(r, STR("x\r\n"));
	milter_stream_end(r, &t.answer);
	talk_end(&t);
	ok(str_find(t.seen[1], STR("L(X-A|1)")) > 0, "the second sees what the first changed");
	end();
}

static void test_stream_cancel(void)
{
	struct script sc = { .version = 6 };
	struct milter_run *r;

	begin(&sc, 1, false);
	r = milter_stream_begin(t.s, &l.mail);
	milter_stream_body(r, STR("x\r\n"));
	milter_stream_cancel(r);
	milter_abort(t.s);
	milter_mail(t.s, STR("<again@b>"), NULL, 0, &t.answer);
	is_int(t.answer.verdict, MILTER_GO_ON, "a message that never came: the session goes on");
	talk_end(&t);
	ok(str_find(t.seen[0], STR(" E ")) < 0, "without an end");
	end();
}

static void tests(void)
{
	test_parallel();
	test_body_orders();
	test_merges();
	test_cut_short();
	test_order_of_verdicts();
	test_envelope_of_group();
	test_halves();
	test_shadows();
	test_budgets();
	test_breaker();
	test_stream(0);
	test_stream(NR_ALL);
	test_stream_early();
	test_stream_order();
	test_stream_cancel();
}

int main(void)
{
	return peer_main(tests);
}

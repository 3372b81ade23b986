/* t/unit/milter_export.c - a session on its way from smtpd to cleanup and back. */
#include "t/unit/milter_peer.h"

#include <unistd.h>

/* ---- from smtpd to cleanup and back ---- */

static void test_export(uint32_t protocol)
{
	struct script sc = { .version = 6, .protocol = protocol };
	struct buf text = { 0 }, state = { 0 };
	int fds[MILTER_FDS_MAX], copies[MILTER_FDS_MAX];
	struct err e = ERR_INIT;
	struct milter_session *other;
	struct letter l;
	struct talk t;
	size_t count;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	envelope(&t);
	milter_session_export(t.s, &text, fds, &count);
	is_int((long long)count, 1, "one connection travels");
	copies[0] = dup(fds[0]);
	other = milter_session_import(t.a, buf_str(&text), copies, count, NULL, NULL, &e);
	if (!ok(other != NULL, "import"))
		return;
	milter_content(other, &l.mail, &t.answer);
	is_int(t.answer.verdict, MILTER_GO_ON, "content stage elsewhere");
	milter_session_export_state(other, &state);
	milter_session_release(other);
	milter_session_import_state(t.s, buf_str(&state));
	milter_abort(t.s);
	milter_mail(t.s, STR("<2@b>"), NULL, 0, &t.answer);
	is_int(t.answer.verdict, MILTER_GO_ON, "and on with the session");
	is_str(talk_end(&t), STR("O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(A|b) N B(xrn) E A M(<2@b>) A A Q"), "nothing lost on the way");
	buf_done(&text);
	buf_done(&state);
	letter_done(&l);
	arena_free(t.a);
}

/* Every prefix of an exported session is refused, and its descriptor closed. */
static void test_import_bounds(void)
{
	struct script sc = { .version = 6 };
	struct buf text = { 0 };
	int fds[MILTER_FDS_MAX];
	bool all = true;
	struct talk t;
	size_t count;
	int left;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	envelope(&t);
	milter_session_export(t.s, &text, fds, &count);
	for (size_t n = 0; n < text.n; n++) {
		struct err e = ERR_INIT;
		int copy = dup(fds[0]);

		all &= milter_session_import(t.a, str_n(text.p, n), &copy, 1, NULL, NULL, &e) == NULL;
	}
	ok(all, "no part of a session is a session");
	left = dup(fds[0]);
	ok(left < 40, "and no descriptor is left");
	close(left);
	milter_session_import_state(t.s, STR_NONE);
	milter_mail(t.s, STR("<a@b>"), NULL, 0, &t.answer);
	is_int(t.answer.code.smtp, 451, "an importer that was lost: refused for now");
	talk_end(&t);
	buf_done(&text);
	arena_free(t.a);
}

static void tests(void)
{
	test_export(0);
	test_export(NR_ALL);
	test_import_bounds();
}

int main(void)
{
	return peer_main(tests);
}

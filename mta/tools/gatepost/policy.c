/* mta/tools/gatepost/policy.c - one question to policyd, and its blocks of answers. */
#include "mta/tools/gatepost/policy.h"

#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/net/sock.h"

#define TALK_MS (120 * 1000)

struct job {
	struct policy_talk *talk;
	int result;
	struct err e;
};

static int read_blocks(struct stream *s, struct policy_talk *talk, int64_t deadline, struct err *e)
{
	for (;;) {
		struct arena *a = arena_new("policyd's answer");
		struct policy_request block = { .count = 0 };
		int rc = policy_receive(s, a, &block, deadline, e);

		if (rc != 0 || policy_get(&block, "action").n > 0) {
			arena_defer(talk->life, (void (*)(void *))arena_free, a);
			talk->answer = block;
			return rc == 1 ? err_temp(e, "connection closed") : rc;
		}
		if (talk->take != NULL)
			talk->take(talk->ctx, &block);
		arena_free(a);
	}
}

static void run(void *arg)
{
	struct job *j = arg;
	int64_t deadline = deadline_in(TALK_MS);
	const char *at = j->talk->at != NULL ? j->talk->at : "unix:private/policyd";
	struct stream *s = sock_connect_endpoint(str_z(at), deadline, &j->e);

	if (s != NULL && policy_send_answer(s, &j->talk->question, deadline, &j->e) == 0)
		j->result = read_blocks(s, j->talk, deadline, &j->e);
	stream_close(s);
	loop_stop();
}

int policy_talk(struct tool *t, struct policy_talk *talk)
{
	struct job j = { .talk = talk, .result = -1, .e = ERR_INIT };
	struct str action;

	if (talk->at == NULL)
		tool_enter_queue(t);
	loop_init();
	fiber_start("policyd", run, &j);
	loop_run();
	if (j.result < 0) {
		tool_complain("policyd cannot be reached (is the mail system running, are you root?): %s", j.e.text);
		return EX_UNAVAILABLE;
	}
	action = policy_get(&talk->answer, "action");
	if (policy_get(&talk->answer, "count").n > 0 && !str_eqz(action, "DUNNO")) {
		tool_complain("%.*s", STRF(action));
		return EX_TEMPFAIL;
	}
	return EX_OK;
}

void policy_print(struct str value, bool json)
{
	struct buf safe = { 0 };

	if (json) {
		tool_print_json(value);
		return;
	}
	buf_add_safe(&safe, value);
	fputs(buf_z(&safe), stdout);
	buf_done(&safe);
}

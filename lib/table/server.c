/* lib/table/server.c - one dialogue with a table server. */
#include "lib/table/server.h"

#include "lib/base/clock.h"
#include "lib/net/loop.h"

struct dialogue {
	struct pool *pool;
	server_talk_fn *talk;
	void *ctx;
	int result;
	struct err *e;
};

static void run(void *arg)
{
	struct dialogue *d = arg;
	int64_t deadline = deadline_in(SERVER_TIMEOUT_MS);
	bool reused = true;

	d->result = -1;
	while (d->result < 0 && reused && clock_mono_ms() < deadline) {
		struct stream *s = pool_get(d->pool, deadline, &reused, d->e);

		if (s == NULL)
			break;
		d->result = d->talk(s, d->ctx, deadline, d->e);
		if (d->result == 0)
			pool_put(d->pool, s);
		else
			pool_drop(d->pool, s);
	}
}

int server_ask(struct pool *p, server_talk_fn *talk, void *ctx, struct err *e)
{
	struct dialogue d = { p, talk, ctx, -1, e };

	loop_call("table", run, &d);
	return d.result < 0 ? err_context(e, "%s", pool_endpoint(p)) : 0;
}

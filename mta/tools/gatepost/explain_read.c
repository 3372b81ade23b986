/* mta/tools/gatepost/explain_read.c - reading events: the segments of the ring, and the stream in Redis. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/net/redis.h"
#include "lib/service/redis_conf.h"
#include "mta/tools/gatepost/explain.h"

#define SEGMENT_MAX (1024 * 1024 * 1024)
#define ENTRIES "50" /* of the stream at a time */

/* ---- lines ---- */

/* The value of a member near the front of an event: ids and numbers have no escapes. */
static struct str member(struct str line, struct str label)
{
	ptrdiff_t at = str_find(str_sub(line, 0, 400), label);
	struct str value;

	if (at < 0)
		return STR_NONE;
	value = str_skip(line, (size_t)at + label.n);
	at = str_any(value, "\",}");
	return at < 0 ? STR_NONE : str_sub(value, 0, (size_t)at);
}

static void add_one(struct events *all, struct str line, int64_t since_us)
{
	uint64_t at_us;

	if (!str_to_u64(member(line, STR("{\"ts\":")), INT64_MAX, &at_us) || (int64_t)at_us < since_us)
		return;
	if (all->count == all->cap) {
		all->cap = all->cap * 2 + 1024;
		all->v = mem_grow(all->v, all->cap, sizeof *all->v);
	}
	all->v[all->count++] = (struct event){ .line = line,
		.sid = member(line, STR("\"sid\":\"")),
		.qid = member(line, STR("\"qid\":\"")),
		.at_us = (int64_t)at_us };
}

static void add_lines(struct events *all, struct str lines, int64_t since_us)
{
	while (lines.n > 0)
		add_one(all, str_trim(str_cut(&lines, '\n')), since_us);
}

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->at_us != y->at_us)
		return x->at_us < y->at_us ? -1 : 1;
	return str_cmp(x->line, y->line);
}

static void sort_and_unite(struct events *all)
{
	size_t n = 0;

	if (all->count > 0)
		qsort(all->v, all->count, sizeof *all->v, by_time);
	for (size_t i = 0; i < all->count; i++)
		if (n == 0 || !str_eq(all->v[i].line, all->v[n - 1].line))
			all->v[n++] = all->v[i];
	all->count = n;
}

/* ---- the ring ---- */

static void release(void *arg)
{
	buf_done(arg);
}

/* What was last written before the time asked about need not be read. */
static bool too_old(const char *path, int64_t since_us)
{
	struct stat st;

	return stat(path, &st) == 0 && (int64_t)st.st_mtime + 1 < since_us / 1000000;
}

static void read_segment(struct events *all, const char *dir, const char *name, int64_t since_us)
{
	struct buf path = { 0 }, *text = arena_alloc(all->a, sizeof *text); /* events are slices of it */
	struct err e = ERR_INIT;

	arena_defer(all->a, release, text);
	buf_addf(&path, "%s/%s", dir, name);
	if (!too_old(buf_z(&path), since_us) && fs_read_file(buf_z(&path), SEGMENT_MAX, text, &e) == 0)
		add_lines(all, buf_str(text), since_us);
	buf_done(&path);
}

/* False: it cannot be read. errno says why. */
static bool read_ring(struct tool *t, struct events *all, int64_t since_us)
{
	const char *dir = arena_printf(all->a, "%s/explain", conf_str(t->conf, "data_directory")).p;
	DIR *d = opendir(dir);
	struct dirent *entry;

	if (d == NULL)
		return false;
	while ((entry = readdir(d)) != NULL)
		if (str_ends(str_z(entry->d_name), STR(".jsonl")))
			read_segment(all, dir, entry->d_name, since_us);
	closedir(d);
	return true;
}

/* ---- Redis ---- */

struct asking {
	struct redis *redis;
	const struct conf *c;
	struct events *all;
	int64_t since_us;
	bool failed;
	struct err e;
};

/* [[id, [field, value]], ...]: *last becomes the last id. */
static void take_entries(struct asking *q, const struct redis_value *v, struct str *last)
{
	for (size_t i = 0; i < v->count; i++) {
		const struct redis_value *entry = &v->items[i];

		if (entry->count != 2 || entry->items[1].count < 2)
			continue;
		*last = entry->items[0].text;
		add_lines(q->all, entry->items[1].items[1].text, q->since_us);
	}
}

static void ask_redis(void *arg)
{
	struct asking *q = arg;
	struct arena *a = q->all->a;
	struct str last = arena_printf(a, "%" PRId64, q->since_us / 1000), key = arena_printf(a, "%sexplain", conf_str(q->c, "redis_key_prefix"));
	struct redis_value v = { .count = 1 };

	for (bool first = true; v.count > 0 && !q->failed; first = false) {
		struct str words[] = { STR_INIT("XRANGE"), key, arena_printf(a, "%s%.*s", first ? "" : "(", STRF(last)), STR_INIT("+"), STR_INIT("COUNT"),
			STR_INIT(ENTRIES) };

		q->failed = redis_command(q->redis, a, 6, words, &v, &q->e) < 0;
		if (!q->failed && v.type == REDIS_ERROR)
			q->failed = err_perm(&q->e, "%.*s", STRF(v.text)) < 0;
		if (!q->failed)
			take_entries(q, &v, &last);
	}
	redis_free(q->redis);
}

/* False: there is none, or it does not answer, which is told. */
static bool read_redis(struct tool *t, struct events *all, int64_t since_us)
{
	struct asking q = { .c = t->conf, .all = all, .since_us = since_us, .e = ERR_INIT };

	if (conf_size(t->conf, "explain_redis_size") == 0 || conf_time_ms(t->conf, "explain_time_to_live") == 0)
		return false;
	if (redis_configured(t->conf, &q.redis, &q.e) < 0) {
		tool_complain("warning: %s", q.e.text);
		return false;
	}
	if (q.redis == NULL)
		return false;
	loop_init();
	loop_call("explain", ask_redis, &q);
	if (q.failed)
		tool_complain("warning: what other hosts did is not known: %s", q.e.text);
	return !q.failed;
}

int events_read(struct tool *t, int64_t since_us, struct events *out)
{
	bool ring, redis;
	int why;

	(void)tool_conf(t);
	*out = (struct events){ .a = arena_new("explain") };
	ring = read_ring(t, out, since_us);
	why = errno;
	redis = read_redis(t, out, since_us);
	sort_and_unite(out);
	if (ring || redis)
		return 0;
	tool_complain("%s/explain: %s%s", conf_str(t->conf, "data_directory"), strerror(why),
		why == ENOENT ? ": nothing has been kept yet (explain_ring_size)" : why == EACCES ? " (only root and the mail system's own account may)" : "");
	return -1;
}

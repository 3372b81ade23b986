/* lib/table/socketmap.c - socketmap:inet:host:port:name and socketmap:unix:path:name, netstrings each way: socketmap_table(5), the protocol of
 * Sendmail's socket maps. "name key" is answered with OK value, NOTFOUND, TEMP, TIMEOUT or PERM.
 */
#include "lib/base/mem.h"
#include "lib/table/registry.h"
#include "lib/table/server.h"

#define REPLY_MAX 100000 /* octets inside the netstring */
#define DIGITS_MAX 6 /* of its length */
#define KEY_MAX_SIZE 65536

struct socketmap {
	struct pool *pool;
	struct str name; /* of the map, for the server */
	struct arena *life;
};

struct question {
	const struct socketmap *map;
	struct str key;
	struct buf *reply;
};

static int socketmap_open(struct table *t, struct str spec, struct err *e)
{
	ptrdiff_t colon = str_rchr(spec, ':');
	struct socketmap *m;
	struct str endpoint = str_sub(spec, 0, colon < 0 ? 0 : (size_t)colon);

	if ((!str_starts(endpoint, STR("inet:")) || str_chr(str_skip(endpoint, 5), ':') < 0) && !str_starts(endpoint, STR("unix:")))
		return err_perm(e, "\"socketmap:inet:host:port:name\" or \"socketmap:unix:path:name\" expected");
	m = t->state = mem_alloc(sizeof *m);
	m->life = arena_new("socketmap table");
	m->name = arena_dup(m->life, str_skip(spec, (size_t)colon + 1));
	m->pool = pool_new(arena_z(m->life, endpoint), SERVER_IDLE_MAX, SERVER_IDLE_MS, -1);
	return 0;
}

static void socketmap_close(struct table *t)
{
	struct socketmap *m = t->state;

	pool_free(m->pool);
	arena_free(m->life);
	mem_free(m);
}

/* "12:", at most DIGITS_MAX digits, one octet at a time: what follows is counted. */
static int read_length(struct stream *s, size_t *length, int64_t deadline)
{
	char c = '\0';
	int digits = 0, r = STREAM_OK;

	*length = 0;
	while (digits <= DIGITS_MAX && (r = stream_read_full(s, &c, 1, deadline)) == STREAM_OK && isdigit((unsigned char)c)) {
		*length = *length * 10 + (size_t)(c - '0');
		digits++;
	}
	if (r == STREAM_OK && (c != ':' || digits == 0 || *length > REPLY_MAX))
		return STREAM_TOO_LONG;
	return r;
}

static int read_netstring(struct stream *s, struct buf *out, int64_t deadline)
{
	size_t length = 0;
	char comma = '\0';
	int r = read_length(s, &length, deadline);

	if (r != STREAM_OK)
		return r;
	buf_clear(out);
	r = stream_read_full(s, buf_reserve(out, length), length, deadline);
	if (r != STREAM_OK)
		return r;
	out->n = length;
	r = stream_read_full(s, &comma, 1, deadline);
	return r == STREAM_OK && comma != ',' ? STREAM_TOO_LONG : r;
}

static int talk(struct stream *s, void *ctx, int64_t deadline, struct err *e)
{
	struct question *q = ctx;
	const struct socketmap *m = q->map;
	int r = stream_printf(s, deadline, "%zu:%.*s %.*s,", m->name.n + 1 + q->key.n, STRF(m->name), STRF(q->key));

	if (r == STREAM_OK)
		r = stream_flush(s, deadline);
	if (r == STREAM_OK)
		r = read_netstring(s, q->reply, deadline);
	if (r == STREAM_TOO_LONG)
		return err_temp(e, "the server's answer is no netstring of at most %d octets", REPLY_MAX);
	return r == STREAM_OK ? 0 : err_temp(e, "%s", stream_strerror((enum stream_result)r, s));
}

static enum table_answer take_reply(struct str reply, struct buf *value, struct err *e)
{
	struct str text = reply, word = str_cut(&text, ' ');

	if (str_eqz(word, "OK")) {
		buf_add(value, text);
		return TABLE_FOUND;
	}
	if (str_eqz(word, "NOTFOUND"))
		return TABLE_MISSING;
	if (str_eqz(word, "TEMP") || str_eqz(word, "TIMEOUT") || str_eqz(word, "PERM"))
		(void)err_temp(e, "the server says %.*s: %.*s", STRF(word), STRF(text));
	else
		(void)err_temp(e, "the server's answer is not OK, NOTFOUND, TEMP, TIMEOUT or PERM");
	return TABLE_FAILED;
}

static enum table_answer socketmap_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	const struct socketmap *m = t->state;
	struct buf reply = { 0 };
	struct question q = { m, key, &reply };
	enum table_answer answer = TABLE_FAILED;

	if (key.n > KEY_MAX_SIZE || memchr(key.p, '\0', key.n) != NULL)
		return TABLE_MISSING;
	if (server_ask(m->pool, talk, &q, e) == 0)
		answer = take_reply(buf_str(&reply), value, e);
	buf_done(&reply);
	return answer;
}

const struct table_type table_socketmap = { "socketmap", TABLE_SUSPENDS | TABLE_PATTERN, socketmap_open, socketmap_lookup, socketmap_close };

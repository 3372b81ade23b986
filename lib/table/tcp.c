/* lib/table/tcp.c - tcp:host:port, one line each way: tcp_table(5). "get key" is answered with 200 value, 500 (no such key) or 400 (trouble);
 * both sides write %XX for white space, "%" and what cannot be printed.
 */
#include "lib/base/mem.h"
#include "lib/table/registry.h"
#include "lib/table/server.h"

#define REPLY_MAX 4096 /* octets, line end included */
#define KEY_MAX_SIZE 4096

struct question {
	struct str key;
	struct buf *value;
	bool found;
};

static int tcp_open(struct table *t, struct str name, struct err *e)
{
	struct buf endpoint = { 0 };

	if (str_chr(name, ':') <= 0)
		return err_perm(e, "\"tcp:host:port\" expected");
	buf_addz(&endpoint, "inet:");
	buf_add(&endpoint, name);
	t->state = pool_new(buf_z(&endpoint), SERVER_IDLE_MAX, SERVER_IDLE_MS, -1);
	buf_done(&endpoint);
	return 0;
}

static void tcp_close(struct table *t)
{
	pool_free(t->state);
}

static void quote(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c > ' ' && c < 127 && c != '%')
			buf_addc(out, (char)c);
		else
			buf_addf(out, "%%%02X", c);
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unquote(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		int high, low;

		if (s.p[i] != '%') {
			buf_addc(out, s.p[i]);
			continue;
		}
		if (i + 2 >= s.n)
			return false;
		high = hex_digit(s.p[i + 1]);
		low = hex_digit(s.p[i + 2]);
		if (high < 0 || low < 0)
			return false;
		buf_addc(out, (char)(high * 16 + low));
		i += 2;
	}
	return true;
}

static int take_reply(struct question *q, struct str line, struct err *e)
{
	struct str text = line, code = str_cut(&text, ' ');

	q->found = str_eqz(code, "200");
	if (q->found)
		return unquote(q->value, text) ? 0 : err_temp(e, "the server's answer is not encoded as it should be");
	if (str_eqz(code, "500"))
		return 0;
	if (str_eqz(code, "400"))
		return err_temp(e, "the server says: %.*s", STRF(text));
	return err_temp(e, "the server's answer is not 200, 400 or 500");
}

static int talk(struct stream *s, void *ctx, int64_t deadline, struct err *e)
{
	struct question *q = ctx;
	struct buf line = { 0 };
	int r, rc = -1;

	buf_addz(&line, "get ");
	quote(&line, q->key);
	buf_addc(&line, '\n');
	buf_clear(q->value);
	r = stream_write(s, buf_str(&line), deadline);
	if (r == STREAM_OK)
		r = stream_flush(s, deadline);
	if (r == STREAM_OK)
		r = stream_read_line(s, &line, REPLY_MAX, deadline);
	if (r == STREAM_OK)
		rc = take_reply(q, str_trim(buf_str(&line)), e);
	else if (r == STREAM_TOO_LONG)
		rc = err_temp(e, "the server's answer is longer than %d octets", REPLY_MAX);
	else
		rc = err_temp(e, "%s", stream_strerror((enum stream_result)r, s));
	buf_done(&line);
	return rc;
}

static enum table_answer tcp_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	struct buf answer = { 0 };
	struct question q = { key, &answer, false };
	int rc;

	if (key.n == 0 || key.n > KEY_MAX_SIZE)
		return TABLE_MISSING;
	rc = server_ask(t->state, talk, &q, e);
	if (rc == 0)
		buf_add(value, buf_str(&answer));
	buf_done(&answer);
	return rc < 0 ? TABLE_FAILED : q.found ? TABLE_FOUND : TABLE_MISSING;
}

const struct table_type table_tcp = { "tcp", TABLE_SUSPENDS | TABLE_PATTERN, tcp_open, tcp_lookup, tcp_close };

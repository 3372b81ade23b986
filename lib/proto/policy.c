/* lib/proto/policy.c - both ends of the policy delegation protocol: name=value lines up to an empty line, one request, one answer. */
#include "lib/proto/policy.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define USUAL_SIZE 1000 /* octets of a request */
#define LINES_MAX 1000 /* lines of one request or answer; what is beyond POLICY_ATTRS_MAX is read and ignored */

static void add_clean(struct buf *out, struct str value)
{
	size_t from = out->n;

	buf_add(out, value);
	for (size_t i = from; i < out->n; i++)
		if (out->p[i] == '\r' || out->p[i] == '\n' || out->p[i] == '\0')
			out->p[i] = '?';
}

void policy_add(struct policy_request *r, const char *name, struct str value)
{
	check(r->count < POLICY_ATTRS_MAX);
	r->attrs[r->count].name = str_z(name);
	r->attrs[r->count++].value = value;
}

struct str policy_get(const struct policy_request *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (str_eqz(r->attrs[i].name, name))
			return r->attrs[i].value;
	return STR_NONE;
}

static bool has_attr(const struct policy_request *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (str_eqz(r->attrs[i].name, name))
			return true;
	return false;
}

static void print_attrs(const struct policy_request *r, struct buf *out)
{
	buf_reserve(out, USUAL_SIZE);
	for (size_t i = 0; i < r->count; i++) {
		struct str name = r->attrs[i].name;

		buf_add(out, name);
		buf_addc(out, '=');
		add_clean(out, str_sub(r->attrs[i].value, 0, POLICY_LINE_MAX - 1 - name.n - 1));
		buf_addc(out, '\n');
	}
	buf_addc(out, '\n');
}

static int send_attrs(struct stream *s, const struct policy_request *r, int64_t deadline, struct err *e)
{
	struct buf text = { 0 };
	int rc;

	print_attrs(r, &text);
	rc = stream_write(s, buf_str(&text), deadline);
	buf_done(&text);
	if (rc == STREAM_OK)
		rc = stream_flush(s, deadline);
	return rc == STREAM_OK ? 0 : err_temp(e, "%s", stream_strerror((enum stream_result)rc, s));
}

int policy_take_line(struct str line, struct arena *a, struct policy_request *out, struct err *e)
{
	struct str value = line, name = str_cut(&value, '=');

	if (name.n == line.n || name.n == 0)
		return err_temp(e, "line is not name=value");
	if (memchr(line.p, '\0', line.n) != NULL || str_chr(line, '\r') >= 0)
		return err_temp(e, "control character in attribute");
	if (out->count == POLICY_ATTRS_MAX)
		return 0;
	out->attrs[out->count].name = arena_dup(a, name);
	out->attrs[out->count++].value = arena_dup(a, value);
	return 0;
}

/* Attributes up to the empty line. 0; 1 when the peer closed before the first octet; -1 with *e. Suspends. */
static int receive_attrs(struct stream *s, struct arena *a, struct policy_request *out, int64_t deadline, struct err *e)
{
	struct buf line = { 0 };
	int rc = 0;

	out->count = 0;
	for (size_t lines = 0; rc == 0; lines++) {
		int got = stream_read_line(s, &line, POLICY_LINE_MAX, deadline);

		if (got == STREAM_EOF && lines == 0 && line.n == 0)
			rc = 1;
		else if (got == STREAM_TOO_LONG || lines == LINES_MAX)
			rc = err_temp(e, got == STREAM_TOO_LONG ? "line is longer than %d octets" : "more than %d lines",
				got == STREAM_TOO_LONG ? POLICY_LINE_MAX : LINES_MAX);
		else if (got != STREAM_OK)
			rc = err_temp(e, "%s", stream_strerror((enum stream_result)got, s));
		else if (line.n == 1)
			break;
		else
			rc = policy_take_line(str_sub(buf_str(&line), 0, line.n - 1), a, out, e);
	}
	buf_done(&line);
	return rc;
}

static int ask_once(struct stream *s, struct arena *arena, const struct policy_request *r, struct policy_request *answer, int64_t deadline,
	struct err *e)
{
	int rc = send_attrs(s, r, deadline, e);

	if (rc == 0)
		rc = receive_attrs(s, arena, answer, deadline, e);
	if (rc == 1)
		return err_temp(e, "connection closed");
	if (rc == 0 && !has_attr(answer, "action"))
		return err_temp(e, "answer without an action");
	return rc;
}

int policy_ask(
	struct pool *p, struct arena *arena, const struct policy_request *r, struct policy_request *answer, int64_t deadline, struct err *e)
{
	for (;;) {
		bool reused = false;
		struct stream *s = pool_get(p, deadline, &reused, e);

		if (s == NULL)
			return -1;
		if (ask_once(s, arena, r, answer, deadline, e) == 0) {
			pool_put(p, s);
			return 0;
		}
		pool_drop(p, s);
		if (!reused || clock_mono_ms() >= deadline)
			return -1;
	}
}

int policy_receive(struct stream *s, struct arena *a, struct policy_request *out, int64_t deadline, struct err *e)
{
	return receive_attrs(s, a, out, deadline, e);
}

int policy_send_answer(struct stream *s, const struct policy_request *answer, int64_t deadline, struct err *e)
{
	return send_attrs(s, answer, deadline, e);
}

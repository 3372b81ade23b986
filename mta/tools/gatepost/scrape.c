/* mta/tools/gatepost/scrape.c - asking a running instance for its counters, and reading the answer. */
#include "mta/tools/gatepost/scrape.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/mem.h"

#define SOCKET "public/metrics"
#define PATIENCE_S 10
#define ANSWER_MAX (16 * 1024 * 1024)
#define QUANTILE_BUCKETS 64

/* ---- asking ---- */

static int connect_metrics(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = SOCKET };
	struct timeval limit = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool read_all(int fd, struct buf *out)
{
	ssize_t n;

	do {
		n = recv(fd, buf_reserve(out, 65536), 65536, 0);
		if (n > 0)
			out->n += (size_t)n;
	} while (n > 0 && out->n < ANSWER_MAX);
	return n == 0;
}

bool scrape_get(struct arena *a, const char *path, struct str *body)
{
	struct buf request = { 0 }, answer = { 0 };
	int fd = connect_metrics();
	ptrdiff_t at = -1;

	if (fd < 0)
		return false;
	buf_addf(&request, "GET %s HTTP/1.0\r\n\r\n", path);
	if (send(fd, request.p, request.n, MSG_NOSIGNAL) == (ssize_t)request.n && read_all(fd, &answer) &&
		str_starts(buf_str(&answer), STR("HTTP/1.1 200 ")))
		at = str_find(buf_str(&answer), STR("\r\n\r\n"));
	if (at >= 0)
		*body = arena_dup(a, str_skip(buf_str(&answer), (size_t)at + 4));
	close(fd);
	buf_done(&request);
	buf_done(&answer);
	return at >= 0;
}

/* ---- reading ---- */

/* `name{labels} value`; false: a comment or nothing. */
static bool parse_line(struct arena *a, struct str line, struct sample *out)
{
	ptrdiff_t blank = str_rchr(line, ' '), brace = str_chr(line, '{');

	if (line.n == 0 || line.p[0] == '#' || blank <= 0)
		return false;
	out->value = strtod(arena_z(a, str_skip(line, (size_t)blank + 1)), NULL);
	line = str_sub(line, 0, (size_t)blank);
	out->name = brace < 0 ? line : str_sub(line, 0, (size_t)brace);
	out->labels = brace < 0 || line.n < (size_t)brace + 2 ? STR_NONE : str_sub(line, (size_t)brace + 1, line.n - (size_t)brace - 2);
	return true;
}

bool scrape_read(struct arena *a, struct scrape *out)
{
	struct str body;
	size_t lines = 1;

	*out = (struct scrape){ .a = a };
	if (!scrape_get(a, "/metrics", &body))
		return false;
	for (size_t i = 0; i < body.n; i++)
		lines += body.p[i] == '\n';
	out->samples = arena_alloc(a, lines * sizeof *out->samples);
	while (body.n > 0)
		out->count += parse_line(a, str_cut(&body, '\n'), &out->samples[out->count]);
	return true;
}

/* Values end at a quote that is not escaped. */
static size_t value_size(struct str s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '"')
		n += s.p[n] == '\\' ? 2 : 1;
	return n < s.n ? n : s.n;
}

struct str scrape_label(const struct sample *s, const char *label)
{
	struct str rest = s->labels;

	while (rest.n > 0) {
		struct str name = str_cut(&rest, '='), value;

		rest = str_skip(rest, 1); /* the quote */
		value = str_sub(rest, 0, value_size(rest));
		if (str_eqz(name, label))
			return value;
		rest = str_skip(rest, value.n + 2); /* the quote, a comma */
	}
	return STR_NONE;
}

static bool matches(const struct sample *s, const char *name, const char *label, const char *value)
{
	return str_eqz(s->name, name) && (label == NULL || str_eqz(scrape_label(s, label), value));
}

double scrape_sum(const struct scrape *s, const char *name, const char *label, const char *value)
{
	double sum = 0;

	for (size_t i = 0; i < s->count; i++)
		if (matches(&s->samples[i], name, label, value))
			sum += s->samples[i].value;
	return sum;
}

size_t scrape_values(const struct scrape *s, const char *name, const char *label, struct str **out)
{
	size_t n = 0;

	*out = arena_alloc(s->a, (s->count + 1) * sizeof **out);
	for (size_t i = 0; i < s->count; i++) {
		struct str value;
		size_t k = 0;

		if (!str_eqz(s->samples[i].name, name))
			continue;
		value = scrape_label(&s->samples[i], label);
		while (k < n && !str_eq((*out)[k], value))
			k++;
		if (k == n)
			(*out)[n++] = value;
	}
	return n;
}

/* ---- quantiles ---- */

struct bucket {
	double limit, below;
};

/* Buckets of all matching series added up; they come in the order of their limits. */
static size_t add_buckets(const struct scrape *s, const char *name, const char *label, const char *value, struct bucket *b)
{
	const char *series = arena_printf(s->a, "%s_bucket", name).p;
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++) {
		double limit;
		size_t k = 0;

		if (!matches(&s->samples[i], series, label, value))
			continue;
		limit = strtod(arena_z(s->a, scrape_label(&s->samples[i], "le")), NULL);
		while (k < n && b[k].limit < limit)
			k++;
		if (k == n && n < QUANTILE_BUCKETS)
			b[n++] = (struct bucket){ limit, 0 };
		if (k < n)
			b[k].below += s->samples[i].value;
	}
	return n;
}

double scrape_quantile(const struct scrape *s, const char *name, const char *label, const char *value, double q)
{
	struct bucket b[QUANTILE_BUCKETS];
	size_t n = add_buckets(s, name, label, value, b), i = 0;
	double rank, before, from;

	if (n < 2 || b[n - 1].below <= 0)
		return -1;
	rank = q * b[n - 1].below;
	while (i + 1 < n && b[i].below < rank)
		i++;
	if (i == n - 1)
		return b[n - 2].limit; /* +Inf is no answer */
	before = i == 0 ? 0 : b[i - 1].below;
	from = i == 0 ? 0 : b[i - 1].limit;
	return from + (b[i].limit - from) * (rank - before) / (b[i].below - before);
}

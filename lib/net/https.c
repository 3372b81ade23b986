/* lib/net/https.c - a GET over TLS, as a straight line. What a web server sends is bounded before it is kept. */
#include "lib/net/https.h"

#include "lib/net/dns.h"
#include "lib/net/sock.h"
#include "lib/net/stream.h"
#include "lib/net/tls.h"

#define LINE_MAX_OCTETS 8192
#define LINES_MAX 200 /* of a header */
#define ADDRESSES_TRIED 4

struct answer {
	struct stream *io;
	const struct https_get *get;
	struct buf line, body;
	bool chunked, sized;
	uint64_t size;
};

static int bad(const struct answer *w, struct err *e, const char *what)
{
	return err_temp(e, "https://%.*s%s: %s", STRF(w->get->host), w->get->path, what);
}

/* ---- header ---- */

static int read_line(struct answer *w, struct str *line, struct err *e)
{
	int r = stream_read_line(w->io, &w->line, LINE_MAX_OCTETS, w->get->deadline);

	if (r != STREAM_OK)
		return bad(w, e, r == STREAM_TOO_LONG ? "line too long" : stream_strerror((enum stream_result)r, w->io));
	*line = str_trim(buf_str(&w->line));
	return 0;
}

static int read_status(struct answer *w, struct err *e)
{
	struct str line, code;

	if (read_line(w, &line, e) < 0)
		return -1;
	code = line;
	if (!str_starts(str_word(&code, " "), STR("HTTP/1.")))
		return bad(w, e, "not an HTTP answer");
	if (str_eqz(str_word(&code, " "), "200"))
		return 0;
	return err_temp(e, "https://%.*s%s: status %.*s", STRF(w->get->host), w->get->path, STRF(str_sub(line, 9, 3)));
}

static int take_field(struct answer *w, struct str name, struct str value, bool *typed, struct err *e)
{
	if (str_eqiz(name, "content-type")) {
		*typed = str_eqiz(str_trim(str_cut(&value, ';')), w->get->type);
	} else if (str_eqiz(name, "content-length")) {
		w->sized = str_to_u64(value, UINT64_MAX, &w->size);
		if (!w->sized)
			return bad(w, e, "bad content length");
	} else if (str_eqiz(name, "transfer-encoding")) {
		w->chunked = str_eqiz(value, "chunked");
		if (!w->chunked)
			return bad(w, e, "unknown transfer encoding");
	}
	return 0;
}

static int read_header(struct answer *w, struct err *e)
{
	bool typed = false;
	struct str line;

	for (int i = 0; i < LINES_MAX; i++) {
		if (read_line(w, &line, e) < 0)
			return -1;
		if (line.n == 0)
			return typed ? 0 : bad(w, e, "not of the right type");
		struct str value = line, name = str_cut(&value, ':');

		if (take_field(w, name, str_trim(value), &typed, e) < 0)
			return -1;
	}
	return bad(w, e, "header too long");
}

/* ---- body ---- */

static int read_piece(struct answer *w, uint64_t n, struct err *e)
{
	int r;

	if (n > w->get->max - w->body.n)
		return bad(w, e, "too large");
	buf_reserve(&w->body, (size_t)n);
	r = stream_read_full(w->io, w->body.p + w->body.n, (size_t)n, w->get->deadline);
	if (r != STREAM_OK)
		return bad(w, e, stream_strerror((enum stream_result)r, w->io));
	w->body.n += (size_t)n;
	return 0;
}

static bool hex_number(struct str s, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		const char *digits = "0123456789abcdef", *at = memchr(digits, s.p[i] | 0x20, 16);

		if (at == NULL)
			return false;
		*out = *out * 16 + (uint64_t)(at - digits);
	}
	return s.n > 0 && s.n <= 8;
}

static int read_chunks(struct answer *w, struct err *e)
{
	struct str line;
	uint64_t n;

	for (;;) {
		if (read_line(w, &line, e) < 0)
			return -1;
		if (!hex_number(str_trim(str_cut(&line, ';')), &n))
			return bad(w, e, "bad chunk");
		if (n == 0)
			return 0;
		if (read_piece(w, n, e) < 0 || read_line(w, &line, e) < 0)
			return -1;
		if (line.n > 0)
			return bad(w, e, "bad chunk");
	}
}

/* One that ends with the connection could have been cut by anybody. */
static int read_body(struct answer *w, struct err *e)
{
	if (w->chunked)
		return read_chunks(w, e);
	return w->sized ? read_piece(w, w->size, e) : bad(w, e, "answer without a length");
}

/* ---- connection ---- */

static struct stream *connect_to(struct arena *a, const struct https_get *get, struct err *e)
{
	struct stream *s = NULL;
	struct sock_addr *addrs;
	size_t count;

	err_temp(e, "%.*s has no address", STRF(get->host));
	dns_addresses(a, get->host, 3, get->deadline, &addrs, &count);
	for (size_t i = 0; i < count && i < ADDRESSES_TRIED && s == NULL; i++) {
		sock_addr_set_port(&addrs[i], 443);
		s = sock_connect(&addrs[i], NULL, get->deadline, e);
	}
	return s;
}

static int talk(struct answer *w, struct arena *a, struct err *e)
{
	const struct https_get *get = w->get;
	const struct tls_demand demand = {
		.server_name = arena_z(a, get->host), .authority = true, .names = &get->host, .name_count = 1
	};

	if (tls_connect(w->io, get->tls, &demand, get->deadline, e) < 0)
		return err_context(e, "https://%.*s", STRF(get->host));
	stream_printf(w->io, get->deadline,
		"GET %s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: Gatepost\r\nAccept: %s\r\nConnection: close\r\n\r\n", get->path, STRF(get->host), get->type);
	if (stream_flush(w->io, get->deadline) != STREAM_OK)
		return bad(w, e, "connection lost");
	return read_status(w, e) < 0 || read_header(w, e) < 0 ? -1 : read_body(w, e);
}

int https_get(struct arena *a, const struct https_get *get, struct str *body, struct err *e)
{
	struct answer w = { .get = get };
	int r;

	w.io = connect_to(a, get, e);
	if (w.io == NULL)
		return -1;
	r = talk(&w, a, e);
	if (r == 0)
		*body = arena_dup(a, buf_str(&w.body));
	stream_close(w.io);
	buf_done(&w.line);
	buf_done(&w.body);
	return r;
}

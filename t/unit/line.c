/* t/unit/line.c - content in and out: only CRLF.CRLF ends it, wherever the network cuts it. */
#include "lib/mail/line.h"

#include "t/unit/tap.h"

enum { BARE_LF = 1, BARE_CR = 2, NUL = 4, EIGHT = 8, DOTS = 16, LONG = 32, STRAY = 64 }; /* STRAY: asks for replacement */

static const struct {
	const char *name;
	struct str in, out;
	int left; /* octets behind the end mark; -1: no end mark */
	int flags;
} rows[] = {
	{ "empty message", STR_INIT(".\r\n"), STR_INIT(""), 0, 0 },
	{ "usual", STR_INIT("a\r\nb\r\n.\r\n"), STR_INIT("a\r\nb\r\n"), 0, 0 },
	{ "pipelined QUIT stays", STR_INIT("a\r\n.\r\nQUIT\r\n"), STR_INIT("a\r\n"), 6, 0 },
	{ "dot unstuffed", STR_INIT("..a\r\n.b\r\n...\r\n.\r\n"), STR_INIT(".a\r\nb\r\n..\r\n"), 0, DOTS },
	{ "dot inside a line", STR_INIT("a.\r\n.\r\n"), STR_INIT("a.\r\n"), 0, 0 },
	{ "bare LF becomes CRLF", STR_INIT("a\nb\n\r\n.\r\n"), STR_INIT("a\r\nb\r\n\r\n"), 0, BARE_LF },
	{ "LF.CRLF does not end", STR_INIT("a\n.\r\nb\r\n.\r\n"), STR_INIT("a\r\nb\r\n"), 0, BARE_LF },
	{ "CRLF.LF does not end", STR_INIT("a\r\n.\nb\r\n.\r\n"), STR_INIT("a\r\nb\r\n"), 0, BARE_LF },
	{ "LF.LF does not end", STR_INIT("a\n.\nb\r\n.\r\n"), STR_INIT("a\r\nb\r\n"), 0, BARE_LF },
	{ ".LF.CRLF does not end", STR_INIT("a\r\n.\n.\r\nb\r\n.\r\n"), STR_INIT("a\r\nb\r\n"), 0, BARE_LF },
	{ "CR.CR is data", STR_INIT("a\r.\rb\r\n.\r\n"), STR_INIT("a\r.\rb\r\n"), 0, BARE_CR },
	{ "CRLF.CR is data", STR_INIT("a\r\n.\rb\r\n.\r\n"), STR_INIT("a\r\n\rb\r\n"), 0, BARE_CR },
	{ "CRLF.CR CRLF is data", STR_INIT("a\r\n.\r\r\n.\r\n"), STR_INIT("a\r\n\r\r\n"), 0, BARE_CR },
	{ "stray CRs become blanks", STR_INIT("a\rb\r\r\n\r\rc\n.\r\r\n.\r\n"), STR_INIT("a b \r\n  c\r\n \r\n"), 0,
		BARE_CR | BARE_LF | STRAY },
	{ "NUL and 8-bit are seen and kept", STR_INIT("a\0b\xff\r\n.\r\n"), STR_INIT("a\0b\xff\r\n"), 0, NUL | EIGHT },
	{ "no end yet", STR_INIT("a\r\n"), STR_INIT("a\r\n"), -1, 0 },
	{ "half an end mark waits", STR_INIT("a\r\n.\r"), STR_INIT("a\r\n"), -1, 0 },
	{ "a CR waits", STR_INIT("a\r"), STR_INIT("a"), -1, 0 },
};

static int seen(const struct line_in *l)
{
	return (l->bare_lf ? BARE_LF : 0) | (l->bare_cr ? BARE_CR : 0) | (l->nul ? NUL : 0) | (l->eight_bit ? EIGHT : 0) |
	       (l->dot_lines ? DOTS : 0) | (l->long_lines ? LONG : 0);
}

static struct line_in new_content(int flags)
{
	return (struct line_in){ .newline = LINE_NORMALIZE, .at_start = true, .crlf_before = true, .replace_stray = flags & STRAY };
}

/* Feed in as the network might: step octets arrive at a time. Returns what is left behind the end mark, or -1. */
static int feed(struct line_in *l, struct str in, size_t step, struct buf *out)
{
	size_t from = 0, to = 0;

	while (to < in.n) {
		bool end;

		to = to + step < in.n ? to + step : in.n;
		from += line_in_feed(l, str_sub(in, from, to - from), out, &end);
		if (end)
			return (int)(in.n - from);
	}
	return -1;
}

static void check_row(size_t i, size_t step)
{
	struct line_in l = new_content(rows[i].flags);
	struct buf out = { 0 };
	int left = feed(&l, rows[i].in, step, &out);
	bool right = left == rows[i].left && str_eq(buf_str(&out), rows[i].out) && seen(&l) == (rows[i].flags & ~STRAY);

	if (!ok(right, "%s, %zu at a time", rows[i].name, step))
		diag("left %d flags %d got '%s'", left, seen(&l), buf_z(&out));
	buf_done(&out);
}

static void long_lines(void)
{
	for (size_t n = 998; n <= 999; n++) {
		struct buf in = { 0 }, out = { 0 };
		struct line_in l = new_content(0);

		for (size_t i = 0; i < n; i++)
			buf_addc(&in, 'x');
		buf_addz(&in, "\r\n.\r\n");
		is_int(feed(&l, buf_str(&in), 100, &out), 0, "long line ends");
		is_int(seen(&l), n > 998 ? LONG : 0, "998 octets are allowed, 999 are not");
		is_int((long long)out.n, (long long)n + 2, "nothing is lost");
		buf_done(&in);
		buf_done(&out);
	}
}

static const struct {
	struct str in, out;
} stuffed[] = {
	{ STR_INIT("a\r\n.b\r\n"), STR_INIT("a\r\n..b\r\n") },
	{ STR_INIT(".\r\n"), STR_INIT("..\r\n") },
	{ STR_INIT("a.\r\n"), STR_INIT("a.\r\n") },
	{ STR_INIT("..\r\n..\r\n.\r\n"), STR_INIT("...\r\n...\r\n..\r\n") },
	{ STR_INIT(""), STR_INIT("") },
};

static void check_stuff(size_t i)
{
	for (size_t step = 1; step <= 8; step++) {
		struct buf out = { 0 };
		bool at_start = true;

		for (size_t from = 0; from < stuffed[i].in.n; from += step)
			line_out_stuff(str_sub(stuffed[i].in, from, step), &at_start, &out);
		is_str(buf_str(&out), stuffed[i].out, "dots stuffed");
		buf_done(&out);
	}
}

static const struct {
	struct str in, out;
	size_t used;
} unix_lines[] = {
	{ STR_INIT("a\r\nb\r\n"), STR_INIT("a\nb\n"), 6 },
	{ STR_INIT("a\rb\r"), STR_INIT("a\rb"), 3 },
	{ STR_INIT("\r\r\n"), STR_INIT("\r\n"), 3 },
	{ STR_INIT("a\nb"), STR_INIT("a\nb"), 3 },
	{ STR_INIT(""), STR_INIT(""), 0 },
};

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		for (size_t step = 1; step <= 4; step++)
			check_row(i, step);
		check_row(i, 1000);
	}
	long_lines();
	for (size_t i = 0; i < sizeof stuffed / sizeof *stuffed; i++)
		check_stuff(i);
	for (size_t i = 0; i < sizeof unix_lines / sizeof *unix_lines; i++) {
		struct buf out = { 0 };

		is_int((long long)line_to_lf(unix_lines[i].in, &out), (long long)unix_lines[i].used, "used");
		is_str(buf_str(&out), unix_lines[i].out, "LF lines");
		buf_done(&out);
	}
	return done_testing();
}

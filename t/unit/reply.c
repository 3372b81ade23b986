/* t/unit/reply.c - replies line by line, what EHLO offers, and reading them from a peer that cuts or floods them. */
#include "lib/smtp/reply.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "t/unit/tap.h"

static const struct {
	const char *lines; /* LF between them */
	int want; /* of the last line */
	short smtp;
	int c, s, d;
	const char *text;
} rows[] = {
	{ "250 2.1.0 Ok", 1, 250, 2, 1, 0, "250 2.1.0 Ok" },
	{ "250", 1, 250, 2, 0, 0, "250" },
	{ "250 ", 1, 250, 2, 0, 0, "250 " },
	{ "354 go", 1, 354, 3, 0, 0, "354 go" },
	{ "550-5.1.1 No\n550 5.1.1 such user", 1, 550, 5, 1, 1, "550-5.1.1 No 550 5.1.1 such user" },
	{ "550-5.1.1 No\n550 such user", 1, 550, 5, 1, 1, "550-5.1.1 No 550 such user" },
	{ "450 5.1.1 odd", 1, 450, 4, 0, 0, "450 5.1.1 odd" },
	{ "250-first\n550 5.1.1 other", 1, 550, 5, 1, 1, "250-first 550 5.1.1 other" },
	{ "250-more", 0, 250, 2, 0, 0, "250-more" },
	{ "250 a\x01\xff", 1, 250, 2, 0, 0, "250 a??" },
	{ "", -1, 0, 0, 0, 0, "" },
	{ "25", -1, 0, 0, 0, 0, "" },
	{ "2500 x", -1, 0, 0, 0, 0, "" },
	{ "600 x", -1, 0, 0, 0, 0, "" },
	{ "199 x", -1, 0, 0, 0, 0, "" },
	{ "SSH-2.0", -1, 0, 0, 0, 0, "" },
};

static void check_row(size_t i)
{
	struct smtp_reply r = { 0 };
	struct str rest = str_z(rows[i].lines);
	struct err e = ERR_INIT;
	int last;

	do
		last = smtp_reply_line(&r, str_cut(&rest, '\n'), &e);
	while (rest.n > 0 && last >= 0);
	is_int(last, rows[i].want, rows[i].lines);
	ok(r.code.smtp == rows[i].smtp && r.code.c == rows[i].c && r.code.s == rows[i].s && r.code.d == rows[i].d, "codes");
	is_str(buf_str(&r.text), str_z(rows[i].text), "text");
	ok((last < 0) == (e.kind == ERR_TEMP), "what is no reply is a temporary error");
	smtp_reply_done(&r);
}

static void offers(void)
{
	static const char *const lines[] = { "250-SIZE.example PIPELINING", "250-SIZE 1000", "250-auth PLAIN  LOGIN ", "250 8BITMIME" };
	struct smtp_reply r = { 0 };
	struct str args = STR_NONE;
	struct err e;

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		smtp_reply_line(&r, str_z(lines[i]), &e);
	ok(smtp_reply_offers(&r, "size", &args), "SIZE");
	is_str(args, STR("1000"), "its argument");
	ok(smtp_reply_offers(&r, "AUTH", &args), "AUTH");
	is_str(args, STR("PLAIN  LOGIN"), "its arguments");
	ok(smtp_reply_offers(&r, "8BITMIME", &args) && args.n == 0, "8BITMIME, last line");
	ok(!smtp_reply_offers(&r, "PIPELINING", &args), "the first line offers nothing");
	ok(!smtp_reply_offers(&r, "8BIT", &args), "whole words only");
	smtp_reply_done(&r);
}

/* What a peer sends before it closes, and what comes of it. */
static void read_from(struct str sent, int want, int want_result, const char *name)
{
	struct smtp_reply r = { 0 };
	struct err e = ERR_INIT;
	int pair[2], result = 1;
	struct stream *s;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	ok(write(pair[1], sent.p, sent.n) == (ssize_t)sent.n, "the peer writes");
	close(pair[1]);
	s = stream_new(pair[0]);
	is_int(smtp_reply_read(s, &r, deadline_in(2000), &result, &e), want, name);
	is_int(result, want_result, "result");
	smtp_reply_done(&r);
	stream_close(s);
}

static void reading(void *arg)
{
	struct buf flood = { 0 };

	(void)arg;
	read_from(STR("250-a\r\n250 b\r\n"), 0, STREAM_OK, "two lines");
	read_from(STR("250 b\n"), 0, STREAM_OK, "bare LF");
	read_from(STR("250-a\r\n"), -1, STREAM_EOF, "closed in the middle");
	read_from(STR(""), -1, STREAM_EOF, "closed at once");
	read_from(STR("hello\r\n"), -1, STREAM_OK, "no reply");
	for (int i = 0; i < 3000; i++)
		buf_addz(&flood, "250-and so on\r\n");
	read_from(str_sub(buf_str(&flood), 0, 30000), -1, STREAM_EOF, "long and cut");
	for (int i = 0; i < 3000; i++)
		buf_addz(&flood, "250-and so on\r\n");
	read_from(buf_str(&flood), -1, STREAM_OK, "more than a reply may have");
	buf_clear(&flood);
	buf_addz(&flood, "250 ");
	for (int i = 0; i < 5000; i++)
		buf_addc(&flood, 'x');
	buf_addz(&flood, "\r\n");
	read_from(buf_str(&flood), 0, STREAM_OK, "an overlong line is cut, not refused");
	buf_done(&flood);
	loop_stop();
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_row(i);
	offers();
	loop_init();
	fiber_start("test", reading, NULL);
	loop_run();
	return done_testing();
}

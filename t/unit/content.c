/* t/unit/content.c - messages as mailboxes and commands get them. */
#include "lib/mailbox/content.h"

#include <string.h>

#include "t/unit/tap.h"

static const struct {
	const char *in, *want;
	unsigned flags;
	const char *eol;
} rows[] = {
	{ "a\nFrom b\n", "a\n>From b\n", CONTENT_QUOTE_FROM, "\n" },
	{ "From b\n", ">From b\n", CONTENT_QUOTE_FROM, "\n" },
	{ ">From b\n", ">From b\n", CONTENT_QUOTE_FROM, "\n" },
	{ "Fromage\nFro\nx From y\n", "Fromage\nFro\nx From y\n", CONTENT_QUOTE_FROM, "\n" },
	{ "Fro", "Fro", CONTENT_QUOTE_FROM, "\n" },
	{ "From b\n.\n..\n", "From b\n..\n...\n", CONTENT_DOT_STUFF, "\n" },
	{ "a\n\nb\n", "a\r\n\r\nb\r\n", 0, "\r\n" },
	{ "From a\n", "From a\n", 0, "\n" },
};

/* step: octets that arrive at once */
static void feed(size_t i, size_t step)
{
	struct content_copy c = { rows[i].flags, str_z(rows[i].eol), true };
	struct buf kept = { 0 }, out = { 0 };
	struct str in = str_z(rows[i].in);
	char name[64];

	while (in.n > 0) {
		struct str piece = str_sub(in, 0, step);

		in = str_skip(in, piece.n);
		buf_add(&kept, piece);
		buf_consume(&kept, content_feed(&c, buf_str(&kept), in.n == 0, &out));
	}
	snprintf(name, sizeof name, "row %zu in pieces of %zu", i, step);
	is_str(buf_str(&out), str_z(rows[i].want), name);
	buf_done(&kept);
	buf_done(&out);
}

static struct buf stored(const char *header, const char *body, struct content *c)
{
	FILE *f = tmpfile();
	struct buf all = { 0 };

	fputs("superblock", f);
	fputs(body, f);
	fputs(header, f); /* behind the body: as for large messages */
	fflush(f);
	c->fd = fileno(f);
	c->body_at = 10;
	c->body_size = strlen(body);
	c->header_at = 10 + c->body_size;
	c->header_size = strlen(header);
	return all;
}

static void whole(const char *header, const char *body, unsigned flags, const char *want, const char *name)
{
	struct content c = { .front = STR("Return-Path: <s@x>\n"), .eol = STR("\n"), .flags = flags };
	struct buf out = stored(header, body, &c);
	struct content_reader r;
	struct err e = ERR_INIT;

	content_reader_begin(&r, &c);
	while (content_reader_next(&r, &out, &e) > 0)
		;
	is_str(buf_str(&out), str_z(want), name);
	content_reader_done(&r);
	buf_done(&out);
	close(c.fd);
}

static void large(void)
{
	struct buf body = { 0 };
	struct content c = { .front = STR_NONE, .eol = STR("\n"), .flags = CONTENT_QUOTE_FROM };
	struct buf out;
	struct content_reader r;
	struct err e = ERR_INIT;
	size_t quoted = 0;

	for (int i = 0; i < 50000; i++)
		buf_addz(&body, "From x\r\n");
	out = stored("A: b\r\n\r\n", buf_z(&body), &c);
	content_reader_begin(&r, &c);
	while (content_reader_next(&r, &out, &e) > 0)
		;
	for (struct str rest = buf_str(&out); rest.n > 0;)
		quoted += str_eq(str_cut(&rest, '\n'), STR(">From x"));
	is_int((long long)quoted, 50000, "every From quoted, over all borders of pieces");
	is_int((long long)out.n, 6 + 8 * 50000, "nothing lost or added");
	content_reader_done(&r);
	buf_done(&out);
	buf_done(&body);
	close(c.fd);
}

static void fronts(void)
{
	struct front f = { .lines = FRONT_RETURN_PATH | FRONT_ORIGINAL | FRONT_DELIVERED, .null_sender = "MAILER-DAEMON" };
	struct buf b = { 0 };

	f.original = STR("o@x");
	f.recipient = STR("r\nX-Evil: 1@x");
	f.sender = STR_NONE;
	content_front(&f, &b);
	is_str(buf_str(&b), STR("Return-Path: <>\nX-Original-To: o@x\nDelivered-To: r?X-Evil: 1@x\n"), "fields, one line each");
	buf_clear(&b);
	f.lines = FRONT_FROM;
	content_front(&f, &b);
	ok(str_starts(buf_str(&b), STR("From MAILER-DAEMON  ")) && str_ends(buf_str(&b), STR("\n")), "From_ line of the null sender");
	is_int((long long)b.n, 5 + 13 + 2 + 24 + 1, "date of 24 characters");
	buf_done(&b);
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		for (size_t step = 1; step < 8; step++)
			feed(i, step);
	}
	whole("S: t\r\n\r\n", "hi\r\nFrom me\r\n", CONTENT_QUOTE_FROM | CONTENT_BLANK_END, "Return-Path: <s@x>\nS: t\n\nhi\n>From me\n\n",
		"mbox");
	whole("S: t\r\n\r\n", "no end", 0, "Return-Path: <s@x>\nS: t\n\nno end\n", "last line is ended");
	whole("S: t\r\n\r\n", "stray\r", 0, "Return-Path: <s@x>\nS: t\n\nstray\r\n", "a CR at the very end");
	whole("S: t\r\n\r\n", "", 0, "Return-Path: <s@x>\nS: t\n\n", "no body");
	large();
	fronts();
	return done_testing();
}

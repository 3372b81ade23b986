/* t/unit/mime.c - 8-bit MIME content as 7 bits. */
#include "lib/mail/mime_7bit.h"
#include "t/unit/tap.h"

#define LONG "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" /* 73 */

static const struct {
	const char *in, *want;
} lines[] = {
	{ "", "\r\n" },
	{ "plain text", "plain text\r\n" },
	{ "caf\xc3\xa9 = x ", "caf=C3=A9 =3D x=20\r\n" },
	{ "tab\t", "tab=09\r\n" },
	{ "a\tb\x7f\r", "a\tb=7F=0D\r\n" },
	{ LONG, LONG "\r\n" },
	{ LONG "z", LONG "=\r\nz\r\n" },
};

static const struct {
	const char *name, *in, *want;
} messages[] = {
	{ "undeclared stays", "Subject: x\r\n\r\n\xe9\r\n", "Subject: x\r\n\r\n\xe9\r\n" },
	{ "encoded stays", "Content-Transfer-Encoding: base64\r\n\r\nAA==\r\n", "Content-Transfer-Encoding: base64\r\n\r\nAA==\r\n" },
	{ "leaf", "Content-Transfer-Encoding: 8BIT\r\nSubject: x\r\n\r\n\xe9\r\n",
		"Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9\r\n" },
	{ "multipart",
		"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n=\r\n"
		"--b\r\nContent-Transfer-Encoding: 8bit\r\nX: y\r\n\r\n\xe9\r\n--b\r\n\r\n=\r\n--b--\r\n=\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n=\r\n"
		"--b\r\nX: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9\r\n--b\r\n\r\n=\r\n--b--\r\n=\r\n" },
	{ "attached message",
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe9\r\n",
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\n=E9\r\n" },
	{ "no empty line behind a part's fields",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\xe9 x\r\n--b--\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9 "
		"x\r\n--b--\r\n" },
};

static bool stop(struct mime_7bit *m)
{
	(void)m; /* one piece is enough */
	return false;
}

static void convert(struct str message, bool want_all, struct buf *out)
{
	struct mime_7bit m = { .life = arena_new("test"), .nesting = 5, .boundary_length = 70, .out = out, .full = stop };
	struct header h;
	bool missing;
	struct str body;

	header_init(&h, m.life);
	body = str_skip(message, header_parse(&h, message, &missing));
	mime_7bit_header(&m, &h);
	header_print(&h, out);
	buf_addz(out, "\r\n");
	ok(mime_7bit_body(&m, body) == want_all, want_all ? "all of it" : "stopped");
	arena_free(m.life);
}

static void test_stop(void)
{
	struct buf in = { 0 }, out = { 0 };

	buf_addz(&in, "Subject: x\r\n\r\n");
	while (in.n < 2 * MIME_7BIT_PIECE)
		buf_addz(&in, "line\r\n");
	convert(buf_str(&in), false, &out);
	ok(out.n < MIME_7BIT_PIECE + 10, "no more than one piece is kept");
	buf_done(&in);
	buf_done(&out);
}

int main(void)
{
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct buf out = { 0 };

		mime_qp_line(&out, str_z(lines[i].in));
		is_str(buf_str(&out), str_z(lines[i].want), "line");
		buf_done(&out);
	}
	for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
		struct buf out = { 0 };

		convert(str_z(messages[i].in), true, &out);
		is_str(buf_str(&out), str_z(messages[i].want), messages[i].name);
		buf_done(&out);
	}
	test_stop();
	return done_testing();
}

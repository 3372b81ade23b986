/* t/unit/smtp_reply.c - what the server's replies look like on the wire. */
#include "mta/smtpd/session.h"
#include "t/unit/tap.h"

static const struct {
	struct code code;
	const char *text, *footer, *wire;
} replies[] = {
	{ { 250, 2, 0, 0 }, "Ok", "", "250 2.0.0 Ok\r\n" },
	{ { 354, 0, 0, 0 }, "End data", "", "354 End data\r\n" },
	{ { 250, 0, 0, 0 }, "mx\nPIPELINING\nSIZE 10", "", "250-mx\r\n250-PIPELINING\r\n250 SIZE 10\r\n" },
	{ { 550, 5, 7, 1 }, "a\nb", "", "550-5.7.1 a\r\n550 5.7.1 b\r\n" },
	{ { 554, 5, 7, 1 }, "no", "see x", "554-5.7.1 no\r\n554 5.7.1 see x\r\n" },
	{ { 554, 5, 7, 1 }, "no", "\\c, see x", "554 5.7.1 no, see x\r\n" },
	{ { 554, 5, 7, 1 }, "no", "one\ntwo", "554-5.7.1 no\r\n554-5.7.1 one\r\n554 5.7.1 two\r\n" },
	{ { 450, 4, 7, 1 }, "tab\tand\rcontrol\x01", "", "450 4.7.1 tab and control \r\n" },
	{ { 450, 4, 7, 123 }, "three digits", "", "450 4.7.123 three digits\r\n" },
};

int main(void)
{
	struct buf out = { 0 };
	char longest[2000];

	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
		buf_clear(&out);
		reply_format(&out, replies[i].code, str_z(replies[i].text), str_z(replies[i].footer));
		is_str(buf_str(&out), str_z(replies[i].wire), replies[i].text);
	}
	memset(longest, 'x', sizeof longest);
	buf_clear(&out);
	reply_format(&out, CODE(550, 5, 7, 1), str_n(longest, sizeof longest), STR_NONE);
	is_int((long long)out.n, 512, "a line has 512 octets at most");
	buf_done(&out);
	return done_testing();
}

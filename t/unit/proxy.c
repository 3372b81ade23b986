/* t/unit/proxy.c - PROXY protocol headers, versions 1 and 2. */
#include "mta/smtpd/proxy.h"

#include "t/unit/tap.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define ROW(text, rc) { STR_INIT(text), rc }

static const struct {
	struct str in;
	ptrdiff_t rc;
} rows[] = {
	ROW("PROXY TCP4 192.0.2.1 192.0.2.2 1234 25\r\nEHLO", 40),
	ROW("PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n", 41),
	ROW("PROXY TCP4 192.0.2.1 192.0.2.2 1234 25\r", 0),
	ROW("PRO", 0),
	ROW("", 0),
	ROW("PROXY UNKNOWN\r\n", -1),
	ROW("PROXY TCP4 192.0.2.1 192.0.2.2 1234 25\n", -1),
	ROW("PROXY TCP4 192.0.2.1 192.0.2.2 1234\r\n", -1),
	ROW("PROXY TCP4 192.0.2.1 192.0.2.2 1234 99999\r\n", -1),
	ROW("PROXY TCP4 999.0.2.1 192.0.2.2 1234 25\r\n", -1),
	ROW("PROXY TCP4 192.0.2.1 192.0.2.2 1234 25 x\r\n", -1),
	ROW("EHLO x\r\n", -1),
	ROW(SIG "\x21\x11\0\x0c" "\xc0\0\2\1\xc0\0\2\2\4\xd2\0\x19" "EHLO", 28),
	ROW(SIG "\x20\0\0\0", 16),
	ROW(SIG "\x21\x11\0\x0c" "\xc0\0\2\1", 0),
	ROW(SIG "\x21", 0),
	ROW("\r\n\r", 0),
	ROW("\r\nx", -1),
	ROW(SIG "\x31\x11\0\0", -1),
	ROW(SIG "\x22\x11\0\0", -1),
	ROW(SIG "\x21\x11\0\x04" "\xc0\0\2\1", -1),
	ROW(SIG "\x21\x31\0\x0c" "aaaabbbbccdd", -1),
	ROW(SIG "\x21\x11\xff\xff", -1),
};

static void address(struct proxy_header *h, const char *client, unsigned port)
{
	struct buf b = { 0 };

	ip_print(&b, &h->client);
	is_str(buf_str(&b), str_z(client), "client address");
	is_int(h->client_port, port, "client port");
	buf_done(&b);
}

int main(void)
{
	struct proxy_header h;
	const char *why;
	char line[200];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		why = NULL;
		is_int(proxy_parse(rows[i].in, &h, &why), rows[i].rc, "length or verdict");
		ok((why != NULL) == (rows[i].rc < 0), "a reason for a refusal alone");
		if (i == 0 || i == 12)
			address(&h, "192.0.2.1", 1234);
		if (i == 1)
			address(&h, "2001:db8::1", 1);
		if (i == 13)
			ok(h.local, "LOCAL keeps the socket's addresses");
	}
	memset(line, 'x', sizeof line);
	memcpy(line, "PROXY TCP4 ", 11);
	is_int(proxy_parse(str_n(line, sizeof line), &h, &why), -1, "an endless line is refused");
	is_int(proxy_parse(str_n(line, 106), &h, &why), 0, "but not before its longest legal form");
	return done_testing();
}

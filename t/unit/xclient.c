/* t/unit/xclient.c - attributes of XCLIENT and XFORWARD. */
#include "mta/smtpd/xclient.h"

#include "t/unit/tap.h"

static const struct {
	const char *word;
	int rc;
	enum xattr which;
	enum xvalue kind;
	const char *value;
} words[] = {
	{ "NAME=mail.example", 0, XATTR_NAME, XVALUE_GIVEN, "mail.example" },
	{ "name=mail.example", 0, XATTR_NAME, XVALUE_GIVEN, "mail.example" },
	{ "NAME=[UNAVAILABLE]", 0, XATTR_NAME, XVALUE_UNAVAILABLE, "[UNAVAILABLE]" },
	{ "NAME=[tempunavail]", 0, XATTR_NAME, XVALUE_TEMPUNAVAIL, "[tempunavail]" },
	{ "NAME=bad..name", -1, 0, 0, "" },
	{ "ADDR=192.0.2.7", 0, XATTR_ADDR, XVALUE_GIVEN, "192.0.2.7" },
	{ "ADDR=IPV6:2001:DB8::1", 0, XATTR_ADDR, XVALUE_GIVEN, "2001:db8::1" },
	{ "ADDR=999.1.1.1", -1, 0, 0, "" },
	{ "PORT=65535", 0, XATTR_PORT, XVALUE_GIVEN, "65535" },
	{ "PORT=65536", -1, 0, 0, "" },
	{ "PORT=abc", -1, 0, 0, "" },
	{ "PROTO=esmtp", 0, XATTR_PROTO, XVALUE_GIVEN, "esmtp" },
	{ "PROTO=FOO", -1, 0, 0, "" },
	{ "HELO=a+2Bb", 0, XATTR_HELO, XVALUE_GIVEN, "a+b" },
	{ "HELO=a+0Ab<c", 0, XATTR_HELO, XVALUE_GIVEN, "a?b?c" },
	{ "LOGIN=joe+40example", 0, XATTR_LOGIN, XVALUE_GIVEN, "joe@example" },
	{ "LOGIN=joe+0Aevil", -1, 0, 0, "" },
	{ "SOURCE=LOCAL", 0, XATTR_SOURCE, XVALUE_GIVEN, "LOCAL" },
	{ "SOURCE=ELSE", -1, 0, 0, "" },
	{ "NAME=", -1, 0, 0, "" },
	{ "NAME", -1, 0, 0, "" },
	{ "FOO=1", -1, 0, 0, "" },
	{ "HELO=+4", -1, 0, 0, "" },
};

int main(void)
{
	struct buf value = { 0 }, longest = { 0 };
	enum xattr which;
	enum xvalue kind;
	const char *why;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		why = NULL;
		if (!ok(xattr_parse(str_z(words[i].word), &which, &kind, &value, &why) == words[i].rc, "%s", words[i].word))
			continue;
		if (words[i].rc < 0) {
			ok(why != NULL, "and why");
			continue;
		}
		ok(which == words[i].which && kind == words[i].kind, "attribute and kind");
		is_str(buf_str(&value), str_z(words[i].value), "value");
	}
	buf_addz(&longest, "HELO=");
	for (int i = 0; i < XATTR_MAX; i++)
		buf_addc(&longest, 'x');
	ok(xattr_parse(buf_str(&longest), &which, &kind, &value, &why) == 0, "longest value");
	buf_addc(&longest, 'x');
	ok(xattr_parse(buf_str(&longest), &which, &kind, &value, &why) < 0, "one octet more");
	buf_done(&value);
	buf_done(&longest);
	return done_testing();
}

/* t/unit/dsn.c - enhanced status codes in text, NOTIFY and ORCPT values. */
#include "lib/mail/dsn.h"

#include "t/unit/tap.h"

static const struct {
	const char *text;
	size_t skip;
	const char *code;
} codes[] = {
	{ "5.1.1 User unknown", 6, "5.1.1" },
	{ "2.0.0", 5, "2.0.0" },
	{ "4.7.123 \t x", 10, "4.7.123" },
	{ "5.1.1234 x", 0, "0.0.0" },
	{ "5.1. x", 0, "0.0.0" },
	{ "3.1.1 x", 0, "0.0.0" },
	{ "5.1.1x", 0, "0.0.0" },
	{ "5.1.1-x", 0, "0.0.0" },
	{ "5", 0, "0.0.0" },
	{ "", 0, "0.0.0" },
};

static const struct {
	const char *value;
	int bits;
} notify[] = {
	{ "NEVER", DSN_NOTIFY_NEVER },
	{ "success", DSN_NOTIFY_SUCCESS },
	{ "SUCCESS,Failure,DELAY", DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY },
	{ "NEVER,DELAY", -1 },
	{ "DELAY,NEVER", -1 },
	{ "", -1 },
	{ "DELAY,", -1 },
	{ ",DELAY", -1 },
	{ "BOUNCE", -1 },
};

static const struct {
	const char *value;
	bool valid;
} orcpt[] = {
	{ "rfc822;ann@example.org", true },
	{ "rfc822;a+2Bb@example.org", true },
	{ "utf-8;\xc3\xa4@example.org", true },
	{ "rfc822;", false },
	{ ";ann@example.org", false },
	{ "ann@example.org", false },
	{ "rfc822;a b", false },
	{ "rfc822;a+2", false },
	{ "rfc822;a+0D+0AX: y", false },
	{ "rfc822;a+0Ab", false },
	{ "r c;ann", false },
};

int main(void)
{
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		struct code c = { 0 };
		struct buf b = { 0 };

		is_int((long long)dsn_parse(str_z(codes[i].text), &c), (long long)codes[i].skip, codes[i].text);
		dsn_print(&b, c);
		is_str(buf_str(&b), str_z(codes[i].code), "its code");
		buf_done(&b);
	}
	for (size_t i = 0; i < sizeof notify / sizeof *notify; i++)
		is_int(dsn_notify_parse(str_z(notify[i].value)), notify[i].bits, notify[i].value);
	for (size_t i = 0; i < sizeof orcpt / sizeof *orcpt; i++)
		ok(dsn_orcpt_valid(str_z(orcpt[i].value)) == orcpt[i].valid, "%s", orcpt[i].value);
	return done_testing();
}

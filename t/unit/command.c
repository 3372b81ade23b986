/* t/unit/command.c - the arguments of MAIL and RCPT: what is a path, what a parameter, and which 501 the rest deserves. */
#include "lib/smtp/command.h"

#include "t/unit/tap.h"

enum { FINE, BAD_SYNTAX, BAD_ADDRESS };

static const struct {
	const char *args, *keyword;
	unsigned flags;
	int want;
	const char *raw, *local, *params; /* name:value joined with '|' */
} rows[] = {
	{ "FROM:<ann@example.org>", "FROM", 0, FINE, "<ann@example.org>", "ann", "" },
	{ "from: <ann@example.org> size=10 BODY=8BITMIME", "FROM", 0, FINE, "<ann@example.org>", "ann", "size:10|BODY:8BITMIME|" },
	{ "TO:<\"a b\"@example.org>  SMTPUTF8 X=", "TO", 0, FINE, "<\"a b\"@example.org>", "\"a b\"", "SMTPUTF8:|X:|" },
	{ "TO:ann@example.org NOTIFY=a=b", "TO", 0, FINE, "ann@example.org", "ann", "NOTIFY:a=b|" },
	{ "TO :<ann@example.org>", "TO", 0, FINE, "<ann@example.org>", "ann", "" },
	{ "FROM:<> AUTH=<>", "FROM", ADDR_NULL_OK, FINE, "<>", "", "AUTH:<>|" },
	{ "FROM:<@a.example:ann@example.org>", "FROM", 0, FINE, "<@a.example:ann@example.org>", "ann", "" },
	{ "", "FROM", 0, BAD_SYNTAX, "", "", "" },
	{ "FROM", "FROM", 0, BAD_SYNTAX, "", "", "" },
	{ "FROM:", "FROM", 0, BAD_SYNTAX, "", "", "" },
	{ "FROM: ", "FROM", 0, BAD_SYNTAX, "", "", "" },
	{ "FROM ann@example.org", "FROM", 0, BAD_SYNTAX, "", "", "" },
	{ "TO:<ann@example.org>", "FROM", 0, BAD_SYNTAX, "", "", "" },
	{ "FROM:<", "FROM", ADDR_NULL_OK, BAD_ADDRESS, "", "", "" },
	{ "TO:<>", "TO", 0, BAD_ADDRESS, "", "", "" },
	{ "TO:<@>", "TO", 0, BAD_ADDRESS, "", "", "" },
	{ "TO:<a@>", "TO", 0, BAD_ADDRESS, "", "", "" },
	{ "TO:<ann@example.org>x", "TO", 0, BAD_ADDRESS, "", "", "" },
	{ "TO:<ann b@example.org>", "TO", 0, BAD_ADDRESS, "", "", "" },
	{ "TO:ann@example.org", "TO", ADDR_STRICT, BAD_ADDRESS, "", "", "" },
};

static void check_row(size_t i)
{
	struct smtp_path p = { 0 };
	struct buf b = { 0 };
	const char *why = NULL;
	bool syntax = false;
	int r = smtp_path_parse(str_z(rows[i].args), rows[i].keyword, rows[i].flags, &p, &syntax, &why);

	is_int(r == 0 ? FINE : syntax ? BAD_SYNTAX : BAD_ADDRESS, rows[i].want, rows[i].args);
	ok((r < 0) == (why != NULL), "a refusal has a reason");
	if (r == 0) {
		is_str(p.raw, str_z(rows[i].raw), "raw");
		is_str(p.addr.local, str_z(rows[i].local), "local part");
		for (size_t k = 0; k < p.param_count; k++)
			buf_addf(&b, "%.*s:%.*s|", STRF(p.params[k].name), STRF(p.params[k].value));
		is_str(buf_str(&b), str_z(rows[i].params), "parameters");
	}
	buf_done(&b);
}

static void too_many(void)
{
	struct buf b = { 0 };
	struct smtp_path p;
	const char *why;
	bool syntax = false;

	buf_addz(&b, "TO:<ann@example.org>");
	for (int i = 0; i < SMTP_PARAMS_MAX; i++)
		buf_addz(&b, " X");
	is_int(smtp_path_parse(buf_str(&b), "TO", 0, &p, &syntax, &why), 0, "as many parameters as there is room for");
	buf_addz(&b, " X");
	is_int(smtp_path_parse(buf_str(&b), "TO", 0, &p, &syntax, &why), -1, "one more");
	ok(syntax, "is a matter of syntax");
	buf_done(&b);
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_row(i);
	too_many();
	return done_testing();
}

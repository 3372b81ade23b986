/* t/unit/action.c - access(5) words: which action a table's or policy server's text is, and which code it carries. */
#include "mta/smtpd/action.h"

#include "t/unit/tap.h"

static const struct {
	const char *text;
	enum action_kind kind;
	short smtp;
	const char *rest;
} words[] = {
	{ "OK", ACTION_OK, 0, "" },
	{ "ok trailing text is ignored", ACTION_OK, 0, "trailing text is ignored" },
	{ "RELAY", ACTION_OK, 0, "" },
	{ "1234567", ACTION_OK, 0, "" },
	{ "554", ACTION_OK, 0, "" }, /* a bare number is a time stamp, not a refusal */
	{ "554 go away", ACTION_CODE, 554, "go away" },
	{ "450 4.1.1 later", ACTION_CODE, 450, "4.1.1 later" },
	{ "421 4.3.2 bye", ACTION_CODE, 421, "4.3.2 bye" },
	{ "250 fine", ACTION_LIST, 0, "250 fine" },
	{ "5544 no code", ACTION_LIST, 0, "5544 no code" },
	{ "DUNNO", ACTION_DUNNO, 0, "" },
	{ " dunno", ACTION_DUNNO, 0, "" },
	{ "", ACTION_EMPTY, 0, "" },
	{ "  ", ACTION_EMPTY, 0, "" },
	{ "REJECT", ACTION_REJECT, 0, "" },
	{ "reject  5.7.77   custom", ACTION_REJECT, 0, "5.7.77   custom" },
	{ "REJECT custom  ", ACTION_REJECT, 0, "custom  " },
	{ "DEFER_IF_PERMIT x", ACTION_DEFER_IF_PERMIT, 0, "x" },
	{ "DEFER_IF_REJECT", ACTION_DEFER_IF_REJECT, 0, "" },
	{ "HOLD", ACTION_HOLD, 0, "" },
	{ "DISCARD now", ACTION_DISCARD, 0, "now" },
	{ "FILTER smtp:[x]", ACTION_FILTER, 0, "smtp:[x]" },
	{ "REDIRECT a@b", ACTION_REDIRECT, 0, "a@b" },
	{ "BCC a@b", ACTION_BCC, 0, "a@b" },
	{ "PREPEND X-A: b c", ACTION_PREPEND, 0, "X-A: b c" },
	{ "WARN w", ACTION_WARN, 0, "w" },
	{ "INFO", ACTION_INFO, 0, "" },
	{ "permit_mynetworks, reject", ACTION_LIST, 0, "permit_mynetworks, reject" },
	{ "STRIP", ACTION_LIST, 0, "STRIP" },
};

static const struct {
	short smtp;
	const char *text;
	unsigned c, s, d;
	const char *rest;
} codes[] = {
	{ 554, "5.7.77 custom", 5, 7, 77, "custom" },
	{ 554, "4.7.77 custom", 4, 7, 77, "custom" }, /* the class is made to fit later */
	{ 554, "custom", 5, 7, 1, "custom" },
	{ 554, "5.7 custom", 5, 7, 1, "5.7 custom" },
	{ 554, "", 5, 7, 1, "" },
};

static const struct {
	short smtp;
	unsigned s, d;
	const char *klass;
	unsigned want_c, want_s, want_d;
} fits[] = {
	{ 554, 1, 1, "Sender address", 5, 1, 7 },
	{ 554, 1, 2, "Sender address", 5, 1, 8 },
	{ 554, 1, 3, "Sender address", 5, 1, 7 },
	{ 450, 1, 8, "Sender address", 4, 1, 8 },
	{ 550, 1, 9, "Sender address", 5, 1, 0 },
	{ 550, 1, 7, "Recipient address", 5, 1, 3 },
	{ 550, 1, 8, "Recipient address", 5, 1, 2 },
	{ 550, 1, 1, "Recipient address", 5, 1, 1 },
	{ 550, 1, 9, "Recipient address", 5, 1, 0 },
	{ 550, 1, 1, "Client host", 5, 0, 0 },
	{ 450, 7, 1, "Client host", 4, 7, 1 },
};

int main(void)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		struct action a = action_parse(str_z(words[i].text));

		is_int(a.kind, words[i].kind, words[i].text);
		is_int(a.smtp, words[i].smtp, "reply code");
		is_str(a.text, str_z(words[i].rest), "text");
	}
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		struct str text = str_z(codes[i].text);
		struct code got = action_code(codes[i].smtp, CODE(0, 5, 7, 1), &text);

		ok(got.smtp == codes[i].smtp && got.c == codes[i].c && got.s == codes[i].s && got.d == codes[i].d, "code in \"%s\"",
			codes[i].text);
		is_str(text, str_z(codes[i].rest), "text behind it");
	}
	for (size_t i = 0; i < sizeof fits / sizeof *fits; i++) {
		struct code code = { fits[i].smtp, 9, (unsigned short)fits[i].s, (unsigned short)fits[i].d };
		struct code got = check_fit_code(code, fits[i].klass);

		ok(got.c == fits[i].want_c && got.s == fits[i].want_s && got.d == fits[i].want_d, "x.%u.%u fits %s", fits[i].s, fits[i].d,
			fits[i].klass);
	}
	return done_testing();
}

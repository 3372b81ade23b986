/* lib/mail/dsn.c - enhanced status codes in text, and the values of NOTIFY and ORCPT. */
#include "lib/mail/dsn.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* One to three digits at the front of *rest (RFC 3463 section 2). */
static bool take_number(struct str *rest, unsigned short *out)
{
	size_t n = 0;
	unsigned v = 0;

	while (n < rest->n && is_digit(rest->p[n])) {
		if (n == 3)
			return false;
		v = v * 10 + (unsigned)(rest->p[n++] - '0');
	}
	*rest = str_skip(*rest, n);
	*out = (unsigned short)v;
	return n > 0;
}

static bool take_dot(struct str *rest)
{
	if (rest->n == 0 || rest->p[0] != '.')
		return false;
	*rest = str_skip(*rest, 1);
	return true;
}

size_t dsn_parse(struct str text, struct code *out)
{
	struct str rest = str_skip(text, 1);
	unsigned short subject, detail;

	if (text.n == 0 || (text.p[0] != '2' && text.p[0] != '4' && text.p[0] != '5'))
		return 0;
	if (!take_dot(&rest) || !take_number(&rest, &subject) || !take_dot(&rest) || !take_number(&rest, &detail))
		return 0;
	if (rest.n > 0 && rest.p[0] != ' ' && rest.p[0] != '\t')
		return 0;
	while (rest.n > 0 && (rest.p[0] == ' ' || rest.p[0] == '\t'))
		rest = str_skip(rest, 1);
	out->c = (unsigned char)(text.p[0] - '0');
	out->s = subject;
	out->d = detail;
	return text.n - rest.n;
}

void dsn_print(struct buf *out, struct code c)
{
	buf_addf(out, "%u.%u.%u", (unsigned)c.c, (unsigned)c.s, (unsigned)c.d);
}

static const struct {
	const char *word;
	int bit;
} notify_words[] = {
	{ "SUCCESS", DSN_NOTIFY_SUCCESS },
	{ "FAILURE", DSN_NOTIFY_FAILURE },
	{ "DELAY", DSN_NOTIFY_DELAY },
};

static int notify_bit(struct str word)
{
	for (size_t i = 0; i < sizeof notify_words / sizeof *notify_words; i++) {
		if (str_eqiz(word, notify_words[i].word))
			return notify_words[i].bit;
	}
	return 0;
}

int dsn_notify_parse(struct str value)
{
	int bits = 0;

	if (str_eqiz(value, "NEVER"))
		return DSN_NOTIFY_NEVER;
	if (value.n == 0 || value.p[value.n - 1] == ',')
		return -1;
	while (value.n > 0) {
		int bit = notify_bit(str_cut(&value, ','));

		if (bit == 0)
			return -1;
		bits |= bit;
	}
	return bits;
}

static bool is_type_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static int hex_digit(char c)
{
	return is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* xtext, or with octets above 127 the unitext of RFC 6533 section 3. Encoded control characters are refused: they could only
 * be meant to break a header of a notification. */
static bool xtext_valid(struct str s)
{
	while (s.n > 0) {
		unsigned char c = (unsigned char)s.p[0];
		int high, low;

		if (c <= ' ' || c == 127)
			return false;
		if (c == '+') {
			if (s.n < 3)
				return false;
			high = hex_digit(s.p[1]);
			low = hex_digit(s.p[2]);
			if (high < 0 || low < 0 || high * 16 + low < ' ' || high * 16 + low == 127)
				return false;
		}
		s = str_skip(s, c == '+' ? 3 : 1);
	}
	return true;
}

int dsn_without_success(int notify)
{
	if (notify == DSN_NOTIFY_SUCCESS)
		return DSN_NOTIFY_NEVER;
	return notify & ~DSN_NOTIFY_SUCCESS;
}

bool dsn_orcpt_valid(struct str value)
{
	ptrdiff_t semicolon = str_chr(value, ';');

	if (semicolon <= 0 || (size_t)semicolon + 1 == value.n)
		return false;
	for (ptrdiff_t i = 0; i < semicolon; i++) {
		if (!is_type_char(value.p[i]))
			return false;
	}
	return xtext_valid(str_skip(value, (size_t)semicolon + 1));
}

/* lib/mail/addr.c - taking addresses apart: extensions, quoting, xtext. Paths of SMTP are in path.c. */
#include "lib/mail/addr.h"

#include <string.h>

#include "lib/base/utf8.h"

struct addr addr_split(struct str address)
{
	ptrdiff_t at = str_rchr(address, '@');

	/* Behind the last '@' of a quoted string comes its closing quote: then it separates nothing. */
	if (at < 0 || str_chr(str_skip(address, (size_t)at), '"') >= 0)
		return (struct addr){ address, STR_NONE };
	return (struct addr){ str_sub(address, 0, (size_t)at), str_skip(address, (size_t)at + 1) };
}

static bool owner_request_special = true;

void addr_set_owner_request_special(bool special)
{
	owner_request_special = special;
}

/* Names that mean the same with and without what looks like an extension: they are never split. */
static bool is_indivisible(struct str local, const char *delimiters)
{
	static const char *const names[] = { "postmaster", "mailer-daemon", "double-bounce" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (str_eqiz(local, names[i]))
			return true;
	}
	return owner_request_special && strchr(delimiters, '-') != NULL && (str_startsi(local, STR("owner-")) || str_endsi(local, STR("-request")));
}

struct str addr_base(struct str local, const char *delimiters, struct str *ext)
{
	ptrdiff_t at = *delimiters != '\0' ? str_any(local, delimiters) : -1;

	*ext = STR_NONE;
	if (at <= 0 || is_indivisible(local, delimiters))
		return local;
	*ext = str_skip(local, (size_t)at);
	return str_sub(local, 0, (size_t)at);
}

/* Copy s without quotes and with quoted pairs resolved. */
static struct str unquoted(struct arena *a, struct str s, struct str tail)
{
	char *p = arena_alloc(a, s.n + tail.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			continue;
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		p[n++] = s.p[i];
	}
	if (tail.n > 0)
		memcpy(p + n, tail.p, tail.n);
	return str_n(p, n + tail.n);
}

struct str addr_unquote(struct arena *a, struct str address)
{
	struct addr parts = addr_split(address);

	if (str_any(parts.local, "\"\\") < 0)
		return address;
	return unquoted(a, parts.local, str_skip(address, parts.local.n));
}

bool addr_is_atext(unsigned char c)
{
	if (c <= ' ' || c == 127)
		return false;
	return c > 127 || strchr("()<>[]:;@\\,.\"", c) == NULL;
}

/* RFC 5321 Dot-string: atoms with single dots between them. */
static bool is_dot_string(struct str s)
{
	bool dot = true;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.' ? dot : !addr_is_atext((unsigned char)s.p[i]))
			return false;
		dot = s.p[i] == '.';
	}
	return !dot;
}

struct str addr_quote(struct arena *a, struct str address)
{
	struct str local = addr_split(address).local;
	struct str tail = str_skip(address, local.n);
	char *p;
	size_t n = 0;

	if (address.n == 0 || is_dot_string(local))
		return address;
	p = arena_alloc(a, 2 * local.n + tail.n + 3);
	p[n++] = '"';
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			p[n++] = '\\';
		p[n++] = local.p[i];
	}
	p[n++] = '"';
	if (tail.n > 0)
		memcpy(p + n, tail.p, tail.n);
	return str_n(p, n + tail.n);
}

static bool log_internal;

void addr_log_internal(bool internal)
{
	log_internal = internal;
}

struct str addr_log(struct arena *a, struct str address)
{
	return log_internal ? address : addr_quote(a, address);
}

struct str addr_log_original(struct arena *a, struct str address)
{
	return log_internal ? address : addr_quote_original(a, address);
}

struct str addr_quote_original(struct arena *a, struct str address)
{
	ptrdiff_t colon = str_chr(address, ':');
	struct str route = STR_NONE, quoted;

	if (address.n == 0 || address.p[0] != '@' || colon < 0)
		return addr_quote(a, address);
	route = str_sub(address, 0, (size_t)colon + 1);
	quoted = addr_quote(a, str_skip(address, route.n));
	return arena_printf(a, "%.*s%.*s", STRF(route), STRF(quoted));
}

/* ---- xtext ---- */

void addr_xtext_encode(struct buf *out, struct str in)
{
	for (size_t i = 0; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if (c <= ' ' || c >= 127 || c == '+' || c == '=')
			buf_addf(out, "+%02X", (unsigned)c);
		else
			buf_addc(out, (char)c);
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\x{HEX}" at the front of in: its octets, and the character; 0: something else. */
static size_t embedded_character(struct str in, uint32_t *v)
{
	size_t i = 3;

	if (!str_starts(in, STR("\\x{")))
		return 0;
	for (*v = 0; i < in.n && i < 3 + 6 && hex_digit(in.p[i]) >= 0; i++)
		*v = *v << 4 | (uint32_t)hex_digit(in.p[i]);
	return i > 3 && i < in.n && in.p[i] == '}' && *v <= 0x10ffff ? i + 1 : 0;
}

bool addr_unitext_decode(struct buf *out, struct str in)
{
	size_t was = out->n;

	while (in.n > 0) {
		uint32_t v = (unsigned char)in.p[0];
		size_t n = v == '\\' ? embedded_character(in, &v) : 1;

		if (n > 1)
			utf8_put(out, v);
		else if (n == 1)
			buf_addc(out, in.p[0]);
		else
			break;
		in = str_skip(in, n);
	}
	if (in.n == 0 && utf8_valid(str_n(out->p + was, out->n - was)))
		return true;
	buf_truncate(out, was);
	return false;
}

bool addr_xtext_decode(struct buf *out, struct str in)
{
	size_t was = out->n;

	while (in.n > 0) {
		unsigned char c = (unsigned char)in.p[0];
		int high = in.n >= 3 ? hex_digit(in.p[1]) : -1, low = in.n >= 3 ? hex_digit(in.p[2]) : -1;

		if (c <= ' ' || c >= 127 || (c == '+' && (high < 0 || low < 0))) {
			buf_truncate(out, was);
			return false;
		}
		buf_addc(out, (char)(c == '+' ? high * 16 + low : c));
		in = str_skip(in, c == '+' ? 3 : 1);
	}
	return true;
}

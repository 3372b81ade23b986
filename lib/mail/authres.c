/* lib/mail/authres.c - the Authentication-Results field, RFC 8601. Values come out of strangers' mail. */
#include "lib/mail/authres.h"

#include <string.h>

#include "lib/mail/addr.h"
#include "lib/mail/header.h"

/* Blanks, folds and nested comments off the front (CFWS, RFC 5322 section 3.2.2). */
static struct str skip_cfws(struct str s)
{
	size_t depth = 0, i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (depth > 0 && c == '\\')
			i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && strchr(" \t\r\n", c) == NULL)
			break;
	}
	return str_skip(s, i);
}

static void unquote(struct str s, struct buf *out)
{
	for (size_t i = 1; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		buf_addc(out, s.p[i]);
	}
}

/* ---- reading ---- */

static bool is_token_char(char c)
{
	return c > ' ' && c <= '~' && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* What is left of a field, and whether all before it was right. */
struct reader {
	struct arena *a;
	struct str rest;
};

static void skip(struct reader *r)
{
	r->rest = skip_cfws(r->rest);
}

static bool take_char(struct reader *r, char c)
{
	skip(r);
	if (r->rest.n == 0 || r->rest.p[0] != c)
		return false;
	r->rest = str_skip(r->rest, 1);
	return true;
}

/* A run of bytes that good() likes, from where the reader is. */
static struct str take_run(struct reader *r, bool (*good)(char c))
{
	size_t n = 0;
	struct str run;

	while (n < r->rest.n && good(r->rest.p[n]))
		n++;
	run = str_sub(r->rest, 0, n);
	r->rest = str_skip(r->rest, n);
	return run;
}

/* "text"; false: it does not end. */
static bool take_quoted(struct reader *r, struct str *out)
{
	struct buf text = { 0 };
	size_t i = 1;

	while (i < r->rest.n && r->rest.p[i] != '"') {
		if (r->rest.p[i] == '\\' && i + 1 < r->rest.n)
			i++;
		buf_addc(&text, r->rest.p[i++]);
	}
	*out = arena_dup(r->a, buf_str(&text));
	buf_done(&text);
	if (i >= r->rest.n)
		return false;
	r->rest = str_skip(r->rest, i + 1);
	return true;
}

/* A property's value may be an address, whose local part and domain are no tokens. */
static bool is_value_char(char c)
{
	return is_token_char(c) || (c != '\0' && strchr("@:/=[]?", c) != NULL) || (unsigned char)c > 127;
}

static bool take_word(struct reader *r, bool (*good)(char c), struct str *out)
{
	skip(r);
	if (r->rest.n > 0 && r->rest.p[0] == '"')
		return take_quoted(r, out);
	*out = take_run(r, good);
	return out->n > 0;
}

/* "local part"@domain: the domain goes behind the quoted string. */
static bool take_value(struct reader *r, struct str *out)
{
	struct str domain;

	if (!take_word(r, is_value_char, out))
		return false;
	if (r->rest.n > 0 && r->rest.p[0] == '@') {
		domain = take_run(r, is_value_char);
		*out = arena_printf(r->a, "%.*s%.*s", STRF(*out), STRF(domain));
	}
	return true;
}

static bool is_keyword_char(char c)
{
	return is_token_char(c) && c != '.';
}

/* "reason=value" or "ptype.property=value". */
static bool take_property(struct reader *r, struct authres_result *result)
{
	struct authres_property p = { .type = take_run(r, is_keyword_char) };

	if (p.type.n == 0)
		return false;
	if (take_char(r, '.')) {
		skip(r);
		p.name = take_run(r, is_token_char);
		if (p.name.n == 0)
			return false;
	}
	if (!take_char(r, '=') || !take_value(r, &p.value))
		return false;
	if (p.name.n == 0) {
		result->reason = p.value;
		return str_eqiz(p.type, "reason");
	}
	if (result->property_count == AUTHRES_PROPERTIES_MAX)
		return false;
	result->properties[result->property_count++] = p;
	return true;
}

/* "method/version = result", then properties, up to the next semicolon. */
static bool take_result(struct reader *r, struct authres_result *result)
{
	struct str method, word, before = r->rest;

	method = take_run(r, is_token_char);
	if (method.n == 0 || (take_char(r, '/') && !take_word(r, is_token_char, &word)) || !take_char(r, '='))
		return false;
	skip(r);
	word = take_run(r, is_token_char);
	result->method = arena_lower(r->a, method);
	result->result = arena_lower(r->a, word);
	for (skip(r); word.n > 0 && r->rest.n > 0 && r->rest.p[0] != ';'; skip(r))
		if (!take_property(r, result))
			return false;
	result->text = str_trim(str_sub(before, 0, before.n - r->rest.n));
	return word.n > 0;
}

/* RFC 8601 section 2.7: results that mean something. A method of its own has words of its own. */
static bool is_known(const struct authres_result *r)
{
	static const char *const methods[] = { "dkim", "domainkeys", "spf", "sender-id", "dmarc", "arc", "auth", "iprev" };
	static const char *const words[] = { "none", "pass", "fail", "policy", "neutral", "temperror", "permerror", "softfail",
		"hardfail" };

	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
		if (!str_eqz(r->method, methods[i]))
			continue;
		for (size_t j = 0; j < sizeof words / sizeof *words; j++)
			if (str_eqz(r->result, words[j]))
				return true;
		return false;
	}
	return true;
}

static size_t room_for_results(struct str s)
{
	size_t n = 1;

	for (size_t i = 0; i < s.n && n < AUTHRES_RESULTS_MAX; i++)
		n += s.p[i] == ';';
	return n;
}

static bool take_results(struct reader *r, struct authres *out)
{
	size_t room = room_for_results(r->rest);

	out->results = arena_alloc(r->a, room * sizeof *out->results);
	while (take_char(r, ';')) {
		struct authres_result *result = &out->results[out->count];

		skip(r);
		if (r->rest.n == 0) /* a semicolon at the end: seen often */
			break;
		if (out->count == 0 && str_startsi(r->rest, STR("none")) && skip_cfws(str_skip(r->rest, 4)).n == 0) {
			r->rest = STR_NONE;
			return true;
		}
		if (out->count == room || !take_result(r, result) || !is_known(result))
			return false;
		out->count++;
	}
	skip(r);
	return r->rest.n == 0;
}

bool authres_parse(struct arena *a, struct str value, struct authres *out)
{
	struct reader r = { a, value };
	struct str version;

	*out = (struct authres){ 0 };
	if (!take_word(&r, is_value_char, &out->id) || out->id.n == 0)
		return false;
	skip(&r);
	version = take_run(&r, is_token_char);
	if (version.n > 0 && !str_eqz(version, "1"))
		return false;
	skip(&r);
	return r.rest.n == 0 || take_results(&r, out);
}

struct str authres_property(const struct authres_result *r, const char *type, const char *name)
{
	for (size_t i = 0; i < r->property_count; i++)
		if (str_eqiz(r->properties[i].type, type) && str_eqiz(r->properties[i].name, name))
			return r->properties[i].value;
	return STR_NONE;
}

bool authres_claims(struct str value, struct str id)
{
	struct buf name = { 0 };
	struct str s = skip_cfws(value);
	bool same;

	if (s.n > 0 && s.p[0] == '"') {
		unquote(s, &name);
	} else {
		ptrdiff_t end = str_any(s, "; \t\r\n(");

		buf_add(&name, end < 0 ? s : str_sub(s, 0, (size_t)end));
	}
	same = str_eqi(buf_str(&name), id);
	buf_done(&name);
	return same;
}

/* ---- writing ---- */

/* RFC 2045 section 5.1. */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char(s.p[i]))
			return false;
	return s.n > 0;
}

void authres_add_value(struct buf *out, struct str value)
{
	struct buf safe = { 0 };
	struct str s;

	buf_add_safe(&safe, value);
	s = buf_str(&safe);
	if (is_token(s)) {
		buf_add(out, s);
	} else {
		buf_addc(out, '"');
		for (size_t i = 0; i < s.n; i++)
			buf_addf(out, "%s%c", s.p[i] == '"' || s.p[i] == '\\' ? "\\" : "", s.p[i]);
		buf_addc(out, '"');
	}
	buf_done(&safe);
}

void authres_add_address(struct buf *out, struct str value)
{
	struct addr parts = addr_split(value);
	bool plain = value.n > 0 && (parts.local.n > 0 || parts.domain.n == 0) && (parts.domain.n == 0 || addr_hostname_valid(parts.domain));

	for (size_t i = 0; i < parts.local.n; i++)
		plain = plain && is_token_char(parts.local.p[i]);
	if (plain)
		buf_add(out, value);
	else
		authres_add_value(out, value);
}

void authres_add_comment(struct buf *out, struct str text)
{
	buf_addc(out, ' ');
	header_add_comment(out, text);
}

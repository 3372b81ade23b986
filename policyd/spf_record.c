/* policyd/spf_record.c - one pass over the terms of an SPF record. */
#include "policyd/spf_record.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool spf_record_selects(struct str text)
{
	return str_startsi(text, STR("v=spf1")) && (text.n == 6 || text.p[6] == ' ');
}

/* The inside of %{...}: letter, digits, "r", delimiters (section 7.1). */
static bool macro_valid(struct str m, const char *letters)
{
	size_t i = 1, digits = 0;

	if (m.n == 0 || !is_alpha(m.p[0]) || strchr(letters, m.p[0] | 0x20) == NULL)
		return false;
	while (i < m.n && is_digit(m.p[i]) && digits < 3) {
		i++;
		digits++;
	}
	if (digits > 0 && (digits == 3 || (m.p[1] == '0' && (digits == 1 || m.p[2] == '0'))))
		return false;
	if (i < m.n && (m.p[i] | 0x20) == 'r')
		i++;
	while (i < m.n && strchr(".-+,/_=", m.p[i]) != NULL)
		i++;
	return i == m.n;
}

/* One macro-expand at the front of s, which begins with '%': its size, 0 when it is none. */
static size_t macro_size(struct str s, const char *letters)
{
	ptrdiff_t end;

	if (s.n >= 2 && (s.p[1] == '%' || s.p[1] == '_' || s.p[1] == '-'))
		return 2;
	end = s.n >= 2 && s.p[1] == '{' ? str_chr(s, '}') : -1;
	return end > 0 && macro_valid(str_sub(s, 2, (size_t)end - 2), letters) ? (size_t)end + 1 : 0;
}

/* macro-string; *tail is what follows the last macro. */
static bool macro_string_valid(struct str s, const char *letters, bool blanks, struct str *tail)
{
	*tail = s;
	while (s.n > 0) {
		size_t n = 1;

		if (s.p[0] == '%') {
			n = macro_size(s, letters);
			if (n == 0)
				return false;
			*tail = str_skip(s, n);
		} else if ((s.p[0] < 0x21 && !(blanks && s.p[0] == ' ')) || s.p[0] > 0x7e) {
			return false;
		}
		s = str_skip(s, n);
	}
	return true;
}

/* Letters, digits and inner hyphens, not all of them digits (section 7.1, toplabel). */
static bool toplabel_valid(struct str label)
{
	bool odd = false;

	for (size_t i = 0; i < label.n; i++) {
		if (!is_alpha(label.p[i]) && !is_digit(label.p[i]) && label.p[i] != '-')
			return false;
		odd |= !is_digit(label.p[i]);
	}
	return odd && label.p[0] != '-' && label.p[label.n - 1] != '-';
}

/* domain-spec = macro-string domain-end; domain-end = "." toplabel [ "." ] / macro-expand. */
static bool domain_spec_valid(struct str s)
{
	struct str tail;
	ptrdiff_t dot;

	if (s.n == 0 || s.n > SPF_SPEC_MAX || !macro_string_valid(s, "slodiphv", false, &tail))
		return false;
	if (tail.n == 0)
		return true;
	if (tail.p[tail.n - 1] == '.')
		tail.n--;
	dot = str_rchr(tail, '.');
	return dot >= 0 && toplabel_valid(str_skip(tail, (size_t)dot + 1));
}

bool spf_explanation_valid(struct str text)
{
	struct str tail;

	return macro_string_valid(text, "slodiphvcrt", true, &tail);
}

/* "/24" digits without leading zeros, up to max. */
static bool bits_valid(struct str s, unsigned max, unsigned *out)
{
	uint64_t n;

	if (s.n == 0 || (s.n > 1 && s.p[0] == '0') || !str_to_u64(s, max, &n))
		return false;
	*out = (unsigned)n;
	return true;
}

static bool all_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_digit(s.p[i]))
			return false;
	return true;
}

/* dual-cidr-length off the end of *spec: "/24", "//64", "/24//64". */
static bool cut_dual_bits(struct str *spec, struct spf_term *t)
{
	ptrdiff_t at = str_rchr(*spec, '/');

	if (at > 0 && spec->p[at - 1] == '/' && all_digits(str_skip(*spec, (size_t)at + 1))) {
		if (!bits_valid(str_skip(*spec, (size_t)at + 1), 128, &t->bits6))
			return false;
		*spec = str_sub(*spec, 0, (size_t)at - 1);
		at = str_rchr(*spec, '/');
	}
	if (at >= 0 && all_digits(str_skip(*spec, (size_t)at + 1))) {
		if (!bits_valid(str_skip(*spec, (size_t)at + 1), 32, &t->bits4))
			return false;
		*spec = str_sub(*spec, 0, (size_t)at);
	}
	return true;
}

static bool address_valid(struct str s, int family)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char octets[16];

	if (s.n == 0 || s.n >= sizeof text)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, octets) == 1;
}

static bool parse_network(struct str rest, struct spf_term *t)
{
	bool v4 = t->mechanism == SPF_MECH_IP4;
	ptrdiff_t slash = str_chr(rest, '/');

	if (slash >= 0 && !bits_valid(str_skip(rest, (size_t)slash + 1), v4 ? 32 : 128, v4 ? &t->bits4 : &t->bits6))
		return false;
	t->spec = slash >= 0 ? str_sub(rest, 0, (size_t)slash) : rest;
	return address_valid(t->spec, v4 ? AF_INET : AF_INET6);
}

enum { SPEC_NONE, SPEC_OPTIONAL, SPEC_REQUIRED, SPEC_NETWORK };

static const struct {
	const char *name;
	enum spf_mechanism mechanism;
	int spec;
	bool bits;
} mechanisms[] = {
	{ "a", SPF_MECH_A, SPEC_OPTIONAL, true },
	{ "all", SPF_MECH_ALL, SPEC_NONE, false },
	{ "exists", SPF_MECH_EXISTS, SPEC_REQUIRED, false },
	{ "include", SPF_MECH_INCLUDE, SPEC_REQUIRED, false },
	{ "ip4", SPF_MECH_IP4, SPEC_NETWORK, false },
	{ "ip6", SPF_MECH_IP6, SPEC_NETWORK, false },
	{ "mx", SPF_MECH_MX, SPEC_OPTIONAL, true },
	{ "ptr", SPF_MECH_PTR, SPEC_OPTIONAL, false },
};

/* What follows a mechanism's name: [":" domain-spec] [dual-cidr-length] or ":" network. */
static bool parse_argument(size_t row, struct str rest, struct spf_term *t)
{
	bool colon = rest.n > 0 && rest.p[0] == ':';

	if (mechanisms[row].spec == SPEC_NETWORK)
		return colon && parse_network(str_skip(rest, 1), t);
	if (mechanisms[row].bits && !cut_dual_bits(&rest, t))
		return false;
	if (rest.n == 0)
		return mechanisms[row].spec != SPEC_REQUIRED && !colon;
	t->spec = str_skip(rest, 1);
	return colon && mechanisms[row].spec != SPEC_NONE && domain_spec_valid(t->spec);
}

static bool parse_mechanism(struct str word, struct spf_term *t)
{
	ptrdiff_t end;
	struct str name;

	*t = (struct spf_term){ .qualifier = '+', .bits4 = 32, .bits6 = 128, .text = word };
	if (strchr("+-~?", word.p[0]) != NULL) {
		t->qualifier = word.p[0];
		word = str_skip(word, 1);
	}
	end = str_any(word, ":/");
	name = end < 0 ? word : str_sub(word, 0, (size_t)end);
	for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
		if (str_eqiz(name, mechanisms[i].name)) {
			t->mechanism = mechanisms[i].mechanism;
			return parse_argument(i, str_skip(word, name.n), t);
		}
	return false;
}

/* name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ) before "=": the word is a modifier. Its size, 0 when it is none. */
static size_t modifier_name(struct str word)
{
	size_t n = 0;

	while (n < word.n && (is_alpha(word.p[n]) || (n > 0 && (is_digit(word.p[n]) || strchr("-_.", word.p[n]) != NULL))))
		n++;
	return n > 0 && n < word.n && word.p[n] == '=' ? n : 0;
}

static bool parse_modifier(struct str word, size_t name_size, struct spf_record *out, bool *has_redirect, bool *has_exp)
{
	struct str name = str_sub(word, 0, name_size), value = str_skip(word, name_size + 1), tail;
	bool is_redirect = str_eqiz(name, "redirect"), is_exp = str_eqiz(name, "exp");
	bool *seen = is_redirect ? has_redirect : has_exp;

	if (!is_redirect && !is_exp)
		return macro_string_valid(value, "slodiphvcrt", false, &tail);
	if (*seen || !domain_spec_valid(value))
		return false;
	*seen = true;
	*(is_redirect ? &out->redirect : &out->exp) = value;
	return true;
}

bool spf_record_parse(struct arena *a, struct str text, struct spf_record *out, const char **why)
{
	struct str rest = str_skip(text, 6), word; /* "v=spf1" */
	bool has_redirect = false, has_exp = false;

	*out = (struct spf_record){ .terms = arena_alloc(a, (text.n / 2 + 1) * sizeof *out->terms) };
	*why = "the record is too long";
	if (text.n > SPF_RECORD_MAX)
		return false;
	*why = "syntax error in the record";
	while ((word = str_word(&rest, " ")).n > 0) {
		size_t name_size = modifier_name(word);

		if (name_size > 0 ? !parse_modifier(word, name_size, out, &has_redirect, &has_exp)
				  : !parse_mechanism(word, &out->terms[out->count++]))
			return false;
	}
	return true;
}

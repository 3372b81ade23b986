/* lib/mail/path.c - the path of MAIL and RCPT, and what a domain may look like. Declared in addr.h. */
#include <string.h>

#include "lib/base/utf8.h"
#include "lib/mail/addr.h"
#include "lib/mail/ip.h"

#define LABEL_MAX 63
#define DOMAIN_MAX 255

static bool is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* One label: letters, digits, '_', '-' inside; with utf8 also the octets of U-labels (RFC 5890). */
static bool label_valid(struct str label, bool utf8)
{
	if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		unsigned char c = (unsigned char)label.p[i];

		if (!is_alnum(c) && c != '-' && c != '_' && !(utf8 && c > 127))
			return false;
	}
	return true;
}

/* "192.0.2.1" is an address that lost its brackets, not a name. */
static bool is_numeric(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] != '.' && (name.p[i] < '0' || name.p[i] > '9'))
			return false;
	}
	return true;
}

static bool hostname_valid(struct str name, bool utf8)
{
	if (name.n == 0 || name.n > DOMAIN_MAX || name.p[name.n - 1] == '.' || is_numeric(name))
		return false;
	while (name.n > 0) {
		if (!label_valid(str_cut(&name, '.'), utf8))
			return false;
	}
	return true;
}

bool addr_hostname_valid(struct str name)
{
	return hostname_valid(name, false);
}

bool addr_literal(struct str domain, struct str *ip)
{
	struct ip parsed;
	struct str inside;

	if (domain.n < 3 || domain.p[0] != '[' || domain.p[domain.n - 1] != ']')
		return false;
	inside = str_sub(domain, 1, domain.n - 2);
	/* A colon without the tag is what people write and no grammar allows; it is not ambiguous. */
	if (!ip_parse(inside, &parsed))
		return false;
	*ip = str_startsi(inside, STR("IPv6:")) ? str_skip(inside, 5) : inside;
	return true;
}

bool addr_domain_valid(struct str domain)
{
	struct str ip;

	return addr_literal(domain, &ip) || addr_hostname_valid(domain);
}

bool addr_domain_valid_utf8(struct str domain)
{
	return addr_domain_valid(domain) || hostname_valid(domain, true);
}

/* ---- paths ---- */

struct path {
	struct str rest;
	unsigned flags;
	bool bracket;
	const char **why;
};

static bool refuse(struct path *p, const char *why)
{
	*p->why = why;
	return false;
}

static bool at(const struct path *p, char c)
{
	return p->rest.n > 0 && p->rest.p[0] == c;
}

/* Octets of the comment at the front of s, nested ones included, or 0 when it has no end. */
static size_t comment_size(struct str s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			return i + 1;
		else if (s.p[i] == '\\')
			i++;
	}
	return 0;
}

/* Blanks at the edges of a path, and the comments of RFC 822 unless STRICT. */
static void skip_blanks(struct path *p)
{
	for (;;) {
		size_t n = at(p, ' ') || at(p, '\t') ? 1 : 0;

		if (at(p, '(') && !(p->flags & ADDR_STRICT))
			n = comment_size(p->rest);
		if (n == 0)
			return;
		p->rest = str_skip(p->rest, n);
	}
}

/* "@a,@b:" - RFC 5321 appendix C: accepted, and forgotten. */
static bool skip_route(struct path *p)
{
	ptrdiff_t colon = str_chr(p->rest, ':');
	struct str route;

	if (!at(p, '@'))
		return true;
	if (colon < 0)
		return refuse(p, "Source route without mailbox");
	route = str_sub(p->rest, 0, (size_t)colon);
	while (route.n > 0) {
		struct str hop = str_trim(str_cut(&route, ','));

		if (hop.n < 2 || hop.p[0] != '@' || !addr_domain_valid(str_skip(hop, 1)))
			return refuse(p, "Bad source route");
	}
	p->rest = str_skip(p->rest, (size_t)colon + 1);
	return true;
}

/* Octets of the quoted string at the front of s, or 0. RFC 5321 Quoted-string: printable, no line ends. */
static size_t quoted_size(struct str s, bool utf8)
{
	for (size_t i = 1; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"')
			return i + 1;
		if (c == '\\' && ++i == s.n)
			return 0;
		c = (unsigned char)s.p[i];
		if (c < ' ' || c == 127 || (c > 127 && !utf8))
			return 0;
	}
	return 0;
}

/* Octets that stand in a bare local part. Without STRICT also control characters: not worth a lost message, and quoted on the way out.
 * The ones that could break a line are never taken. */
static bool is_local_char(unsigned char c, unsigned flags)
{
	if (c > 127)
		return flags & ADDR_UTF8;
	if (c < ' ' && !(flags & ADDR_STRICT))
		return c != '\0' && c != '\t' && c != '\r' && c != '\n';
	return addr_is_atext(c);
}

/* A run of atoms and dots. Dots in odd places are common in the wild and harmless: only STRICT minds. */
static size_t dot_string_size(struct str s, unsigned flags)
{
	bool dot = true;
	size_t i;

	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '.' ? dot && (flags & ADDR_STRICT) : !is_local_char(c, flags))
			break;
		dot = c == '.';
	}
	return dot && (flags & ADDR_STRICT) ? 0 : i;
}

/* Local part: RFC 5321's one word, or the obsolete "word"."word" of RFC 822. */
static bool take_local(struct path *p, struct str *local)
{
	struct str from = p->rest;
	size_t used = 0;

	for (;;) {
		size_t n;

		if (at(p, '"'))
			n = quoted_size(p->rest, p->flags & ADDR_UTF8);
		else
			n = dot_string_size(p->rest, p->flags);
		if (n == 0)
			break;
		used += n;
		p->rest = str_skip(p->rest, n);
		if (p->flags & ADDR_STRICT)
			break;
	}
	*local = str_sub(from, 0, used);
	return used > 0 || refuse(p, at(p, '"') ? "Bad quoted string in local part" : "Missing or bad local part");
}

static bool is_domain_end(unsigned char c)
{
	return c <= ' ' || c == '>' || c == ',' || c == ';' || c == '<' || c == '"' || c == '(';
}

static bool take_domain(struct path *p, struct str *domain)
{
	struct str name, ip;
	struct ip number;
	size_t n = 0;

	while (n < p->rest.n && !is_domain_end((unsigned char)p->rest.p[n]))
		n++;
	*domain = name = str_sub(p->rest, 0, n);
	p->rest = str_skip(p->rest, n);
	if (name.n > 0 && name.p[0] == '[')
		return addr_literal(name, &ip) || refuse(p, "Bad address literal");
	if (name.n > 1 && name.p[name.n - 1] == '.' && !(p->flags & ADDR_STRICT))
		name.n--; /* a trailing dot is the rewriter's to remove */
	if (is_numeric(name) && ip_parse(name, &number) && !(p->flags & ADDR_STRICT))
		return true; /* resolve_numeric_domain tells whether it is one */
	return hostname_valid(name, p->flags & ADDR_UTF8) || refuse(p, "Bad domain name");
}

/* "a@b@c": what stands before the last '@' is the local part, as Postfix has it; whether to route it is the resolver's question. */
static void take_earlier_ats(struct path *p, struct str *local)
{
	struct str from = str_n(local->p, local->n + p->rest.n);

	while (at(p, '@') && !(p->flags & ADDR_STRICT)) {
		size_t n = dot_string_size(str_skip(p->rest, 1), p->flags);

		if (n == 0 || n + 1 >= p->rest.n || p->rest.p[n + 1] != '@')
			return;
		p->rest = str_skip(p->rest, n + 1);
		*local = str_sub(from, 0, local->n + n + 1);
	}
}

/* "<@domain>" */
static bool is_domain_alone(const struct path *p)
{
	ptrdiff_t end = str_chr(p->rest, '>');

	return p->bracket && at(p, '@') && !(p->flags & ADDR_STRICT) && end > 1 && str_any(str_sub(p->rest, 1, (size_t)end - 1), ":,@") < 0;
}

static bool take_mailbox(struct path *p, struct addr *out)
{
	if (p->rest.n == 0 || (p->bracket && at(p, '>')))
		return (p->bracket && (p->flags & ADDR_NULL_OK)) || refuse(p, "Empty address");
	if (is_domain_alone(p)) {
		p->rest = str_skip(p->rest, 1);
		return take_domain(p, &out->domain);
	}
	if (!skip_route(p))
		return false;
	skip_blanks(p);
	if (!take_local(p, &out->local))
		return false;
	take_earlier_ats(p, &out->local);
	if (!at(p, '@'))
		return true;
	p->rest = str_skip(p->rest, 1);
	return take_domain(p, &out->domain);
}

static bool parse(struct path *p, struct addr *out)
{
	p->bracket = at(p, '<');
	if (!p->bracket && (p->flags & ADDR_STRICT))
		return refuse(p, "Address must be enclosed in <>");
	if (p->bracket) {
		p->rest = str_skip(p->rest, 1);
		skip_blanks(p);
	}
	if (!take_mailbox(p, out))
		return false;
	if (p->bracket) {
		skip_blanks(p);
		if (!at(p, '>'))
			return refuse(p, "Missing > or junk in address");
		p->rest = str_skip(p->rest, 1);
	}
	return p->rest.n == 0 || at(p, ' ') || at(p, '\t') || refuse(p, "Junk after address");
}

ptrdiff_t addr_parse_path(struct str in, unsigned flags, struct addr *out, const char **why)
{
	struct path p = { .rest = in, .flags = flags, .why = why };
	struct addr found = { STR_NONE, STR_NONE };
	size_t used;

	if (!parse(&p, &found))
		return -1;
	used = in.n - p.rest.n;
	if (used > ADDR_PATH_MAX || ((flags & ADDR_UTF8) && !utf8_valid(str_sub(in, 0, used)))) {
		*why = used > ADDR_PATH_MAX ? "Path too long" : "Bad UTF-8 in address";
		return -1;
	}
	*out = found;
	return (ptrdiff_t)used;
}

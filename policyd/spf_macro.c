/* policyd/spf_macro.c - "%{ir}.%{l1r-}._spf.%{d2}" with a message's facts filled in. */
#include "policyd/spf_macro.h"

#include <string.h>

#include "lib/base/clock.h"

#define NAME_OCTETS 253
#define TEXT_OCTETS 512
#define GROWTH_MAX 16384 /* octets at which expansion stops; a record of 8 KiB has room for thousands of %{s} */
#define PARTS_MAX 256

struct macro {
	char letter;
	bool escape, reverse;
	size_t keep; /* parts from the right; 0: all */
	struct str delimiters;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The inside of %{...}, already known to be well formed. */
static struct macro parse(struct str m)
{
	struct macro out = { .letter = (char)(m.p[0] | 0x20), .escape = (m.p[0] & 0x20) == 0, .delimiters = STR(".") };

	m = str_skip(m, 1);
	while (m.n > 0 && is_digit(m.p[0])) {
		out.keep = out.keep * 10 + (size_t)(m.p[0] - '0');
		m = str_skip(m, 1);
	}
	if (m.n > 0 && (m.p[0] | 0x20) == 'r') {
		out.reverse = true;
		m = str_skip(m, 1);
	}
	if (m.n > 0)
		out.delimiters = m;
	return out;
}

static void add_dotted_client(struct buf *out, const struct ip *ip)
{
	if (ip->v4) {
		ip_print(out, ip);
		return;
	}
	for (int i = 0; i < 16; i++)
		buf_addf(out, "%s%X.%X", i > 0 ? "." : "", ip->b[i] >> 4, ip->b[i] & 15u);
}

static bool is_below(struct str name, struct str domain)
{
	return name.n > domain.n + 1 && str_endsi(name, domain) && name.p[name.n - domain.n - 1] == '.';
}

/* %{p}: the client's name if it is the domain, else one below it, else any, else "unknown". */
static struct str client_name(struct spf_dns *d, struct str domain)
{
	spf_dns_client_names(d);
	for (size_t i = 0; i < d->name_count; i++)
		if (str_eqi(d->names[i], domain))
			return d->names[i];
	for (size_t i = 0; i < d->name_count; i++)
		if (is_below(d->names[i], domain))
			return d->names[i];
	return d->name_count > 0 ? d->names[0] : STR("unknown");
}

static void add_value(struct buf *out, const struct spf_values *v, struct str domain, char letter)
{
	switch (letter) {
	case 's':
		buf_addf(out, "%.*s@%.*s", STRF(v->sender_local), STRF(v->sender_domain));
		break;
	case 'l':
		buf_add(out, v->sender_local);
		break;
	case 'o':
		buf_add(out, v->sender_domain);
		break;
	case 'd':
		buf_add(out, domain);
		break;
	case 'i':
		add_dotted_client(out, &v->dns->client);
		break;
	case 'p':
		buf_add(out, client_name(v->dns, domain));
		break;
	case 'v':
		buf_addz(out, v->dns->client.v4 ? "in-addr" : "ip6");
		break;
	case 'h':
		buf_add(out, v->helo);
		break;
	case 'c':
		ip_print(out, &v->dns->client);
		break;
	case 'r':
		buf_add(out, v->receiver.n > 0 ? v->receiver : STR("unknown"));
		break;
	case 't':
		buf_addf(out, "%lld", (long long)(clock_wall_us() / 1000000));
		break;
	}
}

/* Split at the delimiters, turn round, keep the rightmost, join with dots. */
static void add_transformed(struct buf *out, const struct macro *m, struct str value)
{
	struct str parts[PARTS_MAX];
	size_t count = 0, begin = 0, first;

	for (size_t i = 0; i <= value.n && count < PARTS_MAX; i++)
		if (i == value.n || memchr(m->delimiters.p, value.p[i], m->delimiters.n) != NULL) {
			parts[count++] = str_sub(value, begin, i - begin);
			begin = i + 1;
		}
	first = m->keep > 0 && m->keep < count ? count - m->keep : 0;
	for (size_t i = first; i < count; i++) {
		if (i > first)
			buf_addc(out, '.');
		buf_add(out, parts[m->reverse ? count - 1 - i : i]);
	}
}

/* RFC 3986 section 2.3: everything but unreserved characters. */
static void add_escaped(struct buf *out, struct str s)
{
	static const char unreserved[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\0' && strchr(unreserved, s.p[i]) != NULL)
			buf_addc(out, s.p[i]);
		else
			buf_addf(out, "%%%02X", (unsigned char)s.p[i]);
	}
}

static void add_macro(struct buf *out, const struct spf_values *v, struct str domain, struct str inside)
{
	struct macro m = parse(inside);
	struct buf value = { 0 }, changed = { 0 };

	add_value(&value, v, domain, m.letter);
	add_transformed(&changed, &m, buf_str(&value));
	if (m.escape)
		add_escaped(out, buf_str(&changed));
	else
		buf_add(out, buf_str(&changed));
	buf_done(&value);
	buf_done(&changed);
}

/* One macro-expand at the front of text, which begins with '%'. Returns its size. */
static size_t add_expand(struct buf *out, const struct spf_values *v, struct str domain, struct str text)
{
	ptrdiff_t end = str_chr(text, '}');

	if (text.n >= 2 && text.p[1] == '{' && end > 2) {
		add_macro(out, v, domain, str_sub(text, 2, (size_t)end - 2));
		return (size_t)end + 1;
	}
	buf_addz(out, text.n >= 2 && text.p[1] == '-' ? "%20" : text.n >= 2 && text.p[1] == '_' ? " " : "%");
	return 2;
}

static struct str shorten_name(struct str name)
{
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	while (name.n > NAME_OCTETS && str_chr(name, '.') >= 0)
		str_cut(&name, '.');
	return name;
}

void spf_macro_expand(struct arena *a, const struct spf_values *v, struct str domain, struct str text, bool as_name, struct str *out)
{
	struct buf b = { 0 };

	while (text.n > 0 && b.n < GROWTH_MAX) {
		size_t n = 1;

		if (text.p[0] == '%')
			n = add_expand(&b, v, domain, text);
		else
			buf_addc(&b, text.p[0]);
		text = str_skip(text, n);
	}
	*out = arena_dup(a, as_name ? shorten_name(buf_str(&b)) : str_sub(buf_str(&b), 0, TEXT_OCTETS));
	buf_done(&b);
}

/* mta/smtpd/origin.c - behind trusted_hops: the client that a chain of our own relays took the message from, as their Received fields tell. */
#include "lib/base/log.h"
#include "lib/mail/header.h"
#include "mta/smtpd/data.h"
#include "mta/smtpd/settings.h"

#define HOPS_MAX 20 /* relays of one's own, one behind the other */

static bool is_trusted(struct str addr)
{
	struct err e = ERR_INIT;

	return matchlist_addr(cf.trusted_hops, addr, &e) == TABLE_FOUND;
}

/* The first "[address]" in text; what stands before it goes to *before. An address behind "=" is what the client said of itself (Exim). */
static bool bracketed(struct str text, struct str *before, struct ip *out)
{
	for (size_t i = 0; i < text.n; i++) {
		struct str rest = str_skip(text, i + 1);
		ptrdiff_t end = str_chr(rest, ']');

		if (text.p[i] != '[' || (i > 0 && text.p[i - 1] == '='))
			continue;
		*before = str_trim(str_sub(text, 0, i));
		return end > 0 && ip_parse(str_sub(rest, 0, (size_t)end), out);
	}
	return false;
}

/* "from HELO (NAME [ADDR]) by ...", "from NAME ([ADDR] helo=HELO)", "from [ADDR] (helo=HELO)": what the writer saw is in the parentheses, if
 * there; a HELO name alone is hearsay. */
static bool read_from(struct session *s, struct str value, struct client *c, struct str *helo)
{
	struct arena *a = session_scratch(s);
	struct str rest = str_trim(header_unfold(a, value)), name = STR_NONE;
	struct buf addr = { 0 };
	struct ip ip;

	if (!str_eqiz(str_word(&rest, " \t"), "from"))
		return false;
	*helo = str_word(&rest, " \t");
	rest = str_trim(rest);
	if (rest.n == 0 || rest.p[0] != '(')
		return false;
	if (!bracketed(str_sub(rest, 1, (size_t)str_chr(rest, ')')), &name, &ip) && (!bracketed(*helo, &name, &ip) || name.n > 0))
		return false;
	if (str_chr(name, ' ') >= 0)
		return false; /* "HELO x" and the like are no name */
	ip_print(&addr, &ip);
	*helo = session_clean_name(a, *helo);
	*c = (struct client){ .name = name.n > 0 ? session_clean_name(a, name) : STR("unknown"), .addr = arena_dup(a, buf_str(&addr)),
		.port = STR("unknown") };
	buf_done(&addr);
	c->reverse = c->name;
	c->name_status = c->reverse_status = name.n > 0 && !str_eqz(name, "unknown") ? NAME_OK : NAME_PERM;
	return true;
}

/* The walk: as long as a relay is ours, its field names the one before it. */
static bool find(struct session *s, struct str message, struct client *origin, struct str *helo)
{
	struct header h;
	bool found = false, blank = false;
	struct str addr = s->client.addr;

	header_init(&h, session_scratch(s));
	header_parse(&h, message, &blank);
	for (size_t n = 1; n <= HOPS_MAX && is_trusted(addr); n++) {
		const struct header_field *f = header_find(&h, "Received", n);
		struct client hop;
		struct str said;

		if (f == NULL || !read_from(s, f->value, &hop, &said))
			break;
		*origin = hop;
		*helo = said;
		addr = hop.addr;
		found = true;
	}
	return found;
}

enum verdict origin_restrict(struct session *s, struct str message)
{
	struct client relay = s->client;
	struct str helo = s->helo;
	enum verdict v;

	if (cf.lists[LIST_EOD].count == 0 || !is_trusted(relay.addr) || !find(s, message, &s->client, &s->helo))
		return restrict_end_of_data(s);
	session_name_client(s, session_scratch(s));
	log_info("%s: origin=%.*s, helo=<%.*s>, relay=%.*s", session_queue_id(s), STRF(s->client.namaddr), STRF(s->helo), STRF(relay.namaddr));
	v = restrict_end_of_data(s);
	s->client = relay;
	s->helo = helo;
	return v;
}

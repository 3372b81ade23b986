/* lib/net/dns_parse.c - one bounded pass over a DNS answer: the CNAME chain, the records at its end, how long they may be kept. */
#include "lib/net/dns_parse.h"

#include <idn2.h>
#include <string.h>

#include "lib/base/utf8.h"

#define HEADER_SIZE 12
#define LABEL_MAX 63
#define TYPE_SOA 6
#define TTL_UNKNOWN 60 /* seconds a negative answer without SOA is believed */

struct rr {
	struct str owner;
	unsigned type, class;
	uint32_t ttl;
	size_t at; /* offset of the rdata, for compressed names in it */
	struct str rdata;
};

struct reader {
	struct arena *a;
	struct str packet;
	size_t at;
	bool bad; /* sticky */
};

static unsigned get8(struct reader *r)
{
	if (r->at >= r->packet.n) {
		r->bad = true;
		return 0;
	}
	return (unsigned char)r->packet.p[r->at++];
}

static unsigned get16(struct reader *r)
{
	unsigned high = get8(r);

	return high << 8 | get8(r);
}

static uint32_t get32(struct reader *r)
{
	uint32_t high = get16(r);

	return high << 16 | get16(r);
}

static struct str get_bytes(struct reader *r, size_t n)
{
	struct str s = str_sub(r->packet, r->at, n);

	if (r->at > r->packet.n || s.n != n) {
		r->bad = true;
		return STR_NONE;
	}
	r->at += n;
	return s;
}

/* A label's octets as they stand in our texts; what would be mistaken for structure or is unprintable is written \DDD. */
static void add_label(struct buf *out, struct str label)
{
	if (out->n > 0)
		buf_addc(out, '.');
	for (size_t i = 0; i < label.n; i++) {
		unsigned char c = (unsigned char)label.p[i];

		if (c <= ' ' || c >= 127 || c == '.' || c == '\\')
			buf_addf(out, "\\%03u", c);
		else
			buf_addc(out, c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : (char)c);
	}
}

/* A possibly compressed name. Each pointer must lead to an earlier octet than the part it continues, so the walk ends. */
static struct str get_name(struct reader *r)
{
	struct reader walk = *r;
	size_t limit = r->at, wire = 1, end = 0;
	struct buf text = { 0 };
	struct str name;

	for (;;) {
		unsigned len = get8(&walk);

		if (walk.bad || len == 0)
			break;
		if ((len & 0xc0) == 0xc0) {
			size_t to = (len & 0x3fu) << 8 | get8(&walk);

			end = end > 0 ? end : walk.at;
			walk.bad |= to >= limit;
			walk.at = limit = to;
		} else {
			wire += len + 1;
			walk.bad |= len > LABEL_MAX || wire > DNS_NAME_MAX;
			add_label(&text, walk.bad ? STR_NONE : get_bytes(&walk, len));
		}
		if (walk.bad)
			break;
	}
	r->at = end > 0 ? end : walk.at;
	r->bad |= walk.bad;
	name = r->bad ? STR_NONE : arena_dup(r->a, buf_str(&text));
	buf_done(&text);
	return name;
}

static bool get_rr(struct reader *r, struct rr *rr)
{
	size_t n;

	rr->owner = get_name(r);
	rr->type = get16(r);
	rr->class = get16(r);
	rr->ttl = get32(r);
	if (rr->ttl > INT32_MAX)
		rr->ttl = 0; /* RFC 2181 section 8 */
	n = get16(r);
	rr->at = r->at;
	rr->rdata = get_bytes(r, n);
	return !r->bad;
}

static struct str name_at(struct reader *r, size_t at)
{
	struct reader sub = *r;
	struct str name;

	sub.at = at;
	name = get_name(&sub);
	r->bad |= sub.bad;
	return name;
}

static void fill_txt(struct reader *r, const struct rr *rr, struct dns_record *out)
{
	struct reader sub = { r->a, rr->rdata, 0, false };
	struct str *strings = arena_alloc(r->a, (rr->rdata.n + 1) * sizeof *strings);
	struct buf joined = { 0 };

	while (sub.at < sub.packet.n && !sub.bad) {
		struct str s = get_bytes(&sub, get8(&sub));

		if (sub.bad)
			break;
		strings[out->txt_count++] = arena_dup(r->a, s);
		buf_add(&joined, s);
	}
	r->bad |= sub.bad;
	out->txt = strings;
	out->data = arena_dup(r->a, buf_str(&joined));
	buf_done(&joined);
}

/* Offset of the name inside the rdata of types that carry one. */
static size_t name_offset(unsigned type)
{
	return type == DNS_MX ? 2 : type == DNS_SRV ? 6 : 0;
}

static void fill_record(struct reader *r, const struct rr *rr, struct dns_record *out)
{
	struct reader sub = { r->a, rr->rdata, 0, false };

	switch (rr->type) {
	case DNS_TXT:
		fill_txt(r, rr, out);
		return;
	case DNS_A:
	case DNS_AAAA:
		r->bad |= rr->rdata.n != (rr->type == DNS_A ? 4u : 16u);
		break;
	case DNS_MX:
	case DNS_SRV:
		out->pref = (uint16_t)get16(&sub);
		if (rr->type == DNS_SRV) {
			out->weight = (uint16_t)get16(&sub);
			out->port = (uint16_t)get16(&sub);
		}
		r->bad |= sub.bad;
		/* fall through */
	case DNS_NS:
	case DNS_PTR:
	case DNS_CNAME:
		r->bad |= rr->rdata.n <= name_offset(rr->type);
		if (!r->bad)
			out->name = name_at(r, rr->at + name_offset(rr->type));
		break;
	default:
		break;
	}
	out->data = arena_dup(r->a, rr->rdata);
}

/* Follow CNAMEs from the question's name among the answers, in whatever order they came. */
static struct str follow_cnames(struct reader *r, const struct rr *rrs, size_t count, struct str name, uint32_t *ttl)
{
	for (int hop = 0; hop < DNS_CNAMES_MAX; hop++) {
		size_t i = 0;

		while (i < count && !(rrs[i].type == DNS_CNAME && str_eq(rrs[i].owner, name)))
			i++;
		if (i == count)
			return name;
		name = name_at(r, rrs[i].at);
		*ttl = rrs[i].ttl < *ttl ? rrs[i].ttl : *ttl;
	}
	r->bad = true;
	return name;
}

static void collect(struct reader *r, const struct rr *rrs, size_t count, enum dns_type type, struct dns_answer *out)
{
	struct dns_record *records = arena_alloc(r->a, (count + 1) * sizeof *records);

	for (size_t i = 0; i < count; i++) {
		if (rrs[i].type != (unsigned)type || !str_eq(rrs[i].owner, out->cname))
			continue;
		fill_record(r, &rrs[i], &records[out->count++]);
		out->ttl = rrs[i].ttl < out->ttl ? rrs[i].ttl : out->ttl;
	}
	out->records = records;
}

/* RFC 2308 section 5: the lesser of the SOA's TTL and its last field. */
static uint32_t negative_ttl(struct reader *r, size_t count)
{
	struct rr rr;

	for (size_t i = 0; i < count && i < DNS_RECORDS_MAX && get_rr(r, &rr); i++) {
		struct reader last = { r->a, rr.rdata, rr.rdata.n - 4, false };
		uint32_t minimum;

		if (rr.type != TYPE_SOA || rr.rdata.n < 22)
			continue;
		minimum = get32(&last);
		return minimum < rr.ttl ? minimum : rr.ttl;
	}
	return TTL_UNKNOWN;
}

static void read_answer(
	struct reader *r, unsigned answers, unsigned authorities, struct str asked, enum dns_type type, struct dns_answer *out)
{
	size_t limit = answers < DNS_RECORDS_MAX ? answers : DNS_RECORDS_MAX, count = 0;
	struct rr *rrs = arena_alloc(r->a, (limit + 1) * sizeof *rrs);

	while (count < limit && get_rr(r, &rrs[count]))
		count++;
	out->ttl = UINT32_MAX;
	out->cname = type == DNS_CNAME ? asked : follow_cnames(r, rrs, count, asked, &out->ttl);
	collect(r, rrs, count, type, out);
	if (out->count == 0) {
		uint32_t ttl = count == answers ? negative_ttl(r, authorities) : TTL_UNKNOWN;

		out->ttl = ttl < out->ttl ? ttl : out->ttl;
	}
}

void dns_parse(struct arena *a, struct str packet, enum dns_type type, struct dns_answer *out)
{
	struct reader r = { a, packet, 2, packet.n < HEADER_SIZE };
	unsigned rcode = get16(&r) & 15u, questions = get16(&r), answers = get16(&r), authorities = get16(&r);
	struct str asked;

	*out = (struct dns_answer){ .result = DNS_TEMPFAIL, .why = "malformed DNS reply", .cname = STR_NONE };
	r.at = HEADER_SIZE;
	asked = get_name(&r);
	r.at += 4;
	if (r.bad || questions != 1)
		return;
	if (rcode != 0 && rcode != 3) {
		out->why = rcode == 2 ? "the name server failed" : "the name server refused the question";
		return;
	}
	read_answer(&r, answers, authorities, asked, type, out);
	if (r.bad) {
		*out = (struct dns_answer){ .result = DNS_TEMPFAIL, .why = "malformed DNS reply", .cname = STR_NONE };
		return;
	}
	out->why = NULL;
	out->result = rcode == 3 ? DNS_NXDOMAIN : out->count > 0 ? DNS_OK : DNS_NODATA;
	if (rcode == 3)
		out->count = 0;
}

static bool add_question_label(struct buf *out, struct str label, const char **why)
{
	if (label.n == 0 || label.n > LABEL_MAX) {
		*why = label.n == 0 ? "empty label in domain name" : "label in domain name is too long";
		return false;
	}
	add_label(out, label);
	return true;
}

bool dns_name_text(struct str name, struct buf *out, const char **why)
{
	char *ascii = NULL;
	bool good = name.n > 0 && name.n <= DNS_NAME_MAX;

	*why = "domain name is empty or too long";
	if (good && !utf8_ascii(name) && utf8_valid(name) && memchr(name.p, '\0', name.n) == NULL) {
		struct buf z = { 0 };

		buf_add(&z, name);
		if (idn2_to_ascii_8z(z.p, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK)
			name = str_z(ascii);
		buf_done(&z);
	}
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	good = good && name.n > 0 && name.n <= DNS_NAME_MAX - 2;
	while (good && name.n > 0) {
		bool last = str_chr(name, '.') < 0;

		good = add_question_label(out, str_cut(&name, '.'), why);
		if (good && !last && name.n == 0) /* "a.." */
			good = add_question_label(out, STR_NONE, why);
	}
	idn2_free(ascii);
	return good;
}

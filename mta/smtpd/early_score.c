/* mta/smtpd/early_score.c - a client's score: weights of the DNS lists that name it, all asked at the same time. */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/dns.h"
#include "lib/net/fiber.h"
#include "mta/smtpd/early.h"

#define WEIGHT_MAX 1000000
#define SITES_MAX 1000
#define WARN_MS 60000

/* ---- postscreen_dnsbl_sites ---- */

static bool parse_weight(struct str text, int *out)
{
	bool negative = text.n > 1 && text.p[0] == '-';
	uint64_t n;

	if (!str_to_u64(str_skip(text, negative ? 1 : 0), WEIGHT_MAX, &n))
		return false;
	*out = negative ? -(int)n : (int)n;
	return true;
}

bool early_site_parse(struct str text, struct early_site *out, const char **why)
{
	struct str weight = text, list = str_cut(&weight, '*');

	out->weight = 1;
	if (!dnsbl_parse(list, &out->filter, why))
		return false;
	*why = "weight is not a number";
	return list.n == text.n || parse_weight(weight, &out->weight);
}

int early_sites_load(struct arena *a, const char *value, struct early_sites *out, struct err *e)
{
	struct str *words = NULL;
	const char *why = NULL;

	out->count = conf_list(a, value, &words);
	if (out->count > SITES_MAX)
		return err_perm(e, "more than %d lists", SITES_MAX);
	out->v = arena_alloc(a, (out->count + 1) * sizeof *out->v);
	for (size_t i = 0; i < out->count; i++)
		if (!early_site_parse(words[i], &out->v[i], &why))
			return err_perm(e, "\"%.*s\": %s", STRF(words[i]), why);
	return 0;
}

/* ---- asking ---- */

struct asking {
	struct arena *a;
	struct str addr;
	int64_t deadline;
	struct fiber *asker;
	size_t open; /* questions without answer */
};

struct question {
	struct asking *all;
	struct str domain;
	struct dns_answer answer;
};

static void ask(void *arg)
{
	struct question *q = arg;
	struct buf name = { 0 };

	q->answer.result = DNS_BADNAME;
	if (dns_reverse_name(q->all->addr, q->domain, &name))
		dns_ask(q->all->a, buf_str(&name), DNS_A, q->all->deadline, &q->answer);
	buf_done(&name);
	q->all->open--;
	fiber_wake(q->all->asker);
}

/* A list that is named with several filters is asked once. */
static struct question *question_for(struct question *q, size_t count, struct str domain)
{
	size_t i = 0;

	while (i < count && !str_eqi(q[i].domain, domain))
		i++;
	return &q[i];
}

static size_t ask_all(struct asking *all, const struct early_sites *sites, struct question *q)
{
	size_t count = 0;

	all->asker = fiber_self();
	for (size_t i = 0; i < sites->count; i++) {
		struct question *new = question_for(q, count, sites->v[i].filter.domain);

		if (new < q + count)
			continue;
		*new = (struct question){ .all = all, .domain = sites->v[i].filter.domain };
		count++;
		all->open++;
		fiber_start("early check", ask, new);
	}
	while (all->open > 0)
		fiber_wait(DEADLINE_NEVER); /* each has all->deadline */
	return count;
}

/* Without a filter only 127/8 is a list speaking (RFC 5782 section 2.1); a domain that was given up resolves to other things. */
static bool wanted(const struct early_site *site, const struct dns_record *r)
{
	const unsigned char *b = (const unsigned char *)r->data.p;

	return r->data.n == 4 && (site->filter.filtered || b[0] == 127) && dnsbl_counts(&site->filter, b);
}

/* Once a minute, like silence. */
static void tell_no_list(const struct question *q, const unsigned char *b)
{
	static int64_t warn_at;

	if (clock_due(&warn_at, WARN_MS))
		log_warn("DNS list %.*s answers %u.%u.%u.%u, which is outside 127.0.0.0/8: is it still a list?",
			STRF(q->domain), b[0], b[1], b[2], b[3]);
}

/* As Postfix's dnsblog says it. */
static void log_listings(const struct asking *all, const struct question *q)
{
	for (size_t i = 0; i < q->answer.count; i++) {
		const unsigned char *b = (const unsigned char *)q->answer.records[i].data.p;

		if (q->answer.records[i].data.n == 4 && b[0] != 127)
			tell_no_list(q, b);
		if (q->answer.records[i].data.n == 4)
			log_info("addr %.*s listed by domain %.*s as %u.%u.%u.%u", STRF(all->addr), STRF(q->domain), b[0], b[1], b[2], b[3]);
	}
}

/* Once a minute is enough when a list is down. */
static void tell_silence(const struct question *q)
{
	static int64_t warn_at;

	if (clock_due(&warn_at, WARN_MS))
		log_warn("DNS list %.*s: no answer about %.*s: %s", STRF(q->domain), STRF(q->all->addr), q->answer.why);
}

static bool counts(const struct early_site *site, const struct dns_answer *answer)
{
	for (size_t i = 0; answer->result == DNS_OK && i < answer->count; i++)
		if (wanted(site, &answer->records[i]))
			return true;
	return false;
}

void early_score(struct arena *a, const struct early_sites *sites, struct str addr, int64_t deadline, struct early_score *out)
{
	struct asking all = { .a = a, .addr = addr, .deadline = deadline };
	struct question *q = arena_alloc(a, (sites->count + 1) * sizeof *q);
	size_t count = ask_all(&all, sites, q);
	int most = 0;

	*out = (struct early_score){ .ttl = UINT32_MAX };
	for (size_t i = 0; i < count; i++) {
		if (q[i].answer.result == DNS_TEMPFAIL)
			tell_silence(&q[i]);
		else if (q[i].answer.ttl < out->ttl)
			out->ttl = q[i].answer.ttl;
		if (q[i].answer.result == DNS_OK)
			log_listings(&all, &q[i]);
	}
	for (size_t i = 0; i < sites->count; i++) {
		const struct early_site *site = &sites->v[i];

		if (!counts(site, &question_for(q, count, site->filter.domain)->answer))
			continue;
		out->sum += site->weight;
		if (site->weight > most) {
			most = site->weight;
			out->worst = site->filter.domain;
		}
	}
}

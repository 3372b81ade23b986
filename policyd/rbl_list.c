/* policyd/rbl_list.c - DNS lists as this process knows them. */
#include "policyd/rbl_list.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/metrics.h"
#include "lib/net/dns.h"
#include "policyd/store.h"

#define LISTS_MAX 1000
#define CACHE_MIN_S 10
#define CACHE_MAX_S 3600

struct rbl_list {
	int64_t failures; /* questions in a row without answer */
	int64_t alone_until; /* monotonic ms; 0: it is asked */
	int64_t test_at; /* when its test points are due */
	bool broken; /* lists what no list may list */
	bool unused; /* as metrics know */
	bool testing, hollow; /* hollow: misses its test entry, which was told */
};

/* The process's lists, by domain. */
static struct map *lists;

static struct rbl_list *list_get(struct str domain)
{
	struct rbl_list *l;

	if (lists == NULL)
		lists = map_new();
	l = map_get(lists, domain);
	if (l != NULL || map_count(lists) == LISTS_MAX)
		return l;
	l = mem_alloc(sizeof *l);
	map_put(lists, domain, l);
	return l;
}

static int64_t question_deadline(const struct request *r)
{
	return deadline_min(r->deadline, deadline_in(conf_time_ms(r->settings->conf, "rbl_timeout")));
}

static void tell_metrics(struct rbl_list *l, struct str domain)
{
	bool unused = l->broken || l->failures >= conf_int(settings.conf, "rbl_failure_limit");
	struct buf name = { 0 };

	if (unused == l->unused)
		return;
	l->unused = unused;
	buf_add(&name, domain);
	metric_move(METRIC_DNS_LISTS_UNUSED, unused ? 1 : -1, buf_z(&name));
	buf_done(&name);
}

/* ---- does it answer? ---- */

static void no_answer(struct rbl_list *l, struct str domain, const char *why)
{
	if (++l->failures < conf_int(settings.conf, "rbl_failure_limit"))
		return;
	if (l->failures == conf_int(settings.conf, "rbl_failure_limit"))
		log_warn("DNS list %.*s does not answer (%s); going on without it", STRF(domain), why);
	l->alone_until = deadline_in(conf_time_ms(settings.conf, "rbl_retry_time"));
	tell_metrics(l, domain);
}

static void an_answer(struct rbl_list *l, struct str domain)
{
	if (l->failures >= conf_int(settings.conf, "rbl_failure_limit"))
		log_info("DNS list %.*s answers again", STRF(domain));
	l->failures = 0;
	l->alone_until = 0;
	tell_metrics(l, domain);
}

/* Left alone? When its time is over, one question finds out. */
static bool left_alone(struct rbl_list *l)
{
	if (l->alone_until == 0)
		return false;
	if (l->alone_until > clock_mono_ms())
		return true;
	l->alone_until = deadline_in(conf_time_ms(settings.conf, "rbl_retry_time"));
	return false;
}

/* ---- does it make sense? ---- */

static enum dns_result ask_point(struct request *r, const char *point, struct str domain)
{
	struct dns_answer answer;

	dns_ask(r->life, arena_printf(r->life, "%s.%.*s", point, STRF(domain)), DNS_A, question_deadline(r), &answer);
	return answer.result;
}

/* The test points: what every list has to list, and what none may. */
static void test_list(struct request *r, struct rbl_list *l, struct str domain, bool by_name)
{
	bool was_broken = l->broken;
	enum dns_result bad, good;

	l->testing = true;
	bad = ask_point(r, by_name ? "invalid" : "1.0.0.127", domain);
	good = ask_point(r, by_name ? "test" : "2.0.0.127", domain);
	l->testing = false;
	if (bad == DNS_TEMPFAIL)
		return; /* due again with the next listing */
	l->test_at = deadline_in(conf_time_ms(settings.conf, "rbl_test_interval"));
	l->broken = bad == DNS_OK;
	tell_metrics(l, domain);
	if (l->broken && !was_broken)
		log_warn("DNS list %.*s lists %s, and so everybody: it is not used", STRF(domain), by_name ? "\"invalid\"" : "127.0.0.1");
	else if (was_broken && !l->broken)
		log_info("DNS list %.*s makes sense again", STRF(domain));
	if (good == DNS_NXDOMAIN && !l->hollow)
		log_warn("DNS list %.*s does not list its test entry %s: is it one?", STRF(domain), by_name ? "\"test\"" : "127.0.0.2");
	l->hollow |= good == DNS_NXDOMAIN;
}

/* Before a listing is believed. */
static bool believable(struct request *r, struct rbl_list *l, struct str domain, bool by_name)
{
	if (conf_time_ms(settings.conf, "rbl_test_interval") > 0 && !l->testing && l->test_at <= clock_mono_ms())
		test_list(r, l, domain, by_name);
	return !l->broken;
}

/* ---- asking ---- */

/* Cached form: addresses in hex, without blanks between them, a line end, the reason. */
static bool unpack(struct str text, struct rbl_answer *out)
{
	struct str hex = str_cut(&text, '\n');

	for (size_t i = 0; i + 8 <= hex.n && out->count < RBL_ADDRESSES_MAX; i += 8)
		for (size_t k = 0; k < 4; k++) {
			char pair[3] = { hex.p[i + 2 * k], hex.p[i + 2 * k + 1], '\0' };

			out->addresses[out->count][k] = (unsigned char)strtoul(pair, NULL, 16);
			if (k == 3)
				out->count++;
		}
	out->reason = text;
	return hex.n % 8 == 0;
}

static void remember(struct request *r, struct str key, const struct rbl_answer *answer, uint32_t ttl)
{
	struct buf text = { 0 };
	uint32_t seconds = ttl < CACHE_MIN_S ? CACHE_MIN_S : ttl > CACHE_MAX_S ? CACHE_MAX_S : ttl;

	for (size_t i = 0; i < answer->count; i++)
		buf_addf(&text, "%02x%02x%02x%02x", answer->addresses[i][0], answer->addresses[i][1], answer->addresses[i][2],
			answer->addresses[i][3]);
	buf_addc(&text, '\n');
	buf_add(&text, answer->reason);
	store_cache_put(r->life, key, buf_str(&text), seconds);
	buf_done(&text);
}

/* Listings are in 127/8 (RFC 5782 section 2.1). Elsewhere a domain's new owner answers everything; 127.255/16 is how lists say that they do
 * not serve this resolver. */
static bool is_listing(struct str address)
{
	return address.n == 4 && (unsigned char)address.p[0] == 127 && (unsigned char)address.p[1] != 255;
}

/* False: it is an answer, but no listing. */
static bool take_addresses(const struct dns_answer *from, struct rbl_answer *out)
{
	for (size_t i = 0; i < from->count && out->count < RBL_ADDRESSES_MAX; i++)
		if (is_listing(from->records[i].data))
			memcpy(out->addresses[out->count++], from->records[i].data.p, 4);
	return out->count > 0 || from->count == 0;
}

static struct str reason_for(struct request *r, struct str name)
{
	struct dns_answer answer;

	dns_ask(r->life, name, DNS_TXT, question_deadline(r), &answer);
	return answer.count > 0 ? answer.records[0].data : STR_NONE;
}

/* No caching of failures: the list's own state is their memory. */
static void ask_list(struct request *r, struct rbl_list *l, struct str domain, struct str name, struct rbl_answer *out)
{
	struct dns_answer answer;

	out->failed = left_alone(l);
	out->why = "the list is left alone for a while";
	if (out->failed)
		return;
	dns_ask(r->life, name, DNS_A, question_deadline(r), &answer);
	if (answer.result == DNS_TEMPFAIL)
		out->why = answer.why;
	else if (!take_addresses(&answer, out))
		out->why = "it answers with an error code or addresses that are no listings";
	if (answer.result == DNS_TEMPFAIL || (answer.count > 0 && out->count == 0)) {
		out->failed = true;
		no_answer(l, domain, out->why);
		return;
	}
	an_answer(l, domain);
	if (out->count > 0)
		out->reason = reason_for(r, name);
	remember(r, arena_printf(r->life, "rbl:%.*s", STRF(name)), out, answer.ttl);
}

void rbl_list_ask(struct request *r, const struct dnsbl *d, struct str name, bool by_name, struct rbl_answer *out)
{
	struct rbl_list *l = list_get(d->domain);
	struct str cached;

	*out = (struct rbl_answer){ .failed = l == NULL, .why = "too many lists", .reason = STR_NONE };
	if (l == NULL)
		return;
	if (!store_cache_get(r->life, arena_printf(r->life, "rbl:%.*s", STRF(name)), &cached) || !unpack(cached, out))
		ask_list(r, l, d->domain, name, out);
	if (out->count > 0 && !believable(r, l, d->domain, by_name))
		out->count = 0;
}

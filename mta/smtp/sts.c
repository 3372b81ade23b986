/* mta/smtp/sts.c - MTA-STS (RFC 8461): which servers a domain says are its own, and that they have certificates. Where DNSSEC is missing, the
 * web's certificates vouch for the list.
 *
 * A TXT record tells whether there is a policy and which version; the policy comes by HTTPS and is remembered as long as it asks for, in Redis
 * for all workers where there is one. Security: a remembered policy holds although records and web server are gone: whoever can suppress them
 * cannot suppress the policy. What comes out of Redis is parsed like what comes off the network.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/lru.h"
#include "lib/base/map.h"
#include "lib/net/dns.h"
#include "lib/net/fiber.h"
#include "lib/net/https.h"
#include "lib/service/shared_cache.h"
#include "mta/smtp/smtp.h"

#define DOMAINS 2000 /* whose policies a worker remembers itself */
#define NEAR_MS 300000 /* how long it trusts its memory before it looks into Redis */
#define FETCH_MS 30000
#define AGAIN_S 300 /* between two attempts that failed; RFC 8461 section 3.3 */

static struct {
	struct shared_cache *policies; /* domain -> "id\ntext of the policy" */
	struct lru *failed; /* domains whose web server did not answer well */
	struct map *fetching; /* domain -> struct waitq of those who wait for it */
} sts;

void sts_init(const struct conf *c)
{
	sts.policies = shared_cache_new(c, "mta-sts:", DOMAINS, NEAR_MS);
	sts.failed = lru_new(DOMAINS);
	sts.fetching = map_new();
}

/* The id of the record. Empty: none, or more than one, which is as good as none. */
static struct str announced(struct arena *a, struct str domain)
{
	struct str name = arena_printf(a, "_mta-sts.%.*s", STRF(domain)), id = STR_NONE, one;
	struct dns_answer txt;
	size_t found = 0;

	dns_ask(a, name, DNS_TXT, deadline_in(cfg->dns_ms), &txt);
	for (size_t i = 0; txt.result == DNS_OK && i < txt.count; i++) {
		if (!mta_sts_record(txt.records[i].data, &one))
			continue;
		id = one;
		found++;
	}
	return found == 1 ? id : STR_NONE;
}

static const struct sts_policy *remembered(struct arena *a, struct str domain)
{
	struct sts_policy *p = arena_alloc(a, sizeof *p);
	struct str text;
	const char *why;

	if (!shared_cache_get(sts.policies, a, domain, &text))
		return NULL;
	p->domain = domain;
	p->id = str_cut(&text, '\n');
	return mta_sts_policy(a, text, &p->rules, &why) ? p : NULL;
}

static const struct sts_policy *fetch(struct arena *a, struct str domain, struct str id)
{
	struct sts_policy *p = arena_alloc(a, sizeof *p);
	const struct https_get get = {
		.host = arena_printf(a, "mta-sts.%.*s", STRF(domain)),
		.path = "/.well-known/mta-sts.txt",
		.type = "text/plain",
		.max = MTA_STS_TEXT_MAX,
		.tls = settings_public_tls(),
		.deadline = deadline_in(FETCH_MS),
	};
	struct err e = ERR_INIT;
	const char *why;
	struct str text;

	if (https_get(a, &get, &text, &e) < 0) {
		log_warn("MTA-STS policy of %.*s: %s", STRF(domain), e.text);
		return NULL;
	}
	if (!mta_sts_policy(a, text, &p->rules, &why)) {
		log_warn("MTA-STS policy of %.*s: %s", STRF(domain), why);
		return NULL;
	}
	p->domain = domain;
	p->id = id;
	text = arena_printf(a, "%.*s\n%.*s", STRF(id), STRF(text));
	if (text.n <= SHARED_CACHE_VALUE_MAX) /* longer ones are fetched each time: half a policy is none */
		shared_cache_put(sts.policies, a, domain, text, (int64_t)p->rules.max_age);
	return p;
}

/* One fiber asks the web server, the others wait for what it learns. */
static const struct sts_policy *fetch_once(struct arena *a, struct str domain, struct str id)
{
	struct waitq *busy = map_get(sts.fetching, domain), mine;
	const struct sts_policy *p;

	if (busy != NULL) {
		waitq_wait(busy, deadline_in(FETCH_MS));
		return remembered(a, domain);
	}
	waitq_init(&mine);
	map_put(sts.fetching, domain, &mine);
	p = fetch(a, domain, id);
	if (p == NULL)
		lru_put(sts.failed, domain, STR("1"), AGAIN_S);
	map_del(sts.fetching, domain);
	waitq_wake_all(&mine);
	return p;
}

const struct sts_policy *sts_find(struct arena *a, struct str domain)
{
	struct str name = arena_lower(a, domain), id = announced(a, name);
	const struct sts_policy *known = remembered(a, name), *found = NULL;

	if (id.n > 0 && (known == NULL || !str_eq(known->id, id)) && !lru_get(sts.failed, name, NULL))
		found = fetch_once(a, name, id);
	if (found == NULL)
		found = known;
	return found != NULL && found->rules.mode != MTA_STS_NONE ? found : NULL;
}

int sts_apply(struct arena *a, const struct server *server, struct security *sec, struct failure *why)
{
	bool listed = mta_sts_lists(&sec->sts->rules, server->host), enforce = sec->sts->rules.mode == MTA_STS_ENFORCE;

	if (!listed)
		log_info("%.*s is no server of %.*s by its MTA-STS policy%s", STRF(server->host), STRF(sec->sts->domain),
			enforce ? "" : ", which is on trial");
	if (!enforce)
		return 0;
	if (!listed) {
		failure_local(a, CODE(0, 4, 7, 5), why, "host %.*s is not listed in the MTA-STS policy of %.*s", STRF(server->host),
			STRF(sec->sts->domain));
		return -1;
	}
	sec->level = TLS_SECURE;
	sec->match = sec->server_name = STR("hostname");
	sec->by_sts = true;
	return 0;
}

/* mta/smtp/dane.c - DANE for SMTP (RFC 7672): the TLSA records of one server, when DNSSEC vouches for all that leads to them. */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/dns.h"
#include "mta/smtp/smtp.h"

/* Without records to go by: dane does without, dane-only does not deliver. */
static int give_up(struct arena *a, const struct server *server, enum tls_level instead, const char *reason, struct security *sec,
	struct failure *why)
{
	if (sec->level == TLS_DANE_ONLY) {
		failure_local(a, CODE(0, 4, 7, 5), why, "%s for %.*s", reason, STRF(server->host));
		return -1;
	}
	if (cfg->tls_loglevel > 1)
		log_info("%.*s: %s: TLS level %s", STRF(server->host), reason, tls_level_word(instead));
	sec->level = instead;
	return 0;
}

/* Keeps the usable records. False: none of them is. */
static bool take_records(struct arena *a, const struct dns_answer *answer, struct security *sec)
{
	struct str *tlsa = arena_alloc(a, (answer->count + 1) * sizeof *tlsa);

	sec->tlsa = tlsa;
	sec->tlsa_count = 0;
	for (size_t i = 0; i < answer->count; i++) {
		if (tls_tlsa_usable(answer->records[i].data))
			tlsa[sec->tlsa_count++] = answer->records[i].data;
		else
			log_warn("TLSA record of %s is not usable", sec->tlsa_base);
	}
	return sec->tlsa_count > 0;
}

/* The records below one name. A list that nobody vouches for is no list. */
static enum dns_result ask(struct arena *a, const struct nexthop *hop, struct str name, struct security *sec, struct dns_answer *answer)
{
	struct str question = arena_printf(a, "_%u._tcp.%.*s", (unsigned)hop->port, STRF(name));

	dns_ask(a, question, DNS_TLSA, deadline_in(cfg->dns_ms), answer);
	sec->tlsa_base = arena_z(a, name);
	return answer->result == DNS_OK && !answer->secure ? DNS_NODATA : answer->result;
}

/* Below the name behind CNAMEs first, then as found in the MX record (RFC 7672 section 2.2.3). */
static enum dns_result ask_names(struct arena *a, const struct nexthop *hop, const struct server *server, struct security *sec, struct dns_answer *answer)
{
	enum dns_result r = DNS_NODATA;

	if (server->alias_of.n > 0 && !str_eqi(server->alias_of, server->host))
		r = ask(a, hop, server->alias_of, sec, answer);
	return r == DNS_NODATA || r == DNS_NXDOMAIN ? ask(a, hop, server->host, sec, answer) : r;
}

int dane_find(struct arena *a, const struct nexthop *hop, const struct servers *list, const struct server *server, struct security *sec,
	struct failure *why)
{
	struct dns_answer answer = { .result = DNS_NODATA };
	enum dns_result r;

	if (!list->secure && (sec->level == TLS_DANE_ONLY || cfg->tls_insecure_mx <= TLS_MAY))
		return give_up(a, server, TLS_MAY, "non DNSSEC destination", sec, why);
	if (!server->secure && !cfg->tls_force_tlsa)
		return give_up(a, server, !list->secure && cfg->tls_insecure_mx == TLS_ENCRYPT ? TLS_ENCRYPT : TLS_MAY, "non DNSSEC server", sec, why);
	r = ask_names(a, hop, server, sec, &answer);
	if (r == DNS_TEMPFAIL) {
		failure_local(a, CODE(0, 4, 7, 5), why, "TLSA lookup error for %.*s:%u", STRF(server->host), (unsigned)hop->port);
		log_warn("%.*s: %s", STRF(why->text), answer.why);
		return -1;
	}
	if (r != DNS_OK)
		return give_up(a, server, TLS_MAY, "no TLSA records found", sec, why);
	if (!take_records(a, &answer, sec))
		return give_up(a, server, TLS_ENCRYPT, "TLSA records unusable", sec, why);
	sec->half_dane = !list->secure;
	return 0;
}

/* policyd/spf_match.c - the one question we put to libspf2: does this mechanism match this client?
 * Its walk over records is not used (127/8 always passes, lookups are counted per include, no void limit, lax grammar), nor its macros: in
 * the packaged release the macro compiler can be made to write beyond a buffer on the stack by an explanation of some
 * 490 octets (found by fuzzing). So it only ever sees terms made here, about SPF_STAND_IN, and what our DNS parser has checked.
 */
#include "policyd/spf_match.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/types.h>

#include <spf2/spf.h>

#include <spf2/spf_dns.h>

struct spf_matcher {
	struct spf_dns *dns;
	SPF_server_t *server;
	SPF_request_t *request;
};

static void free_matcher(void *arg)
{
	struct spf_matcher *m = arg;

	if (m->request != NULL)
		SPF_request_free(m->request);
	if (m->server != NULL)
		SPF_server_free(m->server);
}

static SPF_errcode_t set_client(struct spf_matcher *m)
{
	struct in_addr v4;
	struct in6_addr v6;

	memcpy(&v4, m->dns->client.b + 12, sizeof v4);
	memcpy(&v6, m->dns->client.b, sizeof v6);
	return m->dns->client.v4 ? SPF_request_set_ipv4(m->request, v4) : SPF_request_set_ipv6(m->request, v6);
}

struct spf_matcher *spf_matcher_new(struct spf_dns *d)
{
	struct spf_matcher *m = arena_alloc(d->a, sizeof *m);

	m->dns = d;
	arena_defer(d->a, free_matcher, m);
	m->server = SPF_server_new_dns(spf_dns_server(d), 0);
	if (m->server != NULL)
		m->request = SPF_request_new(m->server);
	if (m->request == NULL || set_client(m) != SPF_E_SUCCESS)
		return NULL;
	SPF_request_set_helo_dom(m->request, SPF_STAND_IN);
	SPF_request_set_env_from(m->request, "postmaster@" SPF_STAND_IN);
	m->request->cur_dom = SPF_STAND_IN;
	return m;
}

/* "v=spf1 mx:target.invalid/24": only the client's family's prefix, and existence where the prefix is 0. */
static struct str term_text(struct spf_matcher *m, const struct spf_term *t)
{
	bool v4 = m->dns->client.v4, mx = t->mechanism == SPF_MECH_MX;
	unsigned bits = v4 ? t->bits4 : t->bits6;

	m->dns->existence = SPF_EXISTS_PLAIN;
	if (t->mechanism == SPF_MECH_EXISTS)
		return STR("v=spf1 exists:" SPF_STAND_IN);
	if (bits > 0)
		return arena_printf(m->dns->a, "v=spf1 %s:" SPF_STAND_IN "/%s%u", mx ? "mx" : "a", v4 ? "" : "/", bits);
	m->dns->existence = mx ? SPF_EXISTS_MX : v4 ? SPF_EXISTS_PLAIN : SPF_EXISTS_AAAA;
	return STR("v=spf1 exists:" SPF_STAND_IN);
}

static enum spf_match match_of(const SPF_response_t *response, SPF_errcode_t code)
{
	switch (response->result) {
	case SPF_RESULT_PASS:
		return SPF_MATCH;
	case SPF_RESULT_TEMPERROR:
		return SPF_MATCH_TEMPERROR;
	case SPF_RESULT_NEUTRAL: /* fell off the end */
		return SPF_NO_MATCH;
	case SPF_RESULT_INVALID:
		return code == SPF_E_DNS_ERROR ? SPF_MATCH_TEMPERROR : SPF_MATCH_PERMERROR;
	default:
		return SPF_MATCH_PERMERROR;
	}
}

enum spf_match spf_matcher_ask(struct spf_matcher *m, const struct spf_term *t, struct str target)
{
	SPF_response_t *response = SPF_response_new(m->request);
	SPF_record_t *record = NULL;
	enum spf_match match = SPF_MATCH_PERMERROR;
	SPF_errcode_t code;

	if (response == NULL)
		return SPF_MATCH_TEMPERROR;
	m->dns->target = target;
	m->dns->too_many_mx = false;
	code = SPF_record_compile(m->server, response, &record, arena_z(m->dns->a, term_text(m, t)));
	if (code == SPF_E_SUCCESS && record != NULL) {
		response->spf_record_exp = record; /* the library aborts without */
		code = SPF_record_interpret(record, m->request, response, 0);
		match = match_of(response, code);
	}
	if (record != NULL)
		SPF_record_free(record);
	SPF_response_free(response);
	return m->dns->too_many_mx ? SPF_MATCH_PERMERROR : match;
}

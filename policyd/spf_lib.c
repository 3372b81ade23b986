/* policyd/spf_lib.c - the two questions we put to libspf2. Its own walk over records is not used: that lets 127/8 pass, counts lookups in each
 * include anew, knows no void limit, and takes records that RFC 7208 refuses.
 */
#include "policyd/spf_lib.h"

#include <string.h>
#include <sys/types.h>
#include <netinet/in.h>

#include <spf2/spf.h>

#include <spf2/spf_dns.h>

#include "lib/mail/ip.h"

struct spf_lib {
	struct arena *a;
	SPF_server_t *server;
	SPF_request_t *request;
};

static void free_lib(void *arg)
{
	struct spf_lib *l = arg;

	if (l->request != NULL)
		SPF_request_free(l->request);
	if (l->server != NULL)
		SPF_server_free(l->server);
}

static bool set_client(struct spf_lib *l, struct str text)
{
	struct ip ip;
	struct in_addr v4;
	struct in6_addr v6;

	if (!ip_parse(text, &ip))
		return false;
	memcpy(&v4, ip.b + 12, sizeof v4);
	memcpy(&v6, ip.b, sizeof v6);
	return (ip.v4 ? SPF_request_set_ipv4(l->request, v4) : SPF_request_set_ipv6(l->request, v6)) == SPF_E_SUCCESS;
}

struct spf_lib *spf_lib_new(const struct spf_question *q, struct str sender, struct spf_dns *dns)
{
	struct spf_lib *l = arena_alloc(dns->a, sizeof *l);

	l->a = dns->a;
	arena_defer(l->a, free_lib, l);
	l->server = SPF_server_new_dns(spf_dns_server(dns), 0);
	if (l->server == NULL)
		return NULL;
	SPF_server_set_rec_dom(l->server, arena_z(l->a, q->receiver));
	SPF_server_set_sanitize(l->server, 0);
	l->request = SPF_request_new(l->server);
	if (l->request == NULL || !set_client(l, q->client_address))
		return NULL;
	SPF_request_set_helo_dom(l->request, arena_z(l->a, q->helo));
	SPF_request_set_env_from(l->request, arena_z(l->a, sender));
	return l;
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

enum spf_match spf_lib_match(struct spf_lib *l, struct str domain, struct str mechanism)
{
	struct str text = arena_printf(l->a, "v=spf1 %.*s", STRF(mechanism));
	SPF_response_t *response = SPF_response_new(l->request);
	SPF_record_t *record = NULL;
	enum spf_match match = SPF_MATCH_PERMERROR;
	SPF_errcode_t code;

	if (response == NULL)
		return SPF_MATCH_TEMPERROR;
	l->request->cur_dom = arena_z(l->a, domain);
	code = SPF_record_compile(l->server, response, &record, arena_z(l->a, text));
	if (code == SPF_E_SUCCESS && record != NULL) {
		response->spf_record_exp = record;
		code = SPF_record_interpret(record, l->request, response, 0);
		match = match_of(response, code);
	}
	if (record != NULL)
		SPF_record_free(record);
	SPF_response_free(response);
	return match;
}

bool spf_lib_expand(struct spf_lib *l, struct str domain, struct str text, struct str *out)
{
	SPF_response_t *response = SPF_response_new(l->request);
	SPF_macro_t *macro = NULL;
	char *expanded = NULL;
	size_t size = 0;
	bool good;

	if (response == NULL)
		return false;
	l->request->cur_dom = arena_z(l->a, domain);
	good = SPF_record_compile_macro(l->server, response, &macro, arena_z(l->a, text)) == SPF_E_SUCCESS && macro != NULL &&
		SPF_record_expand_data(l->server, l->request, response, (SPF_data_t *)(void *)(macro + 1), macro->macro_len, &expanded, &size) ==
			SPF_E_SUCCESS &&
		expanded != NULL;
	if (good)
		*out = arena_dup(l->a, str_z(expanded));
	free(expanded);
	if (macro != NULL)
		SPF_macro_free(macro);
	SPF_response_free(response);
	return good;
}

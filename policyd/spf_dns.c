/* policyd/spf_dns.c - the one place where libspf2 meets fibers: its lookup hook asks our resolver and sleeps like any other code.
 * The library's answers go through its own structures; sizes are ours to get right, so every record is measured before it is copied.
 */
#include "policyd/spf_dns.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/types.h>

#include <spf2/spf.h>

#include <spf2/spf_dns.h>
#include <spf2/spf_dns_rr.h>

#define NAME_MAX_OCTETS 253

static struct str shorten(struct str name)
{
	while (name.n > NAME_MAX_OCTETS && str_chr(name, '.') >= 0)
		str_cut(&name, '.'); /* section 7.3: labels go from the left */
	return name;
}

void spf_dns_ask(struct spf_dns *d, struct str name, enum dns_type type, struct dns_answer *answer)
{
	dns_ask(d->a, shorten(name), type, d->deadline, answer);
	d->too_many_mx |= type == DNS_MX && answer->count > SPF_MX_MAX;
	if (answer->result == DNS_TEMPFAIL)
		d->tempfail = true;
	else if (answer->ttl < d->ttl && answer->result != DNS_BADNAME)
		d->ttl = answer->ttl;
}

static enum dns_type family(const struct spf_dns *d)
{
	return d->client.v4 ? DNS_A : DNS_AAAA;
}

static void count_void(struct spf_dns *d, const struct dns_answer *answer)
{
	if (answer->result == DNS_NXDOMAIN || answer->result == DNS_NODATA || answer->result == DNS_BADNAME)
		d->voids++;
}

/* "Does some MX host of name have an address of the client's family?", answered as an address question. */
static void ask_mx_existence(struct spf_dns *d, struct str name, struct dns_answer *answer)
{
	struct dns_answer mx;

	spf_dns_ask(d, name, DNS_MX, &mx);
	*answer = mx;
	for (size_t i = 0; i < mx.count; i++) {
		spf_dns_ask(d, mx.records[i].name, family(d), answer);
		if (answer->result == DNS_OK)
			return;
	}
	if (mx.result == DNS_OK) /* hosts without addresses: no match, but not a void lookup of this term */
		answer->result = DNS_NODATA;
}

static void ask_for_library(struct spf_dns *d, struct str name, enum dns_type type, struct dns_answer *answer)
{
	if (type == DNS_A && d->existence == SPF_EXISTS_MX)
		ask_mx_existence(d, name, answer);
	else if (type == DNS_A && d->existence == SPF_EXISTS_AAAA)
		spf_dns_ask(d, name, DNS_AAAA, answer);
	else
		spf_dns_ask(d, name, type, answer);
	count_void(d, answer);
}

static bool resolves_to_client(struct spf_dns *d, struct str name)
{
	struct dns_answer answer;
	size_t size = d->client.v4 ? 4 : 16;

	spf_dns_ask(d, name, family(d), &answer);
	for (size_t i = 0; i < answer.count; i++)
		if (memcmp(answer.records[i].data.p, d->client.b + 16 - size, size) == 0)
			return true;
	return false;
}

void spf_dns_client_names(struct spf_dns *d)
{
	struct dns_answer answer;
	struct buf ip = { 0 }, question = { 0 };

	if (d->names_known)
		return;
	d->names_known = true;
	ip_print(&ip, &d->client);
	dns_reverse_name(buf_str(&ip), STR_NONE, &question);
	spf_dns_ask(d, buf_str(&question), DNS_PTR, &answer);
	count_void(d, &answer);
	buf_done(&ip);
	buf_done(&question);
	for (size_t i = 0; i < answer.count && i < SPF_CLIENT_NAMES; i++)
		if (resolves_to_client(d, answer.records[i].name))
			d->names[d->name_count++] = answer.records[i].name;
}

static SPF_dns_stat_t status_of(enum dns_result r)
{
	switch (r) {
	case DNS_OK:
		return NETDB_SUCCESS;
	case DNS_NODATA:
		return NO_DATA;
	case DNS_TEMPFAIL:
		return TRY_AGAIN;
	case DNS_NXDOMAIN:
	case DNS_BADNAME:
		break;
	}
	return HOST_NOT_FOUND;
}

/* One record's content into the library's slot i. */
static bool put_record(SPF_dns_rr_t *rr, int i, ns_type type, struct str data)
{
	if (SPF_dns_rr_buf_realloc(rr, i, data.n + 1 < sizeof(SPF_dns_rr_data_t) ? sizeof(SPF_dns_rr_data_t) : data.n + 1) != SPF_E_SUCCESS)
		return false;
	if (type == ns_t_a)
		memcpy(&rr->rr[i]->a, data.p, sizeof rr->rr[i]->a);
	else if (type == ns_t_aaaa)
		memcpy(&rr->rr[i]->aaaa, data.p, sizeof rr->rr[i]->aaaa);
	else
		memcpy((char *)rr->rr[i], data.p, data.n + 1);
	rr->num_rr = i + 1;
	return true;
}

static void put_records(SPF_dns_rr_t *rr, struct spf_dns *d, ns_type type, const struct dns_answer *answer)
{
	static const char some_address[] = { 127, 0, 0, 2 };

	for (size_t i = 0; i < answer->count; i++) {
		const struct dns_record *r = &answer->records[i];
		struct str data = type == ns_t_mx ? r->name : r->data;

		if (type == ns_t_a && d->existence != SPF_EXISTS_PLAIN)
			data = str_n(some_address, sizeof some_address);
		else
			data = str_n(arena_z(d->a, data), data.n);
		if (!put_record(rr, (int)i, type, data))
			return;
	}
}

static SPF_dns_rr_t *lookup(SPF_dns_server_t *server, const char *domain, ns_type type, int should_cache)
{
	struct spf_dns *d = server->hook;
	struct dns_answer answer = { .result = DNS_NODATA };
	struct str name = str_eqiz(str_z(domain), SPF_STAND_IN) ? d->target : str_z(domain);
	SPF_dns_rr_t *rr;

	(void)should_cache; /* libunbound caches */
	if (type == ns_t_a || type == ns_t_aaaa || type == ns_t_mx)
		ask_for_library(d, name, (enum dns_type)type, &answer);
	rr = SPF_dns_rr_new_init(server, domain, type, 0, status_of(answer.result));
	if (rr != NULL && answer.result == DNS_OK)
		put_records(rr, d, type, &answer);
	return rr;
}

struct SPF_dns_server_struct *spf_dns_server(struct spf_dns *d)
{
	SPF_dns_server_t *server = arena_alloc(d->a, sizeof *server);

	server->lookup = lookup;
	server->name = "gatepost";
	server->hook = d;
	return server;
}

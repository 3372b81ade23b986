/* policyd/allow.c - the lists that go before all checks. A sender address proves nothing: it counts with SPF pass only. A list that cannot
 * be read allows nobody.
 */
#include "policyd/allow.h"

#include "lib/base/log.h"
#include "policyd/checks.h"

static bool listed(const struct request *r, const struct tables *ts, struct str address)
{
	struct buf value = { 0 };
	struct str ext;
	struct err e = ERR_INIT;
	enum table_answer answer = TABLE_MISSING;

	if (ts->count > 0 && address.n > 0)
		answer = tables_lookup_address(ts, address, r->settings->recipient_delimiter, false, &value, &ext, &e);
	if (answer == TABLE_FAILED)
		log_warn("%s", e.text);
	buf_done(&value);
	return answer == TABLE_FOUND;
}

static bool client_listed(const struct request *r)
{
	struct err e = ERR_INIT;

	return (r->client_address.n > 0 && matchlist_addr(r->settings->allow_clients, r->client_address, &e) == TABLE_FOUND) ||
	       (r->client_name.n > 0 && matchlist_host(r->settings->allow_clients, r->client_name, &e) == TABLE_FOUND);
}

const char *allow_reason(struct request *r)
{
	struct str domain;

	if (client_listed(r))
		return "policyd_allow_clients";
	if (listed(r, &r->settings->allow_recipients, r->recipient))
		return "policyd_allow_recipients";
	if (listed(r, &r->settings->allow_senders, r->sender) && spf_passes(r, &domain))
		return "policyd_allow_senders";
	return NULL;
}

/* policyd/check_access.c - check_*_access type:table: a fact about the client or the envelope looked up in a table (access(5)). */
#include "policyd/check_access.h"

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "policyd/ruleset.h"

#define CCERT_KEYS_MAX 2

/* "{ type:table, { search_order = pubkey_fingerprint, cert_fingerprint } }" */
static int parse_group(struct str group, struct arena *a, struct access *access, struct err *e)
{
	struct str rest = str_sub(group, 1, group.n - 2), options, word;

	access->spec = str_word_braced(&rest);
	options = str_trim(str_word_braced(&rest));
	if (options.n < 2 || options.p[0] != '{')
		return options.n == 0 ? 0 : err_temp(e, "\"{ search_order = ... }\" expected, not \"%.*s\"", STRF(options));
	options = str_sub(options, 1, options.n - 2);
	if (!str_eqz(str_trim(str_cut(&options, '=')), "search_order"))
		return err_temp(e, "only search_order can be set");
	access->order = arena_alloc(a, CCERT_KEYS_MAX * sizeof *access->order);
	while ((word = str_word(&options, ", \t\r\n")).n > 0) {
		if (access->order_count == CCERT_KEYS_MAX || (!str_eqz(word, "cert_fingerprint") && !str_eqz(word, "pubkey_fingerprint")))
			return err_temp(e, "search_order: unexpected \"%.*s\"", STRF(word));
		access->order[access->order_count++] = arena_dup(a, word);
	}
	return 0;
}

int access_prepare(struct rule *rule, struct arena *a, struct err *e)
{
	struct access *access = arena_alloc(a, sizeof *access);

	access->spec = rule->argument;
	if (rule->argument.p[0] == '{' && parse_group(rule->argument, a, access, e) < 0)
		return -1;
	access->table = ruleset_table(access->spec, e);
	rule->state = access;
	return access->table == NULL ? -1 : 0;
}

/* Which line it was, for who wants reasons; the table alone is named already. */
static struct str place_of_answer(struct request *r, struct str spec)
{
	struct buf place = { 0 };
	struct str text;

	if (r->trace == NULL)
		return STR_NONE;
	table_place(&place);
	text = str_eq(buf_str(&place), spec) ? STR_NONE : arena_dup(r->life, buf_str(&place));
	buf_done(&place);
	return text;
}

bool access_lookup(const struct access *access, struct request *r, struct access_keys keys, struct verdict *v)
{
	struct buf value = { 0 };
	enum table_answer answer = TABLE_MISSING;
	struct err e = ERR_INIT;
	size_t limit = table_is_pattern(access->table) && keys.count > 1 ? 1 : keys.count;

	for (size_t i = 0; i < limit && answer == TABLE_MISSING; i++)
		answer = table_lookup(access->table, keys.list[i], &value, &e);
	if (answer == TABLE_FOUND) {
		v->action = arena_dup(r->life, buf_str(&value));
		v->result = STR("found");
		v->why = place_of_answer(r, access->spec);
		if (v->action.n == 0) {
			log_warn("%.*s: lookup result is empty, taken as OK", STRF(access->spec));
			v->action = STR("OK");
		}
	} else if (answer == TABLE_FAILED) {
		log_warn("%s", e.text);
		v->action = STR("451 4.3.5 Server configuration error");
	}
	buf_done(&value);
	return answer != TABLE_MISSING;
}

static bool is_permit(struct str action)
{
	struct str word = str_word(&action, " \t");
	uint64_t digits;

	return str_eqiz(word, "OK") || str_eqiz(word, "RELAY") || str_eqiz(word, "permit") ||
	       (action.n == 0 && str_to_u64(word, UINT64_MAX, &digits));
}

void access_forbid_permit(const struct rule *rule, struct str subject, struct verdict *v)
{
	if (!is_permit(v->action))
		return;
	log_warn("restriction %s returns OK for %.*s", rule->check->name, STRF(subject));
	log_warn("this is not allowed for security reasons");
	log_warn("use DUNNO instead of OK if you want to make an exception");
	verdict_config_error(v);
}

static void eval_client(const struct access *access, struct request *r, struct verdict *v)
{
	if (r->client_name.n == 0 || !access_lookup(access, r, access_host_keys(r->life, r->client_name, r->settings->parents_plain), v))
		access_lookup(access, r, access_ip_keys(r->life, r->client_address), v);
}

static void eval_mail(const struct access *access, struct request *r, struct str address, struct verdict *v)
{
	struct str null_key = str_z(r->settings->null_key), quoted;

	if (address.n == 0) {
		access_lookup(access, r, (struct access_keys){ &null_key, 1 }, v);
		return;
	}
	if (request_domain(address).n == 0) {
		log_warn("no access lookup for an address without domain: \"%.*s\"", STRF(address));
		return;
	}
	quoted = addr_quote(r->life, address);
	if (!str_eq(quoted, address) && access_lookup(access, r, (struct access_keys){ &quoted, 1 }, v))
		return;
	access_lookup(access, r, access_mail_keys(r->life, address, r->settings->recipient_delimiter, r->settings->parents_plain), v);
}

static void eval_ccert(const struct access *access, struct request *r, struct verdict *v)
{
	static struct str usual[CCERT_KEYS_MAX] = { STR_INIT("cert_fingerprint"), STR_INIT("pubkey_fingerprint") };
	const struct str *order = access->order_count > 0 ? access->order : usual;
	size_t count = access->order_count > 0 ? access->order_count : CCERT_KEYS_MAX;

	for (size_t i = 0; i < count; i++) {
		struct str key = str_eqz(order[i], "cert_fingerprint") ? r->ccert_fingerprint : r->ccert_pubkey_fingerprint;

		if (key.n > 0 && access_lookup(access, r, (struct access_keys){ &key, 1 }, v))
			return;
	}
}

static void eval_host(const struct access *access, struct request *r, struct str name, struct verdict *v)
{
	if (name.n > 0)
		access_lookup(access, r, access_host_keys(r->life, name, r->settings->parents_plain), v);
}

void access_eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	const struct access *access = rule->state;

	switch ((enum access_subject)rule->check->variant) {
	case ACCESS_CLIENT:
		eval_client(access, r, v);
		break;
	case ACCESS_REVERSE_CLIENT:
		eval_host(access, r, r->reverse_client_name, v);
		access_forbid_permit(rule, r->reverse_client_name, v);
		break;
	case ACCESS_HELO:
		eval_host(access, r, r->helo, v);
		break;
	case ACCESS_ETRN:
		eval_host(access, r, r->etrn_domain, v);
		break;
	case ACCESS_SENDER:
		eval_mail(access, r, r->sender, v);
		break;
	case ACCESS_RCPT:
		eval_mail(access, r, r->recipient, v);
		break;
	case ACCESS_CCERT:
		eval_ccert(access, r, v);
		break;
	case ACCESS_SASL:
		if (r->sasl_username.n > 0)
			access_lookup(access, r, (struct access_keys){ &r->sasl_username, 1 }, v);
		break;
	}
}

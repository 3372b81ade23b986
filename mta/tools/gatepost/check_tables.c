/* mta/tools/gatepost/check_tables.c - check: tables that cannot be read, lists with mistakes, domains in two classes. */
#include "lib/mail/addr.h"
#include "lib/table/table.h"
#include "mta/tools/gatepost/check.h"

static bool ends_with(const char *name, const char *suffix)
{
	return str_ends(str_z(name), str_z(suffix));
}

/* A default that only repeats another parameter: that one is told of. */
static bool repeats_another(const struct conf *c, const char *name)
{
	return !conf_is_set(c, name) && *conf_raw(c, name) == '$';
}

static void check_table_parameter(struct checking *k, const char *name)
{
	struct str rest = str_z(conf_str(k->c, name)), word;
	struct tables ts;
	struct err e = ERR_INIT;

	if (repeats_another(k->c, name))
		return;
	if (tables_open(k->a, conf_str(k->c, name), k->t->conf_dir, &ts, &e) < 0)
		found(k, true, name, "%s", e.text);
	tables_close(&ts);
	while ((word = str_word_braced(&rest)).n > 0)
		check_table_file(k, name, word);
}

void check_tables(struct checking *k)
{
	const char *const *names;
	size_t count = conf_names(k->c, k->a, &names);

	for (size_t i = 0; i < count; i++) {
		const struct param *p = conf_param_find(str_z(names[i]));

		if (p == NULL || p->type != PARAM_STR || strncmp(names[i], "proxy_", 6) == 0)
			continue;
		if (ends_with(names[i], "_maps") || ends_with(names[i], "_checks"))
			check_table_parameter(k, names[i]);
	}
}

void check_lists(struct checking *k)
{
	static const struct {
		const char *name;
		unsigned flags;
	} lists[] = {
		{ "mynetworks", MATCH_ADDR },
		{ "mydestination", MATCH_HOST },
		{ "relay_domains", MATCH_HOST },
		{ "virtual_alias_domains", MATCH_HOST },
		{ "virtual_mailbox_domains", MATCH_HOST },
		{ "smtpd_authorized_xclient_hosts", MATCH_HOST | MATCH_ADDR },
		{ "smtpd_authorized_xforward_hosts", MATCH_HOST | MATCH_ADDR },
		{ "smtpd_client_event_limit_exceptions", MATCH_HOST | MATCH_ADDR },
		{ "smtpd_forbid_bare_newline_exclusions", MATCH_HOST | MATCH_ADDR },
		{ "smtpd_sasl_exceptions_networks", MATCH_HOST | MATCH_ADDR },
		{ "permit_mx_backup_networks", MATCH_HOST | MATCH_ADDR },
	};

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		struct err e = ERR_INIT;
		struct matchlist *m = matchlist_open(conf_str(k->c, lists[i].name), lists[i].flags, k->t->conf_dir, &e);

		if (m == NULL && (i == 0 || conf_is_set(k->c, lists[i].name))) /* defaults repeat what mynetworks says */
			found(k, true, lists[i].name, "%s", e.text);
		matchlist_close(m);
	}
}

/* A domain can be in one class only; the others never count. */
void check_classes(struct checking *k)
{
	static const char *const others[] = { "virtual_alias_domains", "virtual_mailbox_domains" };
	struct str rest = str_z(conf_str(k->c, "mydestination")), word;
	struct err e = ERR_INIT;

	while ((word = str_word_braced(&rest)).n > 0) {
		if (!addr_domain_valid(word))
			continue;
		for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
			struct matchlist *m = matchlist_open(conf_str(k->c, others[i]), MATCH_HOST | MATCH_WHOLE, k->t->conf_dir, &e);

			if (m != NULL && matchlist_host(m, word, &e) == TABLE_FOUND)
				found(k, false, others[i], "do not list domain %.*s in BOTH mydestination and %s", STRF(word), others[i]);
			matchlist_close(m);
		}
	}
}


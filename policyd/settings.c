/* policyd/settings.c - the configuration as policyd uses it: main.cf's, and one more reading for each row of master.cf that runs smtpd with
 * settings of its own, which count for what is asked in that row's sessions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/conf/master_cf.h"
#include "lib/service/service.h"
#include "policyd/checks.h"
#include "policyd/ruleset.h"
#include "policyd/store.h"

struct settings settings;

/* By the name of the row. NULL: no row has settings of its own. */
static struct map *rows;

/* What main.cf says of this parameter was told when main.cf was read. */
static bool told_before(const struct settings *s, const char *parameter)
{
	return s != &settings && strcmp(conf_source(s->conf, parameter), conf_source(settings.conf, parameter)) == 0;
}

/* A setting that cannot be used. "policyd -n" goes on and tells the next one, too. */
static void bad_setting(const struct settings *s, const char *parameter, const struct err *e)
{
	const char *source = conf_source(s->conf, parameter);

	if (told_before(s, parameter))
		return;
	if (!service_testing())
		log_fatal("%s: parameter %s: %s", source, parameter, e->text);
	log_error("%s: parameter %s: %s", source, parameter, e->text);
	settings.broken = true;
}

static struct matchlist *open_clients(const struct settings *s, const char *parameter)
{
	struct err e = ERR_INIT;
	struct matchlist *m = matchlist_open(conf_str(s->conf, parameter), MATCH_ADDR | MATCH_HOST | MATCH_PARENT, conf_dir(s->conf), &e);

	if (m == NULL)
		bad_setting(s, parameter, &e);
	return m;
}

static void open_tables(const struct settings *s, const char *parameter, struct tables *out)
{
	struct err e = ERR_INIT;

	if (tables_open(arena_new("policyd tables"), conf_str(s->conf, parameter), conf_dir(s->conf), out, &e) < 0)
		bad_setting(s, parameter, &e);
}

/* Who asks for these gets 451 until they are mended; the others are served. */
static void bad_restrictions(const struct settings *s, const char *parameter, const struct err *e)
{
	if (service_testing())
		bad_setting(s, parameter, e);
	else if (!told_before(s, parameter))
		log_warn("%s: parameter %s: %s", conf_source(s->conf, parameter), parameter, e->text);
}

static void fill(struct settings *s, const struct conf *c)
{
	struct err e = ERR_INIT;

	s->conf = c;
	s->rulesets = rulesets_new();
	s->myhostname = conf_str(c, "myhostname");
	s->recipient_delimiter = conf_str(c, "recipient_delimiter");
	s->null_key = conf_str(c, "smtpd_null_access_lookup_key");
	s->parents_plain = conf_list_has(c, "parent_domain_matches_subdomains", "smtpd_access_maps");
	s->timeout_ms = conf_time_ms(c, "policyd_timeout");
	s->dns_timeout_ms = conf_time_ms(c, "dns_timeout");
	s->restrictions = str_z(conf_str(c, "policyd_restrictions"));
	s->key_prefix = str_z(conf_str(c, "redis_key_prefix"));
	s->spf_exempt = open_clients(s, "spf_exempt_clients");
	s->greylist_exempt = open_clients(s, "greylist_exempt_clients");
	s->greylist_known_domains = open_clients(s, "greylist_known_domains");
	s->allow_clients = open_clients(s, "policyd_allow_clients");
	s->classes = str_z(conf_str(c, "policyd_restriction_classes"));
	open_tables(s, "rbl_reply_maps", &s->rbl_reply_maps);
	open_tables(s, "greylist_exempt_recipients", &s->greylist_exempt_recipients);
	open_tables(s, "policyd_allow_recipients", &s->allow_recipients);
	open_tables(s, "policyd_allow_senders", &s->allow_senders);
	if (trouble_prepare(conf_str(c, "policyd_trouble_actions"), &s->remedies, &e) < 0)
		bad_setting(s, "policyd_trouble_actions", &e);
	ruleset_open_tables(s);
	ruleset_try_all(s, bad_restrictions);
}

/* ---- rows of master.cf ---- */

static void add_row(const struct service_row *row)
{
	struct err e = ERR_INIT;
	const struct conf *c = service_conf_with(row->overrides, row->override_count, &e);
	struct settings *s;

	if (c == NULL) { /* its smtpd cannot run either */
		log_warn("master.cf:%d: service %s: %s", row->line, row->name, e.text);
		return;
	}
	s = mem_alloc(sizeof *s);
	map_put(rows, str_z(row->name), s);
	fill(s, c);
}

static bool has_own_settings(const struct service_row *row)
{
	return row->override_count > 0 && (strcmp(row->command, "smtpd") == 0 || strcmp(row->command, "postscreen") == 0);
}

/* Without a master.cf policyd is alone, and nobody names a row. */
static void load_rows(const struct conf *c)
{
	struct arena *a = arena_new("policyd rows");
	struct err e = ERR_INIT;
	struct service_row *all = NULL;
	size_t count = 0;

	if (master_cf_load(conf_dir(c), a, &all, &count, &e) == 0)
		master_cf_join_postscreen(a, all, count, conf_str(c, "smtpd_service_name"));
	for (size_t i = 0; i < count; i++) {
		if (rows == NULL)
			rows = map_new();
		if (has_own_settings(&all[i]) && map_get(rows, str_z(all[i].name)) == NULL)
			add_row(&all[i]);
	}
	arena_free(a);
}

const struct settings *settings_of(struct str service)
{
	const struct settings *s = service.n > 0 && rows != NULL ? map_get(rows, service) : NULL;

	return s != NULL ? s : &settings;
}

/* ---- all ---- */

/* "policyd -n": what differs from the defaults; or failure. */
static void tell_settings(const struct conf *c)
{
	static const struct {
		const struct param *rows;
		const size_t *count;
	} areas[] = { { params_policy, &params_policy_count }, { params_redis, &params_redis_count } };

	if (settings.broken) {
		log_flush();
		exit(1);
	}
	for (size_t i = 0; i < sizeof areas / sizeof *areas; i++)
		for (size_t k = 0; k < *areas[i].count; k++)
			if (conf_is_set(c, areas[i].rows[k].name))
				printf("%s = %s\n", areas[i].rows[k].name, conf_raw(c, areas[i].rows[k].name));
}

void settings_load(const struct conf *c)
{
	struct err e = ERR_INIT;

	fill(&settings, c);
	load_rows(c);
	if (store_init(c, &e) < 0)
		bad_setting(&settings, "redis_server", &e);
	if (service_testing())
		tell_settings(c);
}

/* policyd/settings.c - the configuration as policyd uses it: main.cf's, and one more reading for each row of master.cf that runs smtpd with
 * settings of its own, which count for what is asked in that row's sessions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/service/service.h"
#include "lib/service/smtpd_rows.h"
#include "policyd/checks.h"
#include "policyd/ruleset.h"
#include "policyd/store.h"

struct settings settings;

/* Does a row say of this parameter what main.cf says? Then it was opened, and trouble with it told, when main.cf was read. */
static bool done_before(const struct settings *s, const char *parameter)
{
	const char *now = conf_lookup(s->conf, str_z(parameter)), *before = conf_lookup(settings.conf, str_z(parameter));

	return s != &settings && now != NULL && before != NULL && strcmp(now, before) == 0;
}

/* A setting that cannot be used. "policyd -n" goes on and tells the next one, too. */
static void bad_setting(const struct settings *s, const char *parameter, const struct err *e)
{
	const char *source = conf_source(s->conf, parameter);

	if (!service_testing())
		log_fatal("%s: parameter %s: %s", source, parameter, e->text);
	log_error("%s: parameter %s: %s", source, parameter, e->text);
	settings.broken = true;
}

static void open_clients(const struct settings *s, const char *parameter, struct matchlist **out)
{
	struct err e = ERR_INIT;

	if (done_before(s, parameter))
		return;
	*out = matchlist_open(conf_str(s->conf, parameter), MATCH_ADDR | MATCH_HOST | MATCH_PARENT, conf_dir(s->conf), &e);
	if (*out == NULL)
		bad_setting(s, parameter, &e);
}

static void open_tables(const struct settings *s, const char *parameter, struct tables *out)
{
	struct err e = ERR_INIT;

	if (!done_before(s, parameter) && tables_open(arena_new("policyd tables"), conf_str(s->conf, parameter), conf_dir(s->conf), out, &e) < 0)
		bad_setting(s, parameter, &e);
}

/* Who asks for these gets 451 until they are mended; the others are served. */
static void bad_restrictions(const struct settings *s, const char *parameter, const struct err *e)
{
	if (done_before(s, parameter))
		return;
	if (service_testing())
		bad_setting(s, parameter, e);
	else
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
	open_clients(s, "spf_exempt_clients", &s->spf_exempt);
	open_clients(s, "greylist_exempt_clients", &s->greylist_exempt);
	open_clients(s, "greylist_known_domains", &s->greylist_known_domains);
	open_clients(s, "policyd_allow_clients", &s->allow_clients);
	s->classes = str_z(conf_str(c, "policyd_restriction_classes"));
	open_tables(s, "rbl_reply_maps", &s->rbl_reply_maps);
	open_tables(s, "greylist_exempt_recipients", &s->greylist_exempt_recipients);
	open_tables(s, "policyd_allow_recipients", &s->allow_recipients);
	open_tables(s, "policyd_allow_senders", &s->allow_senders);
	if (trouble_prepare(conf_str(c, "policyd_trouble_actions"), &s->remedies, &e) < 0 && !done_before(s, "policyd_trouble_actions"))
		bad_setting(s, "policyd_trouble_actions", &e);
	ruleset_open_tables(s);
	ruleset_try_all(s, bad_restrictions);
}

/* ---- rows of master.cf ---- */

static void *make_row(const struct conf *c)
{
	struct settings *s = mem_alloc(sizeof *s);

	*s = settings;
	fill(s, c);
	return s;
}

const struct settings *settings_of(struct str service)
{
	const struct settings *s = smtpd_row(service);

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
	smtpd_rows_load(c, make_row);
	if (store_init(c, &e) < 0)
		bad_setting(&settings, "redis_server", &e);
	if (service_testing())
		tell_settings(c);
}

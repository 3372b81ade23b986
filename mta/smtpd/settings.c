/* mta/smtpd/settings.c - reads main.cf into struct settings: plain values (settings_values.c), then what needs opening. */
#include "mta/smtpd/settings.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/service/service.h"
#include "mta/smtpd/transcript.h"

struct settings cf;

/* ---- words with a bit each ---- */

struct bit_row {
	const char *word;
	unsigned bit;
};

static const struct bit_row ehlo_words[] = {
	{ "8BITMIME", HIDE_8BITMIME },
	{ "AUTH", HIDE_AUTH },
	{ "CHUNKING", HIDE_CHUNKING },
	{ "DSN", HIDE_DSN },
	{ "ENHANCEDSTATUSCODES", HIDE_ENHANCED },
	{ "ETRN", HIDE_ETRN },
	{ "PIPELINING", HIDE_PIPELINING },
	{ "REQTLS", HIDE_REQTLS },
	{ "SILENT-DISCARD", HIDE_SILENT },
	{ "SIZE", HIDE_SIZE },
	{ "SMTPUTF8", HIDE_SMTPUTF8 },
	{ "STARTTLS", HIDE_STARTTLS },
	{ "VERP", HIDE_VERP },
	{ "VRFY", HIDE_VRFY },
	{ "XCLIENT", HIDE_XCLIENT },
	{ "XFORWARD", HIDE_XFORWARD },
};

static const struct bit_row override_words[] = {
	{ "no_address_mappings", OVERRIDE_NO_MAPPINGS },
	{ "no_header_body_checks", OVERRIDE_NO_CHECKS },
	{ "no_milters", OVERRIDE_NO_MILTERS },
	{ "no_unknown_recipient_checks", OVERRIDE_NO_UNKNOWN_RCPT },
};

static unsigned bits_parse(const struct bit_row *rows, size_t count, struct str words, const char *what)
{
	unsigned bits = 0;
	struct str w = str_word(&words, ", \t\r\n");

	for (; w.n > 0; w = str_word(&words, ", \t\r\n")) {
		size_t i = 0;

		while (i < count && !str_eqiz(w, rows[i].word))
			i++;
		if (i == count)
			log_warn("unknown %s \"%.*s\" ignored", what, STRF(w));
		else
			bits |= rows[i].bit;
	}
	return bits;
}

unsigned ehlo_discard_parse(struct str words)
{
	return bits_parse(ehlo_words, sizeof ehlo_words / sizeof *ehlo_words, words, "EHLO keyword");
}

/* ---- things that are opened ---- */

static void open_list(const struct conf *c, const char *name, unsigned flags, struct matchlist **out)
{
	struct err e = ERR_INIT;

	*out = matchlist_open(conf_str(c, name), flags, conf_dir(c), &e);
	if (*out == NULL)
		log_fatal("%s: %s", name, e.text);
}

static void open_tables(const struct conf *c, const char *name, struct tables *out)
{
	struct err e = ERR_INIT;

	if (tables_open(cf.life, conf_str(c, name), conf_dir(c), out, &e) < 0)
		log_fatal("%s: %s", name, e.text);
}

/* Words are verbs; "type:table" words are tables asked for the verb. */
static void open_verbs(const struct conf *c, const char *name, struct str **verbs, size_t *count, struct tables *tables)
{
	struct str *words = NULL;
	size_t n = conf_list(cf.life, conf_str(c, name), &words);
	struct buf maps = { 0 };
	struct err e = ERR_INIT;

	*verbs = arena_alloc(cf.life, (n + 1) * sizeof **verbs);
	for (size_t i = 0; i < n; i++)
		if (str_chr(words[i], ':') >= 0)
			buf_addf(&maps, " %.*s", STRF(words[i]));
		else
			(*verbs)[(*count)++] = words[i];
	if (tables_open(cf.life, buf_z(&maps), conf_dir(c), tables, &e) < 0)
		log_fatal("%s: %s", name, e.text);
	buf_done(&maps);
}

static void open_own_addresses(const struct conf *c)
{
	struct buf b = { 0 };
	struct err e = ERR_INIT;
	struct str *words = NULL;
	const char *names[] = { "inet_interfaces", "proxy_interfaces" };

	for (size_t i = 0; i < 2; i++) {
		size_t n = conf_list(cf.life, conf_str(c, names[i]), &words);

		for (size_t k = 0; k < n; k++)
			if (str_eqiz(words[k], "all") || str_eqiz(words[k], "loopback-only") || str_eqiz(words[k], "localhost"))
				buf_addz(&b, " 127.0.0.1 [::1]");
			else
				buf_addf(&b, " %.*s", STRF(words[k]));
	}
	cf.own_addresses = matchlist_open(buf_z(&b), MATCH_ADDR, conf_dir(c), &e);
	if (cf.own_addresses == NULL)
		log_fatal("inet_interfaces: %s", e.text);
	buf_done(&b);
}

/* postscreen's settings are smtpd's unless they say something. */
static void load_wordings(const struct conf *c)
{
	const char *footer = conf_raw(c, "postscreen_reject_footer");

	cf.usual.ehlo_discard = ehlo_discard_parse(str_z(conf_str(c, "smtpd_discard_ehlo_keywords")));
	open_tables(c, "smtpd_discard_ehlo_keyword_address_maps", &cf.usual.ehlo_discard_maps);
	open_tables(c, "smtpd_reject_footer_maps", &cf.usual.footer_maps);
	if (!cf.early)
		return;
	cf.screened.ehlo_discard = ehlo_discard_parse(str_z(conf_str(c, "postscreen_discard_ehlo_keywords")));
	open_tables(c, "postscreen_discard_ehlo_keyword_address_maps", &cf.screened.ehlo_discard_maps);
	open_tables(c, "postscreen_reject_footer_maps", &cf.screened.footer_maps);
	cf.screened.reject_footer = strcmp(footer, "$smtpd_reject_footer") == 0 ? conf_raw(c, "smtpd_reject_footer") : footer;
}

static void open_lists(const struct conf *c)
{
	unsigned both = MATCH_HOST | MATCH_ADDR;

	open_list(c, "mynetworks", MATCH_ADDR, &cf.mynetworks);
	open_list(c, "smtpd_authorized_xclient_hosts", both, &cf.xclient_hosts);
	open_list(c, "smtpd_authorized_xforward_hosts", both, &cf.xforward_hosts);
	open_list(c, "smtpd_authorized_verp_clients", both, &cf.verp_clients);
	open_list(c, "smtpd_client_event_limit_exceptions", both, &cf.limit_exempt);
	open_list(c, "smtpd_forbid_bare_newline_exclusions", both, &cf.bare_exempt);
	open_list(c, "smtpd_sasl_exceptions_networks", MATCH_ADDR, &cf.sasl_exceptions);
	open_list(c, "fast_flush_domains",
		MATCH_HOST | (conf_list_has(c, "parent_domain_matches_subdomains", "fast_flush_domains") ? MATCH_PARENT : 0u), &cf.flush_domains);
	open_list(c, "trusted_hops", MATCH_ADDR, &cf.trusted_hops);
	open_list(c, "permit_mx_backup_networks", MATCH_ADDR, &cf.backup_networks);
	cf.backup_networks_set = *conf_str(c, "permit_mx_backup_networks") != '\0';
	open_own_addresses(c);
	open_tables(c, "relay_clientcerts", &cf.relay_clientcerts);
	open_tables(c, "smtpd_milter_maps", &cf.milter_maps);
	open_tables(c, "smtpd_command_filter", &cf.command_filter);
	open_tables(c, "smtpd_sender_login_maps", &cf.login_maps);
	open_verbs(c, "smtpd_forbidden_commands", &cf.forbidden, &cf.forbidden_count, &cf.forbidden_tables);
	open_verbs(c, "smtpd_noop_commands", &cf.noop_verbs, &cf.noop_verb_count, &cf.noop_tables);
}

/* ---- milters ---- */

int settings_milter_chain(struct arena *a, const char *text, struct milter_chain *out, struct err *e)
{
	return milter_chain_parse(a, text, &cf.milter_defaults, out, e);
}

static void load_milters(const struct conf *c)
{
	struct err e = ERR_INIT;

	if (milter_settings_load(c, &cf.milter_defaults, &cf.milter_macros, &e) < 0)
		log_fatal("%s", e.text);
	if (cf.override & OVERRIDE_NO_MILTERS)
		return;
	if (settings_milter_chain(cf.life, conf_str(c, "smtpd_milters"), &cf.milters, &e) < 0)
		log_fatal("smtpd_milters: %s", e.text);
}

static enum bare_newline bare_newline_parse(const char *word)
{
	if (str_eqiz(str_z(word), "reject"))
		return BARE_REJECT;
	return str_eqiz(str_z(word), "note") ? BARE_NOTE : BARE_NORMALIZE; /* "no" would allow smuggling: not offered */
}

static const struct bit_row proxy_words[] = {
	{ "speed_adjust", 1 },
};

static void load_proxy_filter(const struct conf *c)
{
	struct str words = str_z(conf_str(c, "smtpd_proxy_options"));

	cf.proxy_speed_adjust = bits_parse(proxy_words, 1, words, "smtpd_proxy_options word") != 0;
	if (*cf.proxy_filter != '\0' && cf.milters.count > 0)
		log_warn("smtpd_proxy_filter: smtpd_milters will not see the content: name them where the filter gives the mail back");
}

void settings_load(const struct conf *c)
{
	struct str overrides = str_z(conf_str(c, "receive_override_options"));

	cf.life = arena_new("smtpd settings");
	settings_values_load(c);
	load_wordings(c);
	cf.override = bits_parse(override_words, sizeof override_words / sizeof *override_words, overrides,
		"receive_override_options word");
	cf.notify = transcript_classes(str_z(conf_str(c, "notify_classes")));
	cf.bare_newline = bare_newline_parse(conf_str(c, "smtpd_forbid_bare_newline"));
	open_lists(c);
	settings_load_tls(c);
	load_milters(c);
	load_proxy_filter(c);
	restrict_load(c);
	cf.cleanup = pool_new(service_endpoint(c, "cleanup_service_name"), 64, 60 * 1000, 600 * 1000);
	cf.policyd = pool_new("unix:private/policyd", 64, 60 * 1000, 600 * 1000);
	cf.rewrite = rewrite_client_new(service_endpoint(c, "rewrite_service_name"), cf.ipc_timeout_ms < 100 * 1000 ? cf.ipc_timeout_ms : 100 * 1000);
}

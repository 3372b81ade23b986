/* mta/smtpd/restrict_load.c - from the words of smtpd_*_restrictions to lists of rules, and the check that they end open relaying. */
#include <string.h>

#include "lib/base/log.h"
#include "mta/smtpd/policy.h"
#include "mta/smtpd/settings.h"

static const struct list_param {
	const char *param;
	const char *natural; /* what a bare "type:table" means in this list */
} list_params[LIST_COUNT] = {
	[LIST_CLIENT] = { "smtpd_client_restrictions", "check_client_access" },
	[LIST_HELO] = { "smtpd_helo_restrictions", "check_helo_access" },
	[LIST_SENDER] = { "smtpd_sender_restrictions", "check_sender_access" },
	[LIST_RELAY] = { "smtpd_relay_restrictions", "check_recipient_access" },
	[LIST_RCPT] = { "smtpd_recipient_restrictions", "check_recipient_access" },
	[LIST_DATA] = { "smtpd_data_restrictions", NULL },
	[LIST_EOD] = { "smtpd_end_of_data_restrictions", NULL },
	[LIST_ETRN] = { "smtpd_etrn_restrictions", "check_etrn_access" },
};

struct class_def { /* smtpd_restriction_classes: filled before any list is parsed, so that classes may name each other */
	struct str name;
	struct rule_list list;
};

static struct class_def *classes;
static size_t class_count;

static const struct rule_list *class_find(struct str name)
{
	for (size_t i = 0; i < class_count; i++)
		if (str_eqi(name, classes[i].name))
			return &classes[i].list;
	return NULL;
}

static bool is_table(struct str word)
{
	return str_chr(word, ':') > 0 && word.p[0] != '{';
}

static bool wants_arg(const struct restriction *def, struct str rest)
{
	struct str next = str_word_braced(&rest);

	if (!(def->flags & RULE_ARG))
		return false;
	return next.n > 0;
}

static int add_rule(struct arena *a, struct str word, struct str *rest, const struct list_param *p, struct rule *r, struct err *e)
{
	r->word = word;
	r->klass = class_find(word);
	if (r->klass != NULL)
		return 0;
	if (is_table(word) && p->natural != NULL) {
		r->def = restriction_find(str_z(p->natural));
		r->word = str_z(p->natural);
		r->arg = word;
		return 0;
	}
	r->def = restriction_find(word);
	if (r->def == NULL)
		return 0; /* refused with 451 when it is reached, as Postfix does */
	if (wants_arg(r->def, *rest))
		r->arg = str_word_braced(rest);
	else if (r->def->flags & RULE_ARG)
		return err_perm(e, "restriction %.*s requires an argument", STRF(word));
	if (r->def->eval == check_policy_service)
		return policy_service_parse(a, r->arg, &r->policy, e);
	return 0;
}

int rule_list_parse(struct arena *a, struct str text, enum list_kind kind, const char *name, struct rule_list *out, struct err *e)
{
	struct str rest = text, word;
	size_t cap = 0;
	bool warn = false;

	for (struct str scan = text; str_word_braced(&scan).n > 0;)
		cap++;
	*out = (struct rule_list){ arena_alloc(a, (cap + 1) * sizeof *out->rules), 0, name, NULL, kind };
	while ((word = str_word_braced(&rest)).n > 0) {
		struct rule *r = &out->rules[out->count];

		if (str_eqiz(word, "warn_if_reject")) {
			warn = true;
			continue;
		}
		if (add_rule(a, arena_dup(a, word), &rest, &list_params[kind], r, e) < 0)
			return -1;
		r->arg = arena_dup(a, r->arg);
		r->warn = warn;
		warn = false;
		out->count++;
	}
	return 0;
}

bool rule_list_stops_relay(const struct rule_list *l)
{
	static const char *const words[] = { "check_relay_domains", "reject", "reject_unauth_destination", "defer", "defer_if_permit",
		"defer_unauth_destination" };

	for (size_t i = 0; i < l->count; i++)
		for (size_t k = 0; k < sizeof words / sizeof *words; k++)
			if (str_eqiz(l->rules[i].word, words[k]) && !l->rules[i].warn)
				return true;
	return false;
}

/* The DNS lists of old, named by a parameter of their own. */
static void load_maps_rbl(const struct conf *c)
{
	struct str *domains = NULL;
	struct buf text = { 0 };
	struct err e = ERR_INIT;
	size_t count = conf_list(cf.life, conf_str(c, "maps_rbl_domains"), &domains);

	for (size_t i = 0; i < count; i++)
		buf_addf(&text, " reject_rbl_client %.*s", STRF(domains[i]));
	if (rule_list_parse(cf.life, arena_dup(cf.life, buf_str(&text)), LIST_CLIENT, "maps_rbl_domains", &cf.maps_rbl, &e) < 0)
		log_fatal("maps_rbl_domains: %s", e.text);
	buf_done(&text);
}

static void load_classes(const struct conf *c)
{
	struct str *names = NULL;
	struct err e = ERR_INIT;
	size_t count = conf_list(cf.life, conf_str(c, "smtpd_restriction_classes"), &names);

	classes = arena_alloc(cf.life, (count + 1) * sizeof *classes);
	for (class_count = 0; class_count < count; class_count++)
		classes[class_count].name = names[class_count];
	for (size_t i = 0; i < count; i++) {
		const char *text = conf_lookup(c, names[i]);

		if (text == NULL)
			log_fatal("restriction class \"%.*s\" is not defined", STRF(names[i]));
		if (rule_list_parse(cf.life, str_z(text), LIST_RCPT, arena_z(cf.life, names[i]), &classes[i].list, &e) < 0)
			log_fatal("%.*s: %s", STRF(names[i]), e.text);
	}
}

/* The tables of local_header_rewrite_clients are asked for the address only, and what they say does not matter. */
static void load_local_clients(const struct conf *c)
{
	static const char name[] = "local_header_rewrite_clients";
	struct buf rules = { 0 }, maps = { 0 };
	struct str rest = str_z(conf_str(c, name)), word;
	struct err e = ERR_INIT;

	while ((word = str_word_braced(&rest)).n > 0)
		if (!str_eqiz(word, "check_address_map"))
			buf_addf(is_table(word) ? &maps : &rules, " %.*s", STRF(word));
	if (tables_open(cf.life, buf_z(&maps), conf_dir(c), &cf.local_client_maps, &e) < 0)
		log_fatal("%s: %s", name, e.text);
	if (rule_list_parse(cf.life, arena_dup(cf.life, buf_str(&rules)), LIST_CLIENT, name, &cf.local_clients, &e) < 0)
		log_fatal("%s: %s", name, e.text);
	buf_done(&rules);
	buf_done(&maps);
}

/* They are met again at run time: mail that reaches one is deferred. */
static void warn_of_unknown(const struct rule_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->rules[i].def == NULL && l->rules[i].klass == NULL)
			log_warn("%s: unknown restriction \"%.*s\": mail that reaches it is deferred", l->name, STRF(l->rules[i].word));
}

void restrict_load(const struct conf *c)
{
	struct err e = ERR_INIT;

	load_classes(c);
	load_maps_rbl(c);
	for (size_t i = 0; i < LIST_COUNT; i++)
		if (rule_list_parse(cf.life, str_z(conf_str(c, list_params[i].param)), (enum list_kind)i, list_params[i].param,
			    &cf.lists[i], &e) < 0)
			log_fatal("%s: %s", list_params[i].param, e.text);
	for (size_t i = 0; i < LIST_COUNT; i++)
		cf.lists[i].where = arena_z(cf.life, str_z(conf_source(c, list_params[i].param)));
	for (size_t i = 0; i < LIST_COUNT; i++)
		warn_of_unknown(&cf.lists[i]);
	load_local_clients(c);
	if (!rule_list_stops_relay(&cf.lists[LIST_RELAY]) && !rule_list_stops_relay(&cf.lists[LIST_RCPT]))
		log_fatal("in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance "
			  "of: reject_unauth_destination, defer_unauth_destination, reject, defer or defer_if_permit");
}

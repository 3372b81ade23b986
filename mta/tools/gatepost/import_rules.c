/* mta/tools/gatepost/import_rules.c - import: what becomes of one setting of Postfix's main.cf. */
#include "lib/conf/lines.h"
#include "lib/table/table.h"
#include "mta/tools/gatepost/import.h"

/* Settings that count, but are for Gatepost to choose. */
static const struct {
	const char *name, *why;
} own[] = {
	{ "daemon_directory", "Gatepost has its own daemons" },
	{ "data_directory", "Gatepost keeps its state in a directory of its own" },
	{ "mail_owner", "Gatepost runs as a user of its own" },
	{ "queue_directory", "Gatepost has a queue of its own: let Postfix empty its queue first" },
	{ "setgid_group", "Gatepost has a group of its own" },
};

/* Settings where a word of the value decides. */
static const struct {
	const char *name; /* or its ending, after "*" */
	const char *word; /* somewhere in the value */
	enum fate fate;
	const char *why;
} by_value[] = {
	{ "smtpd_sasl_type", "cyrus", FATE_REFUSED, "use Dovecot's login service: smtpd_sasl_type = dovecot, smtpd_sasl_path = private/auth" },
	{ "*_restrictions", "policyd-spf", FATE_DIFFERS, "works as it is; check_spf does the same without another daemon" },
	{ "*_restrictions", "policy-spf", FATE_DIFFERS, "works as it is; check_spf does the same without another daemon" },
	{ "*_restrictions", "postgrey", FATE_DIFFERS, "works as it is; check_greylist does the same, shared by several gateways" },
	{ "*_restrictions", ":10023", FATE_DIFFERS, "works as it is; check_greylist does the same, shared by several gateways" },
};

static bool name_fits(struct str name, const char *pattern)
{
	struct str p = str_z(pattern);

	if (str_starts(p, STR("*")))
		return str_ends(name, str_skip(p, 1));
	return str_eq(name, p);
}

/* ---- tables ---- */

static bool type_known(struct str type)
{
	const char *const *types;
	size_t count = table_type_names(&types);

	for (size_t i = 0; i < count; i++)
		if (str_eqz(type, types[i]))
			return true;
	return false;
}

static bool holds_tables(struct str name)
{
	static const char *const endings[] = { "_maps", "_checks", "_restrictions", "_table", "_exceptions", "_database", "_domains", "_networks",
		"_hosts", "_list", "_users", "_clientcerts", "_exclusions", "mydestination", "mynetworks" };

	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
		if (str_ends(name, str_z(endings[i])))
			return true;
	return false;
}

/* Is it "type:name"? *type: the part before, "proxy:" left out. */
static bool table_word(struct str word, struct str *type)
{
	*type = str_cut(&word, ':');
	if (str_eqz(*type, "proxy"))
		*type = str_cut(&word, ':');
	for (size_t i = 0; i < type->n; i++)
		if (type->p[i] < 'a' || type->p[i] > 'z')
			return false;
	return type->n > 0 && word.n > 0 && !str_eqz(*type, "inet") && !str_eqz(*type, "unix") && !str_eqz(*type, "local");
}

static enum fate judge_tables(const struct import *i, struct str value, const char **why)
{
	enum fate fate = FATE_SAME;
	struct str word, type;

	while ((word = str_word_braced(&value)).n > 0) {
		if (!table_word(word, &type))
			continue;
		if (!type_known(type)) {
			*why = arena_printf(i->a, "there are no tables of type \"%.*s\": %s", STRF(type), table_type_remedy(type)).p;
			return FATE_REFUSED;
		}
		if (str_eqz(type, "hash") || str_eqz(type, "btree")) {
			*why = "the text file itself is read, and read again when it changes; postmap is not needed";
			fate = FATE_DIFFERS;
		}
	}
	return fate;
}

/* ---- names ---- */

/* Does text refer to $name, or is one of its words name (a restriction class)? */
static bool mentions(struct str text, struct str name)
{
	ptrdiff_t at;

	while ((at = str_find(text, name)) >= 0) {
		char before = at > 0 ? text.p[at - 1] : '\n';

		text = str_skip(text, (size_t)at + name.n);
		if (strchr("${( \t,", before) != NULL && (text.n == 0 || (!isalnum((unsigned char)text.p[0]) && text.p[0] != '_')))
			return true;
	}
	return false;
}

/* A list of restrictions that smtpd_restriction_classes names. */
static bool is_class(const struct import *i, struct str name)
{
	struct lines l = { i->main_text, 1 };
	struct buf line = { 0 };
	bool yes = false;
	int number;

	while (!yes && lines_next(&l, &line, &number)) {
		struct str rest = buf_str(&line), word;

		if (!str_eqz(str_trim(str_cut(&rest, '=')), "smtpd_restriction_classes"))
			continue;
		while (!yes && (word = str_word(&rest, ", \t\r\n")).n > 0)
			yes = str_eq(word, name);
	}
	buf_done(&line);
	return yes;
}

static enum fate judge_unknown(const struct import *i, struct str name, const char **why)
{
	if (conf_postfix_knows(arena_z(i->a, name))) {
		*why = "nothing in Gatepost depends on it";
		return FATE_NONE;
	}
	if (mentions(i->main_text, name) || mentions(i->master_text, name)) /* the user's own: a restriction class, a part of others */
		return FATE_SAME;
	*why = "no parameter of Postfix or Gatepost, and nothing refers to it: a typing error?";
	return FATE_NONE;
}

/* By the name alone: what is Gatepost's to choose, and what nothing comes of. NULL: neither. */
static const char *no_effect(struct str name)
{
	for (size_t k = 0; k < sizeof own / sizeof *own; k++)
		if (str_eqz(name, own[k].name))
			return own[k].why;
	return import_without_effect(name);
}

enum fate import_judge(const struct import *i, struct str name, struct str value, const char **why)
{
	const char *none = no_effect(name);
	enum fate fate = FATE_SAME;
	struct str service;

	if (none != NULL) {
		*why = none;
		return FATE_NONE;
	}
	if (conf_param_find(name) == NULL && conf_family_find(name, &service) == NULL && !is_class(i, name))
		return judge_unknown(i, name, why);
	if (holds_tables(name) || is_class(i, name))
		fate = judge_tables(i, value, why);
	for (size_t k = 0; k < sizeof by_value / sizeof *by_value && fate != FATE_REFUSED; k++)
		if (name_fits(name, by_value[k].name) && str_find(value, str_z(by_value[k].word)) >= 0) {
			*why = by_value[k].why;
			return by_value[k].fate;
		}
	return fate;
}

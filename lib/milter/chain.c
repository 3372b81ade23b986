/* lib/milter/chain.c - smtpd_milters and its kin: a list of endpoints, of "{ endpoint, name=value ... }" with settings of their own, and
 * of "parallel { ... }" groups of both.
 */
#include <string.h>

#include "lib/conf/conf.h"
#include "lib/milter/filter.h"

static const char *const actions[] = {
	[MILTER_ACCEPT] = "accept",
	[MILTER_REJECT] = "reject",
	[MILTER_TEMPFAIL] = "tempfail",
	[MILTER_QUARANTINE] = "quarantine",
	[MILTER_SHUTDOWN] = "shutdown",
};

bool milter_default_parse(struct str word, enum milter_default *out)
{
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
		if (str_eqiz(word, actions[i])) {
			*out = (enum milter_default)i;
			return true;
		}
	}
	return false;
}

bool milter_protocol_parse(struct str words, unsigned *version, bool *no_header_reply)
{
	struct str word;
	unsigned found = 0;
	bool no_reply = false;

	for (word = str_word(&words, " \t\r\n,:"); word.n > 0; word = str_word(&words, " \t\r\n,:")) {
		if (str_eqiz(word, "no_header_reply"))
			no_reply = true;
		else if (word.n == 1 && strchr("2346", word.p[0]) != NULL && found == 0)
			found = (unsigned)(word.p[0] - '0');
		else
			return false;
	}
	*version = found;
	*no_header_reply = no_reply;
	return found != 0;
}

/* ---- settings of one filter ---- */

static bool set_time(struct str value, int64_t *ms)
{
	return conf_parse_time(value, 's', ms) && *ms > 0;
}

static bool set_connect(struct milter_settings *set, struct str value)
{
	return set_time(value, &set->connect_ms);
}

static bool set_command(struct milter_settings *set, struct str value)
{
	return set_time(value, &set->command_ms);
}

static bool set_content(struct milter_settings *set, struct str value)
{
	return set_time(value, &set->content_ms);
}

static bool set_default_action(struct milter_settings *set, struct str value)
{
	return milter_default_parse(value, &set->on_failure);
}

static bool set_protocol(struct milter_settings *set, struct str value)
{
	return milter_protocol_parse(value, &set->version, &set->no_header_reply);
}

static bool set_budget(struct milter_settings *set, struct str value)
{
	return conf_parse_time(value, 's', &set->budget_ms);
}

static bool set_breaker_time(struct milter_settings *set, struct str value)
{
	return conf_parse_time(value, 's', &set->breaker_ms);
}

static bool set_breaker_failures(struct milter_settings *set, struct str value)
{
	uint64_t n;

	if (!str_to_u64(value, UINT16_MAX, &n) || n == 0)
		return false;
	set->breaker_failures = (unsigned)n;
	return true;
}

static bool set_shadow(struct milter_settings *set, struct str value)
{
	return conf_parse_bool(value, &set->shadow);
}

static bool set_keep(struct milter_settings *set, struct str value)
{
	return conf_parse_bool(value, &set->keep);
}

static bool set_pipelining_after(struct milter_settings *set, struct str value)
{
	uint64_t n;

	if (!str_to_u64(value, INT32_MAX, &n))
		return false;
	set->pipelining_after = (unsigned)n;
	return true;
}

static const struct {
	const char *word;
	uint32_t bits;
} change_words[] = {
	{ "all", ACTION_ALL },
	{ "body", ACTION_CHGBODY },
	{ "envelope", ACTION_ADDRCPT | ACTION_ADDRCPT_PAR | ACTION_DELRCPT | ACTION_CHGFROM },
	{ "headers", ACTION_ADDHDRS | ACTION_CHGHDRS },
	{ "none", 0 },
};

/* "headers envelope": quarantine is a verdict and no change. */
static bool set_changes(struct milter_settings *set, struct str value)
{
	uint32_t bits = ACTION_QUARANTINE;

	for (struct str w = str_word(&value, " \t\r\n,"); w.n > 0; w = str_word(&value, " \t\r\n,")) {
		size_t i = 0;

		while (i < sizeof change_words / sizeof *change_words && !str_eqiz(w, change_words[i].word))
			i++;
		if (i == sizeof change_words / sizeof *change_words)
			return false;
		bits |= change_words[i].bits;
	}
	set->forbidden = ACTION_ALL & ~bits;
	return true;
}

static const struct option {
	const char *name;
	bool (*set)(struct milter_settings *set, struct str value);
} options[] = {
	{ "breaker_failures", set_breaker_failures },
	{ "breaker_time", set_breaker_time },
	{ "budget", set_budget },
	{ "changes", set_changes },
	{ "command_timeout", set_command },
	{ "connect_timeout", set_connect },
	{ "connection_reuse", set_keep },
	{ "content_timeout", set_content },
	{ "default_action", set_default_action },
	{ "on_failure", set_default_action },
	{ "pipelining_after", set_pipelining_after },
	{ "protocol", set_protocol },
	{ "shadow", set_shadow },
};

static bool set_option(struct milter_settings *set, struct str name, struct str value)
{
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		if (str_eqz(name, options[i].name))
			return options[i].set(set, value);
	return false;
}

/* ---- the list ---- */

static struct str without_braces(struct str s)
{
	if (s.n >= 2 && s.p[0] == '{' && s.p[s.n - 1] == '}')
		return str_trim(str_sub(s, 1, s.n - 2));
	return s;
}

static bool endpoint_valid(struct str s)
{
	return str_startsi(s, STR("inet:")) || str_startsi(s, STR("unix:")) || str_startsi(s, STR("local:"));
}

/* "endpoint, name=value, { name = value with blanks }" */
static int parse_filter(struct arena *a, struct str text, struct milter_settings *set, struct err *e)
{
	struct str endpoint = str_word(&text, " \t\r\n,"), option;

	if (!endpoint_valid(endpoint))
		return err_perm(e, "bad milter endpoint \"%.*s\": need inet:host:port or unix:pathname", STRF(endpoint));
	set->endpoint = arena_z(a, endpoint);
	for (option = str_word_braced(&text); option.n > 0; option = str_word_braced(&text)) {
		struct str value = without_braces(option), name = str_trim(str_cut(&value, '='));

		if (!set_option(set, name, str_trim(value)))
			return err_perm(e, "milter %s: bad setting \"%.*s\"", set->endpoint, STRF(option));
	}
	return 0;
}

static int add_filter(
	struct arena *a, struct str text, unsigned group, const struct milter_settings *defaults, struct milter_chain *out, struct err *e)
{
	struct milter_settings *set = &out->filters[out->count];

	if (out->count == FILTERS_MAX)
		return err_perm(e, "more than %d milters", FILTERS_MAX);
	*set = *defaults;
	set->group = group;
	out->count++;
	return parse_filter(a, without_braces(text), set, e);
}

static int add_group(
	struct arena *a, struct str text, unsigned group, const struct milter_settings *defaults, struct milter_chain *out, struct err *e)
{
	struct str *words;
	size_t count = conf_list(a, arena_z(a, without_braces(text)), &words);

	if (text.n == 0 || text.p[0] != '{' || count == 0)
		return err_perm(e, "parallel: need a list of milters in { }");
	for (size_t i = 0; i < count; i++)
		if (add_filter(a, words[i], group, defaults, out, e) < 0)
			return -1;
	return 0;
}

int milter_chain_parse(struct arena *a, const char *value, const struct milter_settings *defaults, struct milter_chain *out, struct err *e)
{
	struct str *words;
	size_t count = conf_list(a, value, &words);
	unsigned groups = 0;

	*out = (struct milter_chain){ .filters = arena_alloc(a, FILTERS_MAX * sizeof *out->filters) };
	for (size_t i = 0; i < count; i++) {
		int rc;

		if (str_eqz(words[i], "parallel")) {
			i++;
			rc = add_group(a, i < count ? words[i] : STR_NONE, ++groups, defaults, out, e);
		} else {
			rc = add_filter(a, words[i], 0, defaults, out, e);
		}
		if (rc < 0)
			return -1;
	}
	return 0;
}

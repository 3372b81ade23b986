/* lib/milter/chain.c - smtpd_milters and its kin: a list of endpoints, or "{ endpoint, name=value ... }" with settings of their own. */
#include <string.h>

#include "lib/conf/conf.h"
#include "lib/milter/milter.h"

#define FILTERS_MAX 64

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

static bool set_time(struct str value, int64_t *ms)
{
	return conf_parse_time(value, 's', ms) && *ms > 0;
}

static bool set_option(struct milter_settings *set, struct str name, struct str value)
{
	if (str_eqz(name, "connect_timeout"))
		return set_time(value, &set->connect_ms);
	if (str_eqz(name, "command_timeout"))
		return set_time(value, &set->command_ms);
	if (str_eqz(name, "content_timeout"))
		return set_time(value, &set->content_ms);
	if (str_eqz(name, "default_action"))
		return milter_default_parse(value, &set->on_failure);
	if (str_eqz(name, "protocol"))
		return milter_protocol_parse(value, &set->version, &set->no_header_reply);
	return false;
}

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

int milter_chain_parse(struct arena *a, const char *value, const struct milter_settings *defaults, struct milter_chain *out, struct err *e)
{
	struct str *words;
	size_t count = conf_list(a, value, &words);

	*out = (struct milter_chain){ .count = 0 };
	if (count > FILTERS_MAX)
		return err_perm(e, "more than %d milters", FILTERS_MAX);
	out->filters = arena_alloc(a, count * sizeof *out->filters);
	for (size_t i = 0; i < count; i++) {
		out->filters[i] = *defaults;
		if (parse_filter(a, without_braces(words[i]), &out->filters[i], e) < 0)
			return -1;
	}
	out->count = count;
	return 0;
}

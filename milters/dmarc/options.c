/* milters/dmarc/options.c - the DMARC milter's own settings. */
#include "milters/dmarc/dmarc.h"

static const struct choice actions[] = {
	{ "accept", ACT_ACCEPT },
	{ "quarantine", ACT_QUARANTINE },
	{ "reject", ACT_REJECT },
	{ "tempfail", ACT_TEMPFAIL },
	{ NULL, 0 },
};

static const struct choice org_domains[] = { { "psl", false }, { "treewalk", true }, { NULL, 0 } };

static int read_action(const struct settings *s, const char *parameter, enum dmarc_action *out, struct err *e)
{
	int value;

	if (settings_choose(s, parameter, actions, &value, e) < 0)
		return -1;
	*out = (enum dmarc_action)value;
	return 0;
}

static int read_actions(const struct settings *s, struct dmarc_options *o, struct err *e)
{
	if (read_action(s, "dmarc_on_reject", &o->on_reject, e) < 0 || read_action(s, "dmarc_on_quarantine", &o->on_quarantine, e) < 0 ||
		read_action(s, "dmarc_on_temperror", &o->on_temperror, e) < 0 ||
		read_action(s, "dmarc_on_bad_from", &o->on_bad_from, e) < 0)
		return -1;
	if (o->on_temperror == ACT_REJECT)
		return err_perm(e, "dmarc_on_temperror = reject would lose good mail: accept, quarantine or tempfail expected");
	return 0;
}

static int read_spf(const struct settings *s, struct dmarc_options *o, struct err *e)
{
	struct str source = str_trim(str_z(conf_str(s->conf, "dmarc_spf_source")));

	if (str_eqiz(source, "header"))
		o->spf_server = STR_NONE;
	else if (str_starts(source, STR("unix:")) && source.n > 5)
		o->spf_server = source;
	else
		return err_perm(e, "dmarc_spf_source = \"%.*s\": \"unix:path\" of policyd or \"header\" expected", STRF(source));
	return 0;
}

static int open_sealers(struct settings *s, struct dmarc_options *o, struct err *e)
{
	const char *value = conf_str(s->conf, "dmarc_trusted_sealers");

	if (str_trim(str_z(value)).n == 0)
		return 0;
	o->sealers = matchlist_open(value, MATCH_HOST, conf_dir(s->conf), e);
	return o->sealers == NULL ? err_context(e, "dmarc_trusted_sealers") : 0;
}

int options_load(struct settings *s, struct err *e)
{
	struct dmarc_options *o = arena_alloc(s->life, sizeof *o);
	const char *list = conf_str(s->conf, "dmarc_psl_file");
	int tree_walk;

	s->own = o;
	o->reports = conf_bool(s->conf, "dmarc_reports");
	o->min_key_bits = (unsigned)conf_int(s->conf, "dkim_min_key_bits");
	if (read_actions(s, o, e) < 0 || read_spf(s, o, e) < 0 || open_sealers(s, o, e) < 0 ||
		settings_choose(s, "dmarc_org_domain", org_domains, &tree_walk, e) < 0)
		return -1;
	o->tree_walk = tree_walk != 0;
	o->suffixes = suffixes_open(list);
	if (o->suffixes == NULL)
		return err_perm(e, "dmarc_psl_file = \"%s\": no Public Suffix List there; Debian has it in package publicsuffix", list);
	return 0;
}

void options_unload(struct settings *s)
{
	struct dmarc_options *o = s->own;

	if (o == NULL)
		return;
	suffixes_close(o->suffixes);
	matchlist_close(o->sealers);
}

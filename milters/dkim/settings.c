/* milters/dkim/settings.c - dkim_* parameters to what the filter works with. */
#include "lib/table/registry.h"
#include "milters/dkim/dkim.h"

struct settings set;

struct word {
	const char *word;
	int value;
};

static int find_word(const struct word *words, struct str s, const char *param, int *out, struct err *e)
{
	for (; words->word != NULL; words++) {
		if (str_eqiz(s, words->word)) {
			*out = words->value;
			return 0;
		}
	}
	return err_perm(e, "parameter %s: bad value \"%.*s\"", param, STRF(s));
}

static const struct word troubles[] = {
	{ "accept", TROUBLE_ACCEPT }, { "tempfail", TROUBLE_TEMPFAIL }, { "reject", TROUBLE_REJECT }, { NULL, 0 } };
static const struct word canons[] = { { "relaxed", DKIM_CANON_RELAXED }, { "simple", DKIM_CANON_SIMPLE }, { NULL, 0 } };
static const struct word modes[] = { { "verify", 1 }, { "sign", 2 }, { "both", 3 }, { NULL, 0 } };

static int words_load(const struct conf *c, struct err *e)
{
	struct str body = str_z(conf_str(c, "dkim_canonicalization")), header = str_cut(&body, '/');
	int mode = 0, fail = 0, temperror = 0, header_canon = 0, body_canon = 0;

	if (find_word(modes, str_z(conf_str(c, "dkim_mode")), "dkim_mode", &mode, e) < 0 ||
		find_word(troubles, str_z(conf_str(c, "dkim_on_fail")), "dkim_on_fail", &fail, e) < 0 ||
		find_word(troubles, str_z(conf_str(c, "dkim_on_temperror")), "dkim_on_temperror", &temperror, e) < 0 ||
		find_word(canons, header, "dkim_canonicalization", &header_canon, e) < 0 ||
		find_word(canons, body.n > 0 ? body : STR("simple"), "dkim_canonicalization", &body_canon, e) < 0)
		return -1;
	set.verify = mode & 1;
	set.sign = mode & 2;
	set.on_fail = (enum on_trouble)fail;
	set.on_temperror = (enum on_trouble)temperror;
	set.header_canon = (dkim_canon_t)header_canon;
	set.body_canon = (dkim_canon_t)body_canon;
	return 0;
}

/* "inet:host:port" is "inet:port@host" to libmilter. */
static const char *socket_text(struct arena *a, struct str s)
{
	struct str where;
	ptrdiff_t colon;

	if (!str_starts(s, STR("inet:")))
		return arena_z(a, s);
	where = str_skip(s, 5);
	colon = str_rchr(where, ':');
	if (colon < 0 || str_chr(where, '@') >= 0)
		return arena_z(a, s);
	return arena_printf(a, "inet:%.*s@%.*s", STRF(str_skip(where, (size_t)colon + 1)), STRF(str_sub(where, 0, (size_t)colon))).p;
}

static int tables_load(const struct conf *c, struct arena *life, struct err *e)
{
	struct str *words;
	size_t count = conf_list(life, conf_str(c, "dkim_sign_table"), &words);

	set.sign_tables = arena_alloc(life, (count + 1) * sizeof *set.sign_tables);
	for (; set.sign_table_count < count; set.sign_table_count++) {
		struct table **t = &set.sign_tables[set.sign_table_count];

		*t = table_open_plain(words[set.sign_table_count], conf_dir(c), e);
		if (*t == NULL)
			return err_context(e, "parameter dkim_sign_table");
	}
	set.internal_hosts = matchlist_open(conf_str(c, "dkim_internal_hosts"), MATCH_ADDR, conf_dir(c), e);
	return set.internal_hosts != NULL ? 0 : err_context(e, "parameter dkim_internal_hosts");
}

static DKIM_STAT prescreen(DKIM *dkim, DKIM_SIGINFO **sigs, int count)
{
	(void)dkim; /* the limit is the same for all */
	for (int i = set.max_signatures; i < count; i++)
		dkim_sig_ignore(sigs[i]);
	return DKIM_CBSTAT_CONTINUE;
}

static int option(dkim_opts_t opt, void *value, size_t size, struct err *e)
{
	DKIM_STAT st = dkim_options(set.lib, DKIM_OP_SETOPT, opt, value, size);

	return st == DKIM_STAT_OK ? 0 : err_perm(e, "libopendkim refuses option %d: %s", (int)opt, dkim_getresultstr(st));
}

static int library_init(const struct conf *c, struct arena *life, struct err *e)
{
	unsigned flags = DKIM_LIBFLAGS_BADSIGHANDLES, bits = (unsigned)conf_int(c, "dkim_min_key_bits");
	struct str *words;
	size_t count = conf_list(life, conf_str(c, "dkim_oversign_headers"), &words);
	const char **oversign = arena_alloc(life, (count + 1) * sizeof *oversign);

	for (size_t i = 0; i < count; i++)
		oversign[i] = arena_z(life, words[i]);
	set.lib = dkim_init(NULL, NULL);
	if (set.lib == NULL)
		return err_temp(e, "libopendkim cannot be set up");
	if (option(DKIM_OPTS_FLAGS, &flags, sizeof flags, e) < 0 || option(DKIM_OPTS_MINKEYBITS, &bits, sizeof bits, e) < 0)
		return -1;
	if (count > 0 && option(DKIM_OPTS_OVERSIGNHDRS, oversign, sizeof oversign, e) < 0)
		return -1;
	if (dkim_set_key_lookup(set.lib, keys_lookup) != DKIM_STAT_OK || dkim_set_prescreen(set.lib, prescreen) != DKIM_STAT_OK)
		return err_temp(e, "libopendkim does not take our lookups");
	return 0;
}

int settings_load(const struct conf *c, struct arena *life, struct err *e)
{
	set.socket = socket_text(life, str_z(conf_str(c, "dkim_socket")));
	set.authserv_id = conf_str(c, "dkim_authserv_id");
	set.max_signatures = (int)conf_int(c, "dkim_max_signatures");
	set.dns_servers = conf_str(c, "dns_servers");
	if (words_load(c, e) < 0 || tables_load(c, life, e) < 0)
		return -1;
	return library_init(c, life, e);
}

/* milters/dkim/options.c - the DKIM milter's own settings, checked as a whole. */
#include "lib/base/mem.h"
#include "milters/dkim/dkim.h"

static const struct choice modes[] = {
	{ "verify", MODE_VERIFY },
	{ "sign", MODE_SIGN },
	{ "both", MODE_VERIFY | MODE_SIGN },
	{ NULL, 0 },
};

static const struct choice troubles[] = {
	{ "accept", ON_ACCEPT },
	{ "reject", ON_REJECT },
	{ "tempfail", ON_TEMPFAIL },
	{ NULL, 0 },
};

static const struct choice canons[] = {
	{ "relaxed", CANON_RELAXED },
	{ "simple", CANON_SIMPLE },
	{ NULL, 0 },
};

static int read_choices(struct settings *s, struct dkim_options *o, struct err *e)
{
	struct str canon = str_z(conf_str(s->conf, "dkim_canonicalization"));
	struct str header = str_cut(&canon, '/');
	int mode, fail, temperror, header_canon, body_canon = CANON_SIMPLE; /* RFC 6376 section 3.5: none given */

	if (settings_choose(s, "dkim_mode", modes, &mode, e) < 0 || settings_choose(s, "dkim_on_fail", troubles, &fail, e) < 0 ||
		settings_choose(s, "dkim_on_temperror", troubles, &temperror, e) < 0 ||
		settings_choose_word("dkim_canonicalization", str_trim(header), canons, &header_canon, e) < 0 ||
		(canon.n > 0 && settings_choose_word("dkim_canonicalization", str_trim(canon), canons, &body_canon, e) < 0))
		return -1;
	if (temperror == ON_REJECT)
		return err_perm(e, "dkim_on_temperror = reject would lose good mail: accept or tempfail expected");
	o->mode = (unsigned)mode;
	o->on_fail = (enum on_trouble)fail;
	o->on_temperror = (enum on_trouble)temperror;
	o->header_canon = (enum canon)header_canon;
	o->body_canon = (enum canon)body_canon;
	return 0;
}

static int open_tables(struct settings *s, struct dkim_options *o, struct err *e)
{
	if (tables_open(s->life, conf_str(s->conf, "dkim_sign_table"), conf_dir(s->conf), &o->sign_table, e) < 0)
		return err_context(e, "dkim_sign_table");
	if ((o->mode & MODE_SIGN) && o->sign_table.count == 0)
		return err_perm(e, "dkim_mode = %s needs dkim_sign_table", conf_str(s->conf, "dkim_mode"));
	return 0;
}

/* Names of header fields, each a token. */
static int read_names(struct settings *s, const char *parameter, struct str **names, size_t *count, struct err *e)
{
	*count = conf_list(s->life, conf_str(s->conf, parameter), names);
	if (*count > SIGNED_NAMES_MAX / 4)
		return err_perm(e, "%s: more than %d names", parameter, SIGNED_NAMES_MAX / 4);
	for (size_t i = 0; i < *count; i++)
		if (str_any((*names)[i], ":;= \t") >= 0)
			return err_perm(e, "%s: \"%.*s\" is no name of a header field", parameter, STRF((*names)[i]));
	return 0;
}

static int read_header_lists(struct settings *s, struct dkim_options *o, struct err *e)
{
	bool from = false;

	if (read_names(s, "dkim_sign_headers", &o->sign_headers, &o->sign_count, e) < 0 ||
		read_names(s, "dkim_oversign_headers", &o->oversign_headers, &o->oversign_count, e) < 0)
		return -1;
	for (size_t i = 0; i < o->sign_count; i++)
		from = from || str_eqiz(o->sign_headers[i], "From");
	return from ? 0 : err_perm(e, "dkim_sign_headers lacks From, without which a signature is worth nothing (RFC 6376 section 5.4)");
}

static int start_library(struct dkim_options *o, struct err *e)
{
	/* Signatures that are no good must not hide others: see every one of them. */
	unsigned flags = DKIM_LIBFLAGS_BADSIGHANDLES;
	unsigned bits = o->min_key_bits;

	o->lib = dkim_init(NULL, NULL);
	if (o->lib == NULL)
		return err_temp(e, "cannot start libopendkim");
	if (dkim_options(o->lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof flags) != DKIM_STAT_OK ||
		dkim_options(o->lib, DKIM_OP_SETOPT, DKIM_OPTS_MINKEYBITS, &bits, sizeof bits) != DKIM_STAT_OK)
		return err_temp(e, "libopendkim does not take its options");
	verify_set_hooks(o->lib);
	return 0;
}

int options_load(struct settings *s, struct err *e)
{
	struct dkim_options *o = arena_alloc(s->life, sizeof *o);

	s->own = o;
	o->max_signatures = (size_t)conf_int(s->conf, "dkim_max_signatures");
	o->min_key_bits = (unsigned)conf_int(s->conf, "dkim_min_key_bits");
	o->expiry_s = conf_time_ms(s->conf, "dkim_expiry") / 1000;
	o->keys = keyring_new(conf_dir(s->conf), o->min_key_bits);
	return read_choices(s, o, e) < 0 || open_tables(s, o, e) < 0 || read_header_lists(s, o, e) < 0 ? -1 : start_library(o, e);
}

void options_unload(struct settings *s)
{
	struct dkim_options *o = s->own;

	if (o == NULL)
		return;
	if (o->lib != NULL)
		dkim_close(o->lib);
	keyring_free(o->keys);
	tables_close(&o->sign_table);
}

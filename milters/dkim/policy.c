/* milters/dkim/policy.c - the milter's settings out of main.cf, checked as a whole, shared by the messages that began with them. */
#include <pthread.h>

#include "lib/base/mem.h"
#include "milters/common/say.h"
#include "milters/dkim/dkim.h"

#define OVERSIGN_MAX 32

static struct {
	pthread_mutex_t lock; /* guards now and all refs */
	struct policy *now;
} current = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct choice {
	const char *word;
	int value;
};

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
	{ "relaxed", DKIM_CANON_RELAXED },
	{ "simple", DKIM_CANON_SIMPLE },
	{ NULL, 0 },
};

static int choose(const char *parameter, struct str word, const struct choice *choices, int *out, struct err *e)
{
	struct buf known = { 0 };

	for (const struct choice *c = choices; c->word != NULL; c++) {
		if (str_eqiz(word, c->word)) {
			*out = c->value;
			buf_done(&known);
			return 0;
		}
		buf_addf(&known, "%s%s", known.n > 0 ? ", " : "", c->word);
	}
	(void)err_perm(e, "%s = \"%.*s\": one of %s expected", parameter, STRF(word), buf_z(&known));
	buf_done(&known);
	return -1;
}

static int read_choices(struct policy *p, struct err *e)
{
	struct str canon = str_z(conf_str(p->conf, "dkim_canonicalization"));
	struct str header = str_cut(&canon, '/');
	int mode, fail, temperror, header_canon, body_canon = DKIM_CANON_SIMPLE; /* RFC 6376 section 3.5: none given */

	if (choose("dkim_mode", str_trim(str_z(conf_str(p->conf, "dkim_mode"))), modes, &mode, e) < 0 ||
		choose("dkim_on_fail", str_trim(str_z(conf_str(p->conf, "dkim_on_fail"))), troubles, &fail, e) < 0 ||
		choose("dkim_on_temperror", str_trim(str_z(conf_str(p->conf, "dkim_on_temperror"))), troubles, &temperror, e) < 0 ||
		choose("dkim_canonicalization", str_trim(header), canons, &header_canon, e) < 0 ||
		(canon.n > 0 && choose("dkim_canonicalization", str_trim(canon), canons, &body_canon, e) < 0))
		return -1;
	if (temperror == ON_REJECT)
		return err_perm(e, "dkim_on_temperror = reject would lose good mail: accept or tempfail expected");
	p->mode = (unsigned)mode;
	p->on_fail = (enum on_trouble)fail;
	p->on_temperror = (enum on_trouble)temperror;
	p->header_canon = header_canon;
	p->body_canon = body_canon;
	return 0;
}

static void read_numbers(struct policy *p)
{
	p->authserv_id = str_trim(str_z(conf_str(p->conf, "dkim_authserv_id")));
	p->max_signatures = (size_t)conf_int(p->conf, "dkim_max_signatures");
	p->min_key_bits = (unsigned)conf_int(p->conf, "dkim_min_key_bits");
	p->dns_timeout_ms = conf_time_ms(p->conf, "dkim_dns_timeout");
}

static int open_tables(struct policy *p, const char *dir, struct err *e)
{
	if (tables_open(p->life, conf_str(p->conf, "dkim_sign_table"), dir, &p->sign_table, e) < 0)
		return err_context(e, "dkim_sign_table");
	if ((p->mode & MODE_SIGN) && p->sign_table.count == 0)
		return err_perm(e, "dkim_mode = %s needs dkim_sign_table", conf_str(p->conf, "dkim_mode"));
	p->internal = matchlist_open(conf_str(p->conf, "dkim_internal_hosts"), MATCH_HOST | MATCH_ADDR, dir, e);
	return p->internal == NULL ? err_context(e, "dkim_internal_hosts") : 0;
}

/* A list that libopendkim copies. */
static int set_oversign(struct policy *p, struct err *e)
{
	struct str *words;
	size_t count = conf_list(p->life, conf_str(p->conf, "dkim_oversign_headers"), &words);
	const char *names[OVERSIGN_MAX + 1] = { NULL };

	if (count > OVERSIGN_MAX)
		return err_perm(e, "dkim_oversign_headers: more than %d names", OVERSIGN_MAX);
	for (size_t i = 0; i < count; i++)
		names[i] = arena_z(p->life, words[i]);
	if (dkim_options(p->lib, DKIM_OP_SETOPT, DKIM_OPTS_OVERSIGNHDRS, names, sizeof(char **)) != DKIM_STAT_OK)
		return err_perm(e, "dkim_oversign_headers: not a list of header fields");
	return 0;
}

static int start_library(struct policy *p, struct err *e)
{
	/* Signatures that are no good must not hide others: see every one of them. */
	unsigned flags = DKIM_LIBFLAGS_BADSIGHANDLES;
	unsigned bits = p->min_key_bits;

	p->lib = dkim_init(NULL, NULL);
	if (p->lib == NULL)
		return err_temp(e, "cannot start libopendkim");
	if (dkim_options(p->lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof flags) != DKIM_STAT_OK ||
		dkim_options(p->lib, DKIM_OP_SETOPT, DKIM_OPTS_MINKEYBITS, &bits, sizeof bits) != DKIM_STAT_OK ||
		dkim_options(p->lib, DKIM_OP_SETOPT, DKIM_OPTS_SIGNHDRS, dkim_should_signhdrs, sizeof(u_char **)) != DKIM_STAT_OK)
		return err_temp(e, "libopendkim does not take its options");
	verify_set_hooks(p->lib);
	return set_oversign(p, e);
}

static void policy_free(struct policy *p)
{
	if (p->lib != NULL)
		dkim_close(p->lib);
	if (p->keys != NULL)
		map_free(p->keys, sign_key_free);
	matchlist_close(p->internal);
	tables_close(&p->sign_table);
	conf_free(p->conf);
	arena_free(p->life);
	mem_free(p);
}

static void tell(void *quiet, bool fatal, const char *text)
{
	if (quiet == NULL)
		fprintf(stderr, "dkim: %s: %s\n", fatal ? "error" : "warning", text);
}

struct policy *policy_load(const char *dir, bool report, struct err *e)
{
	static char quiet[] = "quiet";
	struct policy *p = mem_alloc(sizeof *p);

	p->refs = 1;
	p->life = arena_new("dkim policy");
	p->keys = map_new();
	p->conf = conf_load(dir, NULL, 0, tell, report ? NULL : quiet, e);
	if (p->conf == NULL) {
		map_free(p->keys, NULL);
		arena_free(p->life);
		mem_free(p);
		return NULL;
	}
	read_numbers(p);
	if (read_choices(p, e) == 0 && open_tables(p, dir, e) == 0 && start_library(p, e) == 0)
		return p;
	policy_free(p);
	return NULL;
}

void policy_use(struct policy *p)
{
	struct policy *before;

	pthread_mutex_lock(&current.lock);
	before = current.now;
	current.now = p;
	pthread_mutex_unlock(&current.lock);
	policy_put(before);
}

struct policy *policy_get(void)
{
	struct policy *p;

	pthread_mutex_lock(&current.lock);
	p = current.now;
	p->refs++;
	pthread_mutex_unlock(&current.lock);
	return p;
}

void policy_put(struct policy *p)
{
	bool last;

	if (p == NULL)
		return;
	pthread_mutex_lock(&current.lock);
	last = --p->refs == 0;
	pthread_mutex_unlock(&current.lock);
	if (last)
		policy_free(p);
}

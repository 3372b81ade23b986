/* milters/common/settings.c - a milter's settings out of main.cf, checked as a whole, shared by the messages that began with them. */
#include <pthread.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "milters/common/milter.h"

static struct {
	pthread_mutex_t lock; /* guards now and all refs */
	struct settings *now;
} current = { .lock = PTHREAD_MUTEX_INITIALIZER };

int settings_choose_word(const char *parameter, struct str word, const struct choice *choices, int *out, struct err *e)
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

int settings_choose(const struct settings *s, const char *parameter, const struct choice *choices, int *out, struct err *e)
{
	return settings_choose_word(parameter, str_trim(str_z(conf_str(s->conf, parameter))), choices, out, e);
}

/* auth_milters: our milters in the order in which the MTA asks them. */
static int find_place(struct settings *s, struct err *e)
{
	struct str *words;
	size_t count = conf_list(s->life, conf_str(s->conf, "auth_milters"), &words);

	for (size_t i = 0; i < count; i++) {
		if (str_eqiz(words[i], s->role->name)) {
			s->first = i == 0;
			return 0;
		}
	}
	return err_perm(
		e, "auth_milters does not name \"%s\": it lists our milters in the order in which the MTA asks them", s->role->name);
}

static int read_own(struct settings *s, const char *dir, struct err *e)
{
	s->authserv_id = str_trim(str_z(conf_str(s->conf, "authserv_id")));
	s->dns_timeout_ms = conf_time_ms(s->conf, s->role->dns_timeout);
	s->internal = matchlist_open(conf_str(s->conf, s->role->internal_hosts), MATCH_HOST | MATCH_ADDR, dir, e);
	if (s->internal == NULL)
		return err_context(e, "%s", s->role->internal_hosts);
	if (find_place(s, e) < 0)
		return -1;
	return s->role->load(s, e);
}

static void settings_free(struct settings *s)
{
	s->role->unload(s);
	matchlist_close(s->internal);
	conf_free(s->conf);
	arena_free(s->life);
	mem_free(s);
}

struct teller {
	const char *name;
	bool quiet;
};

static void tell(void *ctx, bool fatal, const char *text)
{
	const struct teller *t = ctx;

	if (!t->quiet)
		fprintf(stderr, "%s: %s: %s\n", t->name, fatal ? "error" : "warning", text);
}

struct settings *settings_load(const struct role *role, const char *dir, bool report, struct err *e)
{
	struct teller teller = { role->name, !report };
	struct settings *s = mem_alloc(sizeof *s);

	s->refs = 1;
	s->role = role;
	s->life = arena_new("milter settings");
	s->conf = conf_load(dir, NULL, 0, tell, &teller, e);
	if (s->conf == NULL) {
		arena_free(s->life);
		mem_free(s);
		return NULL;
	}
	if (read_own(s, dir, e) == 0)
		return s;
	settings_free(s);
	return NULL;
}

void settings_use(struct settings *s)
{
	struct settings *before;

	pthread_mutex_lock(&current.lock);
	before = current.now;
	current.now = s;
	pthread_mutex_unlock(&current.lock);
	settings_put(before);
}

struct settings *settings_get(void)
{
	struct settings *s;

	pthread_mutex_lock(&current.lock);
	s = current.now;
	s->refs++;
	pthread_mutex_unlock(&current.lock);
	return s;
}

void settings_put(struct settings *s)
{
	bool last;

	if (s == NULL)
		return;
	pthread_mutex_lock(&current.lock);
	last = --s->refs == 0;
	pthread_mutex_unlock(&current.lock);
	if (last)
		settings_free(s);
}

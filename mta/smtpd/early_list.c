/* mta/smtpd/early_list.c - postscreen_access_list: words and tables of words, by client address. */
#include "lib/base/log.h"
#include "mta/smtpd/early.h"

struct early_list {
	struct str *words;
	struct table **tables; /* NULL: a plain word */
	size_t count;
};

enum word { WORD_PERMIT, WORD_REJECT, WORD_DUNNO, WORD_MYNETWORKS, WORD_UNKNOWN };

static const char *const words[] = { "permit", "reject", "dunno", "permit_mynetworks" };

static enum word word_find(struct str word)
{
	int i = WORD_PERMIT;

	while (i < WORD_UNKNOWN && !str_eqiz(word, words[i]))
		i++;
	return (enum word)i;
}

static int load_word(struct early_list *l, size_t i, const char *conf_dir, struct err *e)
{
	if (word_find(l->words[i]) != WORD_UNKNOWN)
		return 0;
	if (str_chr(l->words[i], ':') < 0)
		return err_perm(e, "\"%.*s\" is not permit_mynetworks, permit, reject, dunno or type:table", STRF(l->words[i]));
	l->tables[i] = table_open(l->words[i], conf_dir, e);
	return l->tables[i] == NULL ? -1 : 0;
}

struct early_list *early_list_load(struct arena *a, const char *value, const char *conf_dir, struct err *e)
{
	struct early_list *l = arena_alloc(a, sizeof *l);

	l->count = conf_list(a, value, &l->words);
	l->tables = arena_alloc(a, (l->count + 1) * sizeof *l->tables);
	for (size_t i = 0; i < l->count; i++)
		if (load_word(l, i, conf_dir, e) < 0)
			return NULL;
	return l;
}

/* One word. False: go on with the next. */
static bool decide(struct str word, struct str addr, const struct matchlist *mynetworks, enum early_access *out)
{
	struct err e = ERR_INIT;

	switch (word_find(word)) {
	case WORD_PERMIT:
		*out = EARLY_PERMIT;
		return true;
	case WORD_REJECT:
		*out = EARLY_REJECT;
		return true;
	case WORD_DUNNO:
		*out = EARLY_DUNNO;
		return true;
	case WORD_MYNETWORKS:
		*out = EARLY_PERMIT;
		return matchlist_addr(mynetworks, addr, &e) == TABLE_FOUND;
	case WORD_UNKNOWN:
		log_warn("postscreen_access_list: \"%.*s\" in a table is not permit_mynetworks, permit, reject or dunno", STRF(word));
		return false;
	}
	return false;
}

/* A table's answer is a list itself; its dunno ends that list only. A table that fails says nothing: the other checks are there still. */
static bool decide_by_table(struct table *t, struct str addr, const struct matchlist *mynetworks, enum early_access *out)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	enum table_answer answer = table_lookup(t, addr, &value, &e);
	struct str rest = buf_str(&value), word;
	bool decided = false;

	if (answer == TABLE_FAILED)
		log_warn("postscreen_access_list: %s", e.text);
	while (answer == TABLE_FOUND && !decided && (word = str_word(&rest, ", \t\r\n")).n > 0)
		decided = decide(word, addr, mynetworks, out);
	buf_done(&value);
	return decided && *out != EARLY_DUNNO;
}

enum early_access early_list_find(const struct early_list *l, struct str addr, const struct matchlist *mynetworks)
{
	enum early_access found = EARLY_DUNNO;

	for (size_t i = 0; i < l->count; i++)
		if (l->tables[i] != NULL ? decide_by_table(l->tables[i], addr, mynetworks, &found)
					 : decide(l->words[i], addr, mynetworks, &found))
			return found;
	return EARLY_DUNNO;
}

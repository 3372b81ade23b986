/* lib/table/rules.h - what regexp:, pcre: and cidr: have in common: rules in order, first match wins, "!" negates, if ... endif groups,
 * $1 in results stands for a group of the match.
 */
#ifndef GATEPOST_LIB_TABLE_RULES_H
#define GATEPOST_LIB_TABLE_RULES_H

#include "lib/mail/ip.h"
#include "lib/table/source.h"

#define RULE_GROUPS_MAX 64

struct rule_subject {
	struct str text;
	struct ip ip; /* set by prepare() */
	struct str groups[RULE_GROUPS_MAX]; /* set by match(): [0] is all, [1] the first ( ) */
	size_t group_count;
};

struct rule_engine {
	/* Cut the pattern and its flags off the front of a line. */
	int (*cut)(struct str *rest, struct str *pattern, struct str *flags, struct err *e);
	/* groups: how many ( ) it has. NULL with *e. */
	void *(*compile)(struct str pattern, struct str flags, size_t *groups, struct err *e);
	bool (*prepare)(struct rule_subject *s); /* false: this subject can match nothing; NULL: no need */
	int (*match)(const void *compiled, struct rule_subject *s, struct err *e); /* 1, 0, or -1 with *e */
	void (*free)(void *compiled);
};

struct rules;

struct rules *rules_parse(const struct rule_engine *engine, const char *file, struct str text);
void rules_free(struct rules *r);
enum table_answer rules_lookup(const struct rules *r, struct str key, struct buf *value, struct err *e);

/* "/pattern/flags": the delimiter is the first character. */
int rules_cut_delimited(struct str *rest, struct str *pattern, struct str *flags, struct err *e);

#endif

/* lib/table/rules.h - what regexp:, pcre: and cidr: have in common: rules in order, first match wins, "!" negates, if ... endif groups,
 * $1 in results stands for a group of the match.
 */
#ifndef GATEPOST_LIB_TABLE_RULES_H
#define GATEPOST_LIB_TABLE_RULES_H

#include "lib/mail/ip.h"
#include "lib/table/source.h"

#define RULE_GROUPS_MAX 64
#define RULE_NEITHER 2

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
	/* 1, 0, RULE_NEITHER (no match, and "!" makes none of it), or -1 with *e. */
	int (*match)(const void *compiled, struct rule_subject *s, struct err *e);
	void (*free)(void *compiled);
	const struct rule_index *index; /* NULL: rules are tried one by one */
};

/* A faster way to find the first match in a run of rules that are neither negated nor ifs. */
struct rule_index {
	void *(*new)(void);
	void (*add)(void *index, const void *compiled, size_t number);
	size_t (*find)(const void *index, const struct rule_subject *s); /* the least number that matches; SIZE_MAX: none */
	void (*free)(void *index);
};

struct rules;

struct rules *rules_parse(const struct rule_engine *engine, const char *file, struct str text, struct complaints *c);
void rules_free(struct rules *r);
enum table_answer rules_lookup(const struct rules *r, struct str key, struct buf *value, struct err *e);

/* "/pattern/flags": the delimiter is the first character. */
int rules_cut_delimited(struct str *rest, struct str *pattern, struct str *flags, struct err *e);

#endif

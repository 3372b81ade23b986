/* policyd/ruleset.h - restriction text to rules, parsed once and kept by text; and the tables the rules name. */
#ifndef GATEPOST_POLICYD_RULESET_H
#define GATEPOST_POLICYD_RULESET_H

#include "policyd/checks.h"

struct ruleset {
	const struct settings *settings;
	struct arena *life;
	unsigned refs;
	struct rule *rules;
	size_t count;
	bool broken; /* something in it could not be understood; the reason was logged */
	bool ahead; /* all of it only asks */
};

/* The rules of text, with one reference for the caller. Never NULL. A broken one is parsed anew each time: a table may appear. */
struct rulesets *rulesets_new(void); /* where they are kept: settings.rulesets */
struct ruleset *ruleset_get(const struct settings *from, struct str text);
void ruleset_unref(struct ruleset *s);
/* Parsed anew, for the caller alone. NULL with *e. */
struct ruleset *ruleset_parse(const struct settings *from, struct str text, struct err *e);
/* The text of a restriction class, of { group } itself; NULL: neither. */
const char *ruleset_class(const struct settings *from, struct arena *a, struct str word);
/* Is this all restrictions that policyd can evaluate? For an action that is a list. */
bool ruleset_is_list(const struct settings *from, struct str text);

/* A table by "type:name", opened once per process. NULL with *e. */
struct table *ruleset_table(struct str spec, struct err *e);
/* Open what the restriction parameters name while the process still may read everything. */
void ruleset_open_tables(const struct settings *from);
/* Parse every list, class and, of smtpd's lists, what is ours to evaluate; what cannot be used is told by parameter. */
typedef void ruleset_bad_fn(const struct settings *from, const char *parameter, const struct err *e);
void ruleset_try_all(const struct settings *from, ruleset_bad_fn *bad);

#endif

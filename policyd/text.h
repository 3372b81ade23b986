/* policyd/text.h - actions written in main.cf with $names of the check filled in, made safe for a reply. */
#ifndef GATEPOST_POLICYD_TEXT_H
#define GATEPOST_POLICYD_TEXT_H

#include "policyd/policyd.h"

struct text_var {
	const char *name;
	struct str value;
};

/* The parameter's value (PARAM_RAW) with vars and other parameters filled in; "" and "none" become DUNNO. Values come from strangers: they
 * are cut at 200 octets and anything but printable ASCII in them becomes '?'. */
struct str text_action(struct request *r, const char *parameter, const struct text_var *vars, size_t count);
/* Same for any template. False with *e: the template is wrong. */
bool text_expand(struct request *r, struct str template, const struct text_var *vars, size_t count, struct str *out, struct err *e);
/* What an access(5) action comes to: "permit", "go on", "defer", "reject" or "other". */
const char *text_action_kind(struct str action);
bool text_refuses(struct str action); /* REJECT and its like: nothing behind it is looked at, in no list */

#endif

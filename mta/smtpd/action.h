/* mta/smtpd/action.h - the right-hand sides of access(5) tables and the answers of policy servers: what each word does to the mail. */
#ifndef GATEPOST_MTA_SMTPD_ACTION_H
#define GATEPOST_MTA_SMTPD_ACTION_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "mta/smtpd/restrict.h"

enum action_kind {
	ACTION_EMPTY,
	ACTION_OK,
	ACTION_DUNNO,
	ACTION_REJECT,
	ACTION_DEFER,
	ACTION_CODE,
	ACTION_DEFER_IF_PERMIT,
	ACTION_DEFER_IF_REJECT,
	ACTION_HOLD,
	ACTION_DISCARD,
	ACTION_FILTER,
	ACTION_REDIRECT,
	ACTION_BCC,
	ACTION_PREPEND,
	ACTION_WARN,
	ACTION_INFO,
	ACTION_HANGUP,
	ACTION_LIST /* names of restrictions */
};

struct action {
	enum action_kind kind;
	short smtp;      /* ACTION_CODE: 4xx or 5xx as given */
	struct str text; /* what follows the word; ACTION_LIST: everything */
};

/* Pure: which action is this text? */
struct action action_parse(struct str text);
/* "5.7.1 text": the enhanced code, if it has one and it is well-formed, and the text behind it; else fallback. */
struct code action_code(short smtp, struct code fallback, struct str *text);

struct action_source {
	struct str name;     /* what was checked, and its class, for the reply */
	const char *klass;
	bool whole;          /* the text is the complete reply text */
	struct str where;    /* table or server, for warnings */
};

/* Carry it out. Suspends when the action is a list of restrictions. */
enum verdict action_apply(struct check *c, struct str text, const struct action_source *src);

#endif

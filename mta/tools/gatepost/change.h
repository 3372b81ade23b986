/* mta/tools/gatepost/change.h - what an operator does to messages, for those who name it differently. */
#ifndef GATEPOST_MTA_TOOLS_GATEPOST_CHANGE_H
#define GATEPOST_MTA_TOOLS_GATEPOST_CHANGE_H

#include "mta/tools/gatepost/select.h"

struct action;

/* By its name, or by postsuper's letter (verb NULL). NULL: there is none. */
const struct action *change_find(const char *verb, char option);
/* Before the first: opens the log under this name, and enters the queue. */
void change_begin(struct tool *t, const char *program);
/* Do it to what is selected, and say so. lenient: what is not there is no error. Exit status. */
int change_apply(struct tool *t, const struct action *what, struct selection *s, bool lenient);
/* A line on standard error and in the log. */
void change_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Into the bucket of deferred/ that its time stamp says, as nobody is delivering it. 0, or an errno as lock failures have: EWOULDBLOCK. */
int change_to_deferred(const char *path, const char *id, int64_t due_s);

#endif

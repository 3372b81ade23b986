/* mta/tools/gatepost/select.h - which messages of the queue: by id, all, or by what they are. */
#ifndef GATEPOST_MTA_TOOLS_GATEPOST_SELECT_H
#define GATEPOST_MTA_TOOLS_GATEPOST_SELECT_H

#include <getopt.h>

#include "lib/queue/queue.h"
#include "mta/tools/gatepost/gatepost.h"

#define SELECT_QUEUES_MAX 8

struct selection {
	struct arena *life;
	struct str *ids;
	size_t id_count, id_cap;
	bool all; /* ALL was said */
	bool named; /* ids were to be named, perhaps on standard input: if there are none, that is not everything */
	const char *queues[SELECT_QUEUES_MAX]; /* NULL at the end; none: those of mail that is not finished */
	int64_t older_ms, younger_ms; /* 0: whatever their age */
	uint64_t larger, smaller; /* octets; 0: whatever */
	const char *sender, *recipient, *domain, *reason; /* patterns with * and ?; NULL: any */
	bool filtered; /* the content decides: every message is read */
};

/* Long options for getopt_long(): --older AGE and so on. Put SELECT_OPTIONS into the program's own table. */
#define SELECT_OPTIONS \
	{ "older", required_argument, NULL, SELECT_OLDER }, { "younger", required_argument, NULL, SELECT_YOUNGER }, \
		{ "larger", required_argument, NULL, SELECT_LARGER }, { "smaller", required_argument, NULL, SELECT_SMALLER }, \
		{ "sender", required_argument, NULL, SELECT_SENDER }, { "recipient", required_argument, NULL, SELECT_RECIPIENT }, \
		{ "domain", required_argument, NULL, SELECT_DOMAIN }, { "reason", required_argument, NULL, SELECT_REASON }, \
		{ "in", required_argument, NULL, SELECT_IN }
enum {
	SELECT_OLDER = 256,
	SELECT_YOUNGER,
	SELECT_LARGER,
	SELECT_SMALLER,
	SELECT_SENDER,
	SELECT_RECIPIENT,
	SELECT_DOMAIN,
	SELECT_REASON,
	SELECT_IN
};

void selection_begin(struct selection *s);
void selection_end(struct selection *s);
/* Take one of the options above: true. False: not one of them, or a bad value, which was told. */
bool selection_option(struct selection *s, int option, const char *value);
/* Add an id, ALL, or "-": ids from standard input, one a line. False: not an id, which was told. */
bool selection_add(struct selection *s, const char *word);
/* Nothing was said: neither id nor ALL nor a filter. */
bool selection_empty(const struct selection *s);

struct entry { /* one message */
	const char *queue, *path, *id;
	bool expiring; /* marked by the operator */
	struct queue_message m; /* from SELECT_ENVELOPE on, or when the selection is filtered */
	const struct queue_status **last; /* by recipient: the latest deferral, or NULL; with SELECT_REASONS */
};

enum select_depth { SELECT_NAMES, SELECT_ENVELOPE, SELECT_REASONS }; /* how much of each message is read */

/* Call fn for each. Messages that come, go, or move meanwhile may be missed. Working directory: the queue directory.
 * missing (may be NULL) gets ids that are nowhere. Exit status. */
typedef void select_fn(void *ctx, const struct entry *n);
int selection_walk(
	struct selection *s, enum select_depth depth, select_fn *fn, void (*missing)(void *ctx, const char *id), void *ctx);

#endif

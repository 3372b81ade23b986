/* mta/tools/gatepost/explain.h - what the files of explain share: the events that are known, and the stories they make. */
#ifndef GATEPOST_MTA_TOOLS_GATEPOST_EXPLAIN_H
#define GATEPOST_MTA_TOOLS_GATEPOST_EXPLAIN_H

#include "mta/tools/gatepost/gatepost.h"

struct event { /* one line, as it was told (lib/net/story.h) */
	struct str line;
	struct str sid, qid; /* slices of it; may be empty */
	int64_t at_us;
	uint32_t story; /* 0: none yet */
};

struct events {
	struct arena *a;
	struct event *v;
	size_t count, cap;
};

/* explain_read.c: everything since then that this host's ring or, if there is one, Redis has; sorted by time, no event twice. 0, or -1 after
 * a complaint: nothing can be read. */
int events_read(struct tool *t, int64_t since_us, struct events *out);

/* explain_find.c: number the stories that have to do with one of the keys (all of them without keys): a session with its messages and what
 * became of those. Stories begin with 1, in the order of their first event; how many there are. */
uint32_t stories_find(struct events *all, char **keys, size_t key_count);

/* explain_print.c */
void story_print(const struct events *all, uint32_t story, bool json);
void story_print_line(const struct events *all, uint32_t story); /* what it was about, in a line */

#endif

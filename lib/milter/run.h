/* lib/milter/run.h - one message on its way through all filters: who may begin, end, and change it when.
 */
#ifndef GATEPOST_LIB_MILTER_RUN_H
#define GATEPOST_LIB_MILTER_RUN_H

#include "lib/milter/filter.h"

enum talk_state { TALK_WAITING, TALK_RUNNING, TALK_DONE };

/* What is told of the content, in this order, each answered unless the filter agreed on no answers. */
enum talk_event { TALK_HEADER, TALK_EOH, TALK_BODY, TALK_END, TALK_EVENTS };

struct talk { /* the content stage of one filter */
	struct milter_run *run;
	struct filter *f;
	size_t index;
	enum talk_state state;
	struct modifier mod;
	struct verdict v;
	struct buf changes; /* what it asked for, until it is made */
	bool streams; /* began while the client was sending: its body comes through pending */
	struct buf pending;
	bool pipelines; /* events are gathered, also those that are answered */
	size_t owed[TALK_EVENTS]; /* answers to what was told, or is gathered in f->out */
	bool awaiting; /* an answer is outstanding */
	bool cut; /* the outcome is clear without it */
};

struct milter_run {
	struct milter_session *s;
	struct milter_mail *m;
	const char *tag; /* of the fiber that has the message: its fibers speak for it */
	struct talk *talks; /* one a filter, in configured order */
	bool streaming; /* begun before the body was complete */
	bool whole; /* the body is complete */
	bool decided; /* no answer still to come can change the outcome */
	size_t fibers;
	struct waitq changed;
};

/* run.c */
bool run_may_end(const struct talk *t); /* all filters it must not overtake have agreed */
bool run_turn(const struct talk *t); /* it may change the message now: those before it have made their changes */
void run_wait(struct milter_run *r); /* for a change of any of these answers. Suspends. */
void run_changed(struct milter_run *r);

/* content.c: all of it, to one filter. Suspends. */
void talk_content(struct talk *t);

#endif

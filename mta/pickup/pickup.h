/* mta/pickup/pickup.h - what the files of pickup share. */
#ifndef GATEPOST_MTA_PICKUP_PICKUP_H
#define GATEPOST_MTA_PICKUP_PICKUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/conf/conf.h"
#include "lib/queue/queue.h"

/* load.c */

enum load_result {
	LOAD_MESSAGE,    /* *m is sane */
	LOAD_INCOMPLETE, /* somebody is still writing it, or was killed doing so */
	LOAD_DAMAGED,    /* it will never be a message: *e says why */
	LOAD_FAILED      /* our own trouble: *e */
};

struct submission { /* one file in maildrop */
	struct arena *life;
	char *path;      /* "maildrop/<id>" */
	int fd;
	uid_t uid;       /* the file's owner: the submitter */
	time_t changed;
	struct queue_message m; /* recipients that are done taken out; id: a new one */
};

/* Open and read s->path. Blocks: offload() it. */
enum load_result submission_load(struct submission *s, struct err *e);

/* submit.c */

enum submit_result {
	SUBMIT_DONE,   /* queued or bounced: the file may go */
	SUBMIT_LATER,  /* this message cannot be queued now */
	SUBMIT_NOBODY  /* cleanup does not answer: others will do no better */
};

void submit_init(const struct conf *c);
/* Hand the message to cleanup. Suspends. */
enum submit_result submit(struct submission *s);

#endif

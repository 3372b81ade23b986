/* mta/pipe/argv.h - the attributes of a pipe service in master.cf ("flags=DRhu user=vmail argv=/path ${recipient}") and the expansion of
 * its command for a delivery. Nothing here suspends or logs.
 */
#ifndef GATEPOST_MTA_PIPE_ARGV_H
#define GATEPOST_MTA_PIPE_ARGV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/queue/queue.h"

enum { /* flags= */
	PIPE_BLANK_END = 1, /* B */
	PIPE_DELIVERED_TO = 2, /* D */
	PIPE_FROM = 4, /* F */
	PIPE_ORIGINAL_TO = 8, /* O */
	PIPE_RETURN_PATH = 16, /* R */
	PIPE_FINAL = 32, /* X */
	PIPE_LOWER_DOMAIN = 64, /* h */
	PIPE_LOWER_LOCAL = 128, /* u */
	PIPE_QUOTE_ADDRESS = 256, /* q */
	PIPE_DOT_STUFF = 512, /* . */
	PIPE_QUOTE_FROM = 1024 /* > */
};

struct pipe_settings {
	unsigned flags;
	const char *user, *group; /* group NULL: the user's */
	const char *chroot_dir, *directory; /* NULL: none */
	const char *null_sender;
	struct str eol;
	uint64_t size_limit; /* 0: none */
	const char *const *argv; /* unexpanded */
	size_t argc;
};

/* 0, or -1 with *e. Texts live in a or in args. */
int pipe_parse(struct arena *a, const char *const *args, size_t count, struct pipe_settings *out, struct err *e);

struct pipe_message { /* what macros stand for */
	const struct pipe_settings *settings;
	const struct queue_message *m; /* sender, client, rcpts */
	struct str nexthop;
	const char *delimiter; /* recipient_delimiter */
};

/* The command for all recipients of m, NULL at the end: an argument that names a recipient becomes one for each. 0, or -1 with *e. */
int pipe_argv(struct arena *a, const struct pipe_message *p, const char *const **out, struct err *e);
/* The recipient as flags h, u, q want it. */
struct str pipe_recipient(struct arena *a, const struct pipe_settings *s, struct str address, bool quote);

#endif

/* lib/mailbox/content.h - a message as mailboxes and commands get it: lines in front, LF line ends, quoting. */
#ifndef GATEPOST_LIB_MAILBOX_CONTENT_H
#define GATEPOST_LIB_MAILBOX_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum { /* struct content flags */
	CONTENT_QUOTE_FROM = 1, /* ">" before lines that begin with "From " */
	CONTENT_DOT_STUFF = 2, /* "." before lines that begin with "." */
	CONTENT_BLANK_END = 4 /* an empty line behind the message */
};

struct content {
	int fd;
	uint64_t header_at, header_size, body_at, body_size;
	struct str front; /* complete lines with LF: content_front() */
	struct str eol; /* "\n" mostly */
	unsigned flags;
};

enum { /* content_front(): which lines */
	FRONT_FROM = 1, /* From_ line of mbox files */
	FRONT_RETURN_PATH = 2,
	FRONT_ORIGINAL = 4,
	FRONT_DELIVERED = 8
};

struct front {
	unsigned lines;
	struct str sender; /* external form; empty: null */
	const char *null_sender; /* stands for it in the From_ line */
	struct str original, recipient; /* external form; original empty: no such line */
	int64_t now_us;
};

void content_front(const struct front *f, struct buf *out);

/* A copy under way; start with at_line_start = true. */
struct content_copy {
	unsigned flags;
	struct str eol;
	bool at_line_start;
};

/* Lines with LF from `in` to out. Returns the octets used: the beginning of a line that may need quoting waits for more unless last. */
size_t content_feed(struct content_copy *c, struct str in, bool last, struct buf *out);

/* Piece by piece: content_reader_begin(), then content_reader_next() until it returns 0. Blocking; for the child. */
struct content_reader {
	const struct content *content;
	struct content_copy copy;
	uint64_t done; /* octets of the stored message read */
	struct buf raw, lf; /* read, and with LF, both not yet passed on */
	bool started, ended;
};

void content_reader_begin(struct content_reader *r, const struct content *c);
/* Append the next octets to out (cleared by the caller). 1: there may be more, 0: that was all, -1 with *e. */
int content_reader_next(struct content_reader *r, struct buf *out, struct err *e);
void content_reader_done(struct content_reader *r);
/* All of it into fd. 0, or -1 with errno of the write; *read_error when it was the message that could not be read. */
int content_write(const struct content *c, int fd, bool *read_error);

#endif

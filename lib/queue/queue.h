/* lib/queue/queue.h - queue directories, queue ids, and the message file. doc/queue-format.md is the contract.
 *
 * Below the queue directory: maildrop incoming active deferred/<bucket> hold corrupt, pid, private, public. One message is one file named
 * by its queue id: [superblock][header block][body][envelope][status records]. The superblock is written last and carries checksums,
 * so a file is either complete or not a message. Content is stored with CRLF line ends and without dot-stuffing.
 */
#ifndef GATEPOST_LIB_QUEUE_QUEUE_H
#define GATEPOST_LIB_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

#define QUEUE_ID_MAX 24 /* characters with the NUL */

/* A new id in the form of Postfix's long queue ids: 6 base-52 digits of seconds, 4 of microseconds, 'z', process and counter. Unique on
 * this host: per process a microsecond is never used twice, and the process id is part of it. */
void queue_id_new(char id[QUEUE_ID_MAX]);
int64_t queue_id_time(const char *id); /* seconds since 1970 when it was made; 0: not one of ours */
bool queue_id_valid(struct str id); /* fit for a file name: letters and digits, 6..QUEUE_ID_MAX-1 */

/* ---- what a message is ---- */

enum { /* queue_message.flags */
	QUEUE_8BIT = 1, /* content has bytes above 127 */
	QUEUE_UTF8 = 2, /* SMTPUTF8 was requested */
	QUEUE_DOTS = 4, /* content has lines that begin with '.' */
	QUEUE_LONG_LINES = 8, /* content has lines over 998 octets */
	QUEUE_BODY_8BITMIME = 16, /* the client declared BODY=8BITMIME */
	QUEUE_HOLD = 32, /* goes to hold/ */
	QUEUE_BOUNCE = 64, /* a notification made by ourselves */
	QUEUE_REQUIRETLS = 128,
	QUEUE_LOCAL = 256, /* submitted on this machine (pickup, bounce, forward) */
	QUEUE_PROBE = 512, /* would it be delivered? Agents find out and deliver nothing; in a file the sender gets a report (sendmail -bv) */
	QUEUE_TRACE = 1024, /* the sender gets a report of the first attempt (sendmail -v) */
	QUEUE_COMPLETE = 2048 /* in maildrop: from a gateway, no address in its header is ours to complete (sendmail -G) */
};

struct queue_client { /* where it came from: for logs, XFORWARD, pipe macros; all may be empty */
	struct str name, addr, port, helo, proto, sasl_method, sasl_user, sasl_sender, server;
};

struct queue_rcpt {
	struct str addr; /* where it goes, internal form */
	struct str orig; /* original recipient as the client gave it, internal form; or empty */
	struct str orcpt; /* DSN ORCPT, "rfc822;xtext", or empty */
	int notify; /* DSN_NOTIFY_* bits */
	bool done; /* delivered, bounced and reported, or deleted */
	uint64_t mark_at; /* file offset of its state byte; set by load */
	uint32_t index; /* position in the envelope */
};

struct queue_message {
	char id[QUEUE_ID_MAX];
	unsigned flags;
	int64_t arrival_us; /* wall clock: when the client's transaction began */
	struct str sender; /* internal form; empty: null sender */
	struct str envid;
	int ret; /* DSN_RET_* */
	struct queue_client client;
	struct str filter; /* content filter "transport:nexthop", or empty */
	struct str verp; /* the two delimiters of variable envelope return paths, or empty */
	struct queue_rcpt *rcpts;
	size_t rcpt_count;
	unsigned marks; /* QUEUE_MODE_... of the file; set by load */
	/* where things are in the file */
	uint64_t header_at, header_size, body_at, body_size, envelope_at, envelope_size, status_at;
};

/* ---- writing: cleanup only ---- */

/* The superblock and envelope bytes for m whose content lies at the offsets given in m: for a message in memory the writer calls
 * queue_encode() and writes superblock, header, body, envelope with one writev at offset 0. content_crc: crc32c of header block then body.
 * out_super gets QUEUE_SUPER_SIZE bytes, out_env the envelope. header_at, header_size, body_at, body_size, envelope_at must be set;
 * envelope_size, status_at and the recipients' index and mark_at are filled in, so that m is fit for notify_send(). A message that
 * streams to its file writes content, then envelope, then the superblock (until then offset 0 must stay zero), then syncs. */
#define QUEUE_SUPER_SIZE 128
void queue_encode(struct queue_message *m, uint32_t content_crc, struct buf *out_super, struct buf *out_env);

/* ---- marks on files ---- */

/* Mode bits of a message file: what the operator wants. */
#define QUEUE_MODE_EXPIRE 0001 /* returned at the next attempt */
#define QUEUE_MODE_HOLD 0010 /* on hold as soon as the deliveries that run have ended; it is qmgr who moves it */
#define QUEUE_MODE_REQUEUE 0100 /* taken in again, likewise */
#define QUEUE_MODE_ALL (QUEUE_MODE_EXPIRE | QUEUE_MODE_HOLD | QUEUE_MODE_REQUEUE)
int queue_unmark(int fd); /* drop the last two: 0, or -1 with errno */
#define QUEUE_BEHIND "incoming/.behind" /* exists while qmgr has no room for what is in incoming/ */

/* ---- reading ---- */

/* Load superblock, envelope and done marks from an open message file into a. verify_content also checks the content's checksum.
 * 0; -1 with *e (PERM: damaged or incomplete, text says what; TEMP: could not be read). Blocking: offload() it. */
int queue_load(int fd, const char *id, bool verify_content, struct arena *a, struct queue_message *m, struct err *e);

/* Has the file got as far as a superblock? False: it is being written, or was abandoned; true says nothing about its soundness. */
bool queue_begun(int fd);

/* ---- status: qmgr only, after cleanup's commit ---- */

/* Mark count recipients done that follow one another in the envelope: one byte each, in place, in one write. */
int queue_mark_done(int fd, const struct queue_rcpt *first, size_t count, struct err *e);

struct queue_status { /* appended after each attempt; read back for mailq, delay warnings and gatepost cat */
	uint32_t rcpt_index;
	int64_t at_us;
	char action; /* 's' sent, 'd' deferred, 'b' bounced, 'x' expired, 'w' delay warning sent */
	struct code code;
	struct str relay, text;
};
int queue_append_status(int fd, const struct queue_status *st, size_t count, struct err *e); /* one write at the end */
/* All complete status records, oldest first; a torn last one is ignored. */
int queue_load_status(int fd, const struct queue_message *m, struct arena *a, struct queue_status **st, size_t *count, struct err *e);

/* Keep the latest record of each recipient (and of each kind of delay warning) when the records have grown out of proportion: more than
 * QUEUE_STATUS_MAX octets and more than one attempt's worth. Best effort; not crash safe towards the records, which are history only. */
#define QUEUE_STATUS_MAX (256 * 1024)
int queue_trim_status(int fd, const struct queue_message *m, struct err *e);

/* ---- directories ---- */

#define QUEUE_BUCKET_S 64 /* seconds of due time that share a directory below deferred/ */
/* There is a new file in maildrop/ of the working directory. Without pickup it waits for its next start. */
void queue_wake_pickup(void);
int queue_make_dirs(const char *queue_dir, struct err *e); /* create what is missing, modes as documented */
/* "deferred/<8 hex digits of due_s / QUEUE_BUCKET_S>/<id>" relative to the queue directory; the bucket directory is created. */
int queue_deferred_path(int64_t due_s, const char *id, struct buf *out, struct err *e);
/* Visit every message file name of one queue ("incoming", "deferred" with all buckets...). fn gets the path below the queue directory
 * and the id; returning nonzero stops. Working directory = queue directory. Blocking. */
int queue_visit(const char *queue, int (*fn)(void *ctx, const char *path, const char *id), void *ctx, struct err *e);
/* The buckets of deferred/, in no order: fn gets "deferred/<bucket>" and the bucket's name. As queue_visit(). */
int queue_visit_buckets(int (*fn)(void *ctx, const char *path, const char *name), void *ctx, struct err *e);
int64_t queue_bucket_due(const char *name); /* seconds since 1970 when everything in the bucket is due; -1: not a bucket's name */
/* Find an id in any queue: fills path. False: nowhere. Blocking. */
bool queue_find(const char *id, struct buf *path);

#endif

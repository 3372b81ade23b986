/* lib/proto/cleanup.h - "please queue this message": from smtpd, pickup, bounce, local (forward) to cleanup.
 * One connection carries one message at a time, any number in turn. Order: envelope, content chunks, end; then the answer. Closing in
 * between throws the message away. Milter sessions travel as descriptors with the envelope (the sender keeps its own copies) and come back,
 * as state, in the answer.
 */
#ifndef GATEPOST_LIB_PROTO_CLEANUP_H
#define GATEPOST_LIB_PROTO_CLEANUP_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/net/stream.h"
#include "lib/queue/queue.h"

enum { /* cleanup_request.flags */
	CLEANUP_FIX_HEADERS = 1, /* local origin: add missing Date, Message-Id, From (RFC 6409 section 8) */
	CLEANUP_NO_MILTERS = 2,
	CLEANUP_NO_MAPPINGS = 4, /* receive_override_options=no_address_mappings */
	CLEANUP_NO_CHECKS = 8, /* no_header_body_checks */
	CLEANUP_NON_SMTPD = 16, /* run non_smtpd_milters from the start */
	CLEANUP_BARE_LF_REJECT = 32, /* content had a bare LF and that is to be refused */
	CLEANUP_DISCARD = 64, /* accept and drop */
	CLEANUP_DRY_RUN = 128 /* do everything, but queue nothing */
};

struct cleanup_request {
	unsigned flags;
	struct queue_message m; /* id, flags, arrival, sender, client, rcpts; content offsets unused */
	struct str *prepend; /* complete header fields to put on top, in order (PREPEND actions) */
	size_t prepend_count;
	struct str received; /* our own Received field, complete, without CRLF; hidden from milters; empty: none */
	struct str hold_reason; /* with QUEUE_HOLD */
	struct str milters; /* milter_session_export() text, empty: none */
	int milter_fds[STREAM_FDS_MAX];
	size_t milter_fd_count;
	struct str redirect; /* REDIRECT action, or empty */
	struct str *bcc;
	size_t bcc_count;
	struct str session; /* the SMTP session's id, for log and story, or empty */
};

struct cleanup_answer {
	struct code code; /* 250 2.0.0 queued; else the reply to give */
	struct str text; /* reply text without codes; for 250 empty */
	struct str id; /* queue id */
	uint64_t size; /* octets stored */
	struct str milters; /* which milter sessions are still usable: milter_session_import_state() text */
	bool discarded;
};

/* sender side */
int cleanup_send_envelope(struct stream *s, const struct cleanup_request *r, int64_t deadline, struct err *e); /* Suspends. */
int cleanup_send_content(struct stream *s, struct str chunk, int64_t deadline, struct err *e); /* Suspends. */
/* Content from an open file: size octets from offset at, read in the thread pool and sent in pieces, each within patience_ms. Suspends.
 * 0, or -1 with *e. */
int cleanup_send_file(struct stream *s, int fd, uint64_t at, uint64_t size, int64_t patience_ms, struct err *e);
int cleanup_send_end(struct stream *s, unsigned content_flags, int64_t deadline,
	struct err *e); /* content_flags: QUEUE_8BIT|DOTS|LONG_LINES. Flushes. */
int cleanup_receive_answer(struct stream *s, struct arena *a, struct cleanup_answer *out, int64_t deadline, struct err *e); /* Suspends. */

/* cleanup's side */
enum cleanup_event { CLEANUP_CONTENT, CLEANUP_END };
/* 0: filled, fds owned by the caller; 1: the peer closed between messages; -1 with *e. Suspends. */
int cleanup_receive_envelope(struct stream *s, struct arena *a, struct cleanup_request *out, int64_t deadline, struct err *e);
/* Next piece of content in *chunk (lives in scratch, which the caller resets), or the end. 0 or -1 with *e. Suspends. */
int cleanup_receive_content(struct stream *s, struct arena *scratch, enum cleanup_event *what, struct str *chunk, unsigned *content_flags,
	int64_t deadline, struct err *e);
int cleanup_send_answer(struct stream *s, const struct cleanup_answer *a, int64_t deadline, struct err *e); /* Suspends. */

#endif

/* lib/proto/notify.h - "a new message is on disk": from cleanup to qmgr, with the open file and the envelope, so that qmgr need not read it
 * back. One way; a lost notice is made good by qmgr's scan of incoming/.
 */
#ifndef GATEPOST_LIB_PROTO_NOTIFY_H
#define GATEPOST_LIB_PROTO_NOTIFY_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/net/stream.h"
#include "lib/queue/queue.h"

/* fd: the message file, read-write; the caller keeps its own copy. m: complete, offsets and mark_at included. Suspends. */
int notify_send(struct stream *s, const struct queue_message *m, int fd, int64_t deadline, struct err *e);

/* Requests that operators' commands send to qmgr on the same socket. */
enum notify_kind {
	NOTIFY_MESSAGE, /* m and fd */
	NOTIFY_FLUSH, /* retry everything now */
	NOTIFY_FLUSH_ID, /* retry id now */
	NOTIFY_SCAN, /* look into incoming/, and for what is due */
	NOTIFY_FLUSH_SITE /* retry what waits for a domain of fast_flush_domains */
};
/* what: an id, a domain, or nothing, as the kind needs it. */
int notify_send_command(struct stream *s, enum notify_kind kind, const char *what, int64_t deadline, struct err *e);
struct notice {
	enum notify_kind kind;
	struct queue_message m; /* of a command only its id */
	int fd; /* owned by the caller; -1: none */
	struct str site;
};
/* 0: *out, its texts in a. 1: peer closed. -1 with *e. Suspends. */
int notify_receive(struct stream *s, struct arena *a, struct notice *out, int64_t deadline, struct err *e);

#endif

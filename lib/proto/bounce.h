/* lib/proto/bounce.h - "tell the sender": from qmgr to bounce, with the open message file. The answer says that the notification is itself
 * durably queued (or that none was due), so the recipients may be marked done.
 */
#ifndef GATEPOST_LIB_PROTO_BOUNCE_H
#define GATEPOST_LIB_PROTO_BOUNCE_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/net/stream.h"
#include "lib/proto/deliver.h"
#include "lib/queue/queue.h"

enum bounce_kind { BOUNCE_FAILURE, BOUNCE_DELAY, BOUNCE_SUCCESS, BOUNCE_REPORT }; /* REPORT: of all recipients, good and bad */
#define BOUNCE_KINDS (BOUNCE_REPORT + 1)

struct bounce_rcpt {
	struct queue_rcpt rcpt;
	struct code code;
	struct str relay, text, remote_mta;
	enum deliver_action action; /* of what was sent */
};

struct bounce_request {
	enum bounce_kind kind;
	struct queue_message m; /* id, flags, sender, envid, ret, arrival, offsets; no rcpts */
	struct bounce_rcpt *rcpts;
	size_t rcpt_count;
	int64_t retry_until_us; /* DELAY */
	bool delay_cleared; /* SUCCESS after a delay warning: told also to those who asked for delays only */
	int fd; /* message file; owned by the receiver */
};

int bounce_send_request(struct stream *s, const struct bounce_request *r, int64_t deadline, struct err *e); /* Suspends. */
int bounce_receive_request(
	struct stream *s, struct arena *a, struct bounce_request *out, int64_t deadline, struct err *e); /* 0, 1 closed, -1 */
/* ok: notification queued as id (or id empty: none due). */
int bounce_send_answer(struct stream *s, bool ok, struct str id, int64_t deadline, struct err *e);
int bounce_receive_answer(struct stream *s, struct arena *a, bool *ok, struct str *id, int64_t deadline, struct err *e);

#endif

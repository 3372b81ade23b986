/* lib/proto/deliver.h - "deliver these recipients of this message": from qmgr to a delivery agent (smtp, lmtp, local, virtual, pipe, error,
 * discard), with the open message file. One request at a time on a connection, any number in turn. The agent logs the "to=<...>" line;
 * qmgr alone writes the result into the queue file.
 */
#ifndef GATEPOST_LIB_PROTO_DELIVER_H
#define GATEPOST_LIB_PROTO_DELIVER_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/net/stream.h"
#include "lib/queue/queue.h"

struct deliver_request {
	struct queue_message m; /* id, flags, sender, envid, ret, client, offsets; rcpts: only the ones of this batch */
	struct str nexthop;
	int64_t active_us; /* wall clock when qmgr took the message up: end of delays' first part */
	int64_t start_us; /* wall clock when this request was sent: end of the second */
	bool soft_bounce; /* qmgr will defer what bounces; deliver_log() says so */
	int fd; /* message file; owned by the receiver */
};

enum deliver_status { DELIVER_SENT, DELIVER_DEFERRED, DELIVER_BOUNCED };

enum deliver_action { /* what a notification of success says of it (RFC 3464 section 2.3.3) */
	DELIVER_PLAIN, /* relayed when another host took it, else delivered */
	DELIVER_DELIVERED,
	DELIVER_RELAYED, /* into the unknown: nobody will tell more */
	DELIVER_EXPANDED /* to several recipients */
};

struct deliver_result { /* one per recipient of the batch, same order */
	enum deliver_status status;
	struct code code; /* enhanced part; smtp part when the peer gave one */
	struct str relay; /* "mx[192.0.2.1]:25", "local", "none" */
	struct str text; /* reason, without the enhanced code unless the peer's words */
	struct str remote_mta; /* for DSN: host name, or empty */
	enum deliver_action action; /* of what was sent */
	bool dsn_passed; /* SUCCESS notification is the next hop's business now */
};

struct deliver_answer {
	struct deliver_result *results;
	size_t count;
	bool site_down; /* connection, greeting or handshake failed: count against the destination's concurrency */
	struct str site_text; /* with site_down: reason, and its code below */
	struct code site_code;
};

int deliver_send_request(struct stream *s, const struct deliver_request *r, int64_t deadline, struct err *e); /* Suspends. */
int deliver_receive_answer(struct stream *s, struct arena *a, struct deliver_answer *out, int64_t deadline, struct err *e); /* Suspends. */
/* agent's side: 0, 1 peer closed, -1 with *e. Suspends. */
int deliver_receive_request(struct stream *s, struct arena *a, struct deliver_request *out, int64_t deadline, struct err *e);
int deliver_send_answer(struct stream *s, const struct deliver_answer *a, int64_t deadline, struct err *e); /* Suspends. */
/* The same, and when nobody took it because qmgr died meanwhile: mark the delivered recipients done in the file, so that its successor does
 * not send them again. The agent may write there: the lock on the file is held by the descriptor in r. Use it before closing that. Suspends. */
int deliver_conclude(struct stream *s, const struct deliver_request *r, const struct deliver_answer *a, int64_t deadline, struct err *e);

/* The status that goes with an enhanced code: 2 sent, 4 deferred, 5 bounced. */
enum deliver_status deliver_status_of(struct code c);

/* The agents' log line: "ID: to=<r>, orig_to=<o>, relay=R, [conn_use=N, ]delay=..., delays=a/b/c/d, dsn=D, status=S (text)".
 * connect_us: wall clock when the session was ready to send (end of delays' third part), 0 when it never was or there is no network. */
void deliver_log(const struct deliver_request *r, size_t rcpt, const struct deliver_result *res, unsigned conn_use, int64_t connect_us);

#endif

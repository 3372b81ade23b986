/* lib/proto/rewrite.h - "what is this address, where does it go?": asked of trivial-rewrite by smtpd, cleanup, qmgr, local.
 * Pure question and answer. Askers keep a small cache (seconds), so that a busy destination costs one question.
 */
#ifndef GATEPOST_LIB_PROTO_REWRITE_H
#define GATEPOST_LIB_PROTO_REWRITE_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/net/stream.h"

enum rewrite_class { CLASS_LOCAL, CLASS_VIRTUAL_ALIAS, CLASS_VIRTUAL_MAILBOX, CLASS_RELAY, CLASS_DEFAULT };

enum { /* rewrite_answer.flags */
	REWRITE_KNOWN = 1, /* the recipient exists as far as its class's tables tell (or they are empty) */
	REWRITE_ROUTED = 2, /* sender-specified routing: user%dom@local, a!b@local */
	REWRITE_ERROR = 4, /* bad address syntax */
	REWRITE_ALIASED = 8, /* matched virtual_alias_maps or canonical maps */
	REWRITE_ANY_SENDER = 16 /* no sender dependent table was asked: the answer may be cached for every sender */
};

enum { /* rewrite_question.flags */
	REWRITE_REMOTE_CONTEXT = 1, /* only the standard form is asked for, by remote_header_rewrite_domain */
	REWRITE_CHECK_KNOWN = 2 /* look into the recipient tables */
};

struct rewrite_question {
	unsigned flags;
	struct str sender; /* for sender dependent tables; may be empty */
	struct str address; /* internal form */
	struct str service; /* smtpd's name in master.cf: what its row says of recipients counts; may be empty */
};

struct rewrite_answer {
	int temp_fail; /* 1: a table could not be asked; why tells */
	enum rewrite_class klass;
	unsigned flags;
	struct str address; /* standard form: user@fully.qualified */
	struct str transport; /* master.cf service: "smtp", "local", "error" ... */
	struct str nexthop; /* "example.com", "[127.0.0.1]:25", or for error the text */
	struct str alias; /* REWRITE_ALIASED to one address alone: that address, as the table has it */
	struct str why;
};

/* Askers: one per process. endpoint: "unix:private/rewrite". */
struct rewrite_client;
struct rewrite_client *rewrite_client_new(const char *endpoint, int64_t timeout_ms);
void rewrite_client_free(struct rewrite_client *c);
/* Answer lives in a. 0, or -1 with *e when the service could not be reached in time. Suspends. */
int rewrite_ask(struct rewrite_client *c, struct arena *a, const struct rewrite_question *q, struct rewrite_answer *out, struct err *e);

/* trivial-rewrite's side: 0, 1 peer closed, -1. Suspends. */
int rewrite_receive(struct stream *s, struct arena *a, struct rewrite_question *q, int64_t deadline, struct err *e);
int rewrite_send_answer(struct stream *s, const struct rewrite_answer *out, int64_t deadline, struct err *e);

#endif

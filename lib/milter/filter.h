/* lib/milter/filter.h - what the files of this library share: one filter's connection and state, and the events told to it.
 */
#ifndef GATEPOST_LIB_MILTER_FILTER_H
#define GATEPOST_LIB_MILTER_FILTER_H

#include "lib/base/clock.h"
#include "lib/milter/codec.h"
#include "lib/milter/milter.h"
#include "lib/net/fiber.h"
#include "lib/net/stream.h"

#define FILTERS_MAX 64 /* in one chain */

enum { /* action word of the negotiation */
	ACTION_ADDHDRS = 0x1,
	ACTION_CHGBODY = 0x2,
	ACTION_ADDRCPT = 0x4,
	ACTION_DELRCPT = 0x8,
	ACTION_CHGHDRS = 0x10,
	ACTION_QUARANTINE = 0x20,
	ACTION_CHGFROM = 0x40,
	ACTION_ADDRCPT_PAR = 0x80,
	ACTION_SETSYMLIST = 0x100,
	ACTION_ALL = 0x1ff
};

enum { /* protocol word */
	WITHOUT_CONNECT = 0x1,
	WITHOUT_HELO = 0x2,
	WITHOUT_MAIL = 0x4,
	WITHOUT_RCPT = 0x8,
	WITHOUT_BODY = 0x10,
	WITHOUT_HEADERS = 0x20,
	WITHOUT_EOH = 0x40,
	NR_HEADER = 0x80,
	WITHOUT_UNKNOWN = 0x100,
	WITHOUT_DATA = 0x200,
	CAN_SKIP = 0x400,
	WANT_REJECTED_RCPT = 0x800,
	NR_CONNECT = 0x1000,
	NR_HELO = 0x2000,
	NR_MAIL = 0x4000,
	NR_RCPT = 0x8000,
	NR_DATA = 0x10000,
	NR_UNKNOWN = 0x20000,
	NR_EOH = 0x40000,
	NR_BODY = 0x80000,
	LEADING_SPACE = 0x100000
};

enum filter_state {
	FILTER_NEW, /* not connected yet, or no more: the next message finds a new connection */
	FILTER_OPEN,
	FILTER_PASSED, /* accepted this message: hears nothing more until the next ABORT */
	FILTER_DONE, /* gave a verdict on the whole session; closed */
	FILTER_FAILED /* closed; its default action stands for the rest of the session */
};

struct verdict { /* a milter_answer with its own text */
	enum milter_verdict kind;
	bool hold;
	struct code code;
	struct str text;
};

struct agreement { /* what a connection negotiated */
	unsigned version;
	uint32_t actions, protocol;
	const char *macros[MILTER_STAGES]; /* lists the filter asked for; NULL: the configured one */
};

struct filter {
	const struct milter_settings *set;
	struct stream *io;
	enum filter_state state;
	unsigned version; /* negotiated */
	uint32_t protocol, actions; /* actions: negotiated, less what "changes=" forbids */
	char skipped; /* SMFIR_SKIP: no more events of this command until another one was sent */
	const char *macros[MILTER_STAGES]; /* lists the filter asked for; NULL: the configured one */
	struct verdict standing; /* DONE, FAILED: answer to every event */
	struct verdict now; /* answer to the event under way */
	struct buf out; /* packets not written yet: they leave with the next one that needs an answer */
	struct buf in; /* payload of the reply being read */
	struct buf text; /* of the verdict just given */
	bool dropped; /* its connection was cut on purpose: no failure of its own */
	struct agreement agreed; /* before settings had their say */
	bool reused; /* served another client before, and has not answered this one yet */
	bool counted; /* among those connected now */
	bool at_end; /* the last it was told is the end of a message, and it agreed to that: ABORTs not written yet aside */
	int64_t until; /* no wait lasts longer; 0: any */
	/* what is recorded of the message under way */
	int64_t spent_us; /* waited for it */
	int64_t wait_us; /* the last wait alone */
	char said; /* last verdict, by reply; '!' failed, 'x' cut short; 0: none yet */
	struct code said_code;
	char said_at; /* command it was the answer to */
	char telling; /* command under way */
	struct buf changed; /* "+X-A,body" */
	struct buf diff; /* the same with what was there and what is now, a line each, while a story is told */
};

struct milter_session {
	struct arena *life;
	struct filter *filters;
	size_t count;
	struct milter_macros macros;
	milter_macro_fn *macro;
	void *macro_ctx;
	const struct str *known; /* imported macro values: name, value, name, value ... */
	size_t known_count; /* pairs */
	bool helo_seen, in_mail, discarded;
	struct buf connect, helo; /* payloads, for a filter that joins later */
};

struct event { /* one command of the protocol */
	char command;
	const char *name;
	enum milter_stage stage; /* whose macros go in front */
	uint32_t no, nr; /* protocol bits: filter does not want it; filter does not answer it */
	unsigned since; /* protocol version that brought it */
	bool content; /* content_ms, else command_ms */
	bool whole_session; /* a verdict counts for the session */
};

extern const struct event event_negotiate, event_connect, event_helo, event_mail, event_rcpt, event_data, event_unknown, event_header, event_eoh, event_body,
	event_eom;

/* filter.c: one event to one filter, with its macros; *v is its verdict (MILTER_GO_ON when it has none). Suspends. */
void filter_tell(struct milter_session *s, struct filter *f, const struct event *ev, struct str payload, struct verdict *v);
/* The same in two parts: say it (true: an answer will come; else the verdict is in f->now), and read the answer. */
bool filter_say(struct milter_session *s, struct filter *f, const struct event *ev, struct str payload);
void filter_answer(struct milter_session *s, struct filter *f, const struct event *ev, struct verdict *v);
/* May this event be sent at all? */
bool filter_hears(struct filter *f, const struct event *ev);
void filter_new_message(struct filter *f); /* what is recorded begins anew */
/* A shadow is recorded, not obeyed: *v becomes MILTER_GO_ON. */
void filter_shadow(struct filter *f, const struct event *ev, struct verdict *v);
/* What a reply that ends an event means. False: it is none of those. */
bool filter_final(struct milter_session *s, struct filter *f, const struct event *ev, const struct reply *r, struct verdict *v);

/* io.c: 0, or -1 after the filter was put into FILTER_FAILED and the reason was logged. */
int filter_flush(struct filter *f, const struct event *ev);
int filter_writev(struct filter *f, const struct event *ev, const struct iovec *iov, int count);
int filter_read(struct filter *f, const struct event *ev, struct reply *r);
const char *filter_trouble(const struct filter *f, int result); /* an enum stream_result in the words that log readers know */
void filter_close(struct filter *f);
/* Communication failed (or: the filter talks nonsense): close, and let the default action stand. */
int filter_fail(struct filter *f);
/* The filter's request cannot be carried out: that is an error of configuration. */
int filter_misconfigured(struct filter *f);
/* Nobody waits for its answer any more: cut the connection under whoever reads from it now. */
void filter_drop(struct filter *f);
/* It gave its verdict while more was on its way to it: the next message finds a new connection. */
void filter_abandon(struct filter *f);
void filter_lost(struct filter *f); /* our own doing: refuse temporarily whatever the default action is */

/* negotiate.c: connect and agree on options, or go on with a connection that had done so. 0, or -1 as above. Suspends. */
int filter_connect(struct milter_session *s, struct filter *f);

/* reuse.c: connections that outlive their client. */
/* One that was kept (f->reused; f->agreed is what it negotiated), else a new one. NULL with *e. Suspends. */
struct stream *reuse_connect(struct filter *f, struct arena *life, int64_t deadline, struct err *e);
void reuse_left(struct filter *f); /* the session is not connected any more */
void reuse_worked(struct filter *f); /* a kept connection answered */
void reuse_failed(struct filter *f); /* it did not */
bool reuse_wanted(const struct filter *f); /* worth a SMFIC_QUIT_NC at the end of the session */
void reuse_keep(struct filter *f); /* which was written: f->io is for the next one */

/* macros.c: the D packet for an event, in front of it. */
void macros_put(struct milter_session *s, const struct filter *f, const struct event *ev, struct buf *out);
bool macro_value(struct milter_session *s, struct str name, struct str *value);
struct str macro_word(struct str *list); /* next name, without braces; empty: no more */

/* modify.c */
struct modifier { /* the changes one filter makes to one message */
	struct milter_mail *m;
	struct header seen; /* the header as this filter knows it, with its own changes: what its positions mean */
	bool own_view; /* seen is a copy; else it is m->header itself */
	struct buf body; /* replacement under way */
	size_t body_size;
	bool replaces;
	char last; /* request before this one */
	struct err e; /* first failure; kind ERR_NONE: none */
};
void modifier_begin(struct modifier *mod, struct milter_mail *m, bool own_view);
struct header *modifier_seen(struct modifier *mod);
enum request { REQUEST_FAILED = -1, REQUEST_NONE, REQUEST_KEEP, REQUEST_DROP };
/* May f ask for this? FAILED: no, and f has failed now; NONE: it is no modification; KEEP: to be carried out when the filter has agreed to
 * the message; DROP: it will not be (a shadow, or the message is lost already). */
enum request modifier_check(struct modifier *mod, struct filter *f, const struct reply *r);
/* Carry it out. What goes wrong is our own trouble: mod->e. Suspends. */
void modifier_apply(struct modifier *mod, struct filter *f, const struct reply *r);
void modifier_finish(struct modifier *mod); /* hand a replaced body over */

/* endpoint.c: what this process remembers of a filter over sessions. */
bool endpoint_resting(const struct milter_settings *set); /* it made us wait too often: not asked now */
void endpoint_failed(const struct milter_settings *set, int64_t waited_us);
bool endpoint_pipelines(const struct milter_settings *set); /* it may be told of content before it has answered */
void endpoint_heard_all(const struct milter_settings *set); /* it let a message come to its end */
void endpoint_judged_early(const struct milter_settings *set); /* it did not */
void endpoint_worked(const struct milter_settings *set);

/* report.c: tell the explain service of the verdict that f->said has; text: of a refusal. */
void report_verdict(struct milter_session *s, const struct filter *f, const struct event *ev, struct str text);

/* stages.c */
void session_answer(const struct filter *f, const struct verdict *v, struct milter_answer *out);

#endif

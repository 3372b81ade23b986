/* mta/qmgr/qmgr.h - what the queue manager's files share: messages being worked on, transports, destinations, and how they hang together.
 *
 *   message --< job (message x transport) --< peer (message x destination) --< batch (one delivery request)
 *   transport: jobs that have something ready, by age and by size;  destination: peers that wait for room in its window
 *
 * A message's jobs, peers and batches live in its arena. Fairness: a transport serves its oldest job, which smaller ones may overtake with the
 * delivery slots it earns them (sched.c); a job's peers take turns, and so do the messages that wait for a busy destination.
 */
#ifndef GATEPOST_MTA_QMGR_QMGR_H
#define GATEPOST_MTA_QMGR_QMGR_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/heap.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/conf/conf.h"
#include "lib/net/fiber.h"
#include "lib/net/pool.h"
#include "lib/proto/deliver.h"
#include "lib/proto/rewrite.h"
#include "lib/queue/queue.h"
#include "lib/table/table.h"
#include "mta/qmgr/feedback.h"

struct settings { /* main.cf, read once */
	size_t active_limit, rcpt_limit;
	int64_t min_backoff_ms, max_backoff_ms;
	int64_t lifetime_ms, bounce_lifetime_ms;
	int64_t transport_retry_ms, run_delay_ms, delay_warning_ms;
	int64_t clog_ms; /* between warnings; 0: none */
	bool soft_bounce, confirm_cleared, verp_bounces, feedback_debug;
	struct matchlist *flush_domains; /* NULL: none */
	const char *defer_transports, *recipient_delimiter, *double_bounce, *filter_nexthop;
};

enum fate { /* of a recipient in this round */
	FATE_NONE, /* no answer yet */
	FATE_SENT,
	FATE_DEFERRED,
	FATE_BOUNCED, /* the sender is still to be told */
	FATE_REPORTED, /* the sender was told */
	FATE_SAME /* a second time the same address */
};

struct outcome {
	enum fate fate;
	bool marked; /* its state byte says done */
	bool expired; /* reported because its time was up */
	bool soon; /* deferred for a transport that rests: tried again when that does */
	bool dsn_passed;
	enum deliver_action action;
	struct code code;
	struct str relay, text, remote_mta;
};

enum source { SOURCE_INCOMING, SOURCE_ACTIVE, SOURCE_DEFERRED };

struct message {
	struct arena *life;
	struct queue_message m;
	struct outcome *outcomes; /* one a recipient */
	int fd;
	bool flushed; /* taken up by an explicit flush */
	bool warned; /* the sender knows about the delay */
	bool ending; /* active_settled() is at work */
	bool stray; /* an agent that gave no answer may still be at work on it: its lock stays */
	bool moved; /* into active/; before that it is still in incoming/ */
	bool old; /* tried before: there may be notes about it in flush/ */
	size_t weight; /* what it counts against the limit of recipients */
	size_t unsettled; /* recipients without a fate */
	unsigned in_flight; /* deliveries, and recipient_assign() */
	int64_t active_us;
	struct list peers; /* not yet wholly started */
	struct list node; /* in qmgr.finishing */
};

struct dest {
	struct transport *transport;
	struct str key;
	struct concurrency c;
	unsigned busy;
	unsigned pending; /* peers below: messages that want to go there */
	struct list peers; /* all with batches not yet started */
	struct list waiting; /* those of them that found no room */
	int64_t dead_until; /* monotonic ms; 0: alive */
	struct code dead_code;
	char *dead_text;
};

struct slots { /* preemption: <transport>_delivery_slot_... */
	int64_t cost, loan, discount, minimum;
};

struct transport {
	char *name;
	struct slots slots;
	struct feedback_rules rules;
	size_t rcpt_limit; /* per delivery; 0: none */
	unsigned process_limit; /* 0: none */
	unsigned busy;
	int64_t dest_delay_ms, delay_ms;
	struct pool *pool;
	struct map *dests;
	struct heap by_age, by_size; /* jobs with a ready peer */
	struct job *overtaker; /* the one that is overtaking an older one */
	int64_t dead_until;
	const char *dead_text;
};

struct job {
	struct message *msg;
	struct transport *transport;
	uint64_t rank; /* by age */
	size_t left; /* batches not yet started */
	int64_t taken; /* and those that were */
	int64_t earned; /* for others that overtake; below zero: a debt */
	size_t by_age, by_size; /* places in the transport's heaps */
	struct list ready; /* peers */
};

struct peer {
	struct list node; /* in job.ready or dest.waiting */
	struct list of_dest, of_message;
	struct job *job;
	struct dest *dest;
	struct str nexthop;
	struct list batches;
	struct batch *open; /* the last one, while recipients are added */
};

struct batch {
	struct list node;
	struct peer *peer;
	uint32_t *rcpts; /* indexes into message.m.rcpts */
	size_t count, cap;
};

struct qmgr { /* the process's state */
	struct settings set;
	const struct conf *conf;
	struct rewrite_client *rewrite;
	struct pool *bounce;
	struct map *messages; /* by id: everything that is in memory */
	size_t weight; /* sum of the messages' */
	struct map *transports;
	struct list finishing; /* messages settled outside a delivery */
	unsigned finishers;
	struct waitq room; /* wakes who waits for the active limit */
	struct fiber *scanner;
	bool want_incoming; /* something in incoming/ was not taken up */
	bool want_active; /* something in active/ or incoming/ was locked */
	bool forget_dead;
	bool behind; /* QUEUE_BEHIND exists */
	int64_t flush_us; /* wall clock of a flush request that is still to be served, or 0 */
	int64_t next_due_s; /* earliest known due time in deferred/ */
	int lock_fd;
	bool draining;
};

extern struct qmgr qmgr;

/* settings.c */
void settings_read(const struct conf *c);
/* scan.c */
void scan_start(void);
void scan_kick(void); /* look at the directories now */
void scan_flush(void);
void scan_flush_id(const char *id); /* Suspends. */
void scan_take(const char *path, const char *id); /* from deferred/, in a flush. Suspends until there is room. */
void scan_behind(bool behind); /* tell cleanup to slow down, or no longer */
/* site.c */
#define SITES_MAX 64 /* domains of a message that are noted */
struct sites {
	const char *v[SITES_MAX];
	size_t count;
};
/* The domains of fast_flush_domains among m's recipients that which() picks. Suspends. */
void sites_of(struct message *m, bool (*which)(const struct message *m, size_t rcpt), struct sites *out);
void sites_enter(const struct sites *s, const char *id, const char *path); /* Blocking, as the next one. */
void sites_leave(const struct sites *s, const char *id);
void site_flush(struct str site);
/* active.c */
bool active_has_room(enum source source);
void active_take_notice(struct arena *a, const struct queue_message *m, int fd); /* Suspends. Owns a and fd. */
void active_take_file(const char *path, const char *id, enum source source, bool flushed); /* Suspends. */
void active_settle(struct message *m, size_t rcpt, enum fate fate);
void active_settled(struct message *m); /* Suspends. Ends m when nothing is left open. */
void active_finish_later(struct message *m); /* the same in a fiber of its own */
void active_move_slow(void); /* Suspends. Into active/ what has been here for a while. */
void active_drop_idle(void); /* draining: what has no delivery running */
/* recipient.c */
void recipient_assign(struct message *m); /* Suspends. */
void recipient_defer(struct message *m, size_t rcpt, struct code code, struct str text); /* here and now, with log line */
/* verp.c: the sender of mail to this recipient. */
struct str verp_sender(const struct message *m, const struct queue_rcpt *rcpt);
bool verp_wanted(const struct message *m);
/* transport.c */
struct transport *transport_get(struct str name);
bool transport_usable(struct transport *t);
void transport_fail(struct transport *t, const char *text);
void transport_forget_dead(void);
void transport_sweep(void);
void transport_warn_of_clog(void); /* which destination takes the room? */
/* dest.c */
struct dest *dest_get(struct transport *t, struct str key);
bool dest_usable(struct dest *d);
bool dest_room(const struct dest *d);
void dest_succeeded(struct dest *d);
void dest_failed(struct dest *d, struct code code, struct str text);
void dest_defer_all(struct dest *d, struct code code, const char *text, bool soon);
void dest_free_if_idle(struct dest *d);
/* sched.c */
void sched_init(struct transport *t);
void sched_job(struct job *j, struct message *m, struct transport *t); /* a new one: the youngest */
void sched_ready(struct peer *p); /* let it take part */
void sched_add(struct peer *p, struct batch *b); /* one more, the last */
void sched_take(struct batch *b); /* off its peer's list */
void sched_forget(struct peer *p); /* out of all lists */
void sched_run(struct transport *t); /* start what can be started */
void sched_release(struct transport *t, struct dest *d); /* room at d, perhaps at t */
/* deliver.c */
void deliver_start(struct batch *b);
/* operator.c */
#define OPERATOR_PLACE_MAX (sizeof "maildrop/" + QUEUE_ID_MAX)
/* Where the operator wants the message, below the queue directory, and what that is called; NULL: nowhere special. */
const char *operator_place(int fd, const char *id, char place[OPERATOR_PLACE_MAX]);
void operator_obeyed(int fd, const char *id, const char *what); /* it is there now */
bool operator_has(int fd); /* deleted, or to go somewhere special */
bool operator_stops(struct batch *b); /* not to be delivered: its recipients have their fate */
/* retry.c */
void retry_finish(struct message *m); /* Suspends. All recipients have a fate: report, defer or remove. */
void retry_mark(struct message *m, const uint32_t *rcpts, size_t count); /* state bytes of those that are finished */

#endif

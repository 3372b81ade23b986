/* mta/cleanup/cleanup.h - one message on its way from the sender's connection to the queue file, and the steps that work on it.
 */
#ifndef GATEPOST_MTA_CLEANUP_CLEANUP_H
#define GATEPOST_MTA_CLEANUP_CLEANUP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/map.h"
#include "lib/base/str.h"
#include "lib/mail/header.h"
#include "lib/milter/milter.h"
#include "lib/net/stream.h"
#include "lib/proto/cleanup.h"
#include "lib/queue/queue.h"

struct rcpt_list {
	struct queue_rcpt *v;
	size_t count, cap;
};

struct content { /* what the sender streams: in memory up to cleanup_memory_limit, then in the queue file, where it stays */
	struct buf memory;
	int fd; /* queue file, or -1 */
	char *mapped; /* file content while it is worked on, or NULL */
	size_t mapped_size;
	uint64_t size; /* octets so far */
	unsigned flags; /* QUEUE_8BIT | QUEUE_DOTS | QUEUE_LONG_LINES, from the sender */
	bool failed; /* not all of it was kept: too large, or the disk did not take it */
	bool committed; /* the queue file is complete and durable */
};

struct mail { /* everything lives in .life and ends with the message */
	struct arena *life;
	struct cleanup_request req;
	struct queue_message m; /* what will be queued */
	struct rcpt_list rcpts;
	struct map *seen; /* duplicate filter */
	struct header header;
	struct content content;
	struct str body; /* CRLF lines; slice of content, of converted or of edited */
	struct buf converted; /* body after force_mime_input_conversion */
	struct buf edited; /* body after checks or milters */
	bool body_edited;
	struct milter_session *milters;
	struct milter_mail *shown; /* what filters look at, while they do */
	struct milter_run *run; /* filters that look while the content still comes */
	struct str front; /* then: the header as it came, and perhaps more; body_at tells where in the content the body begins */
	size_t body_at;
	bool header_done; /* the header stage was passed already */
	struct code refused; /* smtp != 0: first reason not to take the message */
	struct str refusal;
	bool discard; /* accept and drop */
	bool checks_passed; /* PASS or REDIRECT action: no more checks */
	struct str redirect, new_sender;
	struct str last_rcpt; /* for log lines */
	struct rule_used { /* by what the address in work was changed first and last, for its story */
		const struct tables *tables;
		struct str place; /* "texthash:/etc/x:17" */
	} rules[2];
	struct str milter_rcpt; /* mail that came without SMTP: the last recipient told to filters */
	bool milter_mail, non_smtp; /* milter_mail: filters know the sender */
	bool resent; /* has Resent- fields, also ones that are dropped */
	unsigned hops;
};

/* ---- the story (session.c) ---- */

/* Serve one connection: message after message. Suspends. */
void session_serve(struct stream *io);
void session_init(void);
void session_drain(void); /* connections that wait for a message are told to leave */
/* The first reason counts. text must live as long as the mail or longer. */
void mail_refuse(struct mail *x, struct code code, struct str text);
void mail_refuse_temp(struct mail *x, const char *text); /* 451 4.3.0, our own trouble */
bool mail_refused(const struct mail *x);

/* ---- content.c: receiving ---- */

int content_receive(
	struct mail *x, struct stream *io, struct err *e); /* -1: the sender is gone; too large or no disk: refused. Suspends. */
struct str content_view(struct mail *x); /* all of it as one run of octets; refuses when it cannot be read */
void content_forget(struct mail *x); /* an unfinished file is removed */

/* ---- header.c, rewrite.c, header_rewrite.c ---- */

void header_stage(struct mail *x); /* checks, drops, rewriting, missing fields, hop count, message-id. Suspends. */
/* Standard form of an internal address (user@fully.qualified); local: what is missing is ours, else remote_header_rewrite_domain. Refuses and
 * returns -1 when the answer is not to be had. Suspends. */
int rewrite_address(struct mail *x, struct str *address, bool local);
void tell_route(struct mail *x, const struct queue_rcpt *r); /* for a dry run: an event that says where this recipient goes. Suspends. */
void rewrite_init(const char *endpoint, int64_t timeout_ms);
/* Rewrite the addresses of one field. True: *value (in x->life) is new, with folds. Suspends. */
bool header_rewrite(struct mail *x, struct str name, struct str value, struct str *out);

/* ---- map.c: tables of addresses ---- */

enum map_class { MAP_ENVELOPE_SENDER = 1, MAP_ENVELOPE_RCPT = 2, MAP_HEADER_SENDER = 4, MAP_HEADER_RCPT = 8 };
/* canonical maps and masquerading. -1: refused. Suspends. */
int map_canonical(struct mail *x, struct str *address, enum map_class what);
/* Aliases of one recipient. *out: at least one address. -1: refused. Suspends. */
int map_virtual(struct mail *x, struct str address, struct str **out, size_t *count);
enum table_answer_class { MAP_HIT, MAP_MISS, MAP_TROUBLE };
/* One address out of bcc maps: MAP_TROUBLE refuses. Suspends. */
struct tables;
enum table_answer_class map_bcc(struct mail *x, const struct tables *ts, struct str key, struct str *value);

/* ---- envelope.c ---- */

int envelope_sender(struct mail *x, struct str sender); /* rewritten into m.sender. -1: refused. Suspends. */
void envelope_stage(struct mail *x); /* all recipients of the request. Suspends. */
void envelope_bcc(struct mail *x); /* always_bcc, sender_bcc_maps, PREPENDed BCC actions. Suspends. */
/* One more recipient; notify: DSN_NOTIFY_*; orig, orcpt: may be empty. with_bcc: recipient_bcc_maps apply. Suspends. */
void envelope_add(struct mail *x, struct str addr, struct str orig, struct str orcpt, int notify, bool with_bcc);
void envelope_delete(struct mail *x, struct str original);
void envelope_redirect(struct mail *x); /* REDIRECT action: one recipient instead of all. Suspends. */

/* ---- checks.c, body.c ---- */

enum check_kind { CHECK_HEADER, CHECK_MIME_HEADER, CHECK_NESTED_HEADER, CHECK_BODY, CHECK_MILTER_HEADER };
enum check_result { CHECK_KEEP, CHECK_DROP, CHECK_CHANGED };
/* Ask the tables about one field or line. CHANGED: *text is new; *before, when not empty, goes in front of it (with any result but DROP).
 * Actions on the message are carried out. Suspends. */
enum check_result checks_run(struct mail *x, enum check_kind kind, struct str *text, struct str *before);
bool checks_any(enum check_kind kind);
void mime_refuse(struct mail *x, const char *what, struct str text); /* strict_*; logged with the text */
bool body_questioned(const struct mail *x); /* will body_stage() look at it? */
void body_stage(struct mail *x); /* mime structure, header checks in parts, body checks, strict_* rules. Suspends. */

/* ---- encoding.c ---- */

void encoding_convert(struct mail *x); /* force_mime_input_conversion, before anybody looks */
void encoding_detect(struct mail *x); /* smtputf8_autodetect_classes, when header and envelope are as they stay */

/* ---- edit.c: milters ---- */

void milters_open(struct mail *x); /* from the request's sessions, or non_smtpd_milters; the latter also hear the envelope. Suspends. */
/* More content has come and is the end of x->content.memory: filters may look at a large message before all of it is here. Suspends. */
void milters_stream(struct mail *x, struct str piece);
void milters_give_up(struct mail *x); /* nothing comes of what was streamed. Suspends. */
void milters_stage(struct mail *x); /* headers to end of message. Suspends. */
void milters_close(struct mail *x, struct buf *state); /* state: for the sender */

/* ---- store.c ---- */

int store_begin(struct mail *x, struct err *e); /* create the queue file for a large message. Suspends. */
int store_append(struct mail *x, struct str bytes, struct err *e); /* Suspends. */
int store_commit(struct mail *x, struct err *e); /* write what is in memory, fsync. 0: durable. Suspends. */
void store_remove(struct mail *x);
void store_withdraw(struct mail *x); /* committed, but nobody heard of it: the sender will come again. Suspends. */
void store_init(void);
void store_notify(struct mail *x); /* tell qmgr. Suspends. */

/* ---- log.c ---- */

/* "name[addr]; from=<s> to=<r> proto=P helo=<h>" parts of log lines. */
void log_client(const struct mail *x, struct buf *out);
void log_parties(const struct mail *x, struct buf *out); /* the first two of them */
void log_envelope(const struct mail *x, struct buf *out); /* " from=<s> to=<r> proto=ESMTP helo=<h>" without the leading blank */

#endif

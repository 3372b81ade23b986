/* lib/milter/milter.h - the MTA side of the Sendmail milter protocol, versions 2 to 6. doc/spec facts: Postfix's behaviour.
 *
 * A milter_session is the ordered list of filters for one SMTP client; each filter has its connection, negotiated flags and error state in
 * it. smtpd drives connect .. rcpt, data, unknown, abort; for the content stage the open connections travel to cleanup (export/import),
 * which drives headers .. end of message. All calls suspend, each within the filter's timeouts.
 */
#ifndef GATEPOST_LIB_MILTER_MILTER_H
#define GATEPOST_LIB_MILTER_MILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"
#include "lib/mail/header.h"

enum milter_default { MILTER_ACCEPT, MILTER_REJECT, MILTER_TEMPFAIL, MILTER_QUARANTINE, MILTER_SHUTDOWN };

struct milter_settings { /* one filter as configured; process lifetime */
	const char *endpoint; /* "inet:127.0.0.1:8891", "unix:/run/x" */
	int64_t connect_ms, command_ms, content_ms;
	enum milter_default on_failure;
	unsigned version; /* 2, 3, 4, 6 */
	bool no_header_reply; /* never wait for answers to headers (milter_protocol = N, no_header_reply) */
	/* beyond Postfix */
	int64_t budget_ms; /* all waits for one message together; 0: only the timeouts above count */
	int64_t breaker_ms; /* after breaker_failures failures in a row the filter is not asked for so long; 0: always asked */
	unsigned breaker_failures;
	unsigned group; /* members of one "parallel { }" group have the same number; 0: none */
	uint32_t forbidden; /* action bits it may not use whatever it negotiates ("changes=" names the others) */
	bool shadow; /* asked and recorded, never obeyed */
	unsigned pipelining_after; /* messages, until it is told of content while it owes answers; 0: never */
	bool keep; /* its connections may serve one client after the other (SMFIC_QUIT_NC) */
};

struct milter_chain { /* smtpd_milters or non_smtpd_milters, parsed; process lifetime */
	struct milter_settings *filters;
	size_t count;
};

/* Macro values: return false when the macro does not exist (it is then not sent). name without braces: "i", "auth_authen". */
typedef bool milter_macro_fn(void *ctx, struct str name, struct str *value);

enum milter_stage {
	MILTER_CONNECT,
	MILTER_HELO,
	MILTER_MAIL,
	MILTER_RCPT,
	MILTER_DATA,
	MILTER_EOH,
	MILTER_EOM,
	MILTER_UNKNOWN,
	MILTER_STAGES
};

/* Which macros are sent at each stage by default (milter_connect_macros ...): lists as in main.cf. */
struct milter_macros {
	const char *names[MILTER_STAGES]; /* NULL: none */
	const char *defaults; /* milter_macro_defaults, "name=value" list: used where the macro has no value; NULL: none */
};

enum milter_verdict {
	MILTER_GO_ON,
	MILTER_REPLY, /* refuse with reply: code and text in the session's answer */
	MILTER_DISCARD, /* accept and drop the message */
	MILTER_HANGUP /* close the connection (reply 421 in the answer) */
};

struct milter_answer {
	enum milter_verdict verdict;
	struct code code; /* with MILTER_REPLY, MILTER_HANGUP */
	struct str text; /* reply text; lines separated by LF; good until the next call */
	const char *filter; /* whose verdict; NULL with MILTER_GO_ON */
	bool hold; /* with MILTER_GO_ON: a filter failed and its default action is quarantine: the message goes to the hold queue
		      (milter_content() tells it to milter_mail.quarantine as well) */
};

struct milter_session;

/* "accept", "tempfail" ... False: no such action. */
bool milter_default_parse(struct str word, enum milter_default *out);
/* milter_protocol: "6", "6, no_header_reply". False: bad. */
bool milter_protocol_parse(struct str words, unsigned *version, bool *no_header_reply);
/* Parse the main.cf list: endpoints, "{ endpoint, connect_timeout=5s, default_action=accept, ... }", and "parallel { ... }" around members
 * of either kind. defaults: the milter_* parameters. */
int milter_chain_parse(struct arena *a, const char *value, const struct milter_settings *defaults, struct milter_chain *out, struct err *e);

/* The milter_* parameters. 0, or -1 with *e. */
int milter_settings_load(const struct conf *c, struct milter_settings *defaults, struct milter_macros *macros, struct err *e);

struct milter_session *milter_session_new(
	struct arena *life, const struct milter_chain *chain, const struct milter_macros *macros, milter_macro_fn *macro, void *macro_ctx);
/* The client left: ABORT where due (an open transaction, then the HELO state), QUIT, close. Does not wait for answers. */
void milter_session_close(struct milter_session *s);
void milter_session_quit(struct milter_session *s); /* the same with QUIT alone: for mail that came without SMTP */

/* Envelope stages. family: '4', '6', 'L', 'U'. args: ESMTP parameters as strings. A refusal at connect or helo stands: every later event
 * gets the same answer. After MILTER_DISCARD the filters hear nothing more of the message. sender, rcpt: as the client wrote them
 * ("<a@b>"). */
void milter_connect(struct milter_session *s, struct str name, char family, uint16_t port, struct str addr, struct milter_answer *out);
void milter_helo(struct milter_session *s, struct str helo, struct milter_answer *out);
void milter_mail(struct milter_session *s, struct str sender, const struct str *args, size_t argc, struct milter_answer *out);
void milter_rcpt(struct milter_session *s, struct str rcpt, const struct str *args, size_t argc, struct milter_answer *out);
/* A recipient that smtpd itself refused: only filters that asked for it (SMFIP_RCPT_REJ) see it; their answer is ignored. */
void milter_rcpt_rejected(struct milter_session *s, struct str rcpt, const struct str *args, size_t argc);
void milter_data(struct milter_session *s, struct milter_answer *out);
void milter_unknown(struct milter_session *s, struct str line, struct milter_answer *out);
/* Transaction over (RSET, refused MAIL, delivered, a new HELO after milter_helo()). Once for each milter_mail(); more calls do nothing. */
void milter_abort(struct milter_session *s);
/* The greeting counts no more (STARTTLS): an ABORT for an open transaction and one for the HELO state. */
void milter_forget_helo(struct milter_session *s);
bool milter_wants_rejected_rcpt(const struct milter_session *s);

/* What a filter may change; implemented by cleanup. Every function returns 0 or -1 with *e (then the message is refused temporarily). */
struct milter_mail {
	void *ctx;
	struct header *header; /* edited in place by the library */
	struct str body; /* CRLF lines; replaced by replace_body */
	size_t body_max; /* largest replacement body taken; 0: no limit */
	int64_t deadline; /* after which no filter is waited for, so that the client does not give up; DEADLINE_NEVER: none */
	int (*change_sender)(void *ctx, struct str sender, struct str args, struct err *e);
	int (*add_rcpt)(void *ctx, struct str rcpt, struct str args, struct err *e);
	int (*del_rcpt)(void *ctx, struct str rcpt, struct err *e);
	int (*replace_body)(void *ctx, struct str body, struct err *e); /* whole new body; the callee updates .body */
	int (*quarantine)(void *ctx, struct str reason, struct err *e);
	/* milter_header_checks, or NULL: sees each field a filter adds, inserts or changes ("Name: value" with CRLF folds) and may rewrite
	 * it; `before` gets a field to put in front of it. Returns 1 to go on, 0 to forget this edit, -1 with *e. */
	int (*check_header)(void *ctx, struct buf *field, struct buf *before, struct err *e);
};

/* Headers .. end of message for every filter. In order, each sees what the ones before it made of the message; members of a parallel group
 * all see the same message, and what they change is put together in their order. The first objection in that order is the answer. */
void milter_content(struct milter_session *s, struct milter_mail *m, struct milter_answer *out);

/* The same while the client still sends: begun when m->header is complete. Filters whose view no earlier one may change hear header and
 * body as they come. NULL: there is none. Suspends. */
struct milter_run *milter_stream_begin(struct milter_session *s, struct milter_mail *m);
/* More of the body. Waits when filters are slower than the client. Suspends. */
void milter_stream_body(struct milter_run *r, struct str chunk);
/* All of it was given and is m->body now; as milter_content() from here on. Suspends. */
void milter_stream_end(struct milter_run *r, struct milter_answer *out);
/* No message came of it. Filters that have an answer to give yet are disconnected. Suspends. */
void milter_stream_cancel(struct milter_run *r);

/* "inet:h:1 continue delay=0.102 changes=+X-A; unix:/x reject delay=0.001": what each filter said of this message, how long that took, and
 * what it changed. Nothing for filters that were not asked. */
void milter_report(const struct milter_session *s, struct buf *out);

/* Move a session to another process: text describes filters, flags and macros, and has what was still to be written; fds (owned by s,
 * copies travel) in order, at most MILTER_FDS_MAX. */
#define MILTER_FDS_MAX 16
void milter_session_export(struct milter_session *s, struct buf *text, int *fds, size_t *fd_count);
/* Rebuild in cleanup; takes the fds. macro: answers macros that are new there (i, ...); those known at export come from the text. NULL with
 * *e. */
struct milter_session *milter_session_import(
	struct arena *life, struct str text, const int *fds, size_t fd_count, milter_macro_fn *macro, void *macro_ctx, struct err *e);
/* After the content stage: state back to smtpd's copy of the session. The importer releases its copies without QUIT. An empty text means
 * that the importer was lost: the filters' state is then unknown, they are closed and the rest of the session is refused temporarily. */
void milter_session_export_state(struct milter_session *s, struct buf *text);
void milter_session_import_state(struct milter_session *s, struct str text);
void milter_session_release(struct milter_session *s);

#endif

/* mta/smtpd/session.h - one SMTP session: the client, what it said, its mail transaction, and the verbs.
 *
 * Lifetimes: `life` ends with the connection; `mail` is reset with each transaction; `scratch` belongs to one command and is given
 * back before the session waits for input, so that an idle session holds none.
 */
#ifndef GATEPOST_MTA_SMTPD_SESSION_H
#define GATEPOST_MTA_SMTPD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/str.h"
#include "lib/mail/ip.h"
#include "lib/milter/milter.h"
#include "lib/net/sock.h"
#include "lib/net/stream.h"
#include "lib/proto/rewrite.h"
#include "lib/queue/queue.h"

enum name_status { NAME_OK = 2, NAME_TEMP = 4, NAME_PERM = 5, NAME_FORGED = 6 };

struct client { /* the client as the rest of the world is told about it: XCLIENT and PROXY replace it */
	struct str name, reverse; /* "unknown" when there is none */
	struct str addr;          /* no brackets, no "IPv6:" */
	struct str port;
	struct str namaddr;       /* "name[addr]" for logs, replies and lists */
	enum name_status name_status, reverse_status;
	bool v6;
};

struct deferral { /* DEFER_IF_PERMIT, DEFER_IF_REJECT: a 450 kept for later */
	bool active;
	struct code code;
	struct str text; /* complete reply text */
};

struct reply { /* an answer that was decided; smtp == 0: none */
	struct code code;
	struct str text; /* lines separated by LF */
};

struct rcpt_list {
	struct queue_rcpt *v;
	size_t count, cap;
};

struct str_list {
	struct str *v;
	size_t count, cap;
};

enum bdat_state { BDAT_NONE, BDAT_OPEN, BDAT_FAILED };

struct transaction { /* all of it lives in session.mail */
	bool open;          /* MAIL was accepted */
	struct str sender;  /* internal form */
	struct str sender_raw; /* as the client wrote it, for milters */
	struct rewrite_answer *sender_answer;
	struct str rcpt_now;   /* recipient under consideration, internal form; empty outside RCPT and VRFY */
	struct rewrite_answer *rcpt_answer;
	struct str etrn;    /* domain under consideration */
	bool sender_checked, rcpt_checked; /* unlisted checks run once an address */
	uint64_t size;      /* declared; counted at the end of data */
	uint64_t received_octets;
	unsigned flags;     /* QUEUE_* */
	struct str envid, auth_sender, verp;
	int ret;
	struct str instance;
	char id[QUEUE_ID_MAX]; /* empty until the first recipient is accepted */
	int64_t arrival_us;
	struct rcpt_list rcpts;
	struct str milter_rcpt[3]; /* the same macro values of the first recipient taken: filters get them until the content comes */
	size_t overshoot;
	enum bdat_state bdat;
	struct content *content; /* BDAT: content under way */
	struct proxy_link *proxy; /* smtpd_proxy_filter */
	struct str mail_args;     /* for it, as the client said them */
	struct str_list rcpt_args;
	/* actions of tables and policy servers */
	bool hold, discard;
	struct str hold_reason, filter, redirect;
	struct str_list bcc, prepend;
	struct deferral sender_deferral;
};

struct ccert { /* the client's certificate; fingerprint empty: there is none */
	struct str subject, issuer; /* common names */
	struct str fingerprint, key_fingerprint;
	bool trusted; /* certified by one of our authorities */
};

struct xforward {
	bool given;
	struct str name, addr, port, proto, helo, ident;
	bool local;
};

struct verb;

#define VERB_COUNT 16 /* rows of verbs[], the last one for unknown commands */

struct session {
	char sid[QUEUE_ID_MAX]; /* names the session in the log and for gatepost explain */
	struct str told; /* the last reply, for its story; lives in scratch */
	struct arena *life, *mail, *scratch;
	struct stream *io;
	struct buf line; /* the command being run */
	struct buf said; /* the last lines of the dialogue, where they may have to be reported */
	size_t said_lines;
	unsigned trouble; /* settings.notify classes that were met */
	struct client client;
	struct sock_addr peer, local;
	struct str server_addr, server_port;
	struct str helo;       /* sanitised; empty: none */
	bool esmtp;
	const char *where;     /* command for log lines: "CONNECT", "RCPT", "END-OF-MESSAGE" */
	struct transaction t;
	struct xforward xforward;
	struct ccert ccert;
	struct str sasl_user, sasl_method;
	unsigned ehlo_discard;
	unsigned errors, junk;
	uint32_t ok_count[VERB_COUNT], all_count[VERB_COUNT];
	struct deferral defer_if_permit, defer_if_reject, client_deferral, helo_deferral;
	struct reply access_denied; /* client refused at connect: what every command is told */
	struct reply milter_refusal; /* a filter refused the client or its HELO: told at MAIL */
	struct reply early_refusal; /* early checks failed: what every RCPT is told; code 0: they did not */
	struct reply ruling;        /* the refusal that was just decided */
	struct milter_session *milters;
	struct str milter_name[3];  /* macro values for a recipient being told: address, host, mailer */
	int64_t deadline;           /* of the request, with smtpd_per_request_deadline; else 0 */
	bool hangup;                /* end the session after this reply */
	bool closed;                /* it is no use writing any more */
	bool xclient_allowed;  /* by whom it speaks for: a client behind a proxy must not become another one */
	bool xforward_allowed, verp_allowed; /* by the client that connected, whomever it speaks for later */
	bool exempt;                            /* no rate limits */
	bool limits_checked;                    /* connection count and rate, already */
	bool early_judged;                      /* speaking before the greeting was judged */
	bool bad_pipelining, pipelining_logged, bare_lf_seen;
	bool local_rewrite, limits_counted;
	uint64_t limit_key, fleet_number;
	struct list crowd; /* sessions that were let in; crowd.c */
	struct holder *holder;
	bool in_crowd, evicted; /* evicted: to end, because others have no room */
	struct milter_chain own_milters; /* smtpd_milter_maps result; count 0 with own_milters_set: none */
	bool own_milters_set;
};

enum { /* verb.flags */
	VERB_PRE_TLS = 1, /* usable before STARTTLS where TLS is required */
	VERB_SYNC = 2,    /* must be the last of a pipelined group (RFC 2920 section 3.1) */
	VERB_LIMIT = 4    /* junk beyond smtpd_junk_command_limit */
};

struct verb {
	const char *name;
	unsigned flags;
	/* 0; -1 when it was refused, which counts as an error; 1 when it was refused through no fault of the client. s->hangup ends the
	 * session. */
	int (*run)(struct session *s, struct str args);
};

/* One connection from greeting to goodbye. Suspends. */
void session_run(struct stream *io, const struct sock_addr *peer);

/* Commands; cmd_*.c. args: what follows the verb, trimmed. All suspend. */
int cmd_helo(struct session *s, struct str args);
int cmd_ehlo(struct session *s, struct str args);
int cmd_mail(struct session *s, struct str args);
int cmd_rcpt(struct session *s, struct str args);
int cmd_data(struct session *s, struct str args);
int cmd_bdat(struct session *s, struct str args);
int cmd_rset(struct session *s, struct str args);
int cmd_noop(struct session *s, struct str args);
int cmd_vrfy(struct session *s, struct str args);
int cmd_etrn(struct session *s, struct str args);
int cmd_quit(struct session *s, struct str args);
int cmd_starttls(struct session *s, struct str args);
/* TLS handshake, its log lines, and the client's certificate. wrapped: TLS from the first octet on (RFC 8314). 0, or -1 and the session is
 * to end. */
int session_handshake(struct session *s, bool wrapped);
int cmd_auth(struct session *s, struct str args);
int cmd_xclient(struct session *s, struct str args);
int cmd_xforward(struct session *s, struct str args);

/* Replies. Text is buffered: it leaves when the session next waits for input. All return 0 for 2xx and 3xx, else -1; 421 and 521 set
 * hangup. The text may have several lines, separated by LF. Suspend only to slow down a client with many errors. */
struct code reply_soften(struct code code); /* what soft_bounce makes of it: 4xx for 5xx */
int session_reply(struct session *s, struct code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int session_reply_with(struct session *s, const struct reply *r);
/* Without enhanced code: greeting, HELO, EHLO, ETRN. text may have several lines. */
int session_reply_plain(struct session *s, int code, struct str text);
/* What goes on the wire for one reply, exported for tests: each line "CODE-C.S.D text\r\n". */
void reply_format(struct buf *out, struct code code, struct str text, struct str footer);

/* Forget the transaction, keep the client (RSET, end of DATA, a new HELO). */
void session_forget_mail(struct session *s);
void session_forget_helo(struct session *s);
/* Greeting again after XCLIENT, and the first time: client restrictions, milter connect, 220 or the refusal. Suspends. */
int session_greet(struct session *s);
/* Fill s->client's derived texts, in a, from name, addr, port. */
void session_name_client(struct session *s, struct arena *a);
/* A name that a stranger gave, for logs, Received fields and policy servers: what could end a field there becomes '?'. */
struct str session_clean_name(struct arena *a, struct str name);
/* Deadline of the next wait for input or output. */
int64_t session_deadline(struct session *s);
struct arena *session_scratch(struct session *s);
/* End the session of a client that speaks out of turn. Returns -1. */
/* How it is spoken to: as usual, or as one whom early checks refuse. */
const struct wording *session_wording(const struct session *s);
int session_refuse_early(struct session *s);
const char *session_protocol(const struct session *s); /* "SMTP" or "ESMTP" */
const char *session_queue_id(const struct session *s); /* or "NOQUEUE" */
void str_list_add(struct arena *a, struct str_list *l, struct str s);

/* What waits in the input buffer, its beginning, as escaped text. */
void session_show_input(struct session *s, struct buf *out);
/* log.c: "ID: verb: STAGE from NAMADDR: text; from=<> to=<> proto= helo=<>" */
void session_log(const struct session *s, const char *verb, struct str text);
void session_log_end(const struct session *s, const char *what); /* "lost connection", "timeout", "too many errors" */
/* session.c: why it ends without QUIT, rc being what the stream said: told to the client where it may still listen, and logged. */
void session_end_badly(struct session *s, int rc);
void session_log_disconnect(const struct session *s);
void session_log_client(const struct session *s); /* "ID: client=..." */
void session_where(struct session *s, const char *where);

extern const struct verb verbs[VERB_COUNT];

#endif

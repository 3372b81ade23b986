/* mta/smtp/smtp.h - the SMTP and LMTP delivery agent: settings, sessions, and the delivery of one request.
 *
 * smtp.c takes requests; deliver.c walks over a request's next hops and servers; resolve.c finds the servers; tls_policy.c, dane.c and
 * sts.c know what is asked of them; connect.c opens sessions (hello.c up to the last EHLO, starttls.c in between); cache.c keeps them between requests; transaction.c holds the dialogue for one message;
 * content.c sends it, as it is or as generic.c (addresses) and lib/mail/mime_7bit.c (8-bit text) make it; failure.c words what went wrong.
 */
#ifndef GATEPOST_MTA_SMTP_SMTP_H
#define GATEPOST_MTA_SMTP_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"
#include "lib/mail/header.h"
#include "lib/mail/mta_sts.h"
#include "lib/net/stream.h"
#include "lib/net/tls.h"
#include "lib/proto/deliver.h"
#include "lib/smtp/reply.h"
#include "lib/table/table.h"
#include "mta/smtp/nexthop.h"

/* ---- settings ---- */

enum tls_level { TLS_NONE, TLS_MAY, TLS_ENCRYPT, TLS_FINGERPRINT, TLS_DANE, TLS_DANE_ONLY, TLS_VERIFY, TLS_SECURE };
enum check_kind { CHECK_HEADER, CHECK_MIME_HEADER, CHECK_NESTED_HEADER, CHECK_BODY, CHECK_KINDS };

struct settings {
	bool lmtp;
	const char *myhostname, *hello_name, *fallback;
	int64_t connect_ms, hello_ms, starttls_ms, xforward_ms, mail_ms, rcpt_ms, data_init_ms, data_xfer_ms, data_done_ms, quit_ms, dns_ms;
	int64_t rset_ms, idle_ms, reuse_ms; /* connection cache: the last two */
	bool cache_on_demand;
	struct matchlist *cache_always; /* destinations whose connections are kept without demand */
	size_t reuse_count, mx_address_limit, mx_session_limit, line_limit;
	uint16_t port;
	unsigned families; /* as for dns_addresses() */
	enum family_preference prefer;
	bool shuffle, balance, use_dns, use_native, ignore_mx_error, defer_no_mx_address;
	bool always_ehlo, never_ehlo, skip_5xx_greeting, skip_quit_response, quote_envelope, dummy_auth, xforward, assume_final;
	bool has_bind4, has_bind6;
	struct sock_addr bind4, bind6;
	unsigned discard; /* OFFER_* never used */
	struct tables discard_maps; /* the same by server address */
	const char *pix_workarounds;
	struct tables pix_maps;
	int64_t pix_delay_ms, pix_threshold_ms;
	bool request_deadline; /* content has to keep to min_data_rate */
	size_t min_data_rate; /* octets a second */
	bool chunking, bind_enforce;
	struct tables reply_filter, dns_filter, status_filter;
	struct tables checks[CHECK_KINDS];
	size_t body_check_limit;
	const char *best_mx_transport;
	enum tls_level tls_level, tls_insecure_mx; /* insecure_mx: at most this for MX records that DNSSEC does not vouch for */
	bool tls_wrapper, tls_note_offer, tls_force_tlsa, tls_deep_wildcards, dnssec;
	int tls_loglevel;
	const char *tls_servername, *tls_verify_match, *tls_secure_match, *tls_print_match, *tls_print_digest;
	struct tables tls_policy;
	bool sts; /* MTA-STS */
	bool sasl;
	struct tables sasl_passwords;
	const char *sasl_options, *sasl_tls_options, *sasl_verified_options;
	struct matchlist *sasl_mechanisms; /* NULL: any */
	bool sasl_by_sender, sasl_soft_bounce;
	const char *sasl_cache; /* empty: refused logins are not remembered */
	int64_t sasl_cache_ms;
	struct tables generic; /* addresses as the world is to see them */
	struct matchlist *mydestination;
	const char *myorigin, *delimiters;
	bool propagate_generic, mime_conversion;
	unsigned mime_nesting, boundary_length;
};

extern const struct settings *cfg; /* set before the first fiber */

int settings_load(const struct conf *c, bool lmtp, struct err *e);
/* For settings*.c: "smtp_" or "lmtp_" and suffix, and the text that parameter has. */
struct settings_name {
	char text[80];
};
struct settings_name settings_name(const char *suffix);
const char *settings_text(const struct conf *c, const char *suffix);
int settings_load_tls(const struct conf *c, struct settings *set, struct err *e);
bool tls_level_parse(struct str word, enum tls_level *out);
const char *tls_level_word(enum tls_level level);
void own_load(const struct conf *c);
bool own_address(const struct sock_addr *a); /* one of inet_interfaces or proxy_interfaces */

/* ---- failures ---- */

/* Why a server, or all of them, did not take the mail. Lives in the delivery's arena. */
struct failure {
	struct code code; /* c is 4 or 5 */
	struct str text; /* as logged and reported */
	bool remote; /* the peer's words: Remote-MTA and Diagnostic-Code: smtp */
	struct str relay, host; /* which server; empty: none was reached */
};

struct session;

/* "said", "refused to talk to me": the session's last reply as the reason. during: "RCPT TO", or NULL. */
void failure_said(struct arena *a, const struct session *s, const char *during, struct failure *out);
void failure_refused(struct arena *a, const struct session *s, struct failure *out);
/* result: what reading or writing came to, or STREAM_OK for a reply that was none (e says what). */
void failure_broken(struct arena *a, const struct session *s, int result, const struct err *e, const char *during, struct failure *out);
void failure_local(struct arena *a, struct code code, struct failure *out, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void failure_soften(struct failure *f); /* 5.x.y becomes 4.x.y */

/* ---- finding servers ---- */

struct servers {
	struct server *v;
	size_t count;
	bool best_mx; /* the first of them is the best there is: a loop cannot be someone else's fault */
	bool loops; /* this host is the best: there are none */
	bool secure; /* DNSSEC vouches for the list, or it came from our own configuration */
};

/* 0, or -1 with the reason. Suspends. */
int resolve_servers(struct arena *a, const struct nexthop *hop, struct servers *out, struct failure *why);

/* ---- TLS and passwords: what is asked of a destination ---- */

struct security {
	struct str key; /* all of it that a session depends on, as text */
	bool shareable; /* a session with the same server may serve other next hops */
	enum tls_level level;
	bool by_table; /* smtp_tls_policy_maps says so */
	struct str match; /* fingerprints; verify, secure: names. In Postfix's words */
	struct str server_name; /* to send: a name, "nexthop", "hostname"; empty: none */
	struct str ciphers, exclude, protocols, anchors; /* empty: as main.cf has it */
	struct str reuse, raw_keys; /* connection_reuse; enable_rpk is known and changes nothing */
	const struct str *tlsa; /* dane, of one server: its records, and below which name they were */
	size_t tlsa_count;
	const char *tlsa_base;
	bool half_dane; /* but who says that it is the domain's server is not known */
	const struct sts_policy *sts; /* the domain publishes one; NULL: none */
	bool by_sts; /* it is what decides about this server */
	struct str sasl_user, sasl_password; /* empty: no login */
};

/* From settings and tables; must_verify: at least TLS with a server that proves who it is. 0, or -1 with the reason (a table could not be
 * read). May suspend. */
int security_for(
	struct arena *a, const struct nexthop *hop, struct str sender, bool must_verify, struct security *out, struct failure *why);
/* The same for one of its servers: its login, its TLSA records. 0, or -1 with the reason. Suspends. */
int security_for_server(struct arena *a, const struct nexthop *hop, const struct servers *list, const struct server *server, struct security *sec,
	struct failure *why);
int dane_find(struct arena *a, const struct nexthop *hop, const struct servers *list, const struct server *server, struct security *sec,
	struct failure *why);
/* A context for this level and these details; NULL with *e. Belongs to the process. */
struct tls_ctx *settings_tls_ctx(const struct security *sec, struct err *e);
struct tls_ctx *settings_public_tls(void); /* trusts the system's authorities */

/* MTA-STS: what a domain says about its own servers. */
struct sts_policy {
	struct str domain, id;
	struct mta_sts rules;
};
void sts_init(const struct conf *c); /* before privileges drop */
const struct sts_policy *sts_find(struct arena *a, struct str domain); /* NULL: it has none. Suspends. */
/* What it means for one server. 0, or -1 with the reason. */
int sts_apply(struct arena *a, const struct server *server, struct security *sec, struct failure *why);
/* The login alone; and the one for a server when the next hop has none. */
int security_login(struct arena *a, const struct nexthop *hop, struct str sender, struct security *out, struct failure *why);
int security_server_login(struct arena *a, const struct server *server, struct security *sec, struct failure *why);

/* ---- sessions ---- */

enum { /* session.offers */
	OFFER_PIPELINING = 1,
	OFFER_SIZE = 2,
	OFFER_8BITMIME = 4,
	OFFER_SMTPUTF8 = 8,
	OFFER_DSN = 16,
	OFFER_STARTTLS = 32,
	OFFER_AUTH = 64,
	OFFER_XFORWARD = 128,
	OFFER_CHUNKING = 256,
	OFFER_REQUIRETLS = 1024, /* only offered in TLS */
	OFFER_SILENT = 512 /* not an offer: discard without a log line */
};
unsigned offers_named(struct str keywords); /* "8bitmime, dsn": their bits; "silent-discard" */

struct session {
	struct arena *life;
	struct stream *io;
	struct list link; /* in the cache */
	struct str key, server_key; /* which requests may use it: by next hop, or by server when that is enough */
	struct str host; /* server's name */
	struct str peer; /* "mx.example[192.0.2.1]" */
	struct str relay; /* with ":25" */
	struct sock_addr addr;
	unsigned offers;
	uint64_t size_limit; /* 0: none said */
	struct str auth_mechanisms, xforward_attributes;
	struct smtp_reply reply; /* the last one */
	unsigned uses; /* messages begun */
	int64_t born_at, idle_until;
	bool rset_due; /* a transaction was begun and not completed */
	bool keep_tls; /* encrypted sessions may be kept */
	bool pix_delay; /* this server's firewall needs a pause before the final dot */
	bool broken; /* no more dialogue */
};

/* Connect, greeting, hello, STARTTLS, AUTH. NULL with the reason; *refused_tls: the handshake failed where TLS is optional, clear text may
 * be tried. Suspends. */
struct session *session_open(struct arena *scratch, const struct nexthop *hop, const struct server *server, bool best_mx,
	const struct security *sec, struct failure *why, bool *refused_tls);
void session_quit(struct session *s); /* QUIT where that makes sense, and gone */
void session_close(struct session *s); /* gone */
/* One reply into s->reply. 0, or -1 with the reason. during: the phase as logged after "while". Suspends. */
int session_read(struct session *s, struct arena *a, int64_t timeout_ms, const char *during, struct failure *why);
int session_flush(struct session *s, struct arena *a, int64_t timeout_ms, const char *during, struct failure *why);
/* Steps of session_open(). 0, or -1 with the reason. Suspend. */
int session_hello(struct session *s, struct arena *a, bool loop_check, bool best_mx, struct failure *why);
int session_ehlo(struct session *s, struct arena *a, bool loop_check, bool best_mx, struct failure *why);
int session_starttls(struct session *s, struct arena *a, const struct nexthop *hop, const struct security *sec, bool greeted,
	struct failure *why, bool *refused_tls);
int session_login(struct session *s, struct arena *a, const struct security *sec, struct failure *why);

/* ---- kept sessions ---- */

struct cache_use;

void cache_init(void);
struct str cache_key(struct arena *a, const struct nexthop *hop, const struct security *sec);
struct str cache_server_key(struct arena *a, const struct server *server, const struct security *sec); /* empty: not to be shared */
/* A request for the place of this key begins, and ends: how busy the place is decides whether its sessions are kept. */
struct cache_use *cache_begin(struct str key);
void cache_end(struct cache_use *u);
struct session *cache_take(struct str key); /* alive as far as one can see without asking; NULL: none */
void cache_put(struct session *s, const struct nexthop *hop, const struct cache_use *u); /* or quit, when it is of no more use */
void cache_close_all(void);

/* ---- one request ---- */

struct rcpt_state {
	bool open; /* no final result yet */
	unsigned conn_use;
	int64_t connect_us; /* when the session of its last result was ready, 0: there was none */
};

struct delivery {
	const struct deliver_request *r;
	struct arena *a;
	bool loops; /* the mail would come back here */
	struct str sender, *rcpts; /* as they go out: through generic maps */
	struct deliver_result *results; /* of open recipients: the latest reason why not */
	struct rcpt_state *states;
	size_t open_count;
	int64_t connect_us; /* when the session in use was ready */
	struct failure last; /* the latest of all, for the destination's state */
	bool handshaken; /* some server let us begin */
	bool note_due; /* there are results that another server may better */
};

/* Run the whole request: every recipient gets its result and its log line. Suspends. */
void deliver_message(struct arena *a, const struct deliver_request *r, struct deliver_answer *out);

/* A reason for one recipient or all open ones: final when it is permanent, else kept for the case that no server does better. */
void delivery_fail_rcpt(struct delivery *d, size_t rcpt, const struct session *s, const struct failure *f);
void delivery_fail_open(struct delivery *d, const struct session *s, const struct failure *f);
void delivery_sent(struct delivery *d, size_t rcpt, const struct session *s);

enum outcome { OUTCOME_DONE, OUTCOME_STALE }; /* STALE: a kept session had died before anything was accepted; nothing was decided */
/* MAIL to the replies after the content, for all open recipients. Sets s->broken, s->rset_due. Suspends. */
enum outcome transaction_run(struct delivery *d, struct session *s);

/* smtp_generic_maps on the envelope, and on the addresses of a header. 0, or -1 with the reason. May suspend. */
int generic_envelope(struct delivery *d, struct failure *why);
int generic_header(struct arena *a, struct header *h, struct failure *why);

/* smtp_header_checks and its kin. text, body: replaced by what they become, in changed. 0, or -1 with the reason. May suspend. */
bool checks_header_any(void);
bool checks_body_any(void);
int checks_header(struct arena *a, const char *id, struct str *text, struct buf *changed, struct failure *why);
int checks_body(struct arena *a, const char *id, const struct header *h, struct str *body, struct buf *changed, struct failure *why);

/* Content, final dot or last chunk included, flushed. 0, or -1 with the reason (s->broken is set). Suspends. */
int content_send(struct session *s, struct arena *a, const struct deliver_request *r, struct failure *why);
bool content_by_bdat(const struct session *s); /* no DATA command then */
bool content_header_is_8bit(const struct deliver_request *r); /* Suspends. */

#endif

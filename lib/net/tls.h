/* lib/net/tls.h - TLS (OpenSSL 3) under a stream, server and client side. */
#ifndef GATEPOST_LIB_NET_TLS_H
#define GATEPOST_LIB_NET_TLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/net/stream.h"

struct tls_ctx; /* certificates and settings; made once per process */
struct tls; /* one connection */

struct tls_pair {
	const char *cert_file, *key_file;
};

/* A certificate for the server name a client asked for: PEM text, or names of chain files, into *chain. False: none of its own. Called in
 * the session's fiber. May suspend. */
typedef bool tls_sni_fn(struct str name, struct buf *chain);

struct tls_settings {
	const char *chain_files; /* comma separated PEM files, key first then chain; or NULL: cert_file and key_file */
	const char *cert_file, *key_file;
	const char *ca_file, *ca_path;
	const char *protocols; /* Postfix syntax: ">=TLSv1.2", "!SSLv2, !TLSv1" */
	const char *ciphers; /* grade (medium, high) or an OpenSSL list */
	const char *high_ciphers, *medium_ciphers; /* what the grades mean; NULL: OpenSSL's own idea of it */
	const char *exclude_ciphers;               /* names, separated by blanks or commas */
	const char *curves;                        /* for key agreement, best first */
	const char *options;                       /* words of OpenSSL that are on: "NO_TICKET, NO_RENEGOTIATION" */
	bool default_ca;                           /* trust the system's authorities too */
	int verify_depth;                          /* longest chain of the peer; 0: OpenSSL's limit */
	int64_t session_ms;                        /* how long a session can be resumed; 0: OpenSSL's limit */
	/* clients */
	const char *anchor_files; /* certificates of any rank that are trusted in place of authorities; or NULL */
	/* servers */
	const struct tls_pair *pairs; /* further certificates, of other key types; may be NULL */
	size_t pair_count;
	bool ask_client_cert;
	bool server_preference; /* our order of ciphers counts, not the client's */
	tls_sni_fn *sni;        /* certificates by name; NULL: one for all */
};

struct tls_ctx *tls_server_ctx(const struct tls_settings *set, struct err *e); /* NULL with *e */
struct tls_ctx *tls_client_ctx(const struct tls_settings *set, struct err *e);
/* The same certificates and, without anchor_files of its own, the same authorities, under other settings: needs no files but the anchors'. */
struct tls_ctx *tls_client_ctx_like(struct tls_ctx *base, const struct tls_settings *set, struct err *e);
void tls_ctx_free(struct tls_ctx *c);

/* Days until the first certificate in the PEM file expires; negative: it has. False: there is none. Blocks. */
bool tls_file_days_left(const char *file, int *days);

/* What a server has to show. All of it empty: nothing. */
struct tls_demand {
	const char *server_name; /* sent to it (SNI), or NULL */
	bool authority; /* one of ours certifies it, and these names (any of them, if there are some) */
	bool deep_wildcards; /* *.example.com is also a.b.example.com */
	const struct str *names; /* ".example.com": any below example.com; addresses, too */
	size_t name_count;
	const char *digest; /* or: its certificate or its key has one of these fingerprints, "AB:CD:..." */
	const struct str *prints;
	size_t print_count;
	const struct str *tlsa; /* or: one of these DNS records' data fits (RFC 7672); usage 2 needs tlsa_base, or one of names, as its name */
	size_t tlsa_count;
	const char *tlsa_base; /* sent as server_name, too */
	struct str session; /* resume sessions that were kept under this key; demands that differ have different ones. Empty: no */
};

bool tls_tlsa_usable(struct str record); /* for SMTP: usage 2 or 3, and well-formed */

/* Handshake on s, then swap TLS in below it. Buffered plaintext input is dropped first (RFC 3207 section 4.2). Suspends. */
int tls_accept(struct stream *s, struct tls_ctx *c, int64_t deadline, struct err *e);
/* The same for TLS from the first octet: what is buffered (behind a PROXY header) already belongs to the handshake. Suspends. */
int tls_accept_wrapped(struct stream *s, struct tls_ctx *c, int64_t deadline, struct err *e);
/* d: NULL for no demands. -1 with *e: no TLS, or the server did not show what it must; then s has TLS all the same, for what is to be logged
 * about it, and must not be used. Suspends. */
int tls_connect(struct stream *s, struct tls_ctx *c, const struct tls_demand *d, int64_t deadline, struct err *e);

/* What was negotiated, for logs and Received: "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, 256. */
const char *tls_protocol(const struct tls *t);
const char *tls_cipher(const struct tls *t);
int tls_cipher_bits(const struct tls *t, int *algorithm_bits);
bool tls_resumed(const struct tls *t);
/* All of it: "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits)
 * server-digest SHA256". fold: what to put before "key-exchange": " ", or "\r\n\t " in Received. */
void tls_describe(const struct tls *t, const char *fold, struct buf *out);

/* What the peer's certificate is worth: there is none; not certified by our authorities; it is; and it showed what was
 * demanded. */
enum tls_trust { TLS_ANONYMOUS, TLS_UNTRUSTED, TLS_TRUSTED, TLS_VERIFIED };
enum tls_trust tls_trust(const struct tls *t);
const char *tls_trust_word(const struct tls *t); /* "Anonymous" ... as log lines have it */
/* Common names of the peer's certificate, printable, added to subject and issuer. False: no certificate. */
bool tls_peer_names(const struct tls *t, struct buf *subject, struct buf *issuer);
/* Digests of the peer's certificate and of its public key, "AB:CD:...", added to both. False: no certificate, or no such digest. */
bool tls_peer_fingerprints(const struct tls *t, const char *digest, struct buf *cert, struct buf *key);
bool tls_digest_known(const char *digest);
/* Server side: the name the client asked for, or empty; matched: it had a certificate of its own. */
struct str tls_server_name(const struct tls *t, bool *matched);

/* Session tickets of servers. Workers that are given the same secret open each other's: environment variable `name`, "<unix time it was
 * made>:<64 hex digits>", which is wiped. Without it the process makes one of its own. Keys change twice in lifetime_ms, by a step that
 * cannot be undone: whoever sees a worker's memory cannot open tickets of the time before. Call before the first tls_server_ctx(). */
void tls_tickets_init(const char *name, int64_t lifetime_ms);
/* A new secret in that form, for who starts the workers. */
void tls_tickets_secret(struct buf *out);

/* For stream.c: like read(2)/write(2) on a non-blocking socket: count, 0 at EOF (read only), or -1 with errno; EAGAIN: *want_write
 * tells what TLS waits for. */
ssize_t tls_read(struct tls *t, void *p, size_t n, bool *want_write);
ssize_t tls_write(struct tls *t, const void *p, size_t n, bool *want_write);
void tls_free(struct tls *t);

/* When the first certificate in a PEM file ends, in seconds since 1970; 0: there is none. Blocking. */
int64_t tls_file_expiry(const char *file);

#endif

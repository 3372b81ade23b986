/* lib/net/tls_parts.h - the inside of TLS contexts and connections, for the tls*.c files. */
#ifndef GATEPOST_LIB_NET_TLS_PARTS_H
#define GATEPOST_LIB_NET_TLS_PARTS_H

#include <openssl/ssl.h>

#include "lib/net/tls.h"

struct tls_ctx {
	SSL_CTX *ssl;
	bool server;
	bool heavy; /* its key takes so long to sign with that the loop should not wait */
	tls_sni_fn *sni;
};

struct tls {
	SSL *ssl;
	int fd;
	bool server, eof;
	bool heavy;
	bool name_asked, name_matched; /* certificates by server name: the table was asked; it had one */
	tls_sni_fn *sni;
	bool broken; /* after a fatal error nothing more may be said */
	bool verified; /* the server showed what was demanded */
	struct str session_key; /* owned; empty: not to be resumed */
	char *early; /* bytes of the handshake that were read with what came before it */
	size_t early_at, early_size;
};

/* tls.c: a connection on s; its handshake, after which s has it. 0, or -1 with *e and t is gone. Suspends. */
struct tls *tls_new(struct stream *s, struct tls_ctx *c);
int tls_finish(struct stream *s, struct tls *t, int64_t deadline, struct err *e);
/* tls_sessions.c: sessions of clients. */
void tls_sessions_use(SSL_CTX *ssl, int64_t session_ms);
void tls_session_offer(struct tls *t, struct str key); /* resume it if there is one, and keep the next */
void tls_session_forget(struct str key);
/* tls_setup.c: apply settings. 0 or -1 with *e. */
int tls_use_protocols(SSL_CTX *ssl, const char *text, struct err *e);
int tls_use_ciphers(SSL_CTX *ssl, const struct tls_settings *set, struct err *e);
int tls_use_options(SSL_CTX *ssl, const char *words, struct err *e);
/* tls_chain.c: keys and chains, for all connections of ctx or, when it is NULL, for one. */
struct tls_target {
	SSL_CTX *ctx;
	SSL *ssl;
};
int tls_use_chain_files(const struct tls_target *to, const char *files, struct err *e);
int tls_use_chain_text(const struct tls_target *to, struct str pem, struct err *e);
/* tls_ctx.c */
struct tls_ctx *tls_ctx_make(const SSL_METHOD *method, const struct tls_settings *set, struct err *e);
bool tls_given(const char *text);
/* tls_server.c: the client's hello told which certificate it wants; in its fiber. May suspend. */
void tls_choose_certificate(struct tls *t);
/* tls_tickets.c */
void tls_use_tickets(SSL_CTX *ssl);
/* "<what>: <OpenSSL's first reason>", and its queue is empty. Returns -1. */
int tls_library_error(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

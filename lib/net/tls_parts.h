/* lib/net/tls_parts.h - the inside of TLS contexts and connections, for the tls*.c files. */
#ifndef GATEPOST_LIB_NET_TLS_PARTS_H
#define GATEPOST_LIB_NET_TLS_PARTS_H

#include <openssl/ssl.h>

#include "lib/net/tls.h"

struct tls_ctx {
	SSL_CTX *ssl;
	bool server;
	bool heavy; /* its key takes so long to sign with that the loop should not wait */
};

struct tls {
	SSL *ssl;
	int fd;
	bool server, eof;
	bool broken; /* after a fatal error nothing more may be said */
	bool name_verified;
	char *early; /* bytes of the handshake that were read with what came before it */
	size_t early_at, early_size;
};

/* tls_setup.c: apply settings. 0 or -1 with *e. */
int tls_use_protocols(SSL_CTX *ssl, const char *text, struct err *e);
int tls_use_ciphers(SSL_CTX *ssl, const char *text, struct err *e);
int tls_use_chain_files(SSL_CTX *ssl, const char *files, struct err *e);
/* "<what>: <OpenSSL's first reason>", and its queue is empty. Returns -1. */
int tls_library_error(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

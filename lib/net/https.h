/* lib/net/https.h - one small text from a web server that proves its name (RFC 9110, RFC 9112): no redirects, no cookies, no second request. */
#ifndef GATEPOST_LIB_NET_HTTPS_H
#define GATEPOST_LIB_NET_HTTPS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct tls_ctx;

struct https_get {
	struct str host; /* port 443 of all its addresses in turn; the name its certificate must have */
	const char *path;
	const char *type; /* media type the answer must have: "text/plain" */
	size_t max; /* octets; a longer answer is an error */
	struct tls_ctx *tls;
	int64_t deadline;
};

/* The body of a 200, in a; or -1 with *e. Suspends. */
int https_get(struct arena *a, const struct https_get *get, struct str *body, struct err *e);

#endif

/* milters/arc/arc.h - the ARC milter's parts: settings, and the sets it adds. */
#ifndef GATEPOST_MILTERS_ARC_ARC_H
#define GATEPOST_MILTERS_ARC_ARC_H

#include "milters/common/arc.h"

enum { ARC_VERIFY = 1, ARC_SEALS = 2 };

struct arc_options {
	unsigned mode;
	unsigned min_key_bits;
	struct keyring *keys;
	struct signer signer; /* of ARC_SEALS */
	struct str *sign_headers;
	size_t sign_count;
};

struct arc_mail {
	struct arc_chain *chain;
	struct body_hash *body; /* for our message signature; NULL: none to make */
};

/* seal.c: may a set be added to this chain? */
bool seal_possible(const struct arc_chain *c);
/* Put our set on top: ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results with what our milters found out, and this. */
int seal_add(struct mail *m, const char *arc_result, struct err *e);

#endif

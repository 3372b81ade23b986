/* milters/common/verifier.h - key records (RFC 6376 section 3.6.1) and the signatures they verify. */
#ifndef GATEPOST_MILTERS_COMMON_VERIFIER_H
#define GATEPOST_MILTERS_COMMON_VERIFIER_H

#include "milters/common/signer.h"

/* The length of the key in bits when signature (base64) is right for digest, by the key in record; 0 with *why, static text, when it is
 * not. */
unsigned verifier_check(struct str record, struct str algorithm, unsigned min_rsa_bits, const unsigned char digest[DIGEST_SIZE],
	struct str signature, const char **why);

#endif

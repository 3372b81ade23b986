/* milters/common/signer.h - private keys: their files, kept in memory once read, and what they sign. A key file that others may read is not
 * used: whoever has the key is the domain.
 */
#ifndef GATEPOST_MILTERS_COMMON_SIGNER_H
#define GATEPOST_MILTERS_COMMON_SIGNER_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

#define DIGEST_SIZE 32 /* octets of SHA-256, the only hash there is (RFC 8301) */

struct keyring; /* keys by file name */
struct private_key;

struct keyring *keyring_new(const char *conf_dir, unsigned min_rsa_bits);
void keyring_free(struct keyring *k); /* NULL allowed; wipes the keys */

struct signer {
	const char *domain, *selector;
	const struct private_key *key; /* lives as long as the keyring */
};

/* "domain:selector:keyfile", the file relative to conf_dir; what: the parameter, for messages. Any thread. 0, or -1 with *e. */
int signer_parse(struct keyring *k, const char *what, struct str entry, struct arena *a, struct signer *out, struct err *e);
const char *signer_algorithm(const struct signer *s); /* "rsa-sha256" */
/* Sign a digest; the signature in base64 is appended to out. Any thread. */
int signer_sign(const struct signer *s, const unsigned char digest[DIGEST_SIZE], struct buf *out, struct err *e);

#endif

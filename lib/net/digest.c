/* lib/net/digest.c - keyed digests by OpenSSL. */
#include "lib/net/digest.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

bool digest_hmac_hex(const char *digest, struct str key, struct str text, struct buf *out)
{
	const EVP_MD *md = EVP_get_digestbyname(digest);
	unsigned char value[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	if (md == NULL || key.n > INT_MAX || HMAC(md, key.p, (int)key.n, (const unsigned char *)text.p, text.n, value, &size) == NULL)
		return false;
	for (unsigned i = 0; i < size; i++)
		buf_addf(out, "%02x", value[i]);
	return true;
}

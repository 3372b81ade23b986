/* milters/common/verifier.c - verifying over OpenSSL. Records come from strangers' name servers. */
#include "milters/common/verifier.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "lib/base/base64.h"
#include "lib/mail/taglist.h"

#define ED25519_SIZE 32 /* octets of such a key, which stands in the record as it is (RFC 8463 section 4) */
#define RSA_BITS_MAX 8192 /* larger ones only cost us time */

static const struct algorithm {
	const char *name, *key_type;
	int type;
} algorithms[] = {
	{ "rsa-sha256", "rsa", EVP_PKEY_RSA },
	{ "ed25519-sha256", "ed25519", EVP_PKEY_ED25519 },
};

static const struct algorithm *algorithm_find(struct str name)
{
	for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
		if (str_eqz(name, algorithms[i].name))
			return &algorithms[i];
	return NULL;
}

/* Is one of the words, separated by colons, in the list? A tag that is not there allows everything. */
static bool allows(const struct taglist *l, const char *tag, const char *word, const char *all)
{
	struct str list = taglist_get(l, tag);

	if (!taglist_has(l, tag))
		return true;
	while (list.n > 0) {
		struct str one = str_trim(str_cut(&list, ':'));

		if (str_eqiz(one, word) || (all != NULL && str_eqz(one, all)))
			return true;
	}
	return false;
}

/* NULL: fit for use. */
static const char *judge(const struct taglist *l, const struct algorithm *a)
{
	if (taglist_has(l, "v") && !str_eqz(taglist_get(l, "v"), "DKIM1"))
		return "key version is unknown";
	if (!allows(l, "s", "email", "*"))
		return "key is not for mail";
	if (!allows(l, "h", "sha256", NULL))
		return "key is for another hash";
	if (!(taglist_has(l, "k") ? str_eqz(taglist_get(l, "k"), a->key_type) : a->type == EVP_PKEY_RSA))
		return "key is of another type";
	if (!taglist_has(l, "p"))
		return "key record is malformed";
	return taglist_get(l, "p").n == 0 ? "key is revoked" : NULL;
}

static EVP_PKEY *key_of(const struct algorithm *a, struct str bytes)
{
	const unsigned char *p = (const unsigned char *)bytes.p;

	if (a->type == EVP_PKEY_ED25519)
		return bytes.n == ED25519_SIZE ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, p, bytes.n) : NULL;
	return d2i_PUBKEY(NULL, &p, (long)bytes.n);
}

static bool verify_rsa(EVP_PKEY *key, const unsigned char *digest, struct str signature)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool right = ctx != NULL && EVP_PKEY_verify_init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
		     EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
		     EVP_PKEY_verify(ctx, (const unsigned char *)signature.p, signature.n, digest, DIGEST_SIZE) == 1;

	EVP_PKEY_CTX_free(ctx);
	return right;
}

static bool verify_ed25519(EVP_PKEY *key, const unsigned char *digest, struct str signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool right = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) > 0 &&
		     EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n, digest, DIGEST_SIZE) == 1;

	EVP_MD_CTX_free(ctx);
	return right;
}

static unsigned check_with(EVP_PKEY *key, const struct algorithm *a, unsigned min_rsa_bits, const unsigned char *digest,
	struct str signature, const char **why)
{
	unsigned bits = key == NULL ? 0 : a->type == EVP_PKEY_ED25519 ? ED25519_SIZE * 8 : (unsigned)EVP_PKEY_get_bits(key);

	if (key == NULL || EVP_PKEY_get_base_id(key) != a->type)
		*why = "key is malformed";
	else if (a->type == EVP_PKEY_RSA && bits < min_rsa_bits)
		*why = "key is too weak";
	else if (a->type == EVP_PKEY_RSA && bits > RSA_BITS_MAX)
		*why = "key is too large";
	else if (!(a->type == EVP_PKEY_RSA ? verify_rsa : verify_ed25519)(key, digest, signature))
		*why = "signature does not match";
	return *why == NULL ? bits : 0;
}

/* Base64 with white space in it. */
static bool decode(const struct taglist *l, const char *tag, struct arena *a, struct buf *out)
{
	return base64_decode(out, taglist_plain(l, tag, a)) == 0 && out->n > 0;
}

unsigned verifier_check(struct str record, struct str algorithm, unsigned min_rsa_bits, const unsigned char digest[DIGEST_SIZE],
	struct str signature, const char **why)
{
	const struct algorithm *alg = algorithm_find(algorithm);
	struct arena *a = arena_new("key record");
	struct buf key = { 0 }, raw = { 0 };
	struct taglist tags;
	unsigned bits = 0;

	*why = NULL;
	if (alg == NULL)
		*why = "algorithm is not accepted";
	else if (taglist_parse(record, &tags, why))
		*why = judge(&tags, alg);
	if (*why == NULL && !decode(&tags, "p", a, &key))
		*why = "key is malformed";
	if (*why == NULL && (base64_decode(&raw, signature) < 0 || raw.n == 0))
		*why = "signature is malformed";
	if (*why == NULL) {
		EVP_PKEY *pkey = key_of(alg, buf_str(&key));

		bits = check_with(pkey, alg, min_rsa_bits, digest, buf_str(&raw), why);
		EVP_PKEY_free(pkey);
	}
	buf_done(&key);
	buf_done(&raw);
	arena_free(a);
	return bits;
}

/* lib/net/tls_info.c - what was negotiated, in Postfix's words. */
#include <openssl/core_names.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "lib/net/tls_parts.h"

const char *tls_protocol(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *tls_cipher(const struct tls *t)
{
	return SSL_get_cipher_name(t->ssl);
}

int tls_cipher_bits(const struct tls *t, int *algorithm_bits)
{
	return SSL_CIPHER_get_bits(SSL_get_current_cipher(t->ssl), algorithm_bits);
}

bool tls_resumed(const struct tls *t)
{
	return SSL_session_reused(t->ssl) == 1;
}

/* ---- the peer's certificate ---- */

enum tls_trust tls_trust(const struct tls *t)
{
	if (SSL_get0_peer_certificate(t->ssl) == NULL)
		return TLS_ANONYMOUS;
	if (t->verified)
		return TLS_VERIFIED;
	return SSL_get_verify_result(t->ssl) == X509_V_OK ? TLS_TRUSTED : TLS_UNTRUSTED;
}

const char *tls_trust_word(const struct tls *t)
{
	static const char *const words[] = { "Anonymous", "Untrusted", "Trusted", "Verified" };

	return words[tls_trust(t)];
}

static void add_common_name(const X509_NAME *name, struct buf *out)
{
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	unsigned char *text = NULL;
	int n = at < 0 ? -1 : ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));

	if (n > 0)
		buf_add_safe(out, str_n((char *)text, (size_t)n));
	OPENSSL_free(text);
}

bool tls_peer_names(const struct tls *t, struct buf *subject, struct buf *issuer)
{
	const X509 *x = SSL_get0_peer_certificate(t->ssl);

	if (x == NULL)
		return false;
	add_common_name(X509_get_subject_name(x), subject);
	add_common_name(X509_get_issuer_name(x), issuer);
	return true;
}

bool tls_digest_known(const char *digest)
{
	return EVP_get_digestbyname(digest) != NULL;
}

static void add_hex(struct buf *out, const unsigned char *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_addf(out, "%s%02X", i > 0 ? ":" : "", p[i]);
}

bool tls_peer_fingerprints(const struct tls *t, const char *digest, struct buf *cert, struct buf *key)
{
	const X509 *x = SSL_get0_peer_certificate(t->ssl);
	const EVP_MD *md = EVP_get_digestbyname(digest);
	unsigned char sum[EVP_MAX_MD_SIZE], *der = NULL;
	unsigned n = 0;
	int der_size;

	if (x == NULL || md == NULL || X509_digest(x, md, sum, &n) != 1)
		return false;
	add_hex(cert, sum, n);
	der_size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	if (der_size > 0 && EVP_Digest(der, (size_t)der_size, sum, &n, md, NULL) == 1)
		add_hex(key, sum, n);
	OPENSSL_free(der);
	return true;
}

struct str tls_server_name(const struct tls *t, bool *matched)
{
	const char *name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);

	*matched = t->name_matched;
	return str_z(name != NULL ? name : "");
}

/* ---- key exchange and signatures ---- */

static void add_curve(EVP_PKEY *key, struct buf *out)
{
	char group[64];

	if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) == 1)
		buf_addf(out, " (%s)", group);
}

static void add_key_exchange(SSL *ssl, struct buf *out)
{
	EVP_PKEY *key;
	int kind;

	if (SSL_get_peer_tmp_key(ssl, &key) != 1)
		return;
	kind = EVP_PKEY_get_base_id(key);
	buf_addf(out, "key-exchange %s", kind == EVP_PKEY_EC ? "ECDHE" : kind == EVP_PKEY_DH ? "DHE" : OBJ_nid2sn(kind));
	if (kind == EVP_PKEY_EC)
		add_curve(key, out);
	else if (kind == EVP_PKEY_DH)
		buf_addf(out, " (%d bits)", EVP_PKEY_get_bits(key));
	EVP_PKEY_free(key);
}

/* side: "server" or "client", which may begin a line. kind: type of the signature, which for RSA tells more than the key. */
static void add_signature(const char *before, const char *side, EVP_PKEY *key, int kind, int digest, struct buf *out)
{
	if (key == NULL || kind == NID_undef)
		return;
	buf_addf(out, "%s%s-signature ", before, side);
	if (kind == EVP_PKEY_RSA || kind == EVP_PKEY_RSA_PSS) {
		buf_addf(out, "RSA%s (%d bits)", kind == EVP_PKEY_RSA_PSS ? "-PSS" : "", EVP_PKEY_get_bits(key));
	} else if (kind == EVP_PKEY_EC) {
		buf_addz(out, "ECDSA");
		add_curve(key, out);
	} else {
		buf_addz(out, OBJ_nid2sn(kind));
	}
	if (digest != NID_undef)
		buf_addf(out, " %s-digest %s", side, OBJ_nid2sn(digest));
}

static void add_own_signature(const struct tls *t, const char *fold, struct buf *out)
{
	int kind = NID_undef, digest = NID_undef;

	if (SSL_get_signature_type_nid(t->ssl, &kind) == 1) {
		(void)SSL_get_signature_nid(t->ssl, &digest); /* Ed25519 has none */
		add_signature(t->server ? " " : fold, t->server ? "server" : "client", SSL_get_privatekey(t->ssl), kind, digest, out);
	}
}

static void add_peer_signature(const struct tls *t, const char *fold, struct buf *out)
{
	const X509 *x = SSL_get0_peer_certificate(t->ssl);
	int kind = NID_undef, digest = NID_undef;

	if (x != NULL && SSL_get_peer_signature_type_nid(t->ssl, &kind) == 1) {
		(void)SSL_get_peer_signature_nid(t->ssl, &digest);
		add_signature(t->server ? fold : " ", t->server ? "client" : "server", X509_get0_pubkey(x), kind, digest, out);
	}
}

/* Older protocols' cipher names say it all. A resumed session has no signature. */
static void add_agreement(const struct tls *t, const char *fold, struct buf *out)
{
	if (SSL_version(t->ssl) < TLS1_3_VERSION)
		return;
	add_key_exchange(t->ssl, out);
	if (tls_resumed(t))
		return;
	if (t->server)
		add_own_signature(t, fold, out);
	add_peer_signature(t, fold, out);
	if (!t->server)
		add_own_signature(t, fold, out);
}

void tls_describe(const struct tls *t, const char *fold, struct buf *out)
{
	struct buf more = { 0 };
	int all = 0, used = tls_cipher_bits(t, &all);

	buf_addf(out, "%s with cipher %s (%d/%d bits)", tls_protocol(t), tls_cipher(t), used, all);
	add_agreement(t, fold, &more);
	if (more.n > 0)
		buf_addf(out, "%s%s", fold, buf_z(&more));
	buf_done(&more);
}

/* ---- a certificate file ---- */

bool tls_file_days_left(const char *file, int *days)
{
	FILE *f = fopen(file, "re");
	X509 *cert = f == NULL ? NULL : PEM_read_X509(f, NULL, NULL, NULL);
	int seconds = 0;
	bool known = cert != NULL && ASN1_TIME_diff(days, &seconds, NULL, X509_get0_notAfter(cert)) == 1;

	if (known && seconds < 0) /* both have the same sign */
		--*days;
	X509_free(cert);
	if (f != NULL)
		fclose(f);
	return known;
}

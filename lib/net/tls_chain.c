/* lib/net/tls_chain.c - keys and certificate chains from PEM files or text, for a context or for one connection. */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/base/mem.h"
#include "lib/net/tls_parts.h"

/* A key, its certificate, and those that certify it, as they come along. */
struct chain {
	EVP_PKEY *key;
	X509 *leaf;
	STACK_OF(X509) * issuers;
};

static void chain_done(struct chain *c)
{
	EVP_PKEY_free(c->key);
	X509_free(c->leaf);
	sk_X509_pop_free(c->issuers, X509_free);
	*c = (struct chain){ 0 };
}

static bool use(const struct tls_target *to, const struct chain *c)
{
	if (to->ctx != NULL)
		return SSL_CTX_use_cert_and_key(to->ctx, c->leaf, c->key, c->issuers, 1) == 1;
	return SSL_use_cert_and_key(to->ssl, c->leaf, c->key, c->issuers, 1) == 1;
}

/* The chain is complete: the next key, or the end, has come. */
static int chain_use(const struct tls_target *to, struct chain *c, const char *file, struct err *e)
{
	int r = 0;

	if (c->key != NULL && c->leaf == NULL)
		r = err_perm(e, "%s: key without certificate", file);
	else if (c->key != NULL && !use(to, c))
		r = tls_library_error(e, "%s", file);
	chain_done(c);
	return r;
}

static int add_key(const struct tls_target *to, struct chain *c, const unsigned char *der, long n, const char *file, struct err *e)
{
	if (chain_use(to, c, file, e) < 0)
		return -1;
	c->key = d2i_AutoPrivateKey(NULL, &der, n);
	return c->key != NULL ? 0 : tls_library_error(e, "%s: private key", file);
}

static int add_certificate(struct chain *c, const unsigned char *der, long n, const char *file, struct err *e)
{
	X509 *x;

	if (c->key == NULL)
		return err_perm(e, "%s: certificate without a key before it", file);
	x = d2i_X509(NULL, &der, n);
	if (x == NULL)
		return tls_library_error(e, "%s: certificate", file);
	if (c->leaf == NULL) {
		c->leaf = x;
		return 0;
	}
	if (c->issuers == NULL)
		c->issuers = sk_X509_new_null();
	check(c->issuers != NULL && sk_X509_push(c->issuers, x) > 0);
	return 0;
}

static int add_object(const struct tls_target *to, struct chain *c, const char *name, const unsigned char *der, long n, const char *file, struct err *e)
{
	struct str what = str_z(name);

	if (str_eqz(what, "ENCRYPTED PRIVATE KEY"))
		return err_perm(e, "%s: the key must not be encrypted", file);
	if (str_ends(what, STR("PRIVATE KEY")))
		return add_key(to, c, der, n, file, e);
	if (str_eqz(what, "CERTIFICATE") || str_eqz(what, "X509 CERTIFICATE"))
		return add_certificate(c, der, n, file, e);
	return 0; /* EC PARAMETERS and the like */
}

static int read_objects(const struct tls_target *to, struct chain *c, BIO *in, const char *file, struct err *e)
{
	char *name, *header;
	unsigned char *der;
	unsigned long last;
	long n;

	while (PEM_read_bio(in, &name, &header, &der, &n) == 1) {
		int r = add_object(to, c, name, der, n, file, e);

		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)n);
		if (r < 0)
			return -1;
	}
	last = ERR_peek_last_error();
	if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
		return tls_library_error(e, "%s", file);
	ERR_clear_error(); /* that was the end of the file */
	return 0;
}

static int read_chain_file(const struct tls_target *to, struct chain *c, const char *file, struct err *e)
{
	BIO *in = BIO_new_file(file, "r");
	int r;

	if (in == NULL)
		return tls_library_error(e, "%s", file);
	r = read_objects(to, c, in, file, e);
	BIO_free(in);
	return r;
}

/* A chain may be spread over files: key here, certificates there. */
int tls_use_chain_files(const struct tls_target *to, const char *files, struct err *e)
{
	struct str rest = str_z(files), word;
	struct chain c = { 0 };
	struct buf file = { 0 };
	int r = 0;

	while (r == 0 && (word = str_word(&rest, " \t\r\n,")).n > 0) {
		buf_clear(&file);
		buf_add(&file, word);
		r = read_chain_file(to, &c, buf_z(&file), e);
	}
	if (r == 0)
		r = chain_use(to, &c, files, e);
	chain_done(&c);
	buf_done(&file);
	return r;
}

int tls_use_chain_text(const struct tls_target *to, struct str pem, struct err *e)
{
	struct chain c = { 0 };
	BIO *in = BIO_new_mem_buf(pem.p, pem.n > INT_MAX ? INT_MAX : (int)pem.n);
	int r;

	if (in == NULL)
		return tls_library_error(e, "PEM text");
	r = read_objects(to, &c, in, "PEM text", e);
	if (r == 0)
		r = chain_use(to, &c, "PEM text", e);
	BIO_free(in);
	chain_done(&c);
	return r;
}

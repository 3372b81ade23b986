/* lib/net/tls_setup.c - settings in Postfix's words, and PEM files, into OpenSSL contexts. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>

#include "lib/base/mem.h"
#include "lib/net/tls_parts.h"

int tls_library_error(struct err *e, const char *fmt, ...)
{
	unsigned long code = ERR_get_error();
	const char *reason = ERR_reason_error_string(code);
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	ERR_clear_error();
	return err_temp(e, "%s: %s", what,
		reason != NULL           ? reason
		: ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
					 : "unknown error");
}

/* ---- protocols ---- */

static const struct protocol {
	const char *name;
	int version;
	uint64_t off; /* option that turns it off; 0: OpenSSL has it no more */
} protocols[] = {
	{ "SSLv2", 0, 0 },
	{ "SSLv3", SSL3_VERSION, SSL_OP_NO_SSLv3 },
	{ "TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1 },
	{ "TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1 },
	{ "TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2 },
	{ "TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3 },
};
#define PROTOCOL_COUNT (sizeof protocols / sizeof *protocols)

static const struct protocol *find_protocol(struct str name)
{
	for (size_t i = 0; i < PROTOCOL_COUNT; i++)
		if (str_eqiz(name, protocols[i].name))
			return &protocols[i];
	return NULL;
}

struct range {
	int lowest, highest; /* 0: no bound */
	uint64_t excluded, included;
};

static int read_protocol(struct str word, struct range *r, struct err *e)
{
	bool from = str_starts(word, STR(">=")), to = str_starts(word, STR("<=")), not = str_starts(word, STR("!"));
	const struct protocol *p = find_protocol(str_skip(word, from || to ? 2 : not ? 1 : 0));

	if (p == NULL)
		return err_perm(e, "unknown TLS protocol \"%.*s\"", STRF(word));
	if (from)
		r->lowest = p->version;
	else if (to)
		r->highest = p->version;
	else if (not )
		r->excluded |= p->off;
	else
		r->included |= p->off;
	return 0;
}

/* Once one is named without '!', the others are off. */
int tls_use_protocols(SSL_CTX *ssl, const char *text, struct err *e)
{
	struct str rest = str_z(text), word;
	struct range r = { 0 };

	while ((word = str_word(&rest, " \t\r\n,:")).n > 0)
		if (read_protocol(word, &r, e) < 0)
			return -1;
	for (size_t i = 0; i < PROTOCOL_COUNT && r.included != 0; i++)
		if (!(r.included & protocols[i].off))
			r.excluded |= protocols[i].off;
	if (SSL_CTX_set_min_proto_version(ssl, r.lowest) != 1 || SSL_CTX_set_max_proto_version(ssl, r.highest) != 1)
		return tls_library_error(e, "TLS protocols \"%s\"", text);
	SSL_CTX_set_options(ssl, r.excluded);
	return 0;
}

/* ---- ciphers ---- */

/* What Postfix's grades mean to OpenSSL; the weaker ones have become the same as medium. */
static const struct {
	const char *grade, *list;
} grades[] = {
	{ "high", "aNULL:-aNULL:HIGH:@STRENGTH" },
	{ "medium", "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH" },
	{ "low", "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH" },
	{ "export", "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH" },
};

int tls_use_ciphers(SSL_CTX *ssl, const char *text, struct err *e)
{
	const char *list = text;

	for (size_t i = 0; i < sizeof grades / sizeof *grades; i++)
		if (str_eqiz(str_z(text), grades[i].grade))
			list = grades[i].list;
	if (SSL_CTX_set_cipher_list(ssl, list) != 1)
		return tls_library_error(e, "TLS ciphers \"%s\"", text);
	return 0;
}

/* ---- chain files ---- */

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

/* The chain is complete: the next key, or the end, has come. */
static int chain_use(SSL_CTX *ssl, struct chain *c, const char *file, struct err *e)
{
	int r = 0;

	if (c->key != NULL && c->leaf == NULL)
		r = err_perm(e, "%s: key without certificate", file);
	else if (c->key != NULL && SSL_CTX_use_cert_and_key(ssl, c->leaf, c->key, c->issuers, 1) != 1)
		r = tls_library_error(e, "%s", file);
	chain_done(c);
	return r;
}

static int add_key(SSL_CTX *ssl, struct chain *c, const unsigned char *der, long n, const char *file, struct err *e)
{
	if (chain_use(ssl, c, file, e) < 0)
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

static int add_object(SSL_CTX *ssl, struct chain *c, const char *name, const unsigned char *der, long n, const char *file, struct err *e)
{
	struct str what = str_z(name);

	if (str_eqz(what, "ENCRYPTED PRIVATE KEY"))
		return err_perm(e, "%s: the key must not be encrypted", file);
	if (str_ends(what, STR("PRIVATE KEY")))
		return add_key(ssl, c, der, n, file, e);
	if (str_eqz(what, "CERTIFICATE") || str_eqz(what, "X509 CERTIFICATE"))
		return add_certificate(c, der, n, file, e);
	return 0; /* EC PARAMETERS and the like */
}

static int read_objects(SSL_CTX *ssl, struct chain *c, BIO *in, const char *file, struct err *e)
{
	char *name, *header;
	unsigned char *der;
	unsigned long last;
	long n;

	while (PEM_read_bio(in, &name, &header, &der, &n) == 1) {
		int r = add_object(ssl, c, name, der, n, file, e);

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

static int read_chain_file(SSL_CTX *ssl, struct chain *c, const char *file, struct err *e)
{
	BIO *in = BIO_new_file(file, "r");
	int r;

	if (in == NULL)
		return tls_library_error(e, "%s", file);
	r = read_objects(ssl, c, in, file, e);
	BIO_free(in);
	return r;
}

/* A chain may be spread over files: key here, certificates there. */
int tls_use_chain_files(SSL_CTX *ssl, const char *files, struct err *e)
{
	struct str rest = str_z(files), word;
	struct chain c = { 0 };
	struct buf file = { 0 };
	int r = 0;

	while (r == 0 && (word = str_word(&rest, " \t\r\n,")).n > 0) {
		buf_clear(&file);
		buf_add(&file, word);
		r = read_chain_file(ssl, &c, buf_z(&file), e);
	}
	if (r == 0)
		r = chain_use(ssl, &c, files, e);
	chain_done(&c);
	buf_done(&file);
	return r;
}

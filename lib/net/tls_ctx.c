/* lib/net/tls_ctx.c - TLS contexts: what all connections of a process have in common. */
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "lib/base/mem.h"
#include "lib/net/tls_parts.h"

bool tls_given(const char *text)
{
	return text != NULL && *text != '\0';
}

static int use_pair(SSL_CTX *ssl, const struct tls_pair *pair, struct err *e)
{
	const char *key = tls_given(pair->key_file) ? pair->key_file : pair->cert_file;

	if (!tls_given(pair->cert_file) || str_eqiz(str_z(pair->cert_file), "none"))
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ssl, pair->cert_file) != 1)
		return tls_library_error(e, "%s", pair->cert_file);
	if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
		return tls_library_error(e, "%s", key);
	if (SSL_CTX_check_private_key(ssl) != 1)
		return tls_library_error(e, "%s", key);
	return 0;
}

static int use_own_certificates(SSL_CTX *ssl, const struct tls_settings *set, struct err *e)
{
	struct tls_pair first = { set->cert_file, set->key_file };

	if (tls_given(set->chain_files))
		return tls_use_chain_files(&(struct tls_target){ .ctx = ssl }, set->chain_files, e);
	for (size_t i = 0; i < set->pair_count; i++)
		if (use_pair(ssl, &set->pairs[i], e) < 0)
			return -1;
	return use_pair(ssl, &first, e);
}

/* Certificates of any rank: what they certify is trusted, with nobody above them. */
static int use_anchors(X509_STORE *store, const char *files, struct err *e)
{
	struct str rest = str_z(files), word;
	struct buf name = { 0 };
	int r = 0;

	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	while (r == 0 && (word = str_word(&rest, ", \t\r\n")).n > 0) {
		buf_clear(&name);
		buf_add(&name, word);
		if (X509_STORE_load_file(store, buf_z(&name)) != 1)
			r = tls_library_error(e, "trust anchors in \"%s\"", buf_z(&name));
	}
	buf_done(&name);
	return r;
}

static int use_authorities(SSL_CTX *ssl, const struct tls_settings *set, struct err *e)
{
	const char *file = tls_given(set->ca_file) ? set->ca_file : NULL, *path = tls_given(set->ca_path) ? set->ca_path : NULL;

	if (tls_given(set->anchor_files))
		return use_anchors(SSL_CTX_get_cert_store(ssl), set->anchor_files, e);
	if (set->default_ca && SSL_CTX_set_default_verify_paths(ssl) != 1)
		return tls_library_error(e, "the system's authorities");
	if (file == NULL && path == NULL)
		return 0;
	if (SSL_CTX_load_verify_locations(ssl, file, path) != 1)
		return tls_library_error(e, "%s", file != NULL ? file : path);
	return 0;
}

/* "X25519 X448" as OpenSSL wants it. */
static const char *colons(const char *words, char *out, size_t size)
{
	struct str rest = str_z(words), word;
	size_t n = 0;

	while ((word = str_word(&rest, " \t\r\n,:")).n > 0 && n + word.n + 2 < size) {
		if (n > 0)
			out[n++] = ':';
		memcpy(out + n, word.p, word.n);
		n += word.n;
	}
	out[n] = '\0';
	return out;
}

static int apply(SSL_CTX *ssl, const struct tls_settings *set, struct err *e)
{
	char list[256];

	/* Mail ends with its own words (QUIT, the dot): peers that close without TLS's goodbye cut nothing off. */
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ssl, 1); /* one system call a record, not two */
	SSL_CTX_set_dh_auto(ssl, 1);
	if (tls_given(set->protocols) && tls_use_protocols(ssl, set->protocols, e) < 0)
		return -1;
	if (tls_given(set->ciphers) && tls_use_ciphers(ssl, set, e) < 0)
		return -1;
	if (tls_given(set->curves) && SSL_CTX_set1_groups_list(ssl, colons(set->curves, list, sizeof list)) != 1)
		return tls_library_error(e, "TLS curves \"%s\"", set->curves);
	if (tls_given(set->options) && tls_use_options(ssl, set->options, e) < 0)
		return -1;
	if (set->verify_depth > 0)
		SSL_CTX_set_verify_depth(ssl, set->verify_depth);
	return use_own_certificates(ssl, set, e) < 0 || use_authorities(ssl, set, e) < 0 ? -1 : 0;
}

struct tls_ctx *tls_ctx_make(const SSL_METHOD *method, const struct tls_settings *set, struct err *e)
{
	struct tls_ctx *c = mem_alloc(sizeof *c);

	ERR_clear_error();
	c->ssl = SSL_CTX_new(method);
	if (c->ssl == NULL)
		tls_library_error(e, "OpenSSL");
	else if (apply(c->ssl, set, e) == 0)
		return c;
	tls_ctx_free(c);
	return NULL;
}

void tls_ctx_free(struct tls_ctx *c)
{
	if (c == NULL)
		return;
	SSL_CTX_free(c->ssl);
	mem_free(c);
}

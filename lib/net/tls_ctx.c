/* lib/net/tls_ctx.c - TLS contexts: what all connections of a process have in common. */
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "lib/base/mem.h"
#include "lib/net/tls_parts.h"

#define TICKETS 1 /* for a client that comes again; each costs a record */

static bool given(const char *text)
{
	return text != NULL && *text != '\0';
}

/* Whoever shows a certificate is let in: what it is worth is told by tls_trust(). */
static int let_in(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static int use_own_certificate(SSL_CTX *ssl, const struct tls_settings *set, struct err *e)
{
	const char *key = given(set->key_file) ? set->key_file : set->cert_file;

	if (given(set->chain_files))
		return tls_use_chain_files(ssl, set->chain_files, e);
	if (!given(set->cert_file) || str_eqiz(str_z(set->cert_file), "none"))
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ssl, set->cert_file) != 1)
		return tls_library_error(e, "%s", set->cert_file);
	if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
		return tls_library_error(e, "%s", key);
	if (SSL_CTX_check_private_key(ssl) != 1)
		return tls_library_error(e, "%s", key);
	return 0;
}

static int use_authorities(SSL_CTX *ssl, const struct tls_settings *set, struct err *e)
{
	const char *file = given(set->ca_file) ? set->ca_file : NULL, *path = given(set->ca_path) ? set->ca_path : NULL;

	if (file == NULL && path == NULL)
		return 0;
	if (SSL_CTX_load_verify_locations(ssl, file, path) != 1)
		return tls_library_error(e, "%s", file != NULL ? file : path);
	return 0;
}

static int apply(SSL_CTX *ssl, const struct tls_settings *set, struct err *e)
{
	/* Mail ends with its own words (QUIT, the dot): peers that close without TLS's goodbye cut nothing off. */
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ssl, 1); /* one system call a record, not two */
	SSL_CTX_set_dh_auto(ssl, 1);
	if (given(set->protocols) && tls_use_protocols(ssl, set->protocols, e) < 0)
		return -1;
	if (given(set->ciphers) && tls_use_ciphers(ssl, set->ciphers, e) < 0)
		return -1;
	return use_own_certificate(ssl, set, e) < 0 || use_authorities(ssl, set, e) < 0 ? -1 : 0;
}

static struct tls_ctx *make(const SSL_METHOD *method, const struct tls_settings *set, struct err *e)
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

struct tls_ctx *tls_server_ctx(const struct tls_settings *set, struct err *e)
{
	struct tls_ctx *c = make(TLS_server_method(), set, e);
	EVP_PKEY *key;

	if (c == NULL)
		return NULL;
	key = SSL_CTX_get0_privatekey(c->ssl);
	if (key == NULL) {
		err_perm(e, "no certificate and key for TLS are configured");
		tls_ctx_free(c);
		return NULL;
	}
	c->server = true;
	c->heavy = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA; /* a millisecond; others take a twentieth */
	SSL_CTX_set_session_id_context(c->ssl, (const unsigned char *)"gatepost", 8);
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF); /* tickets need no memory */
	SSL_CTX_set_num_tickets(c->ssl, TICKETS);
	if (set->ask_client_cert) {
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, let_in);
		if (given(set->ca_file))
			SSL_CTX_set_client_CA_list(c->ssl, SSL_load_client_CA_file(set->ca_file));
	}
	return c;
}

struct tls_ctx *tls_client_ctx(const struct tls_settings *set, struct err *e)
{
	return make(TLS_client_method(), set, e);
}

void tls_ctx_free(struct tls_ctx *c)
{
	if (c == NULL)
		return;
	SSL_CTX_free(c->ssl);
	mem_free(c);
}

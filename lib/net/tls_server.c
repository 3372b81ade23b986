/* lib/net/tls_server.c - what only servers have: client certificates, tickets, and certificates by the name the client asks for.
 *
 * That name arrives in the first message. OpenSSL is made to stop there, so that the session's fiber can ask the table, and then to go
 * on with the certificate found, or with the usual one.
 */
#include <ctype.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "lib/base/base64.h"
#include "lib/base/log.h"
#include "lib/net/tls_parts.h"

#define TICKETS 1 /* for a client that comes again; each costs a record */
#define NAME_MAX_OCTETS 255

/* Whoever shows a certificate is let in: what it is worth is told by tls_trust(). */
static int let_in(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

/* ---- the name in the hello ---- */

static int stop_at_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls *t = SSL_get_app_data(ssl);

	(void)alert; /* nothing is refused here */
	(void)arg;
	if (t->name_asked)
		return SSL_CLIENT_HELLO_SUCCESS;
	t->name_asked = true;
	return SSL_CLIENT_HELLO_RETRY;
}

static bool name_octet(unsigned char c)
{
	return isalnum(c) || c == '.' || c == '-' || c == '_';
}

/* RFC 6066 section 3: a list of one name: 2 octets of length, 1 of type, 2 of length, the name. Lower case into out, a NUL behind it. */
static struct str asked_name(SSL *ssl, char out[NAME_MAX_OCTETS + 1])
{
	const unsigned char *p;
	size_t n, size;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < 5 || p[2] != TLSEXT_NAMETYPE_host_name)
		return STR_NONE;
	size = (size_t)p[3] << 8 | p[4];
	if (size == 0 || size > n - 5 || size > NAME_MAX_OCTETS)
		return STR_NONE;
	for (size_t i = 0; i < size; i++) {
		if (!name_octet(p[5 + i]))
			return STR_NONE;
		out[i] = (char)tolower(p[5 + i]);
	}
	out[size] = '\0';
	return str_n(out, size);
}

static int use_chain(struct tls *t, struct buf *chain, struct err *e)
{
	struct tls_target to = { .ssl = t->ssl };

	struct buf pem = { 0 };

	if (base64_decode(&pem, buf_str(chain)) == 0 && str_starts(buf_str(&pem), STR("-----BEGIN"))) { /* what "postmap -F" writes */
		buf_clear(chain);
		buf_add(chain, buf_str(&pem));
	}
	buf_done(&pem);
	SSL_certs_clear(t->ssl); /* the usual ones, of whatever key type */
	if (str_starts(buf_str(chain), STR("-----BEGIN")))
		return tls_use_chain_text(&to, buf_str(chain), e);
	return tls_use_chain_files(&to, buf_z(chain), e);
}

void tls_choose_certificate(struct tls *t)
{
	char room[NAME_MAX_OCTETS + 1];
	struct str name = asked_name(t->ssl, room);
	struct buf chain = { 0 };
	struct err e = ERR_INIT;
	EVP_PKEY *key;

	if (name.n == 0 || !t->sni(name, &chain))
		return;
	if (use_chain(t, &chain, &e) < 0)
		log_warn("certificate for server name %.*s: %s", STRF(name), e.text); /* the handshake fails: none is better than another's */
	else
		t->name_matched = true;
	buf_done(&chain);
	key = SSL_get_privatekey(t->ssl);
	t->heavy = key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
}

/* ---- the context ---- */

static void ask_certificate(SSL_CTX *ssl, const struct tls_settings *set)
{
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, let_in);
	if (tls_given(set->ca_file))
		SSL_CTX_set_client_CA_list(ssl, SSL_load_client_CA_file(set->ca_file));
}

struct tls_ctx *tls_server_ctx(const struct tls_settings *set, struct err *e)
{
	struct tls_ctx *c = tls_ctx_make(TLS_server_method(), set, e);
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
	c->sni = set->sni;
	SSL_CTX_set_security_level(c->ssl, 0); /* protocols and ciphers are for smtpd_tls_protocols and its kin to choose, as with Postfix */
	SSL_CTX_set_session_id_context(c->ssl, (const unsigned char *)"gatepost", 8);
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF); /* tickets need no memory */
	SSL_CTX_set_num_tickets(c->ssl, TICKETS);
	if (set->session_ms > 0)
		SSL_CTX_set_timeout(c->ssl, (long)(set->session_ms / 1000));
	tls_use_tickets(c->ssl);
	if (set->server_preference)
		SSL_CTX_set_options(c->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
	if (set->ask_client_cert)
		ask_certificate(c->ssl, set);
	if (set->sni != NULL)
		SSL_CTX_set_client_hello_cb(c->ssl, stop_at_hello, NULL);
	return c;
}

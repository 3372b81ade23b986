/* lib/net/tls_client.c - TLS towards a server: what it has to show (authorities and names, fingerprints, DANE), and whether it did.
 *
 * The handshake is never broken off for a certificate: it is completed, judged, and the caller told. So logs can say with whom it was.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "lib/base/mem.h"
#include "lib/net/tls_parts.h"

/* ---- contexts ---- */

static struct tls_ctx *make(const struct tls_settings *set, struct err *e)
{
	struct tls_ctx *c = tls_ctx_make(TLS_client_method(), set, e);

	if (c == NULL)
		return NULL;
	if (SSL_CTX_dane_enable(c->ssl) != 1) {
		tls_library_error(e, "DANE");
		tls_ctx_free(c);
		return NULL;
	}
	SSL_CTX_dane_set_flags(c->ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS); /* RFC 7671 section 5.1 */
	tls_sessions_use(c->ssl, set->session_ms);
	return c;
}

struct tls_ctx *tls_client_ctx(const struct tls_settings *set, struct err *e)
{
	return make(set, e);
}

static bool copy_certificates(SSL_CTX *from, SSL_CTX *to)
{
	for (long more = SSL_CTX_set_current_cert(from, SSL_CERT_SET_FIRST); more == 1;
		more = SSL_CTX_set_current_cert(from, SSL_CERT_SET_NEXT)) {
		STACK_OF(X509) *issuers = NULL;

		SSL_CTX_get0_chain_certs(from, &issuers);
		if (SSL_CTX_use_cert_and_key(to, SSL_CTX_get0_certificate(from), SSL_CTX_get0_privatekey(from), issuers, 1) != 1)
			return false;
	}
	return true;
}

struct tls_ctx *tls_client_ctx_like(struct tls_ctx *base, const struct tls_settings *set, struct err *e)
{
	struct tls_ctx *c = make(set, e);

	if (c == NULL)
		return NULL;
	if (!tls_given(set->anchor_files))
		SSL_CTX_set1_cert_store(c->ssl, SSL_CTX_get_cert_store(base->ssl));
	if (copy_certificates(base->ssl, c->ssl))
		return c;
	tls_library_error(e, "own certificate");
	tls_ctx_free(c);
	return NULL;
}

/* ---- what is demanded ---- */

static int demand_name(struct tls *t, struct str name, struct err *e)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	struct buf z = { 0 };
	int r = 0;

	buf_add(&z, name);
	/* An address is a name of another kind in certificates. */
	if (X509_VERIFY_PARAM_set1_ip_asc(param, buf_z(&z)) != 1 && X509_VERIFY_PARAM_add1_host(param, buf_z(&z), 0) != 1)
		r = tls_library_error(e, "name to verify");
	buf_done(&z);
	return r;
}

static int demand_names(struct tls *t, const struct tls_demand *d, struct err *e)
{
	X509_VERIFY_PARAM_set_hostflags(
		SSL_get0_param(t->ssl), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | (d->deep_wildcards ? X509_CHECK_FLAG_MULTI_LABEL_WILDCARDS : 0u));
	for (size_t i = 0; i < d->name_count; i++) {
		if (demand_name(t, d->names[i], e) < 0)
			return -1;
	}
	return 0;
}

static int demand_tlsa(struct tls *t, const struct tls_demand *d, struct err *e)
{
	if (SSL_dane_enable(t->ssl, d->tlsa_base) != 1)
		return tls_library_error(e, "DANE");
	for (size_t i = 0; i < d->tlsa_count; i++) {
		const unsigned char *p = (const unsigned char *)d->tlsa[i].p;

		if (d->tlsa[i].n > 3)
			(void)SSL_dane_tlsa_add(t->ssl, p[0], p[1], p[2], p + 3, d->tlsa[i].n - 3); /* 0: not usable, and not used */
	}
	return 0;
}

static int demand(struct tls *t, const struct tls_demand *d, struct err *e)
{
	ERR_clear_error();
	if (d->tlsa_count > 0 && demand_tlsa(t, d, e) < 0)
		return -1;
	if (d->server_name != NULL && SSL_set_tlsext_host_name(t->ssl, d->server_name) != 1)
		return tls_library_error(e, "server name");
	return demand_names(t, d, e);
}

bool tls_tlsa_usable(struct str record)
{
	/* SMTP has no use for the others, RFC 7672 section 3.1.3. */
	static const size_t sizes[] = { 0, 32, 64 };
	const unsigned char *p = (const unsigned char *)record.p;
	bool known = record.n > 3 && (p[0] == 2 || p[0] == 3) && p[1] <= 1 && p[2] <= 2;
	X509 *x = NULL;
	EVP_PKEY *key = NULL;
	const unsigned char *der = p + 3;

	if (!known || p[2] > 0)
		return known && record.n == 3 + sizes[p[2]];
	if (p[1] == 0)
		x = d2i_X509(NULL, &der, (long)record.n - 3);
	else
		key = d2i_PUBKEY(NULL, &der, (long)record.n - 3);
	known = x != NULL || key != NULL;
	X509_free(x);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return known;
}

/* ---- whether it was shown ---- */

/* "AB:CD:..." with or without colons, in either case. */
static bool same_print(struct str a, struct str b)
{
	size_t i = 0, k = 0;

	for (;;) {
		while (i < a.n && a.p[i] == ':')
			i++;
		while (k < b.n && b.p[k] == ':')
			k++;
		if (i == a.n || k == b.n)
			return i == a.n && k == b.n;
		if (!str_eqi(str_sub(a, i++, 1), str_sub(b, k++, 1)))
			return false;
	}
}

static bool print_found(const struct tls *t, const struct tls_demand *d)
{
	struct buf cert = { 0 }, key = { 0 };
	bool found = false;

	if (tls_peer_fingerprints(t, d->digest, &cert, &key)) {
		for (size_t i = 0; i < d->print_count && !found; i++)
			found = same_print(d->prints[i], buf_str(&cert)) || same_print(d->prints[i], buf_str(&key));
	}
	buf_done(&cert);
	buf_done(&key);
	return found;
}

static int judge(struct tls *t, const struct tls_demand *d, struct err *e)
{
	long result = SSL_get_verify_result(t->ssl);

	if (d->print_count > 0)
		t->verified = print_found(t, d);
	else if (d->authority || d->tlsa_count > 0)
		t->verified = result == X509_V_OK && SSL_get0_peer_certificate(t->ssl) != NULL;
	else
		return 0;
	if (t->verified)
		return 0;
	return err_temp(e, "server certificate not verified: %s",
		d->print_count > 0 ? "fingerprint does not match"
		: result == X509_V_OK ? "no certificate"
				      : X509_verify_cert_error_string(result));
}

int tls_connect(struct stream *s, struct tls_ctx *c, const struct tls_demand *d, int64_t deadline, struct err *e)
{
	static const struct tls_demand nothing;
	struct tls *t = tls_new(s, c);

	if (d == NULL)
		d = &nothing;
	stream_drop_input(s);
	SSL_set_connect_state(t->ssl);
	if (demand(t, d, e) < 0) {
		t->broken = true;
		tls_free(t);
		return -1;
	}
	tls_session_offer(t, d->session);
	if (tls_finish(s, t, deadline, e) < 0) {
		tls_session_forget(d->session);
		return -1;
	}
	if (judge(t, d, e) == 0)
		return 0;
	tls_session_forget(d->session);
	return -1;
}

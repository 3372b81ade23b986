/* t/unit/tls.c - TLS on both ends of a socket pair, with certificates made here. */
#include "lib/net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "t/unit/tap.h"

#define SOON deadline_in(10000)
#define BIG 400000

static char dir[] = "/tmp/gatepost-tls-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[4][64];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof *path, "%s/%s", dir, name);
	return p;
}

/* ---- certificates ---- */

static X509 *certify(EVP_PKEY *key, const char *name, EVP_PKEY *by, X509 *issuer)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	char alt[128];

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + (long)strlen(name));
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, issuer != NULL ? X509_get_subject_name(issuer) : subject);
	X509_set_pubkey(x, key);
	X509V3_set_ctx(&ctx, issuer != NULL ? issuer : x, x, NULL, NULL, 0);
	snprintf(alt, sizeof alt, "DNS:%s", name);
	ext = issuer == NULL ? X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints, "critical,CA:TRUE")
			     : X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, alt);
	check(ext != NULL && X509_add_ext(x, ext, -1) == 1);
	X509_EXTENSION_free(ext);
	check(X509_sign(x, by, EVP_sha256()) > 0);
	return x;
}

static void save(const char *name, EVP_PKEY *key, X509 *const *x, size_t count)
{
	BIO *out = BIO_new_file(path_of(name), "w");

	check(out != NULL);
	if (key != NULL)
		check(PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
	for (size_t i = 0; i < count; i++)
		check(PEM_write_bio_X509(out, x[i]) == 1);
	BIO_free(out);
}

static void make_certificates(void)
{
	EVP_PKEY *ca = EVP_EC_gen("P-256"), *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");
	X509 *ca_x = certify(ca, "Test CA", ca, NULL);
	X509 *rsa_x[2] = { certify(rsa, "mx.ours.test", ca, ca_x), ca_x }, *ec_x[2] = { certify(ec, "mx.ours.test", ca, ca_x), ca_x };

	save("ca.pem", NULL, &ca_x, 1);
	save("rsa.pem", rsa, rsa_x, 2);
	save("ec.pem", ec, ec_x, 2);
	save("rsa-key.pem", rsa, NULL, 0);
	save("rsa-cert.pem", NULL, rsa_x, 2);
	save("ec-key.pem", ec, NULL, 0);
	X509_free(ca_x);
	X509_free(rsa_x[0]);
	X509_free(ec_x[0]);
	EVP_PKEY_free(ca);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}

/* ---- two ends ---- */

struct end {
	struct stream *s;
	struct tls_ctx *ctx;
	int result;
	bool done, wrapped;
	struct err e;
};

static void serve(void *arg)
{
	struct end *v = arg;

	v->result = v->wrapped ? tls_accept_wrapped(v->s, v->ctx, SOON, &v->e) : tls_accept(v->s, v->ctx, SOON, &v->e);
	if (v->result < 0) { /* the client shall notice */
		stream_close(v->s);
		v->s = NULL;
	}
	v->done = true;
}

static void pair(struct stream **a, struct stream **b)
{
	int fd[2];

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
	*a = stream_new(fd[0]);
	*b = stream_new(fd[1]);
}

/* Handshake on a pair; what the client's side says. */
static int meet(struct end *server, struct stream **client, struct tls_ctx *with, const char *verify, struct err *e)
{
	struct str name;
	int r;

	server->done = false;
	pair(client, &server->s);
	fiber_start("server", serve, server);
	name = str_z(verify);
	r = tls_connect(*client, with,
		&(struct tls_demand){ .server_name = "mx.ours.test", .authority = verify != NULL, .names = &name, .name_count = verify != NULL }, SOON,
		e);
	while (!server->done)
		fiber_sleep(1);
	return r;
}

static void part(struct end *server, struct stream *client)
{
	stream_close(client);
	stream_close(server->s);
	server->s = NULL;
}

static struct tls_ctx *server_with(const char *chain, const char *protocols)
{
	struct err e = ERR_INIT;
	struct tls_ctx *c =
		tls_server_ctx(&(struct tls_settings){ .chain_files = path_of(chain), .protocols = protocols, .ciphers = "medium" }, &e);

	ok(c != NULL, "server with %s, %s: %s", chain, protocols, e.text);
	return c;
}

static struct tls_ctx *client_with(const char *protocols)
{
	struct err e = ERR_INIT;
	struct tls_ctx *c =
		tls_client_ctx(&(struct tls_settings){ .ca_file = path_of("ca.pem"), .protocols = protocols, .ciphers = "medium" }, &e);

	check(c != NULL);
	return c;
}

/* ---- dialogue ---- */

static void echo(void *arg)
{
	struct end *v = arg;
	struct buf line = { 0 };

	v->done = false;
	while (stream_read_line(v->s, &line, 2 * BIG, SOON) == STREAM_OK)
		if (stream_write(v->s, buf_str(&line), SOON) != STREAM_OK || stream_flush(v->s, SOON) != STREAM_OK)
			break;
	buf_done(&line);
	v->done = true;
}

static void talk(struct end *server, struct stream *client)
{
	struct buf big = { 0 }, line = { 0 };
	struct iovec iov[3];
	int good = 0;

	fiber_start("echo", echo, server);
	for (int i = 0; i < 1000; i++) {
		stream_printf(client, SOON, "line %d\r\n", i);
		good += stream_flush(client, SOON) == STREAM_OK && stream_read_line(client, &line, 100, SOON) == STREAM_OK && line.n > 6 &&
			strtol(buf_z(&line) + 5, NULL, 10) == i;
	}
	is_int(good, 1000, "lines go back and forth");
	for (int i = 0; i < BIG; i++)
		buf_addc(&big, (char)('a' + i % 26));
	iov[0] = (struct iovec){ big.p, 100000 };
	iov[1] = (struct iovec){ big.p + 100000, BIG - 100000 };
	iov[2] = (struct iovec){ (void *)(size_t) "\n", 1 };
	is_int(stream_writev(client, iov, 3, SOON), STREAM_OK, "much at once");
	is_int(stream_read_line(client, &line, 2 * BIG, SOON), STREAM_OK, "comes back");
	buf_addc(&big, '\n');
	ok(str_eq(buf_str(&line), buf_str(&big)), "unchanged");
	ok(stream_idle_ok(client), "a quiet connection can be used again, tickets or not");
	stream_close(client);
	while (!server->done)
		fiber_sleep(1);
	stream_close(server->s);
	buf_done(&big);
	buf_done(&line);
}

static const struct {
	const char *chain, *protocols, *protocol, *description;
} kinds[] = {
	{ "rsa.pem", ">=TLSv1.2", "TLSv1.3",
		"TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits) "
		"server-digest SHA256" },
	{ "ec.pem", ">=TLSv1.2, <=TLSv1.3", "TLSv1.3",
		"TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature ECDSA (prime256v1) "
		"server-digest SHA256" },
	{ "ec.pem", "!SSLv2, !SSLv3, !TLSv1.3", "TLSv1.2", "TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)" },
	{ "rsa.pem", "TLSv1.2", "TLSv1.2", "TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits)" },
};

static void test_kinds(void)
{
	struct tls_ctx *clients = client_with(">=TLSv1");

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct end server = { .ctx = server_with(kinds[i].chain, kinds[i].protocols) };
		struct stream *client;
		struct buf b = { 0 };
		struct err e = ERR_INIT;
		int bits, all = 0;

		if (!ok(meet(&server, &client, clients, "mx.ours.test", &e) == 0 && server.result == 0, "handshake: %s%s", e.text,
			    server.e.text))
			return;
		is_str(str_z(tls_protocol(stream_tls(client))), str_z(kinds[i].protocol), "protocol");
		bits = tls_cipher_bits(stream_tls(client), &all);
		ok(bits == 256 && all == 256, "bits");
		tls_describe(stream_tls(client), " ", &b);
		is_str(buf_str(&b), str_z(kinds[i].description), "as the client describes it");
		buf_clear(&b);
		tls_describe(stream_tls(server.s), " ", &b);
		is_str(buf_str(&b), str_z(kinds[i].description), "as the server does");
		is_str(str_z(tls_trust_word(stream_tls(client))), STR("Verified"), "the client knows the server");
		is_str(str_z(tls_trust_word(stream_tls(server.s))), STR("Anonymous"), "not the server the client");
		buf_done(&b);
		talk(&server, client);
		tls_ctx_free(server.ctx);
	}
	tls_ctx_free(clients);
}

/* ---- refusals ---- */

static void test_verify(void)
{
	struct end server = { .ctx = server_with("ec.pem", ">=TLSv1.2") };
	struct tls_ctx *knows = client_with(">=TLSv1"), *knows_none;
	struct stream *client;
	struct err e = ERR_INIT;

	knows_none = tls_client_ctx(&(struct tls_settings){ 0 }, &e);
	ok(knows_none != NULL, "a client without any settings");
	is_int(meet(&server, &client, knows, "mx.other.test", &e), -1, "another name");
	ok(strstr(e.text, "not verified") != NULL, "%s", e.text);
	part(&server, client);
	is_int(meet(&server, &client, knows_none, "mx.ours.test", &e), -1, "an unknown authority");
	ok(strstr(e.text, "not verified") != NULL, "%s", e.text);
	part(&server, client);
	is_int(meet(&server, &client, knows_none, NULL, &e), 0, "which does not matter to who does not ask");
	is_int((int)tls_trust(stream_tls(client)), TLS_UNTRUSTED, "but is known");
	part(&server, client);
	is_int(meet(&server, &client, knows, NULL, &e), 0, "a known authority");
	is_int((int)tls_trust(stream_tls(client)), TLS_TRUSTED, "is known, too");
	part(&server, client);
	tls_ctx_free(knows);
	tls_ctx_free(knows_none);
	tls_ctx_free(server.ctx);
}

static void test_client_certificate(void)
{
	struct err e = ERR_INIT;
	struct end server = { 0 };
	struct tls_ctx *clients;
	struct stream *client;
	struct buf subject = { 0 }, issuer = { 0 };

	server.ctx = tls_server_ctx(
		&(struct tls_settings){ .chain_files = path_of("ec.pem"), .ca_file = path_of("ca.pem"), .ask_client_cert = true }, &e);
	clients = tls_client_ctx(&(struct tls_settings){ .cert_file = path_of("rsa.pem"), .key_file = path_of("rsa-key.pem") }, &e);
	check(server.ctx != NULL && clients != NULL);
	ok(meet(&server, &client, clients, NULL, &e) == 0 && server.result == 0, "a client with a certificate");
	is_int((int)tls_trust(stream_tls(server.s)), TLS_TRUSTED, "which the server knows");
	ok(tls_peer_names(stream_tls(server.s), &subject, &issuer), "names");
	is_str(buf_str(&subject), STR("mx.ours.test"), "subject");
	is_str(buf_str(&issuer), STR("Test CA"), "issuer");
	part(&server, client);
	buf_done(&subject);
	buf_done(&issuer);
	tls_ctx_free(clients);
	tls_ctx_free(server.ctx);
}

static void test_no_agreement(void)
{
	struct end server = { .ctx = server_with("rsa.pem", ">=TLSv1.3") };
	struct tls_ctx *clients = client_with("<=TLSv1.2");
	struct stream *client;
	struct err e = ERR_INIT;

	is_int(meet(&server, &client, clients, NULL, &e), -1, "no protocol in common: the client");
	is_int(server.result, -1, "no protocol in common: the server");
	ok(e.text[0] != '\0' && strstr(server.e.text, "protocol") != NULL, "%s; %s", e.text, server.e.text);
	part(&server, client);
	tls_ctx_free(clients);
	tls_ctx_free(server.ctx);
}

static void test_not_tls(void)
{
	struct end server = { .ctx = server_with("rsa.pem", ">=TLSv1.2") };
	struct stream *client;

	pair(&client, &server.s);
	fiber_start("server", serve, &server);
	stream_write(client, STR("EHLO there\r\nMAIL FROM:<a@b>\r\n"), SOON);
	stream_flush(client, SOON);
	while (!server.done)
		fiber_sleep(1);
	is_int(server.result, -1, "plain text in place of a handshake");
	ok(server.e.text[0] != '\0', "%s", server.e.text);
	part(&server, client);
	server.done = false;
	pair(&client, &server.s);
	stream_close(client);
	fiber_start("server", serve, &server);
	while (!server.done)
		fiber_sleep(1);
	ok(server.result == -1 && strstr(server.e.text, "lost connection") != NULL, "nobody there: %s", server.e.text);
	pair(&client, &server.s);
	is_int(tls_accept(server.s, server.ctx, deadline_in(30), &server.e), -1, "a silent client");
	ok(strstr(server.e.text, "timed out") != NULL, "%s", server.e.text);
	part(&server, client);
	tls_ctx_free(server.ctx);
}

/* RFC 3207 section 4.2: what somebody put behind STARTTLS in clear text is forgotten. */
static void test_injection(void)
{
	struct end server = { .ctx = server_with("rsa.pem", ">=TLSv1.2") };
	struct tls_ctx *clients = client_with(">=TLSv1.2");
	struct stream *client;
	struct buf line = { 0 };
	struct err e = ERR_INIT;

	pair(&client, &server.s);
	stream_write(client, STR("STARTTLS\r\nMAIL FROM:<evil@x>\r\n"), SOON);
	stream_flush(client, SOON);
	is_int(stream_read_line(server.s, &line, 100, SOON), STREAM_OK, "STARTTLS");
	ok(stream_buffered(server.s) > 0, "and what does not belong there");
	fiber_start("server", serve, &server);
	is_int(tls_connect(client, clients, NULL, SOON, &e), 0, "handshake all the same");
	while (!server.done)
		fiber_sleep(1);
	stream_write(client, STR("EHLO good\r\n"), SOON);
	stream_flush(client, SOON);
	is_int(stream_read_line(server.s, &line, 100, SOON), STREAM_OK, "first line inside");
	is_str(buf_str(&line), STR("EHLO good\r\n"), "is the client's own");
	part(&server, client);
	buf_done(&line);
	tls_ctx_free(clients);
	tls_ctx_free(server.ctx);
}

static void read_header_and_serve(void *arg)
{
	struct end *v = arg;
	struct str view;

	check(stream_peek_more(v->s, 6 + 100, &view, SOON) == STREAM_OK); /* more than the header: part of the handshake */
	stream_consume(v->s, 6);
	serve(v);
}

/* Implicit TLS behind a PROXY header that came in the same packet as the handshake's beginning. */
static void test_wrapped(const char *chain)
{
	struct end server = { .ctx = server_with(chain, ">=TLSv1.2"), .wrapped = true };
	struct tls_ctx *clients = client_with(">=TLSv1.2");
	struct stream *client;
	struct err e = ERR_INIT;

	pair(&client, &server.s);
	check(write(stream_fd(client), "PROXY\n", 6) == 6);
	fiber_start("server", read_header_and_serve, &server);
	is_int(tls_connect(client, clients, NULL, SOON, &e), 0, "handshake behind a header");
	while (!server.done)
		fiber_sleep(1);
	is_int(server.result, 0, "the server found its beginning");
	talk(&server, client);
	tls_ctx_free(clients);
	tls_ctx_free(server.ctx);
}

/* ---- settings ---- */

static void test_settings(void)
{
	static const struct {
		struct tls_settings set;
		const char *name, *chain, *cert, *key;
		bool good;
	} rows[] = {
		{ .name = "chain files in two", .chain = "rsa-key.pem rsa-cert.pem", .good = true },
		{ .name = "two chains", .chain = "rsa.pem ec.pem", .good = true },
		{ .name = "certificate and key", .cert = "rsa-cert.pem", .key = "rsa-key.pem", .good = true },
		{ .name = "both in one file", .cert = "rsa.pem", .good = true },
		{ .name = "key alone", .chain = "rsa-key.pem" },
		{ .name = "certificate alone", .chain = "rsa-cert.pem" },
		{ .name = "key of another", .cert = "rsa-cert.pem", .key = "ec-key.pem" },
		{ .name = "key of another in a chain", .chain = "ec-key.pem rsa-cert.pem" },
		{ .name = "no file", .chain = "missing.pem" },
		{ .name = "no certificate" },
		{ .name = "bad protocol", .chain = "rsa.pem", .set.protocols = ">=TLSv9" },
		{ .name = "bad cipher", .chain = "rsa.pem", .set.ciphers = "NONSENSE" },
		{ .name = "ciphers in OpenSSL's words", .chain = "rsa.pem", .set.ciphers = "ECDHE+AESGCM", .good = true },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct tls_settings set = rows[i].set;
		struct str rest = str_z(rows[i].chain), word;
		struct buf chain = { 0 };
		struct err e = ERR_INIT;
		struct tls_ctx *c;

		while ((word = str_word(&rest, " ")).n > 0)
			buf_addf(&chain, "%s/%.*s, ", dir, STRF(word));
		set.chain_files = buf_z(&chain);
		set.cert_file = rows[i].cert != NULL ? path_of(rows[i].cert) : NULL;
		set.key_file = rows[i].key != NULL ? path_of(rows[i].key) : NULL;
		c = tls_server_ctx(&set, &e);
		ok((c != NULL) == rows[i].good && (c != NULL || e.text[0] != '\0'), "%s: %s", rows[i].name, e.text);
		tls_ctx_free(c);
		buf_done(&chain);
	}
}

static void all(void *arg)
{
	(void)arg;
	test_settings();
	test_kinds();
	test_verify();
	test_client_certificate();
	test_no_agreement();
	test_not_tls();
	test_injection();
	test_wrapped("rsa.pem");
	test_wrapped("ec.pem");
	loop_stop();
}

int main(void)
{
	static const char *const files[] = { "ca.pem", "rsa.pem", "ec.pem", "rsa-key.pem", "rsa-cert.pem", "ec-key.pem" };

	check(mkdtemp(dir) != NULL);
	make_certificates();
	loop_init();
	fiber_start("test", all, NULL);
	loop_run();
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		unlink(path_of(files[i]));
	rmdir(dir);
	return done_testing();
}

/* lib/net/tls.c - TLS connections: the handshake, then reading and writing for stream.c.
 * OpenSSL reads and writes the stream's own non-blocking socket, through a BIO of ours that can begin with bytes already read. Its
 * error queue belongs to the thread, so it is emptied before each call and read right after.
 */
#include "lib/net/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/tls_parts.h"

/* ---- bytes from and to the socket ---- */

static int bio_read(BIO *b, char *p, int n)
{
	struct tls *t = BIO_get_data(b);
	size_t early = t->early_size - t->early_at;
	ssize_t got;

	BIO_clear_retry_flags(b);
	if (early > 0) {
		if (early > (size_t)n)
			early = (size_t)n;
		memcpy(p, t->early + t->early_at, early);
		t->early_at += early;
		return (int)early;
	}
	do
		got = recv(t->fd, p, (size_t)n, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	t->eof |= got == 0;
	return (int)got;
}

static int bio_write(BIO *b, const char *p, int n)
{
	struct tls *t = BIO_get_data(b);
	ssize_t put;

	BIO_clear_retry_flags(b);
	do
		put = send(t->fd, p, (size_t)n, MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	if (put < 0 && errno == EAGAIN)
		BIO_set_retry_write(b);
	return (int)put;
}

static long bio_ctrl(BIO *b, int cmd, long n, void *p)
{
	struct tls *t = BIO_get_data(b);

	(void)n;
	(void)p;
	if (cmd == BIO_CTRL_EOF)
		return t->eof;
	return cmd == BIO_CTRL_FLUSH; /* nothing is kept back */
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;

	if (method != NULL)
		return method;
	method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "stream");
	check(method != NULL && BIO_meth_set_read(method, bio_read) && BIO_meth_set_write(method, bio_write) &&
		BIO_meth_set_ctrl(method, bio_ctrl));
	return method;
}

struct tls *tls_new(struct stream *s, struct tls_ctx *c)
{
	struct tls *t = mem_alloc(sizeof *t);
	BIO *b = BIO_new(bio_method());

	t->fd = stream_fd(s);
	t->server = c->server;
	t->heavy = c->heavy;
	t->sni = c->sni;
	t->ssl = SSL_new(c->ssl);
	check(b != NULL && t->ssl != NULL);
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	SSL_set_app_data(t->ssl, t);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t->broken && SSL_is_init_finished(t->ssl)) {
		ERR_clear_error();
		SSL_shutdown(t->ssl); /* one try to say goodbye */
		ERR_clear_error();
	}
	SSL_free(t->ssl);
	mem_free(t->early);
	mem_free((void *)(uintptr_t)t->session_key.p);
	mem_free(t);
}

/* ---- handshake ---- */

/* One step, in any thread. */
struct step {
	struct tls *t;
	int result; /* SSL_ERROR_... */
	struct err why;
};

/* In words that fit behind "SSL_accept error from host[address]: ". */
static void explain(struct step *h, int errnum)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	if (h->result == SSL_ERROR_SSL)
		err_temp(&h->why, "%s", reason != NULL ? reason : "protocol error");
	else
		err_temp(&h->why, "%s", errnum != 0 && !h->t->eof ? strerror(errnum) : "lost connection");
}

static bool goes_on(int result)
{
	return result == SSL_ERROR_WANT_READ || result == SSL_ERROR_WANT_WRITE || result == SSL_ERROR_WANT_CLIENT_HELLO_CB;
}

static void take_step(void *arg)
{
	struct step *h = arg;
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_do_handshake(h->t->ssl);
	if (r == 1) {
		h->result = SSL_ERROR_NONE;
		return;
	}
	h->result = SSL_get_error(h->t->ssl, r);
	if (!goes_on(h->result))
		explain(h, errno);
	ERR_clear_error();
}

static int handshake(struct stream *s, struct tls *t, int64_t deadline, struct err *e)
{
	struct step h = { .t = t, .result = t->heavy && t->early_size == 0 ? SSL_ERROR_WANT_READ : SSL_ERROR_NONE };

	for (;;) {
		if (h.result == SSL_ERROR_WANT_CLIENT_HELLO_CB)
			tls_choose_certificate(t);
		else if (h.result != SSL_ERROR_NONE && stream_wait_fd(s, h.result == SSL_ERROR_WANT_WRITE, deadline) != STREAM_OK)
			return err_temp(e, "%s", strerror(ETIMEDOUT));
		if (t->heavy)
			offload(take_step, &h);
		else
			take_step(&h);
		if (h.result == SSL_ERROR_NONE)
			return 0;
		if (!goes_on(h.result)) {
			t->broken = true;
			*e = h.why;
			return -1;
		}
	}
}

int tls_finish(struct stream *s, struct tls *t, int64_t deadline, struct err *e)
{
	int r = handshake(s, t, deadline, e);

	mem_free(t->early);
	t->early = NULL;
	t->early_size = t->early_at = 0;
	if (r < 0) {
		t->broken = true;
		tls_free(t);
		return -1;
	}
	stream_set_tls(s, t);
	return 0;
}

int tls_accept(struct stream *s, struct tls_ctx *c, int64_t deadline, struct err *e)
{
	struct tls *t = tls_new(s, c);

	stream_drop_input(s);
	SSL_set_accept_state(t->ssl);
	return tls_finish(s, t, deadline, e);
}

int tls_accept_wrapped(struct stream *s, struct tls_ctx *c, int64_t deadline, struct err *e)
{
	struct tls *t = tls_new(s, c);
	struct str here;

	if (stream_buffered(s) > 0 && stream_peek(s, &here, 0) == STREAM_OK) {
		t->early = mem_dup(here.p, here.n);
		t->early_size = here.n;
	}
	stream_drop_input(s);
	SSL_set_accept_state(t->ssl);
	return tls_finish(s, t, deadline, e);
}

/* ---- reading and writing ---- */

/* 0 at the end, else -1 with errno. r: what OpenSSL's call returned. */
static ssize_t failed(struct tls *t, int r, bool *want_write)
{
	int errnum = errno, why = SSL_get_error(t->ssl, r);

	ERR_clear_error();
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	*want_write = why == SSL_ERROR_WANT_WRITE;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		errno = EAGAIN;
		return -1;
	}
	t->broken = true;
	if (why == SSL_ERROR_SYSCALL && errnum == 0)
		return 0;
	errno = why == SSL_ERROR_SYSCALL ? errnum : EPROTO;
	return -1;
}

static int at_most_int(size_t n)
{
	return n > INT_MAX ? INT_MAX : (int)n;
}

ssize_t tls_read(struct tls *t, void *p, size_t n, bool *want_write)
{
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_read(t->ssl, p, at_most_int(n));
	return r > 0 ? r : failed(t, r, want_write);
}

ssize_t tls_write(struct tls *t, const void *p, size_t n, bool *want_write)
{
	ssize_t r;

	ERR_clear_error();
	errno = 0;
	r = SSL_write(t->ssl, p, at_most_int(n));
	if (r > 0)
		return r;
	r = failed(t, (int)r, want_write);
	if (r == 0)
		errno = EPIPE; /* the peer has said goodbye */
	return -1;
}

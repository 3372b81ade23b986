/* lib/net/stream.h - a byte stream with deadlines over a socket or a pair of memory ends; TLS swaps in below it.
 *
 * Output is buffered until stream_flush() or STREAM_OUT_MAX bytes. Input is read on demand; an idle stream holds no
 * buffer memory. Calls that may suspend take an absolute deadline. Errors are sticky, each direction for itself (after the peer's
 * last byte one may still write): after one, every call fails the same way. Only a read that timed out may be tried again. One fiber reads
 * and one fiber writes at a time; they may be two different ones.
 */
#ifndef GATEPOST_LIB_NET_STREAM_H
#define GATEPOST_LIB_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

#define STREAM_OUT_MAX 65536 /* octets of buffered output before stream_write flushes by itself */
#define STREAM_FDS_MAX 16 /* descriptors that can travel with one stream_send_fds */

struct stream;
struct tls;

enum stream_result {
	STREAM_OK = 0,
	STREAM_EOF = -1, /* the peer closed or reset the connection */
	STREAM_TIMEOUT = -2, /* the deadline passed */
	STREAM_ERROR = -3, /* anything else: see stream_errno() */
	STREAM_TOO_LONG = -4 /* line longer than asked for; not sticky: the caller decides what to do with the rest */
};

struct stream *stream_new(int fd); /* takes the fd, makes it non-blocking */
struct stream *stream_new_socket(int fd, int family); /* the same for a socket of that family that is non-blocking already */
void stream_close(struct stream *s); /* NULL allowed; does not flush; a TLS close_notify is sent if that does not block */
int stream_fd(const struct stream *s);
int64_t stream_born_at(const struct stream *s); /* monotonic milliseconds */
int64_t stream_waiting_since(const struct stream *s); /* when a fiber began to wait for input; 0: none waits */
void stream_end_input(struct stream *s); /* from another fiber: whoever waits for input gets STREAM_EOF; output goes on */
int stream_errno(const struct stream *s);
const char *stream_strerror(enum stream_result r, const struct stream *s); /* fit for a log line */

/* Read at least one and at most max bytes. Returns the count > 0, or an enum stream_result < 0. Suspends. */
ssize_t stream_read(struct stream *s, void *p, size_t max, int64_t deadline);
/* Read exactly n bytes. Suspends. */
int stream_read_full(struct stream *s, void *p, size_t n, int64_t deadline);
/* Read up to and including LF and put the line, with its line end, into *line (cleared first). STREAM_TOO_LONG when max
 * bytes hold no LF: *line has the first max bytes, the rest is still to be read. Suspends. */
int stream_read_line(struct stream *s, struct buf *line, size_t max, int64_t deadline);
/* See what is buffered without consuming; if nothing is, wait for some. On STREAM_OK *view is non-empty and valid until
 * the next call on s; take what was used with stream_consume(). Suspends. */
int stream_peek(struct stream *s, struct str *view, int64_t deadline);
/* Like stream_peek but waits for more than `have` bytes to be buffered (have < 64 KiB). Suspends. */
int stream_peek_more(struct stream *s, size_t have, struct str *view, int64_t deadline);
void stream_consume(struct stream *s, size_t n);
size_t stream_buffered(const struct stream *s); /* input bytes already here, without asking the kernel */
bool stream_input_ready(struct stream *s); /* input buffered or readable right now (also EOF); does not suspend */
void stream_drop_input(struct stream *s); /* forget buffered plaintext before a TLS handshake (RFC 3207 section 4.2) */

/* Append to the output buffer; flushes by itself when that is full, then suspends up to deadline. */
int stream_write(struct stream *s, struct str data, int64_t deadline);
int stream_printf(struct stream *s, int64_t deadline, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int stream_flush(struct stream *s, int64_t deadline); /* Suspends. */
/* The last flush: stream_close() follows at once. Saves a packet. */
int stream_finish(struct stream *s, int64_t deadline); /* Suspends. */
size_t stream_unsent(const struct stream *s);
/* Send what is buffered and then this, without copying it first. Suspends. */
int stream_writev(struct stream *s, const struct iovec *iov, int count, int64_t deadline);

/* Unix sockets: flush what is buffered (something must be) with these descriptors attached to the first byte; the caller keeps its own
 * copies. Suspends. */
int stream_send_fds(struct stream *s, const int *fds, size_t count, int64_t deadline);
/* Descriptors that arrived with bytes already read, oldest first; the caller owns them. Returns how many (<= max). */
size_t stream_take_fds(struct stream *s, int *fds, size_t max);

/* Put TLS under this stream (see tls.h); further reads and writes are encrypted. Owned by the stream from now on. */
void stream_set_tls(struct stream *s, struct tls *t);
struct tls *stream_tls(const struct stream *s); /* NULL: clear text */

/* Wait until the descriptor is readable or writable. For tls.c, sock.c and who reads it himself. Suspends. STREAM_OK, STREAM_TIMEOUT. */
int stream_wait_fd(struct stream *s, bool for_write, int64_t deadline);

/* True when a kept-alive connection is still usable: no EOF, no unexpected input. Does not suspend. */
bool stream_idle_ok(struct stream *s);

#endif

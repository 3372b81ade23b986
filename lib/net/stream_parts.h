/* lib/net/stream_parts.h - the inside of a stream, for the stream*.c files. */
#ifndef GATEPOST_LIB_NET_STREAM_PARTS_H
#define GATEPOST_LIB_NET_STREAM_PARTS_H

#include "lib/net/stream.h"

#define STREAM_CHUNK 16384 /* octets of a usual buffer, and of the largest TLS record */
#define STREAM_IN_MAX 65536

struct event;
struct fiber;
struct fd_queue;

/* Unread input, or unsent output: bytes [at, n) of cap. p is NULL when there are none. */
struct stream_buffer {
	char *p;
	size_t at, n, cap;
};

/* One direction: its bytes, who waits, and how it ended. */
struct stream_side {
	struct stream_buffer bytes;
	struct fiber *waiter;
	bool for_write; /* what the waiter waits for: TLS may read in order to write */
	bool ready; /* it has come */
	enum stream_result failed; /* sticky; STREAM_OK: not failed */
};

struct stream {
	int fd;
	int errnum; /* of STREAM_ERROR and STREAM_EOF */
	bool is_socket, is_unix;
	bool finishing; /* what is sent now is the last: the kernel may send it together with the end of the connection */
	bool drained; /* the kernel had no more input, and has said nothing since */
	bool peer_done; /* the peer will send no more: no further news can be expected from the kernel */
	struct tls *tls;
	struct event *readable, *writable; /* edge triggered; made when first waited for */
	struct stream_side in, out;
	struct fd_queue *fds;
	int64_t born_at;
	int64_t waiting_since; /* for input; 0: not waiting */
};

/* stream_buffer.c: buffers of STREAM_CHUNK come from, and go back to, a free list of the process. */
void stream_buffer_take(struct stream_buffer *b); /* a chunk, if there is no buffer */
void stream_buffer_widen(struct stream_buffer *b, size_t cap); /* room for cap octets in all */
void stream_buffer_drop(struct stream_buffer *b);
size_t stream_buffer_used(const struct stream_buffer *b);

/* stream.c: wait until the kernel has news after it said EAGAIN. Suspends. STREAM_OK, STREAM_TIMEOUT, STREAM_ERROR. */
int stream_await(struct stream *s, struct stream_side *side, bool for_write, int64_t deadline);
/* What errno of a failed call means; remembered in side. */
int stream_failed(struct stream *s, struct stream_side *side, int errnum);

/* stream_fds.c */
ssize_t stream_recv_fds(struct stream *s, void *p, size_t max, bool *got_fds); /* like read(2), keeping descriptors that come along */
ssize_t stream_send_with(struct stream *s, const struct iovec *iov, size_t count, const int *fds, size_t fd_count);
void stream_fds_close(struct stream *s);

#endif

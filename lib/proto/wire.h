/* lib/proto/wire.h - the framing under every internal protocol: u32 length (octets that follow, little endian), then fields in a fixed
 * order: u8/u32/u64 little endian, strings as u32 length + bytes. Readers are sticky: after a short or bad field every further
 * get returns zero or empty and wire_ok() is false. Sender and receiver of each sentence live side by side in one file.
 */
#ifndef GATEPOST_LIB_PROTO_WIRE_H
#define GATEPOST_LIB_PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/net/stream.h"

#define WIRE_FRAME_MAX (64u * 1024 * 1024) /* octets of a frame we accept from our own processes */

struct wire_in {
	struct str rest;
	bool bad;
};

/* Frames are built in a buf: size_t at = wire_begin(&b); wire_put_...; wire_end(&b, at); then sent with stream_write/stream_writev. */
size_t wire_begin(struct buf *b);
void wire_end(struct buf *b, size_t at);
void wire_put_u8(struct buf *b, uint8_t v);
void wire_put_u32(struct buf *b, uint32_t v);
void wire_put_u64(struct buf *b, uint64_t v);
void wire_put_str(struct buf *b, struct str s);

/* Send frames. All return 0, or -1 with *e, and release b (where there is one). All may suspend.
 * wire_send: now, in one write where possible, with count descriptors on the first byte (the caller keeps its own copies).
 * wire_send_later: into the stream's output buffer; it leaves with the next write or wire_flush().
 * wire_send_body: head (already a frame's beginning) and body, which is not copied unless it is small enough to leave with its neighbours.
 */
#define WIRE_COPY_MAX 16384
int wire_send(struct stream *s, struct buf *b, const int *fds, size_t count, int64_t deadline, struct err *e);
int wire_send_later(struct stream *s, struct buf *b, int64_t deadline, struct err *e);
int wire_send_body(struct stream *s, struct str head, struct str body, int64_t deadline, struct err *e);
int wire_flush(struct stream *s, int64_t deadline, struct err *e);

/* Receive one frame into a; *in reads it. STREAM_OK or an enum stream_result; *e is filled on failure. Suspends. */
int wire_receive(struct stream *s, struct arena *a, struct wire_in *in, int64_t deadline, struct err *e);
/* The same with the results of a server (0, 1 the peer closed between requests, -1) and of an asker (0, -1). */
int wire_receive_request(struct stream *s, struct arena *a, struct wire_in *in, int64_t deadline, struct err *e);
int wire_receive_answer(struct stream *s, struct arena *a, struct wire_in *in, int64_t deadline, struct err *e);
/* Exactly count descriptors that came with the frame; 0, or -1 with *e and none of them left open. */
int wire_take_fds(struct stream *s, int *fds, size_t count, struct err *e);
int wire_malformed(struct err *e); /* -1: the frame was complete, its fields are not */
uint8_t wire_get_u8(struct wire_in *in);
uint32_t wire_get_u32(struct wire_in *in);
uint64_t wire_get_u64(struct wire_in *in);
struct str wire_get_str(struct wire_in *in); /* slice of the frame */
size_t wire_get_count(struct wire_in *in, size_t least_each); /* u32 that must fit the rest of the frame at least_each octets apiece */
bool wire_ok(const struct wire_in *in);

#endif

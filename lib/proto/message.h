/* lib/proto/message.h - a queue_message, a recipient, a status code as fields of a frame: what several internal protocols share.
 * Getters take slices of the frame (it must live as long as the result) and leave in->bad set when something does not fit.
 */
#ifndef GATEPOST_LIB_PROTO_MESSAGE_H
#define GATEPOST_LIB_PROTO_MESSAGE_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/proto/wire.h"
#include "lib/queue/queue.h"

#define MESSAGE_RCPT_LEAST 29 /* octets of a recipient with empty texts */

void message_put(struct buf *b, const struct queue_message *m); /* with its recipients */
void message_get(struct wire_in *in, struct arena *a, struct queue_message *m);
void message_put_rcpt(struct buf *b, const struct queue_rcpt *r);
void message_get_rcpt(struct wire_in *in, struct queue_rcpt *r);
void message_put_code(struct buf *b, struct code c);
struct code message_get_code(struct wire_in *in);
void message_put_strs(struct buf *b, const struct str *s, size_t count);
struct str *message_get_strs(struct wire_in *in, struct arena *a, size_t *count);

#endif

/* lib/net/stream_buffer.c - memory for bytes on their way, held only while there are any. */
#include "lib/base/mem.h"
#include "lib/net/stream_parts.h"

#define KEEP_MAX 64

static struct {
	char *chunk[KEEP_MAX];
	size_t count;
} kept;

void stream_buffer_take(struct stream_buffer *b)
{
	if (b->p != NULL)
		return;
	*b = (struct stream_buffer){ .cap = STREAM_CHUNK };
	b->p = kept.count > 0 ? kept.chunk[--kept.count] : mem_grow(NULL, 1, STREAM_CHUNK);
}

static void give(char *p, size_t cap)
{
	if (cap == STREAM_CHUNK && kept.count < KEEP_MAX)
		kept.chunk[kept.count++] = p;
	else
		mem_free(p);
}

void stream_buffer_widen(struct stream_buffer *b, size_t cap)
{
	char *p = mem_grow(NULL, 1, cap);
	size_t used = stream_buffer_used(b);

	memcpy(p, b->p + b->at, used);
	give(b->p, b->cap);
	*b = (struct stream_buffer){ p, 0, used, cap };
}

void stream_buffer_drop(struct stream_buffer *b)
{
	if (b->p != NULL)
		give(b->p, b->cap);
	*b = (struct stream_buffer){ 0 };
}

size_t stream_buffer_used(const struct stream_buffer *b)
{
	return b->n - b->at;
}

/* mta/cleanup/content.c - message content on its way in: kept in memory while it is small, so that refused mail never touches the disk, and
 * streamed to the queue file beyond cleanup_memory_limit.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

#define STREAM_PIECE (256u * 1024) /* octets written to the file at once */

static void drop_memory(struct mail *x)
{
	buf_done(&x->content.memory);
}

static void no_disk(struct mail *x, const struct err *e)
{
	log_warn("%s: write queue file: %s", x->m.id, e->text);
	x->content.failed = true;
	mail_refuse_temp(x, "Error: queue file write error");
	drop_memory(x);
}

/* To the file with what is in memory, when there is enough of it (or all). */
static void spill(struct mail *x, bool all)
{
	struct content *c = &x->content;
	struct err e = ERR_INIT;

	if (c->fd < 0 ? c->memory.n <= set->memory_limit : c->memory.n < STREAM_PIECE && !all)
		return;
	if ((c->fd < 0 && store_begin(x, &e) < 0) || store_append(x, buf_str(&c->memory), &e) < 0)
		no_disk(x, &e);
	buf_clear(&c->memory);
}

/* message_reject_characters and message_strip_characters. */
static void add_filtered(struct mail *x, struct str chunk)
{
	for (size_t i = 0; i < chunk.n; i++) {
		unsigned char ch = (unsigned char)chunk.p[i];

		if (set->reject_chars[ch])
			mail_refuse(x, CODE(550, 5, 7, 1), STR("disallowed character"));
		if (!set->strip_chars[ch])
			buf_addc(&x->content.memory, chunk.p[i]);
	}
}

static void take_chunk(struct mail *x, struct str chunk)
{
	struct content *c = &x->content;
	size_t before = c->memory.n;

	if (mail_refused(x) && !x->non_smtp)
		return; /* nobody will read it */
	if (x->discard || c->failed)
		return;
	if (set->message_limit > 0 && c->size + chunk.n > set->message_limit) {
		log_warn("%s: queue file size limit exceeded", x->m.id);
		mail_refuse(x, CODE(552, 5, 3, 4), STR("Error: message file too big"));
		c->failed = true;
		drop_memory(x);
		return;
	}
	if (set->any_reject || set->any_strip)
		add_filtered(x, chunk);
	else
		buf_add(&c->memory, chunk);
	c->size += c->memory.n - before;
	milters_stream(x, str_skip(buf_str(&c->memory), before));
	spill(x, false);
}

int content_receive(struct mail *x, struct stream *io, struct err *e)
{
	struct arena *scratch = arena_new("content chunk");
	enum cleanup_event what = CLEANUP_CONTENT;
	int r = 0;

	while (r == 0 && what == CLEANUP_CONTENT) {
		struct str chunk;

		r = cleanup_receive_content(io, scratch, &what, &chunk, &x->content.flags, deadline_in(set->ipc_timeout_ms), e);
		if (r == 0 && what == CLEANUP_CONTENT)
			take_chunk(x, chunk);
		arena_reset(scratch);
	}
	arena_free(scratch);
	if (r == 0 && x->content.fd >= 0 && !x->content.failed)
		spill(x, true);
	return r;
}

struct str content_view(struct mail *x)
{
	struct content *c = &x->content;
	void *at;

	if (c->fd < 0)
		return buf_str(&c->memory);
	if (c->mapped == NULL) {
		at = mmap(NULL, QUEUE_SUPER_SIZE + (size_t)c->size, PROT_READ, MAP_SHARED, c->fd, 0);
		if (at == MAP_FAILED) {
			log_warn("%s: read queue file: %s", x->m.id, strerror(errno));
			mail_refuse_temp(x, "Error: queue file read error");
			return STR_NONE;
		}
		c->mapped = at;
		c->mapped_size = QUEUE_SUPER_SIZE + (size_t)c->size;
	}
	return str_n(c->mapped + QUEUE_SUPER_SIZE, (size_t)c->size);
}

void content_forget(struct mail *x)
{
	struct content *c = &x->content;

	if (c->mapped != NULL)
		munmap(c->mapped, c->mapped_size);
	c->mapped = NULL;
	store_remove(x); /* only what was not committed */
	drop_memory(x);
}

/* lib/queue/status.c - what became of each attempt: records behind the message, each with its own checksum. They are history (for mailq,
 * delay warnings, gatepost cat), not state: a torn or damaged one is passed over, the reader goes on at the next one.
 */
#include "lib/queue/queue.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/queue/codec.h"

#define HEAD_SIZE 12 /* marker, length, checksum */
#define RECORD_LEAST 28 /* payload with empty texts */
#define TEXT_MAX 4096 /* of a text; longer ones are cut */
#define AREA_MAX (32u * 1024 * 1024) /* octets of records we look at */
#define TRIM_EACH 512 /* octets a recipient's latest record may need */

static const char marker[4] = { 'G', 'P', 's', 't' };

/* ---- writing ---- */

static void put_record(struct buf *b, const struct queue_status *st)
{
	struct buf p = { 0 };

	codec_put(&p, st->rcpt_index, 4);
	codec_put(&p, (uint64_t)st->at_us, 8);
	codec_put(&p, (unsigned char)st->action, 1);
	codec_put(&p, (uint16_t)st->code.smtp, 2);
	codec_put(&p, st->code.c, 1);
	codec_put(&p, st->code.s, 2);
	codec_put(&p, st->code.d, 2);
	codec_put_str(&p, str_sub(st->relay, 0, TEXT_MAX));
	codec_put_str(&p, str_sub(st->text, 0, TEXT_MAX));
	buf_addn(b, marker, sizeof marker);
	codec_put(b, p.n, 4);
	codec_put(b, hash_crc32c(0, p.p, p.n), 4);
	buf_add(b, buf_str(&p));
	buf_done(&p);
}

static int append(int fd, struct str bytes, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, errno, "cannot examine message file");
	return fs_pwrite_all(fd, bytes.p, bytes.n, st.st_size, e);
}

int queue_append_status(int fd, const struct queue_status *st, size_t count, struct err *e)
{
	struct buf b = { 0 };
	int r;

	for (size_t i = 0; i < count; i++)
		put_record(&b, &st[i]);
	r = b.n == 0 ? 0 : append(fd, buf_str(&b), e);
	buf_done(&b);
	return r < 0 ? err_context(e, "cannot append status records") : 0;
}

/* ---- reading ---- */

static bool get_payload(struct str payload, const struct queue_message *m, struct queue_status *st)
{
	struct codec_in in = { payload, false };

	st->rcpt_index = (uint32_t)codec_get(&in, 4);
	st->at_us = (int64_t)codec_get(&in, 8);
	st->action = (char)codec_get(&in, 1);
	st->code.smtp = (short)codec_get(&in, 2);
	st->code.c = (unsigned char)codec_get(&in, 1);
	st->code.s = (unsigned short)codec_get(&in, 2);
	st->code.d = (unsigned short)codec_get(&in, 2);
	st->relay = codec_get_str(&in);
	st->text = codec_get_str(&in);
	return !in.bad && st->rcpt_index < m->rcpt_count;
}

/* Take the record at the front of *rest, or pass over damage up to where the next one may begin. True: *st is filled. */
static bool next_record(struct str *rest, const struct queue_message *m, struct queue_status *st)
{
	struct str payload;
	ptrdiff_t at;
	uint64_t n;

	if (rest->n < HEAD_SIZE) {
		*rest = STR_NONE;
		return false;
	}
	n = codec_load(rest->p + 4, 4);
	payload = str_sub(*rest, HEAD_SIZE, (size_t)n);
	if (memcmp(rest->p, marker, sizeof marker) == 0 && payload.n == n && n >= RECORD_LEAST &&
		hash_crc32c(0, payload.p, payload.n) == codec_load(rest->p + 8, 4)) {
		*rest = str_skip(*rest, HEAD_SIZE + (size_t)n);
		return get_payload(payload, m, st);
	}
	at = str_find(str_skip(*rest, 1), str_n(marker, sizeof marker));
	*rest = at < 0 ? STR_NONE : str_skip(*rest, 1 + (size_t)at);
	return false;
}

static int read_area(int fd, const struct queue_message *m, struct arena *a, struct str *area, struct err *e)
{
	struct stat st;
	uint64_t n;
	char *p;

	if (fstat(fd, &st) < 0)
		return err_errno(e, errno, "cannot examine message file");
	*area = STR_NONE;
	if (st.st_size < 0 || (uint64_t)st.st_size <= m->status_at)
		return 0;
	n = (uint64_t)st.st_size - m->status_at;
	if (n > AREA_MAX)
		n = AREA_MAX;
	p = arena_alloc(a, (size_t)n);
	if (fs_pread_all(fd, p, (size_t)n, (off_t)m->status_at, e) < 0)
		return -1;
	*area = str_n(p, (size_t)n);
	return 0;
}

int queue_load_status(int fd, const struct queue_message *m, struct arena *a, struct queue_status **st, size_t *count, struct err *e)
{
	struct str area;

	*count = 0;
	*st = NULL;
	if (read_area(fd, m, a, &area, e) < 0)
		return err_context(e, "cannot read status records");
	*st = arena_alloc(a, (area.n / (HEAD_SIZE + RECORD_LEAST) + 1) * sizeof **st);
	while (area.n > 0)
		if (next_record(&area, m, &(*st)[*count]))
			++*count;
	return 0;
}

/* ---- keeping it small ---- */

/* Which records stay: the last one of each recipient, and its last delay warning. */
static bool superseded(const uint32_t *last, const uint32_t *last_warning, const struct queue_status *st, uint32_t i)
{
	return last[st->rcpt_index] != i && last_warning[st->rcpt_index] != i;
}

static int rewrite_area(int fd, const struct queue_message *m, const struct queue_status *st, size_t count, struct err *e)
{
	uint32_t *last = mem_array(m->rcpt_count + 1, sizeof *last);
	uint32_t *last_warning = mem_array(m->rcpt_count + 1, sizeof *last_warning);
	struct buf b = { 0 };
	int r;

	for (uint32_t i = 0; i < count; i++)
		(st[i].action == 'w' ? last_warning : last)[st[i].rcpt_index] = i;
	for (uint32_t i = 0; i < count; i++)
		if (!superseded(last, last_warning, &st[i], i))
			put_record(&b, &st[i]);
	r = ftruncate(fd, (off_t)m->status_at) < 0 ? err_errno(e, errno, "cannot shorten status records")
						   : fs_pwrite_all(fd, b.p, b.n, (off_t)m->status_at, e);
	buf_done(&b);
	mem_free(last);
	mem_free(last_warning);
	return r;
}

int queue_trim_status(int fd, const struct queue_message *m, struct err *e)
{
	struct queue_status *records;
	struct arena *a;
	struct stat st;
	size_t count;
	int r;

	if (fstat(fd, &st) < 0)
		return err_errno(e, errno, "cannot examine message file");
	if ((uint64_t)st.st_size < m->status_at + QUEUE_STATUS_MAX || (uint64_t)st.st_size < m->status_at + m->rcpt_count * TRIM_EACH)
		return 0;
	a = arena_new("status records");
	r = queue_load_status(fd, m, a, &records, &count, e);
	if (r == 0)
		r = rewrite_area(fd, m, records, count, e);
	arena_free(a);
	return r;
}

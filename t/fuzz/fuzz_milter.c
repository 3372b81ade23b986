/* t/fuzz/fuzz_milter.c - what a filter may send, as bytes: a stream of packets taken apart, reply texts, negotiation answers, and a session
 * that another process exported. First byte: which.
 */
#include <stdint.h>
#include <string.h>

#include "lib/base/arena.h"
#include "lib/milter/codec.h"
#include "lib/milter/milter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_packets(struct str in)
{
	while (in.n >= PACKET_HEAD) {
		struct reply r;
		char command;
		size_t n;

		if (!packet_head_parse((const unsigned char *)in.p, &n, &command) || n > in.n - PACKET_HEAD)
			return;
		(void)reply_parse(command, str_sub(in, PACKET_HEAD, n), &r);
		in = str_skip(in, PACKET_HEAD + n);
	}
}

static void read_text(struct str in)
{
	struct buf b = { 0 };
	struct code c;

	(void)reply_text_parse(in, &c, &b);
	buf_done(&b);
}

static void read_options(struct str in)
{
	struct optneg o;
	struct str names;
	uint32_t stage;

	if (optneg_parse(in, &o))
		while (optneg_next_list(&o.lists, &stage, &names))
			;
}

static void read_session(struct str in)
{
	struct arena *a = arena_new("fuzz");
	struct err e = ERR_INIT;
	struct milter_session *s = milter_session_import(a, in, NULL, 0, NULL, NULL, &e);

	if (s != NULL)
		milter_session_release(s);
	arena_free(a);
}

static void read_chain(struct str in)
{
	static const struct milter_settings defaults = { .version = 6 };
	struct arena *a = arena_new("fuzz");
	struct milter_chain c;
	struct err e = ERR_INIT;

	(void)milter_chain_parse(a, arena_z(a, in), &defaults, &c, &e);
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(struct str) = { read_packets, read_text, read_options, read_session, read_chain };

	if (size > 0)
		readers[data[0] % (sizeof readers / sizeof *readers)](str_n((const char *)data + 1, size - 1));
	return 0;
}

/* t/fuzz/fuzz_canon.c - canonical bodies: the same in one piece and octet by octet, and already canonical ones stay as they are. */
#include "lib/mail/canon.h"
#include "t/fuzz/fuzz.h"

static void put(void *ctx, const char *p, size_t n)
{
	buf_addn(ctx, p, n);
}

static void whole(enum canon how, struct str in, size_t piece, struct buf *out)
{
	struct canon_body b;

	canon_body_init(&b, how, put, out);
	for (size_t i = 0; i < in.n; i += piece)
		canon_body_feed(&b, in.p + i, piece < in.n - i ? piece : in.n - i);
	canon_body_end(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = fuzz_str(data, size);

	for (enum canon how = CANON_SIMPLE; how <= CANON_RELAXED; how++) {
		struct buf one = { 0 }, many = { 0 }, again = { 0 }, field = { 0 }, bare = { 0 };

		whole(how, in, size + 1, &one);
		whole(how, in, 1, &many);
		whole(how, buf_str(&one), 7, &again);
		check(str_eq(buf_str(&one), buf_str(&many)) && str_eq(buf_str(&one), buf_str(&again)));
		canon_without_b(&bare, in);
		check(bare.n <= in.n);
		canon_field(&field, how, STR("Name"), buf_str(&bare));
		check(str_ends(buf_str(&field), STR("\r\n")));
		buf_done(&one);
		buf_done(&many);
		buf_done(&again);
		buf_done(&field);
		buf_done(&bare);
	}
	return 0;
}

/* t/fuzz/fuzz_header.c - header blocks: what is printed parses to the same fields again, and no edit can add a field or a body. */
#include "lib/mail/header.h"
#include "t/fuzz/fuzz.h"

static void check_reparse(struct arena *a, const struct header *h)
{
	struct buf out = { 0 };
	struct header again;
	bool missing;

	header_print(h, &out);
	check(out.n == header_size(h));
	header_init(&again, a);
	check(header_parse(&again, buf_str(&out), &missing) == out.n && !missing);
	check(again.count == h->count);
	for (size_t i = 0; i < h->count; i++)
		check(str_eq(again.fields[i].text, h->fields[i].text));
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = fuzz_str(data, size), *found;
	struct arena *a = arena_new("fuzz");
	struct header h;
	bool missing;

	header_init(&h, a);
	check(header_parse(&h, in, &missing) <= size);
	if (size > 0)
		header_insert(&h, data[0], str_sub(in, 1, data[0] % 16u), str_skip(in, 17), data[0] & 1);
	if (size > 0 && data[0] % 16u > 0 && size > 1)
		check_reparse(a, &h);
	check(header_unfold(a, in).n <= size);
	for (size_t i = header_addresses(a, in, &found); i > 0; i--)
		check(found[i - 1].n > 0 && str_any(found[i - 1], "\r\n") < 0);
	arena_free(a);
	return 0;
}

/* t/fuzz/fuzz_line.c - DATA content: however the network cuts it, the same comes out, in whole CRLF lines, ended by CRLF.CRLF alone; and
 * what was stored is what arrives when it is sent on. */
#include "lib/mail/line.h"
#include "t/fuzz/fuzz.h"

static struct line_in start(bool replace)
{
	return (struct line_in){ .newline = LINE_NORMALIZE, .at_start = true, .crlf_before = true, .replace_stray = replace };
}

/* Octets used; growing the window only when nothing could be taken, as a session does. */
static size_t feed(struct str in, size_t step, bool replace, struct buf *out, struct line_in *l, bool *end)
{
	size_t from = 0, to = 0;

	*l = start(replace);
	for (*end = false; !*end && to < in.n;) {
		to = to + step < in.n ? to + step : in.n;
		from += line_in_feed(l, str_sub(in, from, to - from), out, end);
		check(from <= to);
	}
	return from;
}

static void check_sent_on(struct str stored)
{
	struct buf wire = { 0 }, again = { 0 };
	struct line_in l;
	bool at_start = true, end;

	line_out_stuff(stored, &at_start, &wire);
	buf_addz(&wire, ".\r\n");
	check(feed(buf_str(&wire), wire.n, false, &again, &l, &end) == wire.n && end);
	check(str_eq(buf_str(&again), stored));
	buf_done(&wire);
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_skip(fuzz_str(data, size), 1);
	struct buf whole = { 0 }, cut = { 0 }, lf = { 0 };
	struct line_in a, b;
	bool replace = size > 0 && (data[0] & 0x80), end, end_cut;
	size_t used = feed(in, in.n, replace, &whole, &a, &end);

	check(used == feed(in, size > 0 ? data[0] % 8u + 1 : 1, replace, &cut, &b, &end_cut) && end == end_cut);
	check(str_eq(buf_str(&whole), buf_str(&cut)));
	check(a.bare_lf == b.bare_lf && a.bare_cr == b.bare_cr && a.nul == b.nul && a.eight_bit == b.eight_bit &&
		a.dot_lines == b.dot_lines && a.long_lines == b.long_lines);
	check(!end || (used >= 3 && str_ends(str_sub(in, 0, used), STR(".\r\n"))));
	check(!replace || str_chr(buf_str(&whole), '\r') < 0 || line_to_lf(buf_str(&whole), &lf) > 0);
	check(!replace || str_chr(buf_str(&lf), '\r') < 0);
	if (end)
		check_sent_on(buf_str(&whole));
	buf_done(&whole);
	buf_done(&cut);
	buf_done(&lf);
	return 0;
}

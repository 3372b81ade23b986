/* lib/queue/codec.c - numbers and texts of the message file. */
#include "lib/queue/codec.h"

#include "lib/base/mem.h"

void codec_put(struct buf *b, uint64_t v, unsigned octets)
{
	char p[8];

	check(octets <= sizeof p);
	for (unsigned i = 0; i < octets; i++)
		p[i] = (char)(unsigned char)(v >> (8 * i));
	buf_addn(b, p, octets);
}

void codec_put_str(struct buf *b, struct str s)
{
	check(s.n <= UINT32_MAX);
	codec_put(b, s.n, 4);
	buf_add(b, s);
}

uint64_t codec_load(const char *p, unsigned octets)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < octets; i++)
		v |= (uint64_t)(unsigned char)p[i] << (8 * i);
	return v;
}

uint64_t codec_get(struct codec_in *in, unsigned octets)
{
	uint64_t v;

	if (in->bad || in->rest.n < octets) {
		in->bad = true;
		return 0;
	}
	v = codec_load(in->rest.p, octets);
	in->rest = str_skip(in->rest, octets);
	return v;
}

struct str codec_get_str(struct codec_in *in)
{
	uint64_t n = codec_get(in, 4);
	struct str s;

	if (in->bad || n > in->rest.n) {
		in->bad = true;
		return STR_NONE;
	}
	s = str_sub(in->rest, 0, (size_t)n);
	in->rest = str_skip(in->rest, (size_t)n);
	return s;
}

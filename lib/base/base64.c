/* lib/base/base64.c - RFC 4648 section 4, padding required. */
#include "lib/base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, struct str in)
{
	char *at = buf_reserve(out, (in.n + 2) / 3 * 4);

	for (size_t i = 0; i < in.n; i += 3) {
		size_t left = in.n - i;
		unsigned v = (unsigned)(unsigned char)in.p[i] << 16;

		if (left > 1)
			v |= (unsigned)(unsigned char)in.p[i + 1] << 8;
		if (left > 2)
			v |= (unsigned)(unsigned char)in.p[i + 2];
		*at++ = alphabet[v >> 18];
		*at++ = alphabet[v >> 12 & 63];
		*at++ = left > 1 ? alphabet[v >> 6 & 63] : '=';
		*at++ = left > 2 ? alphabet[v & 63] : '=';
	}
	*at = '\0';
	out->n = (size_t)(at - out->p);
}

/* The six bits of c, or 64. */
static unsigned value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0' + 52);
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Four characters, the last pad of them '=', to 3 - pad octets. Refused: bits that no octet uses are set. */
static int decode_group(const char *in, size_t pad, char *out)
{
	unsigned v = 0;

	for (size_t i = 0; i < 4; i++) {
		unsigned six = i < 4 - pad ? value_of(in[i]) : 0;

		if (six > 63)
			return -1;
		v = v << 6 | six;
	}
	if ((v & ((1u << 8 * pad) - 1)) != 0)
		return -1;
	for (size_t i = 0; i < 3 - pad; i++)
		out[i] = (char)(v >> (16 - 8 * i) & 0xff);
	return 0;
}

int base64_decode(struct buf *out, struct str in)
{
	size_t pad = 0;
	char *at;

	if (in.n % 4 != 0)
		return -1;
	while (pad < 2 && pad < in.n && in.p[in.n - 1 - pad] == '=')
		pad++;
	at = buf_reserve(out, in.n / 4 * 3);
	for (size_t i = 0; i < in.n; i += 4) {
		if (decode_group(in.p + i, i + 4 == in.n ? pad : 0, at + i / 4 * 3) < 0) {
			*at = '\0';
			return -1;
		}
	}
	out->n += in.n / 4 * 3 - pad;
	out->p[out->n] = '\0';
	return 0;
}

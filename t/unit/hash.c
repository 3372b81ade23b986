/* t/unit/hash.c - SipHash-1-3 with a known key, CRC-32C by table and by CPU. Includes the file under test, to set the key. */
#include "lib/base/hash.c"

#include "t/unit/tap.h"

/* key 00 01 .. 0f, input 00 01 02 ..., result as the reference implementation prints it: least octet first. */
static const struct {
	size_t size;
	unsigned char sum[8];
} vectors[] = {
	{ 0, { 0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab } },
	{ 1, { 0x93, 0xca, 0x57, 0x7d, 0xf3, 0x9b, 0xf4, 0xc9 } },
	{ 7, { 0x40, 0x11, 0xb1, 0x9b, 0x98, 0x7d, 0x92, 0xd3 } },
	{ 8, { 0x8e, 0x9a, 0x29, 0x8d, 0x11, 0x95, 0x90, 0x36 } },
	{ 15, { 0x56, 0x99, 0x51, 0x2a, 0x6d, 0xd8, 0x20, 0xd3 } },
};

static const struct {
	const char *text;
	size_t size;
	uint32_t crc;
} crcs[] = { /* RFC 3720 appendix B.4 */
	{ "", 0, 0 },
	{ "123456789", 9, 0xe3069283 },
	{ "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32, 0x8a9136aa },
	{ "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23\24\25\26\27\30\31\32\33\34\35\36\37", 32, 0x46dd794e },
};

static void siphash(void)
{
	unsigned char k[16], in[64];

	hash_bytes(STR("x")); /* the random key is made now, not later */
	for (unsigned char i = 0; i < sizeof in; i++)
		in[i] = i;
	memcpy(k, in, sizeof k);
	memcpy(key, k, sizeof key);
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		uint64_t got = hash_bytes(str_n((char *)in, vectors[i].size)), want;

		memcpy(&want, vectors[i].sum, 8);
		ok(got == want, "SipHash-1-3 of %zu octets", vectors[i].size);
	}
}

int main(void)
{
	uint64_t random_key_sum = hash_bytes(STR("abc"));
	char long_text[1001];

	ok(hash_bytes(STR("abc")) == random_key_sum && hash_bytes(STR("abd")) != random_key_sum, "same text, same hash");
	siphash();
	ok(hash_bytes(STR("abc")) != random_key_sum, "the process's own key was another one");
	for (size_t i = 0; i < sizeof crcs / sizeof *crcs; i++)
		is_int(hash_crc32c(0, crcs[i].text, crcs[i].size), crcs[i].crc, "CRC-32C");
	for (size_t i = 0; i < sizeof long_text; i++)
		long_text[i] = (char)(i * 31);
	ok(hash_crc32c(hash_crc32c(0, long_text, 313), long_text + 313, sizeof long_text - 313) == hash_crc32c(0, long_text, sizeof long_text),
		"continued");
	ok(~update_by_table(~0u, (unsigned char *)long_text, sizeof long_text) == hash_crc32c(0, long_text, sizeof long_text),
		"table and CPU agree");
	return done_testing();
}

/* lib/base/hash.c - SipHash-1-3 (Aumasson and Bernstein, 2012) and CRC-32C. */
#include "lib/base/hash.h"

#include <pthread.h>

#include "lib/base/rand.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* ---- SipHash ---- */

static uint64_t key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void key_make(void)
{
	rand_bytes(key, sizeof key);
}

static uint64_t rotl(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] = rotl(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

uint64_t hash_bytes(struct str s)
{
	uint64_t v[4], word, last = (uint64_t)s.n << 56;
	size_t whole = s.n & ~(size_t)7;

	pthread_once(&key_once, key_make);
	v[0] = key[0] ^ 0x736f6d6570736575u; /* "somepseudorandomlygeneratedbytes" */
	v[1] = key[1] ^ 0x646f72616e646f6du;
	v[2] = key[0] ^ 0x6c7967656e657261u;
	v[3] = key[1] ^ 0x7465646279746573u;
	for (size_t i = 0; i < whole; i += 8) {
		memcpy(&word, s.p + i, 8); /* host byte order: hashes never leave the process */
		sip_word(v, word);
	}
	for (size_t i = whole; i < s.n; i++)
		last |= (uint64_t)(unsigned char)s.p[i] << 8 * (i - whole);
	sip_word(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- CRC-32C ---- */

#define CASTAGNOLI 0x82f63b78u /* the polynomial, bits reversed */

static uint32_t table[256];
static uint32_t (*update)(uint32_t crc, const unsigned char *p, size_t n);
static pthread_once_t update_once = PTHREAD_ONCE_INIT;

static uint32_t update_by_table(uint32_t crc, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		crc = crc >> 8 ^ table[(crc ^ p[i]) & 0xff];
	return crc;
}

static void table_make(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? CASTAGNOLI : 0);
		table[i] = crc;
	}
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t update_by_cpu(uint32_t crc, const unsigned char *p, size_t n)
{
	uint64_t wide = crc, word;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		wide = _mm_crc32_u64(wide, word);
	}
	crc = (uint32_t)wide;
	for (; n > 0; p++, n--)
		crc = _mm_crc32_u8(crc, *p);
	return crc;
}

static bool cpu_has_crc(void)
{
	return __builtin_cpu_supports("sse4.2") != 0;
}
#else
#define update_by_cpu update_by_table

static bool cpu_has_crc(void)
{
	return false;
}
#endif

static void update_choose(void)
{
	table_make();
	update = cpu_has_crc() ? update_by_cpu : update_by_table;
}

uint32_t hash_crc32c(uint32_t crc, const void *p, size_t n)
{
	pthread_once(&update_once, update_choose);
	return ~update(~crc, p, n);
}

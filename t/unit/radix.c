/* t/unit/radix.c - lib/table/radix: the same answers as trying every network in turn. */
#include "lib/table/radix.h"

#include <string.h>

#include "t/unit/tap.h"

#define NETS 400
#define QUESTIONS 4000

static uint32_t seed = 12345;

static uint32_t next(void) /* the same numbers in each run */
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

/* Addresses that have much in common, so that networks lie in one another. */
static struct ip some_ip(void)
{
	struct ip ip = { .v4 = next() % 2 == 0 };
	size_t from = ip.v4 ? 12 : 0;

	if (ip.v4)
		memset(ip.b + 10, 0xff, 2);
	for (size_t i = from; i < 16; i++)
		ip.b[i] = (uint8_t)(next() % 3 << 6 | next() % 2);
	return ip;
}

static uint32_t one_by_one(const struct ip_net *nets, const struct ip *ip)
{
	for (uint32_t i = 0; i < NETS; i++)
		if (ip_in_net(ip, &nets[i]))
			return i;
	return RADIX_NONE;
}

int main(void)
{
	struct radix *r = radix_new();
	struct ip_net nets[NETS];
	struct ip ip = some_ip();
	int wrong = 0, found = 0;

	ok(radix_find(r, &ip) == RADIX_NONE, "nothing is in nothing");
	for (uint32_t i = 0; i < NETS; i++) {
		ip = some_ip();
		nets[i].bits = 10 + next() % (ip.v4 ? 23 : 119);
		nets[i].base = ip_mask(&ip, nets[i].bits);
		radix_add(r, &nets[i], i);
	}
	for (int i = 0; i < QUESTIONS; i++) {
		ip = i < NETS ? nets[i].base : some_ip();
		wrong += radix_find(r, &ip) != one_by_one(nets, &ip);
		found += radix_find(r, &ip) != RADIX_NONE;
	}
	is_int(wrong, 0, "answers that differ");
	ok(found > QUESTIONS / 10 && found < QUESTIONS, "%d of %d addresses are in a network", found, QUESTIONS);
	radix_free(r);
	return done_testing();
}

/* lib/table/radix.c - a binary tree over address prefixes in which chains without a branch are one node. */
#include "lib/table/radix.h"

#include <string.h>

#include "lib/base/mem.h"

#define V4_AT 12 /* where lib/mail/ip keeps the four octets of an IPv4 address */

struct node {
	uint8_t key[16];
	unsigned bits; /* of key that count */
	uint32_t number; /* least one of exactly this network; RADIX_NONE: only a branch */
	uint32_t child[2]; /* by the bit behind the prefix; 0: none */
};

struct radix {
	struct node *node; /* [0] is not used */
	uint32_t count, cap;
	uint32_t root[2]; /* IPv6, IPv4 */
};

struct radix *radix_new(void)
{
	struct radix *r = mem_alloc(sizeof *r);

	r->count = 1;
	return r;
}

void radix_free(struct radix *r)
{
	if (r == NULL)
		return;
	mem_free(r->node);
	mem_free(r);
}

static const uint8_t *octets(const struct ip *ip)
{
	return ip->v4 ? ip->b + V4_AT : ip->b;
}

static unsigned bit_at(const uint8_t *key, unsigned at)
{
	return (unsigned)key[at / 8] >> (7 - at % 8) & 1U;
}

/* How many of the first max bits agree. */
static unsigned common_bits(const uint8_t *a, const uint8_t *b, unsigned max)
{
	unsigned n = 0;

	while (n + 8 <= max && a[n / 8] == b[n / 8]) /* whole octets */
		n += 8;
	while (n < max && bit_at(a, n) == bit_at(b, n))
		n++;
	return n;
}

static uint32_t node_new(struct radix *r, const uint8_t *key, unsigned bits, uint32_t number)
{
	struct node *n;

	if (r->count >= r->cap) {
		r->cap = r->cap == 0 ? 64 : r->cap * 2;
		r->node = mem_grow(r->node, r->cap, sizeof *r->node);
	}
	n = &r->node[r->count];
	*n = (struct node){ .bits = bits, .number = number };
	memcpy(n->key, key, (bits + 7) / 8);
	return r->count++;
}

/* The tree below `at` with one more network in it; returns its top. Depth is bounded by the 128 bits. */
static uint32_t insert(struct radix *r, uint32_t at, const uint8_t *key, unsigned bits, uint32_t number)
{
	struct node *n = &r->node[at];
	unsigned side, common;
	uint32_t top, below;

	if (at == 0)
		return node_new(r, key, bits, number);
	common = common_bits(n->key, key, bits < n->bits ? bits : n->bits);
	if (common == n->bits && bits == n->bits) {
		n->number = number < n->number ? number : n->number;
		return at;
	}
	if (common == n->bits) {
		side = bit_at(key, common);
		below = insert(r, n->child[side], key, bits, number);
		r->node[at].child[side] = below; /* nodes may have moved */
		return at;
	}
	side = bit_at(n->key, common);
	top = node_new(r, key, common, common == bits ? number : RADIX_NONE);
	r->node[top].child[side] = at;
	if (common < bits) {
		below = node_new(r, key, bits, number);
		r->node[top].child[!side] = below;
	}
	return top;
}

void radix_add(struct radix *r, const struct ip_net *net, uint32_t number)
{
	uint32_t *root = &r->root[net->base.v4];

	*root = insert(r, *root, octets(&net->base), net->bits, number);
}

uint32_t radix_find(const struct radix *r, const struct ip *ip)
{
	const uint8_t *key = octets(ip);
	uint32_t at = r->root[ip->v4], least = RADIX_NONE;

	while (at != 0) {
		const struct node *n = &r->node[at];

		if (common_bits(n->key, key, n->bits) < n->bits)
			break;
		least = n->number < least ? n->number : least;
		at = n->bits < (ip->v4 ? 32U : 128U) ? n->child[bit_at(key, n->bits)] : 0;
	}
	return least;
}

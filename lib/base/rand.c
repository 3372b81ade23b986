/* lib/base/rand.c - unpredictable numbers from getrandom(2). */
#include "lib/base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"

void rand_bytes(void *p, size_t n)
{
	char *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			log_fatal("getrandom: %s", strerror(errno));
		at += got;
		n -= (size_t)got;
	}
}

uint64_t rand_u64(void)
{
	uint64_t r;

	rand_bytes(&r, sizeof r);
	return r;
}

uint64_t rand_below(uint64_t limit)
{
	uint64_t r, skip;

	check(limit > 0);
	skip = (0 - limit) % limit; /* 2^64 mod limit: the values below it would be too likely */
	do
		r = rand_u64();
	while (r < skip);
	return r % limit;
}

/* lib/queue/id.c - queue ids in the form of Postfix's long ones. */
#include "lib/queue/queue.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define ID_MIN 6

/* Digits and consonants: no id spells a word. 'z' ends the time part, so the last part does without it (base 51). */
static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

static char *put_number(char *at, uint64_t v, unsigned base, int width)
{
	char tmp[16];
	int n = 0;

	do {
		tmp[n++] = digits[v % base];
		v /= base;
	} while (v > 0 || n < width);
	while (n > 0)
		*at++ = tmp[--n];
	return at;
}

void queue_id_new(char id[QUEUE_ID_MAX])
{
	static int64_t last_us; /* the one thing that must outlive the call: no microsecond twice, whatever the clock does */
	int64_t now = clock_wall_us();
	char *at = id;

	if (now <= last_us)
		now = last_us + 1;
	last_us = now;
	memset(id, 0, QUEUE_ID_MAX);
	at = put_number(at, (uint64_t)(now / 1000000), 52, 6);
	at = put_number(at, (uint64_t)(now % 1000000), 52, 4);
	*at++ = 'z';
	put_number(at, (uint64_t)getpid(), 51, 1);
}

int64_t queue_id_time(const char *id)
{
	int64_t seconds = 0;

	for (int i = 0; i < 6; i++) {
		const char *digit = id[i] == '\0' ? NULL : strchr(digits, id[i]);

		if (digit == NULL)
			return 0;
		seconds = seconds * 52 + (digit - digits);
	}
	return strlen(id) > 11 && id[10] == 'z' ? seconds : 0;
}

bool queue_id_valid(struct str id)
{
	if (id.n < ID_MIN || id.n >= QUEUE_ID_MAX)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		char c = id.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
			return false;
	}
	return true;
}

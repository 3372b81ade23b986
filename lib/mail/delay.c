/* lib/mail/delay.c - seconds as delivery log lines show them. */
#include "lib/mail/delay.h"

#define US_PER_S 1000000

/* Microseconds of one unit in the last place that is printed, and how many decimals that makes. */
static int64_t resolution(int64_t us, int *decimals)
{
	*decimals = us >= 10 * (int64_t)US_PER_S ? 0 : us >= US_PER_S ? 1 : 2;
	return *decimals == 0 ? US_PER_S : *decimals == 1 ? US_PER_S / 10 : US_PER_S / 100;
}

void delay_print(struct buf *out, int64_t us)
{
	int decimals;
	int64_t unit, rest;

	if (us < 0)
		us = 0;
	unit = resolution(us, &decimals);
	us = (us / unit + (us % unit >= unit / 2 ? 1 : 0)) * unit;
	buf_addf(out, "%lld", (long long)(us / US_PER_S));
	rest = us % US_PER_S / (US_PER_S / 100); /* hundredths */
	if (rest == 0)
		return;
	buf_addc(out, '.');
	buf_addc(out, (char)('0' + rest / 10));
	if (rest % 10 != 0)
		buf_addc(out, (char)('0' + rest % 10));
}

/* t/unit/delay.c - delays in log lines: two significant digits, two decimals at most. */
#include "lib/mail/delay.h"

#include "t/unit/tap.h"

static const struct {
	int64_t us;
	const char *want;
} rows[] = {
	{ 0, "0" },
	{ -5, "0" },
	{ 4999, "0" },
	{ 5000, "0.01" },
	{ 10000, "0.01" },
	{ 130000, "0.13" },
	{ 100000, "0.1" },
	{ 580000, "0.58" },
	{ 996000, "1" },
	{ 1000000, "1" },
	{ 1040000, "1" },
	{ 1050000, "1.1" },
	{ 1400000, "1.4" },
	{ 9940000, "9.9" },
	{ 9960000, "10" },
	{ 12300000, "12" },
	{ 12500000, "13" },
	{ 345000000, "345" },
	{ 86400000000, "86400" },
};

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf b = { 0 };

		delay_print(&b, rows[i].us);
		is_str(buf_str(&b), str_z(rows[i].want), rows[i].want);
		buf_done(&b);
	}
	return done_testing();
}

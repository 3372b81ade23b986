/* t/unit/date.c - dates of headers, mailboxes and JSON. */
#include "lib/mail/date.h"

#include <stdlib.h>
#include <time.h>

#include "t/unit/tap.h"

static const struct {
	const char *zone;
	int64_t us;
	const char *rfc5322, *asctime, *rfc3339, *compact;
} rows[] = {
	{ "UTC", 0, "Thu, 01 Jan 1970 00:00:00 +0000 (UTC)", "Thu Jan  1 00:00:00 1970", "1970-01-01T00:00:00Z",
		"19700101000000" },
	{ "CET-1", 1795510800000000, "Tue, 24 Nov 2026 10:00:00 +0100 (CET)", "Tue Nov 24 10:00:00 2026", "2026-11-24T09:00:00Z",
		"20261124090000" },
	{ "NST3:30", 1795510800999999, "Tue, 24 Nov 2026 05:30:00 -0330 (NST)", "Tue Nov 24 05:30:00 2026", "2026-11-24T09:00:00Z",
		"20261124090000" },
	{ "UTC", -1, "Wed, 31 Dec 1969 23:59:59 +0000 (UTC)", "Wed Dec 31 23:59:59 1969", "1969-12-31T23:59:59Z",
		"19691231235959" },
};

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

		setenv("TZ", rows[i].zone, 1);
		tzset();
		date_rfc5322(&a, rows[i].us);
		date_asctime(&b, rows[i].us);
		date_rfc3339(&c, rows[i].us);
		date_compact(&d, rows[i].us);
		is_str(buf_str(&a), str_z(rows[i].rfc5322), rows[i].rfc5322);
		is_str(buf_str(&b), str_z(rows[i].asctime), rows[i].asctime);
		is_str(buf_str(&c), str_z(rows[i].rfc3339), rows[i].rfc3339);
		is_str(buf_str(&d), str_z(rows[i].compact), rows[i].compact);
		buf_done(&a);
		buf_done(&b);
		buf_done(&c);
		buf_done(&d);
	}
	return done_testing();
}

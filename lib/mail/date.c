/* lib/mail/date.c - dates in the spellings that mail needs; names are English whatever the locale says. */
#include "lib/mail/date.h"

#include <stdlib.h>
#include <time.h>

#define US_PER_S 1000000

static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* Whole seconds, rounded down also before 1970. */
static time_t seconds(int64_t wall_us)
{
	return (time_t)(wall_us / US_PER_S - (wall_us % US_PER_S < 0 ? 1 : 0));
}

void date_rfc5322(struct buf *out, int64_t wall_us)
{
	time_t t = seconds(wall_us);
	struct tm tm;
	long zone, minutes;

	localtime_r(&t, &tm);
	zone = tm.tm_gmtoff;
	minutes = labs(zone) / 60;
	buf_addf(out, "%s, %02d %s %d %02d:%02d:%02d %c%02ld%02ld (%s)", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
		tm.tm_hour, tm.tm_min, tm.tm_sec, zone < 0 ? '-' : '+', minutes / 60, minutes % 60, tm.tm_zone);
}

void date_asctime(struct buf *out, int64_t wall_us)
{
	time_t t = seconds(wall_us);
	struct tm tm;

	localtime_r(&t, &tm);
	buf_addf(out, "%s %s %2d %02d:%02d:%02d %d", days[tm.tm_wday], months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		tm.tm_year + 1900);
}

void date_rfc3339(struct buf *out, int64_t wall_us)
{
	time_t t = seconds(wall_us);
	struct tm tm;

	gmtime_r(&t, &tm);
	buf_addf(out, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void date_compact(struct buf *out, int64_t wall_us)
{
	time_t t = seconds(wall_us);
	struct tm tm;

	gmtime_r(&t, &tm);
	buf_addf(out, "%04d%02d%02d%02d%02d%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

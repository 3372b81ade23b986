/* t/fuzz/fuzz_mta_sts.c - MTA-STS policies from web servers: what is accepted keeps within bounds, and is read again the same from a cache. */
#include "lib/mail/mta_sts.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = fuzz_str(data, size), id;
	struct arena *a = arena_new("fuzz");
	struct mta_sts p;
	const char *why = NULL;

	if (mta_sts_record(text, &id))
		check(id.n > 0 && id.n <= 32);
	if (mta_sts_policy(a, text, &p, &why)) {
		check(p.mx_count <= MTA_STS_MX_MAX && p.max_age <= MTA_STS_AGE_MAX);
		check(p.mx_count > 0 || p.mode == MTA_STS_NONE);
		for (size_t i = 0; i < p.mx_count; i++)
			check(p.mx[i].n > 0 && str_any(p.mx[i], " \t\r\n") < 0);
		(void)mta_sts_lists(&p, text);
	} else {
		check(why != NULL);
	}
	arena_free(a);
	return 0;
}

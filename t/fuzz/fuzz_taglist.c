/* t/fuzz/fuzz_taglist.c - tag lists, and DMARC records, which are read more leniently. */
#include "lib/mail/dmarc.h"
#include "lib/mail/taglist.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = fuzz_str(data, size), address;
	struct arena *a = arena_new("fuzz");
	struct taglist l;
	struct dmarc_record r;
	const char *why;
	uint64_t limit;

	if (taglist_parse(text, &l, &why)) {
		check(l.count > 0 && l.count <= TAGS_MAX && why == NULL);
		for (size_t i = 0; i < l.count; i++) {
			const char *name = arena_z(a, l.tags[i].name);

			check(taglist_has(&l, name) && str_eq(taglist_get(&l, name), l.tags[i].value));
			check(str_any(taglist_plain(&l, name, a), " \t\r\n") < 0);
		}
	} else {
		check(why != NULL);
	}
	if (dmarc_record_parse(text, &r)) {
		check(dmarc_record_selects(text) && r.pct <= 100 && r.p <= DMARC_REJECT && r.sp <= DMARC_REJECT && r.np <= DMARC_REJECT);
		while ((address = dmarc_report_address(&r.rua, &limit)).n > 0)
			check(str_chr(address, '@') > 0);
	}
	arena_free(a);
	return 0;
}

/* t/fuzz/fuzz_master_cf.c - any text as master.cf: must end in rows or in an error. */
#include <stddef.h>
#include <stdint.h>

#include "lib/conf/master_cf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz");
	struct service_row *rows;
	size_t count;
	struct err e;

	(void)master_cf_parse("master.cf", str_n((const char *)data, size), a, &rows, &count, &e);
	arena_free(a);
	return 0;
}

/* t/fuzz/fuzz_main_cf.c - any text as main.cf: must end in a configuration or in an error. */
#include <stddef.h>
#include <stdint.h>

#include "lib/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e;
	struct conf *c = conf_parse(str_n((const char *)data, size), NULL, 0, NULL, NULL, &e);

	conf_free(c);
	return 0;
}

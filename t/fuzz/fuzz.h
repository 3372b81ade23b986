/* t/fuzz/fuzz.h - what every libFuzzer target shares. Targets assert with check(): a broken promise is a crash the fuzzer keeps. */
#ifndef GATEPOST_T_FUZZ_FUZZ_H
#define GATEPOST_T_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct str fuzz_str(const uint8_t *data, size_t size)
{
	return str_n((const char *)data, size);
}

#endif

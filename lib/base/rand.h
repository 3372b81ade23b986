/* lib/base/rand.h - unpredictable numbers from the kernel. */
#ifndef GATEPOST_LIB_BASE_RAND_H
#define GATEPOST_LIB_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *p, size_t n);
uint64_t rand_u64(void);
uint64_t rand_below(uint64_t limit); /* uniform in [0, limit); limit > 0 */

#endif

/* lib/conf/value.h - numbers as main.cf writes them; for lib/conf itself. */
#ifndef GATEPOST_LIB_CONF_VALUE_H
#define GATEPOST_LIB_CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

bool value_parse_size(struct str s, int64_t *out); /* "50m": octets */
bool value_parse_int(struct str s, int64_t *out);

#endif

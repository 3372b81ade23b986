/* lib/base/json.h - writing JSON. */
#ifndef GATEPOST_LIB_BASE_JSON_H
#define GATEPOST_LIB_BASE_JSON_H

#include "lib/base/str.h"

/* A string with its quotes. Bytes that are no UTF-8 become U+FFFD. */
void json_add_string(struct buf *b, struct str s);
/* `"name": "value"` and `"name": 5` behind what is in b, with a comma unless an object or array was just begun. */
void json_add_member(struct buf *b, const char *name, struct str value);
void json_add_number(struct buf *b, const char *name, int64_t value);
/* The value of a string member of a flat object that we wrote: unescaped, in out. False: there is none. */
bool json_get_string(struct str object, const char *name, struct buf *out);
bool json_get_number(struct str object, const char *name, int64_t *out);

#endif

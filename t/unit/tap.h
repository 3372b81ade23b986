/* t/unit/tap.h - the few calls C unit tests need to speak TAP; every file under test has its program in t/unit. */
#ifndef GATEPOST_T_UNIT_TAP_H
#define GATEPOST_T_UNIT_TAP_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"

bool ok(bool cond, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool is_str(struct str got, struct str want, const char *name);
bool is_int(long long got, long long want, const char *name);
void diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void skip_all(const char *why) __attribute__((noreturn));
int done_testing(void); /* main() returns this */

#endif

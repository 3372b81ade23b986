/* lib/base/format.h - vsnprintf() for the directives that nearly all of our texts are made of, several times faster than the C library's:
 * %s %.*s %c %d %i %u %x with l, ll, z and a zero-padded width of one digit. What else there is the library does.
 */
#ifndef GATEPOST_LIB_BASE_FORMAT_H
#define GATEPOST_LIB_BASE_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* At most room octets, the last of them NUL. Returns the length that the whole text has, or -1 as vsnprintf(). */
int format_text(char *to, size_t room, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

#endif

/* lib/mail/dnsbl.h - "list.example=127.0.0.[2..11;20]": which answers of a DNS list count. Pure. */
#ifndef GATEPOST_LIB_MAIL_DNSBL_H
#define GATEPOST_LIB_MAIL_DNSBL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

struct dnsbl {
	struct str text; /* as configured */
	struct str domain; /* asked below */
	bool filtered;
	uint32_t wanted[4][8]; /* per octet of the answer: a bit for each value that counts */
};

/* False: bad syntax; *why is static text. */
bool dnsbl_parse(struct str text, struct dnsbl *out, const char **why);
bool dnsbl_counts(const struct dnsbl *d, const unsigned char address[4]);

#endif

/* policyd/access_keys.h - what is looked up in an access table, in which order (access(5)). Pure; lists live in the arena. */
#ifndef GATEPOST_POLICYD_ACCESS_KEYS_H
#define GATEPOST_POLICYD_ACCESS_KEYS_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

struct access_keys {
	struct str *list; /* list[0] is the whole thing: the only key for pattern tables */
	size_t count;
};

/* a.b.c, then its parents b.c and c; with a leading dot each unless parents_plain. Addresses and literals have no parents. */
struct access_keys access_host_keys(struct arena *a, struct str name, bool parents_plain);
/* 1.2.3.4, 1.2.3, 1.2, 1; 2001:db8::1, 2001:db8:, 2001:db8, 2001. */
struct access_keys access_ip_keys(struct arena *a, struct str ip);
/* user+ext@domain, user@domain, domain and parents, user+ext@, user@. The address has a domain; its local part is unquoted. */
struct access_keys access_mail_keys(struct arena *a, struct str address, const char *delimiters, bool parents_plain);

#endif

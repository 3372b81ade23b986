/* policyd/check_access.h - a table as the checks of this family see it. */
#ifndef GATEPOST_POLICYD_CHECK_ACCESS_H
#define GATEPOST_POLICYD_CHECK_ACCESS_H

#include "policyd/access_keys.h"
#include "policyd/checks.h"

struct access {
	struct str spec; /* "hash:/etc/gatepost/access" */
	struct table *table;
	struct str *order; /* check_ccert_access: which keys; order_count 0: the usual ones */
	size_t order_count;
};

/* Ask for the keys in order (a pattern table: for the first). True when the table had an answer or failed: *v has it. Suspends. */
bool access_lookup(const struct access *access, struct request *r, struct access_keys keys, struct verdict *v);
/* Whoever controls the name behind `subject` must not permit himself: OK from such a table is a configuration error. */
void access_forbid_permit(const struct rule *rule, struct str subject, struct verdict *v);

#endif

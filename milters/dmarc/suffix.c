/* milters/dmarc/suffix.c - the Public Suffix List, through libpsl. */
#include <libpsl.h>

#include "milters/dmarc/dmarc.h"

void *suffixes_open(const char *file)
{
	return *file == '\0' ? psl_latest(NULL) : psl_load_file(file);
}

void suffixes_close(void *list)
{
	psl_free(list);
}

struct str suffixes_org_domain(void *list, struct str domain)
{
	struct buf z = { 0 };
	const char *found;
	struct str org = domain;

	buf_add(&z, domain);
	found = psl_registrable_domain(list, buf_z(&z));
	if (found != NULL)
		org = str_skip(domain, domain.n - strlen(found));
	buf_done(&z);
	return org;
}

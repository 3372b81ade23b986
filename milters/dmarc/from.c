/* milters/dmarc/from.c - the domains a message says it is from. All From fields and all addresses in them count: which one a reader will be
 * shown is not known.
 */
#include <idn2.h>

#include "lib/base/utf8.h"
#include "lib/mail/addr.h"
#include "lib/mail/header.h"
#include "milters/dmarc/dmarc.h"

struct str domain_normal(struct arena *a, struct str domain)
{
	struct str lower = arena_lower(a, domain);
	char *alabels = NULL;

	if (lower.n > 0 && lower.p[lower.n - 1] == '.')
		lower.n--;
	if (!utf8_ascii(lower) && utf8_valid(lower) &&
		idn2_to_ascii_8z(arena_z(a, lower), &alabels, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) == IDN2_OK)
		lower = arena_lower(a, str_z(alabels));
	idn2_free(alabels);
	return addr_hostname_valid(lower) ? lower : STR_NONE;
}

static const char *add(struct from_domains *out, struct arena *a, struct str address)
{
	struct str domain = domain_normal(a, addr_split(address).domain);

	if (domain.n == 0)
		return "From has an address without a domain";
	for (size_t i = 0; i < out->count; i++)
		if (str_eq(out->domains[i], domain))
			return NULL;
	if (out->count == FROM_DOMAINS_MAX)
		return "From has too many domains";
	out->domains[out->count++] = domain;
	return NULL;
}

static const char *add_field(struct from_domains *out, struct arena *a, struct str value)
{
	struct str *addresses;
	size_t count = header_addresses(a, value, &addresses);
	const char *problem = count == 0 ? "From has no address" : NULL;

	for (size_t i = 0; i < count && problem == NULL; i++)
		problem = add(out, a, addresses[i]);
	return problem;
}

void from_read(struct mail *m, struct from_domains *out)
{
	bool any = false;

	*out = (struct from_domains){ 0 };
	if (m->too_large)
		out->problem = "more header than is looked at";
	for (const struct field *f = m->fields; f != NULL && out->problem == NULL; f = f->next) {
		if (!str_eqiz(str_trim(f->name), "From"))
			continue;
		any = true;
		out->problem = add_field(out, m->life, f->value);
	}
	if (!any && out->problem == NULL)
		out->problem = "no From";
}

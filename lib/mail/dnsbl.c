/* lib/mail/dnsbl.c - DNS list specifications. */
#include "lib/mail/dnsbl.h"

#include <string.h>

static bool parse_octet(struct str s, unsigned *out)
{
	uint64_t n;

	if (!str_to_u64(s, 255, &n))
		return false;
	*out = (unsigned)n;
	return true;
}

/* "7" or "2..11" into one octet's set. */
static bool add_range(uint32_t set[8], struct str range)
{
	ptrdiff_t dots = str_find(range, STR(".."));
	unsigned from, to;

	if (!parse_octet(dots < 0 ? range : str_sub(range, 0, (size_t)dots), &from))
		return false;
	to = from;
	if (dots >= 0 && !parse_octet(str_skip(range, (size_t)dots + 2), &to))
		return false;
	for (unsigned i = from; i <= to; i++)
		set[i / 32] |= UINT32_C(1) << i % 32;
	return from <= to;
}

/* One octet of the filter off the front of *rest: a number, or [a;b..c]. */
static bool cut_octet(struct str *rest, uint32_t set[8], bool last)
{
	struct str ranges;

	if (rest->n == 0 || rest->p[0] != '[')
		return add_range(set, str_cut(rest, '.'));
	if (str_chr(*rest, ']') < 0)
		return false;
	*rest = str_skip(*rest, 1);
	ranges = str_cut(rest, ']');
	if (!last && (rest->n == 0 || rest->p[0] != '.'))
		return false;
	*rest = str_skip(*rest, last ? 0 : 1);
	do {
		if (!add_range(set, str_cut(&ranges, ';')))
			return false;
	} while (ranges.n > 0);
	return true;
}

bool dnsbl_parse(struct str text, struct dnsbl *out, const char **why)
{
	struct str rest = text;

	memset(out, 0, sizeof *out);
	out->text = text;
	out->domain = str_cut(&rest, '=');
	*why = "no domain name";
	if (out->domain.n == 0)
		return false;
	out->filtered = out->domain.n < text.n;
	*why = "filter is not d.d.d.d with numbers up to 255 or [a;b..c] for d";
	if (!out->filtered)
		return true;
	for (int i = 0; i < 4; i++)
		if (!cut_octet(&rest, out->wanted[i], i == 3))
			return false;
	return rest.n == 0;
}

bool dnsbl_counts(const struct dnsbl *d, const unsigned char address[4])
{
	for (int i = 0; d->filtered && i < 4; i++)
		if ((d->wanted[i][address[i] / 32] >> address[i] % 32 & 1) == 0)
			return false;
	return true;
}

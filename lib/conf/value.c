/* lib/conf/value.c - the small grammars of values: times, sizes, yes and no, lists. */
#include "lib/conf/conf.h"

#include "lib/conf/value.h"

static const struct {
	char letter;
	int64_t seconds;
} time_units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };

static int64_t unit_seconds(char letter)
{
	for (size_t i = 0; i < sizeof time_units / sizeof *time_units; i++)
		if (time_units[i].letter == tolower((unsigned char)letter))
			return time_units[i].seconds;
	return 0;
}

bool conf_parse_time(struct str s, char default_unit, int64_t *ms)
{
	char unit = default_unit;
	uint64_t n;

	s = str_trim(s);
	if (s.n > 1 && isalpha((unsigned char)s.p[s.n - 1])) {
		unit = s.p[s.n - 1];
		s.n--;
	}
	if (unit_seconds(unit) == 0 || !str_to_u64(s, INT32_MAX, &n))
		return false;
	*ms = (int64_t)n * unit_seconds(unit) * 1000;
	return true;
}

bool conf_parse_bool(struct str s, bool *out)
{
	s = str_trim(s);
	if (!str_eqiz(s, "yes") && !str_eqiz(s, "no"))
		return false;
	*out = str_eqiz(s, "yes");
	return true;
}

bool value_parse_size(struct str s, int64_t *out)
{
	unsigned shift = 0;
	uint64_t n;

	s = str_trim(s);
	if (s.n > 1) {
		char c = (char)tolower((unsigned char)s.p[s.n - 1]);

		shift = c == 'k' ? 10 : c == 'm' ? 20 : c == 'g' ? 30 : 0;
		s.n -= shift != 0;
	}
	if (!str_to_u64(s, (uint64_t)INT64_MAX >> shift, &n))
		return false;
	*out = (int64_t)(n << shift);
	return true;
}

bool value_parse_int(struct str s, int64_t *out)
{
	bool negative;
	uint64_t n;

	s = str_trim(s);
	negative = s.n > 1 && s.p[0] == '-';
	if (!str_to_u64(negative ? str_skip(s, 1) : s, INT32_MAX, &n))
		return false;
	*out = negative ? -(int64_t)n : (int64_t)n;
	return true;
}

size_t conf_list(struct arena *a, const char *value, struct str **words)
{
	struct str rest = str_z(value);
	size_t count = 0;

	while (str_word_braced(&rest).n > 0)
		count++;
	*words = arena_alloc(a, (count + 1) * sizeof **words);
	rest = str_z(value);
	for (size_t i = 0; i < count; i++)
		(*words)[i] = str_word_braced(&rest);
	return count;
}

bool conf_list_has(const struct conf *c, const char *name, const char *word)
{
	struct str rest = str_z(conf_str(c, name)), w;

	while ((w = str_word(&rest, ", \t\r\n")).n > 0)
		if (str_eqiz(w, word))
			return true;
	return false;
}

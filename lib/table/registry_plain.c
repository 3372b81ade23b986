/* lib/table/registry_plain.c - the table types that work in any thread of any program, one row each. */
#include "lib/table/registry.h"

static const struct table_type *const plain_types[] = {
	&table_cdb,
	&table_cidr,
	&table_environ,
	&table_fail,
	&table_inline,
	&table_lmdb,
	&table_pcre,
	&table_pipemap,
	&table_randmap,
	&table_regexp,
	&table_static,
	&table_unionmap,
	&table_unix,
};

const struct table_type *table_type_find_plain(struct str name)
{
	for (size_t i = 0; i < sizeof plain_types / sizeof *plain_types; i++)
		if (str_eqz(name, plain_types[i]->name))
			return plain_types[i];
	for (size_t i = 0; i < table_text_type_count; i++)
		if (str_eqz(name, table_text_types[i].name))
			return &table_text_types[i];
	return NULL;
}

size_t table_type_names_plain(const char **names, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < sizeof plain_types / sizeof *plain_types && count < max; i++)
		names[count++] = plain_types[i]->name;
	for (size_t i = 0; i < table_text_type_count && count < max; i++)
		names[count++] = table_text_types[i].name;
	return count;
}

void table_spec_split(struct str spec, struct str *type, struct str *name)
{
	ptrdiff_t colon;

	while (str_starts(spec, STR("proxy:"))) /* every process asks by itself here */
		spec = str_skip(spec, 6);
	colon = str_chr(spec, ':');
	*type = colon < 0 || spec.p[0] == '/' ? STR("hash") : str_sub(spec, 0, (size_t)colon);
	*name = colon < 0 || spec.p[0] == '/' ? spec : str_skip(spec, (size_t)colon + 1);
}

struct table *table_open_plain(struct str spec, const char *conf_dir, struct err *e)
{
	struct str type, name;
	const struct table_type *found;

	table_spec_split(spec, &type, &name);
	found = table_type_find_plain(type);
	if (found != NULL)
		return table_open_type(found, spec, name, conf_dir, e);
	(void)err_perm(e, "table %.*s: there is no table type \"%.*s\" that a milter can use (tables over the network are for daemons)", STRF(spec),
		STRF(type));
	return NULL;
}

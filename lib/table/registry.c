/* lib/table/registry.c - every table type that daemons have: the plain ones, and those that ask over the network. */
#include "lib/net/fiber.h"
#include "lib/table/registry.h"

#define TYPES_MAX 64

static const struct table_type *const network_types[] = {
	&table_ldap,
	&table_pgsql,
	&table_redis,
	&table_socketmap,
	&table_sqlite,
	&table_tcp,
};
#define NETWORK_TYPE_COUNT (sizeof network_types / sizeof *network_types)

void table_offload(void (*fn)(void *), void *arg)
{
	offload(fn, arg);
}

const struct table_type *table_type_find(struct str name)
{
	for (size_t i = 0; i < NETWORK_TYPE_COUNT; i++)
		if (str_eqz(name, network_types[i]->name))
			return network_types[i];
	return table_type_find_plain(name);
}

const char *table_type_remedy(struct str name)
{
	static const struct {
		const char *type, *remedy;
	} foreign[] = { /* Postfix's, beyond ours */
		{ "internal", "it is Postfix's own" },
		{ "memcache", "use redis:" },
		{ "mongodb", "put a server behind socketmap: or tcp:, or write the data to a text file" },
		{ "mysql", "ask by pgsql: or sqlite:, put a server behind socketmap: or tcp:, or write the data to a text file" },
		{ "netinfo", "write the data to a text file" },
		{ "nis", "write the data to a text file" },
		{ "nisplus", "write the data to a text file" },
	};

	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
		if (str_eqz(name, foreign[i].type))
			return foreign[i].remedy;
	return "gatepost -V lists the types";
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t table_type_names(const char *const **names)
{
	static const char *list[TYPES_MAX];
	static size_t count;

	if (count == 0) {
		count = table_type_names_plain(list, TYPES_MAX - NETWORK_TYPE_COUNT);
		for (size_t i = 0; i < NETWORK_TYPE_COUNT; i++)
			list[count++] = network_types[i]->name;
		qsort(list, count, sizeof *list, name_compare);
	}
	*names = list;
	return count;
}

static struct table *refuse(struct str spec, struct str type, struct err *e)
{
	const char *const *names;
	struct buf known = { 0 };
	struct str list;
	size_t count = table_type_names(&names);

	for (size_t i = 0; i < count; i++)
		buf_addf(&known, "%s%s", i > 0 ? " " : "", names[i]);
	list = buf_str(&known);
	(void)err_perm(e, "table %.*s: unknown table type \"%.*s\" (there are: %.*s): %s", STRF(spec), STRF(type), STRF(list),
		table_type_remedy(type));
	buf_done(&known);
	return NULL;
}

struct table *table_open(struct str spec, const char *conf_dir, struct err *e)
{
	struct str type, name;
	const struct table_type *found;

	table_spec_split(spec, &type, &name);
	found = table_type_find(type);
	return found != NULL ? table_open_type(found, spec, name, conf_dir, e) : refuse(spec, type, e);
}

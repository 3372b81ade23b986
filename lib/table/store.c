/* lib/table/store.c - which table types can be listed and made. */
#include "lib/table/store.h"

#include "lib/table/registry.h"

const struct table_store *table_store_find(struct str type)
{
	static const struct table_store *const stores[] = { &table_cdb_store, &table_inline_store, &table_lmdb_store };

	for (size_t i = 0; i < sizeof stores / sizeof *stores; i++)
		if (str_eqz(type, stores[i]->type->name))
			return stores[i];
	for (size_t i = 0; i < table_text_type_count; i++)
		if (str_eqz(type, table_text_types[i].name))
			return &table_text_store;
	return NULL;
}

/* lib/service/smtpd_rows.c - main.cf, read once more for each row of master.cf that runs smtpd with settings of its own. */
#include "lib/service/smtpd_rows.h"

#include <string.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/conf/master_cf.h"
#include "lib/service/service.h"

/* By the row's name. NULL: there are none. */
static struct map *rows;

static void add_row(const struct service_row *row, void *(*make)(const struct conf *row))
{
	struct err e = ERR_INIT;
	const struct conf *c = service_conf_with(row->overrides, row->override_count, &e);
	void *made;

	if (c == NULL) { /* its smtpd cannot run either */
		log_warn("master.cf:%d: service %s: %s", row->line, row->name, e.text);
		return;
	}
	made = make(c);
	if (made != NULL)
		(void)map_put(rows, str_z(row->name), made);
}

static bool has_own_settings(const struct service_row *row)
{
	return row->override_count > 0 && (strcmp(row->command, "smtpd") == 0 || strcmp(row->command, "postscreen") == 0);
}

/* Without a master.cf there is no smtpd that could ask. */
void smtpd_rows_load(const struct conf *c, void *(*make)(const struct conf *row))
{
	struct arena *a = arena_new("smtpd rows");
	struct err e = ERR_INIT;
	struct service_row *all = NULL;
	size_t count = 0;

	rows = map_new();
	if (master_cf_load(conf_dir(c), a, &all, &count, &e) == 0)
		master_cf_join_postscreen(a, all, count, conf_str(c, "smtpd_service_name"));
	for (size_t i = 0; i < count; i++)
		if (has_own_settings(&all[i]) && map_get(rows, str_z(all[i].name)) == NULL)
			add_row(&all[i], make);
	arena_free(a);
}

void *smtpd_row(struct str name)
{
	return rows != NULL && name.n > 0 ? map_get(rows, name) : NULL;
}

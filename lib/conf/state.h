/* lib/conf/state.h - what a configuration looks like inside; for lib/conf itself. */
#ifndef GATEPOST_LIB_CONF_STATE_H
#define GATEPOST_LIB_CONF_STATE_H

#include "lib/base/map.h"
#include "lib/conf/conf.h"

enum value_progress { VALUE_NEW, VALUE_BUSY, VALUE_DONE };

struct value {
	const char *name;
	const struct param *param; /* NULL: not declared */
	const struct param_family *family; /* "<service>_<suffix>", else NULL */
	const char *raw; /* as written */
	const char *source; /* "/etc/gatepost/main.cf:12", "master.cf -o", "default" */
	const char *text; /* expanded */
	int64_t number; /* INT, SIZE; TIME in milliseconds; BOOL */
	bool set; /* by main.cf or -o */
	unsigned order; /* of being set: complaints come in file order */
	enum value_progress progress;
};

struct conf {
	struct arena *life;
	const char *dir;
	struct map *values; /* name -> struct value */
	conf_report_fn *report;
	void *report_ctx;
	struct err *e; /* while loading: takes the first problem */
	bool failed;
	unsigned settings; /* read so far */
};

/* Tell the caller of conf_load; a fatal problem also makes it fail. */
void conf_problem(struct conf *c, bool fatal, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* names.c: complain of set names that nobody knows. main_text and master_text are searched for $name references. */
void conf_check_names(struct conf *c, struct str main_text, struct str master_text);

/* evaluate.c: expand and check v and what it refers to. */
void conf_evaluate(struct conf *c, struct value *v);

/* host.c: defaults that depend on the host. False: name is not such a parameter. */
bool conf_host_default(struct conf *c, const char *name, struct buf *out);

#endif

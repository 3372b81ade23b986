/* mta/local/names.c - $user, $home, $extension and their kin in forward_path, luser_relay and command_execution_directory. */
#include <string.h>

#include "mta/local/local.h"

struct names {
	struct arena *a;
	const struct local_name *n;
	const struct identity *user;
	struct str recipient;
	const char *filter;
	bool extension; /* asked for */
};

struct str filter_text(struct arena *a, struct str s, const char *filter)
{
	char *copy = arena_z(a, s);

	for (size_t i = 0; filter != NULL && i < s.n; i++) {
		if (copy[i] == '\0' || strchr(filter, copy[i]) == NULL)
			copy[i] = '_';
	}
	return str_n(copy, s.n);
}

static const char *find(void *ctx, struct str name)
{
	struct names *v = ctx;
	const struct {
		const char *name;
		struct str value;
	} rows[] = {
		{ "domain", v->n->domain },
		{ "extension", v->n->ext },
		{ "home", str_z(v->user->home) },
		{ "local", v->n->full },
		{ "mailbox", v->n->full },
		{ "recipient", v->recipient },
		{ "recipient_delimiter", str_n(&v->n->delimiter, v->n->delimiter != '\0' ? 1 : 0) },
		{ "shell", str_z(v->user->shell) },
		{ "user", v->n->base },
	};

	v->extension |= str_eqz(name, "extension") && v->n->ext.n > 0;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (str_eqz(name, rows[i].name))
			return filter_text(v->a, rows[i].value, v->filter).p;
	}
	return conf_lookup(cfg.conf, name);
}

int expand_names(struct arena *a, struct str raw, const struct local_name *n, const struct identity *user, struct str recipient,
	const char *filter, struct expanded *out, struct err *e)
{
	struct names names = { a, n, user, recipient, filter, false };
	struct buf b = { 0 };
	int r = conf_expand_whole(raw, find, &names, &b, &out->whole, e);

	out->text = arena_dup(a, buf_str(&b));
	out->extension = names.extension;
	buf_done(&b);
	return r;
}

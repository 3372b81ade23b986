/* milters/common/mail.c - one message: its header fields, kept as they are on the wire until all are there. */
#include "lib/base/mem.h"
#include "milters/common/milter.h"

#define HEADER_MAX (4UL * 1024 * 1024) /* octets of header kept; Gatepost's header_size_limit is far below */
#define FIELDS_MAX 10000

struct mail *mail_new(struct settings *s, void *ctx)
{
	struct arena *life = arena_new("milter message");
	struct mail *m = arena_alloc(life, sizeof *m);

	m->life = life;
	m->set = s;
	m->ctx = ctx;
	m->last = &m->fields;
	m->queue_id = "";
	return m;
}

void mail_free(struct mail *m)
{
	if (m == NULL)
		return;
	if (m->set->role->forget != NULL)
		m->set->role->forget(m);
	settings_put(m->set);
	arena_free(m->life);
}

/* The MTA told the value with LF folds, and maybe without one blank (never a tab) behind the colon. */
static void wire_form(const struct mail *m, struct str name, struct str value, char *out, struct field *f)
{
	char *p = out;

	memcpy(p, name.p, name.n);
	p += name.n;
	*p++ = ':';
	if (!m->lead_space && !(value.n > 0 && value.p[0] == '\t'))
		*p++ = ' ';
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '\n' && p[-1] != '\r')
			*p++ = '\r';
		*p++ = value.p[i];
	}
	f->text = str_n(out, (size_t)(p - out));
	f->name = str_sub(f->text, 0, name.n);
	f->value = str_skip(f->text, name.n + 1);
}

void mail_add_field(struct mail *m, const char *name_z, const char *value_z)
{
	struct str name = str_z(name_z), value = str_z(value_z);
	size_t folds = 0;
	struct field *f;

	m->header_size += name.n + value.n + 3;
	if (m->header_size > HEADER_MAX || m->field_count >= FIELDS_MAX) {
		m->too_large = true;
		return;
	}
	for (size_t i = 0; i < value.n; i++)
		folds += value.p[i] == '\n';
	f = arena_alloc(m->life, sizeof *f);
	wire_form(m, name, value, arena_alloc(m->life, name.n + value.n + folds + 3), f);
	*m->last = f;
	m->last = &f->next;
	m->field_count++;
}

const struct field *mail_field(const struct mail *m, const char *name, size_t n)
{
	for (const struct field *f = m->fields; f != NULL; f = f->next)
		if (str_eqiz(f->name, name) && --n == 0)
			return f;
	return NULL;
}

size_t mail_count(const struct mail *m, const char *name)
{
	size_t n = 0;

	for (const struct field *f = m->fields; f != NULL; f = f->next)
		n += str_eqiz(f->name, name);
	return n;
}

/* milters/dkim/message.c - one message: its header fields, kept until all are there, and the libopendkim handles that work on it. */
#include "lib/base/mem.h"
#include "milters/dkim/dkim.h"

#define HEADER_MAX (4UL * 1024 * 1024) /* octets of header kept; Gatepost's header_size_limit is far below */
#define FIELDS_MAX 10000

struct message *message_new(struct policy *p)
{
	struct arena *life = arena_new("dkim message");
	struct message *m = arena_alloc(life, sizeof *m);

	m->life = life;
	m->policy = p;
	m->last = &m->fields;
	m->queue_id = "";
	return m;
}

void message_free(struct message *m)
{
	if (m == NULL)
		return;
	if (m->verify != NULL)
		dkim_free(m->verify);
	for (size_t i = 0; i < m->sign_count; i++)
		if (m->sign[i] != NULL)
			dkim_free(m->sign[i]);
	for (size_t i = 0; i < m->check_count; i++) {
		txt_done(m->checks[i].query);
		buf_done(&m->checks[i].key);
	}
	policy_put(m->policy);
	arena_free(m->life);
}

void message_add_field(struct message *m, const char *name, const char *value)
{
	struct field *f;

	m->header_size += strlen(name) + strlen(value) + 3;
	if (m->header_size > HEADER_MAX || m->field_count >= FIELDS_MAX) {
		m->too_large = true;
		return;
	}
	f = arena_alloc(m->life, sizeof *f);
	f->name = arena_z(m->life, str_z(name));
	f->value = arena_z(m->life, str_z(value));
	*m->last = f;
	m->last = &f->next;
	m->field_count++;
}

/* The field as it is on the wire: the MTA told it with LF folds, and maybe without one blank (never a tab) behind the colon. */
static void wire_form(const struct message *m, const struct field *f, struct buf *out)
{
	buf_clear(out);
	buf_addf(out, "%s:%s", f->name, m->lead_space || *f->value == '\t' ? "" : " ");
	for (const char *p = f->value; *p != '\0'; p++) {
		if (*p == '\n' && out->p[out->n - 1] != '\r')
			buf_addc(out, '\r');
		buf_addc(out, *p);
	}
}

void message_feed_header(struct message *m, DKIM *d)
{
	struct buf wire = { 0 };

	for (const struct field *f = m->fields; f != NULL; f = f->next) {
		wire_form(m, f, &wire);
		(void)dkim_header(d, (unsigned char *)wire.p, wire.n);
	}
	buf_done(&wire);
}

const struct field *message_field(const struct message *m, const char *name, size_t n)
{
	for (const struct field *f = m->fields; f != NULL; f = f->next)
		if (str_eqiz(str_z(f->name), name) && --n == 0)
			return f;
	return NULL;
}

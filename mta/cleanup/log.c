/* mta/cleanup/log.c - the parts of log lines that say whose message it is. */
#include "lib/mail/addr.h"
#include "mta/cleanup/cleanup.h"

void log_client(const struct mail *x, struct buf *out)
{
	const struct queue_client *c = &x->m.client;

	if (c->addr.n == 0) {
		buf_addz(out, (x->m.flags & QUEUE_LOCAL) != 0 || x->non_smtp ? "local" : "unknown");
		return;
	}
	buf_add_safe(out, c->name.n > 0 ? c->name : STR("unknown"));
	buf_addc(out, '[');
	buf_add_safe(out, c->addr);
	buf_addc(out, ']');
}

static void add_address(const struct mail *x, const char *name, struct str address, struct buf *out)
{
	struct str quoted = addr_log(x->life, address);

	buf_addz(out, name);
	buf_addz(out, "=<");
	buf_add_safe(out, quoted);
	buf_addc(out, '>');
}

void log_parties(const struct mail *x, struct buf *out)
{
	add_address(x, "from", x->m.sender, out);
	if (x->last_rcpt.n > 0)
		add_address(x, " to", x->last_rcpt, out);
}

void log_envelope(const struct mail *x, struct buf *out)
{
	const struct queue_client *c = &x->m.client;

	log_parties(x, out);
	if (c->proto.n > 0) {
		buf_addz(out, " proto=");
		buf_add_safe(out, c->proto);
	}
	if (c->helo.n > 0) {
		buf_addz(out, " helo=<");
		buf_add_safe(out, c->helo);
		buf_addc(out, '>');
	}
}

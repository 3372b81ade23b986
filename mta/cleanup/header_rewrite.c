/* mta/cleanup/header_rewrite.c - addresses in header fields: completed for our own clients, then through context and maps. */
#include "lib/mail/header_edit.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

struct rewriting {
	struct mail *x;
	enum map_class what;
};

static int rewrite_one(struct header_edit *ed, struct str *address)
{
	struct rewriting *r = ed->ctx;
	struct mail *x = r->x;

	if (rewrite_address(x, address, (x->req.flags & CLEANUP_FIX_HEADERS) != 0) < 0)
		return -1;
	return map_canonical(x, address, r->what);
}

bool header_rewrite(struct mail *x, struct str name, struct str value, struct str *out)
{
	enum header_parties parties = header_parties(name);
	struct rewriting r = { x, parties == HEADER_SENDERS ? MAP_HEADER_SENDER : MAP_HEADER_RCPT };
	struct header_edit ed = { .life = x->life, .edit = rewrite_one, .ctx = &r };

	if (parties == HEADER_NEITHER || ((x->req.flags & CLEANUP_FIX_HEADERS) == 0 && set->remote_domain[0] == '\0'))
		return false;
	return header_edit(&ed, name, value, out) > 0;
}

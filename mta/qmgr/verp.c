/* mta/qmgr/verp.c - variable envelope return paths: the recipient is part of the sender, so that a bounce tells whom it is about. */
#include "lib/mail/addr.h"
#include "mta/qmgr/qmgr.h"

bool verp_wanted(const struct message *m)
{
	return m->m.verp.n == 2 && m->m.sender.n > 0;
}

/* "list@own.test" for "joe@far.test" is "list+joe=far.test@own.test". The original recipient is the one that is subscribed. */
struct str verp_sender(const struct message *m, const struct queue_rcpt *rcpt)
{
	struct addr sender = addr_split(m->m.sender), to = addr_split(rcpt->orig.n > 0 ? addr_unquote(m->life, rcpt->orig) : rcpt->addr);

	return arena_printf(m->life, "%.*s%c%.*s%c%.*s%s%.*s", STRF(sender.local), m->m.verp.p[0], STRF(to.local), m->m.verp.p[1],
		STRF(to.domain), sender.domain.n > 0 ? "@" : "", STRF(sender.domain));
}

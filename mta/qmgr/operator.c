/* mta/qmgr/operator.c - what the operator wants of a message that is in our hands: its file was deleted, or marked to be held or requeued.
 * Deliveries that run come to their end, so that nothing is delivered twice; none is started any more.
 */
#include "mta/qmgr/qmgr.h"

#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"

struct order {
	mode_t mark;
	const char *dir, *what; /* where the message goes, and what the log says */
};

static const struct order orders[] = {
	{ QUEUE_MODE_HOLD, "hold", "placed on hold" },
	{ QUEUE_MODE_REQUEUE, "maildrop", "requeued" },
};

static const struct order *find_order(int fd, bool *gone)
{
	struct stat st;

	*gone = false;
	if (fstat(fd, &st) < 0)
		return NULL; /* goes on as usual */
	*gone = st.st_nlink == 0;
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
		if (st.st_mode & orders[i].mark)
			return &orders[i];
	return NULL;
}

const char *operator_place(int fd, const char *id, char place[OPERATOR_PLACE_MAX])
{
	bool gone;
	const struct order *o = find_order(fd, &gone);

	if (o == NULL)
		return NULL;
	(void)snprintf(place, OPERATOR_PLACE_MAX, "%s/%s", o->dir, id);
	return o->what;
}

void operator_obeyed(int fd, const char *id, const char *what)
{
	(void)queue_unmark(fd); /* whoever takes it from there drops the mark as well */
	log_info("%s: %s", id, what);
	queue_wake_pickup();
}

bool operator_has(int fd)
{
	bool gone;

	return find_order(fd, &gone) != NULL || gone;
}

bool operator_stops(struct batch *b)
{
	struct message *m = b->peer->job->msg;
	bool gone;
	const struct order *o = find_order(m->fd, &gone);

	for (size_t i = 0; (gone || o != NULL) && i < b->count; i++) {
		if (gone)
			active_settle(m, b->rcpts[i], FATE_SAME);
		else
			recipient_defer(m, b->rcpts[i], CODE(451, 4, 3, 2), str_z(o->what));
	}
	return gone || o != NULL;
}

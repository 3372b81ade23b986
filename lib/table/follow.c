/* lib/table/follow.c - the state of a file, compared. */
#include "lib/table/follow.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

#define LOOK_EVERY_MS 1000

int follow_note(struct follow *f)
{
	struct stat st;

	f->looked_at = clock_mono_ms();
	if (stat(f->path, &st) < 0)
		return -1;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->size = st.st_size;
	f->changed = st.st_ctim; /* also after chmod, and when the time of modification was put back */
	return 0;
}

bool follow_due(struct follow *f)
{
	int64_t now = clock_mono_ms();

	if (now - f->looked_at < LOOK_EVERY_MS)
		return false;
	f->looked_at = now;
	return true;
}

bool follow_changed(const struct follow *f)
{
	struct stat st;

	if (stat(f->path, &st) < 0)
		return false;
	return st.st_dev != f->dev || st.st_ino != f->ino || st.st_size != f->size || st.st_ctim.tv_sec != f->changed.tv_sec ||
		st.st_ctim.tv_nsec != f->changed.tv_nsec;
}

bool follow_in_place(const struct follow *f)
{
	struct stat st;

	return stat(f->path, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino;
}

void follow_complain(const struct follow *f, const struct err *e)
{
	log_warn("table file \"%s\" has changed but cannot be used, the old content stays in force: %s%s", f->path, e->text,
		access(f->path, R_OK) < 0 && errno == EACCES ? "; \"gatepost reload\" reads it as root, or let mail_owner read it" : "");
}

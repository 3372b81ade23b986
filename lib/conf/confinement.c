/* lib/conf/confinement.c - from the configuration to what a process may still do. */
#include "lib/conf/confinement.h"

#include "lib/base/confine.h"
#include "lib/base/fs.h"
#include "lib/conf/queue_dirs.h"

int conf_confine(const struct conf *c, const char *queue_dir, const char *const *own, bool connects_from, struct err *e)
{
	const char *mail[QUEUE_DIRS + 1];
	struct str log = str_z(conf_str(c, "maillog_file"));
	ptrdiff_t slash = str_rchr(log, '/');
	struct buf log_dir = { 0 }; /* a log that was rotated is made anew */
	const char *writable[] = { conf_str(c, "data_directory"), NULL, NULL };
	struct confinement set = { .queue_dir = queue_dir, .secret = mail, .own = own, .writable = writable, .connects_from = connects_from };
	int rc;

	if (!conf_bool(c, "process_confinement"))
		return 0;
	queue_mail_dirs(mail);
	if (queue_dir == NULL && fs_exists(conf_str(c, "queue_directory")))
		set.queue_dir = conf_str(c, "queue_directory");
	buf_add(&log_dir, str_sub(log, 0, slash > 0 ? (size_t)slash : 0));
	if (log_dir.n > 0 && !str_starts(buf_str(&log_dir), STR("/dev")))
		writable[1] = buf_z(&log_dir);
	rc = confine(&set, e);
	buf_done(&log_dir);
	return rc < 0 ? err_context(e, "process_confinement") : 0;
}

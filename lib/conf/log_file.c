/* lib/conf/log_file.c - may and can maillog_file be written? */
#include "lib/conf/log_file.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/mem.h"

static bool below_one_of(struct str path, const char *prefixes)
{
	struct str rest = str_z(prefixes), prefix;

	while ((prefix = str_word(&rest, ", \t\r\n")).n > 0) {
		struct str behind = str_skip(path, prefix.n);

		if (str_starts(path, prefix) && (behind.n == 0 || behind.p[0] == '/' || str_ends(prefix, STR("/"))))
			return str_find(path, STR("/../")) < 0;
	}
	return false;
}

static int look_at_directory(const char *file, struct err *e)
{
	char *copy = mem_strdup(file);
	const char *dir = dirname(copy);
	struct stat st;
	int result = 0;

	if (stat(dir, &st) < 0)
		result = errno == ENOENT ? err_perm(e, "there is no directory %s: create it", dir) : err_errno(e, errno, "%s", dir);
	mem_free(copy);
	return result;
}

int conf_check_log(const struct conf *c, struct err *e)
{
	const char *file = conf_str(c, "maillog_file"), *prefixes = conf_str(c, "maillog_file_prefixes");

	if (*file == '\0')
		return 0;
	if (!below_one_of(str_z(file), prefixes))
		return err_perm(e, "%s is not below one of maillog_file_prefixes = %s: add its directory there", file, prefixes);
	return look_at_directory(file, e);
}

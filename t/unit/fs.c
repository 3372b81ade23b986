/* t/unit/fs.c - files in a temporary directory. */
#include "lib/base/fs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "t/unit/tap.h"

static void read_and_write(void)
{
	struct err e = ERR_INIT;
	struct buf b = { 0 };
	struct stat st;

	is_int(fs_write_file("file", STR("content"), 0640, &e), 0, "written");
	ok(stat("file", &st) == 0 && (st.st_mode & 07777) == 0640, "with this mode");
	is_int(fs_write_file("file", STR("new content"), 0644, &e), 0, "replaced");
	buf_addz(&b, "old+");
	is_int(fs_read_file("file", 11, &b, &e), 0, "read");
	is_str(buf_str(&b), STR("old+new content"), "appended");
	is_int(fs_read_file("file", 10, &b, &e), -1, "too large");
	is_str(buf_str(&b), STR("old+new content"), "output unchanged");
	ok(strcmp(buf_z(&b), "old+new content") == 0, "and terminated");
	is_int(fs_read_file("absent", 10, &b, &e), -1, "absent");
	is_str(str_z(e.text), STR("cannot open absent: No such file or directory"), "and says so");
	is_int(fs_read_file("/proc/self/status", 100000, &b, &e), 0, "a file without a size");
	is_int(fs_write_file("no/such/file", STR("x"), 0644, &e), -1, "no directory");
	ok(fs_exists("file") && !fs_exists("absent"), "exists");
	buf_done(&b);
}

static void at_offsets(void)
{
	struct err e = ERR_INIT;
	char got[4];
	int fd = open("file2", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	is_int(fs_write_all(fd, "0123456789", 10, &e), 0, "write_all");
	is_int(fs_pwrite_all(fd, "abc", 3, 5, &e), 0, "pwrite_all");
	ok(fs_pread_all(fd, got, 4, 4, &e) == 0 && memcmp(got, "4abc", 4) == 0, "pread_all");
	is_int(fs_pread_all(fd, got, 4, 8, &e), -1, "past the end is an error");
	close(fd);
	is_int(fs_write_all(-1, "x", 1, &e), -1, "no file");
}

static void directories(void)
{
	struct err e = ERR_INIT;

	is_int(fs_make_dirs("a/b//c/", 0755, &e), 0, "made");
	is_int(fs_make_dirs("a/b/c", 0755, &e), 0, "made again");
	is_int(fs_make_dirs("file/x", 0755, &e), -1, "below a file");
	is_int(fs_sync_dir("a/b/c", &e), 0, "synced");
	is_int(fs_sync_dir("nowhere", &e), -1, "not synced");
}

static void locks(void)
{
	struct err e = ERR_INIT;
	int fd = fs_lock_file("lock", &e), status = 0;
	pid_t child;

	ok(fd >= 0 && write(fd, "4711\n", 5) == 5, "locked");
	child = fork();
	if (child == 0)
		_exit(fs_lock_file("lock", &e) == -1 && strcmp(e.text, "lock is locked by process 4711") == 0 ? 0 : 1);
	waitpid(child, &status, 0);
	is_int(status, 0, "another process learns who holds it");
	close(fd);
	fd = fs_lock_file("lock", &e);
	ok(fd >= 0, "free again");
	close(fd);
	ok(symlink("file", "link") == 0 && fs_lock_file("link", &e) == -1, "no symbolic links");
}

int main(void)
{
	static const char *const made[] = { "file", "file2", "lock", "link" };
	char dir[] = "/tmp/gatepost-fs-XXXXXX";

	if (mkdtemp(dir) == NULL || chdir(dir) < 0)
		skip_all("no temporary directory");
	read_and_write();
	at_offsets();
	directories();
	locks();
	rmdir("a/b/c");
	rmdir("a/b");
	rmdir("a");
	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		unlink(made[i]);
	is_int(rmdir(dir), 0, "nothing else was left behind");
	return done_testing();
}

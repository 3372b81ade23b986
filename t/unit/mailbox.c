/* t/unit/mailbox.c - mbox files, Maildirs and commands, written by this process itself. */
#include "lib/mailbox/mailbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/mailbox/command.h"
#include "t/unit/tap.h"

static char dir[] = "/tmp/gatepost-mailbox-XXXXXX";
static struct content message;

static const char *path(const char *name)
{
	static char room[256];

	snprintf(room, sizeof room, "%s/%s", dir, name);
	return room;
}

static void make_message(void)
{
	FILE *f = tmpfile();

	fputs("Subject: x\r\n\r\nFrom y\r\n", f);
	fflush(f);
	message = (struct content){ fileno(f), 0, 14, 14, 8, STR("From s  date\n"), STR("\n"), CONTENT_QUOTE_FROM | CONTENT_BLANK_END };
}

static void is_file(const char *name, const char *want, const char *what)
{
	struct buf b = { 0 };
	struct err e = ERR_INIT;

	if (fs_read_file(path(name), 100000, &b, &e) < 0)
		diag("%s", e.text);
	is_str(buf_str(&b), str_z(want), what);
	buf_done(&b);
}

static struct report deliver_mbox(const char *name, unsigned flags)
{
	struct mbox m = { path(name), flags, 2, 10, 1000, "mailbox" };
	struct report r = { 0 };

	mbox_deliver(&m, &message, &r);
	return r;
}

#define ONE "From s  date\nSubject: x\n\n>From y\n\n"

static void mbox(void)
{
	unsigned flags = mbox_lock_flags("fcntl, dotlock") | MBOX_OWNER;
	struct report r = deliver_mbox("box", flags);

	is_int(r.kind, ERR_NONE, "delivered to a new file");
	r = deliver_mbox("box", flags);
	is_file("box", ONE ONE, "two messages");
	ok(!fs_exists(path("box.lock")), "lock removed");
	is_int(symlink("box", path("link")), 0, "link made");
	is_int(chmod(dir, 01777), 0, "where anybody might have made it");
	r = deliver_mbox("link", flags);
	is_int(r.kind, ERR_TEMP, "a symbolic link is not followed");
	is_int(chmod(dir, 0700), 0, "ours alone again");
	buf_done(&r.text);
	is_int(mkdir(path("folder"), 0700), 0, "directory made");
	r = deliver_mbox("folder", flags);
	ok(r.kind != ERR_NONE, "a directory is no mailbox");
	buf_done(&r.text);
	r = deliver_mbox("../../dev/null", MBOX_ANY_FILE | MBOX_DOTLOCK | MBOX_FCNTL);
	is_int(r.kind, ERR_NONE, "/dev/null takes all");
	buf_done(&r.text);
	is_file("box", ONE ONE, "the mailbox is as it was");
}

static void locked(void)
{
	int fd = open(path("box.lock"), O_CREAT | O_EXCL | O_WRONLY, 0600);
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	struct report r = deliver_mbox("box", MBOX_DOTLOCK);

	is_int(r.kind, ERR_TEMP, "locked by another");
	is_str(buf_str(&r.text), STR("cannot update mailbox. unable to create lock file: File exists"), "why");
	buf_done(&r.text);
	futimens(fd, old);
	r = deliver_mbox("box", MBOX_DOTLOCK);
	is_int(r.kind, ERR_NONE, "a stale lock is removed");
	close(fd);
}

static void full(void)
{
	struct rlimit old, limit;
	struct report r;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = (struct rlimit){ 20, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &limit);
	r = deliver_mbox("small", MBOX_FCNTL);
	setrlimit(RLIMIT_FSIZE, &old);
	is_int(r.kind, ERR_TEMP, "too large waits");
	is_int(r.code.c * 100 + r.code.s * 10 + r.code.d, 422, "4.2.2");
	is_file("small", "", "nothing of it stays");
	buf_done(&r.text);
}

static size_t files_in(const char *name)
{
	DIR *d = opendir(path(name));
	const struct dirent *entry;
	size_t count = 0;

	while (d != NULL && (entry = readdir(d)) != NULL)
		count += entry->d_name[0] != '.';
	if (d != NULL)
		closedir(d);
	return count;
}

static void maildir(void)
{
	char box[256];
	struct report r = { 0 };

	snprintf(box, sizeof box, "%s/a/b/", dir);
	maildir_deliver(box, "host/x:y", "maildir", &message, &r);
	if (!is_int(r.kind, ERR_NONE, "delivered to a new Maildir"))
		diag("%s", buf_z(&r.text));
	maildir_deliver(box, "host/x:y", "maildir", &message, &r);
	is_int((long long)files_in("a/b/new"), 2, "two in new");
	is_int((long long)files_in("a/b/tmp"), 0, "none in tmp");
	ok(fs_exists(path("a/b/cur")), "cur is there");
}

static const struct {
	const char *script;
	enum err_kind kind;
	const char *code, *text;
} commands[] = {
	{ "cat >/dev/null", ERR_NONE, "2.0.0", "" },
	{ "cat >/dev/null; echo hello; echo you", ERR_NONE, "2.0.0", "hello you" },
	{ "exit 0", ERR_NONE, "2.0.0", "" },
	{ "exit 67", ERR_PERM, "5.1.1", "user unknown" },
	{ "echo no; exit 67", ERR_PERM, "5.1.1", "user unknown. Command output: no" },
	{ "exit 75", ERR_TEMP, "4.3.0", "temporary failure" },
	{ "exit 1", ERR_PERM, "5.3.0", "Command died with status 1: \"cmd\"" },
	{ "echo 4.7.1 later; exit 1", ERR_TEMP, "4.7.1", "later" },
	{ "echo 5.7.0 never; exit 75", ERR_PERM, "5.7.0", "never" },
	{ "kill -9 $$", ERR_TEMP, "4.3.0", "Command died with signal 9: \"cmd\"" },
	{ "sleep 60", ERR_PERM, "5.3.0", "Command time limit exceeded: \"cmd\"" },
	{ "exec 0<&- 1>&- 2>&-; sleep 60", ERR_PERM, "5.3.0", "Command time limit exceeded: \"cmd\"" },
	{ "sleep 60 & exit 0", ERR_NONE, "2.0.0", "" },
};

static void command(size_t i)
{
	const char *argv[] = { "/bin/sh", "-c", commands[i].script, NULL };
	const char *env[] = { "PATH=/usr/bin:/bin", NULL };
	struct command c = { argv, env, NULL, "cmd", 400, message };
	struct report r = { 0 };
	char code[16];

	command_run(&c, &r);
	snprintf(code, sizeof code, "%d.%d.%d", r.code.c, r.code.s, r.code.d);
	is_int(r.kind, commands[i].kind, commands[i].script);
	is_str(str_z(code), str_z(commands[i].code), "code");
	is_str(buf_str(&r.text), str_z(commands[i].text), "text");
	buf_done(&r.text);
}

static void missing_command(void)
{
	const char *argv[] = { "/nonexistent/program", NULL };
	const char *env[] = { NULL };
	struct command c = { argv, env, NULL, "cmd", 2000, message };
	struct report r = { 0 };

	command_run(&c, &r);
	is_int(r.kind, ERR_TEMP, "a missing program defers");
	buf_done(&r.text);
}

static void command_input(void)
{
	char script[300];
	const char *argv[] = { "/bin/sh", "-c", script, NULL };
	const char *env[] = { "PATH=/usr/bin:/bin", "WHO=joe", NULL };
	struct command c = { argv, env, NULL, "cmd", 5000, message };
	struct report r = { 0 };

	snprintf(script, sizeof script, "cat >%s/seen; echo \"$WHO\"", dir);
	command_run(&c, &r);
	is_str(buf_str(&r.text), STR("joe"), "environment");
	is_file("seen", ONE, "standard input");
	buf_done(&r.text);
}

static const struct {
	const char *line, *want;
} lines[] = {
	{ "/usr/bin/cmd -a b", "/usr/bin/cmd|-a|b" },
	{ "/usr/bin/cmd \"$EXTENSION\"", "/bin/sh|-c|/usr/bin/cmd \"$EXTENSION\"" },
	{ "cmd x", "/bin/sh|-c|cmd x" },
	{ "exec /x", "/bin/sh|-c|exec /x" },
};

static void command_lines(void)
{
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct arena *a = arena_new("test");
		const char *const *argv = command_argv(a, str_z(lines[i].line), "");
		struct buf b = { 0 };

		for (size_t k = 0; argv[k] != NULL; k++)
			buf_addf(&b, "%s%s", k > 0 ? "|" : "", argv[k]);
		is_str(buf_str(&b), str_z(lines[i].want), lines[i].line);
		buf_done(&b);
		arena_free(a);
	}
}

static void remove_tree(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", dir, (char *)NULL);
		_exit(1);
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(dir) == NULL)
		skip_all("no temporary directory");
	make_message();
	mbox();
	locked();
	full();
	maildir();
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		command(i);
	missing_command();
	command_input();
	command_lines();
	remove_tree();
	return done_testing();
}

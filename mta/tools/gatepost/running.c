/* mta/tools/gatepost/running.c - is a master running on this queue? Its pid file says which; the lock on it says whether it lives. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "mta/tools/gatepost/gatepost.h"

#define PID_FILE_MAX 64
#define RELOAD_FILE_MAX 4096
#define LOOK_EVERY_US 20000

static int open_pid_file(struct tool *t)
{
	const struct conf *c = tool_conf(t);
	struct buf path = { 0 };
	int fd;

	buf_addf(&path, "%s/%s/master.pid", conf_str(c, "queue_directory"), conf_str(c, "process_id_directory"));
	fd = open(buf_z(&path), O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		perror(buf_z(&path));
	buf_done(&path);
	return fd;
}

pid_t running_master(struct tool *t)
{
	int fd = open_pid_file(t);
	char text[PID_FILE_MAX];
	uint64_t pid = 0;
	ssize_t n;

	if (fd < 0)
		return 0;
	if (flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		n = read(fd, text, sizeof text);
		if (n > 0 && !str_to_u64(str_trim(str_n(text, (size_t)n)), INT32_MAX, &pid))
			pid = 0;
	}
	close(fd);
	return (pid_t)pid;
}

struct reload_state running_reload(struct tool *t, struct arena *a)
{
	const struct conf *c = tool_conf(t);
	struct reload_state state = { 0 };
	struct buf text = { 0 };
	struct err e = ERR_INIT;
	struct str path = arena_printf(a, "%s/%s/master.reload", conf_str(c, "queue_directory"), conf_str(c, "process_id_directory")), line;

	if (fs_read_file(path.p, RELOAD_FILE_MAX, &text, &e) == 0 && text.n > 0 && text.p[text.n - 1] == '\n') {
		line = str_trim(arena_dup(a, buf_str(&text)));
		if (str_to_u64(str_cut(&line, ' '), UINT32_MAX, &state.number)) {
			state.word = str_cut(&line, ' ');
			state.text = line;
		}
	}
	buf_done(&text);
	return state;
}

bool running_wait_end(struct tool *t, int64_t ms)
{
	int64_t deadline = deadline_in(ms);

	while (running_master(t) != 0) {
		if (clock_mono_ms() > deadline)
			return false;
		usleep(LOOK_EVERY_US);
	}
	return true;
}

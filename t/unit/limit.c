/* t/unit/limit.c - limits per client: workers count together, each gives back what is its own, and the dead do not count. */
#include "mta/smtpd/limit.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "mta/smtpd/settings.h"
#include "t/unit/tap.h"

static struct session *client(struct arena *a, const char *addr)
{
	struct session *s = arena_alloc(a, sizeof *s);

	s->life = a;
	s->client.addr = s->client.namaddr = str_z(addr);
	return s;
}

/* Another worker with one connection of addr; it waits for a byte, then leaves with or without saying so. */
static pid_t worker(struct arena *a, const char *addr, int *go)
{
	int up[2], down[2];
	char byte = 0;
	pid_t pid;

	if (pipe(up) < 0 || pipe(down) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		limit_init("test");
		limit_connect(client(a, addr));
		limit_session_count(1);
		if (write(up[1], "r", 1) != 1 || read(down[0], &byte, 1) != 1)
			_exit(1);
		_exit(0);
	}
	*go = down[1];
	if (read(up[0], &byte, 1) != 1)
		return -1;
	return pid;
}

static void connections(struct arena *a)
{
	struct session *one = client(a, "192.0.2.1"), *two = client(a, "192.0.2.1"), *three = client(a, "192.0.2.1");
	struct session *other = client(a, "192.0.2.2");
	int go = -1, status;
	pid_t pid;

	cf.conn_count_limit = 2;
	ok(limit_connect(one), "first connection");
	ok(limit_connect(two), "second connection");
	ok(!limit_connect(three), "the third is one too many");
	ok(limit_connect(other), "others have their own count");
	limit_disconnect(three);
	limit_disconnect(two);
	limit_disconnect(two);
	ok(limit_connect(three), "room again, and leaving twice counts once");
	limit_disconnect(three);
	pid = worker(a, "192.0.2.1", &go);
	ok(!limit_connect(two), "another worker's connection counts");
	limit_disconnect(two);
	ok(write(go, "q", 1) == 1 && waitpid(pid, &status, 0) == pid, "the other worker dies");
	ok(limit_connect(two), "the connections of the dead do not count");
	limit_disconnect(two);
	limit_disconnect(one);
}

/* Sessions of all workers against the service's limit. */
static void sessions(struct arena *a)
{
	int go = -1, status;
	pid_t pid;

	limit_session_count(2);
	ok(limit_full(2) && !limit_full(3), "two sessions");
	pid = worker(a, "192.0.2.1", &go);
	ok(limit_full(3) && !limit_full(4), "and one in another worker");
	ok(write(go, "q", 1) == 1 && waitpid(pid, &status, 0) == pid, "which dies without a word");
	ok(!limit_full(3), "what it left behind does not count");
	limit_session_count(-2);
	ok(!limit_full(1) && limit_full_ago() == INT64_MAX, "none, and never full");
	limit_note_full();
	limit_want_room();
	ok(limit_full_ago() < 60000 && limit_room_wanted(60000), "full, and somebody waits");
}

static void rates(struct arena *a)
{
	struct session *s = client(a, "2001:db8::1"), *near = client(a, "2001:db8::2"), *far = client(a, "2001:db9::1");

	cf.rate_unit_ms = INT64_MAX;
	cf.mail_rate_limit = 2;
	ok(limit_mail(s) && limit_mail(s), "two messages");
	ok(!limit_mail(s), "not a third in the same period");
	ok(!limit_mail(near), "nor one from the same network");
	ok(limit_mail(far), "but from another");
	ok(limit_rcpt(s), "without a limit nothing is counted");
}

static void crowd(struct arena *a)
{
	struct buf addr = { 0 };
	bool good = true;

	cf.conn_count_limit = 1;
	for (int i = 0; i < 20000 && good; i++) {
		buf_clear(&addr);
		buf_addf(&addr, "10.%d.%d.%d", i / 65536, i / 256 % 256, i % 256);
		good = limit_connect(client(a, buf_z(&addr)));
	}
	ok(good, "more clients than there is room for: none is refused for it");
	buf_done(&addr);
}

int main(void)
{
	char dir[] = "/tmp/gatepost-limit-XXXXXX";
	struct arena *a = arena_new("test");

	if (mkdtemp(dir) == NULL || chdir(dir) < 0 || mkdir("pid", 0700) < 0)
		skip_all("no temporary directory");
	cf.rate_unit_ms = 60000;
	limit_init("test");
	connections(a);
	sessions(a);
	rates(a);
	crowd(a);
	ok(unlink("pid/limits.test") == 0 && rmdir("pid") == 0 && rmdir(dir) == 0, "one file, named after the service");
	arena_free(a);
	return done_testing();
}

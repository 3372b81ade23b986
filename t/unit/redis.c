/* t/unit/redis.c - commands to a private redis-server on a unix socket, and to servers that are away, slow or talk nonsense. */
#include "lib/net/redis.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "t/unit/tap.h"

static char dir[] = "/tmp/gatepost-redis.XXXXXX";
static char endpoint[80];

static pid_t start_server(void)
{
	char path[64];
	pid_t pid;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	snprintf(path, sizeof path, "%s/sock", dir);
	snprintf(endpoint, sizeof endpoint, "unix:%s", path);
	pid = fork();
	if (pid == 0) {
		dup2(null, 1);
		dup2(null, 2);
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", dir, "--requirepass",
			"secret", (char *)NULL);
		_exit(127);
	}
	close(null);
	for (int i = 0; i < 500; i++) {
		struct stat st;

		if (stat(path, &st) == 0)
			return pid;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			skip_all("redis-server is not installed");
		usleep(10000);
	}
	skip_all("redis-server does not start");
}

static struct redis_settings settings_for(const char *where, const char *password)
{
	return (struct redis_settings){
		.servers = where, .password = password, .database = 3, .timeout_ms = 300, .breaker_failures = 2, .breaker_ms = 300
	};
}

static void test_commands(struct arena *a)
{
	struct redis_settings set = settings_for(endpoint, "secret");
	struct redis *r = redis_new(&set);
	struct redis_value v = { .type = REDIS_NIL };
	struct err e = ERR_INIT;
	struct str binary[] = { STR_INIT("SET"), STR_INIT("k\0y"), STR_INIT("v\r\n\0") };

	ok(redis_commandf(r, a, &v, &e, "PING") == 0 && v.type == REDIS_STATUS, "PING, with AUTH and SELECT before it %s", e.text);
	ok(redis_command(r, a, 3, binary, &v, &e) == 0 && v.type == REDIS_STATUS, "SET with binary words");
	binary[0] = STR("GET");
	ok(redis_command(r, a, 2, binary, &v, &e) == 0, "GET");
	is_str(v.text, binary[2], "the same bytes back");
	ok(redis_commandf(r, a, &v, &e, "GET %s", "nothing") == 0 && v.type == REDIS_NIL, "nil");
	ok(redis_commandf(r, a, &v, &e, "INCR %s", "n") == 0 && v.type == REDIS_INTEGER && v.integer == 1, "integer");
	ok(redis_commandf(r, a, &v, &e, "EVAL %s 0", "return {1,{2,'x'},false}") == 0 && v.type == REDIS_ARRAY && v.count == 3, "array");
	ok(v.items[1].type == REDIS_ARRAY && v.items[1].items[1].type == REDIS_STRING && v.items[2].type == REDIS_NIL, "nested");
	ok(redis_commandf(r, a, &v, &e, "NOSUCH") == 0 && v.type == REDIS_ERROR, "an error reply is an answer");
	ok(redis_available(r), "and no failure");
	redis_free(r);
}

static void test_script(struct arena *a)
{
	struct redis_settings set = settings_for(endpoint, "secret");
	struct redis *r = redis_new(&set);
	struct redis_value v = { .type = REDIS_NIL };
	struct err e = ERR_INIT;
	struct str words[] = { STR_INIT("key"), STR_INIT("41") };
	static const char script[] = "return tonumber(ARGV[1]) + 1";

	redis_commandf(r, a, &v, &e, "SCRIPT FLUSH");
	ok(redis_script(r, a, script, 1, 2, words, &v, &e) == 0 && v.integer == 42, "a script the server does not know yet");
	ok(redis_script(r, a, script, 1, 2, words, &v, &e) == 0 && v.integer == 42, "and knows then");
	redis_free(r);
}

static void test_closed_by_server(struct arena *a)
{
	struct redis_settings set = settings_for(endpoint, "secret");
	struct redis *r = redis_new(&set), *other = redis_new(&set);
	struct redis_value v;
	struct err e = ERR_INIT;

	redis_commandf(r, a, &v, &e, "PING");
	redis_commandf(other, a, &v, &e, "CLIENT KILL TYPE normal SKIPME yes");
	ok(redis_commandf(r, a, &v, &e, "PING") == 0, "a connection the server closed is replaced");
	redis_free(r);
	redis_free(other);
}

struct burst {
	struct redis *r;
	struct arena *a;
	unsigned good;
};

static void incr(void *arg)
{
	struct burst *b = arg;
	struct redis_value v;
	struct err e = ERR_INIT;

	if (redis_commandf(b->r, b->a, &v, &e, "INCR %s", "burst") == 0)
		b->good++;
}

static void test_burst(struct arena *a)
{
	struct redis_settings set = settings_for(endpoint, "secret");
	struct burst b = { redis_new(&set), a, 0 };

	for (int i = 0; i < 100; i++)
		fiber_start("incr", incr, &b);
	for (int i = 0; i < 200 && b.good < 100; i++)
		fiber_sleep(10);
	is_int(b.good, 100, "a hundred fibers at once share the connections");
	redis_free(b.r);
}

static void test_failures(struct arena *a)
{
	struct redis_settings set = settings_for("unix:/nonexistent/sock", "");
	struct redis *r = redis_new(&set);
	struct redis_value v;
	struct err e = ERR_INIT;
	int64_t began;

	ok(redis_commandf(r, a, &v, &e, "PING") < 0 && redis_available(r), "one failure");
	ok(redis_commandf(r, a, &v, &e, "PING") < 0 && !redis_available(r), "the second opens the breaker");
	diag("%s", e.text);
	ok(redis_commandf(r, a, &v, &e, "PING") < 0 && strstr(e.text, "not available") != NULL, "open: answered at once");
	redis_free(r);

	set = settings_for(endpoint, "wrong");
	r = redis_new(&set);
	ok(redis_commandf(r, a, &v, &e, "PING") < 0 && strstr(e.text, "WRONGPASS") != NULL, "a wrong password is told");
	redis_free(r);

	set = settings_for(endpoint, "secret");
	set.timeout_ms = 100;
	r = redis_new(&set);
	redis_commandf(r, a, &v, &e, "PING");
	began = clock_mono_ms();
	ok(redis_commandf(r, a, &v, &e, "BLPOP %s 2", "empty") < 0, "a slow command");
	ok(clock_mono_ms() - began < 400, "ends with its time");
	redis_free(r);
}

static void test_breaker_closes(struct arena *a, pid_t server)
{
	struct redis_settings set = settings_for(endpoint, "secret");
	struct redis *r = redis_new(&set);
	struct redis_value v;
	struct err e = ERR_INIT;

	set.timeout_ms = 50;
	redis_commandf(r, a, &v, &e, "PING");
	kill(server, SIGSTOP);
	redis_commandf(r, a, &v, &e, "PING");
	redis_commandf(r, a, &v, &e, "PING");
	ok(!redis_available(r), "a server that hangs opens the breaker");
	kill(server, SIGCONT);
	for (int i = 0; i < 300 && redis_commandf(r, a, &v, &e, "PING") < 0; i++)
		fiber_sleep(10);
	ok(redis_available(r), "it is found back in the background, and the next command closes the breaker");
	redis_free(r);
}

/* A server that answers every connection with the same bytes. */
static pid_t start_nonsense(const char *path, const char *says, size_t size)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 5) < 0)
		skip_all("no unix sockets");
	pid = fork();
	while (pid == 0) {
		int c = accept(fd, NULL, NULL);

		if (write(c, says, size) < 0)
			_exit(1);
	}
	close(fd);
	return pid;
}

static void test_nonsense(struct arena *a, const char *name, const char *says)
{
	char path[64], where[80];
	struct redis_settings set;
	struct redis *r;
	struct redis_value v;
	struct err e = ERR_INIT;
	pid_t pid;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	snprintf(where, sizeof where, "unix:%s", path);
	pid = start_nonsense(path, says, strlen(says));
	set = settings_for(where, "");
	set.database = 0;
	r = redis_new(&set);
	ok(redis_commandf(r, a, &v, &e, "PING") < 0, "%s: no answer", name);
	diag("%s", e.text);
	redis_free(r);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	unlink(path);
}

static pid_t server;

static void run_tests(void *arg)
{
	struct arena *a = arg;

	test_commands(a);
	test_script(a);
	test_closed_by_server(a);
	test_burst(a);
	test_failures(a);
	test_breaker_closes(a, server);
	test_nonsense(a, "garbage", "HTTP/1.1 200 OK\r\n\r\n");
	test_nonsense(a, "huge", "*2147483647\r\n:1\r\n");
	test_nonsense(a, "nested", "*60000\r\n*60000\r\n*60000\r\n");
	test_nonsense(a, "loading", "-LOADING Redis is loading the dataset in memory\r\n");
	loop_stop();
}

int main(void)
{
	struct arena *a = arena_new("test");
	char command[128];

	if (mkdtemp(dir) == NULL)
		skip_all("no temporary directory");
	server = start_server();
	loop_init();
	fiber_start("test", run_tests, a);
	loop_run();
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	snprintf(command, sizeof command, "%s/sock", dir);
	unlink(command);
	rmdir(dir);
	arena_free(a);
	return done_testing();
}

/* t/bench/mail.c - what a mail server under measurement talks to: the load, both ends, a policy server, and what the machine does without one.
 *   send PORT COUNT SESSIONS SIZE RCPTS DOMAIN [tls]   one message a session, SESSIONS of them at a time, to u0, u1 … of DOMAIN (1000 users);
 *                                            prints recipients taken, refused, seconds, and median and 99% of the ms from the last byte to the 250
 *   sink PORT FILE, lmtp PORT FILE           takes everything; the first eight bytes of FILE count the recipients that have it
 *   policy PORT                              answers DUNNO to every request
 *   disk DIR COUNT AT_ONCE SIZE              create, write, fsync, unlink; prints the files a second
 * A thread for each connection, in a straight line.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "t/bench/bench.h"

enum { USERS = 1000, INPUT = 65536, STACK = 256 * 1024 };

struct peer {
	int fd;
	SSL *tls;
	size_t at, n;
	char in[INPUT];
};

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

/* ---- bytes ---- */

static bool put(struct peer *p, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t done = p->tls != NULL ? SSL_write(p->tls, text, (int)n) : write(p->fd, text, n);

		if (done <= 0)
			return false;
		text += done;
		n -= (size_t)done;
	}
	return true;
}

static bool say(struct peer *p, const char *text)
{
	return put(p, text, strlen(text));
}

static bool more(struct peer *p)
{
	ssize_t got;

	memmove(p->in, p->in + p->at, p->n - p->at);
	p->n -= p->at;
	p->at = 0;
	if (p->n == INPUT)
		return false;
	got = p->tls != NULL ? SSL_read(p->tls, p->in + p->n, (int)(INPUT - p->n)) : read(p->fd, p->in + p->n, INPUT - p->n);
	if (got <= 0)
		return false;
	p->n += (size_t)got;
	return true;
}

/* The next line, without its end; NULL at the end of the connection. */
static char *line(struct peer *p)
{
	for (;;) {
		char *end = memchr(p->in + p->at, '\n', p->n - p->at), *start = p->in + p->at;

		if (end != NULL) {
			p->at = (size_t)(end + 1 - p->in);
			*end = 0;
			if (end > start && end[-1] == '\r')
				end[-1] = 0;
			return start;
		}
		if (!more(p))
			return NULL;
	}
}

/* ---- the load ---- */

static struct {
	int port;
	unsigned count, rcpts;
	const char *domain;
	char *body;
	size_t size;
	SSL_CTX *tls;
	atomic_uint next, taken, refused;
	double *ms;
} load;

/* The first digit of a reply; *pipelining becomes true when a line of it offers that. */
static char reply(struct peer *p, bool *pipelining)
{
	for (;;) {
		char *l = line(p);

		if (l == NULL)
			die("no reply");
		if (pipelining != NULL && strcmp(l + 4, "PIPELINING") == 0)
			*pipelining = true;
		if (l[3] != '-')
			return l[0];
	}
}

static void expect(struct peer *p, char code)
{
	if (reply(p, NULL) != code) {
		fprintf(stderr, "unexpected reply before: %.*s\n", (int)(p->n - p->at), p->in + p->at);
		exit(1);
	}
}

static void secure(struct peer *p)
{
	say(p, "STARTTLS\r\n");
	expect(p, '2');
	p->tls = SSL_new(load.tls);
	SSL_set_fd(p->tls, p->fd);
	if (SSL_connect(p->tls) != 1)
		die("handshake");
	say(p, "EHLO bench.test\r\n");
	expect(p, '2');
}

/* Sender and recipients; what was taken of them. */
static unsigned envelope(struct peer *p, unsigned number, bool pipelining)
{
	unsigned taken = 0;
	char text[128];

	say(p, "MAIL FROM:<ann@far.test>\r\n");
	if (!pipelining)
		expect(p, '2');
	for (unsigned i = 0; i < load.rcpts; i++) {
		snprintf(text, sizeof text, "RCPT TO:<u%u@%s>\r\n", (number * load.rcpts + i) % USERS, load.domain);
		say(p, text);
		if (!pipelining)
			taken += reply(p, NULL) == '2';
	}
	if (!pipelining)
		return taken;
	expect(p, '2');
	for (unsigned i = 0; i < load.rcpts; i++)
		taken += reply(p, NULL) == '2';
	return taken;
}

static void session(struct peer *p, unsigned number)
{
	struct sockaddr_in to = loopback(load.port), from = loopback(0);
	bool pipelining = false;
	unsigned taken;
	double began;

	*p = (struct peer){ .fd = socket(AF_INET, SOCK_STREAM, 0) };
	from.sin_addr.s_addr = htonl(0x7f090002u + number % 60000);
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (bind(p->fd, (struct sockaddr *)&from, sizeof from) < 0 || connect(p->fd, (struct sockaddr *)&to, sizeof to) < 0)
		die("connect");
	expect(p, '2');
	say(p, "EHLO bench.test\r\n");
	reply(p, &pipelining);
	if (load.tls != NULL)
		secure(p);
	taken = envelope(p, number, pipelining);
	load.refused += load.rcpts - taken;
	if (taken > 0) {
		say(p, "DATA\r\n");
		expect(p, '3');
		put(p, load.body, load.size);
		began = now();
		expect(p, '2');
		load.ms[number] = (now() - began) * 1000;
		load.taken += taken;
	}
	say(p, "QUIT\r\n");
	reply(p, NULL);
	SSL_free(p->tls);
	close(p->fd);
}

static void *sender(void *arg)
{
	struct peer *p = malloc(sizeof *p);
	unsigned number;

	(void)arg;
	while ((number = load.next++) < load.count)
		session(p, number);
	free(p);
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return d < 0 ? -1 : d > 0;
}

static void run(unsigned threads, void *(*work)(void *))
{
	pthread_t *t = calloc(threads, sizeof *t);

	for (unsigned i = 0; i < threads; i++) {
		if (pthread_create(&t[i], NULL, work, NULL) != 0)
			die("thread");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	free(t);
}

static void make_body(size_t size)
{
	static const char head[] = "Subject: bench\r\nFrom: ann@far.test\r\nTo: u@test\r\n\r\n";
	static const char row[] = "the quick brown fox jumps over the lazy dog, and again, and again.\r\n";

	load.body = malloc(size + sizeof head + sizeof row + 3);
	memcpy(load.body, head, sizeof head - 1);
	load.size = sizeof head - 1;
	while (load.size < size) {
		memcpy(load.body + load.size, row, sizeof row - 1);
		load.size += sizeof row - 1;
	}
	memcpy(load.body + load.size, ".\r\n", 3);
	load.size += 3;
}

static void send_all(char **argv, bool tls)
{
	double began;

	load.port = atoi(argv[0]);
	load.count = (unsigned)atoi(argv[1]);
	load.rcpts = (unsigned)atoi(argv[4]);
	load.domain = argv[5];
	load.tls = tls ? SSL_CTX_new(TLS_client_method()) : NULL;
	load.ms = calloc(load.count, sizeof *load.ms);
	make_body((size_t)atol(argv[3]));
	began = now();
	run((unsigned)atoi(argv[2]), sender);
	printf("%u %u %.3f", load.taken, load.refused, now() - began);
	qsort(load.ms, load.count, sizeof *load.ms, by_size);
	printf(" %.2f %.2f\n", load.ms[load.count / 2], load.ms[load.count * 99 / 100]);
}

/* ---- servers ---- */

static _Atomic uint64_t *arrived;
static bool lmtp;

static bool message(struct peer *p, unsigned rcpts)
{
	char *l;

	if (!say(p, "354 go on\r\n"))
		return false;
	while ((l = line(p)) != NULL && strcmp(l, ".") != 0)
		;
	if (l == NULL)
		return false;
	*arrived += rcpts;
	for (unsigned i = lmtp ? 0 : rcpts - 1; i < rcpts; i++) {
		if (!say(p, "250 done\r\n"))
			return false;
	}
	return true;
}

static bool answer_mail(struct peer *p)
{
	unsigned rcpts = 0;
	char *l;

	say(p, "220 sink.test ESMTP\r\n");
	while ((l = line(p)) != NULL) {
		bool data = strncasecmp(l, "DATA", 4) == 0, going = true;

		rcpts += strncasecmp(l, "RCPT", 4) == 0;
		if (data && rcpts > 0)
			going = message(p, rcpts);
		else if (strncasecmp(l, "QUIT", 4) == 0)
			return say(p, "221 bye\r\n");
		else if (strncasecmp(l, "EHLO", 4) == 0 || strncasecmp(l, "LHLO", 4) == 0)
			going = say(p, "250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
		else
			going = say(p, "250 ok\r\n");
		if (data || strncasecmp(l, "RSET", 4) == 0)
			rcpts = 0;
		if (!going)
			return false;
	}
	return true;
}

static bool answer_policy(struct peer *p)
{
	char *l;

	while ((l = line(p)) != NULL) {
		if (*l == 0 && !say(p, "action=DUNNO\n\n"))
			return false;
	}
	return true;
}

static bool (*answer)(struct peer *p);

static void *serve_one(void *arg)
{
	struct peer *p = malloc(sizeof *p);

	*p = (struct peer){ .fd = (int)(intptr_t)arg };
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	answer(p);
	close(p->fd);
	free(p);
	return NULL;
}

static void serve(int port)
{
	struct sockaddr_in at = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	pthread_attr_t attr;
	pthread_t t;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0)
		die("listen");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (;;) {
		int c = accept(fd, NULL, NULL);

		if (c >= 0 && pthread_create(&t, &attr, serve_one, (void *)(intptr_t)c) != 0)
			die("thread");
	}
}

static void count_in(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	if (fd < 0 || ftruncate(fd, sizeof *arrived) < 0)
		die(path);
	arrived = mmap(NULL, sizeof *arrived, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (arrived == MAP_FAILED)
		die(path);
}

/* ---- the disk ---- */

static const char *disk_dir;

static void *write_files(void *arg)
{
	unsigned number;
	char path[256];

	(void)arg;
	while ((number = load.next++) < load.count) {
		int fd;

		snprintf(path, sizeof path, "%s/f%u", disk_dir, number);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || write(fd, load.body, load.size) != (ssize_t)load.size || fsync(fd) < 0 || close(fd) < 0 || unlink(path) < 0)
			die(path);
	}
	return NULL;
}

static void disk(char **argv)
{
	double began = now();

	disk_dir = argv[0];
	load.count = (unsigned)atoi(argv[1]);
	make_body((size_t)atol(argv[3]));
	began = now();
	run((unsigned)atoi(argv[2]), write_files);
	printf("%.0f\n", load.count / (now() - began));
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc >= 8 && strcmp(argv[1], "send") == 0)
		send_all(argv + 2, argc > 8);
	else if (argc == 6 && strcmp(argv[1], "disk") == 0)
		disk(argv + 2);
	else if (argc == 3 && strcmp(argv[1], "policy") == 0) {
		answer = answer_policy;
		serve(atoi(argv[2]));
	} else if (argc == 4) {
		lmtp = strcmp(argv[1], "lmtp") == 0;
		answer = answer_mail;
		count_in(argv[3]);
		serve(atoi(argv[2]));
	} else
		return 64;
	return 0;
}

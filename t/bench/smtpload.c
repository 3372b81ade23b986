/* t/bench/smtpload.c - SMTP clients for t/bench/smtpd: many that are refused, many that hold still, and one that measures.
 *   reject PORT SESSIONS CONCURRENT   EHLO, MAIL, RCPT (refused), QUIT over and over; prints sessions a second and the seconds it took
 *   hold PORT COUNT PHASE             sessions that stop there: connect, proxy, partial, hello, auth, mail, data, bdat, handshake, tls; says
 *                                     "ready", waits for EOF
 *   probe PORT COUNT                  one message after the other; prints median and longest time in ms from connect to the last 250
 * Clients have addresses all over 127.9/16.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "t/bench/bench.h"

#define DATA_TEXT "Subject: probe\r\n\r\ntext\r\n.\r\n"

static int port;
static unsigned serial;

static int dial(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) }, from = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	from.sin_addr.s_addr = htonl(0x7f090000u + serial++ % 60000 + 2);
	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof from) < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		die("connect");
	return fd;
}

static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		die("write");
}

/* Is this the end of a reply: a last line "ddd text" that is complete? */
static int complete(const char *p, size_t n)
{
	const char *line;

	if (n < 5 || p[n - 1] != '\n')
		return 0;
	line = memrchr(p, '\n', n - 1);
	line = line == NULL ? p : line + 1;
	return p + n - line > 4 && line[3] == ' ';
}

static void hear(int fd, char code)
{
	char in[4096];
	size_t n = 0;

	while (!complete(in, n)) {
		ssize_t got = read(fd, in + n, sizeof in - n);

		if (got <= 0)
			die("read");
		n += (size_t)got;
	}
	if (in[0] != code) {
		fprintf(stderr, "unexpected reply: %.*s", (int)n, in);
		exit(1);
	}
}

static void turn(int fd, const char *text, char code)
{
	say(fd, text);
	hear(fd, code);
}

/* ---- refused ---- */

static const char *const lines[] = { "EHLO bench.test\r\n", "MAIL FROM:<ann@far.test>\r\n", NULL, "QUIT\r\n" };

struct client {
	int fd;
	size_t step, n;
	char in[2048];
};

static void open_client(int epoll, struct client *c)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

	*c = (struct client){ .fd = dial() };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
		die("epoll");
}

/* 1: the session is over. */
static int step(struct client *c)
{
	char rcpt[64];
	ssize_t got = read(c->fd, c->in + c->n, sizeof c->in - c->n);

	if (got <= 0)
		return 1;
	c->n += (size_t)got;
	if (!complete(c->in, c->n))
		return 0;
	if (c->step == 3 && c->in[0] != '5') {
		fprintf(stderr, "not refused: %.*s", (int)c->n, c->in);
		exit(1);
	}
	c->n = 0;
	if (c->step == 4)
		return 0; /* the server closes */
	snprintf(rcpt, sizeof rcpt, "RCPT TO:<u%u@relay.test>\r\n", serial % 1000);
	say(c->fd, c->step == 2 ? rcpt : lines[c->step]);
	c->step++;
	return 0;
}

static void reject(unsigned sessions, unsigned concurrent)
{
	struct client *clients = calloc(concurrent, sizeof *clients);
	struct epoll_event events[64];
	int epoll = epoll_create1(0);
	unsigned open = 0, done = 0;
	double began = now();

	for (; open < concurrent && open < sessions; open++)
		open_client(epoll, &clients[open]);
	while (done < sessions) {
		int n = epoll_wait(epoll, events, 64, 10000);

		if (n <= 0)
			die("no answer");
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (!step(c))
				continue;
			close(c->fd);
			done++;
			if (open++ < sessions)
				open_client(epoll, c);
		}
	}
	printf("%.0f %.3f\n", sessions / (now() - began), now() - began);
}

/* ---- holding still ---- */

static void tls(int fd)
{
	static SSL_CTX *ctx;
	SSL *s;

	if (ctx == NULL)
		ctx = SSL_CTX_new(TLS_client_method());
	s = SSL_new(ctx);
	SSL_set_fd(s, fd);
	if (SSL_connect(s) != 1)
		die("handshake");
}

static void hold_one(const char *phase)
{
	int fd = dial();

	if (strcmp(phase, "connect") == 0)
		return;
	if (strcmp(phase, "proxy") == 0) {
		say(fd, "PROXY TCP4 192.0.2.7 ");
		return;
	}
	hear(fd, '2');
	if (strcmp(phase, "partial") == 0) {
		say(fd, "EH");
		return;
	}
	turn(fd, "EHLO slow.test\r\n", '2');
	if (strcmp(phase, "hello") == 0)
		return;
	if (strcmp(phase, "handshake") == 0 || strcmp(phase, "tls") == 0) {
		turn(fd, "STARTTLS\r\n", '2');
		if (strcmp(phase, "tls") == 0)
			tls(fd);
		else
			say(fd, "\x16\x03");
		return;
	}
	if (strcmp(phase, "auth") == 0) {
		turn(fd, "AUTH LOGIN\r\n", '3');
		return;
	}
	turn(fd, "MAIL FROM:<ann@far.test>\r\n", '2');
	if (strcmp(phase, "mail") == 0)
		return;
	turn(fd, "RCPT TO:<good@relay.test>\r\n", '2');
	if (strcmp(phase, "bdat") == 0) {
		say(fd, "BDAT 1000\r\nSubject: slow\r\n\r\na");
		return;
	}
	turn(fd, "DATA\r\n", '3');
	say(fd, "Subject: slow\r\n\r\na");
}

static void hold(unsigned count, const char *phase)
{
	char c;

	for (unsigned i = 0; i < count; i++)
		hold_one(phase);
	printf("ready\n");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
}

/* ---- measuring ---- */

static int by_size(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return d < 0 ? -1 : d > 0;
}

static void probe(unsigned count)
{
	double *ms = calloc(count, sizeof *ms);

	for (unsigned i = 0; i < count; i++) {
		double began = now();
		int fd = dial();

		hear(fd, '2');
		turn(fd, "EHLO probe.test\r\n", '2');
		turn(fd, "MAIL FROM:<ann@far.test>\r\n", '2');
		turn(fd, "RCPT TO:<good@relay.test>\r\n", '2');
		turn(fd, "DATA\r\n", '3');
		turn(fd, DATA_TEXT, '2');
		ms[i] = (now() - began) * 1000;
		turn(fd, "QUIT\r\n", '2');
		close(fd);
	}
	qsort(ms, count, sizeof *ms, by_size);
	printf("%.2f %.2f\n", ms[count / 2], ms[count - 1]);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 64;
	port = atoi(argv[2]);
	if (strcmp(argv[1], "reject") == 0)
		reject((unsigned)atoi(argv[3]), argc > 4 ? (unsigned)atoi(argv[4]) : 50);
	else if (strcmp(argv[1], "hold") == 0)
		hold((unsigned)atoi(argv[3]), argc > 4 ? argv[4] : "connect");
	else
		probe((unsigned)atoi(argv[3]));
	return 0;
}

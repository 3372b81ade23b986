/* t/bench/policyload.c - many clients of a policy server at once: policyload HOST PORT CONNECTIONS REQUESTS DEPTH CLIENTS [FIRST].
 * Each connection keeps DEPTH requests under way (pipelined) until REQUESTS were answered in all. Clients are 198.18.0.0 and up, CLIENTS
 * different ones from number FIRST on, each with a sender of its own. Prints requests/s, the middle, p99 and the longest wait in
 * milliseconds, and what was answered. Built by t/bench/policy; needs nothing of Gatepost.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "t/bench/bench.h"

#define DEPTH_MAX 64
#define ANSWERS_MAX 20

struct conn {
	int fd;
	double sent[DEPTH_MAX]; /* ring: when each request under way was sent */
	unsigned first, count;
	char in[8192];
	size_t in_n;
};

static struct {
	long total, sent, done;
	unsigned depth, clients, first;
	double *waits;
	struct {
		char text[60];
		long count;
	} answers[ANSWERS_MAX];
} run;

static void send_request(struct conn *c)
{
	unsigned k = run.first + (unsigned)(run.sent % run.clients);
	char text[1024];
	int n = snprintf(text, sizeof text,
		"request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nhelo_name=mail.good.test\nqueue_id=\n"
		"sender=user%u@good.test\nrecipient=ann@ours.test\nrecipient_count=0\nclient_address=198.%u.%u.%u\n"
		"client_name=mail.good.test\nreverse_client_name=mail.good.test\ninstance=%lx.%x\nsasl_method=\nsasl_username=\n"
		"sasl_sender=\nsize=1234\nccert_subject=\nccert_issuer=\nccert_fingerprint=\nencryption_protocol=\n"
		"encryption_cipher=\nencryption_keysize=0\netrn_domain=\nstress=\nccert_pubkey_fingerprint=\nclient_port=4711\n\n",
		k, 18 + (k >> 16 & 1), k >> 8 & 255, k & 255, run.sent, (unsigned)getpid());

	for (int at = 0; at < n;) {
		ssize_t w = write(c->fd, text + at, (size_t)(n - at));

		if (w < 0 && errno != EAGAIN)
			die("write");
		at += w > 0 ? (int)w : 0;
	}
	c->sent[(c->first + c->count++) % DEPTH_MAX] = now();
	run.sent++;
}

static void count_answer(const char *action)
{
	size_t n = strcspn(action, "\n");

	if (n > 24)
		n = 24;
	for (int i = 0; i < ANSWERS_MAX; i++) {
		if (run.answers[i].count == 0)
			memcpy(run.answers[i].text, action, n);
		if (strncmp(run.answers[i].text, action, n) == 0 && run.answers[i].text[n] == '\0') {
			run.answers[i].count++;
			return;
		}
	}
}

static void take_answers(struct conn *c)
{
	ssize_t got = read(c->fd, c->in + c->in_n, sizeof c->in - 1 - c->in_n);
	char *end;

	if (got <= 0 && errno != EAGAIN)
		die(got == 0 ? "the server closed a connection" : "read");
	c->in_n += got > 0 ? (size_t)got : 0;
	c->in[c->in_n] = '\0';
	while ((end = strstr(c->in, "\n\n")) != NULL) {
		char *action = strstr(c->in, "action=");

		run.waits[run.done++] = now() - c->sent[c->first];
		c->first = (c->first + 1) % DEPTH_MAX;
		c->count--;
		if (action != NULL)
			count_answer(action);
		c->in_n -= (size_t)(end + 2 - c->in);
		memmove(c->in, end + 2, c->in_n + 1);
		if (run.sent < run.total)
			send_request(c);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void open_conn(struct conn *c, int epoll, const char *host, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	int on = 1;

	inet_pton(AF_INET, host, &to.sin_addr);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	struct conn *conns = calloc(count + 1, sizeof *conns);
	struct epoll_event events[512];
	int epoll = epoll_create1(0);
	double began;

	if (argc < 7)
		return fprintf(stderr, "usage: policyload HOST PORT CONNECTIONS REQUESTS DEPTH CLIENTS [FIRST]\n"), 2;
	run.total = atol(argv[4]);
	run.depth = (unsigned)atoi(argv[5]);
	run.clients = (unsigned)atoi(argv[6]);
	run.first = argc > 7 ? (unsigned)atoi(argv[7]) : 0;
	run.waits = calloc((size_t)run.total + DEPTH_MAX * (count + 1), sizeof *run.waits);
	for (unsigned i = 0; i < count; i++)
		open_conn(&conns[i], epoll, argv[1], argv[2]);
	began = now();
	for (unsigned d = 0; d < run.depth; d++)
		for (unsigned i = 0; i < count && run.sent < run.total; i++)
			send_request(&conns[i]);
	while (run.done < run.total) {
		int n = epoll_wait(epoll, events, 512, 60000);

		if (n <= 0)
			die("nothing for a minute");
		for (int i = 0; i < n; i++)
			take_answers(events[i].data.ptr);
	}
	qsort(run.waits, (size_t)run.done, sizeof *run.waits, by_value);
	printf("%.0f/s  p50 %.2f ms  p99 %.2f ms  max %.2f ms ", (double)run.done / (now() - began), run.waits[run.done / 2] * 1e3,
		run.waits[run.done * 99 / 100] * 1e3, run.waits[run.done - 1] * 1e3);
	for (int i = 0; i < ANSWERS_MAX && run.answers[i].count > 0; i++)
		printf(" [%s x%ld]", run.answers[i].text, run.answers[i].count);
	printf("\n");
	return 0;
}

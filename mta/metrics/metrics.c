/* mta/metrics/metrics.c - serves what all processes have counted, over HTTP: GET /metrics for Prometheus, /healthz, /readyz.
 * Security: runs as mail_owner; reads short requests, which choose one of a few fixed pages. It has no secrets and takes no orders; whether
 * others than this machine reach it is decided by the row of master.cf.
 */
#include "mta/metrics/metrics.h"

#include <string.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/service/service.h"
#include "mta/metrics/http.h"

#define REQUEST_MS 10000
#define ANSWER_MS 30000
#define LINE_MAX_SIZE 4096
#define HEADER_LINES_MAX 100

enum answer { PAGE, NOT_READY, NOT_FOUND, BAD_METHOD, BAD_REQUEST };

static const char *const status[] = { [PAGE] = "200 OK", [NOT_READY] = "503 Service Unavailable", [NOT_FOUND] = "404 Not Found",
	[BAD_METHOD] = "405 Method Not Allowed", [BAD_REQUEST] = "400 Bad Request" };

struct request {
	struct list node;
	struct stream *io;
	struct http_request http;
	bool idle;
	enum answer answer;
	struct buf body;
};

static struct list requests = { &requests, &requests };

static void choose_page(struct request *r, struct str path)
{
	r->answer = PAGE;
	if (str_eqz(path, "/metrics")) {
		page_metrics(&r->body);
	} else if (str_eqz(path, "/processes")) {
		page_processes(&r->body);
	} else if (str_eqz(path, "/healthz")) {
		buf_addz(&r->body, "alive\n");
	} else if (str_eqz(path, "/readyz")) {
		r->answer = page_ready() ? PAGE : NOT_READY;
		buf_addz(&r->body, r->answer == PAGE ? "ready\n" : "not ready\n");
	} else {
		r->answer = NOT_FOUND;
	}
}

/* -1: it is none, or never ends. */
static int read_header(struct request *r, int64_t deadline)
{
	struct buf line = { 0 };
	bool more = true;

	for (int i = 0; more && i < HEADER_LINES_MAX && stream_read_line(r->io, &line, LINE_MAX_SIZE, deadline) == STREAM_OK; i++)
		more = http_header_line(&r->http, buf_str(&line));
	buf_done(&line);
	return more ? -1 : 0;
}

/* 0: there is something to answer. */
static int read_request(struct request *r)
{
	struct buf line = { 0 };
	int64_t deadline = deadline_in(REQUEST_MS);

	if (stream_read_line(r->io, &line, LINE_MAX_SIZE, deadline) != STREAM_OK) {
		buf_done(&line);
		return -1;
	}
	r->idle = false;
	r->http = http_request_line(buf_str(&line));
	r->answer = BAD_REQUEST;
	if (read_header(r, deadline) == 0 && r->http.path.n > 0) {
		if (r->http.head || r->http.get)
			choose_page(r, r->http.path);
		else
			r->answer = BAD_METHOD;
	}
	buf_done(&line);
	return 0;
}

static int send_answer(struct request *r)
{
	bool close = r->http.close || r->answer >= BAD_METHOD || service_draining(); /* what else was sent is not looked at */
	int64_t deadline = deadline_in(ANSWER_MS);
	struct iovec body;

	if (r->body.n == 0)
		buf_addf(&r->body, "%s\n", status[r->answer]);
	stream_printf(r->io, deadline,
		"HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
		"X-Content-Type-Options: nosniff\r\nConnection: %s\r\n\r\n",
		status[r->answer], r->body.n, close ? "close" : "keep-alive");
	body = (struct iovec){ r->body.p, r->http.head ? 0 : r->body.n };
	return stream_writev(r->io, &body, 1, deadline) == STREAM_OK && !close ? 0 : -1;
}

static void serve(struct stream *io, const struct sock_addr *peer, unsigned listener)
{
	struct request r = { .io = io };
	int rc = 0;

	(void)peer;     /* the row of master.cf says who may ask */
	(void)listener; /* all serve the same */
	list_add_tail(&requests, &r.node);
	while (rc == 0) {
		r.idle = true;
		buf_clear(&r.body);
		rc = read_request(&r) < 0 ? -1 : send_answer(&r);
	}
	list_del(&r.node);
	buf_done(&r.body);
}

static void drain(void)
{
	for (struct list *i = requests.next; i != &requests; i = i->next) {
		struct request *r = LIST_OWNER(i, struct request, node);

		if (r->idle)
			(void)shutdown(stream_fd(r->io), SHUT_RD);
	}
}

static const struct service metrics_service = { .command = "metrics", .serve = serve, .drain = drain };

int main(int argc, char **argv)
{
	return service_main(argc, argv, &metrics_service);
}

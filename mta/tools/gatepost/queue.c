/* mta/tools/gatepost/queue.c - queue: list all messages, for people (as mailq prints it) or as JSON, one message a line. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sysexits.h>

#include "lib/mail/date.h"
#include "lib/queue/queue.h"
#include "mta/tools/gatepost/gatepost.h"

#define REASON_WIDTH 76 /* reasons end in this column when they fit */

struct listing {
	bool json;
	const char *queue;
	struct arena *a; /* for one message */
	unsigned long count;
	uint64_t size;
	struct err e;
};

struct entry { /* one message */
	struct queue_message m;
	const struct queue_status **last; /* by recipient: the latest deferral, or NULL */
};

static struct str sender_of(const struct entry *n)
{
	return n->m.sender.n > 0 ? n->m.sender : STR("MAILER-DAEMON");
}

static uint64_t size_of(const struct entry *n)
{
	return n->m.header_size + n->m.body_size;
}

/* ---- reading ---- */

static void read_reasons(struct listing *l, int fd, struct entry *n)
{
	struct queue_status *st;
	struct err e = ERR_INIT;
	size_t count;

	n->last = arena_alloc(l->a, (n->m.rcpt_count + 1) * sizeof *n->last);
	if (queue_load_status(fd, &n->m, l->a, &st, &count, &e) < 0)
		return; /* a list without reasons is better than none */
	for (size_t i = 0; i < count; i++)
		if (st[i].action == 'd' && st[i].rcpt_index < n->m.rcpt_count)
			n->last[st[i].rcpt_index] = &st[i];
}

/* False: not a message any more, or not yet. */
static bool read_entry(struct listing *l, const char *path, const char *id, struct entry *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct err e = ERR_INIT;
	bool good;

	if (fd < 0) {
		if (errno != ENOENT)
			tool_complain("%s: %s", path, strerror(errno));
		return false;
	}
	good = queue_load(fd, id, false, l->a, &n->m, &e) == 0;
	if (good)
		read_reasons(l, fd, n);
	else if (queue_begun(fd))
		tool_complain("%s: %s", path, e.text);
	close(fd);
	return good;
}

/* ---- for people ---- */

static void print_heading(void)
{
	printf("%-17s %8s %-19s %s\n", "----Queue ID-----", "--Size--", "---Arrival Time----", "--Sender/Recipient------");
}

static void print_safe(struct str s)
{
	struct buf safe = { 0 };

	buf_add_safe(&safe, s);
	printf("%s", buf_z(&safe));
	buf_done(&safe);
}

static void print_reason(struct str text)
{
	struct buf safe = { 0 };
	int pad;

	buf_add_safe(&safe, text);
	pad = safe.n < REASON_WIDTH ? (int)(REASON_WIDTH - safe.n) : 0;
	printf("%*s(%s)\n", pad, "", buf_z(&safe));
	buf_done(&safe);
}

static void print_recipients(const struct entry *n)
{
	struct str reason = STR_NONE;

	for (size_t i = 0; i < n->m.rcpt_count; i++) {
		const struct queue_rcpt *r = &n->m.rcpts[i];
		struct str own = n->last[i] != NULL ? n->last[i]->text : STR_NONE;

		if (r->done)
			continue;
		if (own.n > 0 && !str_eq(own, reason))
			print_reason(own);
		reason = own;
		printf("%-17s %8s %19s ", "", "", "");
		print_safe(r->addr);
		printf("\n");
	}
}

static void print_entry(const struct listing *l, const struct entry *n)
{
	struct buf line = { 0 };
	char mark = strcmp(l->queue, "active") == 0 ? '*' : strcmp(l->queue, "hold") == 0 ? '!' : ' ';

	if (l->count == 1)
		print_heading();
	buf_addf(&line, "%s%c", n->m.id, mark);
	printf("%-17s %8llu ", buf_z(&line), (unsigned long long)size_of(n));
	buf_clear(&line);
	date_asctime(&line, n->m.arrival_us);
	printf("%.19s ", buf_z(&line));
	buf_done(&line);
	print_safe(sender_of(n));
	printf("\n");
	print_recipients(n);
	printf("\n");
}

static void print_footer(const struct listing *l)
{
	if (l->count == 0)
		printf("Mail queue is empty\n");
	else
		printf("-- %llu Kbytes in %lu Request%s.\n", (unsigned long long)(l->size / 1024), l->count, l->count == 1 ? "" : "s");
}

/* ---- for programs ---- */

static void print_json_recipients(const struct entry *n)
{
	const char *separator = "";

	for (size_t i = 0; i < n->m.rcpt_count; i++) {
		if (n->m.rcpts[i].done)
			continue;
		printf("%s{\"address\": ", separator);
		tool_print_json(n->m.rcpts[i].addr);
		if (n->last[i] != NULL) {
			printf(", \"delay_reason\": ");
			tool_print_json(n->last[i]->text);
		}
		printf("}");
		separator = ", ";
	}
}

static void print_json_entry(const struct listing *l, const struct entry *n)
{
	printf("{\"queue_name\": \"%s\", \"queue_id\": \"%s\", \"arrival_time\": %lld, \"message_size\": %llu, \"forced_expire\": false, "
	       "\"sender\": ",
		l->queue, n->m.id, (long long)(n->m.arrival_us / 1000000), (unsigned long long)size_of(n));
	tool_print_json(sender_of(n));
	printf(", \"recipients\": [");
	print_json_recipients(n);
	printf("]}\n");
}

/* ---- the listing ---- */

static int list_one(void *ctx, const char *path, const char *id)
{
	struct listing *l = ctx;
	struct entry n = { 0 };

	if (read_entry(l, path, id, &n)) {
		l->count++;
		l->size += size_of(&n);
		if (l->json)
			print_json_entry(l, &n);
		else
			print_entry(l, &n);
	}
	arena_reset(l->a);
	return 0;
}

static int list(struct tool *t, bool json)
{
	static const char *const queues[] = { "maildrop", "incoming", "active", "deferred", "hold" };
	struct listing l = { .json = json, .a = arena_new("queue listing"), .e = ERR_INIT };
	int status = EX_OK;

	tool_enter_queue(t);
	for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
		l.queue = queues[i];
		if (queue_visit(l.queue, list_one, &l, &l.e) < 0) {
			tool_complain("%s (only root and %s see the queue)", l.e.text, conf_str(t->conf, "mail_owner"));
			status = EX_NOPERM;
		}
	}
	if (!json && status == EX_OK)
		print_footer(&l);
	arena_free(l.a);
	return status;
}

int verb_queue(struct tool *t, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "flush", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 } };
	enum notify_kind flush = NOTIFY_SCAN; /* none */
	const char *what = "";
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "c:fi:jps:v", longs, NULL)) != -1) {
		switch (option) {
		case 'c':
			t->conf_dir = optarg;
			break;
		case 'f':
			flush = NOTIFY_FLUSH;
			break;
		case 'i':
			flush = NOTIFY_FLUSH_ID;
			what = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'p':
		case 'v':
			break;
		case 's':
			flush = NOTIFY_FLUSH_SITE;
			what = optarg;
			break;
		default:
			return EX_USAGE;
		}
	}
	return flush != NOTIFY_SCAN ? flush_queue(t, flush, what) : list(t, json);
}

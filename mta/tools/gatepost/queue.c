/* mta/tools/gatepost/queue.c - queue: list messages, for people (as mailq prints it) or as JSON, one message a line. */
#include <sysexits.h>

#include "lib/base/json.h"
#include "lib/mail/date.h"
#include "mta/tools/gatepost/select.h"

#define REASON_WIDTH 76 /* reasons end in this column when they fit */

struct listing {
	bool json;
	unsigned long count;
	uint64_t size;
	struct buf line; /* for programs */
};

static struct str sender_of(const struct entry *n)
{
	return n->m.sender.n > 0 ? n->m.sender : STR("MAILER-DAEMON");
}

static uint64_t size_of(const struct entry *n)
{
	return n->m.header_size + n->m.body_size;
}

/* ---- for people ---- */

static void print_heading(void)
{
	printf("----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n");
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
	char mark = strcmp(n->queue, "active") == 0 ? '*' : strcmp(n->queue, "hold") == 0 ? '!' : n->expiring ? '#' : ' ';

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

static void add_json_recipients(struct buf *b, const struct entry *n)
{
	const char *separator = "";

	for (size_t i = 0; i < n->m.rcpt_count; i++) {
		if (n->m.rcpts[i].done)
			continue;
		buf_addz(b, separator);
		buf_addz(b, "{\"address\": ");
		json_add_string(b, n->m.rcpts[i].addr);
		if (n->last[i] != NULL) {
			buf_addz(b, ", \"delay_reason\": ");
			json_add_string(b, n->last[i]->text);
		}
		buf_addc(b, '}');
		separator = ", ";
	}
}

/* The members that Postfix has, spaced as there. */
static void print_json_entry(struct listing *l, const struct entry *n)
{
	struct buf *b = &l->line;

	buf_clear(b);
	buf_addf(b,
		"{\"queue_name\": \"%s\", \"queue_id\": \"%s\", \"arrival_time\": %lld, \"message_size\": %llu, \"forced_expire\": %s, "
		"\"sender\": ",
		n->queue, n->m.id, (long long)(n->m.arrival_us / 1000000), (unsigned long long)size_of(n), n->expiring ? "true" : "false");
	json_add_string(b, sender_of(n));
	buf_addz(b, ", \"recipients\": [");
	add_json_recipients(b, n);
	buf_addz(b, "]}\n");
	fwrite(b->p, 1, b->n, stdout);
}

/* ---- the listing ---- */

static void list_one(void *ctx, const struct entry *n)
{
	struct listing *l = ctx;

	l->count++;
	l->size += size_of(n);
	if (l->json)
		print_json_entry(l, n);
	else
		print_entry(l, n);
}

static int list(struct tool *t, struct selection *s, bool json)
{
	struct listing l = { .json = json };
	int status;

	tool_enter_queue(t);
	status = selection_walk(s, SELECT_REASONS, list_one, NULL, &l);
	if (!json && status == EX_OK)
		print_footer(&l);
	buf_done(&l.line);
	return status;
}

struct wish { /* what the command line says */
	bool json;
	enum notify_kind flush; /* NOTIFY_SCAN: none */
	const char *what; /* to flush */
};

static bool take_option(struct tool *t, struct wish *w, int option)
{
	static const struct {
		int option;
		enum notify_kind kind;
	} flushes[] = { { 'f', NOTIFY_FLUSH }, { 'i', NOTIFY_FLUSH_ID }, { 's', NOTIFY_FLUSH_SITE } };

	for (size_t i = 0; i < sizeof flushes / sizeof *flushes; i++) {
		if (flushes[i].option == option) {
			w->flush = flushes[i].kind;
			w->what = optarg != NULL ? optarg : "";
			return true;
		}
	}
	if (option == 'c')
		t->conf_dir = optarg;
	w->json = w->json || option == 'j';
	return strchr("cjpv", option) != NULL;
}

int verb_queue(struct tool *t, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "flush", no_argument, NULL, 'f' }, SELECT_OPTIONS,
		{ NULL, 0, NULL, 0 } };
	struct wish w = { .flush = NOTIFY_SCAN };
	struct selection s;
	int option, status = EX_OK;

	selection_begin(&s);
	while (status == EX_OK && (option = getopt_long(argc, argv, "c:fi:jps:v", longs, NULL)) != -1)
		if (option == '?' || (option < SELECT_OLDER ? !take_option(t, &w, option) : !selection_option(&s, option, optarg)))
			status = EX_USAGE;
	for (int i = optind; i < argc && status == EX_OK; i++)
		if (!selection_add(&s, argv[i]))
			status = EX_USAGE;
	if (status == EX_OK)
		status = w.flush != NOTIFY_SCAN ? flush_queue(t, w.flush, w.what) : list(t, &s, w.json);
	selection_end(&s);
	return status;
}

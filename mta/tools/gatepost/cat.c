/* mta/tools/gatepost/cat.c - cat: a message of the queue in readable form: envelope, content, what happened so far. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sysexits.h>

#include "lib/base/fs.h"
#include "lib/mail/date.h"
#include "lib/mail/dsn.h"
#include "lib/queue/queue.h"
#include "mta/tools/gatepost/gatepost.h"

#define PIECE 65536

struct parts {
	bool envelope, header, body;
};

static void print_named(const char *name, struct str value)
{
	struct buf safe = { 0 };

	if (value.n == 0)
		return;
	buf_add_safe(&safe, value);
	printf("named_attribute: %s=%s\n", name, buf_z(&safe));
	buf_done(&safe);
}

static void print_line(const char *name, struct str value)
{
	struct buf safe = { 0 };

	buf_add_safe(&safe, value);
	printf("%s: %s\n", name, buf_z(&safe));
	buf_done(&safe);
}

static void print_time(const char *name, int64_t us)
{
	struct buf text = { 0 };

	date_asctime(&text, us);
	printf("%s: %s\n", name, buf_z(&text));
	buf_done(&text);
}

static void print_client(const struct queue_client *c, const char *prefix)
{
	const struct {
		const char *name;
		struct str value;
	} rows[] = {
		{ "client_name", c->name },
		{ "client_address", c->addr },
		{ "client_port", c->port },
		{ "helo_name", c->helo },
		{ "protocol_name", c->proto },
	};
	char name[32];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		(void)snprintf(name, sizeof name, "%s%s", prefix, rows[i].name);
		print_named(name, rows[i].value);
	}
}

static void print_number(const char *name, int value)
{
	if (value != 0)
		printf("named_attribute: %s=%d\n", name, value);
}

static void print_recipient(const struct queue_rcpt *r)
{
	print_named("dsn_orig_rcpt", r->orcpt);
	print_number("notify_flags", r->notify);
	print_line("original_recipient", r->orig.n > 0 ? r->orig : r->addr);
	print_line(r->done ? "done_recipient" : "recipient", r->addr);
}

/* The names and the order that Postfix has; it knows some that we do not keep. */
static void print_envelope(const struct queue_message *m)
{
	unsigned long long size = m->header_size + m->body_size;
	const struct queue_client *c = &m->client;

	printf("message_size: %15llu %15llu %15zu %15d %15llu %15d\n", size, (unsigned long long)m->header_at, m->rcpt_count, 0, size,
		(m->flags & QUEUE_UTF8) != 0);
	print_time("message_arrival_time", m->arrival_us);
	if (queue_id_time(m->id) > 0)
		print_time("create_time", queue_id_time(m->id) * 1000000);
	print_named("log_ident", str_z(m->id));
	print_named("envelope_id", m->envid);
	print_number("ret_flags", m->ret);
	print_line("sender", m->sender);
	print_client(c, "log_");
	print_client(c, "");
	print_named("server_address", c->server);
	if (c->addr.n > 0)
		print_named("client_address_type", str_any(c->addr, ":") < 0 ? STR("2") : STR("10"));
	print_named("sasl_method", c->sasl_method);
	print_named("sasl_username", c->sasl_user);
	print_named("sasl_sender", c->sasl_sender);
	print_named("encoding", m->flags & QUEUE_BODY_8BITMIME ? STR("8bit") : STR_NONE);
	if (m->filter.n > 0)
		print_line("content_filter", m->filter);
	if (m->verp.n > 0)
		print_line("verp_delimiters", m->verp);
	for (size_t i = 0; i < m->rcpt_count; i++)
		print_recipient(&m->rcpts[i]);
}

static const char *action_word(char action)
{
	switch (action) {
	case 's':
		return "sent";
	case 'd':
		return "deferred";
	case 'b':
		return "bounced";
	case 'x':
		return "expired";
	default:
		return "delay warning";
	}
}

static void print_history(int fd, const struct queue_message *m, struct arena *a)
{
	struct queue_status *st;
	struct err e = ERR_INIT;
	struct buf line = { 0 };
	size_t count;

	if (queue_load_status(fd, m, a, &st, &count, &e) < 0)
		tool_complain("%s", e.text);
	else
		for (size_t i = 0; i < count; i++) {
			const struct queue_status *s = &st[i];
			struct str to = s->rcpt_index < m->rcpt_count ? m->rcpts[s->rcpt_index].addr : STR("?");

			buf_clear(&line);
			date_rfc3339(&line, s->at_us);
			buf_addf(&line, " to=<%.*s> %s ", STRF(to), action_word(s->action));
			dsn_print(&line, s->code);
			buf_addf(&line, " relay=%.*s (%.*s)", STRF(s->relay), STRF(s->text));
			print_line("status", buf_str(&line));
		}
	buf_done(&line);
}

/* Content as it is, with the line ends of this system. */
static int print_content(int fd, uint64_t at, uint64_t size)
{
	static char piece[PIECE];
	struct err e = ERR_INIT;
	bool cr = false;

	while (size > 0) {
		size_t n = size < PIECE ? (size_t)size : PIECE;

		if (fs_pread_all(fd, piece, n, (off_t)at, &e) < 0) {
			tool_complain("%s", e.text);
			return EX_IOERR;
		}
		for (size_t i = 0; i < n; i++) {
			if (cr && piece[i] != '\n')
				putchar('\r');
			cr = piece[i] == '\r';
			if (!cr)
				putchar(piece[i]);
		}
		at += n;
		size -= n;
	}
	return EX_OK;
}

/* The header block ends with the empty line, which is the body's when only one of them is wanted. */
static int print_parts(int fd, const struct queue_message *m, struct parts want)
{
	char end[4];
	struct err e = ERR_INIT;
	bool line = m->header_size >= sizeof end &&
		    fs_pread_all(fd, end, sizeof end, (off_t)(m->header_at + m->header_size - sizeof end), &e) == 0 &&
		    memcmp(end, "\r\n\r\n", sizeof end) == 0;
	int status = EX_OK;

	if (want.header)
		status = print_content(fd, m->header_at, m->header_size - (line && !want.body ? 2 : 0));
	else if (want.body && line)
		putchar('\n');
	if (want.body && status == EX_OK)
		status = print_content(fd, m->body_at, m->body_size);
	return status;
}

static int print_message(int fd, const char *path, const struct queue_message *m, struct arena *a, struct parts want)
{
	int status;

	if (!want.envelope)
		return print_parts(fd, m, want);
	printf("*** ENVELOPE RECORDS %s ***\n", path);
	print_envelope(m);
	printf("*** MESSAGE CONTENTS %s ***\n", path);
	status = print_parts(fd, m, want);
	printf("*** HEADER EXTRACTED %s ***\n", path);
	print_history(fd, m, a);
	printf("*** MESSAGE FILE END %s ***\n", path);
	return status;
}

/* An id, wherever it is; or a path, which is taken as it is. */
static int cat_one(const char *name, struct parts want)
{
	struct arena *a = arena_new("cat");
	const char *base = strrchr(name, '/');
	struct buf path = { 0 };
	struct queue_message m;
	struct err e = ERR_INIT;
	int fd = -1, status = EX_NOINPUT;

	if (base != NULL)
		buf_addz(&path, name);
	if (base == NULL && !queue_find(name, &path))
		tool_complain("%s: no such message in the queue", name);
	else if ((fd = open(buf_z(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		tool_complain("%s: %s", buf_z(&path), strerror(errno));
	else if (queue_load(fd, base != NULL ? base + 1 : name, true, a, &m, &e) < 0)
		tool_complain("%s: %s", buf_z(&path), e.text);
	else
		status = print_message(fd, buf_z(&path), &m, a, want);
	if (fd >= 0)
		close(fd);
	buf_done(&path);
	arena_free(a);
	return status;
}

int verb_cat(struct tool *t, int argc, char **argv)
{
	struct parts want = { false, false, false };
	int option, status = EX_OK;

	while ((option = getopt(argc, argv, "c:bdehoqrs:v")) != -1) { /* -q: an id needs no other word */
		if (option == 'c')
			t->conf_dir = optarg;
		if (strchr("dors", option) != NULL)
			tool_complain("-%c is about records, which the files of this queue do not have", option);
		if (strchr("?dors", option) != NULL)
			return EX_USAGE;
		want.envelope |= option == 'e';
		want.header |= option == 'h';
		want.body |= option == 'b';
	}
	if (!want.envelope && !want.header && !want.body)
		want = (struct parts){ true, true, true };
	if (optind >= argc) {
		tool_complain("which message? A queue id, as gatepost queue shows it");
		return EX_USAGE;
	}
	tool_enter_queue(t);
	for (int i = optind; i < argc; i++) {
		int one = cat_one(argv[i], want);

		status = one != EX_OK ? one : status;
	}
	return status;
}

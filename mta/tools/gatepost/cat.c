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

static void print_client(const struct queue_client *c)
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
		{ "sasl_method", c->sasl_method },
		{ "sasl_username", c->sasl_user },
		{ "sasl_sender", c->sasl_sender },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		print_named(rows[i].name, rows[i].value);
}

static void print_envelope(const struct queue_message *m)
{
	printf("message_size: %llu\n", (unsigned long long)(m->header_size + m->body_size));
	print_time("message_arrival_time", m->arrival_us);
	print_client(&m->client);
	print_named("envelope_id", m->envid);
	print_named("content_filter", m->filter);
	print_line("sender", m->sender);
	if (m->verp.n > 0)
		print_line("verp_delimiters", m->verp);
	for (size_t i = 0; i < m->rcpt_count; i++) {
		const struct queue_rcpt *r = &m->rcpts[i];

		if (r->orcpt.n > 0)
			print_named("dsn_orig_rcpt", r->orcpt);
		if (r->orig.n > 0)
			print_line("original_recipient", r->orig);
		print_line(r->done ? "done_recipient" : "recipient", r->addr);
	}
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

	while (size > 0) {
		size_t n = size < PIECE ? (size_t)size : PIECE;

		if (fs_pread_all(fd, piece, n, (off_t)at, &e) < 0) {
			tool_complain("%s", e.text);
			return EX_IOERR;
		}
		for (size_t i = 0; i < n; i++)
			if (piece[i] != '\r')
				putchar(piece[i]);
		at += n;
		size -= n;
	}
	return EX_OK;
}

static int print_message(int fd, const char *path, const struct queue_message *m, struct arena *a, struct parts want)
{
	int status = EX_OK;

	if (want.envelope) {
		printf("*** ENVELOPE RECORDS %s ***\n", path);
		print_envelope(m);
	}
	if (want.header || want.body)
		printf("*** MESSAGE CONTENTS %s ***\n", path);
	if (want.header)
		status = print_content(fd, m->header_at, m->header_size);
	if (want.body && status == EX_OK)
		status = print_content(fd, m->body_at, m->body_size);
	if (want.envelope)
		print_history(fd, m, a);
	printf("*** MESSAGE FILE END %s ***\n", path);
	return status;
}

static int cat_one(const char *id, struct parts want)
{
	struct arena *a = arena_new("cat");
	struct buf path = { 0 };
	struct queue_message m;
	struct err e = ERR_INIT;
	int fd = -1, status = EX_NOINPUT;

	if (!queue_find(id, &path))
		tool_complain("%s: no such message in the queue", id);
	else if ((fd = open(buf_z(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		tool_complain("%s: %s", buf_z(&path), strerror(errno));
	else if (queue_load(fd, id, true, a, &m, &e) < 0)
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

	while ((option = getopt(argc, argv, "c:bdehoqv")) != -1) { /* -q: always by id */
		if (option == 'c')
			t->conf_dir = optarg;
		else if (option == '?')
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

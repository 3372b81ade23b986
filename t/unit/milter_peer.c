/* t/unit/milter_peer.c - see milter_peer.h. */
#include "t/unit/milter_peer.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/net/fiber.h"
#include "lib/net/loop.h"

/* ---- the filter ---- */

static bool read_all(int fd, void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = read(fd, (char *)p + at, n - at);

		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

/* Who asked may be gone; what it said is still to be read. */
static void write_all(int fd, struct str s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n <= 0)
			return;
		s = str_skip(s, (size_t)n);
	}
}

static void greet(int fd, const struct script *sc)
{
	struct buf b = { 0 };
	size_t at = packet_begin(&b, 'O');

	packet_u32(&b, sc->version);
	packet_u32(&b, (sc->version >= 6 ? 0x1ff : 0x3f) & ~sc->no_actions);
	packet_u32(&b, sc->protocol);
	buf_add(&b, sc->lists);
	packet_end(&b, at);
	write_all(fd, buf_str(&b));
	buf_done(&b);
}

/* "M(<a@b>|SIZE=1)": what a packet carried, in a line of its own; long bodies by their size. */
static void note(struct buf *seen, char command, struct str payload)
{
	buf_addc(seen, command);
	if (command == 'B' && payload.n > 200) {
		buf_addf(seen, "[%zu]", payload.n);
	} else if (payload.n > 0 && command != 'C' && command != 'O') {
		buf_addc(seen, '(');
		for (size_t i = 0; i < payload.n; i++) {
			char c = payload.p[i];

			if (c == '\0' && i + 1 == payload.n)
				break;
			buf_addc(seen, c == '\0' ? '|' : c == '\r' ? 'r' : c == '\n' ? 'n' : c);
		}
		buf_addc(seen, ')');
	}
	buf_addc(seen, ' ');
}

static bool silent(const struct script *sc, char command)
{
	static const struct {
		char command;
		uint32_t bit;
	} bits[] = { { 'L', 0x80 }, { 'C', 0x1000 }, { 'H', 0x2000 }, { 'M', 0x4000 }, { 'R', 0x8000 }, { 'T', 0x10000 }, { 'U', 0x20000 },
		{ 'N', 0x40000 }, { 'B', 0x80000 } };

	for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
		if (bits[i].command == command && (sc->protocol & bits[i].bit) != 0)
			return true;
	return command == 'A' || command == 'Q' || command == 'D';
}

static bool reply(int fd, const struct script *sc, char command, int nth)
{
	const struct gate *g = &sc->gate;

	if (g->command == command && g->takes > 0 && !read_all(g->takes, &(char){ 0 }, 1))
		return false;
	if (g->command == command && g->gives > 0)
		write_all(g->gives, STR("x"));
	for (size_t i = 0; i < sizeof sc->answers / sizeof *sc->answers; i++) {
		const struct answer *a = &sc->answers[i];

		if (a->command != command || (a->nth != 0 && a->nth != nth))
			continue;
		if (str_eqz(a->bytes, "!"))
			return false;
		write_all(fd, a->bytes);
		return true;
	}
	if (command == 'O')
		greet(fd, sc);
	else if (!silent(sc, command))
		write_all(fd, STR("\0\0\0\1c"));
	return true;
}

static void run_filter(int fd, int report, const struct script *sc, bool macros)
{
	struct buf seen = { 0 };
	int count[256] = { 0 };
	unsigned char head[PACKET_HEAD];

	while (read_all(fd, head, sizeof head)) {
		struct buf payload = { 0 };
		uint32_t n = packet_length(head) - 1;

		buf_reserve(&payload, n);
		payload.n = n;
		if (!read_all(fd, payload.p, n))
			break;
		if (head[4] != 'D' || macros)
			note(&seen, (char)head[4], buf_str(&payload));
		buf_done(&payload);
		if (head[4] == 'Q' || !reply(fd, sc, (char)head[4], ++count[head[4]]))
			break;
	}
	close(fd);
	write_all(report, buf_str(&seen));
	_exit(0);
}

void filter_start(struct filter *f, const struct script *sc, bool macros)
{
	static int number;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int report[2];

	snprintf(f->path, sizeof f->path, "/tmp/gatepost-milter-%ld-%d", (long)getpid(), number++);
	snprintf(un.sun_path, sizeof un.sun_path, "%s", f->path);
	f->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(f->listener, (struct sockaddr *)&un, sizeof un) < 0 || listen(f->listener, 4) < 0 || pipe(report) < 0)
		skip_all("no unix sockets here");
	f->report = report[0];
	fflush(stdout);
	f->pid = fork();
	if (f->pid == 0) {
		int fd;

		signal(SIGPIPE, SIG_IGN);
		close(report[0]);
		fd = accept(f->listener, NULL, NULL);
		run_filter(fd, report[1], sc, macros);
	}
	close(report[1]);
}

/* What it saw, blank separated. */
struct str filter_end(struct filter *f, struct arena *a)
{
	struct buf b = { 0 };
	struct str seen;
	char p[4096];
	ssize_t n;

	close(f->listener);
	unlink(f->path);
	while ((n = read(f->report, p, sizeof p)) > 0)
		buf_addn(&b, p, (size_t)n);
	close(f->report);
	waitpid(f->pid, NULL, 0);
	seen = str_trim(arena_dup(a, buf_str(&b)));
	buf_done(&b);
	return seen;
}

/* ---- the message ---- */

static int log_change(struct letter *l, const char *what, struct str a, struct str b)
{
	buf_addf(&l->log, "%s(%.*s|%.*s) ", what, STRF(a), STRF(b));
	return 0;
}

static int change_sender(void *ctx, struct str sender, struct str args, struct err *e)
{
	(void)e;
	return log_change(ctx, "from", sender, args);
}

static int add_rcpt(void *ctx, struct str rcpt, struct str args, struct err *e)
{
	if (str_eqz(rcpt, "full@disk"))
		return err_temp(e, "no space");
	return log_change(ctx, "add", rcpt, args);
}

static int del_rcpt(void *ctx, struct str rcpt, struct err *e)
{
	(void)e;
	return log_change(ctx, "del", rcpt, STR_NONE);
}

static int quarantine(void *ctx, struct str reason, struct err *e)
{
	(void)e;
	return log_change(ctx, "hold", reason, STR_NONE);
}

static int replace_body(void *ctx, struct str body, struct err *e)
{
	struct letter *l = ctx;

	(void)e;
	buf_clear(&l->body);
	buf_add(&l->body, body);
	l->mail.body = buf_str(&l->body);
	return 0;
}

void letter_init(struct letter *l, struct arena *a, const char *header, struct str body)
{
	bool missing;

	memset(l, 0, sizeof *l);
	header_init(&l->header, a);
	header_parse(&l->header, str_z(header), &missing);
	header_insert(&l->header, 0, STR("Received"), STR("ours"), true);
	l->header.fields[0].hidden = true;
	buf_add(&l->body, body);
	l->mail = (struct milter_mail){ .ctx = l,
		.header = &l->header,
		.body = buf_str(&l->body),
		.change_sender = change_sender,
		.add_rcpt = add_rcpt,
		.del_rcpt = del_rcpt,
		.replace_body = replace_body,
		.quarantine = quarantine };
}

void letter_done(struct letter *l)
{
	buf_done(&l->body);
	buf_done(&l->log);
}

struct str letter_header(struct letter *l, struct arena *a)
{
	struct buf b = { 0 };
	struct str s;

	header_print(&l->header, &b);
	s = arena_dup(a, buf_str(&b));
	buf_done(&b);
	return s;
}

/* ---- the MTA's side ---- */

static bool macro(void *ctx, struct str name, struct str *value)
{
	(void)ctx;
	if (str_eqz(name, "i"))
		*value = STR("ID");
	else if (str_eqz(name, "auth_authen"))
		return false;
	else if (str_eqz(name, "mail_addr"))
		*value = STR("a@b");
	else
		return false;
	return true;
}

static const struct milter_macros macros = { .names = { [MILTER_CONNECT] = "j {nosuch}",
						     [MILTER_MAIL] = "i {mail_addr} {auth_authen}",
						     [MILTER_EOH] = "i {mail_addr}",
						     [MILTER_EOM] = "i",
						     [MILTER_UNKNOWN] = "" },
	.defaults = "j=host, {nosuch}=given" };

void talk_begin(struct talk *t, const struct script *sc, size_t count, enum milter_default on_failure, bool with_macros)
{
	memset(t, 0, sizeof *t);
	t->a = arena_new("test");
	for (size_t i = 0; i < count; i++) {
		filter_start(&t->f[i], &sc[i], with_macros);
		t->set[i] = (struct milter_settings){ .endpoint = arena_z(t->a, arena_printf(t->a, "unix:%s", t->f[i].path)),
			.connect_ms = 5000,
			.command_ms = 500,
			.content_ms = 500,
			.on_failure = on_failure,
			.version = 6 };
	}
	t->chain = (struct milter_chain){ t->set, count };
	t->s = milter_session_new(t->a, &t->chain, &macros, macro, NULL);
}

void envelope(struct talk *t)
{
	struct str args[] = { STR_INIT("SIZE=1") };

	milter_connect(t->s, STR("[127.0.0.1]"), '4', 25, STR("127.0.0.1"), &t->answer);
	if (t->answer.verdict == MILTER_GO_ON)
		milter_helo(t->s, STR("cli"), &t->answer);
	if (t->answer.verdict == MILTER_GO_ON)
		milter_mail(t->s, STR("<a@b>"), args, 1, &t->answer);
	if (t->answer.verdict == MILTER_GO_ON)
		milter_rcpt(t->s, STR("<c@d>"), NULL, 0, &t->answer);
	if (t->answer.verdict == MILTER_GO_ON)
		milter_data(t->s, &t->answer);
}

struct str talk_end(struct talk *t)
{
	milter_session_close(t->s);
	for (size_t i = 0; i < t->chain.count; i++)
		t->seen[i] = filter_end(&t->f[i], t->a);
	return t->seen[0];
}

const char mail_header[] = "Received: old\r\nX-A: one\r\nX-B:  b\r\nX-A: two\r\nX-A: three\r\nSubject: s\r\n t\r\n\r\n";

/* ---- the test ---- */

static void (*tests)(void);

static void run_tests(void *arg)
{
	(void)arg; /* there is one list of tests */
	tests();
	loop_stop();
}

int peer_main(void (*fn)(void))
{
	tests = fn;
	loop_init();
	fiber_start("test", run_tests, NULL);
	loop_run();
	return done_testing();
}

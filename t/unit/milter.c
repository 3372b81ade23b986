/* t/unit/milter.c - a milter session against a scripted filter in another process: what is sent, what answers mean, what edits do. */
#include "lib/milter/milter.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/milter/codec.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "t/unit/tap.h"

/* ---- the filter ---- */

enum { NR_ALL = 0xff080, NO_ALL = 0x37f, LEADSPC = 0x100000, RCPT_REJ = 0x800 };

struct answer {
	char command; /* answered with ... */
	int nth; /* the how manieth of that command; 0: each */
	struct str bytes; /* packets; "!" closes the connection, "" says nothing */
};

struct script {
	uint32_t version, protocol;
	struct str lists;
	struct answer answers[8];
};

struct filter {
	int listener, report; /* report: what it saw */
	pid_t pid;
	char path[64];
};

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

static void write_all(int fd, struct str s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n <= 0)
			_exit(1);
		s = str_skip(s, (size_t)n);
	}
}

static void greet(int fd, const struct script *sc)
{
	struct buf b = { 0 };
	size_t at = packet_begin(&b, 'O');

	packet_u32(&b, sc->version);
	packet_u32(&b, sc->version >= 6 ? 0x1ff : 0x3f);
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

static void filter_start(struct filter *f, const struct script *sc, bool macros)
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

		close(report[0]);
		fd = accept(f->listener, NULL, NULL);
		run_filter(fd, report[1], sc, macros);
	}
	close(report[1]);
}

/* What it saw, blank separated. */
static struct str filter_end(struct filter *f, struct arena *a)
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

struct letter {
	struct milter_mail mail;
	struct header header;
	struct buf body, log; /* log: envelope changes */
};

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

static int check_header(void *ctx, struct buf *field, struct buf *before, struct err *e)
{
	(void)ctx;
	(void)e;
	if (str_find(buf_str(field), STR("secret")) >= 0)
		return 0;
	if (str_eqz(buf_str(field), "X-Repl: old")) {
		buf_clear(field);
		buf_addz(field, "X-Repl: new");
		buf_addz(before, "X-Before: it");
	}
	return 1;
}

static void letter_init(struct letter *l, struct arena *a, const char *header, struct str body)
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

static void letter_done(struct letter *l)
{
	buf_done(&l->body);
	buf_done(&l->log);
}

static struct str letter_header(struct letter *l, struct arena *a)
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

struct talk {
	struct arena *a;
	struct filter f[2];
	struct milter_settings set[2];
	struct milter_chain chain;
	struct milter_session *s;
	struct milter_answer answer;
};

static void talk_begin(struct talk *t, const struct script *sc, size_t count, enum milter_default on_failure, bool with_macros)
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

static void envelope(struct talk *t)
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

static struct str talk_end(struct talk *t)
{
	struct str seen;

	milter_session_close(t->s);
	seen = filter_end(&t->f[0], t->a);
	if (t->chain.count > 1)
		filter_end(&t->f[1], t->a);
	return seen;
}

static const char mail_header[] = "Received: old\r\nX-A: one\r\nX-B:  b\r\nX-A: two\r\nX-A: three\r\nSubject: s\r\n t\r\n\r\n";

/* ---- what is sent ---- */

static const struct {
	const char *name;
	struct script sc;
	const char *seen;
} wires[] = {
	{ "a plain filter", { .version = 6 },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N "
		"B(bodyrn) E A A Q" },
	{ "leading space kept", { .version = 6, .protocol = LEADSPC },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(Received| old) L(X-A| one) L(X-B|  b) L(X-A| two) L(X-A| three) L(Subject| sn t) "
		"N "
		"B(bodyrn) E A A Q" },
	{ "no answers but the last", { .version = 6, .protocol = NR_ALL },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N "
		"B(bodyrn) E A A Q" },
	{ "nothing wanted but the end", { .version = 6, .protocol = NO_ALL }, "O E A A Q" },
	{ "version 2 knows no DATA", { .version = 2 },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) L(Received|old) L(X-A|one) L(X-B| b) L(X-A|two) L(X-A|three) L(Subject|sn t) N "
		"B(bodyrn) "
		"E A A Q" },
	{ "accept at RCPT is for the whole message", { .version = 6, .answers = { { 'R', 0, STR_INIT("\0\0\0\1a") } } },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) A A Q" },
	{ "accept at CONNECT closes", { .version = 6, .answers = { { 'C', 0, STR_INIT("\0\0\0\1a") } } }, "O C" },
	{ "skip", { .version = 6, .answers = { { 'L', 1, STR_INIT("\0\0\0\1s") } } },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(Received|old) N B(bodyrn) E A A Q" },
	{ "discard ends the talk", { .version = 6, .answers = { { 'R', 0, STR_INIT("\0\0\0\1d") } } },
		"O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) A A Q" },
};

static void test_wire(void)
{
	for (size_t i = 0; i < sizeof wires / sizeof *wires; i++) {
		struct letter l;
		struct talk t;

		talk_begin(&t, &wires[i].sc, 1, MILTER_TEMPFAIL, false);
		letter_init(&l, t.a, mail_header, STR("body\r\n"));
		envelope(&t);
		milter_content(t.s, &l.mail, &t.answer);
		milter_abort(t.s);
		milter_abort(t.s); /* once is enough */
		is_str(talk_end(&t), str_z(wires[i].seen), wires[i].name);
		letter_done(&l);
		arena_free(t.a);
	}
}

static void test_macros(void)
{
	struct script sc = { .version = 6, .lists = STR_INIT("\0\0\0\2i\0\0\0\0\1\0") };
	struct talk t;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, true);
	envelope(&t);
	milter_unknown(t.s, STR("FOO bar"), &t.answer);
	is_str(talk_end(&t),
		STR("O D(Cj|host|{nosuch}|given) C D(H) H(cli) D(Mi|ID) M(<a@b>|SIZE=1) D(R) R(<c@d>) D(T) T D(U) U(FOO bar) A A Q"),
		"macros in front of their event; lists the filter asked for");
	arena_free(t.a);
}

static void test_body_chunks(void)
{
	static char big[200000];
	static const uint32_t protocols[] = { 0, NR_ALL };
	static const struct {
		size_t size;
		const char *seen;
	} sizes[] = { { 0, "E" }, { 65535, "B[65535] E" }, { 65536, "B[65535] B(x) E" },
		{ 200000, "B[65535] B[65535] B[65535] B[3395] E" } };

	memset(big, 'x', sizeof big);
	for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
		struct script sc = { .version = 6, .protocol = protocols[i % 2] | 0x60 };
		struct letter l;
		struct talk t;
		struct str seen;

		talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
		letter_init(&l, t.a, mail_header, str_n(big, sizes[i / 2].size));
		envelope(&t);
		milter_content(t.s, &l.mail, &t.answer);
		seen = talk_end(&t);
		ok(t.answer.verdict == MILTER_GO_ON, "body of %zu octets passes", sizes[i / 2].size);
		is_str(str_skip(seen, (size_t)str_find(seen, STR(" T ")) + 3), arena_printf(t.a, "%s A A Q", sizes[i / 2].seen), "chunks");
		letter_done(&l);
		arena_free(t.a);
	}
}

static void test_helo_again(void)
{
	struct script sc = { .version = 6 };
	struct talk t;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	milter_connect(t.s, STR("unknown"), 'U', 0, STR_NONE, &t.answer);
	milter_helo(t.s, STR("one"), &t.answer);
	milter_mail(t.s, STR("<a@b>"), NULL, 0, &t.answer);
	milter_helo(t.s, STR("two"), &t.answer);
	milter_abort(t.s);
	is_str(talk_end(&t), STR("O C H(one) M(<a@b>) H(two) A A A Q"), "a second HELO: one abort for the first, one for the transaction");
	arena_free(t.a);
}

static void test_rejected_rcpt(void)
{
	static const struct {
		uint32_t protocol;
		const char *seen;
	} rows[] = { { 0, "O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T A A Q" },
		{ RCPT_REJ, "O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T R(<no@d>) A A Q" } };

	for (size_t i = 0; i < 2; i++) {
		struct script sc = { .version = 6, .protocol = rows[i].protocol };
		struct talk t;

		talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
		envelope(&t);
		ok(milter_wants_rejected_rcpt(t.s) == (i == 1), "refused recipients wanted: %d", (int)i);
		milter_rcpt_rejected(t.s, STR("<no@d>"), NULL, 0);
		is_str(talk_end(&t), str_z(rows[i].seen), "refused recipient");
		arena_free(t.a);
	}
}

/* ---- verdicts ---- */

static const struct {
	const char *name;
	struct answer answer;
	enum milter_default on_failure;
	enum milter_verdict verdict;
	struct code code;
	const char *text;
	bool hold;
} verdicts[] = {
	{ "reject", { 'M', 0, STR_INIT("\0\0\0\1r") }, 0, MILTER_REPLY, { 550, 5, 7, 1 }, "Command rejected", false },
	{ "tempfail", { 'H', 0, STR_INIT("\0\0\0\1t") }, 0, MILTER_REPLY, { 451, 4, 7, 1 }, "Service unavailable - try again later",
		false },
	{ "reply", { 'R', 0, STR_INIT("\0\0\0\024y554 5.7.9 so there\0") }, 0, MILTER_REPLY, { 554, 5, 7, 9 }, "so there", false },
	{ "reply 421", { 'T', 0, STR_INIT("\0\0\0\017y421 4.7.0 bye\0") }, 0, MILTER_HANGUP, { 421, 4, 7, 0 }, "bye", false },
	{ "shutdown", { 'M', 0, STR_INIT("\0\0\0\0014") }, 0, MILTER_HANGUP, { 421, 4, 7, 0 }, "Server closing connection", false },
	{ "discard", { 'R', 0, STR_INIT("\0\0\0\1d") }, 0, MILTER_DISCARD, { 0, 0, 0, 0 }, "", false },
	{ "discard is nothing at HELO", { 'H', 0, STR_INIT("\0\0\0\1d") }, 0, MILTER_GO_ON, { 0, 0, 0, 0 }, "", false },
	{ "closed, accept", { 'M', 0, STR_INIT("!") }, MILTER_ACCEPT, MILTER_GO_ON, { 0, 0, 0, 0 }, "", false },
	{ "closed, reject", { 'M', 0, STR_INIT("!") }, MILTER_REJECT, MILTER_REPLY, { 550, 5, 5, 0 }, "Service unavailable", false },
	{ "closed, tempfail", { 'O', 0, STR_INIT("!") }, MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 },
		"Service unavailable - try again later", false },
	{ "closed, quarantine", { 'R', 0, STR_INIT("!") }, MILTER_QUARANTINE, MILTER_GO_ON, { 0, 0, 0, 0 }, "", true },
	{ "closed, shutdown", { 'M', 0, STR_INIT("!") }, MILTER_SHUTDOWN, MILTER_HANGUP, { 421, 4, 7, 1 },
		"Service unavailable - try again later", false },
	{ "nonsense", { 'M', 0, STR_INIT("\0\0\0\2Zx") }, MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 }, NULL, false },
	{ "silence", { 'M', 0, STR_INIT("") }, MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 }, NULL, false },
	{ "length 0", { 'M', 0, STR_INIT("\0\0\0\0") }, MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 }, NULL, false },
	{ "unreasonable length",
		{ 'M', 0,
			STR_INIT("\x7f\xff\xff\xff"
				 "c") },
		MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 }, NULL, false },
	{ "malformed reply", { 'M', 0, STR_INIT("\0\0\0\6y250 \0") }, MILTER_REJECT, MILTER_REPLY, { 451, 4, 3, 5 }, NULL, false },
	{ "edit before the end", { 'M', 0, STR_INIT("\0\0\0\5hA\0b\0") }, MILTER_REJECT, MILTER_REPLY, { 550, 5, 5, 0 }, NULL, false },
	{ "conn_fail", { 'M', 0, STR_INIT("\0\0\0\1f") }, MILTER_TEMPFAIL, MILTER_REPLY, { 451, 4, 7, 1 }, NULL, false },
	{ "a newer version", { 'O', 0, STR_INIT("\0\0\0\015O\0\0\0\7\0\0\0\0\0\0\0\0") }, MILTER_REJECT, MILTER_REPLY, { 550, 5, 5, 0 },
		NULL, false },
	{ "actions not offered", { 'O', 0, STR_INIT("\0\0\0\015O\0\0\0\6\0\0\4\0\0\0\0\0") }, MILTER_TEMPFAIL, MILTER_REPLY,
		{ 451, 4, 7, 1 }, NULL, false },
	{ "progress, then continue", { 'M', 0, STR_INIT("\0\0\0\1p\0\0\0\1p\0\0\0\1c") }, MILTER_REJECT, MILTER_GO_ON, { 0, 0, 0, 0 }, "",
		false },
};

static void test_verdicts(void)
{
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		struct script sc = { .version = 6, .answers = { verdicts[i].answer } };
		struct talk t;

		talk_begin(&t, &sc, 1, verdicts[i].on_failure, false);
		envelope(&t);
		is_int(t.answer.verdict, verdicts[i].verdict, verdicts[i].name);
		ok(t.answer.code.smtp == verdicts[i].code.smtp && t.answer.code.c == verdicts[i].code.c &&
				t.answer.code.s == verdicts[i].code.s && t.answer.code.d == verdicts[i].code.d,
			"code %d %d.%d.%d", t.answer.code.smtp, t.answer.code.c, t.answer.code.s, t.answer.code.d);
		if (verdicts[i].text != NULL)
			is_str(t.answer.text, str_z(verdicts[i].text), "text");
		ok(t.answer.hold == verdicts[i].hold, "hold");
		talk_end(&t);
		arena_free(t.a);
	}
}

/* A refusal at HELO and a failure stand for the session; one at MAIL or RCPT does not. */
static void test_standing(void)
{
	static const struct {
		struct answer answer;
		enum milter_verdict second;
	} rows[] = { { { 'H', 0, STR_INIT("\0\0\0\1r") }, MILTER_REPLY }, { { 'M', 1, STR_INIT("!") }, MILTER_REPLY },
		{ { 'M', 1, STR_INIT("\0\0\0\1r") }, MILTER_GO_ON }, { { 'R', 1, STR_INIT("\0\0\0\1r") }, MILTER_GO_ON } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct script sc = { .version = 6, .answers = { rows[i].answer } };
		struct talk t;

		talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
		envelope(&t);
		is_int(t.answer.verdict, MILTER_REPLY, "first time refused");
		milter_abort(t.s);
		milter_mail(t.s, STR("<again@b>"), NULL, 0, &t.answer);
		is_int(t.answer.verdict, rows[i].second, "second time");
		talk_end(&t);
		arena_free(t.a);
	}
}

/* ---- edits ---- */

#define OURS "Received: ours\r\n"
#define REST "X-B:  b\r\nX-A: two\r\nX-A: three\r\nSubject: s\r\n t\r\n"

static const struct {
	const char *name;
	struct str packets; /* before the final continue */
	uint32_t protocol;
	const char *header, *body, *log;
	int smtp; /* 0: accepted */
} edits[] = {
	{ "add", STR_INIT("\0\0\0\7hX-N\0v\0"), 0, OURS "Received: old\r\nX-A: one\r\n" REST "X-N: v\r\n", "body\r\n", "", 0 },
	{ "add with leading space", STR_INIT("\0\0\0\7hX-N\0v\0"), LEADSPC, OURS "Received: old\r\nX-A: one\r\n" REST "X-N:v\r\n",
		"body\r\n", "", 0 },
	{ "insert 0 is above ours", STR_INIT("\0\0\0\013i\0\0\0\0X-N\0v\0"), 0, "X-N: v\r\n" OURS "Received: old\r\nX-A: one\r\n" REST,
		"body\r\n", "", 0 },
	{ "insert 1 is below ours", STR_INIT("\0\0\0\013i\0\0\0\1X-N\0v\0"), 0, OURS "X-N: v\r\nReceived: old\r\nX-A: one\r\n" REST,
		"body\r\n", "", 0 },
	{ "insert beyond the end", STR_INIT("\0\0\0\013i\0\0\0\143X-N\0v\0"), 0, OURS "Received: old\r\nX-A: one\r\n" REST "X-N: v\r\n",
		"body\r\n", "", 0 },
	{ "insert before nothing", STR_INIT("\0\0\0\013i\xff\xff\xff\xffX-N\0v\0"), 0, NULL, NULL, "", 451 },
	{ "change the first", STR_INIT("\0\0\0\013m\0\0\0\1x-a\0v\0"), 0, OURS "Received: old\r\nx-a: v\r\n" REST, "body\r\n", "", 0 },
	{ "0 is the first too", STR_INIT("\0\0\0\013m\0\0\0\0X-A\0v\0"), 0, OURS "Received: old\r\nX-A: v\r\n" REST, "body\r\n", "", 0 },
	{ "change Received: ours does not count", STR_INIT("\0\0\0\020m\0\0\0\1Received\0v\0"), 0, OURS "Received: v\r\nX-A: one\r\n" REST,
		"body\r\n", "", 0 },
	{ "change what is not there", STR_INIT("\0\0\0\013m\0\0\0\4X-A\0v\0"), 0, OURS "Received: old\r\nX-A: one\r\n" REST "X-A: v\r\n",
		"body\r\n", "", 0 },
	{ "delete the first", STR_INIT("\0\0\0\012m\0\0\0\1X-A\0\0"), 0, OURS "Received: old\r\n" REST, "body\r\n", "", 0 },
	{ "delete what is not there", STR_INIT("\0\0\0\012m\0\0\0\4X-A\0\0"), 0, OURS "Received: old\r\nX-A: one\r\n" REST, "body\r\n", "",
		0 },
	{ "counting is live",
		STR_INIT("\0\0\0\012m\0\0\0\1X-A\0\0"
			 "\0\0\0\013m\0\0\0\2X-A\0v\0"),
		0, OURS "Received: old\r\nX-B:  b\r\nX-A: two\r\nX-A: v\r\nSubject: s\r\n t\r\n", "body\r\n", "", 0 },
	{ "a value cannot begin a field", STR_INIT("\0\0\0\022hX-N\0a\nEvil: b\n\nc\0"), 0,
		OURS "Received: old\r\nX-A: one\r\n" REST "X-N: a\r\n\tEvil: b\r\n\tc\r\n", "body\r\n", "", 0 },
	{ "a name cannot hold a colon", STR_INIT("\0\0\0\7hX:N\0v\0"), 0, NULL, NULL, "", 451 },
	{ "no name at all", STR_INIT("\0\0\0\4h\0v\0"), 0, NULL, NULL, "", 451 },
	{ "addresses",
		STR_INIT("\0\0\0\7e<n@x>\0"
			 "\0\0\0\4e<>\0"
			 "\0\0\0\013+Ann <e@f>\0"
			 "\0\0\0\0162g@h\0NOTIFY=X\0"
			 "\0\0\0\7-<c@d>\0"),
		0, OURS "Received: old\r\nX-A: one\r\n" REST, "body\r\n", "from(n@x|) from(|) add(e@f|) add(g@h|NOTIFY=X) del(c@d|) ", 0 },
	{ "quarantine", STR_INIT("\0\0\0\6qodd \0"), 0, NULL, "body\r\n", "hold(odd |) ", 0 },
	{ "body in pieces, line ends mended",
		STR_INIT("\0\0\0\3ba\r"
			 "\0\0\0\4b\nb\n"
			 "\0\0\0\2bc"),
		0, NULL, "a\r\nb\r\nc\r\n", "", 0 },
	{ "bare CRs in a body",
		STR_INIT("\0\0\0\10ba\rb\r\rc\r"
			 "\0\0\0\5b\n\rd\r"),
		0, NULL, "a b  c\r\n d\r\n", "", 0 },
	{ "empty body", STR_INIT("\0\0\0\1b"), 0, NULL, "", "", 0 },
	{ "body after something else",
		STR_INIT("\0\0\0\2ba"
			 "\0\0\0\7hX-N\0v\0"
			 "\0\0\0\2bc"),
		0, NULL, NULL, "", 451 },
	{ "an edit that cannot be made", STR_INIT("\0\0\0\013+full@disk\0"), 0, NULL, NULL, "", 451 },
};

static void test_edits(void)
{
	for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
		struct buf packets = { 0 };
		struct script sc = { .version = 6, .protocol = edits[i].protocol };
		struct letter l;
		struct talk t;

		buf_add(&packets, edits[i].packets);
		buf_addn(&packets, "\0\0\0\1c", 5);
		sc.answers[0] = (struct answer){ 'E', 0, buf_str(&packets) };
		talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
		letter_init(&l, t.a, mail_header, STR("body\r\n"));
		envelope(&t);
		milter_content(t.s, &l.mail, &t.answer);
		is_int(t.answer.code.smtp, edits[i].smtp, edits[i].name);
		if (edits[i].header != NULL)
			is_str(letter_header(&l, t.a), str_z(edits[i].header), "header");
		if (edits[i].body != NULL)
			is_str(l.mail.body, str_z(edits[i].body), "body");
		is_str(buf_str(&l.log), str_z(edits[i].log), "envelope");
		talk_end(&t);
		letter_done(&l);
		buf_done(&packets);
		arena_free(t.a);
	}
}

static void test_header_checks(void)
{
	struct script sc = { .version = 6,
		.answers = { { 'E', 0,
			STR_INIT("\0\0\0\014hX-S\0secret\0"
				 "\0\0\0\014hX-Repl\0old\0"
				 "\0\0\0\1c") } } };
	struct letter l;
	struct talk t;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	l.mail.check_header = check_header;
	envelope(&t);
	milter_content(t.s, &l.mail, &t.answer);
	is_str(letter_header(&l, t.a), STR("Received: ours\r\nA: b\r\nX-Before: it\r\nX-Repl: new\r\n"),
		"header checks drop, replace, prepend");
	talk_end(&t);
	letter_done(&l);
	arena_free(t.a);
}

static void test_next_filter(void)
{
	struct script sc[2] = { { .version = 6,
					.answers = { { 'E', 0,
						STR_INIT("\0\0\0\7hX-N\0v\0"
							 "\0\0\0\4bnew"
							 "\0\0\0\1a") } } },
		{ .version = 6 } };
	struct letter l;
	struct talk t;
	struct str seen;

	talk_begin(&t, sc, 2, MILTER_TEMPFAIL, false);
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	envelope(&t);
	milter_content(t.s, &l.mail, &t.answer);
	milter_session_quit(t.s);
	filter_end(&t.f[0], t.a);
	seen = filter_end(&t.f[1], t.a);
	is_str(seen, STR("O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(A|b) L(X-N|v) N B(newrn) E Q"),
		"the second filter sees what the first made of it");
	letter_done(&l);
	arena_free(t.a);
}

static void test_largest_body(void)
{
	struct script sc = { .version = 6, .answers = { { 'E', 0, STR_INIT("\0\0\0\013b0123456789\0\0\0\1c") } } };
	struct letter l;
	struct talk t;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	l.mail.body_max = 9;
	envelope(&t);
	milter_content(t.s, &l.mail, &t.answer);
	is_int(t.answer.code.smtp, 552, "a body over the limit");
	milter_abort(t.s);
	milter_mail(t.s, STR("<a@b>"), NULL, 0, &t.answer);
	is_int(t.answer.verdict, MILTER_GO_ON, "and the filter is still in step");
	talk_end(&t);
	letter_done(&l);
	arena_free(t.a);
}

/* ---- from smtpd to cleanup and back ---- */

static void test_export(uint32_t protocol)
{
	struct script sc = { .version = 6, .protocol = protocol };
	struct buf text = { 0 }, state = { 0 };
	int fds[MILTER_FDS_MAX], copies[MILTER_FDS_MAX];
	struct err e = ERR_INIT;
	struct milter_session *other;
	struct letter l;
	struct talk t;
	size_t count;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	letter_init(&l, t.a, "A: b\r\n\r\n", STR("x\r\n"));
	envelope(&t);
	milter_session_export(t.s, &text, fds, &count);
	is_int((long long)count, 1, "one connection travels");
	copies[0] = dup(fds[0]);
	other = milter_session_import(t.a, buf_str(&text), copies, count, NULL, NULL, &e);
	if (!ok(other != NULL, "import"))
		return;
	milter_content(other, &l.mail, &t.answer);
	is_int(t.answer.verdict, MILTER_GO_ON, "content stage elsewhere");
	milter_session_export_state(other, &state);
	milter_session_release(other);
	milter_session_import_state(t.s, buf_str(&state));
	milter_abort(t.s);
	milter_mail(t.s, STR("<2@b>"), NULL, 0, &t.answer);
	is_int(t.answer.verdict, MILTER_GO_ON, "and on with the session");
	is_str(talk_end(&t), STR("O C H(cli) M(<a@b>|SIZE=1) R(<c@d>) T L(A|b) N B(xrn) E A M(<2@b>) A A Q"), "nothing lost on the way");
	buf_done(&text);
	buf_done(&state);
	letter_done(&l);
	arena_free(t.a);
}

/* Every prefix of an exported session is refused, and its descriptor closed. */
static void test_import_bounds(void)
{
	struct script sc = { .version = 6 };
	struct buf text = { 0 };
	int fds[MILTER_FDS_MAX];
	bool all = true;
	struct talk t;
	size_t count;
	int left;

	talk_begin(&t, &sc, 1, MILTER_TEMPFAIL, false);
	envelope(&t);
	milter_session_export(t.s, &text, fds, &count);
	for (size_t n = 0; n < text.n; n++) {
		struct err e = ERR_INIT;
		int copy = dup(fds[0]);

		all &= milter_session_import(t.a, str_n(text.p, n), &copy, 1, NULL, NULL, &e) == NULL;
	}
	ok(all, "no part of a session is a session");
	left = dup(fds[0]);
	ok(left < 40, "and no descriptor is left");
	close(left);
	milter_session_import_state(t.s, STR_NONE);
	milter_mail(t.s, STR("<a@b>"), NULL, 0, &t.answer);
	is_int(t.answer.code.smtp, 451, "an importer that was lost: refused for now");
	talk_end(&t);
	buf_done(&text);
	arena_free(t.a);
}

static void run(void *arg)
{
	(void)arg;
	test_wire();
	test_macros();
	test_body_chunks();
	test_helo_again();
	test_rejected_rcpt();
	test_verdicts();
	test_standing();
	test_edits();
	test_header_checks();
	test_next_filter();
	test_largest_body();
	test_export(0);
	test_export(NR_ALL);
	test_import_bounds();
	loop_stop();
}

int main(void)
{
	loop_init();
	fiber_start("test", run, NULL);
	loop_run();
	return done_testing();
}

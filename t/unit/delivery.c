/* t/unit/delivery.c - the SMTP and LMTP client against a scripted server on loopback: what is said, what becomes of each recipient, and
 * what the log says. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/mail/dsn.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/net/sock.h"
#include "mta/smtp/smtp.h"
#include "t/unit/tap.h"

/* ---- the server ---- */

struct rule {
	const char *command; /* what the line begins with; "(greeting)"; "." or ".<rcpt>" after content */
	const char *reply; /* "CLOSE": hang up */
	int times; /* 0: always */
};

static struct {
	struct rule rules[8];
	struct buf said, content;
	uint16_t port;
	bool lmtp;
} server;

static struct arena *life;

static const struct rule usual[] = {
	{ "(greeting)", "220 mx.test ESMTP", 0 },
	{ "EHLO", "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250-8BITMIME\r\n250 DSN", 0 },
	{ "LHLO", "250-mx.test\r\n250-PIPELINING\r\n250 8BITMIME", 0 },
	{ "MAIL", "250 2.1.0 Ok", 0 },
	{ "RCPT", "250 2.1.5 Ok", 0 },
	{ "DATA", "354 Go", 0 },
	{ ".", "250 2.0.0 Ok: queued as X", 0 },
	{ "QUIT", "CLOSE", 0 },
	{ "", "250 2.0.0 Ok", 0 },
};

static const char *answer_to(struct str command)
{
	for (size_t i = 0; i < sizeof server.rules / sizeof *server.rules && server.rules[i].command != NULL; i++) {
		struct rule *r = &server.rules[i];

		if (r->times < 0 || !str_startsi(command, str_z(r->command)))
			continue;
		if (r->times > 0 && --r->times == 0)
			r->times = -1;
		return r->reply;
	}
	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
		if (str_startsi(command, str_z(usual[i].command)))
			return usual[i].reply;
	}
	return "500 what";
}

/* False: hang up. */
static bool answer(struct stream *s, struct str command, const char **reply)
{
	*reply = answer_to(command);
	if (strcmp(*reply, "CLOSE") == 0) {
		stream_flush(s, deadline_in(5000));
		return false;
	}
	return stream_printf(s, deadline_in(5000), "%s\r\n", *reply) == STREAM_OK &&
	       (stream_buffered(s) > 0 || stream_flush(s, deadline_in(5000)) == STREAM_OK);
}

static bool take_content(struct stream *s, struct str rcpts)
{
	struct buf line = { 0 };
	const char *reply;
	bool going = true;

	buf_clear(&server.content);
	while (stream_read_line(s, &line, 4096, deadline_in(5000)) == STREAM_OK && !str_eqz(buf_str(&line), ".\r\n"))
		buf_add(&server.content, buf_str(&line));
	buf_addz(&server.said, ".|");
	if (!server.lmtp)
		going = answer(s, STR("."), &reply);
	while (server.lmtp && going && rcpts.n > 0) {
		struct str rcpt = str_cut(&rcpts, ' ');

		going = answer(s, arena_printf(life, ".%.*s", STRF(rcpt)), &reply);
	}
	buf_done(&line);
	return going;
}

static void serve(void *arg)
{
	struct stream *s = arg;
	struct buf line = { 0 }, rcpts = { 0 };
	const char *reply;
	bool going;

	buf_addz(&server.said, "(connect)|");
	going = answer(s, STR("(greeting)"), &reply);
	while (going && stream_read_line(s, &line, 4096, deadline_in(5000)) == STREAM_OK) {
		struct str command = str_trim(buf_str(&line));

		buf_add(&server.said, command);
		buf_addc(&server.said, '|');
		going = answer(s, command, &reply);
		if (str_starts(command, STR("RCPT")) && *reply == '2')
			buf_addf(&rcpts, "%.*s ", STRF(str_skip(command, 8)));
		if (going && str_eqz(command, "DATA") && *reply == '3') {
			going = take_content(s, buf_str(&rcpts));
			buf_clear(&rcpts);
		}
	}
	stream_close(s);
	buf_done(&line);
	buf_done(&rcpts);
}

static void listen_forever(void *arg)
{
	int fd = *(int *)arg;

	for (;;) {
		struct sock_addr peer;
		int got = sock_accept(fd, &peer);

		if (got >= 0)
			fiber_start("server", serve, stream_new(got));
	}
}

static void start_server(void)
{
	static int fd;
	struct sock_addr a;
	struct err e;

	sock_parse_ip(STR("127.0.0.1"), 0, &a, &e);
	fd = sock_listen(&a, 20, &e);
	sock_local(fd, &a);
	server.port = sock_addr_port(&a);
	fiber_start("listener", listen_forever, &fd);
}

/* ---- one delivery ---- */

static char dir[] = "/tmp/gatepost-delivery-XXXXXX";

static struct str take_log(void)
{
	char path[64];
	struct buf b = { 0 };
	struct str s;
	struct err e;

	snprintf(path, sizeof path, "%s/log", dir);
	log_flush();
	fs_read_file(path, 1 << 20, &b, &e);
	truncate(path, 0);
	s = arena_dup(life, buf_str(&b));
	buf_done(&b);
	return s;
}

static struct { /* a process reads its settings once and keeps them; here they change, and are kept for leak checkers' sake */
	struct settings settings;
	struct conf *conf;
} kept[40];
static size_t kept_count;

static void load(bool lmtp, const char *const *overrides, size_t count)
{
	struct err e = ERR_INIT;
	struct conf *c = conf_load(dir, overrides, count, NULL, NULL, &e);

	ok(c != NULL && settings_load(c, lmtp, &e) == 0, "settings %s", e.text);
	own_load(c);
	kept[kept_count % 40].conf = c;
	kept[kept_count++ % 40].settings = *cfg;
	server.lmtp = lmtp;
}

static const char message[] = "Subject: a\r\n\r\n..dot\r\n";

struct request {
	const char *nexthop; /* NULL: the server */
	const char *sender, *rcpts;
	unsigned flags;
	int notify, ret;
	const char *text; /* NULL: message */
};

static struct deliver_request make(const struct request *q)
{
	struct str rest = str_z(q->rcpts), word, text = str_z(q->text != NULL ? q->text : message);
	struct deliver_request r = { .active_us = clock_wall_us(), .start_us = clock_wall_us() };

	r.fd = memfd_create("message", MFD_CLOEXEC);
	ok(pwrite(r.fd, text.p, text.n, 10) == (ssize_t)text.n, "message file");
	snprintf(r.m.id, sizeof r.m.id, "4TESTz1");
	r.m.flags = q->flags;
	r.m.arrival_us = r.start_us - 1000000;
	r.m.sender = str_z(q->sender);
	r.m.ret = q->ret;
	r.m.header_at = 10;
	r.m.header_size = (uint64_t)(str_find(text, STR("\r\n\r\n")) + 4);
	r.m.body_at = 10 + r.m.header_size;
	r.m.body_size = text.n - r.m.header_size;
	r.m.rcpts = arena_alloc(life, 8 * sizeof *r.m.rcpts);
	while ((word = str_word(&rest, " ")).n > 0)
		r.m.rcpts[r.m.rcpt_count++] = (struct queue_rcpt){ .addr = word, .orig = word, .notify = q->notify };
	r.nexthop = q->nexthop != NULL ? str_z(q->nexthop) : arena_printf(life, "[127.0.0.1]:%u", (unsigned)server.port);
	return r;
}

/* "sent 2.0.0 text|deferred 4.1.1 text|": the server's port in texts is shown as PORT. */
static struct str run(const struct request *q, struct deliver_answer *answer)
{
	struct deliver_request r = make(q);
	struct buf b = { 0 };
	struct str s;

	buf_clear(&server.said);
	deliver_message(life, &r, answer);
	close(r.fd);
	for (size_t i = 0; i < answer->count; i++) {
		struct deliver_result *res = &answer->results[i];
		const char *words[] = { "sent", "deferred", "bounced" };

		buf_addf(&b, "%s %u.%u.%u %.*s|", words[res->status], (unsigned)res->code.c, (unsigned)res->code.s, (unsigned)res->code.d,
			STRF(res->text));
	}
	s = arena_dup(life, buf_str(&b));
	buf_done(&b);
	return s;
}

/* ---- facts ---- */

#define HOST "127.0.0.1[127.0.0.1]"
#define OK "sent 2.0.0 250 2.0.0 Ok: queued as X|"

static const struct row {
	const char *name;
	struct rule rules[4];
	struct request q;
	const char *said;
	const char *results;
} rows[] = {
	{ "one recipient", { { 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" },
		"(connect)|EHLO gate.test|MAIL FROM:<a@x.test> SIZE=21|RCPT TO:<b@y.test> ORCPT=rfc822;b@y.test|DATA|.|", OK },
	{ "null sender, odd recipient", { { 0 } }, { .sender = "", .rcpts = "a..b@y.test" },
		"(connect)|EHLO gate.test|MAIL FROM:<> SIZE=21|RCPT TO:<\"a..b\"@y.test> ORCPT=rfc822;\"a..b\"@y.test|DATA|.|", OK },
	{ "8 bit and DSN", { { 0 } },
		{ .sender = "a@x.test",
			.rcpts = "b@y.test",
			.flags = QUEUE_BODY_8BITMIME,
			.notify = DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY,
			.ret = DSN_RET_HDRS },
		"(connect)|EHLO gate.test|MAIL FROM:<a@x.test> SIZE=21 BODY=8BITMIME RET=HDRS|"
		"RCPT TO:<b@y.test> ORCPT=rfc822;b@y.test NOTIFY=SUCCESS,DELAY|DATA|.|",
		OK },
	{ "one of two refused", { { "RCPT TO:<no@", "550 5.1.1 No such user", 0 } },
		{ .sender = "a@x.test", .rcpts = "b@y.test no@y.test" }, NULL,
		OK "bounced 5.1.1 host " HOST " said: 550 5.1.1 No such user (in reply to RCPT TO command)|" },
	{ "all refused, server takes DATA", { { "RCPT", "550 No", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" },
		"(connect)|EHLO gate.test|MAIL FROM:<a@x.test> SIZE=21|RCPT TO:<b@y.test> ORCPT=rfc822;b@y.test|DATA|.|",
		"bounced 5.0.0 host " HOST " said: 550 No (in reply to RCPT TO command)|" },
	{ "552 behind others is temporary", { { "RCPT TO:<c", "552 5.5.3 too many", 0 }, { "RCPT TO:<d", "552 5.2.2 full", 0 } },
		{ .sender = "a@x.test", .rcpts = "b@y.test c@y.test d@y.test" }, NULL,
		OK "deferred 4.5.3 host " HOST " said: 552 5.5.3 too many (in reply to RCPT TO command)|"
		   "bounced 5.2.2 host " HOST " said: 552 5.2.2 full (in reply to RCPT TO command)|" },
	{ "552 for the first is not", { { "RCPT", "552 no room", 0 }, { "DATA", "503 no", 0 } },
		{ .sender = "a@x.test", .rcpts = "b@y.test" }, NULL,
		"bounced 5.0.0 host " HOST " said: 552 no room (in reply to RCPT TO command)|" },
	{ "sender refused", { { "MAIL", "550-5.7.1 no\r\n550 5.7.1 way", 0 }, { "RCPT", "503 x", 0 }, { "DATA", "503 x", 0 } },
		{ .sender = "a@x.test", .rcpts = "b@y.test c@y.test" }, NULL,
		"bounced 5.7.1 host " HOST " said: 550-5.7.1 no 550 5.7.1 way (in reply to MAIL FROM command)|"
		"bounced 5.7.1 host " HOST " said: 550-5.7.1 no 550 5.7.1 way (in reply to MAIL FROM command)|" },
	{ "DATA refused", { { "DATA", "451 4.3.0 later", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" }, NULL,
		"deferred 4.3.0 host " HOST " said: 451 4.3.0 later (in reply to DATA command)|" },
	{ "content refused", { { ".", "554 5.7.1 spam", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" }, NULL,
		"bounced 5.7.1 host " HOST " said: 554 5.7.1 spam (in reply to end of DATA command)|" },
	{ "no PIPELINING", { { "EHLO", "250 mx.test", 0 }, { "RCPT", "450 4.2.0 busy", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" },
		"(connect)|EHLO gate.test|MAIL FROM:<a@x.test>|RCPT TO:<b@y.test>|",
		"deferred 4.2.0 host " HOST " said: 450 4.2.0 busy (in reply to RCPT TO command)|" },
	{ "EHLO unknown", { { "EHLO", "502 what", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" },
		"(connect)|EHLO gate.test|HELO gate.test|MAIL FROM:<a@x.test>|RCPT TO:<b@y.test>|DATA|.|", OK },
	{ "too large", { { "EHLO", "250-mx.test\r\n250 SIZE 20", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" },
		"(connect)|EHLO gate.test|", "bounced 5.3.4 message size 21 exceeds size limit 20 of server " HOST "|" },
	{ "SMTPUTF8 missing", { { 0 } }, { .sender = "a@x.test", .rcpts = "\xc3\xa4@y.test", .flags = QUEUE_UTF8 },
		"(connect)|EHLO gate.test|", "bounced 5.6.7 SMTPUTF8 is required, but was not offered by host " HOST "|" },
	{ "SMTPUTF8 declared in vain", { { 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test", .flags = QUEUE_UTF8 }, NULL, OK },
	{ "greeting 4xx", { { "(greeting)", "421 4.3.2 busy", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" }, "(connect)|",
		"deferred 4.3.2 host " HOST " refused to talk to me: 421 4.3.2 busy|" },
	{ "greeting 5xx is no verdict", { { "(greeting)", "554 5.7.1 go away", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" }, NULL,
		"deferred 4.7.1 host " HOST " refused to talk to me: 554 5.7.1 go away|" },
	{ "greeting never ends", { { "(greeting)", "CLOSE", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" }, "(connect)|",
		"deferred 4.4.2 lost connection with " HOST " while receiving the initial server greeting|" },
	{ "lost at RCPT", { { "RCPT", "CLOSE", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" }, NULL,
		"deferred 4.4.2 lost connection with " HOST " while sending RCPT TO|" },
	{ "lost after the dot", { { ".", "CLOSE", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" }, NULL,
		"deferred 4.4.2 lost connection with " HOST " while sending end of data -- message may be sent more than once|" },
	{ "421 in the middle", { { "RCPT TO:<c@", "421 4.3.2 closing", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test c@y.test" }, NULL,
		"deferred 4.3.2 host " HOST " said: 421 4.3.2 closing (in reply to RCPT TO command)|"
		"deferred 4.3.2 host " HOST " said: 421 4.3.2 closing (in reply to RCPT TO command)|" },
	{ "not SMTP at all", { { "(greeting)", "SSH-2.0", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" }, NULL,
		"deferred 4.5.0 host " HOST " sent a malformed reply: \"SSH-2.0\" while receiving the initial server greeting|" },
	{ "line end in an address", { { 0 } }, { .sender = "a@x.test", .rcpts = "b\rRSET@y.test" }, "(connect)|EHLO gate.test|",
		"bounced 5.1.3 bad address syntax|" },
	{ "bad next hop", { { 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test", .nexthop = "[x" }, "",
		"deferred 4.3.5 bad next hop: \"[x\"|" },
	{ "no socket", { { 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test", .nexthop = "unix:/nonexistent" }, "",
		"deferred 4.4.1 connect to gate.test[/nonexistent]: No such file or directory|" },
};

static void set_rules(const struct rule *r, size_t n)
{
	memset(server.rules, 0, sizeof server.rules);
	for (size_t i = 0; i < n; i++)
		server.rules[i] = r[i];
}

static void check_row(const struct row *row)
{
	struct deliver_answer a;
	struct str got;

	set_rules(row->rules, 4);
	got = run(&row->q, &a);
	is_str(got, str_z(row->results), row->name);
	fiber_sleep(5); /* for a QUIT that is on its way */
	if (row->said != NULL)
		is_str(buf_str(&server.said), str_z(row->said), "what was said");
	cache_close_all();
	fiber_sleep(5);
	buf_clear(&server.said);
}

static void reuse(void)
{
	static const struct rule stale[] = { { "MAIL FROM:<third", "CLOSE", 1 } },
				 reject[] = { { "RCPT TO:<no@", "550 5.1.1 No", 0 }, { "DATA", "554 no", 0 } };
	struct request q = { .sender = "first@x.test", .rcpts = "b@y.test" };
	struct deliver_answer a;
	struct str log;

	take_log();
	set_rules(NULL, 0);
	is_str(run(&q, &a), STR(OK), "first message");
	q.sender = "second@x.test";
	is_str(run(&q, &a), STR(OK), "second message");
	is_str(buf_str(&server.said), STR("MAIL FROM:<second@x.test> SIZE=21|RCPT TO:<b@y.test> ORCPT=rfc822;b@y.test|DATA|.|"),
		"went over the same connection");
	log = take_log();
	ok(str_find(log, STR("4TESTz1: to=<b@y.test>, relay=127.0.0.1[127.0.0.1]:")) >= 0, "log line");
	ok(str_find(log, STR(", conn_use=2, delay=1, delays=")) >= 0, "conn_use");
	ok(str_find(log, STR(", dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as X)\n")) >= 0, "result");
	set_rules(stale, 1);
	q.sender = "third@x.test";
	is_str(run(&q, &a), STR(OK), "a connection that had gone stale is replaced");
	ok(str_find(buf_str(&server.said), STR("(connect)")) > 0, "by a new one");
	set_rules(reject, 2);
	q.rcpts = "no@y.test";
	ok(str_starts(run(&q, &a), STR("bounced 5.1.1 ")), "a refused transaction");
	set_rules(NULL, 0);
	q.rcpts = "b@y.test";
	is_str(run(&q, &a), STR(OK), "is reset");
	ok(str_starts(buf_str(&server.said), STR("RSET|MAIL FROM")), "before the next");
	cache_close_all();
}

static void content(void)
{
	struct request q = { .sender = "a@x.test", .rcpts = "b@y.test", .flags = QUEUE_DOTS };
	struct deliver_answer a;
	struct buf big = { 0 };

	set_rules(NULL, 0);
	run(&q, &a);
	is_str(buf_str(&server.content), STR("Subject: a\r\n\r\n...dot\r\n"), "dots are stuffed");
	buf_addz(&big, "Subject: a\r\n\r\n");
	for (int i = 0; i < 20000; i++)
		buf_addf(&big, "%sline %d\r\n", i % 7 == 0 ? "." : "", i);
	q.text = buf_z(&big);
	is_str(run(&q, &a), STR("bounced 5.3.4 message size 231762 exceeds size limit 100000 of server " HOST "|"), "SIZE is heeded");
	set_rules((struct rule[]){ { "EHLO", "250-mx.test\r\n250 SIZE", 0 } }, 1);
	cache_close_all();
	is_str(run(&q, &a), STR(OK), "a large message");
	is_int((long long)server.content.n, (long long)big.n + 20000 / 7 + 1, "all of it, dots stuffed");
	ok(str_ends(buf_str(&server.content), STR("\r\n..line 19999\r\n")), "to the end");
	buf_clear(&big);
	buf_addz(&big, "Subject: a\r\n\r\n");
	for (int i = 0; i < 1500; i++)
		buf_addc(&big, 'x');
	q.text = buf_z(&big);
	q.flags = QUEUE_LONG_LINES;
	is_str(run(&q, &a), STR(OK), "a long line without end");
	is_int((long long)server.content.n, 14 + 1500 + 3 + 2, "is broken once and ended");
	ok(str_find(buf_str(&server.content), STR("xxx\r\n xxx")) == 14 + 998 - 3, "after 998 octets");
	cache_close_all();
	buf_done(&big);
}

/* For a server without 8BITMIME. */
static void seven_bit(void)
{
	static const char text[] = "Subject: a\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe9\r\n.\r\n";
	struct request q = { .sender = "a@x.test", .rcpts = "b@y.test", .flags = QUEUE_8BIT, .text = text };
	struct deliver_answer a;

	set_rules((struct rule[]){ { "EHLO", "250 mx.test", 0 } }, 1);
	is_str(run(&q, &a), STR(OK), "8-bit message, 7-bit server");
	ok(str_ends(buf_str(&server.said), STR("|MAIL FROM:<a@x.test>|RCPT TO:<b@y.test>|DATA|.|")), "no BODY");
	is_str(buf_str(&server.content), STR("Subject: a\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9\r\n..\r\n"),
		"is converted, dots stuffed");
	cache_close_all();
	load(false, (const char *[]){ "disable_mime_output_conversion=yes" }, 1);
	is_str(run(&q, &a), STR(OK), "without conversion");
	ok(str_find(buf_str(&server.content), STR("8bit\r\n\r\n\xe9\r\n")) > 0, "it goes as it is");
	cache_close_all();
}

static void generic(void)
{
	static const char text[] = "From: A <a@x.test>\r\nTo: b@y.test\r\n\r\na@x.test\r\n";
	struct request q = { .sender = "a@x.test", .rcpts = "b@y.test", .text = text };
	struct deliver_answer a;

	set_rules(NULL, 0);
	load(false, (const char *[]){ "smtp_generic_maps=inline:{ a@x.test=pub@out.test, @y.test=@z.test }" }, 1);
	is_str(run(&q, &a), STR(OK), "generic maps");
	ok(str_ends(buf_str(&server.said), STR("|MAIL FROM:<pub@out.test> SIZE=46|RCPT TO:<b@z.test> ORCPT=rfc822;b@y.test|DATA|.|")),
		"in the envelope");
	is_str(buf_str(&server.content), STR("From: A <pub@out.test>\r\nTo: b@z.test\r\n\r\na@x.test\r\n"), "and the header, not the body");
	cache_close_all();
	load(false, (const char *[]){ "smtp_generic_maps=fail:down" }, 1);
	is_str(run(&q, &a), STR("deferred 4.3.0 address mapping lookup failure|"), "a table that fails");
}

static void servers(void)
{
	struct request q = { .sender = "a@x.test", .rcpts = "b@y.test c@y.test" };
	struct deliver_answer a;
	struct str log;
	char hops[80];

	set_rules(NULL, 0);
	q.nexthop = "[127.0.0.1]:1";
	take_log();
	is_str(run(&q, &a),
		STR("deferred 4.4.1 connect to 127.0.0.1[127.0.0.1]:1: Connection refused|"
		    "deferred 4.4.1 connect to 127.0.0.1[127.0.0.1]:1: Connection refused|"),
		"nobody there");
	ok(a.site_down, "the destination is down");
	is_str(a.site_text, STR("connect to 127.0.0.1[127.0.0.1]:1: Connection refused"), "why");
	log = take_log();
	ok(str_find(log, STR(": connect to 127.0.0.1[127.0.0.1]:1: Connection refused\n")) > 0, "said once without id");
	ok(str_find(log, STR("to=<c@y.test>, relay=none, delay=")) > 0, "relay=none");
	snprintf(hops, sizeof hops, "[127.0.0.1]:1, [127.0.0.1]:%u", (unsigned)server.port);
	q.nexthop = hops;
	is_str(run(&q, &a), STR(OK OK), "the second next hop does it");
	ok(!a.site_down, "not down");
	cache_close_all();
	q.nexthop = NULL;
	set_rules((struct rule[]){ { "RCPT TO:<c@", "450 4.2.0 full", 0 } }, 1);
	is_str(run(&q, &a), STR(OK "deferred 4.2.0 host " HOST " said: 450 4.2.0 full (in reply to RCPT TO command)|"), "one deferred");
	ok(!a.site_down, "is the recipient's matter alone");
	cache_close_all();
}

static const struct row lmtp_rows[] = {
	{ "one reply each", { { ".<c@", "550 5.2.2 full", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test c@y.test d@y.test" },
		"(connect)|LHLO gate.test|MAIL FROM:<a@x.test>|RCPT TO:<b@y.test>|RCPT TO:<c@y.test>|RCPT TO:<d@y.test>|DATA|.|",
		OK "bounced 5.2.2 host " HOST " said: 550 5.2.2 full (in reply to end of DATA command)|" OK },
	{ "lost between replies", { { ".<c@", "CLOSE", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test c@y.test" }, NULL,
		OK "deferred 4.4.2 lost connection with " HOST " while sending end of data -- message may be sent more than once|" },
	{ "LHLO unknown", { { "LHLO", "500 what", 0 } }, { .sender = "a@x.test", .rcpts = "b@y.test" }, "(connect)|LHLO gate.test|QUIT|",
		"bounced 5.0.0 host " HOST " refused to talk to me: 500 what|" },
};

static void tls_levels(void)
{
	static const char *const encrypt[] = { "smtp_tls_security_level=encrypt" }, *const may[] = { "smtp_tls_security_level=may" };
	static const struct rule offered[] = { { "EHLO", "250-mx.test\r\n250 STARTTLS", 0 }, { "STARTTLS", "454 4.7.0 not now", 0 } };
	static const struct rule garbled[] = { { "EHLO", "250-mx.test\r\n250 STARTTLS", 0 }, { "STARTTLS", "220 Go", 0 } };
	struct request q = { .sender = "a@x.test", .rcpts = "b@y.test" };
	struct deliver_answer a;

	load(false, encrypt, 1);
	set_rules(NULL, 0);
	is_str(run(&q, &a), STR("deferred 4.7.4 TLS is required, but was not offered by host " HOST "|"), "TLS not offered");
	ok(a.site_down, "no handshake, no site");
	set_rules(offered, 2);
	is_str(run(&q, &a), STR("deferred 4.7.4 TLS is required, but host " HOST " refused to start TLS: 454 4.7.0 not now|"),
		"TLS refused");
	set_rules(garbled, 2);
	is_str(run(&q, &a), STR("deferred 4.7.5 Cannot start TLS: handshake failure|"), "no handshake");
	load(false, may, 1);
	is_str(run(&q, &a), STR(OK), "optional TLS that fails is left out");
	cache_close_all();
	set_rules(offered, 2);
	is_str(run(&q, &a), STR(OK), "optional TLS that is refused as well");
	cache_close_all();
	fiber_sleep(5);
}

static void logins(void)
{
	static const char *const on[] = { "smtp_sasl_auth_enable=yes", "smtp_sasl_security_options=noanonymous",
		"smtp_sasl_password_maps=inline:{127.0.0.1=joe:secret}" };
	static const struct rule plain[] = { { "EHLO", "250-mx.test\r\n250 AUTH LOGIN PLAIN", 0 } };
	static const struct rule login[] = { { "EHLO", "250-mx.test\r\n250 AUTH LOGIN", 0 }, { "AUTH LOGIN", "334 VXNlcm5hbWU6", 0 },
		{ "am9l", "334 UGFzc3dvcmQ6", 0 }, { "c2VjcmV0", "535 5.7.8 no", 0 } };
	struct request q = { .sender = "a@x.test", .rcpts = "b@y.test" };
	struct deliver_answer a;

	load(false, on, 3);
	set_rules(plain, 1);
	is_str(run(&q, &a), STR(OK), "PLAIN");
	ok(str_find(buf_str(&server.said), STR("|AUTH PLAIN AGpvZQBzZWNyZXQ=|MAIL")) > 0, "user and password");
	cache_close_all();
	set_rules(login, 4);
	is_str(run(&q, &a), STR("deferred 4.7.8 SASL authentication failed; server " HOST " said: 535 5.7.8 no|"), "LOGIN, refused");
	ok(str_find(buf_str(&server.said), STR("|AUTH LOGIN|am9l|c2VjcmV0|")) > 0, "user, then password");
	fiber_sleep(5);
	load(false, on, 1);
}

static void facts(void *arg)
{
	static const char *const xforward[] = { "smtp_send_xforward_command=yes" };
	struct deliver_answer a;

	(void)arg;
	load(false, NULL, 0);
	cache_init();
	start_server();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_row(&rows[i]);
	reuse();
	content();
	seven_bit();
	generic();
	load(false, NULL, 0);
	servers();
	tls_levels();
	logins();
	load(false, xforward, 1);
	set_rules((struct rule[]){ { "EHLO", "250-mx.test\r\n250 XFORWARD NAME ADDR SOURCE IDENT", 0 } }, 1);
	run(&(struct request){ .sender = "a@x.test", .rcpts = "b@y.test" }, &a);
	ok(str_find(buf_str(&server.said), STR("|XFORWARD NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE]|XFORWARD IDENT=4TESTz1 SOURCE=REMOTE|MAIL")) > 0,
		"XFORWARD");
	cache_close_all();
	fiber_sleep(5);
	load(true, NULL, 0);
	for (size_t i = 0; i < sizeof lmtp_rows / sizeof *lmtp_rows; i++)
		check_row(&lmtp_rows[i]);
	loop_stop();
}

int main(void)
{
	static const char main_cf[] = "compatibility_level = 3.6\nmyhostname = gate.test\ninet_protocols = ipv4\ninet_interfaces = "
				      "127.0.0.2\nsmtp_helo_timeout = 2s\nsmtp_connection_cache_destinations = 127.0.0.1\n";
	char path[64];
	struct err e;

	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(path, sizeof path, "%s/main.cf", dir);
	fs_write_file(path, str_z(main_cf), 0644, &e);
	snprintf(path, sizeof path, "%s/log", dir);
	log_open("gatepost/smtp", path);
	life = arena_new("test");
	loop_init();
	fiber_start("test", facts, NULL);
	loop_run();
	arena_free(life);
	return done_testing();
}

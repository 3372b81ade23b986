/* t/unit/cleanup.c - messages through cleanup, from the envelope on a socket to the queue file: what is stored, what is refused. */
#include "mta/cleanup/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/mail/dsn.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "mta/cleanup/settings.h"
#include "t/unit/tap.h"

#define ID "4cXq2T1zAbCdz1Gh"
#define RCPT_MAX 5

static struct { /* a process reads its settings once and keeps them; here they change, and are kept for leak checkers' sake */
	struct settings settings;
	struct conf *conf;
} kept[100];
static size_t kept_count;

static char directory[] = "/tmp/gatepost-cleanup-XXXXXX";

static void configure(const char *lines)
{
	struct buf b = { 0 };
	struct err e = ERR_INIT;
	struct conf *c;

	buf_addf(&b, "compatibility_level = 3.6\nmyhostname = mx.gate.test\nmydomain = gate.test\nmyorigin = gate.test\n");
	buf_addf(&b, "mydestination =\nappend_dot_mydomain = no\n%s\n", lines);
	if (fs_write_file("main.cf", buf_str(&b), 0600, &e) < 0)
		skip_all(e.text);
	buf_done(&b);
	c = conf_load(directory, NULL, 0, NULL, NULL, &e);
	if (c == NULL)
		skip_all(e.text);
	settings_load(c);
	kept[kept_count % 100].conf = c;
	kept[kept_count++ % 100].settings = *set;
}

/* ---- one message ---- */

struct letter {
	const char *name, *conf;
	unsigned flags;
	const char *sender;
	const char *rcpts[RCPT_MAX];
	const char *content; /* LF lines */
	/* wanted: */
	int smtp;
	const char *text; /* reply, or NULL */
	const char *header; /* stored, LF lines, without our Received; NULL: not compared */
	const char *body;
	const char *envelope; /* "sender: rcpt(orig) rcpt(orig)" */
	bool hold, discarded;
};

static struct str crlf(struct arena *a, const char *lf)
{
	struct buf b = { 0 };
	struct str s;

	for (; *lf != '\0'; lf++)
		buf_addn(&b, *lf == '\n' ? "\r\n" : lf, *lf == '\n' ? 2 : 1);
	s = arena_dup(a, buf_str(&b));
	buf_done(&b);
	return s;
}

static struct str lf(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '\r')
			p[n++] = s.p[i];
	return str_n(p, n);
}

static void fill(struct arena *a, const struct letter *l, struct cleanup_request *r)
{
	struct queue_rcpt *rcpts = arena_alloc(a, RCPT_MAX * sizeof *rcpts);

	memset(r, 0, sizeof *r);
	r->flags = l->flags;
	snprintf(r->m.id, sizeof r->m.id, "%s", ID);
	r->m.arrival_us = 1700000000000000;
	r->m.sender = str_z(l->sender);
	r->m.client.name = STR("unknown");
	r->m.client.addr = STR("192.0.2.9");
	r->received = STR("Received: from here");
	for (r->m.rcpt_count = 0; r->m.rcpt_count < RCPT_MAX && l->rcpts[r->m.rcpt_count] != NULL; r->m.rcpt_count++)
		rcpts[r->m.rcpt_count] =
			(struct queue_rcpt){ .addr = str_z(l->rcpts[r->m.rcpt_count]), .orig = str_z(l->rcpts[r->m.rcpt_count]) };
	r->m.rcpts = rcpts;
}

/* Say it all, let cleanup run until it sees the end, read the answer. */
static bool converse(struct arena *a, const struct cleanup_request *r, struct str content, unsigned flags, struct cleanup_answer *answer)
{
	int64_t deadline = deadline_in(5000);
	struct stream *mine, *theirs;
	struct err e = ERR_INIT;
	int fds[2];
	bool good;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		skip_all("no socket pairs");
	mine = stream_new(fds[0]);
	theirs = stream_new(fds[1]);
	good = cleanup_send_envelope(mine, r, deadline, &e) == 0;
	while (good && content.n > 0) {
		struct str chunk = str_sub(content, 0, 700);

		good = cleanup_send_content(mine, chunk, deadline, &e) == 0;
		content = str_skip(content, chunk.n);
	}
	good = good && cleanup_send_end(mine, flags, deadline, &e) == 0;
	shutdown(fds[0], SHUT_WR);
	session_serve(theirs);
	good = good && cleanup_receive_answer(mine, a, answer, deadline, &e) == 0;
	stream_close(theirs);
	stream_close(mine);
	return good;
}

/* ---- what was stored ---- */

static struct str part(struct arena *a, int fd, uint64_t at, uint64_t size)
{
	char *p = arena_alloc(a, (size_t)size + 1);
	struct err e = ERR_INIT;

	if (fs_pread_all(fd, p, (size_t)size, (off_t)at, &e) < 0)
		return str_z("unreadable");
	return lf(a, str_n(p, (size_t)size));
}

static struct str envelope_text(struct arena *a, const struct queue_message *m)
{
	struct buf b = { 0 };
	struct str s;

	buf_add(&b, m->sender);
	buf_addc(&b, ':');
	for (size_t i = 0; i < m->rcpt_count; i++) {
		buf_addf(&b, " %.*s", STRF(m->rcpts[i].addr));
		if (!str_eq(m->rcpts[i].addr, m->rcpts[i].orig))
			buf_addf(&b, "(%.*s)", STRF(m->rcpts[i].orig));
		if (m->rcpts[i].notify == DSN_NOTIFY_NEVER)
			buf_addc(&b, '!');
	}
	if (m->filter.n > 0)
		buf_addf(&b, " via %.*s", STRF(m->filter));
	s = arena_dup(a, buf_str(&b));
	buf_done(&b);
	return s;
}

static void compare(struct arena *a, const struct letter *l)
{
	const char *path = l->hold ? "hold/" ID : "incoming/" ID;
	int fd = open(path, O_RDWR);
	struct queue_message m = { .id = "" };
	struct err e = ERR_INIT;

	if (!ok(fd >= 0 && queue_load(fd, ID, true, a, &m, &e) == 0, "%s: a sound queue file (%s)", l->name, e.text))
		return;
	if (l->header != NULL)
		is_str(part(a, fd, m.header_at, m.header_size), arena_printf(a, "Received: from here\n%s%s", l->header, l->content[0] != '\0' ? "\n" : ""), "header");
	if (l->body != NULL)
		is_str(part(a, fd, m.body_at, m.body_size), str_z(l->body), "body");
	if (l->envelope != NULL)
		is_str(envelope_text(a, &m), str_z(l->envelope), "envelope");
	close(fd);
	unlink(path);
}

static size_t files(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	size_t n = 0;

	while (d != NULL && (entry = readdir(d)) != NULL)
		n += entry->d_name[0] != '.';
	if (d != NULL)
		closedir(d);
	return n;
}

static void run_letter(const struct letter *l)
{
	struct arena *a = arena_new("test");
	struct cleanup_request r;
	struct cleanup_answer answer = { .text = STR_NONE };

	configure(l->conf);
	fill(a, l, &r);
	if (ok(converse(a, &r, crlf(a, l->content), utf8_ascii(str_z(l->content)) ? 0 : QUEUE_8BIT, &answer), "%s: answered", l->name)) {
		is_int(answer.code.smtp, l->smtp, l->name);
		if (l->text != NULL)
			is_str(answer.text, str_z(l->text), "reply");
		ok(answer.discarded == l->discarded, "discarded");
		if (l->smtp == 250 && !l->discarded)
			compare(a, l);
	}
	is_int((long long)(files("incoming") + files("hold")), 0, "no file is left behind");
	arena_free(a);
}

/* ---- rows ---- */

#define A "a@x.test"
#define B "b@y.test"
#define PLAIN "From: a@x.test\nSubject: s\n\nline\n"
#define PLAIN_HEADER "From: a@x.test\nSubject: s\n"

static const struct letter letters[] = {
	{ .name = "plain",
		.conf = "",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 250,
		.header = PLAIN_HEADER,
		.body = "line\n",
		.envelope = "a@x.test: b@y.test" },
	{ .name = "no empty line",
		.conf = "",
		.sender = A,
		.rcpts = { B },
		.content = "just text\nmore\n",
		.smtp = 250,
		.header = "",
		.body = "just text\nmore\n" },
	{ .name = "nothing", .conf = "", .sender = A, .rcpts = { B }, .content = "", .smtp = 250, .header = "", .body = "" },
	{ .name = "blank before colon, mailbox line",
		.conf = "",
		.sender = A,
		.rcpts = { B },
		.content = "From x y z\nX : v\n\n",
		.smtp = 250,
		.header = "X-Mailbox-Line: From x y z\nX: v\n",
		.body = "" },
	{ .name = "large: streamed",
		.conf = "cleanup_memory_limit = 16",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN "second\n",
		.smtp = 250,
		.header = PLAIN_HEADER,
		.body = "line\nsecond\n",
		.envelope = "a@x.test: b@y.test" },
	{ .name = "large, edited",
		.conf = "cleanup_memory_limit = 16\nbody_checks = inline:{{line=REPLACE other}}",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN "second\n",
		.smtp = 250,
		.header = PLAIN_HEADER,
		.body = "other\nsecond\n" },
	{ .name = "large, held",
		.conf = "cleanup_memory_limit = 16\nbody_checks = inline:{{line=HOLD why}}",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 250,
		.body = "line\n",
		.hold = true },
	{ .name = "large, refused",
		.conf = "cleanup_memory_limit = 16\nbody_checks = inline:{{line=REJECT}}",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 550,
		.text = "message content rejected" },
	{ .name = "too large",
		.conf = "message_size_limit = 20",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 552,
		.text = "Error: message file too big" },
	{ .name = "no recipients", .conf = "", .sender = A, .content = PLAIN, .smtp = 550 },
	/* headers */
	{ .name = "missing fields",
		.conf = "",
		.flags = CLEANUP_FIX_HEADERS,
		.sender = A,
		.rcpts = { B },
		.content = "Date: d\nBcc: x\nContent-Length: 9\nReturn-Path: <>\n\nb\n",
		.smtp = 250,
		.header = "Date: d\nMessage-Id: <20231114221320." ID "@mx.gate.test>\nFrom: a@x.test\n",
		.body = "b\n" },
	{ .name = "missing fields of a forwarded message",
		.conf = "",
		.flags = CLEANUP_FIX_HEADERS,
		.sender = "",
		.rcpts = { B },
		.content = "Resent-Date: d\n\n",
		.smtp = 250,
		.header = "Resent-Date: d\nResent-Message-Id: <20231114221320." ID
			  "@mx.gate.test>\nResent-From: Mail Delivery System <MAILER-DAEMON@gate.test>\n" },
	{ .name = "undisclosed",
		.conf = "undisclosed_recipients_header = To: nobody:;\nalways_add_missing_headers = yes",
		.sender = A,
		.rcpts = { B },
		.content = "Date: d\nMessage-Id: <i>\nFrom: f\n\n",
		.smtp = 250,
		.header = "Date: d\nMessage-Id: <i>\nFrom: f\nTo: nobody:;\n" },
	{ .name = "mail in transit is not completed",
		.conf = "",
		.sender = A,
		.rcpts = { B },
		.content = "X: y\n\n",
		.smtp = 250,
		.header = "X: y\n" },
	{ .name = "hops",
		.conf = "hopcount_limit = 3",
		.sender = A,
		.rcpts = { B },
		.content = "Received: 1\nReceived: 2\n\n",
		.smtp = 554,
		.text = "Error: too many hops" },
	{ .name = "long field",
		.conf = "header_size_limit = 20",
		.sender = A,
		.rcpts = { B },
		.content = "X: 0123456789012345678901234\n\nb\n",
		.smtp = 250,
		.header = "X: 01234567890123456\n",
		.body = "b\n" },
	{ .name = "8-bit header",
		.conf = "strict_7bit_headers = yes",
		.sender = A,
		.rcpts = { B },
		.content = "X: caf\xe9\n\nb\n",
		.smtp = 550,
		.text = "improper use of 8-bit data in message header" },
	{ .name = "8-bit body",
		.conf = "strict_8bitmime_body = yes",
		.sender = A,
		.rcpts = { B },
		.content = "X: y\n\ncaf\xe9\n",
		.smtp = 550 },
	{ .name = "8-bit body, declared",
		.conf = "strict_8bitmime_body = yes",
		.sender = A,
		.rcpts = { B },
		.content = "Content-Transfer-Encoding: 8bit\n\ncaf\xe9\n",
		.smtp = 250 },
	{ .name = "8-bit body, converted before the checks",
		.conf = "force_mime_input_conversion = yes\nbody_checks = regexp:{{/^=C3=A4$$/ REPLACE changed}}",
		.sender = A,
		.rcpts = { B },
		.content = "Content-Transfer-Encoding: 8bit\nX: y\n\n\xc3\xa4\n\xc3\xb6=\n",
		.smtp = 250,
		.header = "X: y\nContent-Transfer-Encoding: quoted-printable\n",
		.body = "changed\n=C3=B6=3D\n" },
	{ .name = "8-bit parts, through the disk",
		.conf = "force_mime_input_conversion = yes\ncleanup_memory_limit = 16",
		.sender = A,
		.rcpts = { B },
		.content = "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n--b\nContent-Transfer-Encoding: 8bit\n\n\xc3\xa4\n--b\n\n\xe4\n--b--\n",
		.smtp = 250,
		.header = "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n",
		.body = "--b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4\n--b\n\n\xe4\n--b--\n" },
	{ .name = "7-bit body that says 8bit stays",
		.conf = "force_mime_input_conversion = yes",
		.sender = A,
		.rcpts = { B },
		.content = "Content-Transfer-Encoding: 8bit\n\na=b\n",
		.smtp = 250,
		.header = "Content-Transfer-Encoding: 8bit\n",
		.body = "a=b\n" },
	{ .name = "encoded multipart",
		.conf = "strict_mime_encoding_domain = yes",
		.sender = A,
		.rcpts = { B },
		.content = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nb\n",
		.smtp = 550 },
	/* rewriting */
	{ .name = "addresses in headers",
		.conf = "canonical_maps = inline:{{a@x.test=c@z.test},{@y.test=@w.test}}",
		.flags = CLEANUP_FIX_HEADERS,
		.sender = A,
		.rcpts = { B },
		.content = "Date: d\nMessage-Id: i\nFrom: Ann (it is me) <a@x.test>\nTo: \"Q, u\" <b@y.test>, (c) a@x.test, friends: "
			   "b@y.test,\n"
			   " o@o.test;\n\n",
		.smtp = 250,
		.header = "Date: d\nMessage-Id: i\nFrom: Ann (it is me) <c@z.test>\nTo: \"Q, u\" <b@w.test>, c@z.test (c), friends: "
			  "b@w.test, o@o.test;\n",
		.envelope = "c@z.test: b@w.test(b@y.test)" },
	{ .name = "long lists are folded",
		.conf = "canonical_maps = inline:{{a@x.test=c@z.test}}",
		.flags = CLEANUP_FIX_HEADERS,
		.sender = A,
		.rcpts = { B },
		.content = "Date: d\nMessage-Id: i\nFrom: f@f.test\nTo: a@x.test, Other Person <other@relay.test>, "
			   "single-person@host.test\n\n",
		.smtp = 250,
		.header = "Date: d\nMessage-Id: i\nFrom: f@f.test\nTo: c@z.test, Other Person "
			  "<other@relay.test>,\n\tsingle-person@host.test\n" },
	{ .name = "headers of strangers stay",
		.conf = "canonical_maps = inline:{{a@x.test=c@z.test}}",
		.sender = A,
		.rcpts = { B },
		.content = "From: a@x.test\n\n",
		.smtp = 250,
		.header = "From: a@x.test\n",
		.envelope = "c@z.test: b@y.test" },
	{ .name = "classes",
		.conf = "canonical_maps = inline:{{a@x.test=c@z.test}}\ncanonical_classes = envelope_recipient",
		.sender = A,
		.rcpts = { B, A },
		.content = "\n",
		.smtp = 250,
		.envelope = "a@x.test: b@y.test c@z.test(a@x.test)" },
	{ .name = "masquerading",
		.conf = "masquerade_domains = !keep.x.test x.test\nmasquerade_exceptions = root",
		.sender = "u@h.x.test",
		.rcpts = { "u@h.x.test" },
		.content = "\n",
		.smtp = 250,
		.envelope = "u@x.test: u@h.x.test" },
	{ .name = "masquerading exceptions",
		.conf = "masquerade_domains = x.test\nmasquerade_exceptions = root",
		.sender = "root@h.x.test",
		.rcpts = { B },
		.content = "\n",
		.smtp = 250,
		.envelope = "root@h.x.test: b@y.test" },
	{ .name = "canonical loop",
		.conf = "canonical_maps = inline:{{a@x.test=c@z.test},{c@z.test=a@x.test}}",
		.sender = A,
		.rcpts = { B },
		.content = "\n",
		.smtp = 451 },
	{ .name = "aliases",
		.conf = "virtual_alias_maps = inline:{{b@y.test=c@y.test, d@y.test},{c@y.test=e@y.test c@y.test}}",
		.sender = A,
		.rcpts = { B },
		.content = "\n",
		.smtp = 250,
		.envelope = "a@x.test: e@y.test(b@y.test) d@y.test(b@y.test) c@y.test(b@y.test)" },
	{ .name = "alias loop",
		.conf = "virtual_alias_maps = inline:{{b@y.test=c@y.test},{c@y.test=b@y.test}}",
		.sender = A,
		.rcpts = { B },
		.content = "\n",
		.smtp = 451 },
	{ .name = "aliases without end",
		.conf = "virtual_alias_maps = regexp:{{/^(.*)@y.test$$/ x$$1@y.test}}\nvirtual_alias_recursion_limit = 9",
		.sender = A,
		.rcpts = { B },
		.content = "\n",
		.smtp = 451 },
	{ .name = "too many aliases",
		.conf = "virtual_alias_maps = inline:{{b@y.test=1@y.test 2@y.test 3@y.test}}\nvirtual_alias_expansion_limit = 2",
		.sender = A,
		.rcpts = { B },
		.content = "\n",
		.smtp = 451 },
	{ .name = "extensions",
		.conf = "recipient_delimiter = +\nvirtual_alias_maps = inline:{{b@y.test=c@y.test}}",
		.sender = A,
		.rcpts = { "b+e@y.test" },
		.content = "\n",
		.smtp = 250,
		.envelope = "a@x.test: c+e@y.test(b+e@y.test)" },
	{ .name = "no mappings",
		.conf = "virtual_alias_maps = inline:{{b@y.test=c@y.test}}\nalways_bcc = z@z.test",
		.flags = CLEANUP_NO_MAPPINGS,
		.sender = A,
		.rcpts = { B },
		.content = "\n",
		.smtp = 250,
		.envelope = "a@x.test: b@y.test" },
	{ .name = "duplicates",
		.conf = "",
		.sender = A,
		.rcpts = { B, B, "B@Y.test", "c@y.test" },
		.content = "\n",
		.smtp = 250,
		.envelope = "a@x.test: b@y.test c@y.test" },
	{ .name = "copies",
		.conf = "always_bcc = z@z.test\nsender_bcc_maps = inline:{{a@x.test=s@z.test}}\nrecipient_bcc_maps = "
			"inline:{{@y.test=r@z.test}}",
		.sender = A,
		.rcpts = { B, "c@y.test" },
		.content = "\n",
		.smtp = 250,
		.envelope = "a@x.test: r@z.test! b@y.test c@y.test s@z.test! z@z.test!" },
	{ .name = "a table that fails",
		.conf = "virtual_alias_maps = fail:down",
		.sender = A,
		.rcpts = { B },
		.content = "\n",
		.smtp = 451 },
	/* checks */
	{ .name = "reject with code",
		.conf = "header_checks = inline:{{Subject: s=REJECT 5.7.44 no}}",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 550,
		.text = "no" },
	{ .name = "reject for now",
		.conf = "header_checks = inline:{{Subject: s=REJECT 4.7.44 later}}",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 451,
		.text = "later" },
	{ .name = "discard",
		.conf = "header_checks = inline:{{Subject: s=DISCARD}}",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 250,
		.discarded = true },
	{ .name = "replace, prepend, ignore",
		.conf = "header_checks = inline:{{Subject: s=REPLACE Subject: t},{From: a@x.test=PREPEND X-P: q},{X: y=IGNORE},{Y: "
			"z=REPLACE nocolon}}",
		.sender = A,
		.rcpts = { B },
		.content = "X: y\n" PLAIN_HEADER "Y: z\n\nb\n",
		.smtp = 250,
		.header = "X-P: q\nFrom: a@x.test\nSubject: t\nY: z\n" },
	{ .name = "folds are LF to tables",
		.conf = "header_checks = pcre:{{/^X: a\\n b$$/ REPLACE X: found}}",
		.sender = A,
		.rcpts = { B },
		.content = "X: a\n b\n\n",
		.smtp = 250,
		.header = "X: found\n" },
	{ .name = "filter, redirect, bcc",
		.conf = "header_checks = inline:{{Subject: s=FILTER smtp:[127.0.0.1]:9},{From: a@x.test=BCC copy@z.test}}",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 250,
		.envelope = "a@x.test: b@y.test copy@z.test! via smtp:[127.0.0.1]:9" },
	{ .name = "redirect",
		.conf = "header_checks = inline:{{Subject: s=REDIRECT o@z.test}}",
		.sender = A,
		.rcpts = { B, "c@y.test" },
		.content = PLAIN,
		.smtp = 250,
		.envelope = "a@x.test: o@z.test(b@y.test)" },
	{ .name = "hold",
		.conf = "header_checks = inline:{{Subject: s=HOLD}}",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 250,
		.hold = true },
	{ .name = "pass",
		.conf = "header_checks = inline:{{From: a@x.test=PASS},{Subject: s=REJECT}}\nbody_checks = inline:{{line=REJECT}}",
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 250 },
	{ .name = "checks switched off",
		.conf = "header_checks = inline:{{Subject: s=REJECT}}",
		.flags = CLEANUP_NO_CHECKS,
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 250 },
	{ .name = "body lines",
		.conf = "body_checks = inline:{{one=IGNORE},{two=REPLACE zwei},{three=PREPEND drei}}",
		.sender = A,
		.rcpts = { B },
		.content = "X: y\n\none\ntwo\n\nthree\nfour\n",
		.smtp = 250,
		.body = "zwei\n\ndrei\nthree\nfour\n" },
	{ .name = "body checks look so far",
		.conf = "body_checks = inline:{{bad=REJECT}}\nbody_checks_size_limit = 10",
		.sender = A,
		.rcpts = { B },
		.content = "X: y\n\n01234567890123\nbad\n",
		.smtp = 250 },
	{ .name = "parts",
		.conf = "header_checks = inline:{{Subject: inner=REJECT}}\nmime_header_checks = inline:{{Content-Type: bad/type=REPLACE "
			"Content-Type: text/plain}}\n"
			"nested_header_checks = inline:{{X-In: y=REPLACE X-In: z}}\nbody_checks = inline:{{preamble=IGNORE}}",
		.sender = A,
		.rcpts = { B },
		.content = "Content-Type: multipart/mixed; x=y;\n boundary=\"b b\"\n\npreamble\n--b b\nContent-Type: "
			   "bad/type\n\nContent-Type: bad/type\n--b b\n"
			   "Content-Type: message/rfc822\n\nSubject: inner\nX-In: y\n\nX-In: y\n--b b--\nend\n",
		.smtp = 250,
		.body = "--b b\nContent-Type: text/plain\n\nContent-Type: bad/type\n--b b\nContent-Type: message/rfc822\n\nSubject: "
			"inner\nX-In: z\n\nX-In: y\n"
			"--b b--\nend\n" },
	/* mail that came without SMTP is not refused to anybody's face */
	{ .name = "local mail becomes a bounce",
		.conf = "header_checks = inline:{{Subject: s=REJECT 5.7.9 no}}",
		.flags = CLEANUP_NON_SMTPD,
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 250,
		.header = PLAIN_HEADER,
		.envelope = "a@x.test: b@y.test via error:5.7.9 no" },
	{ .name = "local mail waits",
		.conf = "header_checks = inline:{{Subject: s=REJECT 4.7.9 no}}",
		.flags = CLEANUP_NON_SMTPD,
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 451 },
	{ .name = "a filter that is not there",
		.conf = "non_smtpd_milters = unix:/nonexistent\nmilter_default_action = tempfail",
		.flags = CLEANUP_NON_SMTPD,
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 451 },
	{ .name = "accept discarded mail",
		.conf = "",
		.flags = CLEANUP_DISCARD,
		.sender = A,
		.rcpts = { B },
		.content = PLAIN,
		.smtp = 250,
		.discarded = true },
};

/* Nobody may hear 250 when the file could not be written. */
static void test_no_disk(void)
{
	static const struct letter rows[] = {
		{ .name = "no directory",
			.conf = "",
			.sender = A,
			.rcpts = { B },
			.content = PLAIN,
			.smtp = 451,
			.text = "Error: queue file write error" },
		{ .name = "no directory for a large one",
			.conf = "cleanup_memory_limit = 16",
			.sender = A,
			.rcpts = { B },
			.content = PLAIN,
			.smtp = 451 },
	};

	for (size_t i = 0; i < 2; i++) {
		struct arena *a = arena_new("test");
		struct cleanup_answer answer = { .text = STR_NONE };
		struct cleanup_request r;

		configure(rows[i].conf);
		fill(a, &rows[i], &r);
		if (rename("incoming", "away") < 0)
			skip_all("cannot rename");
		ok(converse(a, &r, crlf(a, rows[i].content), 0, &answer), "%s: answered", rows[i].name);
		is_int(answer.code.smtp, 451, rows[i].name);
		if (rename("away", "incoming") < 0)
			skip_all("cannot rename");
		arena_free(a);
	}
}

/* A sender that goes away leaves nothing behind. */
static void test_gone(void)
{
	struct letter l = { .name = "gone", .conf = "cleanup_memory_limit = 16", .sender = A, .rcpts = { B } };
	struct arena *a = arena_new("test");
	struct cleanup_request r;
	struct err e = ERR_INIT;
	struct stream *mine, *theirs;
	int fds[2];

	configure(l.conf);
	fill(a, &l, &r);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		skip_all("no socket pairs");
	mine = stream_new(fds[0]);
	theirs = stream_new(fds[1]);
	cleanup_send_envelope(mine, &r, deadline_in(5000), &e);
	cleanup_send_content(mine, STR("X: y\r\n\r\nmore than memory holds\r\n"), deadline_in(5000), &e);
	stream_flush(mine, deadline_in(5000));
	stream_close(mine);
	session_serve(theirs);
	stream_close(theirs);
	is_int((long long)files("incoming"), 0, "no file of a sender that went away");
	arena_free(a);
}

static void run(void *arg)
{
	(void)arg;
	session_init();
	rewrite_init("unix:private/rewrite", 1000);
	store_init();
	for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
		run_letter(&letters[i]);
	test_no_disk();
	test_gone();
	loop_stop();
}

int main(void)
{
	int r;

	if (mkdtemp(directory) == NULL || chdir(directory) < 0 || mkdir("incoming", 0700) < 0 || mkdir("hold", 0700) < 0)
		skip_all("no temporary directory");
	loop_init();
	fiber_start("test", run, NULL);
	loop_run();
	r = done_testing();
	unlink("main.cf");
	rmdir("incoming");
	rmdir("hold");
	if (chdir("/") == 0)
		rmdir(directory);
	return r;
}

/* t/fuzz/fuzz_filter.c - whole conversations with a filter that says whatever the input has, from the negotiation to its changes to a message.
 * The conversation must end; a message that is not taken must be the one that came; what is taken must still be a header.
 *
 * Input: one octet of flags, then what the filter sends.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/milter/milter.h"
#include "lib/net/loop.h"
#include "lib/net/sock.h"
#include "lib/net/stream.h"
#include "t/fuzz/fuzz.h"

enum { FLAG_STREAM = 1, FLAG_SHADOW = 2, FLAG_ACCEPT = 4, FLAG_OLD = 8, FLAG_SECOND_MESSAGE = 16 };

static const char fields[] = "Received: old\r\nX-A: one\r\nX-A: two\r\nSubject: s\r\n t\r\n\r\n";
static struct str said;
static int other = -1;

/* The filter: what it says is there at once, and then the end. */
struct stream *sock_connect_endpoint(struct str endpoint, int64_t deadline, struct err *e)
{
	int fds[2];

	(void)endpoint; /* there is one */
	(void)deadline; /* it is here at once */
	(void)e; /* never fails */
	if (other >= 0)
		close(other);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	check(said.n == 0 || send(fds[1], said.p, said.n, MSG_DONTWAIT) == (ssize_t)said.n);
	shutdown(fds[1], SHUT_WR);
	other = fds[1];
	return stream_new(fds[0]);
}

/* ---- the message ---- */

struct letter {
	struct milter_mail mail;
	struct header header;
	struct buf body;
	unsigned changes;
};

static int change_address(void *ctx, struct str address, struct str args, struct err *e)
{
	struct letter *l = ctx;

	(void)args; /* cleanup looks at those */
	(void)e; /* never fails */
	check(memchr(address.p, '\0', address.n) == NULL);
	l->changes++;
	return 0;
}

static int del_rcpt(void *ctx, struct str rcpt, struct err *e)
{
	return change_address(ctx, rcpt, STR_NONE, e);
}

static int quarantine(void *ctx, struct str reason, struct err *e)
{
	(void)ctx; /* holding changes nothing */
	(void)reason; /* nor does why */
	(void)e; /* never fails */
	return 0;
}

static int replace_body(void *ctx, struct str body, struct err *e)
{
	struct letter *l = ctx;

	(void)e; /* never fails */
	buf_clear(&l->body);
	buf_add(&l->body, body);
	l->mail.body = buf_str(&l->body);
	l->changes++;
	for (size_t i = 0; i < body.n; i++)
		check(body.p[i] != '\n' || (i > 0 && body.p[i - 1] == '\r'));
	return 0;
}

static void letter_init(struct letter *l, struct arena *a)
{
	bool missing;

	*l = (struct letter){ .changes = 0 };
	header_init(&l->header, a);
	header_parse(&l->header, str_z(fields), &missing);
	header_insert(&l->header, 0, STR("Received"), STR("ours"), true);
	l->header.fields[0].hidden = true;
	buf_addz(&l->body, "line\r\n");
	l->mail = (struct milter_mail){ .ctx = l,
		.header = &l->header,
		.body = buf_str(&l->body),
		.body_max = 10000,
		.deadline = DEADLINE_NEVER,
		.change_sender = change_address,
		.add_rcpt = change_address,
		.del_rcpt = del_rcpt,
		.replace_body = replace_body,
		.quarantine = quarantine };
}

/* Lines end in CRLF, a line that does not go on one before has a name, and nothing ends the header early. */
static void judge_header(struct str h)
{
	while (h.n > 0) {
		struct str line = str_cut(&h, '\n');

		check(line.n > 1 && line.p[line.n - 1] == '\r');
		check(memchr(line.p, '\0', line.n) == NULL);
		check(line.p[0] == ' ' || line.p[0] == '\t' || str_chr(line, ':') > 0);
	}
}

static void judge(struct letter *l, const struct milter_answer *a)
{
	struct buf h = { 0 };

	header_print(&l->header, &h);
	judge_header(buf_str(&h));
	if (a->verdict == MILTER_REPLY || a->verdict == MILTER_HANGUP) {
		check(a->code.smtp >= 400 && a->code.smtp <= 599);
		check(l->changes == 0 && str_starts(buf_str(&h), STR("Received: ours\r\nReceived: old\r\nX-A: one\r\nX-A: two\r\nSubject: s\r\n t\r\n")));
	}
	buf_done(&h);
}

/* ---- a session ---- */

static void content(struct milter_session *s, struct letter *l, bool stream, struct milter_answer *a)
{
	struct milter_run *run = stream ? milter_stream_begin(s, &l->mail) : NULL;

	if (run != NULL) {
		milter_stream_body(run, buf_str(&l->body));
		milter_stream_end(run, a);
	} else {
		milter_content(s, &l->mail, a);
	}
}

static void message(struct milter_session *s, struct arena *a, bool stream)
{
	struct milter_answer answer;
	struct letter l;

	milter_mail(s, STR("<a@b>"), NULL, 0, &answer);
	if (answer.verdict == MILTER_GO_ON)
		milter_rcpt(s, STR("<c@d>"), NULL, 0, &answer);
	if (answer.verdict == MILTER_GO_ON)
		milter_data(s, &answer);
	if (answer.verdict == MILTER_GO_ON) {
		letter_init(&l, a);
		content(s, &l, stream, &answer);
		judge(&l, &answer);
		buf_done(&l.body);
	}
	milter_abort(s);
}

static void run(void *arg)
{
	static const struct milter_macros macros = { .names = { [MILTER_CONNECT] = "j", [MILTER_EOM] = "i" }, .defaults = "j=host, i=id" };
	unsigned flags = *(const unsigned char *)arg;
	struct milter_settings set = { .endpoint = "unix:x",
		.connect_ms = 1000,
		.command_ms = 1000,
		.content_ms = 1000,
		.on_failure = flags & FLAG_ACCEPT ? MILTER_ACCEPT : MILTER_TEMPFAIL,
		.version = flags & FLAG_OLD ? 2 : 6,
		.shadow = (flags & FLAG_SHADOW) != 0 };
	struct milter_chain chain = { &set, 1 };
	struct arena *a = arena_new("fuzz");
	struct milter_session *s = milter_session_new(a, &chain, &macros, NULL, NULL);
	struct milter_answer answer;

	milter_connect(s, STR("[127.0.0.1]"), '4', 25, STR("127.0.0.1"), &answer);
	milter_helo(s, STR("cli"), &answer);
	message(s, a, (flags & FLAG_STREAM) != 0);
	if (flags & FLAG_SECOND_MESSAGE)
		message(s, a, false);
	milter_session_close(s);
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool begun;
	unsigned char flags;

	if (size == 0 || size > 60000)
		return 0;
	if (!begun)
		log_open("fuzz", "/dev/null");
	begun = true;
	flags = data[0];
	said = str_skip(fuzz_str(data, size), 1);
	loop_call("session", run, &flags);
	return 0;
}

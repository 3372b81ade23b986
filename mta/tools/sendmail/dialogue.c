/* mta/tools/sendmail/dialogue.c - sendmail -bs: SMTP over standard input and output for programs that speak nothing else. What is accepted is
 * submitted as from any other local program: no relaying question arises, the caller could name the recipients on the command line.
 * The first line decides how lines end. Where that is CRLF, a message with another line end is refused: the end of it is a matter of opinion.
 */
#include "mta/tools/sendmail/sendmail.h"

#include <sysexits.h>

#include "lib/mail/addr.h"
#include "lib/smtp/command.h"

#define RECIPIENTS_MAX 10000

struct dialogue {
	struct request *request;
	const struct conf *conf;
	struct arena *mail; /* of one transaction */
	const char *hostname;
	uint64_t size_max;
	char *line; /* getline's */
	size_t line_size;
	bool lf, decided; /* lines end in LF alone */
	bool bare; /* the last line had another end, or a CR inside */
	bool greeted, have_sender;
	struct str *recipients;
	size_t recipient_count;
};

static void say(const char *text)
{
	printf("%s\r\n", text);
	fflush(stdout);
}

/* The next line without its end. False: there is none. */
static bool next_line(struct dialogue *d, struct str *out)
{
	ssize_t n = getline(&d->line, &d->line_size, stdin);
	bool crlf;

	if (n <= 0)
		return false;
	crlf = n >= 2 && d->line[n - 2] == '\r' && d->line[n - 1] == '\n';
	if (!d->decided)
		d->lf = !crlf;
	d->decided = true;
	n -= crlf ? 2 : d->line[n - 1] == '\n';
	*out = str_n(d->line, (size_t)n);
	d->bare = (!crlf && !d->lf) || str_chr(*out, '\r') >= 0;
	return true;
}

static void forget(struct dialogue *d)
{
	arena_free(d->mail);
	d->mail = arena_new("submission");
	d->have_sender = false;
	d->request->body_8bit = false;
	d->recipients = arena_alloc(d->mail, RECIPIENTS_MAX * sizeof *d->recipients);
	d->recipient_count = 0;
}

/* ---- commands ---- */

static void do_helo(struct dialogue *d, struct str args)
{
	(void)args; /* it is a local program */
	forget(d);
	d->greeted = true;
	printf("250 %s\r\n", d->hostname);
	fflush(stdout);
}

static void do_ehlo(struct dialogue *d, struct str args)
{
	(void)args;
	forget(d);
	d->greeted = true;
	printf("250-%s\r\n250-SIZE %llu\r\n", d->hostname, (unsigned long long)d->size_max);
	say("250-8BITMIME\r\n250 ENHANCEDSTATUSCODES");
}

static const char *take_path(struct dialogue *d, struct str args, const char *keyword, unsigned flags, struct smtp_path *path, struct str *address)
{
	bool syntax = false;
	const char *why = "";

	if (smtp_path_parse(args, keyword, flags | ADDR_UTF8, path, &syntax, &why) < 0)
		return syntax ? "501 5.5.4 Syntax error" : "501 5.1.3 Bad address syntax";
	*address = path->addr.local;
	if (path->addr.domain.n > 0)
		*address = arena_printf(d->mail, "%.*s@%.*s", STRF(path->addr.local), STRF(path->addr.domain));
	*address = arena_dup(d->mail, addr_unquote(d->mail, *address));
	return NULL;
}

static void do_mail(struct dialogue *d, struct str args)
{
	struct smtp_path path;
	struct str sender = STR_NONE;
	const char *wrong;

	if (d->have_sender) {
		say("503 5.5.1 Error: nested MAIL command");
		return;
	}
	wrong = take_path(d, args, "FROM", ADDR_NULL_OK, &path, &sender);
	for (size_t i = 0; wrong == NULL && i < path.param_count; i++) {
		if (str_eqiz(path.params[i].name, "BODY"))
			d->request->body_8bit = str_eqiz(path.params[i].value, "8BITMIME");
		else if (!str_eqiz(path.params[i].name, "SIZE"))
			wrong = "555 5.5.4 Unsupported option";
	}
	if (wrong == NULL && !sender_permitted(d->conf, d->request, sender))
		wrong = "553 5.7.1 Sender address rejected: not yours";
	d->have_sender = wrong == NULL;
	d->request->sender = sender.n > 0 ? arena_z(d->mail, sender) : "";
	say(wrong != NULL ? wrong : "250 2.1.0 Ok");
}

static void do_rcpt(struct dialogue *d, struct str args)
{
	struct smtp_path path;
	struct str address = STR_NONE;
	const char *wrong = NULL;

	if (!d->have_sender)
		wrong = "503 5.5.1 Error: need MAIL command";
	else if (d->recipient_count == RECIPIENTS_MAX)
		wrong = "452 4.5.3 Error: too many recipients";
	else
		wrong = take_path(d, args, "TO", 0, &path, &address);
	if (wrong == NULL && path.param_count > 0)
		wrong = "555 5.5.4 Unsupported option";
	if (wrong == NULL && address.n == 0)
		wrong = "501 5.1.3 Bad address syntax";
	if (wrong == NULL)
		d->recipients[d->recipient_count++] = address;
	say(wrong != NULL ? wrong : "250 2.1.5 Ok");
}

/* Up to the dot. False: it did not come. */
static bool read_content(struct dialogue *d, struct buf *content, bool *bare, bool *large)
{
	struct str line;

	while (next_line(d, &line)) {
		if (!d->bare && str_eqz(line, "."))
			return true;
		*bare |= d->bare;
		if (line.n > 0 && line.p[0] == '.')
			line = str_skip(line, 1);
		*large |= content->n + line.n + 2 > d->size_max;
		if (*large)
			continue;
		buf_add(content, line);
		buf_addz(content, "\r\n");
	}
	return false;
}

static void do_data(struct dialogue *d, struct str args)
{
	struct buf content = { 0 };
	bool bare = false, large = false;

	(void)args; /* there are none */
	if (d->recipient_count == 0) {
		say(d->have_sender ? "554 5.5.1 Error: no valid recipients" : "503 5.5.1 Error: need RCPT command");
		return;
	}
	say("354 End data with <CR><LF>.<CR><LF>");
	if (!read_content(d, &content, &bare, &large)) {
		buf_done(&content);
		return; /* whoever does not end a message does not mean it */
	}
	if (bare)
		say("550 5.5.2 Error: bare <LF> or <CR> received");
	else if (large)
		say("552 5.3.4 Error: message file too big");
	else {
		struct message m = { .recipients = d->recipients, .recipient_count = d->recipient_count };

		message_make(&m, d->request, d->mail, buf_str(&content));
		submit(&m, d->request);
		buf_done(&m.content);
		say("250 2.0.0 Ok: queued");
	}
	buf_done(&content);
	forget(d);
}

static void do_reset(struct dialogue *d, struct str args)
{
	(void)args;
	forget(d);
	say("250 2.0.0 Ok");
}

static void do_nothing(struct dialogue *d, struct str args)
{
	(void)d;
	(void)args;
	say("250 2.0.0 Ok");
}

static void do_verify(struct dialogue *d, struct str args)
{
	(void)d;
	(void)args;
	say("252 2.0.0 Cannot tell");
}

static const struct verb {
	const char *name;
	void (*run)(struct dialogue *d, struct str args);
	bool after_hello;
} verbs[] = {
	{ "DATA", do_data, true },
	{ "EHLO", do_ehlo, false },
	{ "HELO", do_helo, false },
	{ "MAIL", do_mail, true },
	{ "NOOP", do_nothing, false },
	{ "RCPT", do_rcpt, true },
	{ "RSET", do_reset, false },
	{ "VRFY", do_verify, false },
};

static void obey(struct dialogue *d, struct str line)
{
	struct str args = line, name = str_cut(&args, ' ');

	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (!str_eqiz(str_trim(name), verbs[i].name))
			continue;
		if (verbs[i].after_hello && !d->greeted)
			say("503 5.5.1 Error: send HELO/EHLO first");
		else
			verbs[i].run(d, args);
		return;
	}
	say("502 5.5.2 Error: command not recognized");
}

void run_dialogue(struct request *r, const struct conf *c, uint64_t size_max)
{
	struct dialogue d = { .request = r, .conf = c, .hostname = conf_str(c, "myhostname"), .size_max = size_max };
	struct str line;

	forget(&d);
	printf("220 %s ESMTP\r\n", d.hostname);
	fflush(stdout);
	while (next_line(&d, &line) && !str_eqiz(str_trim(line), "QUIT"))
		obey(&d, arena_dup(d.mail, line));
	say("221 2.0.0 Bye");
	free(d.line);
	arena_free(d.mail);
}

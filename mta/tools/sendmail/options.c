/* mta/tools/sendmail/options.c - thirty years of sendmail options: the ones that mean something, and the ones that are taken and ignored.
 */
#include "mta/tools/sendmail/sendmail.h"

#include <getopt.h>
#include <sysexits.h>

#include "lib/mail/addr.h"
#include "lib/mail/dsn.h"

#define ENVID_MAX 100

static void set_mode_by_name(struct request *r, const char *argv0)
{
	const char *slash = strrchr(argv0, '/');
	const char *name = slash != NULL ? slash + 1 : argv0;

	if (strcmp(name, "mailq") == 0)
		r->mode = MODE_LIST;
	else if (strcmp(name, "newaliases") == 0)
		r->mode = MODE_ALIASES;
}

/* -bX */
static void set_mode(struct request *r, const char *letters)
{
	static const struct {
		char letter;
		enum mode mode;
	} modes[] = {
		{ 'm', MODE_MAIL },
		{ 'p', MODE_LIST },
		{ 'i', MODE_ALIASES },
		{ 'd', MODE_DAEMON },
		{ 'l', MODE_DAEMON },
		{ 's', MODE_DIALOGUE },
		{ 'v', MODE_PROBE },
		{ 'h', MODE_NOTHING }, /* the host status of other programs */
		{ 'H', MODE_NOTHING },
	};

	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (letters[0] != modes[i].letter)
			continue;
		r->mode = modes[i].mode;
		return;
	}
	fatal(EX_USAGE, "unsupported: -b%s", letters);
}

/* -q, -q15m (a time: how often a daemon runs the queue), -qI id, -qR site */
static void set_flush(struct request *r, const char *value)
{
	if (value == NULL) {
		r->mode = MODE_FLUSH;
	} else if (value[0] == 'I' || value[0] == 'R') {
		r->mode = value[0] == 'I' ? MODE_FLUSH_ID : MODE_FLUSH_SITE;
		r->flush_what = value + 1;
		if (value[1] == '\0')
			fatal(EX_USAGE, "specify: -q%s", value[0] == 'I' ? "Iqueueid" : "Rsitename");
	} else if (!isdigit((unsigned char)value[0])) {
		fatal(EX_USAGE, "-q%c is not implemented", value[0]);
	}
}

static void set_notify(struct request *r, const char *value)
{
	int notify = dsn_notify_parse(str_z(value));

	if (notify < 0)
		warn("bad -N option value -- ignored; specify NEVER, or a list of SUCCESS, FAILURE, DELAY");
	else
		r->notify = notify;
}

static void set_return(struct request *r, const char *value)
{
	if (strcasecmp(value, "full") == 0)
		r->ret = DSN_RET_FULL;
	else if (strcasecmp(value, "hdrs") == 0)
		r->ret = DSN_RET_HDRS;
	else
		warn("bad -R option value -- ignored; specify FULL or HDRS");
}

static void set_body(struct request *r, const char *value)
{
	if (strcasecmp(value, "8BITMIME") == 0)
		r->body_8bit = true;
	else if (strcasecmp(value, "7BIT") != 0)
		fatal(EX_USAGE, "-B option needs 8BITMIME or 7BIT");
}

static void set_option(struct request *r, int option, const char *value)
{
	switch (option) {
	case 'B':
		set_body(r, value);
		break;
	case 'C':
		r->conf_dir = value;
		r->conf_dir_given = true;
		break;
	case 'F':
		r->full_name = value;
		break;
	case 'G':
		r->gateway = true;
		break;
	case 'I':
		r->mode = MODE_ALIASES;
		break;
	case 'N':
		set_notify(r, value);
		break;
	case 'R':
		set_return(r, value);
		break;
	case 'V':
		r->envid = value;
		break;
	case 'X': /* -XV, -XV+=; a log file, from other times, is ignored */
		if (value[0] == 'V')
			r->verp = value + 1;
		break;
	case 'b':
		set_mode(r, value);
		break;
	case 'f':
	case 'r':
		r->sender = value;
		break;
	case 'i':
		r->dot_is_text = true;
		break;
	case 'o':
		r->dot_is_text = r->dot_is_text || value[0] == 'i';
		break;
	case 'q':
		set_flush(r, value);
		break;
	case 't':
		r->from_header = true;
		break;
	case 'v':
		r->report = true;
		break;
	case '?':
		fatal(EX_USAGE, "usage: sendmail [options] [recipient ...]");
	default: /* -A -L -O -U -e -h -m -n -p -x: for other times and other programs */
		break;
	}
}

/* What does not go together. */
static void check_combination(const struct request *r)
{
	static const struct {
		enum mode mode;
		const char *name;
	} alone[] = {
		{ MODE_LIST, "display queue mode" },
		{ MODE_FLUSH, "flush queue mode" },
		{ MODE_FLUSH_ID, "flush queue mode" },
		{ MODE_FLUSH_SITE, "flush queue mode" },
		{ MODE_ALIASES, "alias initialization mode" },
		{ MODE_DAEMON, "daemon mode" },
		{ MODE_DIALOGUE, "stand-alone mode" },
	};

	for (size_t i = 0; i < sizeof alone / sizeof *alone && r->recipient_count > 0; i++)
		if (r->mode == alone[i].mode)
			fatal(EX_USAGE, "%s requires no recipient", alone[i].name);
	if (r->mode == MODE_PROBE && (r->from_header || r->report || r->notify != DSN_NOTIFY_NONE))
		fatal(EX_USAGE, "%s option cannot be used with -bv", r->from_header ? "-t" : r->report ? "-v" : "-N");
	if (r->recipient_count == 0 && !r->from_header && (r->mode == MODE_MAIL || r->mode == MODE_PROBE))
		fatal(EX_USAGE, "Recipient addresses must be specified on the command line or via the -t option");
}

/* Bytes that could break out of a line of the envelope. */
static void check_text(const char *what, const char *value)
{
	for (const char *p = value; value != NULL && *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			fatal(EX_USAGE, "%s has control characters", what);
}

/* It travels as xtext of at most 100 octets (RFC 3461 section 4.4). */
static void check_envid(struct request *r)
{
	struct buf xtext = { 0 };

	addr_xtext_encode(&xtext, str_z(r->envid));
	if (r->envid != NULL && (xtext.n == 0 || xtext.n > ENVID_MAX))
		warn("bad -V option value -- ignored");
	r->envid = xtext.n == 0 || xtext.n > ENVID_MAX ? NULL : buf_z(&xtext);
}

void options_read(struct request *r, int argc, char **argv)
{
	const char *dir = secure_getenv("MAIL_CONFIG");
	int option;

	r->full_name = secure_getenv("NAME");
	if (dir != NULL) {
		r->conf_dir = dir;
		r->conf_dir_given = true;
	}
	set_mode_by_name(r, argv[0]);
	while ((option = getopt(argc, argv, "+A:B:C:F:GIL:N:O:R:UV:X:b:e:f:h:imno:p:r:q::tvx")) != -1)
		set_option(r, option, optarg);
	r->recipients = argv + optind;
	r->recipient_count = (size_t)(argc - optind);
	check_text("the sender", r->sender);
	check_text("the full name", r->full_name);
	check_text("the envelope id", r->envid);
	check_envid(r);
	for (size_t i = 0; i < r->recipient_count; i++)
		check_text("a recipient", r->recipients[i]);
	check_combination(r);
}

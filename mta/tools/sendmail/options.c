/* mta/tools/sendmail/options.c - thirty years of sendmail options: the ones that mean something, and the ones that are taken and ignored.
 */
#include "mta/tools/sendmail/sendmail.h"

#include <getopt.h>
#include <sysexits.h>

#include "lib/mail/dsn.h"

static void set_mode_by_name(struct request *r, const char *argv0)
{
	const char *slash = strrchr(argv0, '/');
	const char *name = slash != NULL ? slash + 1 : argv0;

	if (strcmp(name, "mailq") == 0)
		r->mode = MODE_LIST;
	else if (strcmp(name, "newaliases") == 0)
		r->mode = MODE_ALIASES;
}

static void refuse(struct request *r, const char *option)
{
	r->mode = MODE_REFUSED;
	r->refused = option;
}

/* -bX */
static void set_mode(struct request *r, const char *letters)
{
	switch (letters[0]) {
	case 'm':
		r->mode = MODE_MAIL;
		break;
	case 'p':
		r->mode = MODE_LIST;
		break;
	case 'i':
		r->mode = MODE_ALIASES;
		break;
	case 'd':
	case 'l':
		r->mode = MODE_START;
		break;
	case 's':
		r->mode = MODE_DIALOGUE;
		break;
	case 'v':
		refuse(r, "-bv");
		break;
	default:
		fatal(EX_USAGE, "unsupported: -b%s", letters);
	}
}

/* -q, -q15m (a time: how often a daemon runs the queue), -qI id, -qR site */
static void set_flush(struct request *r, const char *value)
{
	if (value == NULL) {
		r->mode = MODE_FLUSH;
	} else if (value[0] == 'I') {
		r->mode = MODE_FLUSH_ID;
		r->flush_what = value + 1;
	} else if (value[0] == 'R') {
		r->mode = MODE_FLUSH_SITE;
		r->flush_what = value + 1;
	} else if (!isdigit((unsigned char)value[0])) {
		fatal(EX_USAGE, "-q%c is not implemented", value[0]);
	}
}

static void set_notify(struct request *r, const char *value)
{
	r->notify = dsn_notify_parse(str_z(value));
	if (r->notify < 0)
		fatal(EX_USAGE, "bad -N option value -- specify NEVER, or a list of SUCCESS, FAILURE, DELAY");
}

static void set_return(struct request *r, const char *value)
{
	if (strcasecmp(value, "full") == 0)
		r->ret = DSN_RET_FULL;
	else if (strcasecmp(value, "hdrs") == 0)
		r->ret = DSN_RET_HDRS;
	else
		fatal(EX_USAGE, "bad -R option value -- specify FULL or HDRS");
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
	case '?':
		fatal(EX_USAGE, "usage: sendmail [options] [recipient ...]");
	default: /* -A -G -L -O -U -e -h -m -n -p -v -x: for other times and other programs */
		break;
	}
}

/* Bytes that could break out of a line of the envelope. */
static void check_text(const char *what, const char *value)
{
	for (const char *p = value; value != NULL && *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			fatal(EX_USAGE, "%s has control characters", what);
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
	for (size_t i = 0; i < r->recipient_count; i++)
		check_text("a recipient", r->recipients[i]);
}

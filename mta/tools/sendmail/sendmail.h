/* mta/tools/sendmail/sendmail.h - what the files of the sendmail command share. */
#ifndef GATEPOST_MTA_TOOLS_SENDMAIL_SENDMAIL_H
#define GATEPOST_MTA_TOOLS_SENDMAIL_SENDMAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/conf/conf.h"

enum mode { MODE_MAIL, MODE_LIST, MODE_ALIASES, MODE_FLUSH, MODE_FLUSH_ID, MODE_FLUSH_SITE, MODE_DAEMON, MODE_DIALOGUE, MODE_PROBE, MODE_NOTHING };

struct request { /* what the command line asks for */
	enum mode mode;
	const char *conf_dir;
	bool conf_dir_given;
	const char *login; /* the caller's name */
	bool has_login; /* he is in the password file */
	const char *sender; /* NULL: login */
	const char *full_name; /* NULL: from the password file */
	const char *flush_what; /* MODE_FLUSH_ID, MODE_FLUSH_SITE */
	const char *line_ends; /* sendmail_fix_line_endings */
	bool dot_is_text; /* -i: a line with only "." does not end the message */
	bool from_header; /* -t: recipients from To, Cc and Bcc */
	bool body_8bit; /* -B 8BITMIME */
	bool gateway; /* -G: the header is complete */
	bool report; /* -v: what became of the first attempt is mailed to the sender */
	int notify, ret; /* DSN_ */
	const char *envid;
	const char *verp; /* NULL: none; else two delimiters, or nothing for the default */
	char **recipients; /* the rest of the command line */
	size_t recipient_count;
};

struct message {
	struct buf content; /* CRLF lines; header block with its empty line, then the body */
	size_t header_size; /* of the header block, empty line included */
	struct str *recipients;
	size_t recipient_count;
};

/* "sendmail: warning: <text>" on standard error. */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "sendmail: fatal: <text>" there, and exit. */
void fatal(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

/* options.c: never returns with a request that makes no sense. */
void options_read(struct request *r, int argc, char **argv);

/* permission.c: fatal when the caller may not submit; may he as this sender (internal form; empty: null sender)? */
void check_permission(const struct conf *c, const char *name);
bool sender_permitted(const struct conf *c, const struct request *r, struct str sender);

/* message.c: read standard input, complete the header, find the recipients. max: octets, 0: no limit. */
uint64_t message_max(uint64_t limit); /* octets that are taken at all */
void message_read(struct message *m, const struct request *r, struct arena *a, uint64_t max);

/* -bv: what stands for the message that is not sent. */
void message_probe(struct message *m, const struct request *r, struct arena *a);
/* The same for a message that was read already: input has CRLF lines. m may have recipients. */
void message_make(struct message *m, const struct request *r, struct arena *a, struct str input);

/* dialogue.c: -bs. Working directory = queue. */
void run_dialogue(struct request *r, const struct conf *c, uint64_t size_max);

struct str request_sender(const struct request *r); /* internal form; empty: null sender */

/* submit.c: write it to maildrop/ of the queue (the working directory) and tell pickup. Returns when it is on disk. */
void submit(const struct message *m, const struct request *r);

/* others.c: what other programs do for us. Never return. */
void run_list(const struct request *r) __attribute__((noreturn));
void run_flush(const struct request *r) __attribute__((noreturn));
void run_aliases(const struct request *r) __attribute__((noreturn));

/* sendmail.c */
void give_up_group(void); /* the set-group-id right, for good */

#endif

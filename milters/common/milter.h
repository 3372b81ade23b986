/* milters/common/milter.h - what our milters are made of. A role (dkim, dmarc, arc) says what it does with the header, the body and the end
 * of a message; settings, connections, the message's fields, log, processes and libmilter itself are the same for all and live here.
 */
#ifndef GATEPOST_MILTERS_COMMON_MILTER_H
#define GATEPOST_MILTERS_COMMON_MILTER_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"
#include "lib/mail/authres.h"
#include "lib/table/table.h"

struct mail;
struct settings;

struct role {
	const char *name; /* "dkim" */
	const char *service; /* "DKIM", in replies to clients */
	const char *socket, *internal_hosts, *dns_timeout; /* names of its parameters */

	int (*load)(struct settings *s, struct err *e); /* its own part of the settings */
	void (*unload)(struct settings *s); /* may be called after a load() that failed */
	/* Of one message, in this order. -1 with *e: our trouble, the message is asked for again. */
	int (*header)(struct mail *m, struct err *e); /* all fields are there */
	bool (*body)(struct mail *m, struct str piece); /* false: no need to see more */
	int (*end)(struct mail *m, struct err *e); /* the place for changes and for m->refusal */
	void (*forget)(struct mail *m); /* what m->own holds outside m->life; called once, whatever happened before; NULL: nothing */
};

/* ---- settings.c: read whole, replaced whole by SIGHUP; a message keeps those it began with ---- */

struct settings {
	int refs;
	const struct role *role;
	struct arena *life;
	struct conf *conf;
	struct str authserv_id;
	bool first; /* of our milters in the MTA's list: whatever is in our name already is forged */
	int64_t dns_timeout_ms;
	struct matchlist *internal;
	void *own; /* the role's */
};

/* Read main.cf in dir. report: tell problems and warnings on stderr, for an operator who waits. NULL with *e. */
struct settings *settings_load(const struct role *role, const char *dir, bool report, struct err *e);
void settings_use(struct settings *s); /* for messages from now on; the one before goes when its last message ends */
struct settings *settings_get(void);
void settings_put(struct settings *s); /* NULL allowed */

/* One word out of a list, for parameters that are a choice. The list ends with a NULL word. */
struct choice {
	const char *word;
	int value;
};
int settings_choose(const struct settings *s, const char *parameter, const struct choice *choices, int *out, struct err *e);
int settings_choose_word(const char *parameter, struct str word, const struct choice *choices, int *out, struct err *e);

/* ---- mail.c: one message ---- */

struct field {
	struct str text; /* "Subject: text\r\n folded", as on the wire, NUL behind it */
	struct str name, value; /* slices of text; value with the white space behind the colon */
	struct field *next;
};

/* What the client is told instead of "accepted". */
struct refusal {
	const char *code, *dsn; /* NULL: nothing */
	const char *text;
};

struct mail {
	struct arena *life;
	struct settings *set;
	void *ctx; /* libmilter's */
	struct str client; /* address as text, empty for local programs */
	struct str helo, sender; /* sender without <>; empty: null sender */
	const char *queue_id; /* from the MTA; empty: none */
	bool trusted; /* from an internal host or a client that logged in */
	bool lead_space; /* values come with the white space behind the colon */
	bool too_large; /* more header than we keep */
	struct field *fields, **last;
	size_t field_count, header_size;
	struct refusal refusal;
	bool in_trouble; /* ours: what went wrong at the end of the header, told at the end of the message */
	struct err trouble;
	void *own; /* the role's */
};

struct mail *mail_new(struct settings *s, void *ctx); /* takes the reference */
void mail_free(struct mail *m); /* NULL allowed */
void mail_add_field(struct mail *m, const char *name, const char *value);
/* The n-th (1-based) field of that name; NULL: no such. */
const struct field *mail_field(const struct mail *m, const char *name, size_t n);
size_t mail_count(const struct mail *m, const char *name);

/* ---- session.c: libmilter's callbacks, and changes of a message, in end() only ---- */

int session_register(const struct role *role); /* MI_SUCCESS or MI_FAILURE */
/* A field on top; value with LF folds. */
int mail_insert_field(struct mail *m, const char *name, struct str value, struct err *e);
/* Results on top, in our name: "dkim=pass ..." becomes "Authentication-Results: <id>;\n\tdkim=pass ...". */
int mail_insert_results(struct mail *m, struct str results, struct err *e);
/* When no milter of ours was before us: remove what others wrote in our name. */
int mail_remove_forged(struct mail *m, struct err *e);
int mail_quarantine(struct mail *m, const char *reason, struct err *e);

/* ---- program.c ---- */

int milter_main(const struct role *role, int argc, char **argv);

#endif

/* t/unit/milter_peer.h - both ends of a milter conversation for tests: a scripted filter in another process, a message to edit, and the
 * session that talks to them.
 */
#ifndef GATEPOST_T_UNIT_MILTER_PEER_H
#define GATEPOST_T_UNIT_MILTER_PEER_H

#include <sys/types.h>

#include "lib/milter/codec.h"
#include "lib/milter/milter.h"
#include "t/unit/tap.h"

#define FILTERS 4 /* in one conversation, at most */

enum { NR_ALL = 0xff080, NO_ALL = 0x37f, LEADSPC = 0x100000, RCPT_REJ = 0x800 };

struct answer {
	char command; /* answered with ... */
	int nth; /* the how manieth of that command; 0: each */
	struct str bytes; /* packets; "!" closes the connection, "" says nothing */
};

struct script {
	uint32_t version, protocol;
	uint32_t no_actions; /* taken off what it negotiates */
	struct str lists;
	struct answer answers[8];
	struct gate { /* an order of events between filters: at this command, before the answer, ... */
		char command;
		int takes, gives; /* wait for an octet from this pipe, put one into that one; 0: none */
	} gate;
};

struct filter {
	int listener, report; /* report: what it saw */
	pid_t pid;
	char path[64];
};

struct letter {
	struct milter_mail mail;
	struct header header;
	struct buf body, log; /* log: envelope changes */
};

struct talk {
	struct arena *a;
	struct filter f[FILTERS];
	struct milter_settings set[FILTERS];
	struct milter_chain chain;
	struct milter_session *s;
	struct milter_answer answer;
	struct str seen[FILTERS]; /* after talk_end() */
};

/* One filter: it serves one connection as the script says, then tells what it saw. macros: the D packets, too. */
void filter_start(struct filter *f, const struct script *sc, bool macros);
/* What it saw, blank separated. */
struct str filter_end(struct filter *f, struct arena *a);

void letter_init(struct letter *l, struct arena *a, const char *header, struct str body);
void letter_done(struct letter *l);
struct str letter_header(struct letter *l, struct arena *a);

/* A session with so many filters; more settings may be made in t->set before envelope(). */
void talk_begin(struct talk *t, const struct script *sc, size_t count, enum milter_default on_failure, bool with_macros);
void envelope(struct talk *t);
struct str talk_end(struct talk *t); /* what the first filter saw; t->seen has them all */

/* "Received: old", three X-A, X-B, a folded Subject. */
extern const char mail_header[];

/* Run fn in a fiber on a loop of its own until it returns; the exit code of the test. */
int peer_main(void (*fn)(void));

#endif

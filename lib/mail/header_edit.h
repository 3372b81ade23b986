/* lib/mail/header_edit.h - change the addresses in a header field, whatever decides what they become.
 */
#ifndef GATEPOST_LIB_MAIL_HEADER_EDIT_H
#define GATEPOST_LIB_MAIL_HEADER_EDIT_H

#include "lib/base/arena.h"
#include "lib/base/str.h"

/* Whose addresses a field has, by its name. */
enum header_parties { HEADER_NEITHER, HEADER_SENDERS, HEADER_RCPTS };
enum header_parties header_parties(struct str name);

struct header_edit {
	struct arena *life; /* of what is made */
	/* Change one address (internal form), or leave it. -1: give up. May suspend. */
	int (*edit)(struct header_edit *ed, struct str *address);
	void *ctx;
};

/* 1: *out is the new value, with folds; 0: nothing changed; -1: edit() gave up. Suspends when edit() does. */
int header_edit(struct header_edit *ed, struct str name, struct str value, struct str *out);

#endif

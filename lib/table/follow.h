/* lib/table/follow.h - has a file been changed or replaced? Looked at once a second at most. */
#ifndef GATEPOST_LIB_TABLE_FOLLOW_H
#define GATEPOST_LIB_TABLE_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "lib/base/err.h"

struct follow { /* starts as { .path = ... } */
	char *path;
	int64_t looked_at;
	dev_t dev; /* of the state that was noted */
	ino_t ino;
	off_t size;
	struct timespec changed;
};

/* Note the file's state; call it before reading. -1 with errno: there is none. */
int follow_note(struct follow *f);
/* Is it time to look? True once a second. */
bool follow_due(struct follow *f);
/* Is there a file, and another one than what was noted? */
bool follow_changed(const struct follow *f);
/* Was it the noted file itself that changed? Who has mapped that has no old content left. */
bool follow_in_place(const struct follow *f);
/* The changed file is no good (e): warn, and that the old content stays in force. */
void follow_complain(const struct follow *f, const struct err *e);

#endif

/* t/fuzz/fuzz_mime.c - the walk over the MIME structure of a message: every octet of the body is told exactly once, in order. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/arena.h"
#include "lib/mail/header.h"
#include "lib/mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	const char *at; /* end of what was told */
};

static bool visit(struct mime_walk *w, enum mime_class what, struct str text)
{
	struct seen *s = w->ctx;

	(void)what; /* any */
	if (text.p < s->at || w->depth > w->nesting)
		abort();
	for (const char *p = s->at; p < text.p; p++)
		if (*p != '\r' && *p != '\n')
			abort(); /* something was passed over */
	s->at = text.p + text.n;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str message = str_n((const char *)data, size);
	struct arena *a = arena_new("fuzz");
	struct mime_walk w = { .life = a, .structure = true, .nesting = 5, .boundary_length = 70, .visit = visit };
	struct header h;
	struct seen s;
	bool missing;
	struct str body;

	header_init(&h, a);
	body = str_skip(message, header_parse(&h, message, &missing));
	s.at = body.p;
	w.ctx = &s;
	mime_begin(&w, &h);
	mime_walk(&w, body);
	for (const char *p = s.at; p < body.p + body.n; p++)
		if (*p != '\r' && *p != '\n')
			abort();
	arena_free(a);
	return 0;
}

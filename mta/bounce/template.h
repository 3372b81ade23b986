/* mta/bounce/template.h - the words of notifications: built in, or from bounce_template_file (Postfix's format). */
#ifndef GATEPOST_MTA_BOUNCE_TEMPLATE_H
#define GATEPOST_MTA_BOUNCE_TEMPLATE_H

#include "lib/base/arena.h"
#include "lib/conf/conf.h"
#include "lib/proto/bounce.h"

struct template
{
	struct str from, subject, postmaster_subject, charset;
	struct str text; /* LF line ends, $variables as written */
};

/* Built-in templates, and over them those of the file; trouble with it is logged and the built-in ones stay. Lives in a. Blocking. */
void template_load(const struct conf *c, struct arena *a, struct template out[BOUNCE_KINDS]);
/* Take templates from text. False: *why tells what is wrong, out may be half changed. */
bool template_parse(struct str text, struct arena *a, struct template out[BOUNCE_KINDS], const char **why);
/* The text with its variables replaced, in a. */
struct str template_text(const struct conf *c, const struct template *t, struct arena *a);

#endif

/* mta/tools/gatepost/map.h - what the parts of the verbs map and alias share: asking, listing and making tables. */
#ifndef GATEPOST_MTA_TOOLS_GATEPOST_MAP_H
#define GATEPOST_MTA_TOOLS_GATEPOST_MAP_H

#include "lib/table/store.h"
#include "mta/tools/gatepost/gatepost.h"

enum map_nul { MAP_NUL_USUAL, MAP_NUL_YES, MAP_NUL_NO };

struct map_options {
	bool alias; /* as postalias: "key: value" */
	bool keep_case, incremental, replace, quiet_repeats, any_bytes, base64, list;
	bool keep_root, usual_mode; /* -o, -p */
	bool ask_header, ask_body, mime; /* keys are those of a message on standard input */
	enum map_nul nul;
	const char *ask, *delete; /* keys, "-": lines of standard input; NULL: not asked for */
};

/* Each returns an exit status. */

/* map_ask.c. Ask the tables for one key, or for those on standard input; the first answer counts. */
int map_ask(const struct map_options *o, struct table **tables, size_t count);
int map_list(const struct map_options *o, struct table *t);

/* map_make.c. spec: "type:file". */
int map_make(const struct map_options *o, struct str spec);
int map_delete(const struct map_options *o, struct str spec);

#endif

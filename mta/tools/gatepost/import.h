/* mta/tools/gatepost/import.h - what "gatepost import" knows about a setting of Postfix. */
#ifndef GATEPOST_MTA_TOOLS_GATEPOST_IMPORT_H
#define GATEPOST_MTA_TOOLS_GATEPOST_IMPORT_H

#include "mta/tools/gatepost/gatepost.h"

enum fate { FATE_SAME, FATE_DIFFERS, FATE_NONE, FATE_REFUSED, FATES };

struct import {
	struct arena *a;
	struct str main_text, master_text; /* whole files */
};

/* What becomes of "name = value". *why: what differs and what to do, in i->a or static; untouched when there is nothing to say. */
enum fate import_judge(const struct import *i, struct str name, struct str value, const char **why);

/* Why nothing comes of it, whatever its value is; NULL: something does. */
const char *import_without_effect(struct str name);

#endif

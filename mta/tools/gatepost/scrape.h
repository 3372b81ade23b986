/* mta/tools/gatepost/scrape.h - the counters of a running instance, as its metrics service prints them. */
#ifndef GATEPOST_MTA_TOOLS_GATEPOST_SCRAPE_H
#define GATEPOST_MTA_TOOLS_GATEPOST_SCRAPE_H

#include "mta/tools/gatepost/gatepost.h"

struct sample { /* one line */
	struct str name;
	struct str labels; /* `a="x",b="y"`: as printed */
	double value;
};

struct scrape {
	struct arena *a;
	struct sample *samples;
	size_t count;
};

/* GET path from public/metrics; the body in a. False: nobody answers (it does not run, or is not for us to ask). Working directory = queue
 * directory. */
bool scrape_get(struct arena *a, const char *path, struct str *body);
/* All counters. False as above. */
bool scrape_read(struct arena *a, struct scrape *out);

/* The value of a label of this sample; empty: it has none. Escapes are left as they are. */
struct str scrape_label(const struct sample *s, const char *label);
/* Sum over all series of this name; with label not NULL, only of those where it has this value. */
double scrape_sum(const struct scrape *s, const char *name, const char *label, const char *value);
/* The duration that the part q (0..1) of a histogram's values stay below, interpolated as Prometheus does; -1: there are none. */
double scrape_quantile(const struct scrape *s, const char *name, const char *label, const char *value, double q);
/* Different values of a label over all series of this name, in a; their number. */
size_t scrape_values(const struct scrape *s, const char *name, const char *label, struct str **out);

#endif

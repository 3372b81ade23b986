/* mta/tools/gatepost/shadow.c - shadow report: what policies on trial would have done otherwise, from policyd's log lines (policyd/shadow.c),
 * grouped by policy, by what was done and would have been, and by the check that says so.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <sysexits.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "mta/tools/gatepost/policy.h"

#define GROUPS_MAX 10000
#define LINE_SIZE 8192

enum part { PART_POLICY, PART_DID, PART_WOULD, PART_BY, PART_CLIENT, PART_FROM, PART_TO, PART_ACTION, PARTS };
static const char *const part_names[PARTS] = { "policy", "did", "would", "by", "client", "from", "to", "action" };

struct group {
	uint64_t count;
	struct str parts[PARTS]; /* those behind BY are the last line's */
	struct buf text; /* where they are */
};

struct report {
	struct map *groups;
	uint64_t lost; /* lines of groups that had no place */
};

/* "policy=x, did=y, ..." The last part takes the rest. False: it is something else. */
static bool split(struct str text, struct str parts[PARTS])
{
	for (int i = 0; i < PARTS; i++) {
		struct str name = str_cut(&text, '=');
		ptrdiff_t end = i + 1 < PARTS ? str_find(text, STR(", ")) : (ptrdiff_t)text.n;

		/* An address may hold a comma: the part ends where the next one begins. */
		while (i + 1 < PARTS && end >= 0 && !str_starts(str_skip(text, (size_t)end + 2), str_z(part_names[i + 1]))) {
			ptrdiff_t more = str_find(str_skip(text, (size_t)end + 2), STR(", "));

			end = more < 0 ? -1 : end + 2 + more;
		}
		if (!str_eqz(name, part_names[i]) || end < 0)
			return false;
		parts[i] = str_sub(text, 0, (size_t)end);
		text = str_skip(text, (size_t)end + 2);
	}
	return true;
}

static void count_line(struct report *r, struct str parts[PARTS])
{
	struct str key = str_n(parts[0].p, (size_t)(parts[PART_BY].p + parts[PART_BY].n - parts[0].p));
	struct group *g = map_get(r->groups, key);

	if (g == NULL && map_count(r->groups) == GROUPS_MAX) {
		r->lost++;
		return;
	}
	if (g == NULL) {
		g = mem_alloc(sizeof *g);
		map_put(r->groups, key, g);
	}
	g->count++;
	buf_clear(&g->text);
	for (int i = 0; i < PARTS; i++)
		buf_add(&g->text, parts[i]);
	for (size_t i = 0, at = 0; i < PARTS; at += parts[i++].n)
		g->parts[i] = str_n(g->text.p + at, parts[i].n);
}

static void read_log(struct report *r, FILE *f)
{
	char line[LINE_SIZE];

	while (fgets(line, sizeof line, f) != NULL) {
		struct str rest = str_trim(str_z(line)), parts[PARTS];
		ptrdiff_t at = str_find(rest, STR("]: shadow: "));

		if (at >= 0 && split(str_skip(rest, (size_t)at + 11), parts))
			count_line(r, parts);
	}
}

static int by_policy_and_count(const void *a, const void *b)
{
	const struct group *left = *(const struct group *const *)a, *right = *(const struct group *const *)b;
	int order = str_cmp(left->parts[PART_POLICY], right->parts[PART_POLICY]);

	if (order != 0)
		return order;
	return left->count > right->count ? -1 : left->count < right->count;
}

static void print_group(const struct group *g, bool json)
{
	static const char sample[] = "  e.g. ";

	if (json) {
		printf("{\"count\": %llu", (unsigned long long)g->count);
		for (int i = 0; i < PARTS; i++) {
			printf(", \"%s\": ", part_names[i]);
			policy_print(g->parts[i], true);
		}
		puts("}");
		return;
	}
	printf("%8llu  did %.*s, would %.*s, by %.*s\n", (unsigned long long)g->count, STRF(g->parts[PART_DID]), STRF(g->parts[PART_WOULD]),
		STRF(g->parts[PART_BY]));
	printf("        %s%.*s from=%.*s to=%.*s: %.*s\n", sample, STRF(g->parts[PART_CLIENT]), STRF(g->parts[PART_FROM]), STRF(g->parts[PART_TO]),
		STRF(g->parts[PART_ACTION]));
}

static void print_report(const struct report *r, bool json)
{
	size_t count = map_count(r->groups), at = 0, n = 0;
	const struct group **list = mem_array(count + 1, sizeof *list);
	struct str key, policy = STR_NONE;
	void *g;

	while (map_next(r->groups, &at, &key, &g))
		list[n++] = g;
	qsort(list, n, sizeof *list, by_policy_and_count);
	for (size_t i = 0; i < n; i++) {
		if (!json && (i == 0 || !str_eq(policy, list[i]->parts[PART_POLICY])))
			printf("policy %.*s\n", STRF(list[i]->parts[PART_POLICY]));
		policy = list[i]->parts[PART_POLICY];
		print_group(list[i], json);
	}
	if (!json && n == 0)
		puts("no differences");
	if (r->lost > 0)
		tool_complain("%llu lines of too many groups are not in the report", (unsigned long long)r->lost);
	mem_free(list);
}

static bool read_file(struct report *r, const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

	if (f == NULL) {
		tool_complain("%s: %s", path, strerror(errno));
		return false;
	}
	read_log(r, f);
	if (f != stdin)
		fclose(f);
	return true;
}

static void free_group(void *group)
{
	struct group *g = group;

	buf_done(&g->text);
	mem_free(g);
}

static int usage(void)
{
	tool_complain("usage: shadow report [--json] [LOG ...] (\"-\": standard input)");
	return EX_USAGE;
}

int verb_shadow(struct tool *t, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	struct report r = { .groups = NULL };
	bool json = false, good = true;
	int option;

	while ((option = getopt_long(argc, argv, "j", longs, NULL)) != -1) {
		if (option == '?')
			return usage();
		json = true;
	}
	if (optind >= argc || strcmp(argv[optind], "report") != 0)
		return usage();
	r.groups = map_new();
	if (optind + 1 == argc && *conf_str(tool_conf(t), "maillog_file") == '\0') {
		tool_complain("maillog_file is not set: name the log, or pipe it in (journalctl -t gatepost/policyd | gatepost shadow report -)");
		good = false;
	} else if (optind + 1 == argc) {
		good = read_file(&r, conf_str(tool_conf(t), "maillog_file"));
	}
	for (int i = optind + 1; i < argc && good; i++)
		good = read_file(&r, argv[i]);
	if (good)
		print_report(&r, json);
	map_free(r.groups, free_group);
	return good ? EX_OK : EX_NOINPUT;
}

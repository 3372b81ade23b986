/* mta/tools/gatepost/explain.c - explain: why was this refused, where is my mail? The story of a session or message, found by its id (of the
 * log, or the token in a reply), by an address, a client, or a Message-ID.
 */
#include "mta/tools/gatepost/explain.h"

#include <getopt.h>
#include <sysexits.h>

#include "lib/base/clock.h"

#define STORIES_SHOWN 5  /* whole ones */
#define LINES_SHOWN 100  /* one line each */

struct wish {
	bool json, list;
	int64_t since_us;
	uint64_t most; /* stories, the newest; 0: as usual */
};

static int usage(void)
{
	tool_complain("usage: explain [--json] [--list] [--since 2h] [-n HOW_MANY] [ID | ADDRESS | CLIENT | MESSAGE-ID ...]");
	return EX_USAGE;
}

static bool read_options(int argc, char **argv, struct wish *w)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "list", no_argument, NULL, 'l' },
		{ "since", required_argument, NULL, 's' }, { NULL, 0, NULL, 0 } };
	int64_t ms;
	int option;

	while ((option = getopt_long(argc, argv, "jln:s:", longs, NULL)) != -1) {
		w->json |= option == 'j';
		w->list |= option == 'l';
		if (option == 's' && conf_parse_time(str_z(optarg), 's', &ms) && ms > 0)
			w->since_us = clock_wall_us() - ms * 1000;
		else if (option == 's' || option == '?' || (option == 'n' && (!str_to_u64(str_z(optarg), UINT32_MAX, &w->most) || w->most == 0)))
			return false;
	}
	return true;
}

static void print_stories(const struct events *all, uint32_t count, const struct wish *w)
{
	uint64_t most = w->most != 0 ? w->most : w->list ? LINES_SHOWN : STORIES_SHOWN;
	uint32_t first = count > most ? count - (uint32_t)most + 1 : 1;

	for (uint32_t i = first; i <= count; i++) {
		if (w->list && !w->json)
			story_print_line(all, i);
		else
			story_print(all, i, w->json);
		if (!w->list && !w->json && i < count)
			printf("\n");
	}
	if (first > 1 && !w->json)
		printf("\n(%u earlier ones are not shown: -n %u shows all, --list one line each)\n", first - 1, count);
}

int verb_explain(struct tool *t, int argc, char **argv)
{
	struct wish w = { .since_us = 0 };
	struct events all;
	uint32_t count;

	if (!read_options(argc, argv, &w))
		return usage();
	w.list |= optind == argc; /* everything there is, in short */
	if (events_read(t, w.since_us, &all) < 0)
		return EX_NOPERM;
	count = stories_find(&all, argv + optind, (size_t)(argc - optind));
	print_stories(&all, count, &w);
	if (count == 0 && !w.json)
		tool_complain("nothing is known of it: too long ago, on another host, or nothing happened");
	return count > 0 ? EX_OK : 1;
}

/* mta/tools/gatepost/status.c - status: does it run, and how much mail is in which queue. */
#include <getopt.h>
#include <sysexits.h>

#include "lib/queue/queue.h"
#include "mta/tools/gatepost/gatepost.h"

static int count_one(void *ctx, const char *path, const char *id)
{
	size_t *count = ctx;

	(void)path; /* only how many */
	(void)id;
	++*count;
	return 0;
}

/* -1: not ours to see. */
static long count_queue(const char *queue)
{
	struct err e = ERR_INIT;
	size_t count = 0;

	return queue_visit(queue, count_one, &count, &e) < 0 ? -1 : (long)count;
}

static void print_counts(bool json)
{
	static const char *const queues[] = { "maildrop", "incoming", "active", "deferred", "hold", "corrupt" };

	for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
		long n = count_queue(queues[i]);

		if (n >= 0)
			printf(json ? ", \"%s\": %ld" : "%-9s %ld\n", queues[i], n);
	}
}

int verb_status(struct tool *t, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	bool json = false;
	pid_t pid;
	int option;

	while ((option = getopt_long(argc, argv, "j", longs, NULL)) != -1) {
		if (option != 'j')
			return EX_USAGE;
		json = true;
	}
	pid = running_master(t);
	tool_enter_queue(t);
	if (json)
		printf("{\"running\": %s, \"pid\": %ld, \"version\": \"%s\"", pid != 0 ? "true" : "false", (long)pid, GATEPOST_VERSION);
	else if (pid != 0)
		printf("running, process %ld\n", (long)pid);
	else
		printf("not running\n");
	print_counts(json);
	if (json)
		printf("}\n");
	return pid != 0 ? EX_OK : 1;
}

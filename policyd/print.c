/* policyd/print.c - "policyd -l": the registry for people, one restriction a line. */
#include <stdio.h>

#include "policyd/checks.h"

static void print_needs(unsigned needs)
{
	static const char *const names[] = { "client", "helo", "sender", "recipient", "etrn" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if ((needs >> i & 1) != 0)
			printf(" %s", names[i]);
}

static void print_check(const struct check *c)
{
	printf("%s%s\n    needs:", c->name, c->argument == ARG_ONE ? " ARGUMENT" : "");
	print_needs(c->needs);
	printf("%s\n    cached by: %s\n    longest time: $%s\n    without an answer:", c->needs == 0 ? " nothing" : "",
		c->cache != NULL ? c->cache : "nothing", c->budget);
	for (int i = 0; i < TROUBLES; i++) {
		enum remedy remedy = trouble_remedy(&settings, c, (enum trouble)i);

		if (remedy != REMEDY_NONE)
			printf(" %s=%s", trouble_name((enum trouble)i), remedy_name(remedy));
	}
	printf("\n    %s\n", c->ahead ? "runs at once with the others" : "runs when it is its turn");
}

void checks_print(void)
{
	for (size_t i = 0; i < check_count; i++)
		print_check(&checks[i]);
}

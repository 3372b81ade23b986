/* mta/tools/gatepost/memory.c - greylist, rate: what policyd remembers of clients, and changing it. */
#include <getopt.h>
#include <sysexits.h>

#include "mta/tools/gatepost/policy.h"

#define WORDS_MAX 3

/* "gatepost NOUN WORD ..." */
struct order {
	const char *word, *request, *usage;
	int least, most; /* arguments */
	const char *names[WORDS_MAX]; /* what they are */
	const char *told; /* what was done, behind the number; NULL: it lists */
};

static const struct order greylist_orders[] = {
	{ "list", "greylist_list", "list [--json] [WHO [SENDER [RECIPIENT]]]", 0, 3, { "who", "sender", "recipient" }, NULL },
	{ "allow", "greylist_allow", "allow WHO [SENDER RECIPIENT]", 1, 3, { "who", "sender", "recipient" }, "allowed" },
	{ "forget", "greylist_forget", "forget WHO [SENDER [RECIPIENT]]", 1, 3, { "who", "sender", "recipient" }, "forgotten" },
	{ NULL, NULL, NULL, 0, 0, { NULL }, NULL },
};

static const struct order rate_orders[] = {
	{ "show", "rate_show", "show [--json] [VALUE]", 0, 1, { "value" }, NULL },
	{ "reset", "rate_reset", "reset VALUE [LIMIT]", 1, 2, { "value", "limit" }, "reset" },
	{ NULL, NULL, NULL, 0, 0, { NULL }, NULL },
};

static int usage(const char *noun, const struct order *orders)
{
	for (; orders->word != NULL; orders++)
		tool_complain("usage: %s %s", noun, orders->usage);
	return EX_USAGE;
}

/* One thing: "who=192.0.2.0/24 state=network passed=3 expires=100" */
static void print_block(void *ctx, const struct policy_request *block)
{
	const bool *json = ctx;

	if (*json)
		putchar('{');
	for (size_t i = 0; i < block->count; i++) {
		uint64_t n;
		bool bare = *json && str_to_u64(block->attrs[i].value, INT64_MAX, &n);

		printf(*json ? "%s\"%.*s\": " : "%s%.*s=", i == 0 ? "" : *json ? ", " : " ", STRF(block->attrs[i].name));
		policy_print(block->attrs[i].value, *json && !bare);
	}
	puts(*json ? "}" : "");
}

static void print_end(const struct order *o, const struct policy_request *answer, bool json)
{
	if (o->told != NULL)
		printf("%.*s %s\n", STRF(policy_get(answer, "count")), o->told);
	if (!json && str_eqz(policy_get(answer, "memory"), "own"))
		tool_complain("redis_server is not set: this is what one policyd process remembers");
}

static int run(struct tool *t, const struct order *o, char **words, int count, const char *at, bool json)
{
	struct policy_talk talk = { .at = at, .take = print_block, .ctx = &json, .life = arena_new("policyd's memory") };
	int status;

	policy_add(&talk.question, "request", str_z(o->request));
	for (int i = 0; i < count; i++)
		policy_add(&talk.question, o->names[i], str_z(words[i]));
	status = policy_talk(t, &talk);
	if (status == EX_OK)
		print_end(o, &talk.answer, json);
	arena_free(talk.life);
	return status;
}

static int obey(struct tool *t, int argc, char **argv, const struct order *orders)
{
	static const struct option longs[] = { { "at", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 } };
	const struct order *o = orders;
	const char *noun = argv[0], *at = NULL;
	bool json = false;
	int option, count;

	while ((option = getopt_long(argc, argv, "a:j", longs, NULL)) != -1) {
		if (option == '?')
			return usage(noun, orders);
		if (option == 'a')
			at = optarg;
		else
			json = true;
	}
	while (optind < argc && o->word != NULL && strcmp(o->word, argv[optind]) != 0)
		o++;
	count = argc - optind - 1;
	if (count < 0 || o->word == NULL || count < o->least || count > o->most || (o->told != NULL && json))
		return usage(noun, orders);
	if (strcmp(o->word, "allow") == 0 && count == 2)
		return usage(noun, orders);
	return run(t, o, argv + optind + 1, count, at, json);
}

int verb_greylist(struct tool *t, int argc, char **argv)
{
	return obey(t, argc, argv, greylist_orders);
}

int verb_rate(struct tool *t, int argc, char **argv)
{
	return obey(t, argc, argv, rate_orders);
}

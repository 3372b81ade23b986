/* mta/tools/gatepost/ask.c - ask: what would policyd say to this client, sender, recipient, and why? It leaves no mark. */
#include <getopt.h>
#include <sysexits.h>

#include "mta/tools/gatepost/policy.h"

/* Short names on the command line. */
static const struct {
	const char *name, *attribute;
} aliases[] = {
	{ "client", "client_address" },
	{ "etrn", "etrn_domain" },
	{ "helo", "helo_name" },
	{ "name", "client_name" },
	{ "reverse_name", "reverse_client_name" },
	{ "state", "protocol_state" },
	{ "user", "sasl_username" },
};

/* What a question has when nothing else is said. */
static const struct {
	const char *attribute, *value;
} usual[] = {
	{ "request", "smtpd_access_policy" },
	{ "protocol_state", "RCPT" },
	{ "protocol_name", "ESMTP" },
	{ "client_name", "unknown" },
	{ "reverse_client_name", "unknown" },
	{ "explain", "yes" },
};

static const char *attribute_of(struct arena *a, struct str name)
{
	for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
		if (str_eqz(name, aliases[i].name))
			return aliases[i].attribute;
	return arena_z(a, name);
}

static bool has(const struct policy_request *q, const char *attribute)
{
	for (size_t i = 0; i < q->count; i++)
		if (str_eqz(q->attrs[i].name, attribute))
			return true;
	return false;
}

static bool add_argument(struct policy_talk *talk, const char *argument)
{
	struct str value = str_z(argument), name = str_cut(&value, '=');

	if (name.n == 0 || name.n == strlen(argument) || talk->question.count + sizeof usual / sizeof *usual >= POLICY_ATTRS_MAX) {
		tool_complain("\"%s\" is not name=value", argument);
		return false;
	}
	policy_add(&talk->question, attribute_of(talk->life, name), value);
	return true;
}

static void print_text(const struct policy_request *answer)
{
	for (size_t i = 0; i < answer->count; i++) {
		struct str name = answer->attrs[i].name;

		if (str_eqz(name, "reason"))
			printf("    ");
		else if (str_eqz(name, "action") || str_eqz(name, "by") || str_eqz(name, "header"))
			printf("%.*s: ", STRF(name));
		else
			continue;
		policy_print(answer->attrs[i].value, false);
		putchar('\n');
	}
}

static void print_array(const struct policy_request *answer, const char *attribute, const char *key)
{
	const char *before = "";

	printf(", \"%s\": [", key);
	for (size_t i = 0; i < answer->count; i++) {
		if (!str_eqz(answer->attrs[i].name, attribute))
			continue;
		printf("%s", before);
		tool_print_json(answer->attrs[i].value);
		before = ", ";
	}
	putchar(']');
}

static void print_json(const struct policy_request *answer)
{
	printf("{\"action\": ");
	tool_print_json(policy_get(answer, "action"));
	printf(", \"by\": ");
	tool_print_json(policy_get(answer, "by"));
	print_array(answer, "header", "headers");
	print_array(answer, "reason", "reasons");
	printf("}\n");
}

int verb_ask(struct tool *t, int argc, char **argv)
{
	static const struct option longs[] = { { "at", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 } };
	struct policy_talk talk = { .life = arena_new("ask") };
	bool json = false;
	int option, status = EX_OK;

	while ((option = getopt_long(argc, argv, "a:j", longs, NULL)) != -1) {
		if (option == '?')
			status = EX_USAGE;
		else if (option == 'a')
			talk.at = optarg;
		else
			json = true;
	}
	for (int i = optind; i < argc && status == EX_OK; i++)
		status = add_argument(&talk, argv[i]) ? EX_OK : EX_USAGE;
	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		if (!has(&talk.question, usual[i].attribute))
			policy_add(&talk.question, usual[i].attribute, str_z(usual[i].value));
	if (status == EX_OK)
		status = policy_talk(t, &talk);
	if (status == EX_OK)
		(json ? print_json : print_text)(&talk.answer);
	arena_free(talk.life);
	return status;
}

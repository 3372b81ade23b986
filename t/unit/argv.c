/* t/unit/argv.c - attributes and command arguments of pipe services. */
#include "mta/pipe/argv.h"

#include <string.h>

#include "t/unit/tap.h"

static struct queue_rcpt rcpts[] = {
	{ .addr = STR_INIT("Joe+Lists@Example.COM"), .orig = STR_INIT("alias@example.org") },
	{ .addr = STR_INIT("jane doe@example.net") },
};

static const struct {
	const char *arg, *flags, *sender, *want; /* arguments joined by "|"; NULL: refused */
	size_t rcpt_count;
} rows[] = {
	{ "-x", "", "s@x", "-x", 2 },
	{ "${recipient}", "", "s@x", "Joe+Lists@Example.COM|jane doe@example.net", 2 },
	{ "$recipient", "hu", "s@x", "joe+lists@example.com", 1 },
	{ "$(user)-$extension", "", "s@x", "Joe-Lists|jane doe-", 2 },
	{ "$mailbox", "u", "s@x", "joe+lists", 1 },
	{ "${recipient}", "q", "s@x", "Joe+Lists@Example.COM|\"jane doe\"@example.net", 2 },
	{ "$original_recipient", "", "s@x", "alias@example.org|jane doe@example.net", 2 },
	{ "$domain", "", "s@x", "Example.COM|example.net", 2 },
	{ "${domain}", "h", "s@x", "example.com|example.net", 2 },
	{ "-f$sender", "", "s@x", "-fs@x", 2 },
	{ "$sender", "", "", "MAILER-DAEMON", 1 },
	{ "$sender", "q", "a b@x", "\"a b\"@x", 1 },
	{ "$$1.$nexthop.$queue_id.$size", "", "s@x", "$1.next.ABCDEF.30", 1 },
	{ "${client_address}/${sasl_username}", "", "s@x", "192.0.2.1/", 1 },
	{ "$nonsense", "", "s@x", NULL, 1 },
	{ "cost: $", "", "s@x", NULL, 1 },
	{ "${recipient", "", "s@x", NULL, 1 },
};

static void expand(size_t i)
{
	struct arena *a = arena_new("test");
	char flags[32];
	const char *args[] = { flags, "user=nobody", "argv=/bin/cmd", rows[i].arg };
	struct pipe_settings s;
	struct queue_message m = { .id = "ABCDEF", .rcpts = rcpts, .rcpt_count = rows[i].rcpt_count, .header_size = 10, .body_size = 20 };
	struct pipe_message p = { &s, &m, STR("next"), "+" };
	const char *const *argv = NULL;
	struct buf got = { 0 };
	struct err e = ERR_INIT;
	int r;

	snprintf(flags, sizeof flags, "flags=%s", rows[i].flags);
	m.sender = str_z(rows[i].sender);
	m.client.addr = STR("192.0.2.1");
	r = pipe_parse(a, args, 4, &s, &e);
	if (r == 0)
		r = pipe_argv(a, &p, &argv, &e);
	for (size_t k = 1; r == 0 && argv[k] != NULL; k++)
		buf_addf(&got, "%s%s", k > 1 ? "|" : "", argv[k]);
	if (rows[i].want == NULL)
		ok(r < 0, "refused: %s", rows[i].arg);
	else
		is_str(r < 0 ? str_z(e.text) : buf_str(&got), str_z(rows[i].want), rows[i].arg);
	buf_done(&got);
	arena_free(a);
}

static void many_recipients(void)
{
	static struct queue_rcpt many[500];
	struct arena *a = arena_new("test");
	const char *args[] = { "user=nobody", "argv=/bin/cmd", "$recipient", "--", "$user" };
	struct pipe_settings s;
	struct queue_message m = { .rcpts = many, .rcpt_count = 500 };
	struct pipe_message p = { &s, &m, STR_NONE, "" };
	const char *const *argv = NULL;
	struct err e = ERR_INIT;
	size_t count = 0;

	for (size_t i = 0; i < 500; i++)
		many[i].addr = STR("u@example.com");
	ok(pipe_parse(a, args, 5, &s, &e) == 0 && pipe_argv(a, &p, &argv, &e) == 0, "500 recipients");
	while (argv[count] != NULL)
		count++;
	is_int((long long)count, 1002, "every recipient twice, between them --");
	is_str(str_z(argv[501]), STR("--"), "order is kept");
	arena_free(a);
}

static const struct {
	const char *args[6];
	bool good;
} attributes[] = {
	{ { "user=nobody", "argv=/bin/cat" }, true },
	{ { "flags=DRhu.>qBFOX", "user=u:g", "directory=/", "null_sender=", "size=1000", "argv=/bin/cat" }, true },
	{ { "argv=/bin/cat" }, false },
	{ { "user=nobody" }, false },
	{ { "user=nobody", "argv=" }, false },
	{ { "user=", "argv=/bin/cat" }, false },
	{ { "flags=Z", "user=nobody", "argv=/bin/cat" }, false },
	{ { "size=x", "user=nobody", "argv=/bin/cat" }, false },
	{ { "colour=red", "user=nobody", "argv=/bin/cat" }, false },
	{ { "eol=\\q", "user=nobody", "argv=/bin/cat" }, false },
};

static void attribute_row(size_t i)
{
	struct arena *a = arena_new("test");
	struct pipe_settings s;
	struct err e = ERR_INIT;
	size_t count = 0;
	bool good;

	while (count < 6 && attributes[i].args[count] != NULL)
		count++;
	good = pipe_parse(a, attributes[i].args, count, &s, &e) == 0;
	ok(good == attributes[i].good, "attributes %zu: %s", i, good ? "accepted" : e.text);
	arena_free(a);
}

static void values(void)
{
	struct arena *a = arena_new("test");
	const char *args[] = { "flags=DR", "user=vmail:mail", "eol=\\r\\n", "argv=", "/bin/cat", "-u" };
	struct pipe_settings s;
	struct err e = ERR_INIT;

	ok(pipe_parse(a, args, 6, &s, &e) == 0, "parsed");
	is_int(s.flags, PIPE_DELIVERED_TO | PIPE_RETURN_PATH, "flags");
	is_str(str_z(s.user), STR("vmail"), "user");
	is_str(str_z(s.group), STR("mail"), "group");
	is_str(s.eol, STR("\r\n"), "line end");
	is_int((long long)s.argc, 2, "a blank behind argv=");
	is_str(str_z(s.argv[0]), STR("/bin/cat"), "command");
	arena_free(a);
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		expand(i);
	for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
		attribute_row(i);
	values();
	many_recipients();
	return done_testing();
}

/* mta/tools/gatepost/explain_print.c - a story for people, or as the events it was made of. */
#include <time.h>

#include "lib/base/json.h"
#include "mta/tools/gatepost/explain.h"

#define MICRO 1000000

struct telling { /* of one event */
	const struct event *e;
	struct buf value; /* the member that was asked for last */
};

/* A member's value, safe to print; valid until the next one. */
static const char *get(struct telling *t, const char *name)
{
	struct buf raw = { 0 };

	buf_clear(&t->value);
	if (json_get_string(t->e->line, name, &raw))
		buf_add_safe(&t->value, buf_str(&raw));
	buf_done(&raw);
	return buf_z(&t->value);
}

static void print_clock(int64_t at_us, bool date)
{
	time_t s = (time_t)(at_us / MICRO);
	struct tm tm;
	char text[32];

	localtime_r(&s, &tm);
	strftime(text, sizeof text, date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	printf("%s.%03d", text, (int)(at_us % MICRO / 1000));
}

/* ---- kinds of events ---- */

static void print_session(struct telling *t)
{
	printf("session of %s", get(t, "client"));
	printf(" with service %s\n", get(t, "service"));
}

static void print_command(struct telling *t)
{
	int64_t us = 0;

	printf("> %s\n", get(t, "text"));
	(void)json_get_number(t->e->line, "us", &us);
	printf("%36s< %s  (%lld.%03lld ms)\n", "", get(t, "reply"), (long long)(us / 1000), (long long)(us % 1000));
}

/* A member of several lines, each below what was printed. */
static void print_lines(struct telling *t, const char *name)
{
	struct buf raw = { 0 };
	struct str rest;

	(void)json_get_string(t->e->line, name, &raw);
	rest = buf_str(&raw);
	while (rest.n > 0) {
		struct buf line = { 0 };

		buf_add_safe(&line, str_cut(&rest, '\n'));
		printf("%36s  %s\n", "", buf_z(&line));
		buf_done(&line);
	}
	buf_done(&raw);
}

/* What each restriction said; lines of policyd, which was asked for several at once, are indented. */
static void print_checks(struct telling *t)
{
	printf("%s", get(t, "list"));
	printf(" (%s)", get(t, "where"));
	printf(" about <%s>:", get(t, "about"));
	printf(" %s\n", get(t, "verdict"));
	print_lines(t, "checks");
}

static void print_rewrite(struct telling *t)
{
	printf("%s", get(t, "what"));
	printf(" <%s>", get(t, "from"));
	printf(" becomes <%s>", get(t, "to"));
	printf("%s%s\n", *get(t, "rule") != '\0' ? " by " : "", get(t, "rule"));
}

static void print_filter(struct telling *t)
{
	printf("%s\n", get(t, "text"));
	print_lines(t, "changes");
}

static void print_log(struct telling *t)
{
	const char *level = get(t, "level");

	printf("%s%s", level, *level != '\0' ? ": " : "");
	printf("%s\n", get(t, "text"));
}

static const struct kind {
	const char *name;
	void (*print)(struct telling *t);
} kinds[] = {
	{ "session", print_session },
	{ "command", print_command },
	{ "check", print_checks },
	{ "rewrite", print_rewrite },
	{ "filter", print_filter },
	{ "log", print_log },
};

static void print_event(const struct event *e, bool several_nodes)
{
	struct telling t = { .e = e };
	const struct kind *kind = &kinds[sizeof kinds / sizeof *kinds - 1]; /* whatever has a text */
	const char *name = get(&t, "kind");

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kinds[i].name, name) == 0)
			kind = &kinds[i];
	print_clock(e->at_us, false);
	if (several_nodes)
		printf(" %s", get(&t, "node"));
	printf(" %-8s", get(&t, "c"));
	printf(" %-14.*s ", STRF(e->qid));
	kind->print(&t);
	buf_done(&t.value);
}

/* ---- stories ---- */

static const struct event *first_of(const struct events *all, uint32_t story)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->v[i].story == story)
			return &all->v[i];
	return NULL;
}

static struct str node_of(const struct event *e)
{
	ptrdiff_t at = str_find(e->line, STR("\"node\":\""));
	struct str rest = at < 0 ? STR_NONE : str_skip(e->line, (size_t)at + 8);

	return str_cut(&rest, '"');
}

static bool on_several_nodes(const struct events *all, uint32_t story, const struct event *first)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->v[i].story == story && !str_eq(node_of(&all->v[i]), node_of(first)))
			return true;
	return false;
}

void story_print(const struct events *all, uint32_t story, bool json)
{
	const struct event *first = first_of(all, story);
	bool several;

	if (first == NULL)
		return;
	if (!json) {
		print_clock(first->at_us, true);
		printf(" on %.*s: %s %.*s\n", STRF(node_of(first)), first->sid.n > 0 ? "session" : "message",
			STRF(first->sid.n > 0 ? first->sid : first->qid));
	}
	several = !json && on_several_nodes(all, story, first);
	for (size_t i = 0; i < all->count; i++) {
		if (all->v[i].story != story)
			continue;
		if (json)
			printf("%.*s\n", STRF(all->v[i].line));
		else
			print_event(&all->v[i], several);
	}
}

/* ---- in a line ---- */

struct summary {
	struct buf client, from, to, outcome;
};

static void set(struct buf *b, const char *text)
{
	buf_clear(b);
	buf_addz(b, text);
}

/* The latest fact counts, but a refusal or what became of a recipient is not forgotten over a goodbye. */
static void take(struct summary *s, struct telling *t)
{
	struct str line = t->e->line;

	if (str_find(line, STR("\"kind\":\"session\"")) >= 0)
		set(&s->client, get(t, "client"));
	else if (str_find(line, STR("\"kind\":\"command\"")) >= 0) {
		struct str text = str_z(get(t, "text"));

		if (str_startsi(text, STR("MAIL FROM:")))
			set(&s->from, buf_z(&t->value) + 10);
		else if (str_startsi(text, STR("RCPT TO:")))
			set(&s->to, buf_z(&t->value) + 8);
		text = str_z(get(t, "reply"));
		if (text.n > 0 && (text.p[0] == '4' || text.p[0] == '5'))
			set(&s->outcome, buf_z(&t->value));
	} else if (str_find(line, STR("status=")) >= 0 || str_find(line, STR("reject: ")) >= 0) {
		const char *text = get(t, "text"), *status = strstr(text, "status=");

		set(&s->outcome, status != NULL ? status : text);
	}
}

void story_print_line(const struct events *all, uint32_t story)
{
	const struct event *first = first_of(all, story);
	struct summary s = { .client = { 0 } };
	struct telling t = { 0 };

	if (first == NULL)
		return;
	for (size_t i = 0; i < all->count; i++) {
		t.e = &all->v[i];
		if (all->v[i].story == story)
			take(&s, &t);
	}
	print_clock(first->at_us, true);
	printf("  %.*s  %s  %s -> %s  %s\n", STRF(first->sid.n > 0 ? first->sid : first->qid), s.client.n > 0 ? buf_z(&s.client) : "local",
		buf_z(&s.from), buf_z(&s.to), buf_z(&s.outcome));
	buf_done(&t.value);
	buf_done(&s.client);
	buf_done(&s.from);
	buf_done(&s.to);
	buf_done(&s.outcome);
}

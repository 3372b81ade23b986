/* mta/tools/gatepost/map_ask.c - map -q and -s: what tables answer to a key, to the lines of standard input, to the fields and lines of a
 * message there as header_checks and body_checks see them; and all that is in a table.
 */
#include <sysexits.h>

#include "lib/base/base64.h"
#include "lib/mail/mime.h"
#include "mta/tools/gatepost/map.h"

#define MESSAGE_MAX (256UL * 1024 * 1024) /* octets */
#define NESTING 100
#define BOUNDARY_LENGTH 2048

struct asking {
	const struct map_options *o;
	struct table **tables;
	size_t count;
	struct arena *life; /* of a message */
	bool with_key, found, failed;
};

static void print_pair(const struct map_options *o, struct str key, struct str value, bool with_key)
{
	struct buf plain = { 0 };

	if (with_key)
		printf("%.*s%s\t", STRF(key), o->alias ? ":" : "");
	if (o->base64 && base64_decode(&plain, value) < 0)
		tool_complain("the value of \"%.*s\" is not base64", STRF(key));
	else if (o->base64)
		value = buf_str(&plain);
	fwrite(value.p, 1, value.n, stdout);
	putchar('\n');
	buf_done(&plain);
}

static void ask(struct asking *a, struct str key)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	enum table_answer answer = TABLE_MISSING;

	for (size_t i = 0; i < a->count && answer == TABLE_MISSING; i++)
		answer = table_lookup(a->tables[i], key, &value, &e);
	if (answer == TABLE_FOUND) {
		print_pair(a->o, key, buf_str(&value), a->with_key);
		a->found = true;
	} else if (answer == TABLE_FAILED) {
		tool_complain("%s", e.text);
		a->failed = true;
	}
	buf_done(&value);
}

static void ask_lines(struct asking *a)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while (!a->failed && (n = getline(&line, &size, stdin)) > 0)
		ask(a, str_n(line, (size_t)n - (line[n - 1] == '\n')));
	free(line);
}

/* ---- a message ---- */

static void read_message(struct buf *out)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while (out->n < MESSAGE_MAX && (n = getline(&line, &size, stdin)) > 0) {
		n -= line[n - 1] == '\n';
		n -= n > 0 && line[n - 1] == '\r';
		buf_addn(out, line, (size_t)n);
		buf_addz(out, "\r\n");
	}
	free(line);
}

/* A field as one key, with LF folds. */
static void ask_field(struct asking *a, struct str text)
{
	struct buf key = { 0 };

	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\r')
			buf_addc(&key, text.p[i]);
	ask(a, buf_str(&key));
	buf_done(&key);
}

static bool visit(struct mime_walk *w, enum mime_class what, struct str text)
{
	struct asking *a = w->ctx;

	if (what < MIME_HEADER_END && a->o->ask_header)
		ask_field(a, text);
	else if (what >= MIME_HEADER_END && text.n > 0 && a->o->ask_body)
		ask(a, text);
	return !a->failed;
}

static void ask_message(struct asking *a)
{
	struct buf message = { 0 };
	struct header h;
	bool missing_blank;
	size_t body_at;
	struct mime_walk w = { .structure = a->o->mime,
		.nesting = NESTING,
		.boundary_length = BOUNDARY_LENGTH,
		.visit = visit,
		.ctx = a,
		.encoding = MIME_7BIT };

	a->life = arena_new("message");
	read_message(&message);
	header_init(&h, a->life);
	body_at = header_parse(&h, buf_str(&message), &missing_blank);
	for (size_t i = 0; i < h.count && a->o->ask_header && !a->failed; i++)
		ask_field(a, h.fields[i].text);
	w.life = a->life;
	mime_begin(&w, &h);
	if (!a->failed)
		mime_walk(&w, str_skip(buf_str(&message), body_at));
	buf_done(&message);
	arena_free(a->life);
}

int map_ask(const struct map_options *o, struct table **tables, size_t count)
{
	struct asking a = { .o = o, .tables = tables, .count = count, .with_key = strcmp(o->ask, "-") == 0 };

	if (!a.with_key)
		ask(&a, str_z(o->ask));
	else if (o->ask_header || o->ask_body)
		ask_message(&a);
	else
		ask_lines(&a);
	return a.failed ? EX_TEMPFAIL : a.found ? EX_OK : 1;
}

/* ---- the whole table ---- */

static void print_one(void *ctx, struct str key, struct str value)
{
	print_pair(ctx, key, value, true);
}

int map_list(const struct map_options *o, struct table *t)
{
	const struct table_store *store = table_store_find(str_z(t->type->name));
	struct err e = ERR_INIT;

	if (store == NULL) {
		tool_complain("table %s: tables of this type cannot be listed", t->name);
		return EX_UNAVAILABLE;
	}
	if (store->each(t, print_one, (void *)(uintptr_t)o, &e) == 0)
		return EX_OK;
	tool_complain("table %s: %s", t->name, e.text);
	return EX_DATAERR;
}

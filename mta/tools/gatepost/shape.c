/* mta/tools/gatepost/shape.c - shape, qshape: how many recipients (or senders) of which domain wait for how long. */
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/map.h"
#include "lib/mail/addr.h"
#include "mta/tools/gatepost/select.h"

#define BUCKETS_MAX 40
#define WIDTH_LEAST 80 /* of a line */
#define NAME_LEAST 18 /* of the names' column */
#define COUNT_LEAST 2 /* of another */
#define HEAD_MAX 24
#define MINUTES_MAX 1000000 /* of the first bucket */

struct row {
	struct str name;
	uint64_t total, counts[BUCKETS_MAX];
	size_t below; /* of a parent: its domains */
};

struct shape {
	bool senders, parents, linear, json;
	uint64_t least_below, buckets, minutes, width, top; /* top 0: all */
	struct arena *life;
	struct map *domains, *up; /* the second: their parents, ".example.com" */
	struct row all;
	struct buf key;
};

/* ---- counting ---- */

/* In minutes; the last bucket has none. */
static uint64_t limit_of(const struct shape *s, size_t bucket)
{
	return s->linear ? s->minutes * (bucket + 1) : s->minutes << bucket;
}

static size_t bucket_of(const struct shape *s, int64_t arrival_us)
{
	int64_t age_min = (clock_wall_us() - arrival_us) / 60000000;
	size_t i = 0;

	while (i + 1 < s->buckets && age_min >= 0 && (uint64_t)age_min >= limit_of(s, i))
		i++;
	return i;
}

static struct row *row_get(struct shape *s, struct map *rows, struct str name)
{
	struct row *r = map_get(rows, name);

	if (r == NULL) {
		r = arena_alloc(s->life, sizeof *r);
		r->name = arena_dup(s->life, name);
		map_put(rows, name, r);
	}
	return r;
}

static void add(struct row *r, size_t bucket)
{
	r->total++;
	r->counts[bucket]++;
}

static void count(struct shape *s, struct str domain, size_t bucket)
{
	buf_clear(&s->key);
	if (domain.n > 0)
		buf_add_lower(&s->key, domain);
	else
		buf_addz(&s->key, "MAILER-DAEMON");
	add(row_get(s, s->domains, buf_str(&s->key)), bucket);
	add(&s->all, bucket);
}

static void count_message(void *ctx, const struct entry *n)
{
	struct shape *s = ctx;
	size_t bucket = bucket_of(s, n->m.arrival_us);

	if (s->senders)
		count(s, addr_split(n->m.sender).domain, bucket);
	for (size_t i = 0; !s->senders && i < n->m.rcpt_count; i++)
		if (!n->m.rcpts[i].done)
			count(s, addr_split(n->m.rcpts[i].addr).domain, bucket);
}

/* Every parent but the top level domain gets what its domains have. */
static void add_to_parents(struct shape *s, const struct row *r)
{
	struct str rest = r->name;
	ptrdiff_t dot;

	while (rest.n > 0 && rest.p[0] != '[' && (dot = str_find(str_skip(rest, 1), STR("."))) >= 0) {
		struct row *up;

		rest = str_skip(rest, (size_t)dot + 1); /* begins with the dot */
		if (str_find(str_skip(rest, 1), STR(".")) < 0)
			break;
		up = row_get(s, s->up, rest);
		up->below++;
		up->total += r->total;
		for (size_t i = 0; i < s->buckets; i++)
			up->counts[i] += r->counts[i];
	}
}

/* ---- printing ---- */

static int by_total(const void *a, const void *b)
{
	const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;

	if (x->total != y->total)
		return x->total > y->total ? -1 : 1;
	return str_cmp(x->name, y->name);
}

static size_t collect(struct map *from, size_t least_below, struct row **rows)
{
	struct str name;
	size_t at = 0, n = 0;
	void *value;

	while (map_next(from, &at, &name, &value))
		if (((struct row *)value)->below >= least_below)
			rows[n++] = value;
	return n;
}

/* Too long: its end, behind a mark. */
static void print_name(struct str name, size_t width)
{
	const char *mark = name.p[0] == '.' ? ".+" : "+";
	struct buf b = { 0 };

	buf_add_safe(&b, name);
	if (b.n > width)
		printf("%s%s", mark, buf_z(&b) + b.n - (width - strlen(mark)));
	else
		printf("%*s", (int)width, buf_z(&b));
	buf_done(&b);
}

/* Of a column: T, then the limits; what is older than the last one is that one with a plus. */
static int head_of(const struct shape *s, size_t column, char head[HEAD_MAX])
{
	if (column == 0)
		return snprintf(head, HEAD_MAX, "T");
	if (column < s->buckets)
		return snprintf(head, HEAD_MAX, "%llu", (unsigned long long)limit_of(s, column - 1));
	return snprintf(head, HEAD_MAX, "%llu+", (unsigned long long)limit_of(s, column - 2));
}

/* Each column is as wide as its heading or its largest number, which is the sum. */
static void print_table(const struct shape *s, struct row *const *rows, size_t n)
{
	char head[BUCKETS_MAX + 1][HEAD_MAX];
	int widths[BUCKETS_MAX + 1];
	size_t used = 0, name;

	for (size_t i = 0; i <= s->buckets; i++) {
		uint64_t sum = i == 0 ? s->all.total : s->all.counts[i - 1];
		int digits = snprintf(NULL, 0, "%llu", (unsigned long long)sum), heading = head_of(s, i, head[i]);

		widths[i] = digits > heading ? digits : heading;
		if (widths[i] < COUNT_LEAST)
			widths[i] = COUNT_LEAST;
		used += (size_t)widths[i] + 1;
	}
	name = s->width > used + NAME_LEAST ? s->width - used : NAME_LEAST;
	printf("%*s", (int)name, "");
	for (size_t i = 0; i <= s->buckets; i++)
		printf(" %*s", widths[i], head[i]);
	for (size_t r = 0; r < n; r++) {
		printf("\n");
		print_name(rows[r]->name, name);
		printf(" %*llu", widths[0], (unsigned long long)rows[r]->total);
		for (size_t i = 0; i < s->buckets; i++)
			printf(" %*llu", widths[i + 1], (unsigned long long)rows[r]->counts[i]);
	}
	printf("\n");
}

static void print_json(const struct shape *s, const struct row *r)
{
	struct buf b = { 0 };

	buf_addc(&b, '{');
	json_add_member(&b, s->senders ? "sender_domain" : "recipient_domain", r->name);
	json_add_number(&b, "total", (int64_t)r->total);
	buf_addz(&b, ",\"ages\":[");
	for (size_t i = 0; i < s->buckets; i++) {
		buf_addz(&b, i > 0 ? ",{" : "{");
		if (i + 1 < s->buckets)
			json_add_number(&b, "below_minutes", (int64_t)limit_of(s, i));
		json_add_number(&b, "count", (int64_t)r->counts[i]);
		buf_addc(&b, '}');
	}
	buf_addz(&b, "]}\n");
	fwrite(b.p, 1, b.n, stdout);
	buf_done(&b);
}

static void print_shape(struct shape *s)
{
	struct row **rows;
	struct str name;
	size_t at = 0, n = 1;
	void *value;

	while (s->parents && map_next(s->domains, &at, &name, &value))
		add_to_parents(s, value);
	rows = arena_alloc(s->life, (map_count(s->domains) + map_count(s->up) + 1) * sizeof(struct row *));
	rows[0] = &s->all;
	n += collect(s->domains, 0, rows + n);
	n += collect(s->up, (size_t)s->least_below, rows + n);
	qsort(rows + 1, n - 1, sizeof(struct row *), by_total);
	if (s->top > 0 && n - 1 > s->top)
		n = (size_t)s->top + 1;
	if (!s->json)
		print_table(s, rows, n);
	for (size_t i = 1; s->json && i < n; i++)
		print_json(s, rows[i]);
}

/* ---- the command line ---- */

static bool take_number(struct shape *s, int option, const char *value)
{
	const struct {
		int option;
		uint64_t *to, least, most;
	} numbers[] = { { 'b', &s->buckets, 2, BUCKETS_MAX }, { 'm', &s->least_below, 1, UINT32_MAX }, { 'n', &s->top, 1, UINT32_MAX },
		{ 't', &s->minutes, 1, MINUTES_MAX }, { 'w', &s->width, 1, 10000 }, { 'N', NULL, 0, UINT32_MAX } };

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		uint64_t n;

		if (numbers[i].option != option)
			continue;
		if (!str_to_u64(str_z(value), numbers[i].most, &n) || n < numbers[i].least) {
			tool_complain("-%c %s: a number from %llu to %llu is wanted", option, value, (unsigned long long)numbers[i].least,
				(unsigned long long)numbers[i].most);
			return false;
		}
		if (numbers[i].to != NULL) /* -N: nothing is shown before all is counted */
			*numbers[i].to = n;
		return true;
	}
	return false;
}

static bool take_option(struct tool *t, struct shape *s, int option)
{
	if (option == 'c')
		t->conf_dir = optarg;
	s->linear |= option == 'l';
	s->parents |= option == 'p';
	s->senders |= option == 's';
	s->json |= option == 'j';
	return strchr("cjlps", option) != NULL || take_number(s, option, optarg);
}

static int read_words(struct tool *t, struct shape *s, struct selection *sel, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, SELECT_OPTIONS, { NULL, 0, NULL, 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "b:c:jlm:n:N:pst:w:", longs, NULL)) != -1)
		if (option == '?' || (option < SELECT_OLDER ? !take_option(t, s, option) : !selection_option(sel, option, optarg)))
			return EX_USAGE;
	for (int i = optind; i < argc; i++)
		if (!selection_option(sel, SELECT_IN, argv[i]))
			return EX_USAGE;
	if (sel->queues[0] == NULL) {
		(void)selection_option(sel, SELECT_IN, "incoming");
		(void)selection_option(sel, SELECT_IN, "active");
	}
	if (s->width < WIDTH_LEAST)
		s->width = WIDTH_LEAST;
	return EX_OK;
}

int verb_shape(struct tool *t, int argc, char **argv)
{
	struct shape s = { .least_below = 5,
		.buckets = 10,
		.minutes = 5,
		.life = arena_new("shape"),
		.domains = map_new(),
		.up = map_new(),
		.all.name = STR("TOTAL") };
	struct selection sel;
	int status;

	selection_begin(&sel);
	status = read_words(t, &s, &sel, argc, argv);
	if (status == EX_OK) {
		tool_enter_queue(t);
		status = selection_walk(&sel, SELECT_ENVELOPE, count_message, NULL, &s);
		print_shape(&s);
	}
	selection_end(&sel);
	map_free(s.domains, NULL);
	map_free(s.up, NULL);
	buf_done(&s.key);
	arena_free(s.life);
	return status;
}

/* lib/base/metrics_print.c - what was counted, in the text format of Prometheus (version 0.0.4).
 * The memory is written by processes that speak with strangers: every number in it is checked before it is used.
 */
#include <inttypes.h>
#include <string.h>

#include "lib/base/metrics_parts.h"

#define MICRO 1000000u

size_t metrics_processes(struct metric_process *out, size_t max)
{
	size_t n = 0;

	for (unsigned i = 0; metric_memory != NULL && i < METRIC_SLOTS && n < max; i++) {
		const struct metric_slot *s = &metric_memory->slots[i];
		struct metric_process *p = &out[n];

		p->pid = atomic_load(&s->pid);
		if (p->pid <= 0)
			continue;
		memcpy(p->command, s->command, sizeof p->command);
		memcpy(p->service, s->service, sizeof p->service);
		p->command[sizeof p->command - 1] = p->service[sizeof p->service - 1] = '\0';
		p->started_us = s->started_us;
		n++;
	}
	return n;
}

void metrics_print_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_print_value(struct buf *out, struct str value)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '"' || c == '\\')
			buf_addc(out, '\\');
		buf_addc(out, c >= ' ' && c <= '~' ? c : '?');
	}
	buf_addc(out, '"');
}

/* ---- one series ---- */

struct sums {
	const struct metric_series *series;
	uint64_t cells[METRIC_HISTOGRAM_CELLS];
};

static void add_cells(struct sums *s, const struct metric_series *series, uint32_t count)
{
	for (unsigned slot = 0; slot < METRIC_SLOTS; slot++)
		for (uint32_t i = 0; i < count && metric_memory->slots[slot].command[0] != '\0'; i++) /* looking at unused pages would make them */
			s->cells[i] += atomic_load_explicit(&metric_memory->cells[slot][series->cell + i], memory_order_relaxed);
}

/* `label="value",...` without braces. */
static void print_labels(struct buf *out, const struct metric_series *s)
{
	struct str names = str_z(metric_rows[s->metric].labels), name, rest = str_n(s->key, s->key_size);
	const char *comma = "";

	while ((name = str_word(&names, " ")).n > 0) {
		buf_addf(out, "%s%.*s=", comma, STRF(name));
		metrics_print_value(out, str_cut(&rest, '\0'));
		comma = ",";
	}
}

static void print_name(struct buf *out, const struct metric_series *s, const char *suffix, const char *le)
{
	size_t brace;

	buf_addf(out, "%s%s", metric_rows[s->metric].name, suffix);
	brace = out->n;
	buf_addc(out, '{');
	print_labels(out, s);
	if (le != NULL)
		buf_addf(out, "%sle=\"%s\"", out->n > brace + 1 ? "," : "", le);
	if (out->n == brace + 1)
		buf_truncate(out, brace);
	else
		buf_addc(out, '}');
	buf_addc(out, ' ');
}

/* Microseconds become seconds, without a float's rounding. */
static void add_number(struct buf *out, enum metric_unit unit, uint64_t n)
{
	if (unit != METRIC_SECONDS)
		buf_addf(out, "%" PRIu64, n);
	else if (n % MICRO == 0)
		buf_addf(out, "%" PRIu64, n / MICRO);
	else
		buf_addf(out, "%" PRIu64 ".%06" PRIu64, n / MICRO, n % MICRO);
}

static void print_histogram(struct buf *out, const struct sums *s)
{
	enum metric_unit unit = metric_rows[s->series->metric].unit;
	const uint64_t *limits = metric_buckets(unit);
	uint64_t below = 0;

	for (size_t i = 0; i <= METRIC_BUCKETS; i++) {
		struct buf le = { 0 };

		below += s->cells[i];
		if (i < METRIC_BUCKETS)
			add_number(&le, unit, limits[i]);
		else
			buf_addz(&le, "+Inf");
		print_name(out, s->series, "_bucket", buf_z(&le));
		buf_addf(out, "%" PRIu64 "\n", below);
		buf_done(&le);
	}
	print_name(out, s->series, "_sum", NULL);
	add_number(out, unit, s->cells[METRIC_BUCKETS + 1]);
	buf_addc(out, '\n');
	print_name(out, s->series, "_count", NULL);
	buf_addf(out, "%" PRIu64 "\n", below);
}

static void print_one(struct buf *out, const struct sums *s)
{
	enum metric_type type = metric_rows[s->series->metric].type;

	if (type == METRIC_HISTOGRAM) {
		print_histogram(out, s);
		return;
	}
	print_name(out, s->series, "", NULL);
	if (type == METRIC_GAUGE)
		buf_addf(out, "%" PRId64 "\n", (int64_t)s->cells[0]);
	else
		buf_addf(out, "%" PRIu64 "\n", s->cells[0]);
}

/* ---- one metric ---- */

static bool usable(const struct metric_series *s, enum metric m)
{
	return atomic_load_explicit(&s->ready, memory_order_acquire) == 1 && s->metric == m && s->key_size <= METRIC_KEY_MAX &&
	       s->cell <= METRIC_CELLS_MAX - metric_cells(m);
}

static bool same_key(const struct metric_series *a, const struct metric_series *b)
{
	return a->key_size == b->key_size && memcmp(a->key, b->key, a->key_size) == 0;
}

/* Has an entry before this one the same key? It was printed with that one, then. */
static bool repeated(const struct metric_series *s, enum metric m)
{
	for (const struct metric_series *t = metric_memory->series; t < s; t++)
		if (usable(t, m) && same_key(s, t))
			return true;
	return false;
}

void metrics_print(struct buf *out, enum metric m)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	const struct metric_row *row = &metric_rows[m];
	uint32_t count = metric_memory == NULL ? 0 : metric_series_count();
	bool begun = false;

	for (uint32_t i = 0; i < count; i++) {
		struct sums sums = { .series = &metric_memory->series[i] };

		if (!usable(sums.series, m) || repeated(sums.series, m))
			continue;
		for (uint32_t k = i; k < count; k++)
			if (usable(&metric_memory->series[k], m) && same_key(&metric_memory->series[k], sums.series))
				add_cells(&sums, &metric_memory->series[k], metric_cells(m));
		if (!begun)
			metrics_print_head(out, row->name, types[row->type], row->help);
		begun = true;
		print_one(out, &sums);
	}
}

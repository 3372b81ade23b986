/* lib/base/metrics.c - counting into memory that all processes share. */
#include "lib/base/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/metrics_parts.h"

#define RECENT_MAX 256 /* a power of two */
#define KNOWN_MAX 2048 /* places of the hash table: a power of two, twice METRIC_SERIES_MAX */
#define VALUE_MAX 48   /* octets of a label's value */

struct metric_memory *metric_memory;

struct known { /* a series this process has found: its own copy of the key */
	uint64_t hash; /* 0: empty place */
	enum metric metric;
	uint32_t cell;
	uint32_t key_size;
	char key[METRIC_KEY_MAX];
};

static struct {
	_Atomic uint64_t *cells; /* ours */
	struct known *known;
	size_t known_count;
	const struct known *recent[RECENT_MAX]; /* by where the label values were, which mostly are the same literals again */
	const char *service;
} self;

/* ---- the memory ---- */

int metrics_create(void)
{
	int fd = memfd_create("gatepost metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (ftruncate(fd, sizeof(struct metric_memory)) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void *map(int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *p = mmap(NULL, sizeof(struct metric_memory), PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static unsigned claim_slot(struct metric_memory *mem)
{
	for (unsigned i = 0; i < METRIC_SLOTS; i++) {
		int32_t none = 0;

		if (atomic_compare_exchange_strong(&mem->slots[i].pid, &none, (int32_t)getpid()))
			return i;
	}
	return METRIC_SLOTS - 1;
}

/* Those of which there is one series are there from the start: a counter that begins with 1 has not increased. */
static void make_single_series(void)
{
	for (int m = 0; m < METRIC_COUNT; m++)
		if (*metric_rows[m].labels == '\0')
			metric_move((enum metric)m, 0, NULL);
}

bool metrics_open(int fd, const char *command, const char *service)
{
	struct metric_memory *shared = fd < 0 ? NULL : map(fd), *mem = shared != NULL ? shared : map(-1);
	struct metric_slot *slot;
	unsigned i;

	check(mem != NULL);
	i = claim_slot(mem);
	slot = &mem->slots[i];
	snprintf(slot->command, sizeof slot->command, "%s", command);
	snprintf(slot->service, sizeof slot->service, "%s", service);
	slot->started_us = clock_wall_us();
	self.cells = mem->cells[i];
	self.known = mem_array(KNOWN_MAX, sizeof *self.known);
	self.known_count = 0;
	memset(self.recent, 0, sizeof self.recent);
	self.service = mem_strdup(service);
	metric_memory = mem;
	make_single_series();
	return shared != NULL || fd < 0;
}

void metrics_leave(pid_t pid)
{
	struct metric_memory *mem = metric_memory;

	for (unsigned i = 0; mem != NULL && i < METRIC_SLOTS; i++) {
		if (atomic_load(&mem->slots[i].pid) != (int32_t)pid)
			continue;
		for (uint32_t k = 0; k < metric_series_count(); k++) {
			const struct metric_series *s = &mem->series[k];

			if (s->metric < METRIC_COUNT && metric_rows[s->metric].type == METRIC_GAUGE && s->cell < METRIC_CELLS_MAX)
				atomic_store_explicit(&mem->cells[i][s->cell], 0, memory_order_relaxed);
		}
		atomic_store(&mem->slots[i].pid, 0);
	}
}

uint32_t metric_series_count(void)
{
	uint32_t n = atomic_load_explicit(&metric_memory->series_count, memory_order_acquire);

	return n < METRIC_SERIES_MAX ? n : METRIC_SERIES_MAX;
}

uint32_t metric_cells(enum metric m)
{
	return metric_rows[m].type == METRIC_HISTOGRAM ? METRIC_HISTOGRAM_CELLS : 1;
}

/* ---- series ---- */

struct key {
	uint32_t size;
	uint64_t hash;
	char text[METRIC_KEY_MAX];
};

static void add_value(struct key *k, const char *value)
{
	size_t n = value == NULL ? 0 : strnlen(value, VALUE_MAX), room = METRIC_KEY_MAX - k->size - 1;

	if (n > room)
		n = room;
	if (n > 0)
		memcpy(k->text + k->size, value, n);
	k->size += (uint32_t)n;
	k->text[k->size++] = '\0';
}

/* FNV-1a, 64 bits. */
static uint64_t hash_of(enum metric m, const struct key *k)
{
	uint64_t h = 14695981039346656037u ^ (unsigned)m;

	for (uint32_t i = 0; i < k->size; i++)
		h = (h ^ (unsigned char)k->text[i]) * 1099511628211u;
	return h | 1; /* 0 is an empty place */
}

static void make_key(struct key *k, enum metric m, const char *const values[METRIC_LABELS_MAX])
{
	const char *labels = metric_rows[m].labels;
	size_t next = 0;

	k->size = 0;
	while (*labels != '\0' && k->size < METRIC_KEY_MAX - 1) {
		size_t n = strcspn(labels, " ");
		bool own = n == sizeof "service" - 1 && memcmp(labels, "service", n) == 0;

		add_value(k, own ? self.service : values[next++]);
		labels += n + (labels[n] == ' ');
	}
	k->hash = hash_of(m, k);
}

/* A series that another process made; METRIC_CELLS_MAX: none. */
static uint32_t find_shared(enum metric m, const struct key *k)
{
	for (uint32_t i = 0; i < metric_series_count(); i++) {
		const struct metric_series *s = &metric_memory->series[i];

		if (atomic_load_explicit(&s->ready, memory_order_acquire) == 1 && s->metric == m && s->key_size == k->size &&
			memcmp(s->key, k->text, k->size) == 0 && s->cell + metric_cells(m) <= METRIC_CELLS_MAX)
			return s->cell;
	}
	return METRIC_CELLS_MAX;
}

static uint32_t make_shared(enum metric m, const struct key *k)
{
	struct metric_memory *mem = metric_memory;
	uint32_t i = METRIC_SERIES_MAX, cell = METRIC_CELLS_MAX;
	struct metric_series *s;

	if (atomic_load(&mem->series_count) < METRIC_SERIES_MAX && atomic_load(&mem->cell_count) < METRIC_CELLS_MAX) {
		i = atomic_fetch_add(&mem->series_count, 1);
		cell = atomic_fetch_add(&mem->cell_count, metric_cells(m));
	}
	if (i >= METRIC_SERIES_MAX || cell + metric_cells(m) > METRIC_CELLS_MAX)
		return METRIC_CELLS_MAX;
	s = &mem->series[i];
	s->metric = m;
	s->cell = cell;
	s->key_size = k->size;
	memcpy(s->key, k->text, k->size);
	atomic_store_explicit(&s->ready, 1, memory_order_release);
	return cell;
}

static bool is_known(const struct known *place, enum metric m, const struct key *k)
{
	return place->hash == k->hash && place->metric == m && place->key_size == k->size && memcmp(place->key, k->text, k->size) == 0;
}

/* Its place, or the empty one where it goes. */
static struct known *place_of(enum metric m, const struct key *k)
{
	size_t i = (size_t)k->hash & (KNOWN_MAX - 1);

	while (self.known[i].hash != 0 && !is_known(&self.known[i], m, k))
		i = (i + 1) & (KNOWN_MAX - 1);
	return &self.known[i];
}

static void remember(struct known *place, enum metric m, const struct key *k)
{
	uint32_t cell = find_shared(m, k);

	if (cell == METRIC_CELLS_MAX)
		cell = make_shared(m, k);
	*place = (struct known){ .hash = k->hash, .metric = m, .cell = cell, .key_size = k->size };
	memcpy(place->key, k->text, k->size);
	self.known_count++;
}

/* NULL: there is no room for it. */
static const struct known *look_up(enum metric m, const char *const values[METRIC_LABELS_MAX])
{
	struct known *place;
	struct key k;

	make_key(&k, m, values);
	place = place_of(m, &k);
	if (place->hash == 0 && self.known_count < METRIC_SERIES_MAX)
		remember(place, m, &k);
	return place->hash != 0 && place->cell < METRIC_CELLS_MAX ? place : NULL;
}

/* Are these the values of a key? Its first part is the service's where the row begins with that. */
static bool same_values(const struct known *k, const char *const values[METRIC_LABELS_MAX])
{
	const char *labels = metric_rows[k->metric].labels;
	uint32_t at = strncmp(labels, "service", sizeof "service" - 1) == 0 ? (uint32_t)strlen(k->key) + 1 : 0;

	for (size_t i = 0; i < METRIC_LABELS_MAX && at < k->key_size; i++) {
		size_t n = strlen(k->key + at);

		if (n >= VALUE_MAX || strcmp(k->key + at, values[i] == NULL ? "" : values[i]) != 0)
			return false;
		at += (uint32_t)n + 1;
	}
	return true;
}

static _Atomic uint64_t *cell_of(enum metric m, const char *const values[METRIC_LABELS_MAX])
{
	uintptr_t where = (uintptr_t)m * 31 + (uintptr_t)values[0] * 7 + (uintptr_t)values[1] * 3 + (uintptr_t)values[2];
	const struct known **recent = &self.recent[(where ^ where >> 8) & (RECENT_MAX - 1)];

	if (metric_memory == NULL)
		return NULL;
	if (*recent == NULL || (*recent)->metric != m || !same_values(*recent, values)) {
		const struct known *found = look_up(m, values);

		if (found == NULL) {
			if (m != METRIC_LOST)
				metric_count(METRIC_LOST, NULL, NULL, NULL);
			return NULL;
		}
		*recent = found;
	}
	return &self.cells[(*recent)->cell];
}

/* ---- counting ---- */

static void plus(_Atomic uint64_t *cell, uint64_t n)
{
	atomic_fetch_add_explicit(cell, n, memory_order_relaxed); /* the last slot may be shared */
}

static void add(enum metric m, uint64_t n, const char *a, const char *b, const char *c)
{
	_Atomic uint64_t *cell = cell_of(m, (const char *const[METRIC_LABELS_MAX]){ a, b, c });

	if (cell != NULL)
		plus(cell, n);
}

void metric_count(enum metric m, const char *a, const char *b, const char *c)
{
	add(m, 1, a, b, c);
}

void metric_move(enum metric m, int64_t by, const char *a)
{
	add(m, (uint64_t)by, a, NULL, NULL); /* modulo 2^64, which the sum of all undoes */
}

void metric_set(enum metric m, int64_t value, const char *a)
{
	_Atomic uint64_t *cell = cell_of(m, (const char *const[METRIC_LABELS_MAX]){ a, NULL, NULL });

	if (cell != NULL)
		atomic_store_explicit(cell, (uint64_t)value, memory_order_relaxed);
}

void metric_observe(enum metric m, uint64_t value, const char *a, const char *b)
{
	_Atomic uint64_t *cell = cell_of(m, (const char *const[METRIC_LABELS_MAX]){ a, b, NULL });
	const uint64_t *limits = metric_buckets(metric_rows[m].unit);
	size_t i = 0;

	if (cell == NULL)
		return;
	while (i < METRIC_BUCKETS && value > limits[i])
		i++;
	plus(&cell[i], 1);
	plus(&cell[METRIC_BUCKETS + 1], value);
}

/* mta/smtpd/limit.c - counts clients' connections and events over all workers of the service, and says when it is enough. */
#include "mta/smtpd/limit.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/ip.h"
#include "mta/smtpd/limit_fleet.h"
#include "mta/smtpd/settings.h"

#define PARTS 32     /* workers that can count together */
#define CLIENTS 4096 /* per worker; a power of two */
#define PROBES 16    /* places looked at for one client; a full neighbourhood loses its stalest idle client */
#define V6_PREFIX 84 /* leading bits of an IPv6 client that count, as Postfix 3.8 */

enum event { EVENT_CONNECT, EVENT_MAIL, EVENT_RCPT, EVENT_TLS, EVENT_AUTH, EVENTS };

struct entry {
	_Atomic uint64_t client; /* hash of its network; 0: free */
	_Atomic uint32_t connections;
	_Atomic uint32_t period; /* number of the time unit the counts belong to */
	_Atomic uint32_t counts[EVENTS];
};

struct part { /* written by one worker, read by all */
	_Atomic bool used; /* by somebody, at some time */
	_Atomic uint32_t sessions;
	struct entry entries[CLIENTS];
};

struct shared {
	_Atomic int64_t full_at;   /* when there was no room for a client; 0: never */
	_Atomic int64_t wanted_at; /* when one that waits looked last */
	struct part parts[PARTS];
};

static struct shared *shared;
static struct part *mine;
static int lock_fd = -1; /* the shared file */
static const char *service_label;
static int64_t alone_full_at; /* without shared counters */

/* ---- the shared file ---- */

/* A worker holds the lock on the byte that has its part's number for as long as it lives: numbers of processes are used again. */
static bool lock(struct flock *l, const struct part *p, int command)
{
	*l = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = p - shared->parts, .l_len = 1 };
	return fcntl(lock_fd, command, l) == 0;
}

static bool alive(const struct part *p)
{
	struct flock l;

	return p == mine || (lock(&l, p, F_OFD_GETLK) && l.l_type != F_UNLCK);
}

static bool claim(struct part *p)
{
	struct flock l;

	if (!lock(&l, p, F_OFD_SETLK))
		return false;
	p->sessions = 0;
	memset(p->entries, 0, sizeof p->entries);
	p->used = true;
	return true;
}

static struct shared *map_file(const char *service)
{
	struct buf path = { 0 };
	struct shared *map = NULL;

	buf_addz(&path, "pid/limits.");
	for (const char *z = service; *z != '\0'; z++)
		buf_addc(&path, (*z >= '0' && *z <= '9') || (*z >= 'a' && *z <= 'z') || (*z >= 'A' && *z <= 'Z') ? *z : '_');
	lock_fd = open(buf_z(&path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock_fd >= 0 && ftruncate(lock_fd, sizeof *map) == 0)
		map = mmap(NULL, sizeof *map, PROT_READ | PROT_WRITE, MAP_SHARED, lock_fd, 0);
	buf_done(&path);
	return map == MAP_FAILED ? NULL : map;
}

void limit_init(const char *service)
{
	service_label = service;
	mine = NULL;
	shared = map_file(service);
	for (size_t i = 0; shared != NULL && i < PARTS && mine == NULL; i++)
		if (claim(&shared->parts[i]))
			mine = &shared->parts[i];
	if (mine != NULL)
		return;
	log_warn("clients are counted by this worker alone: no room in the shared counters");
	shared = NULL;
	mine = mem_alloc(sizeof *mine);
}

/* ---- one client's entry ---- */

/* The same in every worker: FNV-1a over the network, stirred. Strangers choosing colliding networks gain a shared count at most. */
uint64_t limit_client_key(const struct session *s)
{
	uint64_t h = 0xcbf29ce484222325u;
	struct ip ip;

	if (!ip_parse(s->client.addr, &ip))
		memset(&ip, 0, sizeof ip);
	if (!ip.v4)
		ip = ip_mask(&ip, V6_PREFIX);
	for (size_t i = 0; i < sizeof ip.b; i++)
		h = (h ^ ip.b[i]) * 0x100000001b3u;
	h ^= h >> 29;
	return h | 1;
}

static uint32_t period_now(void)
{
	return (uint32_t)(clock_mono_ms() / (cf.rate_unit_ms > 0 ? cf.rate_unit_ms : 60000));
}

static struct entry *entry_find(struct part *p, uint64_t key)
{
	for (size_t i = 0; i < PROBES; i++) {
		struct entry *e = &p->entries[(key + i) & (CLIENTS - 1)];

		if (atomic_load_explicit(&e->client, memory_order_relaxed) == key)
			return e;
	}
	return NULL;
}

static struct entry *entry_make(uint64_t key)
{
	struct entry *best = NULL;

	for (size_t i = 0; i < PROBES; i++) {
		struct entry *e = &mine->entries[(key + i) & (CLIENTS - 1)];

		if (e->client == 0) {
			best = e;
			break;
		}
		if (e->connections == 0 && (best == NULL || e->period < best->period))
			best = e;
	}
	if (best == NULL)
		return NULL;
	for (size_t i = 0; i < EVENTS; i++)
		best->counts[i] = 0;
	best->connections = 0;
	best->period = period_now();
	best->client = key;
	return best;
}

static void next_period(struct entry *e)
{
	uint32_t now = period_now();

	if (e->period == now)
		return;
	for (size_t i = 0; i < EVENTS; i++)
		e->counts[i] = 0;
	e->period = now;
}

/* Over all workers. What dead ones left behind is only taken out when it would make a difference: it costs a system call each. */
static uint64_t sum(uint64_t key, enum event what, bool connections, bool living)
{
	uint64_t n = 0;
	uint32_t now = period_now();

	for (size_t i = 0; i < (shared != NULL ? PARTS : 1); i++) {
		struct part *p = shared != NULL ? &shared->parts[i] : mine;
		struct entry *e = p->used || shared == NULL ? entry_find(p, key) : NULL;

		if (e == NULL || (living && !alive(p)))
			continue;
		if (connections)
			n += e->connections;
		else if (e->period == now)
			n += e->counts[what];
	}
	return n;
}

static uint64_t total(uint64_t key, enum event what, bool connections, int64_t limit)
{
	uint64_t n = sum(key, what, connections, false);

	return n > (uint64_t)limit ? sum(key, what, connections, true) : n;
}

/* ---- sessions of all clients ---- */

void limit_session_count(int change)
{
	mine->sessions += (uint32_t)change;
}

static unsigned sessions(bool living)
{
	unsigned n = 0;

	if (shared == NULL)
		return mine->sessions;
	for (size_t i = 0; i < PARTS; i++) {
		struct part *p = &shared->parts[i];

		if (p == mine || (p->sessions > 0 && (!living || alive(p))))
			n += p->sessions;
	}
	return n;
}

bool limit_full(unsigned most)
{
	return sessions(false) >= most && sessions(true) >= most;
}

void limit_note_full(void)
{
	if (shared != NULL)
		shared->full_at = clock_mono_ms();
	else
		alone_full_at = clock_mono_ms();
}

int64_t limit_full_ago(void)
{
	int64_t at = shared != NULL ? shared->full_at : alone_full_at, now = clock_mono_ms();

	return at != 0 && at <= now ? now - at : INT64_MAX; /* the file may be older than the machine's clock */
}

void limit_want_room(void)
{
	if (shared != NULL)
		shared->wanted_at = clock_mono_ms();
}

bool limit_room_wanted(int64_t within_ms)
{
	int64_t at = shared != NULL ? shared->wanted_at : 0, now = clock_mono_ms();

	return at != 0 && at <= now && now - at <= within_ms;
}

/* ---- the limits ---- */

static const struct limit_row {
	const int64_t *limit;
	const char *what;  /* as Postfix's anvil clients log it */
	const char *fleet; /* in keys of Redis */
} limit_rows[EVENTS] = {
	[EVENT_CONNECT] = { &cf.conn_rate_limit, "Connection rate", "connect" },
	[EVENT_MAIL] = { &cf.mail_rate_limit, "Message delivery request rate", "mail" },
	[EVENT_RCPT] = { &cf.rcpt_rate_limit, "Recipient address rate", "rcpt" },
	[EVENT_TLS] = { &cf.tls_rate_limit, "New TLS session rate", "tls" },
	[EVENT_AUTH] = { &cf.auth_rate_limit, "AUTH command rate", "auth" },
};

static bool exceeded(const struct session *s, const char *what, uint64_t n, int64_t limit)
{
	if (limit <= 0 || n <= (uint64_t)limit)
		return false;
	log_warn("%s limit exceeded: %llu from %.*s for service %s", what, (unsigned long long)n, STRF(s->client.namaddr), service_label);
	return true;
}

static struct entry *entry_for(uint64_t key)
{
	struct entry *e = entry_find(mine, key);

	if (e == NULL)
		return entry_make(key);
	next_period(e);
	return e;
}

/* What the gateway counted, and what the fleet did; the fleet's may not be known. */
static uint64_t larger(uint64_t own, uint64_t fleet)
{
	return own > fleet ? own : fleet;
}

static bool count_event(struct session *s, enum event what)
{
	const struct limit_row *row = &limit_rows[what];
	uint64_t key;
	struct entry *e;

	if (*row->limit <= 0)
		return true; /* what is not limited is not counted */
	key = limit_client_key(s);
	e = entry_for(key);
	if (e != NULL)
		e->counts[what]++;
	return !exceeded(s, row->what, larger(total(key, what, false, *row->limit), fleet_count(row->fleet, key)), *row->limit);
}


bool limit_connect(struct session *s)
{
	int64_t limit = cf.early ? cf.early_conn_limit : cf.conn_count_limit;
	uint64_t key;
	struct entry *e;

	if (limit > 0) {
		key = limit_client_key(s);
		e = entry_for(key);
		s->limit_key = key;
		s->limits_counted = e != NULL;
		if (e != NULL)
			e->connections++;
		if (exceeded(s, "Connection concurrency", larger(total(key, EVENT_CONNECT, true, limit), fleet_connect(key, &s->fleet_number)), limit))
			return false;
	}
	return count_event(s, EVENT_CONNECT);
}

uint64_t limit_connections(const struct session *s)
{
	return s->limits_counted ? sum(s->limit_key, EVENT_CONNECT, true, true) : 0;
}

void limit_disconnect(struct session *s)
{
	struct entry *e = s->limits_counted ? entry_find(mine, s->limit_key) : NULL;

	if (e != NULL && e->connections > 0)
		e->connections--;
	fleet_disconnect(s->limit_key, s->fleet_number);
	s->fleet_number = 0;
	s->limits_counted = false;
}

bool limit_mail(struct session *s)
{
	return count_event(s, EVENT_MAIL);
}

bool limit_rcpt(struct session *s)
{
	return count_event(s, EVENT_RCPT);
}

bool limit_tls_reached(struct session *s)
{
	int64_t limit = cf.tls_rate_limit;
	uint64_t key = limit_client_key(s);

	return limit > 0 && larger(total(key, EVENT_TLS, false, limit), fleet_look(limit_rows[EVENT_TLS].fleet, key)) > (uint64_t)limit;
}

bool limit_tls(struct session *s)
{
	return count_event(s, EVENT_TLS);
}

bool limit_auth(struct session *s)
{
	return count_event(s, EVENT_AUTH);
}

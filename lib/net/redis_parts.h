/* lib/net/redis_parts.h - what the files of the Redis client share: servers, and the way to the right one. */
#ifndef GATEPOST_LIB_NET_REDIS_PARTS_H
#define GATEPOST_LIB_NET_REDIS_PARTS_H

#include "lib/net/fiber.h"
#include "lib/net/redis.h"
#include "lib/net/stream.h"

#define REDIS_CONNECTIONS_MAX 16 /* a process's share of one server; more commands wait for a free one */
#define REDIS_NODES_MAX 256 /* servers one cluster may name */
#define REDIS_SLOTS 16384

struct redis_node {
	struct redis *r;
	char *endpoint;
	bool sentinel; /* another login, no database */
	struct stream *idle[REDIS_CONNECTIONS_MAX];
	unsigned idle_count, busy_count;
	struct waitq free_again;
	unsigned failures; /* in a row */
	bool open; /* breaker */
	bool back, trying; /* open, but it answers again: one command is let through; that one is on its way */
	struct fiber *probe; /* looks whether it is back, and rests between two looks */
	struct waitq rest;
};

struct redis {
	struct redis_settings set;
	struct redis_node *nodes[REDIS_NODES_MAX];
	size_t node_count, seed_count; /* seeds, as configured, come first */
	struct redis_node *master; /* the one server, or what the sentinels said; NULL: not known */
	struct redis_node **slots; /* cluster: owner of each; NULL: not known */
	bool known; /* master or slots have been found once */
	bool lost; /* nobody tells where to go: said once */
	bool down; /* the cluster says that it is: said once */
	bool closing;
	struct fiber *finder; /* finds the way anew */
	struct waitq found;
	int64_t find_after; /* not more often */
};

/* ---- redis_node.c ---- */
struct redis_node *redis_node_new(struct redis *r, struct str endpoint, bool sentinel);
void redis_node_free(struct redis_node *n);
/* One formatted command on a connection of n, without and with the breaker. ask: behind ASKING. Suspend. */
int redis_node_exchange(struct redis_node *n, struct arena *a, struct str command, bool ask, int64_t deadline, struct redis_value *value,
	struct err *e);
int redis_node_run(struct redis_node *n, struct arena *a, struct str command, bool ask, int64_t deadline, struct redis_value *value,
	struct err *e);

/* ---- redis_route.c ---- */
/* Where the command goes. NULL with *e: nobody knows. Suspends. */
struct redis_node *redis_route(struct redis *r, struct str command, int64_t deadline, struct err *e);
/* The way may have changed: look, in the background, not too often. */
void redis_route_doubt(struct redis *r);
/* Wait until a look in progress has ended. */
void redis_route_wait(struct redis *r, int64_t deadline);
/* "MOVED 3999 host:port" or "ASK ...": who it is, asked being the one who said it. Moved slots are remembered. NULL: no such answer. */
struct redis_node *redis_route_moved(struct redis *r, const struct redis_node *asked, struct str text, bool *ask);

/* ---- redis_slot.c: pure ---- */
/* Word i of a formatted command; empty: there is none. */
struct str redis_command_word(struct str command, size_t i);
/* The word that decides about the slot; empty: any server will do. */
struct str redis_command_key(struct str command);
unsigned redis_slot(struct str key);
/* argv formatted; free with redisFreeCommand. */
struct str redis_format(size_t argc, const struct str *argv);

#endif

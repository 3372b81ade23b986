/* lib/conf/params_redis.c - the memory that gateways share. Rows are sorted by name; see struct param. */
#include "lib/conf/params.h"

const struct param params_redis[] = {
	{ "redis_breaker_failures", PARAM_INT, "3", 1, PARAM_MAX, "", "Failures in a row after which a server is left alone" },
	{ "redis_breaker_time", PARAM_TIME, "10s", 1, PARAM_MAX, "s", "Time between two looks whether it is back" },
	{ "redis_cluster", PARAM_BOOL, "no", 0, 0, "", "redis_server names nodes of a cluster" },
	{ "redis_database", PARAM_INT, "0", 0, PARAM_MAX, "", "Database number" },
	{ "redis_key_prefix", PARAM_STR, "gp:", 0, 0, "", "Begins every key" },
	{ "redis_password", PARAM_STR, "", 0, 0, "", "Password; empty: none" },
	{ "redis_password_file", PARAM_STR, "", 0, 0, "", "File whose first line is the password, for who does not want it in main.cf" },
	{ "redis_sentinel_master", PARAM_STR, "", 0, 0, "", "Name of the master; redis_server names sentinels then" },
	{ "redis_sentinel_password", PARAM_STR, "", 0, 0, "", "Password of the sentinels" },
	{ "redis_sentinel_user", PARAM_STR, "", 0, 0, "", "User name for the sentinels; empty: the default user" },
	{ "redis_server", PARAM_STR, "", 0, 0, "",
		"Redis: \"inet:host:port\" or \"unix:/path\"; several sentinels or cluster nodes; empty: no shared memory" },
	{ "redis_timeout_ms", PARAM_INT, "200", 1, 60000, "ms", "Longest wait for one command, milliseconds" },
	{ "redis_tls", PARAM_BOOL, "no", 0, 0, "", "TLS to Redis, but for unix sockets" },
	{ "redis_tls_CAfile", PARAM_STR, "/etc/ssl/certs/ca-certificates.crt", 0, 0, "", "Authorities of the servers' certificates" },
	{ "redis_tls_cert_file", PARAM_STR, "", 0, 0, "", "Certificate to show to the servers; empty: none" },
	{ "redis_tls_key_file", PARAM_STR, "$redis_tls_cert_file", 0, 0, "", "Its key" },
	{ "redis_tls_name", PARAM_STR, "", 0, 0, "", "Name in the servers' certificates; empty: the host in redis_server" },
	{ "redis_tls_verify", PARAM_BOOL, "yes", 0, 0, "", "Servers have to prove who they are" },
	{ "redis_user", PARAM_STR, "", 0, 0, "", "ACL user name; empty: the default user" },
};
const size_t params_redis_count = sizeof params_redis / sizeof *params_redis;

/* mta/master/certs.c - certificate files: when they have changed and can be used, new workers are started that read them.
 *
 * Workers gave up the right to read private keys, so it is master that looks, at times, whether the files are what they were. A change
 * counts when it was there at the look before already: whoever writes a key and a certificate is given the time to finish.
 */
#include "mta/master/master.h"

#include <string.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/net/tls.h"
#include "lib/service/server_tls.h"

/* What the files look like: sizes, times and inodes in one number. */
static uint32_t look(const struct generation *g)
{
	uint32_t sum = 0;
	struct stat st;

	for (size_t i = 0; i < g->cert_file_count; i++) {
		uint64_t facts[4] = { i };

		if (stat(g->cert_files[i].p, &st) == 0) {
			facts[1] = (uint64_t)st.st_ino;
			facts[2] = (uint64_t)st.st_size;
			facts[3] = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
		}
		sum = hash_crc32c(sum, facts, sizeof facts);
	}
	return sum;
}

void certs_add(struct generation *g, const struct conf *c)
{
	struct str *files = NULL, *all;
	size_t count = server_tls_level(c) == TLS_LEVEL_NONE ? 0 : server_tls_files(c, g->a, &files);

	if (count == 0)
		return;
	all = arena_alloc(g->a, (g->cert_file_count + count) * sizeof *all);
	if (g->cert_file_count > 0)
		memcpy(all, g->cert_files, g->cert_file_count * sizeof *all);
	for (size_t i = 0; i < count; i++)
		all[g->cert_file_count++] = str_z(arena_z(g->a, files[i]));
	g->cert_files = all;
}

int certs_try(const struct conf *c, struct err *e)
{
	enum tls_level level = server_tls_level(c);
	struct tls_ctx *ctx = level == TLS_LEVEL_NONE ? NULL : server_tls_open(c, level, NULL, e);

	if (level != TLS_LEVEL_NONE && ctx == NULL)
		return -1;
	tls_ctx_free(ctx);
	return 0;
}

/* Keys have no end, and are not counted. */
static void count_expiry(const struct generation *g, bool used)
{
	for (size_t i = 0; g != NULL && i < g->cert_file_count; i++) {
		int64_t end = tls_file_expiry(g->cert_files[i].p);

		if (end != 0)
			metric_set(METRIC_CERT_EXPIRY, used ? end : 0, g->cert_files[i].p);
	}
}

void certs_watch(struct generation *g, const struct generation *before)
{
	count_expiry(before, false);
	count_expiry(g, true);
	g->cert_interval_ms = g->cert_file_count > 0 ? conf_time_ms(g->conf, "tls_file_check_interval") : 0;
	g->cert_look_at = g->cert_interval_ms > 0 ? deadline_in(g->cert_interval_ms) : DEADLINE_NEVER;
	g->certs_used = g->certs_seen = look(g);
}

bool certs_changed(struct generation *g)
{
	uint32_t now;
	bool settled;

	if (g->cert_look_at == DEADLINE_NEVER || clock_mono_ms() < g->cert_look_at)
		return false;
	g->cert_look_at = deadline_in(g->cert_interval_ms);
	now = look(g);
	settled = now == g->certs_seen && now != g->certs_used;
	g->certs_seen = now;
	if (settled)
		g->certs_used = now; /* whatever comes of it: tried once */
	return settled;
}

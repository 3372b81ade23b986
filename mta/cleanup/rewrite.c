/* mta/cleanup/rewrite.c - addresses to standard form. What plainly is in standard form is not asked about; the rest is trivial-rewrite's to
 * say, remembered for a short while.
 */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/net/story.h"
#include "lib/proto/rewrite.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

#define CACHE_MS 30000 /* an answer is good for this long: a changed main.cf is a new process anyway */
#define CACHE_MAX 2000

static struct rewrite_client *client;
static struct arena *cache_life;
static struct map *cache; /* address to address */
static int64_t cache_until;

void rewrite_init(const char *endpoint, int64_t timeout_ms)
{
	client = rewrite_client_new(endpoint, timeout_ms);
}

/* user@some.domain without routing characters: nothing to complete, nothing to swap. */
static bool standard(struct str address, bool local)
{
	struct addr a = addr_split(address);

	if (a.domain.n == 0 || a.domain.p[a.domain.n - 1] == '.' || a.local.n == 0)
		return false;
	if (str_any(a.local, "%!@:") >= 0)
		return false;
	if (a.domain.p[0] == '[')
		return a.domain.p[a.domain.n - 1] == ']';
	return str_any(a.domain, "%!@: ") < 0 && ((local && !set->append_dot_mydomain) || str_chr(a.domain, '.') >= 0);
}

static void cache_refresh(void)
{
	if (cache != NULL && clock_mono_ms() < cache_until && map_count(cache) < CACHE_MAX)
		return;
	if (cache != NULL)
		map_free(cache, NULL);
	arena_free(cache_life);
	cache = map_new();
	cache_life = arena_new("rewrite cache");
	cache_until = clock_mono_ms() + CACHE_MS;
}

static void remember(struct str key, struct str answer)
{
	struct str *kept;

	cache_refresh();
	kept = arena_alloc(cache_life, sizeof *kept);
	*kept = arena_dup(cache_life, answer);
	map_put(cache, key, kept);
}

int rewrite_address(struct mail *x, struct str *address, bool local)
{
	struct rewrite_question q = { .flags = local ? 0 : REWRITE_REMOTE_CONTEXT, .address = *address, .sender = STR_NONE };
	struct str key = *address;
	struct rewrite_answer a;
	const struct str *kept;
	struct err e = ERR_INIT;

	if (address->n == 0 || standard(*address, local))
		return 0;
	if (!local)
		key = arena_printf(x->life, "\n%.*s", STRF(key)); /* no address begins so */
	cache_refresh();
	kept = map_get(cache, key);
	if (kept != NULL) {
		*address = arena_dup(x->life, *kept);
		return 0;
	}
	if (rewrite_ask(client, x->life, &q, &a, &e) < 0 || a.temp_fail) {
		log_warn("%s: cannot rewrite an address: %.*s", x->m.id, STRF(e.kind != ERR_NONE ? str_z(e.text) : a.why));
		mail_refuse_temp(x, "Error: address rewriting is not available");
		return -1;
	}
	if ((a.flags & REWRITE_ERROR) == 0 && a.address.n > 0) {
		remember(key, a.address);
		*address = a.address;
	}
	return 0;
}

void tell_route(struct mail *x, const struct queue_rcpt *r)
{
	struct rewrite_question q = { .address = r->addr, .sender = x->m.sender };
	struct buf event = { 0 }, text = { 0 };
	struct rewrite_answer a;
	struct err e = ERR_INIT;

	buf_addf(&text, "<%.*s> ", STRF(r->addr));
	if (rewrite_ask(client, x->life, &q, &a, &e) < 0 || a.temp_fail)
		buf_addf(&text, "cannot be routed now: %.*s", STRF(e.kind != ERR_NONE ? str_z(e.text) : a.why));
	else
		buf_addf(&text, "would go by %.*s to %.*s", STRF(a.transport), STRF(a.nexthop));
	story_begin(&event, "outcome", x->m.id);
	json_add_member(&event, "text", buf_str(&text));
	story_tell(&event);
	buf_done(&text);
}

/* lib/net/tls_sessions.c - sessions with servers that may be resumed: a handshake without certificates and signatures.
 * A session holds what the server showed and how it was judged, so its key has to name all that is demanded of the server.
 */
#include <time.h>

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/net/tls_parts.h"

#define SESSIONS_MAX 1000 /* some kilobytes each */

struct kept {
	struct list link; /* oldest first */
	struct str key; /* owned */
	SSL_SESSION *session;
};

static struct {
	struct map *by_key;
	struct list order;
} all;

static void forget(struct kept *k)
{
	list_del(&k->link);
	map_del(all.by_key, k->key);
	SSL_SESSION_free(k->session);
	mem_free((void *)(uintptr_t)k->key.p);
	mem_free(k);
}

static struct kept *find(struct str key)
{
	return all.by_key == NULL || key.n == 0 ? NULL : map_get(all.by_key, key);
}

void tls_session_forget(struct str key)
{
	struct kept *k = find(key);

	if (k != NULL)
		forget(k);
}

static void keep(struct str key, SSL_SESSION *session)
{
	struct kept *k = mem_alloc(sizeof *k);

	if (all.by_key == NULL) {
		all.by_key = map_new();
		list_init(&all.order);
	}
	tls_session_forget(key);
	if (map_count(all.by_key) == SESSIONS_MAX)
		forget(LIST_OWNER(all.order.next, struct kept, link));
	k->key = str_n(mem_dup(key.p, key.n), key.n);
	k->session = session;
	list_add_tail(&all.order, &k->link);
	map_put(all.by_key, k->key, k);
}

/* OpenSSL has one: after the handshake with TLS 1.3, inside it before. 1: it is ours now. */
static int arrived(SSL *ssl, SSL_SESSION *session)
{
	struct tls *t = SSL_get_app_data(ssl);

	if (t == NULL || t->session_key.n == 0 || !SSL_SESSION_is_resumable(session))
		return 0;
	keep(t->session_key, session);
	return 1;
}

void tls_sessions_use(SSL_CTX *ssl, int64_t session_ms)
{
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ssl, arrived);
	if (session_ms > 0)
		SSL_CTX_set_timeout(ssl, session_ms / 1000);
}

static bool too_old(const SSL_SESSION *s)
{
	return (time_t)SSL_SESSION_get_time(s) + SSL_SESSION_get_timeout(s) < time(NULL);
}

void tls_session_offer(struct tls *t, struct str key)
{
	struct kept *k = find(key);

	if (key.n == 0)
		return;
	t->session_key = str_n(mem_dup(key.p, key.n), key.n);
	if (k == NULL)
		return;
	if (!too_old(k->session))
		SSL_set_session(t->ssl, k->session);
	/* TLS 1.3 tickets are for one use: seen twice, they would link the connections (RFC 8446 appendix C.4). */
	if (too_old(k->session) || SSL_SESSION_get_protocol_version(k->session) == TLS1_3_VERSION)
		forget(k);
}

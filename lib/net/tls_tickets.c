/* lib/net/tls_tickets.c - session tickets that every worker of a service can open: their keys come from one secret, and move on.
 *
 * Secret n+1 is a digest of secret n; both keys of a period are digests of its secret. A worker keeps two periods and forgets what was
 * before. Handshakes run in the thread pool too, hence the lock.
 */
#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/tls_parts.h"

#define SECRET_SIZE 32
#define PERIODS_MAX 1000000 /* steps a worker takes to reach today: the secret is at most some years old */

struct keys {
	unsigned char name[16], cipher[32], mac[32];
};

static struct {
	pthread_mutex_t lock;
	bool ready;
	int64_t born_s, period_s, period; /* period: of `now` */
	unsigned char secret[SECRET_SIZE];
	struct keys now, before;
} tickets = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- secrets ---- */

static void digest(const unsigned char secret[SECRET_SIZE], const char *purpose, unsigned char out[SECRET_SIZE])
{
	unsigned n = SECRET_SIZE;

	check(HMAC(EVP_sha256(), secret, SECRET_SIZE, (const unsigned char *)purpose, strlen(purpose), out, &n) != NULL);
}

static void derive(struct keys *k)
{
	unsigned char name[SECRET_SIZE];

	digest(tickets.secret, "ticket name", name);
	memcpy(k->name, name, sizeof k->name);
	digest(tickets.secret, "ticket cipher", k->cipher);
	digest(tickets.secret, "ticket mac", k->mac);
}

static void step(void)
{
	unsigned char next[SECRET_SIZE];

	digest(tickets.secret, "next secret", next);
	memcpy(tickets.secret, next, SECRET_SIZE);
	OPENSSL_cleanse(next, sizeof next);
	tickets.before = tickets.now;
	derive(&tickets.now);
	tickets.period++;
}

/* To the present period; a clock that goes back changes nothing. */
static void catch_up(void)
{
	int64_t wanted = (clock_wall_us() / 1000000 - tickets.born_s) / tickets.period_s;

	if (wanted > PERIODS_MAX)
		wanted = PERIODS_MAX;
	while (tickets.period < wanted)
		step();
}

static bool parse_hex(struct str hex, unsigned char out[SECRET_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	if (hex.n != 2 * SECRET_SIZE)
		return false;
	for (size_t i = 0; i < hex.n; i++) {
		const char *at = memchr(digits, hex.p[i], 16);

		if (at == NULL)
			return false;
		out[i / 2] = (unsigned char)(out[i / 2] << 4 | (at - digits));
	}
	return true;
}

static bool take_secret(char *text)
{
	struct str rest = str_z(text), born = str_cut(&rest, ':');
	uint64_t s = 0;
	bool good = str_to_u64(born, INT64_MAX, &s) && parse_hex(rest, tickets.secret);

	OPENSSL_cleanse(text, strlen(text)); /* the environment is visible to who may look at this process */
	tickets.born_s = (int64_t)s;
	return good;
}

void tls_tickets_init(const char *name, int64_t lifetime_ms)
{
	char *given = getenv(name);

	if (given == NULL || !take_secret(given)) {
		check(RAND_bytes(tickets.secret, SECRET_SIZE) == 1);
		tickets.born_s = clock_wall_us() / 1000000;
	}
	unsetenv(name);
	tickets.period_s = lifetime_ms / 2000 > 0 ? lifetime_ms / 2000 : 1;
	derive(&tickets.now);
	tickets.before = tickets.now;
	catch_up();
	tickets.ready = true;
}

void tls_tickets_secret(struct buf *out)
{
	unsigned char secret[SECRET_SIZE];

	check(RAND_bytes(secret, SECRET_SIZE) == 1);
	buf_addf(out, "%lld:", (long long)(clock_wall_us() / 1000000));
	for (size_t i = 0; i < SECRET_SIZE; i++)
		buf_addf(out, "%02x", secret[i]);
	OPENSSL_cleanse(secret, sizeof secret);
}

/* ---- OpenSSL's questions ---- */

static bool set_keys(const struct keys *k, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->mac, sizeof k->mac),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv, seal) == 1 && EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 1: the keys are set; 2: set, and the client should get a new ticket; 0: sealed with keys we do not have; -1: trouble. */
static int ticket_keys(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	int rc = 1;
	const struct keys *k = &tickets.now;

	(void)ssl; /* all connections share the keys */
	pthread_mutex_lock(&tickets.lock);
	catch_up();
	if (seal) {
		memcpy(name, k->name, sizeof k->name);
		if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			rc = -1;
	} else if (CRYPTO_memcmp(name, k->name, sizeof k->name) != 0) {
		k = &tickets.before;
		rc = CRYPTO_memcmp(name, k->name, sizeof k->name) == 0 ? 2 : 0;
	}
	if (rc > 0 && !set_keys(k, iv, cipher, mac, seal))
		rc = -1;
	pthread_mutex_unlock(&tickets.lock);
	return rc;
}

void tls_use_tickets(SSL_CTX *ssl)
{
	if (tickets.ready)
		SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, ticket_keys);
}

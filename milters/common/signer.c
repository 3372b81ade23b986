/* milters/common/signer.c - private keys in files and in memory, over OpenSSL. Ed25519 signs the digest itself (RFC 8463 section 3). */
#include "milters/common/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "lib/base/base64.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/mail/addr.h"

#define KEY_FILE_MAX 32768 /* octets: a 16384-bit RSA key has 13000 */
#define SIGNATURE_MAX 2048 /* octets: of such a key */

struct private_key {
	EVP_PKEY *key;
	bool rsa;
};

struct keyring {
	pthread_mutex_t lock;
	struct map *keys;
	char *conf_dir;
	unsigned min_bits;
};

struct keyring *keyring_new(const char *conf_dir, unsigned min_rsa_bits)
{
	struct keyring *k = mem_alloc(sizeof *k);

	pthread_mutex_init(&k->lock, NULL);
	k->keys = map_new();
	k->conf_dir = mem_strdup(conf_dir);
	k->min_bits = min_rsa_bits;
	return k;
}

static void key_free(void *arg)
{
	struct private_key *k = arg;

	EVP_PKEY_free(k->key);
	mem_free(k);
}

void keyring_free(struct keyring *k)
{
	if (k == NULL)
		return;
	map_free(k->keys, key_free);
	pthread_mutex_destroy(&k->lock);
	mem_free(k->conf_dir);
	mem_free(k);
}

/* ---- files ---- */

static int check_mode(int fd, const char *file, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, errno, "key file %s", file);
	if (!S_ISREG(st.st_mode))
		return err_temp(e, "key file %s: not a regular file", file);
	if (st.st_mode & 077)
		return err_temp(e, "key file %s is open to others (mode %04o): run \"chmod 600 %s\"", file, st.st_mode & 07777u, file);
	if (st.st_size > KEY_FILE_MAX)
		return err_temp(e, "key file %s: larger than %d octets", file, KEY_FILE_MAX);
	return 0;
}

static int no_password(char *buf, int size, int writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)ctx;
	return -1; /* nobody is there to be asked */
}

static EVP_PKEY *parse_pem(const char *pem, size_t n)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)n);
	EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);

	BIO_free(bio);
	return key;
}

/* NULL with *e. */
static EVP_PKEY *read_key_file(const char *file, struct err *e)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char text[KEY_FILE_MAX];
	EVP_PKEY *key = NULL;
	ssize_t n;

	if (fd < 0) {
		(void)err_errno(e, errno, "key file %s", file);
		return NULL;
	}
	if (check_mode(fd, file, e) == 0) {
		n = read(fd, text, sizeof text); /* a regular file: all of it at once */
		if (n < 0)
			(void)err_errno(e, errno, "key file %s", file);
		else if ((key = parse_pem(text, (size_t)n)) == NULL)
			(void)err_temp(e, "key file %s: no private key in PEM form without a password", file);
		explicit_bzero(text, sizeof text);
	}
	close(fd);
	return key;
}

static int check_kind(const struct keyring *k, EVP_PKEY *key, const char *file, struct err *e)
{
	int type = EVP_PKEY_get_base_id(key), bits = EVP_PKEY_get_bits(key);

	if (type != EVP_PKEY_RSA && type != EVP_PKEY_ED25519)
		return err_temp(e, "key file %s: neither an RSA nor an Ed25519 key", file);
	if (type == EVP_PKEY_RSA && bits < (int)k->min_bits)
		return err_temp(e, "key file %s: %d bits, dkim_min_key_bits = %u", file, bits, k->min_bits);
	return 0;
}

/* The key in file, from memory when it was needed before. Under the lock. */
static const struct private_key *key_get(struct keyring *k, const char *file, struct err *e)
{
	struct private_key *known = map_get(k->keys, str_z(file));
	EVP_PKEY *key;

	if (known != NULL)
		return known;
	key = read_key_file(file, e);
	if (key == NULL)
		return NULL;
	if (check_kind(k, key, file, e) < 0) {
		EVP_PKEY_free(key);
		return NULL;
	}
	known = mem_alloc(sizeof *known);
	*known = (struct private_key){ key, EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA };
	map_put(k->keys, str_z(file), known);
	return known;
}

int signer_parse(struct keyring *k, const char *what, struct str entry, struct arena *a, struct signer *out, struct err *e)
{
	struct str rest = entry, domain = str_trim(str_cut(&rest, ':')), selector = str_trim(str_cut(&rest, ':'));
	struct str file = str_trim(rest);

	if (!addr_hostname_valid(domain) || !addr_hostname_valid(selector) || file.n == 0)
		return err_temp(e, "%s: \"domain:selector:keyfile\" expected, not \"%.*s\"", what, STRF(entry));
	if (file.p[0] != '/')
		file = arena_printf(a, "%s/%.*s", k->conf_dir, STRF(file));
	out->domain = arena_z(a, domain);
	out->selector = arena_z(a, selector);
	pthread_mutex_lock(&k->lock);
	out->key = key_get(k, arena_z(a, file), e);
	pthread_mutex_unlock(&k->lock);
	return out->key == NULL ? -1 : 0;
}

/* ---- signing ---- */

const char *signer_algorithm(const struct signer *s)
{
	return s->key->rsa ? "rsa-sha256" : "ed25519-sha256";
}

static bool sign_rsa(EVP_PKEY *key, const unsigned char *digest, unsigned char *out, size_t *n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool done = ctx != NULL && EVP_PKEY_sign_init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
		    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 && EVP_PKEY_sign(ctx, out, n, digest, DIGEST_SIZE) > 0;

	EVP_PKEY_CTX_free(ctx);
	return done;
}

static bool sign_ed25519(EVP_PKEY *key, const unsigned char *digest, unsigned char *out, size_t *n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool done =
		ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) > 0 && EVP_DigestSign(ctx, out, n, digest, DIGEST_SIZE) > 0;

	EVP_MD_CTX_free(ctx);
	return done;
}

int signer_sign(const struct signer *s, const unsigned char digest[DIGEST_SIZE], struct buf *out, struct err *e)
{
	unsigned char raw[SIGNATURE_MAX];
	size_t n = sizeof raw;

	if (!(s->key->rsa ? sign_rsa : sign_ed25519)(s->key->key, digest, raw, &n))
		return err_temp(e, "cannot sign for %s: OpenSSL does not take the key", s->domain);
	base64_encode(out, str_n((const char *)raw, n));
	return 0;
}

/* milters/dkim/keys.c - signing keys: which ones an address has, and their files. A key file that others may read is not used: whoever has
 * the key is the domain.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/mail/addr.h"
#include "milters/common/say.h"
#include "milters/dkim/dkim.h"

#define KEY_FILE_MAX 32768 /* octets: a 16384-bit RSA key has 13000 */

/* ---- files ---- */

void sign_key_free(void *key)
{
	struct sign_key *k = key;

	explicit_bzero(k->pem, strlen(k->pem));
	mem_free(k->pem);
	mem_free(k);
}

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

/* The file's text, NUL-terminated; NULL with *e. */
static char *read_key_file(const char *file, struct err *e)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text = NULL;
	ssize_t n;

	if (fd < 0) {
		(void)err_errno(e, errno, "key file %s", file);
		return NULL;
	}
	if (check_mode(fd, file, e) == 0) {
		text = mem_alloc(KEY_FILE_MAX + 1);
		n = read(fd, text, KEY_FILE_MAX); /* a regular file: all of it at once */
		if (n < 0) {
			(void)err_errno(e, errno, "key file %s", file);
			mem_free(text);
			text = NULL;
		}
	}
	close(fd);
	return text;
}

static int no_password(char *buf, int size, int writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)ctx;
	return -1; /* nobody is there to be asked */
}

static int key_kind(const char *pem, const char *file, unsigned min_bits, dkim_alg_t *out, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	int type = key == NULL ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key);
	int bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);

	EVP_PKEY_free(key);
	BIO_free(bio);
	if (type == EVP_PKEY_NONE)
		return err_temp(e, "key file %s: no private key in PEM form without a password", file);
	if (type != EVP_PKEY_RSA && type != EVP_PKEY_ED25519)
		return err_temp(e, "key file %s: neither an RSA nor an Ed25519 key", file);
	if (type == EVP_PKEY_RSA && bits < (int)min_bits)
		return err_temp(e, "key file %s: %d bits, dkim_min_key_bits = %u", file, bits, min_bits);
	*out = type == EVP_PKEY_RSA ? DKIM_SIGN_RSASHA256 : DKIM_SIGN_ED25519SHA256;
	return 0;
}

/* The key in file, from memory when it was needed before. Under say_lock(). */
static const struct sign_key *key_get(struct policy *p, const char *file, struct err *e)
{
	struct sign_key *k = map_get(p->keys, str_z(file));
	char *pem;

	if (k != NULL)
		return k;
	pem = read_key_file(file, e);
	if (pem == NULL)
		return NULL;
	k = mem_alloc(sizeof *k);
	k->pem = pem;
	if (key_kind(pem, file, p->min_key_bits, &k->algorithm, e) < 0) {
		sign_key_free(k);
		return NULL;
	}
	map_put(p->keys, str_z(file), k);
	return k;
}

/* ---- the table ---- */

static enum table_answer lookup(struct policy *p, struct str address, struct buf *value, struct err *e)
{
	struct addr parts = addr_split(address);
	struct str domain = parts.domain;
	enum table_answer answer = tables_lookup(&p->sign_table, address, value, e);
	ptrdiff_t dot;

	if (answer == TABLE_MISSING)
		answer = tables_lookup(&p->sign_table, domain, value, e);
	while (answer == TABLE_MISSING && (dot = str_chr(domain, '.')) >= 0) {
		answer = tables_lookup(&p->sign_table, str_skip(domain, (size_t)dot), value, e);
		domain = str_skip(domain, (size_t)dot + 1);
	}
	return answer;
}

static int parse_signer(struct policy *p, struct str entry, struct arena *a, struct signer *out, struct err *e)
{
	struct str rest = entry, domain = str_cut(&rest, ':'), selector = str_cut(&rest, ':');
	struct str file = str_trim(rest);

	if (!addr_hostname_valid(domain) || !addr_hostname_valid(selector) || file.n == 0)
		return err_temp(e, "dkim_sign_table: \"domain:selector:keyfile\" expected, not \"%.*s\"", STRF(entry));
	if (file.p[0] != '/')
		file = arena_printf(a, "%s/%.*s", conf_dir(p->conf), STRF(file));
	out->domain = arena_z(a, domain);
	out->selector = arena_z(a, selector);
	out->key = key_get(p, arena_z(a, file), e);
	return out->key == NULL ? -1 : 0;
}

static ptrdiff_t parse_signers(struct policy *p, struct str value, struct arena *a, struct signer out[SIGNERS_MAX], struct err *e)
{
	ptrdiff_t count = 0;
	struct str entry;

	while ((entry = str_word(&value, ", \t\r\n")).n > 0) {
		if (count == SIGNERS_MAX)
			return err_temp(e, "dkim_sign_table: more than %d keys for one address", SIGNERS_MAX);
		if (parse_signer(p, entry, a, &out[count++], e) < 0)
			return -1;
	}
	return count;
}

ptrdiff_t signers_find(struct policy *p, struct str address, struct arena *a, struct signer out[SIGNERS_MAX], struct err *e)
{
	struct buf value = { 0 };
	enum table_answer answer;
	ptrdiff_t count = 0;

	say_lock();
	answer = lookup(p, arena_lower(a, address), &value, e);
	if (answer == TABLE_FOUND)
		count = parse_signers(p, buf_str(&value), a, out, e);
	else if (answer == TABLE_FAILED)
		count = -1;
	say_unlock();
	buf_done(&value);
	return count;
}

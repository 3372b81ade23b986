/* mta/tools/gatepost/dkim.c - dkim genkey, testkey: a key for the dkim milter with the DNS record that goes with it, and whether the DNS
 * has it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sysexits.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/mail/addr.h"
#include "lib/mail/taglist.h"
#include "lib/net/dns.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "mta/tools/gatepost/gatepost.h"

#define RSA_BITS 2048
#define RSA_BITS_MIN 1024
#define RSA_BITS_MAX 4096 /* what every receiver is bound to take: RFC 8301 section 3.2 */
#define ED25519_SIZE 32
#define STRING_MAX 255 /* octets of a character-string in a TXT record */
#define DNS_MS 20000

/* ---- keys ---- */

static EVP_PKEY *make_key(bool rsa, uint64_t bits)
{
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(rsa ? EVP_PKEY_RSA : EVP_PKEY_ED25519, NULL);

	if (ctx == NULL || EVP_PKEY_keygen_init(ctx) <= 0 || (rsa && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) <= 0) ||
		EVP_PKEY_keygen(ctx, &key) <= 0)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* "v=DKIM1; k=rsa; p=..." */
static void add_record(EVP_PKEY *key, struct buf *out)
{
	unsigned char raw[ED25519_SIZE], *der = NULL;
	size_t n = sizeof raw;

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 && EVP_PKEY_get_raw_public_key(key, raw, &n) == 1) {
		buf_addz(out, "v=DKIM1; k=ed25519; p=");
		base64_encode(out, str_n((const char *)raw, n));
	} else {
		int size = i2d_PUBKEY(key, &der);

		buf_addz(out, "v=DKIM1; k=rsa; p=");
		if (size > 0)
			base64_encode(out, str_n((const char *)der, (size_t)size));
		OPENSSL_free(der);
	}
}

static bool write_key(EVP_PKEY *key, const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	bool written;

	if (f == NULL) {
		tool_complain("cannot write %s: %s", file, strerror(errno));
		return false;
	}
	written = PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;
	written = fclose(f) == 0 && written;
	if (!written)
		tool_complain("cannot write %s", file);
	return written;
}

static EVP_PKEY *read_key(const char *file)
{
	FILE *f = fopen(file, "re");
	EVP_PKEY *key = f == NULL ? NULL : PEM_read_PrivateKey(f, NULL, NULL, NULL);

	if (f == NULL)
		tool_complain("cannot read %s: %s", file, strerror(errno));
	else if (key == NULL)
		tool_complain("%s: no private key in PEM form", file);
	if (f != NULL)
		fclose(f);
	return key;
}

/* ---- genkey ---- */

/* As a zone file has it: strings of 255 octets at most. */
static void print_record(const char *domain, const char *selector, struct str record)
{
	printf("%s._domainkey.%s. IN TXT (", selector, domain);
	while (record.n > 0) {
		printf(" \"%.*s\"", STRF(str_sub(record, 0, STRING_MAX)));
		record = str_skip(record, STRING_MAX);
	}
	printf(" )\n");
}

static bool names_valid(const char *domain, const char *selector)
{
	if (addr_hostname_valid(str_z(domain)) && addr_hostname_valid(str_z(selector)))
		return true;
	tool_complain("\"%s\" or \"%s\" is no domain name", domain, selector);
	return false;
}

static int genkey(bool rsa, uint64_t bits, char **names)
{
	struct buf record = { 0 };
	EVP_PKEY *key;

	if (!names_valid(names[0], names[1]))
		return EX_USAGE;
	key = make_key(rsa, bits);
	if (key == NULL) {
		tool_complain("OpenSSL makes no such key");
		return EX_SOFTWARE;
	}
	if (!write_key(key, names[2])) {
		EVP_PKEY_free(key);
		return EX_CANTCREAT;
	}
	add_record(key, &record);
	print_record(names[0], names[1], buf_str(&record));
	printf("; dkim_sign_table: %s  %s:%s:%s\n", names[0], names[0], names[1], names[2]);
	buf_done(&record);
	EVP_PKEY_free(key);
	return EX_OK;
}

/* ---- testkey ---- */

struct question {
	struct arena *a;
	const char *servers;
	struct str name;
	struct dns_answer answer;
	struct err e;
	bool started;
};

static void ask(void *arg)
{
	struct question *q = arg;

	q->started = dns_init(q->servers, &q->e) == 0;
	if (q->started)
		dns_ask(q->a, q->name, DNS_TXT, deadline_in(DNS_MS), &q->answer);
	loop_stop();
}

/* The record's p= and, when there is one, the key file's are the same bytes. */
static int compare(const struct question *q, struct str published, const char *file)
{
	EVP_PKEY *key = read_key(file);
	struct buf record = { 0 };
	struct taglist own;
	const char *why;
	bool same;

	if (key == NULL)
		return EX_NOINPUT;
	add_record(key, &record);
	EVP_PKEY_free(key);
	same = taglist_parse(buf_str(&record), &own, &why) && str_eq(published, taglist_get(&own, "p"));
	buf_done(&record);
	if (same)
		printf("%.*s: is the key in %s\n", STRF(q->name), file);
	else
		tool_complain("%.*s: is another key than the one in %s", STRF(q->name), file);
	return same ? EX_OK : EX_DATAERR;
}

static int judge(const struct question *q, const char *file)
{
	struct taglist tags;
	const char *why = "more than one record";

	if (q->answer.result != DNS_OK) {
		tool_complain("%.*s: %s", STRF(q->name),
			q->answer.result == DNS_TEMPFAIL ? "no answer, try again later" : "there is no such record");
		return q->answer.result == DNS_TEMPFAIL ? EX_TEMPFAIL : EX_NOHOST;
	}
	if (q->answer.count != 1 || !taglist_parse(q->answer.records[0].data, &tags, &why)) {
		tool_complain("%.*s: %s", STRF(q->name), why);
		return EX_DATAERR;
	}
	if (taglist_get(&tags, "p").n == 0) {
		tool_complain("%.*s: the key is revoked", STRF(q->name));
		return EX_DATAERR;
	}
	if (file != NULL)
		return compare(q, taglist_plain(&tags, "p", q->a), file);
	printf("%.*s: %.*s\n", STRF(q->name), STRF(q->answer.records[0].data));
	return EX_OK;
}

static int testkey(struct tool *t, int argc, char **names)
{
	struct question q = { .servers = conf_str(tool_conf(t), "dns_servers"), .e = ERR_INIT };
	int status = EX_UNAVAILABLE;

	if (!names_valid(names[0], names[1]))
		return EX_USAGE;
	q.a = arena_new("testkey");
	q.name = arena_printf(q.a, "%s._domainkey.%s", names[1], names[0]);
	loop_init();
	fiber_start("testkey", ask, &q);
	loop_run();
	if (q.started)
		status = judge(&q, argc > 2 ? names[2] : NULL);
	else
		tool_complain("%s", q.e.text);
	arena_free(q.a);
	return status;
}

static int usage(void)
{
	tool_complain("usage: dkim genkey [-t rsa|ed25519] [-b BITS] DOMAIN SELECTOR FILE | dkim testkey DOMAIN SELECTOR [FILE]");
	return EX_USAGE;
}

int verb_dkim(struct tool *t, int argc, char **argv)
{
	uint64_t bits = RSA_BITS;
	bool rsa = true;
	int option;

	if (argc < 2)
		return usage();
	optind = 2;
	while ((option = getopt(argc, argv, "+b:t:")) != -1) {
		if (option == 'b' && (!str_to_u64(str_z(optarg), RSA_BITS_MAX, &bits) || bits < RSA_BITS_MIN)) {
			tool_complain("-b: a number from %d to %d", RSA_BITS_MIN, RSA_BITS_MAX);
			return EX_USAGE;
		}
		if (option == '?' || (option == 't' && strcmp(optarg, "rsa") != 0 && strcmp(optarg, "ed25519") != 0))
			return usage();
		if (option == 't')
			rsa = strcmp(optarg, "rsa") == 0;
	}
	if (strcmp(argv[1], "genkey") == 0 && argc - optind == 3)
		return genkey(rsa, bits, argv + optind);
	if (strcmp(argv[1], "testkey") == 0 && (argc - optind == 2 || argc - optind == 3))
		return testkey(t, argc - optind, argv + optind);
	return usage();
}

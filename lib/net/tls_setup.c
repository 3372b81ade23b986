/* lib/net/tls_setup.c - settings in Postfix's words into OpenSSL contexts. */
#include <openssl/err.h>
#include <stdarg.h>

#include "lib/base/mem.h"
#include "lib/net/tls_parts.h"

int tls_library_error(struct err *e, const char *fmt, ...)
{
	unsigned long code = ERR_get_error();
	const char *reason = ERR_reason_error_string(code);
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	ERR_clear_error();
	return err_temp(e, "%s: %s", what,
		reason != NULL           ? reason
		: ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
					 : "unknown error");
}

/* ---- protocols ---- */

static const struct protocol {
	const char *name;
	int version;
	uint64_t off; /* option that turns it off; 0: OpenSSL has it no more */
} protocols[] = {
	{ "SSLv2", 0, 0 },
	{ "SSLv3", SSL3_VERSION, SSL_OP_NO_SSLv3 },
	{ "TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1 },
	{ "TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1 },
	{ "TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2 },
	{ "TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3 },
};
#define PROTOCOL_COUNT (sizeof protocols / sizeof *protocols)

static const struct protocol *find_protocol(struct str name)
{
	for (size_t i = 0; i < PROTOCOL_COUNT; i++)
		if (str_eqiz(name, protocols[i].name))
			return &protocols[i];
	return NULL;
}

struct range {
	int lowest, highest; /* 0: no bound */
	uint64_t excluded, included;
};

static int read_protocol(struct str word, struct range *r, struct err *e)
{
	bool from = str_starts(word, STR(">=")), to = str_starts(word, STR("<=")), not = str_starts(word, STR("!"));
	const struct protocol *p = find_protocol(str_skip(word, from || to ? 2 : not ? 1 : 0));

	if (p == NULL)
		return err_perm(e, "unknown TLS protocol \"%.*s\"", STRF(word));
	if (from)
		r->lowest = p->version;
	else if (to)
		r->highest = p->version;
	else if (not )
		r->excluded |= p->off;
	else
		r->included |= p->off;
	return 0;
}

/* Once one is named without '!', the others are off. */
int tls_use_protocols(SSL_CTX *ssl, const char *text, struct err *e)
{
	struct str rest = str_z(text), word;
	struct range r = { 0 };

	while ((word = str_word(&rest, " \t\r\n,:")).n > 0)
		if (read_protocol(word, &r, e) < 0)
			return -1;
	for (size_t i = 0; i < PROTOCOL_COUNT && r.included != 0; i++)
		if (!(r.included & protocols[i].off))
			r.excluded |= protocols[i].off;
	if (SSL_CTX_set_min_proto_version(ssl, r.lowest) != 1 || SSL_CTX_set_max_proto_version(ssl, r.highest) != 1)
		return tls_library_error(e, "TLS protocols \"%s\"", text);
	SSL_CTX_set_options(ssl, r.excluded);
	return 0;
}

/* ---- ciphers ---- */

/* What Postfix's grades mean to OpenSSL; the weaker ones have become the same as medium. */
static const struct {
	const char *grade, *list;
} grades[] = {
	{ "high", "aNULL:-aNULL:HIGH:@STRENGTH" },
	{ "medium", "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH" },
	{ "low", "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH" },
	{ "export", "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH" },
	{ "null", "eNULL:!aNULL" },
};

static const char *grade_list(const struct tls_settings *set)
{
	struct str word = str_z(set->ciphers);

	if (str_eqiz(word, "high") && set->high_ciphers != NULL)
		return set->high_ciphers;
	if (str_eqiz(word, "medium") && set->medium_ciphers != NULL)
		return set->medium_ciphers;
	for (size_t i = 0; i < sizeof grades / sizeof *grades; i++)
		if (str_eqiz(word, grades[i].grade))
			return grades[i].list;
	return set->ciphers;
}

int tls_use_ciphers(SSL_CTX *ssl, const struct tls_settings *set, struct err *e)
{
	struct str rest = str_z(set->exclude_ciphers != NULL ? set->exclude_ciphers : ""), word;
	struct buf list = { 0 };
	int rc = 0;

	buf_addz(&list, grade_list(set));
	while ((word = str_word(&rest, " \t\r\n,:")).n > 0)
		buf_addf(&list, ":!%.*s", STRF(word));
	if (SSL_CTX_set_cipher_list(ssl, buf_z(&list)) != 1)
		rc = tls_library_error(e, "TLS ciphers \"%s\"", buf_z(&list));
	buf_done(&list);
	return rc;
}

/* ---- options ---- */

static const struct {
	const char *word;
	uint64_t bit;
} options[] = {
	{ "ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT },
	{ "LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT },
	{ "NO_COMPRESSION", SSL_OP_NO_COMPRESSION },
	{ "NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION },
	{ "NO_SESSION_RESUMPTION_ON_RENEGOTIATION", SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION },
	{ "NO_TICKET", SSL_OP_NO_TICKET },
	{ "PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA },
};

int tls_use_options(SSL_CTX *ssl, const char *words, struct err *e)
{
	struct str rest = str_z(words), word;

	while ((word = str_word(&rest, " \t\r\n,")).n > 0) {
		size_t i = 0;

		while (i < sizeof options / sizeof *options && !str_eqiz(word, options[i].word))
			i++;
		if (i == sizeof options / sizeof *options)
			return err_perm(e, "unknown TLS option \"%.*s\"", STRF(word));
		SSL_CTX_set_options(ssl, options[i].bit);
	}
	return 0;
}

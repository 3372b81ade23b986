/* milters/common/signature.c - hashing messages for signatures, and writing signature fields. */
#include "milters/common/signature.h"

#include <openssl/evp.h>

#include "lib/base/base64.h"
#include "lib/base/mem.h"

#define LINE_WIDTH 70 /* octets of a folded line: what fits into RFC 5322's 78 with room for the fold */

/* ---- the body ---- */

struct body_hash {
	EVP_MD_CTX *md;
	struct canon_body canon;
	int64_t left; /* of l=; negative: no limit */
	bool limited, ended;
	unsigned char digest[EVP_MAX_MD_SIZE];
};

static void put(void *ctx, const char *p, size_t n)
{
	struct body_hash *h = ctx;

	if (h->limited && n > (uint64_t)h->left)
		n = (size_t)h->left;
	h->left -= h->limited ? (int64_t)n : 0;
	check(EVP_DigestUpdate(h->md, p, n) == 1);
}

static void free_md(void *md)
{
	EVP_MD_CTX_free(md);
}

struct body_hash *body_hash_new(struct arena *a, enum canon how, int64_t limit)
{
	struct body_hash *h = arena_alloc(a, sizeof *h);

	h->md = EVP_MD_CTX_new();
	check(h->md != NULL && EVP_DigestInit_ex(h->md, EVP_sha256(), NULL) == 1);
	arena_defer(a, free_md, h->md);
	h->left = limit;
	h->limited = limit >= 0;
	canon_body_init(&h->canon, how, put, h);
	return h;
}

void body_hash_feed(struct body_hash *h, struct str piece)
{
	if (!h->ended)
		canon_body_feed(&h->canon, piece.p, piece.n);
}

const unsigned char *body_hash_end(struct body_hash *h)
{
	if (!h->ended) {
		canon_body_end(&h->canon);
		check(EVP_DigestFinal_ex(h->md, h->digest, NULL) == 1);
	}
	h->ended = true;
	return h->digest;
}

/* ---- the header ---- */

void digest_of(struct str text, unsigned char out[DIGEST_SIZE])
{
	check(EVP_Digest(text.p, text.n, out, NULL, EVP_sha256(), NULL) == 1);
}

/* Of each name the lowest field not yet taken (RFC 6376 section 5.4.2). */
static const struct field *take(const struct field **bottom_up, bool *taken, size_t count, struct str name)
{
	for (size_t i = 0; i < count; i++) {
		if (taken[i] || !str_eqi(str_trim(bottom_up[i]->name), name))
			continue;
		taken[i] = true;
		return bottom_up[i];
	}
	return NULL;
}

static bool add_named_fields(const struct mail *m, enum canon how, struct str h, struct buf *out)
{
	const struct field **bottom_up = mem_array(m->field_count + 1, sizeof *bottom_up);
	bool *taken = mem_array(m->field_count + 1, sizeof *taken);
	size_t at = m->field_count, names = 0;

	for (const struct field *f = m->fields; f != NULL; f = f->next)
		bottom_up[--at] = f;
	while (h.n > 0 && names++ < SIGNED_NAMES_MAX) {
		const struct field *f = take(bottom_up, taken, m->field_count, str_trim(str_cut(&h, ':')));

		if (f != NULL)
			canon_field(out, how, f->name, f->value);
	}
	mem_free(bottom_up);
	mem_free(taken);
	return h.n == 0;
}

bool signature_digest(const struct mail *m, enum canon how, struct str h, struct str name, struct str value, unsigned char out[DIGEST_SIZE])
{
	struct buf all = { 0 }, bare = { 0 };
	bool fits = add_named_fields(m, how, h, &all);

	canon_without_b(&bare, value);
	canon_field(&all, how, name, buf_str(&bare));
	digest_of(str_sub(buf_str(&all), 0, all.n - 2), out); /* without its last CRLF, section 3.7 */
	buf_done(&all);
	buf_done(&bare);
	return fits;
}

/* ---- writing ---- */

void signature_add_folded(struct buf *out, struct str text, const char *between)
{
	while (text.n > LINE_WIDTH) {
		buf_add(out, str_sub(text, 0, LINE_WIDTH));
		buf_addz(out, between);
		text = str_skip(text, LINE_WIDTH);
	}
	buf_add(out, text);
}

/* "h=" and names, folded between them. */
static void add_names(struct buf *out, struct str h)
{
	size_t line = 2;

	buf_addz(out, "h=");
	while (h.n > 0) {
		struct str name = str_cut(&h, ':');

		if (line + name.n + 1 > LINE_WIDTH) {
			buf_addz(out, "\n\t ");
			line = 0;
		}
		buf_addf(out, "%.*s%s", STRF(name), h.n > 0 ? ":" : "");
		line += name.n + 1;
	}
}

struct str signature_wire_value(struct arena *a, struct str value)
{
	struct buf wire = { 0 };
	struct str kept;

	buf_addc(&wire, ' ');
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '\n')
			buf_addc(&wire, '\r');
		buf_addc(&wire, value.p[i]);
	}
	kept = arena_dup(a, buf_str(&wire));
	buf_done(&wire);
	return kept;
}

static void add_tags(const struct signature_spec *s, struct buf *value)
{
	static const char *const names[] = { [CANON_SIMPLE] = "simple", [CANON_RELAXED] = "relaxed" };

	buf_addf(value, "%s; a=%s; c=%s/%s;\n\td=%s; s=%s;\n\tt=%lld;", s->first_tag, signer_algorithm(s->signer), names[s->header_canon],
		names[s->body_canon], s->signer->domain, s->signer->selector, (long long)s->now);
	if (s->expires > 0)
		buf_addf(value, " x=%lld;", (long long)s->expires);
	buf_addz(value, "\n\t");
	add_names(value, s->h);
	buf_addz(value, ";\n\tbh=");
	base64_encode(value, str_n((const char *)s->body_digest, DIGEST_SIZE));
	buf_addz(value, ";\n\tb=");
}

int signature_write(const struct mail *m, const struct signature_spec *s, struct buf *value, struct err *e)
{
	unsigned char digest[DIGEST_SIZE];
	struct buf b = { 0 };
	int status;

	add_tags(s, value);
	if (!signature_digest(m, s->header_canon, s->h, str_z(s->name), signature_wire_value(m->life, buf_str(value)), digest))
		return err_temp(e, "cannot sign for %s: more than %d fields to be signed", s->signer->domain, SIGNED_NAMES_MAX);
	status = signer_sign(s->signer, digest, &b, e);
	signature_add_folded(value, buf_str(&b), "\n\t ");
	buf_done(&b);
	return status;
}

static bool listed(struct str name, const struct str *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_eqi(list[i], name))
			return true;
	return false;
}

struct str signature_names(struct mail *m, const struct str *names, size_t count, const struct str *oversign, size_t oversign_count)
{
	struct buf h = { 0 };
	struct str kept;

	for (size_t i = 0; i < count; i++) {
		size_t times = mail_count(m, arena_z(m->life, names[i])) + listed(names[i], oversign, oversign_count);

		for (; times > 0; times--)
			buf_addf(&h, "%s%.*s", h.n > 0 ? ":" : "", STRF(names[i]));
	}
	kept = arena_dup(m->life, buf_str(&h));
	buf_done(&h);
	return kept;
}

/* milters/common/arc.c - verifying ARC chains (RFC 8617 section 5.2): first the sets are put in order, then all keys are asked for at once,
 * then every seal and the newest message signature are verified. Whatever is wrong with any of them, the chain fails as a whole.
 */
#include "milters/common/arc.h"

#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "milters/common/resolver.h"
#include "milters/common/verifier.h"

static const char *const field_names[ARC_KINDS] = { ARC_RESULTS, ARC_SIGNATURE, ARC_SEAL };

const char *arc_state_name(enum arc_state s)
{
	static const char *const names[] = { "none", "pass", "fail", "temperror" };

	return names[s];
}

static bool fail(struct arc_chain *c, const char *why)
{
	c->state = ARC_FAIL;
	c->why = why;
	c->body = NULL;
	return false;
}

/* ---- the sets ---- */

/* 1 to 50, no sign, no leading zero; 0: it is not. */
static size_t instance_of(struct str s)
{
	uint64_t i;

	return s.n > 0 && s.p[0] != '0' && str_to_u64(s, ARC_SETS_MAX, &i) ? (size_t)i : 0;
}

/* "i=1; results": the results' field is no tag list behind that. */
static size_t instance_of_results(struct str value, struct str *rest)
{
	struct str tag, name;

	*rest = value;
	tag = str_cut(rest, ';');
	if (tag.n == value.n)
		return 0;
	name = str_trim(str_cut(&tag, '='));
	return str_eqz(name, "i") ? instance_of(str_trim(tag)) : 0;
}

static size_t instance_of_field(enum arc_kind kind, const struct field *f, struct taglist *tags)
{
	struct str rest;
	const char *why;

	if (kind == ARC_KIND_RESULTS)
		return instance_of_results(f->value, &rest);
	return taglist_parse(f->value, tags, &why) ? instance_of(taglist_get(tags, "i")) : 0;
}

static bool put_field(struct arc_chain *c, enum arc_kind kind, const struct field *f)
{
	struct taglist tags = { .count = 0 };
	size_t i = instance_of_field(kind, f, &tags);
	struct arc_set *set;

	if (i == 0)
		return fail(c, "a field is malformed");
	set = &c->sets[i - 1];
	if (set->field[kind] != NULL)
		return fail(c, "a field is there twice");
	set->field[kind] = f;
	if (kind == ARC_KIND_SEAL)
		set->seal = tags;
	else if (kind == ARC_KIND_SIGNATURE)
		set->signature = tags;
	if (i > c->count)
		c->count = i;
	return true;
}

static bool kind_of(struct str name, enum arc_kind *kind)
{
	for (*kind = 0; *kind < ARC_KINDS; (*kind)++)
		if (str_eqiz(str_trim(name), field_names[*kind]))
			return true;
	return false;
}

/* False: there is no chain, or it fails already. */
static bool collect(struct arc_chain *c, const struct mail *m)
{
	enum arc_kind kind;

	for (const struct field *f = m->fields; f != NULL; f = f->next) {
		if (!kind_of(f->name, &kind))
			continue;
		if (c->sets == NULL)
			c->sets = arena_alloc(m->life, ARC_SETS_MAX * sizeof *c->sets);
		if (!put_field(c, kind, f))
			return false;
	}
	for (size_t i = 0; i < c->count; i++)
		for (size_t k = 0; k < ARC_KINDS; k++)
			if (c->sets[i].field[k] == NULL)
				return fail(c, "a set is not complete");
	return c->count > 0;
}

/* ---- tags ---- */

struct requirement {
	const char *tag;
	bool filled; /* must have a value */
};

static const struct requirement seal_tags[] = { { "i", true }, { "a", true }, { "b", true }, { "cv", true }, { "d", true }, { "s", true } };
static const struct requirement signature_tags[] = { { "i", true }, { "a", true }, { "b", true }, { "bh", true }, { "d", true },
	{ "h", false }, { "s", true } };

static bool has_all(const struct taglist *l, const struct requirement *r, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!taglist_has(l, r[i].tag) || (r[i].filled && taglist_get(l, r[i].tag).n == 0))
			return false;
	return true;
}

static bool time_valid(const struct taglist *l)
{
	uint64_t t;

	return !taglist_has(l, "t") || str_to_u64(taglist_get(l, "t"), INT64_MAX, &t);
}

/* h= of a message signature: section 4.1.2 forbids the seal in it. */
static bool signs_a_seal(struct str h)
{
	while (h.n > 0)
		if (str_eqiz(str_trim(str_cut(&h, ':')), ARC_SEAL))
			return true;
	return false;
}

/* c=: "header/body", the body simple when it is not named. Without the tag both are relaxed, as the published test suite and other
 * implementations have it, though RFC 8617 leaves DKIM's "simple" in force. */
static bool canon_of(const struct taglist *l, enum canon *header, enum canon *body)
{
	struct str c = taglist_has(l, "c") ? taglist_get(l, "c") : STR("relaxed/relaxed"), first = str_cut(&c, '/');

	*header = str_eqz(first, "relaxed") ? CANON_RELAXED : CANON_SIMPLE;
	*body = str_eqz(c, "relaxed") ? CANON_RELAXED : CANON_SIMPLE;
	return (*header == CANON_RELAXED || str_eqz(first, "simple")) && (*body == CANON_RELAXED || str_eqz(c, "simple") || c.n == 0);
}

static bool check_tags(struct arc_chain *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct arc_set *s = &c->sets[i];
		enum canon header, body;

		if (!has_all(&s->seal, seal_tags, sizeof seal_tags / sizeof *seal_tags) || taglist_has(&s->seal, "h") ||
			!time_valid(&s->seal))
			return fail(c, "a seal is malformed");
		if (!has_all(&s->signature, signature_tags, sizeof signature_tags / sizeof *signature_tags) || !time_valid(&s->signature) ||
			signs_a_seal(taglist_get(&s->signature, "h")) || !canon_of(&s->signature, &header, &body))
			return fail(c, "a message signature is malformed");
		if (!str_eqz(taglist_get(&s->seal, "cv"), i == 0 ? "none" : "pass"))
			return fail(c, "a seal says so");
	}
	return true;
}

/* ---- keys ---- */

static struct str key_name(struct arena *a, const struct taglist *l)
{
	return arena_printf(a, "%.*s._domainkey.%.*s", STRF(taglist_plain(l, "s", a)), STRF(taglist_plain(l, "d", a)));
}

/* Records of all seals, and behind them of the newest message signature. NULL: one cannot be had now. */
static struct str *fetch_keys(struct arc_chain *c, struct mail *m)
{
	int64_t deadline = deadline_in(m->set->dns_timeout_ms);
	struct txt_query *queries[ARC_SETS_MAX + 1];
	struct str names[ARC_SETS_MAX + 1], *keys = arena_alloc(m->life, (c->count + 1) * sizeof *keys);
	bool all = true;

	for (size_t i = 0; i < c->count; i++)
		names[i] = key_name(m->life, &c->sets[i].seal);
	names[c->count] = key_name(m->life, &c->sets[c->count - 1].signature);
	txt_ask(names, c->count + 1, queries);
	for (size_t i = 0; i <= c->count; i++) {
		if (all && txt_wait_one(queries[i], deadline, STR("v=DKIM1"), m->life, &keys[i]) == TXT_TEMPFAIL)
			all = false;
		txt_done(queries[i]);
	}
	return all ? keys : NULL;
}

/* ---- signatures ---- */

void arc_seal_digest(const struct arc_set *sets, size_t count, struct str seal_value, unsigned char out[DIGEST_SIZE])
{
	struct buf all = { 0 }, bare = { 0 };

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < ARC_KINDS; k++)
			if (i + 1 < count || k != ARC_KIND_SEAL)
				canon_field(&all, CANON_RELAXED, sets[i].field[k]->name, sets[i].field[k]->value);
	canon_without_b(&bare, seal_value);
	canon_field(&all, CANON_RELAXED, STR(ARC_SEAL), buf_str(&bare));
	digest_of(str_sub(buf_str(&all), 0, all.n - 2), out);
	buf_done(&all);
	buf_done(&bare);
}

static bool check_signature(struct arc_chain *c, struct mail *m, const struct taglist *l, struct str key, unsigned min_bits,
	const unsigned char digest[DIGEST_SIZE])
{
	const char *why = "no key";

	if (key.n > 0 && verifier_check(key, taglist_get(l, "a"), min_bits, digest, taglist_plain(l, "b", m->life), &why) > 0)
		return true;
	return fail(c, why);
}

static bool check_seals(struct arc_chain *c, struct mail *m, const struct str *keys, unsigned min_bits)
{
	unsigned char digest[DIGEST_SIZE];

	for (size_t i = c->count; i > 0; i--) {
		arc_seal_digest(c->sets, i, c->sets[i - 1].field[ARC_KIND_SEAL]->value, digest);
		if (!check_signature(c, m, &c->sets[i - 1].seal, keys[i - 1], min_bits, digest))
			return false;
	}
	return true;
}

/* The newest message signature's header part; its body hash is compared at the end. */
static bool check_message(struct arc_chain *c, struct mail *m, struct str key, unsigned min_bits)
{
	const struct arc_set *s = &c->sets[c->count - 1];
	const struct field *f = s->field[ARC_KIND_SIGNATURE];
	unsigned char digest[DIGEST_SIZE];
	enum canon header, body;

	(void)canon_of(&s->signature, &header, &body);
	if (!signature_digest(m, header, taglist_get(&s->signature, "h"), f->name, f->value, digest))
		return fail(c, "a message signature names too many fields");
	if (!check_signature(c, m, &s->signature, key, min_bits, digest))
		return false;
	if (taglist_has(&s->signature, "l"))
		return fail(c, "only a part of the body is signed");
	c->body = body_hash_new(m->life, body, -1);
	return true;
}

struct arc_chain *arc_begin(struct mail *m, unsigned min_rsa_bits)
{
	struct arc_chain *c = arena_alloc(m->life, sizeof *c);
	struct str *keys;

	if (m->too_large) {
		(void)fail(c, "more header than is looked at");
		return c;
	}
	if (!collect(c, m) || !check_tags(c))
		return c;
	keys = fetch_keys(c, m);
	if (keys == NULL) {
		c->state = ARC_TEMPERROR;
		c->why = "key cannot be had now";
		return c;
	}
	if (check_seals(c, m, keys, min_rsa_bits) && check_message(c, m, keys[c->count], min_rsa_bits))
		c->state = ARC_PASS;
	return c;
}

bool arc_body(struct arc_chain *c, struct str piece)
{
	if (c->body != NULL)
		body_hash_feed(c->body, piece);
	return c->body != NULL;
}

void arc_end(struct arc_chain *c)
{
	struct buf bh = { 0 }, wanted = { 0 };
	struct arena *a;

	if (c->state != ARC_PASS || c->body == NULL)
		return;
	a = arena_new("body hash");
	buf_add(&wanted, taglist_plain(&c->sets[c->count - 1].signature, "bh", a));
	base64_encode(&bh, str_n((const char *)body_hash_end(c->body), DIGEST_SIZE));
	if (!str_eq(buf_str(&bh), buf_str(&wanted)))
		(void)fail(c, "body has been altered");
	buf_done(&bh);
	buf_done(&wanted);
	arena_free(a);
}

struct str arc_domain(const struct arc_chain *c, size_t set)
{
	return taglist_get(&c->sets[set].seal, "d");
}

bool arc_results(const struct arc_chain *c, size_t set, struct arena *a, struct authres *out)
{
	struct str rest;

	return instance_of_results(c->sets[set].field[ARC_KIND_RESULTS]->value, &rest) > 0 && authres_parse(a, rest, out);
}

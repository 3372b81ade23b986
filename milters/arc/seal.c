/* milters/arc/seal.c - adding a set to the chain, RFC 8617 section 5.1. A chain that does not pass gets one last set that says so, whose
 * seal is over that set alone.
 */
#include "lib/base/clock.h"
#include "lib/mail/header.h"
#include "milters/arc/arc.h"
#include "milters/common/say.h"

bool seal_possible(const struct arc_chain *c)
{
	const struct arc_set *last = c->count > 0 ? &c->sets[c->count - 1] : NULL;

	if (c->count >= ARC_SETS_MAX || c->state == ARC_TEMPERROR)
		return false;
	return last == NULL || !str_eqz(taglist_get(&last->seal, "cv"), "fail");
}

/* What is being made. */
struct sealing {
	struct mail *m;
	const struct arc_options *o;
	size_t instance;
	int64_t now;
	const char *cv;
	struct field fields[ARC_KINDS];
};

/* As the next hop will see it. */
static void keep(struct sealing *s, enum arc_kind kind, const char *name, struct str value)
{
	s->fields[kind] = (struct field){ .name = str_z(name), .value = signature_wire_value(s->m->life, value) };
}

static int put(struct sealing *s, enum arc_kind kind, const char *name, struct buf *value, struct err *e)
{
	keep(s, kind, name, buf_str(value));
	return mail_insert_field(s->m, name, buf_str(value), e);
}

/* Results that our milters before this one found, from the fields they put on top. */
static void add_known_results(struct mail *m, struct buf *out)
{
	struct authres ar;

	for (const struct field *f = m->set->first ? NULL : m->fields; f != NULL; f = f->next) {
		if (!str_eqiz(f->name, AUTHRES) || !authres_claims(f->value, m->set->authserv_id) || !authres_parse(m->life, f->value, &ar))
			continue;
		for (size_t i = 0; i < ar.count; i++) {
			buf_addz(out, ";\n\t");
			buf_add(out, header_unfold(m->life, ar.results[i].text));
		}
	}
}

static int add_results(struct sealing *s, const char *arc_result, struct err *e)
{
	struct buf value = { 0 };
	int status;

	buf_addf(&value, "i=%zu; ", s->instance);
	authres_add_value(&value, s->m->set->authserv_id);
	add_known_results(s->m, &value);
	buf_addf(&value, ";\n\t%s", arc_result);
	status = put(s, ARC_KIND_RESULTS, ARC_RESULTS, &value, e);
	buf_done(&value);
	return status;
}

static int add_signature(struct sealing *s, struct err *e)
{
	const struct arc_mail *a = s->m->own;
	struct buf value = { 0 };
	char first_tag[20];
	struct signature_spec spec = {
		.name = ARC_SIGNATURE,
		.first_tag = first_tag,
		.signer = &s->o->signer,
		.header_canon = CANON_RELAXED,
		.body_canon = CANON_RELAXED,
		.h = signature_names(s->m, s->o->sign_headers, s->o->sign_count, NULL, 0),
		.now = s->now,
		.body_digest = body_hash_end(a->body),
	};
	int status;

	snprintf(first_tag, sizeof first_tag, "i=%zu", s->instance);
	status = signature_write(s->m, &spec, &value, e);
	if (status == 0)
		status = put(s, ARC_KIND_SIGNATURE, ARC_SIGNATURE, &value, e);
	buf_done(&value);
	return status;
}

/* The chain so far, unless it fails, and our set. */
static void digest(struct sealing *s, const struct arc_chain *c, struct str value, unsigned char out[DIGEST_SIZE])
{
	bool alone = c->state == ARC_FAIL;
	size_t count = alone ? 0 : c->count;
	struct arc_set *sets = arena_alloc(s->m->life, (count + 1) * sizeof *sets);

	if (count > 0)
		memcpy(sets, c->sets, count * sizeof *sets);
	for (size_t k = 0; k < ARC_KINDS; k++)
		sets[count].field[k] = &s->fields[k];
	arc_seal_digest(sets, count + 1, signature_wire_value(s->m->life, value), out);
}

static int add_seal(struct sealing *s, const struct arc_chain *c, struct err *e)
{
	const struct signer *signer = &s->o->signer;
	unsigned char hash[DIGEST_SIZE];
	struct buf value = { 0 }, b = { 0 };
	int status;

	buf_addf(&value, "i=%zu; a=%s; cv=%s;\n\td=%s; s=%s;\n\tt=%lld;\n\tb=", s->instance, signer_algorithm(signer), s->cv,
		signer->domain, signer->selector, (long long)s->now);
	digest(s, c, buf_str(&value), hash);
	status = signer_sign(signer, hash, &b, e);
	signature_add_folded(&value, buf_str(&b), "\n\t ");
	if (status == 0)
		status = put(s, ARC_KIND_SEAL, ARC_SEAL, &value, e);
	buf_done(&value);
	buf_done(&b);
	return status;
}

int seal_add(struct mail *m, const char *arc_result, struct err *e)
{
	const struct arc_chain *c = ((struct arc_mail *)m->own)->chain;
	struct sealing s = {
		.m = m,
		.o = m->set->own,
		.instance = c->count + 1,
		.now = clock_wall_us() / 1000000,
		.cv = arc_state_name(c->state),
	};

	if (add_results(&s, arc_result, e) < 0 || add_signature(&s, e) < 0 || add_seal(&s, c, e) < 0)
		return -1;
	say_info("%s: sealed: i=%zu, cv=%s, d=%s, s=%s", m->queue_id, s.instance, s.cv, s.o->signer.domain, s.o->signer.selector);
	return 0;
}

/* milters/dmarc/override.c - mail that fails because somebody trusted passed it on, changed: RFC 8617 section 7.2.1. Each sealer of the
 * chain could have written what it likes into it, so all of them have to be trusted.
 */
#include "milters/common/say.h"
#include "milters/dmarc/dmarc.h"

static bool trusted(struct mail *m, struct str domain)
{
	const struct dmarc_options *o = m->set->own;
	enum table_answer answer;
	struct err e = ERR_INIT;

	say_lock();
	answer = matchlist_host(o->sealers, domain, &e);
	say_unlock();
	if (answer == TABLE_FAILED)
		say_warn("%s: dmarc_trusted_sealers: %s", m->queue_id, e.text);
	return answer == TABLE_FOUND;
}

bool override_possible(struct mail *m)
{
	const struct dmarc_options *o = m->set->own;
	bool any = false;

	if (o->sealers == NULL)
		return false;
	for (const struct field *f = m->fields; f != NULL; f = f->next) {
		struct taglist tags;
		const char *why;

		if (!str_eqiz(f->name, ARC_SEAL))
			continue;
		if (!taglist_parse(f->value, &tags, &why) || !trusted(m, arena_lower(m->life, taglist_get(&tags, "d"))))
			return false;
		any = true;
	}
	return any;
}

bool override_applies(struct mail *m, const struct arc_chain *c, struct str domain)
{
	struct authres ar;

	if (c->state != ARC_PASS || !arc_results(c, 0, m->life, &ar))
		return false;
	for (size_t i = 0; i < ar.count; i++) {
		const struct authres_result *r = &ar.results[i];
		struct str from = domain_normal(m->life, authres_property(r, "header", "from"));

		if (str_eqz(r->method, "dmarc") && str_eqz(r->result, "pass") && (from.n == 0 || str_eq(from, domain)))
			return true;
	}
	return false;
}

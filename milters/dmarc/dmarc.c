/* milters/dmarc/dmarc.c - the DMARC milter: judges a message by its author's domain's wishes and the results of those milters before it. */
#include "milters/dmarc/dmarc.h"

#include "milters/common/say.h"

struct dmarc_mail {
	struct from_domains from;
	struct identities known;
	struct evaluation verdicts[FROM_DOMAINS_MAX]; /* one for each From domain */
	struct arc_chain *chain; /* NULL: cannot change anything */
};

static bool fails(const struct dmarc_mail *d)
{
	for (size_t i = 0; i < d->from.count; i++)
		if (d->verdicts[i].result == RESULT_FAIL && d->verdicts[i].disposition != DMARC_NONE)
			return true;
	return false;
}

static int header(struct mail *m, struct err *e)
{
	const struct dmarc_options *o = m->set->own;
	struct dmarc_mail *d;

	(void)e; /* what has no answer is a temperror */
	if (m->trusted)
		return 0;
	d = m->own = arena_alloc(m->life, sizeof *d);
	from_read(m, &d->from);
	identities_read(m, &d->known);
	for (size_t i = 0; i < d->from.count; i++)
		evaluate(m, &d->known, d->from.domains[i], &d->verdicts[i]);
	if (fails(d) && override_possible(m))
		d->chain = arc_begin(m, o->min_key_bits);
	return 0;
}

static bool body(struct mail *m, struct str piece)
{
	struct dmarc_mail *d = m->own;

	return d != NULL && d->chain != NULL && arc_body(d->chain, piece);
}

/* ---- the end ---- */

static void apply_chain(struct mail *m, struct dmarc_mail *d)
{
	if (d->chain == NULL)
		return;
	arc_end(d->chain);
	for (size_t i = 0; i < d->from.count; i++) {
		struct evaluation *v = &d->verdicts[i];

		if (v->result == RESULT_FAIL && override_applies(m, d->chain, v->domain)) {
			v->disposition = DMARC_NONE;
			v->softened = "trusted_forwarder";
		}
	}
}

struct decision {
	enum dmarc_action action;
	const char *text; /* for the client, or the reason of a hold */
};

/* The failure whose domain is the strictest; NULL: none fails. */
static const struct evaluation *worst_of(const struct dmarc_mail *d, bool *temporary)
{
	const struct evaluation *worst = NULL;

	*temporary = false;
	for (size_t i = 0; i < d->from.count; i++) {
		const struct evaluation *v = &d->verdicts[i];

		*temporary = *temporary || v->result == RESULT_TEMPERROR;
		if (v->result == RESULT_FAIL && (worst == NULL || v->disposition > worst->disposition))
			worst = v;
	}
	return worst;
}

static struct decision decide(struct mail *m, const struct dmarc_mail *d)
{
	const struct dmarc_options *o = m->set->own;
	bool temporary;
	const struct evaluation *worst = worst_of(d, &temporary);
	enum dmarc_policy policy = worst == NULL ? DMARC_NONE : worst->disposition;
	const char *text =
		policy == DMARC_NONE
			? ""
			: arena_printf(m->life, "Not authenticated as its author's domain %.*s asks for (DMARC)", STRF(worst->domain)).p;

	if (policy == DMARC_REJECT)
		return (struct decision){ o->on_reject, text };
	if (d->from.problem != NULL && o->on_bad_from != ACT_ACCEPT)
		return (struct decision){ o->on_bad_from, "The author of this message cannot be told from its From field" };
	if (temporary && o->on_temperror != ACT_ACCEPT)
		return (struct decision){ o->on_temperror, "Whether its author's domain sent this message cannot be found out now" };
	return (struct decision){ policy == DMARC_QUARANTINE ? o->on_quarantine : ACT_ACCEPT, text };
}

static void add_spf(const struct mail *m, const struct dmarc_mail *d, struct buf *out)
{
	const struct identity *spf = &d->known.spf;

	if (spf->word.n == 0)
		return;
	buf_addf(out, "spf=%.*s smtp.%s=", STRF(spf->word), spf->helo ? "helo" : "mailfrom");
	authres_add_address(out, spf->helo ? m->helo : m->sender);
	buf_addz(out, ";\n\t");
}

static void add_verdict(const struct evaluation *v, struct buf *out)
{
	buf_addf(out, "dmarc=%s", dmarc_result_name(v->result));
	if (v->d.found == FOUND_RECORD)
		buf_addf(out, " (%s=%s dis=%s%s%s)", v->d.tag, dmarc_policy_name(v->d.policy), dmarc_policy_name(v->disposition),
			v->softened != NULL ? " " : "", v->softened != NULL ? v->softened : "");
	buf_addf(out, " header.from=%.*s", STRF(v->domain));
}

static void describe(const struct mail *m, const struct dmarc_mail *d, struct buf *out)
{
	add_spf(m, d, out);
	for (size_t i = 0; i < d->from.count; i++) {
		buf_addz(out, i > 0 ? ";\n\t" : "");
		add_verdict(&d->verdicts[i], out);
	}
	if (d->from.problem != NULL) {
		buf_addf(out, "%sdmarc=permerror", d->from.count > 0 ? ";\n\t" : "");
		authres_add_comment(out, str_z(d->from.problem));
	}
}

static int act(struct mail *m, struct decision what, struct err *e)
{
	if (what.action == ACT_REJECT)
		m->refusal = (struct refusal){ "550", "5.7.1", what.text };
	else if (what.action == ACT_TEMPFAIL)
		m->refusal = (struct refusal){ "451", "4.7.1", what.text };
	else if (what.action == ACT_QUARANTINE)
		return mail_quarantine(m, what.text, e);
	return 0;
}

static void tell(const struct mail *m, struct str results)
{
	struct buf line = { 0 };

	for (size_t i = 0; i < results.n; i++)
		if (results.p[i] != '\n')
			buf_addc(&line, results.p[i] == '\t' ? ' ' : results.p[i]);
	say_info("%s: %s", m->queue_id, buf_z(&line));
	buf_done(&line);
}

static int end(struct mail *m, struct err *e)
{
	struct dmarc_mail *d = m->own;
	struct buf results = { 0 };
	int status;

	if (mail_remove_forged(m, e) < 0)
		return -1;
	if (d == NULL)
		return 0;
	apply_chain(m, d);
	describe(m, d, &results);
	tell(m, buf_str(&results));
	status = act(m, decide(m, d), e);
	for (size_t i = 0; i < d->from.count; i++)
		rows_count(m, &d->known, &d->verdicts[i]);
	if (status == 0 && m->refusal.code == NULL)
		status = mail_insert_results(m, buf_str(&results), e);
	buf_done(&results);
	return status;
}

int main(int argc, char **argv)
{
	static const struct role role = {
		.name = "dmarc",
		.service = "DMARC",
		.socket = "dmarc_socket",
		.internal_hosts = "dmarc_internal_hosts",
		.dns_timeout = "dmarc_dns_timeout",
		.load = options_load,
		.unload = options_unload,
		.header = header,
		.body = body,
		.end = end,
	};

	return milter_main(&role, argc, argv);
}

/* milters/dmarc/identity.c - what is known about a message: signatures from the Authentication-Results fields that our milters put on top,
 * SPF from there, from policyd, or from the field it left in the message.
 */
#include "milters/common/say.h"
#include "milters/dmarc/dmarc.h"

static enum auth auth_of(struct str word)
{
	return str_eqz(word, "pass")                  ? AUTH_PASS
	       : str_eqz(word, "temperror")           ? AUTH_TEMPERROR
	       : word.n == 0 || str_eqz(word, "none") ? AUTH_NONE
						      : AUTH_FAIL;
}

static void take_dkim(struct mail *m, const struct authres_result *r, struct identities *out)
{
	struct identity *i = &out->dkim[out->dkim_count];

	if (out->dkim_count == DKIM_RESULTS_MAX || str_eqz(r->result, "none"))
		return;
	*i = (struct identity){ .result = auth_of(r->result), .word = r->result, .selector = authres_property(r, "header", "s") };
	i->domain = domain_normal(m->life, authres_property(r, "header", "d"));
	if (i->domain.n > 0)
		out->dkim_count++;
}

/* The domain SPF was checked for: of the sender, or HELO's when there is none. */
static void name_spf(struct mail *m, struct identity *spf)
{
	ptrdiff_t at = str_rchr(m->sender, '@');

	spf->helo = m->sender.n == 0;
	spf->domain = domain_normal(m->life, spf->helo ? m->helo : at < 0 ? STR_NONE : str_skip(m->sender, (size_t)at + 1));
}

static void set_spf(struct mail *m, struct str word, struct identities *out)
{
	if (word.n == 0)
		return;
	out->spf.result = auth_of(word);
	out->spf.word = word;
	name_spf(m, &out->spf);
}

/* A result counts for the identity it is about, and only the sender's (HELO's for a null sender) is DMARC's. */
static void take_spf(struct mail *m, const struct authres_result *r, struct identities *out)
{
	struct str sender = authres_property(r, "smtp", "mailfrom"), helo = authres_property(r, "smtp", "helo");
	ptrdiff_t at = str_rchr(sender, '@'), own = str_rchr(m->sender, '@');

	if (m->sender.n == 0 ? str_eqi(helo, m->helo) : str_eqi(str_skip(sender, (size_t)(at + 1)), str_skip(m->sender, (size_t)(own + 1))))
		set_spf(m, r->result, out);
}

static void read_results(struct mail *m, struct str value, struct identities *out)
{
	struct authres ar;

	if (!authres_claims(value, m->set->authserv_id) || !authres_parse(m->life, value, &ar))
		return;
	for (size_t i = 0; i < ar.count; i++) {
		if (str_eqz(ar.results[i].method, "dkim"))
			take_dkim(m, &ar.results[i], out);
		else if (str_eqz(ar.results[i].method, "spf") && out->spf.word.n == 0)
			take_spf(m, &ar.results[i], out);
	}
}

/* Received-SPF begins with the result (RFC 7208 section 9.1). */
static struct str spf_word(struct mail *m, struct str value)
{
	struct str rest = value;

	return arena_lower(m->life, str_word(&rest, " \t\r\n(;"));
}

static void ask_policyd(struct mail *m, struct str server, struct identities *out)
{
	struct err e = ERR_INIT;
	struct str value;

	if (policyd_ask_spf(m, server, &value, &e) == 0) {
		set_spf(m, value.n > 0 ? spf_word(m, value) : STR("none"), out);
		return;
	}
	say_warn("%s: SPF: %s", m->queue_id, e.text);
	set_spf(m, STR("temperror"), out);
}

void identities_read(struct mail *m, struct identities *out)
{
	const struct dmarc_options *o = m->set->own;
	const struct field *spf = mail_field(m, "Received-SPF", 1);

	*out = (struct identities){ .dkim_count = 0 };
	for (const struct field *f = m->set->first ? NULL : m->fields; f != NULL; f = f->next)
		if (str_eqiz(f->name, AUTHRES))
			read_results(m, f->value, out);
	if (out->spf.word.n > 0 || m->client.n == 0)
		return;
	if (o->spf_server.n > 0)
		ask_policyd(m, o->spf_server, out);
	else if (spf != NULL)
		set_spf(m, spf_word(m, spf->value), out);
}

/* milters/dkim/verify.c - verifying the signatures of a message: all keys are asked for at once, each signature is judged by itself. */
#include "lib/base/clock.h"
#include "milters/dkim/dkim.h"

/* ---- what libopendkim calls ---- */

/* Where the key is; empty: the signature does not say. */
static struct str key_name(struct mail *m, DKIM_SIGINFO *sig)
{
	const unsigned char *selector = dkim_sig_getselector(sig), *domain = dkim_sig_getdomain(sig);

	if (selector == NULL || domain == NULL)
		return STR_NONE;
	return arena_printf(m->life, "%s." DKIM_DNSKEYNAME ".%s", (const char *)selector, (const char *)domain);
}

/* RFC 8301 section 3.1: SHA-1 proves nothing any more. Syntax errors are the library's to tell; those need no key. */
static bool needs_key(struct check *c, DKIM_SIGINFO *sig)
{
	dkim_alg_t algorithm = DKIM_SIGN_UNKNOWN;

	c->sig = sig;
	if (dkim_sig_geterror(sig) > DKIM_SIGERROR_OK)
		return false;
	c->sha1 = dkim_sig_getsignalg(sig, &algorithm) == DKIM_STAT_OK && algorithm == DKIM_SIGN_RSASHA1;
	if (c->sha1)
		dkim_sig_ignore(sig);
	return !c->sha1;
}

/* All keys under way at once, then one after the other is waited for. A signature without an answer is put aside, or the library would stop
 * at it and not look at the others. */
static void fetch_keys(struct mail *m, struct check **wanted, size_t count)
{
	int64_t deadline = deadline_in(m->set->dns_timeout_ms);
	struct txt_query *queries[CHECKS_MAX];
	struct str names[CHECKS_MAX];

	for (size_t i = 0; i < count; i++)
		names[i] = key_name(m, wanted[i]->sig);
	txt_ask(names, count, queries);
	for (size_t i = 0; i < count; i++) {
		struct check *c = wanted[i];

		c->asked = true;
		c->answer = txt_wait_one(queries[i], deadline, STR("v=DKIM1"), m->life, &c->key);
		txt_done(queries[i]);
		if (c->answer == TXT_TEMPFAIL)
			dkim_sig_ignore(c->sig);
	}
}

/* All signatures of the message: choose those to verify and get their keys. */
static DKIM_CBSTAT prescreen(DKIM *dkim, DKIM_SIGINFO **sigs, int count)
{
	struct mail *m = dkim_get_user_context(dkim);
	const struct dkim_options *o = m->set->own;
	struct dkim_mail *d = m->own;
	struct check *wanted[CHECKS_MAX];
	size_t wanted_count = 0;

	for (int i = 0; i < count; i++) {
		struct check *c = &d->checks[d->check_count];

		if (d->check_count == o->max_signatures) {
			dkim_sig_ignore(sigs[i]);
			d->excess_count++;
			continue;
		}
		d->check_count++;
		if (needs_key(c, sigs[i]))
			wanted[wanted_count++] = c;
	}
	fetch_keys(m, wanted, wanted_count);
	return DKIM_CBSTAT_CONTINUE;
}

static DKIM_CBSTAT key_lookup(DKIM *dkim, DKIM_SIGINFO *sig, unsigned char *out, size_t size)
{
	const struct dkim_mail *d = ((struct mail *)dkim_get_user_context(dkim))->own;

	for (size_t i = 0; i < d->check_count; i++) {
		const struct check *c = &d->checks[i];

		if (c->sig != sig)
			continue;
		if (!c->asked || c->answer != TXT_FOUND || c->key.n >= size)
			return DKIM_CBSTAT_NOTFOUND;
		memcpy(out, c->key.p, c->key.n);
		out[c->key.n] = '\0';
		return DKIM_CBSTAT_CONTINUE;
	}
	return DKIM_CBSTAT_NOTFOUND;
}

void verify_set_hooks(DKIM_LIB *lib)
{
	(void)dkim_set_prescreen(lib, prescreen);
	(void)dkim_set_key_lookup(lib, key_lookup);
}

/* ---- a message ---- */

int verify_header(struct mail *m, struct err *e)
{
	const struct dkim_options *o = m->set->own;
	struct dkim_mail *d = m->own;
	DKIM_STAT status = DKIM_STAT_OK;

	/* In mode "both" our own people's mail is signed, not judged. */
	d->verifying = (o->mode & MODE_VERIFY) && !((o->mode & MODE_SIGN) && m->trusted);
	if (!d->verifying || m->too_large || mail_field(m, DKIM_SIGNHEADER, 1) == NULL)
		return 0;
	d->verify = dkim_verify(o->lib, (const unsigned char *)m->queue_id, NULL, &status);
	if (d->verify == NULL)
		return err_temp(e, "cannot verify: %s", dkim_getresultstr(status));
	(void)dkim_set_user_context(d->verify, m);
	/* Those it cannot take are no header fields; they are left out. */
	for (const struct field *f = m->fields; f != NULL; f = f->next)
		(void)dkim_header(d->verify, (unsigned char *)(uintptr_t)f->text.p, f->text.n);
	d->header_status = dkim_eoh(d->verify);
	return 0;
}

static void no_result(const struct mail *m, struct buf *value)
{
	const struct dkim_mail *d = m->own;

	if (m->too_large)
		buf_add(value, STR("dkim=neutral (more header than is looked at)"));
	else if (d->verify == NULL)
		buf_add(value, STR("dkim=none"));
	else if (d->header_status == DKIM_STAT_SYNTAX)
		buf_add(value, STR("dkim=permerror (header fields are missing or malformed)"));
	else
		buf_addf(value, "dkim=permerror (%s)", dkim_getresultstr(d->header_status));
}

enum verdict verify_end(struct mail *m, struct buf *value, struct buf *line)
{
	enum verdict all = VERDICT_NONE;
	struct dkim_mail *d = m->own;

	if (d->verify != NULL)
		(void)dkim_eom(d->verify, NULL); /* each signature knows more than this answer */
	for (size_t i = 0; i < d->check_count; i++) {
		size_t from;
		enum verdict one;

		buf_add(value, i > 0 ? STR(";\n\t") : STR_NONE);
		from = value->n;
		one = result_of_check(d, &d->checks[i], value);
		buf_add(line, i > 0 ? STR("; ") : STR_NONE);
		buf_add(line, str_skip(buf_str(value), from));
		/* One good signature is enough; else a key that may come later keeps the door open. */
		if (all == VERDICT_NONE || one < all)
			all = one;
	}
	if (d->check_count == 0) {
		no_result(m, value);
		buf_add(line, buf_str(value));
	}
	return all;
}

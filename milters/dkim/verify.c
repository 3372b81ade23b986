/* milters/dkim/verify.c - verifying the signatures of a message: all keys are asked for at once, each signature is judged by itself. */
#include "lib/base/clock.h"
#include "milters/common/authres.h"
#include "milters/dkim/dkim.h"

/* ---- what libopendkim calls ---- */

static void ask_for_key(struct check *c)
{
	const unsigned char *selector = dkim_sig_getselector(c->sig), *domain = dkim_sig_getdomain(c->sig);
	struct buf name = { 0 };

	if (selector == NULL || domain == NULL)
		return;
	buf_addf(&name, "%s." DKIM_DNSKEYNAME ".%s", (const char *)selector, (const char *)domain);
	c->query = txt_ask(buf_z(&name));
	buf_done(&name);
}

/* RFC 8301 section 3.1: SHA-1 proves nothing any more. Syntax errors are the library's to tell; those need no key. */
static void start_check(struct check *c, DKIM_SIGINFO *sig)
{
	dkim_alg_t algorithm = DKIM_SIGN_UNKNOWN;

	c->sig = sig;
	if (dkim_sig_geterror(sig) > DKIM_SIGERROR_OK)
		return;
	c->sha1 = dkim_sig_getsignalg(sig, &algorithm) == DKIM_STAT_OK && algorithm == DKIM_SIGN_RSASHA1;
	if (c->sha1)
		dkim_sig_ignore(sig);
	else
		ask_for_key(c);
}

/* All signatures of the message: choose those to verify and get their keys. One without an answer is put aside, or the library would stop
 * at it and not look at the others. */
static DKIM_CBSTAT prescreen(DKIM *d, DKIM_SIGINFO **sigs, int count)
{
	struct message *m = dkim_get_user_context(d);

	for (int i = 0; i < count; i++) {
		if (m->check_count < m->policy->max_signatures) {
			start_check(&m->checks[m->check_count++], sigs[i]);
		} else {
			dkim_sig_ignore(sigs[i]);
			m->excess_count++;
		}
	}
	for (size_t i = 0; i < m->check_count; i++) {
		struct check *c = &m->checks[i];

		if (c->query == NULL)
			continue;
		c->answer = txt_wait(c->query, m->key_deadline_ms, STR("v=DKIM1"), &c->key);
		if (c->answer == TXT_TEMPFAIL)
			dkim_sig_ignore(c->sig);
	}
	return DKIM_CBSTAT_CONTINUE;
}

static DKIM_CBSTAT key_lookup(DKIM *d, DKIM_SIGINFO *sig, unsigned char *out, size_t size)
{
	struct message *m = dkim_get_user_context(d);

	for (size_t i = 0; i < m->check_count; i++) {
		struct check *c = &m->checks[i];

		if (c->sig != sig)
			continue;
		if (c->query == NULL || c->answer != TXT_FOUND || c->key.n >= size)
			return DKIM_CBSTAT_NOTFOUND;
		memcpy(out, buf_z(&c->key), c->key.n + 1);
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

int verify_header(struct message *m, struct err *e)
{
	DKIM_STAT status = DKIM_STAT_OK;

	/* In mode "both" our own people's mail is signed, not judged. */
	m->verifying = (m->policy->mode & MODE_VERIFY) && !((m->policy->mode & MODE_SIGN) && m->trusted);
	if (!m->verifying || m->too_large || message_field(m, DKIM_SIGNHEADER, 1) == NULL)
		return 0;
	m->verify = dkim_verify(m->policy->lib, (const unsigned char *)m->queue_id, NULL, &status);
	if (m->verify == NULL)
		return err_temp(e, "cannot verify: %s", dkim_getresultstr(status));
	m->key_deadline_ms = deadline_in(m->policy->dns_timeout_ms);
	(void)dkim_set_user_context(m->verify, m);
	message_feed_header(m, m->verify);
	m->header_status = dkim_eoh(m->verify);
	return 0;
}

static void no_result(const struct message *m, struct buf *value)
{
	if (m->too_large)
		buf_add(value, STR("dkim=neutral (more header than is looked at)"));
	else if (m->verify == NULL)
		buf_add(value, STR("dkim=none"));
	else if (m->header_status == DKIM_STAT_SYNTAX)
		buf_add(value, STR("dkim=permerror (header fields are missing or malformed)"));
	else
		buf_addf(value, "dkim=permerror (%s)", dkim_getresultstr(m->header_status));
}

enum verdict verify_end(struct message *m, struct buf *value, struct buf *line)
{
	enum verdict all = VERDICT_NONE;

	if (m->verify != NULL)
		(void)dkim_eom(m->verify, NULL); /* each signature knows more than this answer */
	for (size_t i = 0; i < m->check_count; i++) {
		size_t from = value->n;
		enum verdict one;

		buf_add(value, i > 0 ? STR(";\n\t") : STR_NONE);
		from = value->n;
		one = result_of_check(m, &m->checks[i], value);
		buf_add(line, i > 0 ? STR("; ") : STR_NONE);
		buf_add(line, str_skip(buf_str(value), from));
		/* One good signature is enough; else a key that may come later keeps the door open. */
		if (all == VERDICT_NONE || one < all)
			all = one;
	}
	if (m->check_count == 0) {
		no_result(m, value);
		buf_add(line, buf_str(value));
	}
	return all;
}

/* milters/dkim/sign.c - signing what our own people send. */
#include "lib/mail/addr.h"
#include "lib/mail/header.h"
#include "milters/common/say.h"
#include "milters/dkim/dkim.h"

#define B_PIECE 66 /* octets of the signature on a line */

/* The address the message says it is from; empty when there is none, or more than one From field: nobody to sign for. */
static struct str author(struct message *m)
{
	const struct field *from = message_field(m, "From", 1);
	struct str *list;

	if (from == NULL || message_field(m, "From", 2) != NULL)
		return STR_NONE;
	return header_addresses(m->life, str_z(from->value), &list) == 0 ? STR_NONE : list[0];
}

static int begin(struct message *m, size_t i, struct err *e)
{
	const struct signer *s = &m->signers[i];
	const struct policy *p = m->policy;
	DKIM_STAT status = DKIM_STAT_OK;

	m->sign[i] =
		dkim_sign(p->lib, (const unsigned char *)m->queue_id, NULL, (dkim_sigkey_t)s->key->pem, (const unsigned char *)s->selector,
			(const unsigned char *)s->domain, p->header_canon, p->body_canon, s->key->algorithm, -1, &status);
	if (m->sign[i] == NULL)
		return err_temp(e, "cannot sign for %s: %s", s->domain, dkim_getresultstr(status));
	/* Where the library folds depends on what is in b=, which it does not know yet when it computes the signature: with "simple" that
	 * matters, and short (Ed25519) signatures came out wrong. One long line, then; sign_end() folds inside b=, which does not count. */
	if (p->header_canon == DKIM_CANON_SIMPLE)
		(void)dkim_set_margin(m->sign[i], 0);
	message_feed_header(m, m->sign[i]);
	status = dkim_eoh(m->sign[i]);
	if (status != DKIM_STAT_OK)
		return err_temp(e, "cannot sign for %s: %s", s->domain, dkim_getresultstr(status));
	return 0;
}

int sign_header(struct message *m, struct err *e)
{
	struct str from;
	ptrdiff_t count;

	if (!(m->policy->mode & MODE_SIGN) || !m->trusted || m->too_large)
		return 0;
	from = author(m);
	if (from.n == 0 || addr_split(from).domain.n == 0) {
		say_info("%s: not signed: not from exactly one address", m->queue_id);
		return 0;
	}
	count = signers_find(m->policy, from, m->life, m->signers, e);
	if (count < 0)
		return -1;
	m->sign_count = (size_t)count;
	for (size_t i = 0; i < m->sign_count; i++)
		if (begin(m, i, e) < 0)
			return -1;
	return 0;
}

/* Milters fold with LF alone. */
static void add_value(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\r')
			buf_addc(out, text.p[i]);
}

/* All behind "; b=" in pieces; the signature is the last tag. */
static void add_value_folding_b(struct buf *out, struct str text)
{
	ptrdiff_t tag = str_find(text, STR("; b="));
	size_t at = tag < 0 ? text.n : (size_t)tag + 4;

	buf_add(out, str_sub(text, 0, at));
	for (; at < text.n; at += B_PIECE) {
		buf_add(out, STR("\n\t "));
		buf_add(out, str_sub(text, at, B_PIECE));
	}
}

int sign_end(struct message *m, size_t i, struct buf *value, struct err *e)
{
	unsigned char *text = NULL;
	size_t n = 0;
	DKIM_STAT status = dkim_eom(m->sign[i], NULL);

	if (status == DKIM_STAT_OK)
		status = dkim_getsighdr_d(m->sign[i], strlen(DKIM_SIGNHEADER ": "), &text, &n);
	if (status != DKIM_STAT_OK)
		return err_temp(e, "cannot sign for %s: %s", m->signers[i].domain, dkim_getresultstr(status));
	if (m->policy->header_canon == DKIM_CANON_SIMPLE)
		add_value_folding_b(value, str_n((const char *)text, n));
	else
		add_value(value, str_n((const char *)text, n));
	return 0;
}

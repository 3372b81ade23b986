/* milters/dkim/sign.c - signing what our own people send. */
#include "lib/mail/addr.h"
#include "lib/mail/header.h"
#include "milters/common/say.h"
#include "milters/dkim/dkim.h"

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

int sign_end(struct message *m, size_t i, struct buf *value, struct err *e)
{
	unsigned char *text = NULL;
	size_t n = 0;
	DKIM_STAT status = dkim_eom(m->sign[i], NULL);

	if (status == DKIM_STAT_OK)
		status = dkim_getsighdr_d(m->sign[i], strlen(DKIM_SIGNHEADER ": "), &text, &n);
	if (status != DKIM_STAT_OK)
		return err_temp(e, "cannot sign for %s: %s", m->signers[i].domain, dkim_getresultstr(status));
	for (size_t at = 0; at < n; at++)
		if (text[at] != '\r') /* milters fold with LF alone */
			buf_addc(value, (char)text[at]);
	return 0;
}

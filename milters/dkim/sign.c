/* milters/dkim/sign.c - signing what our own people send. The signatures are made here and not by libopendkim: that reads the key again for
 * each message, loses some memory with each Ed25519 one, and folds "simple" ones so that they do not verify.
 */
#include "lib/base/clock.h"
#include "lib/mail/addr.h"
#include "lib/mail/header.h"
#include "milters/common/say.h"
#include "milters/dkim/dkim.h"

/* The address the message says it is from; empty when there is none, or more than one From field: nobody to sign for. */
static struct str author(struct mail *m)
{
	const struct field *from = mail_field(m, "From", 1);
	struct str *list;

	if (from == NULL || mail_count(m, "From") > 1)
		return STR_NONE;
	return header_addresses(m->life, from->value, &list) == 0 ? STR_NONE : list[0];
}

int sign_header(struct mail *m, struct err *e)
{
	struct dkim_options *o = m->set->own;
	struct dkim_mail *d = m->own;
	struct str from;
	ptrdiff_t count;

	if (!(o->mode & MODE_SIGN) || !m->trusted || m->too_large)
		return 0;
	from = author(m);
	if (from.n == 0 || addr_split(from).domain.n == 0) {
		say_info("%s: not signed: not from exactly one address", m->queue_id);
		return 0;
	}
	count = signers_find(o, from, m->life, d->signers, e);
	if (count < 0)
		return -1;
	d->sign_count = (size_t)count;
	if (count > 0)
		d->body = body_hash_new(m->life, o->body_canon, -1);
	return 0;
}

static int sign_one(struct mail *m, const struct signature_spec *spec, struct err *e)
{
	struct buf value = { 0 };
	int status = signature_write(m, spec, &value, e);

	if (status == 0)
		status = mail_insert_field(m, spec->name, buf_str(&value), e);
	buf_done(&value);
	if (status == 0)
		say_info("%s: signed: d=%s, s=%s", m->queue_id, spec->signer->domain, spec->signer->selector);
	return status;
}

/* The last comes first to the top. */
int sign_end(struct mail *m, struct err *e)
{
	struct dkim_options *o = m->set->own;
	struct dkim_mail *d = m->own;
	int64_t now = clock_wall_us() / 1000000;
	struct signature_spec spec = {
		.name = DKIM_SIGNHEADER,
		.first_tag = "v=1",
		.header_canon = o->header_canon,
		.body_canon = o->body_canon,
		.now = now,
		.expires = o->expiry_s > 0 ? now + o->expiry_s : 0,
	};

	if (d->sign_count == 0)
		return 0;
	spec.body_digest = body_hash_end(d->body);
	spec.h = signature_names(m, o->sign_headers, o->sign_count, o->oversign_headers, o->oversign_count);
	for (size_t i = d->sign_count; i-- > 0;) {
		spec.signer = &d->signers[i];
		if (sign_one(m, &spec, e) < 0)
			return -1;
	}
	return 0;
}

/* milters/dkim/dkim.c - the DKIM milter: verifies and signs, RFC 6376, 8301 and 8463. */
#include "milters/dkim/dkim.h"

#include "milters/common/say.h"

static int header(struct mail *m, struct err *e)
{
	m->own = arena_alloc(m->life, sizeof(struct dkim_mail));
	return sign_header(m, e) < 0 || verify_header(m, e) < 0 ? -1 : 0;
}

static bool body(struct mail *m, struct str piece)
{
	struct dkim_mail *d = m->own;

	if (d->verify != NULL)
		(void)dkim_body(d->verify, (unsigned char *)(uintptr_t)piece.p, piece.n);
	if (d->body != NULL)
		body_hash_feed(d->body, piece);
	return d->verify != NULL || d->body != NULL;
}

/* RFC 7372 section 3.1 has the codes. */
static bool refuses(struct mail *m, enum on_trouble what, enum verdict verdict)
{
	const char *text = verdict == VERDICT_TEMPERROR ? "DKIM key cannot be had, try again later" : "No passing DKIM signature found";

	if (what == ON_ACCEPT)
		return false;
	m->refusal = (struct refusal){ what == ON_REJECT ? "550" : "451", what == ON_REJECT ? "5.7.20" : "4.7.20", text };
	return true;
}

static int end_verify(struct mail *m, struct err *e)
{
	const struct dkim_options *o = m->set->own;
	const struct dkim_mail *d = m->own;
	struct buf results = { 0 }, line = { 0 };
	enum verdict verdict = verify_end(m, &results, &line);
	int status = 0;

	say_info("%s: %s", m->queue_id, buf_z(&line));
	if (d->excess_count > 0)
		say_info("%s: %zu more signatures not looked at", m->queue_id, d->excess_count);
	if (!(verdict == VERDICT_FAIL && refuses(m, o->on_fail, verdict)) &&
		!(verdict == VERDICT_TEMPERROR && refuses(m, o->on_temperror, verdict))) {
		status = mail_remove_forged(m, e);
		if (status == 0)
			status = mail_insert_results(m, buf_str(&results), e);
	}
	buf_done(&results);
	buf_done(&line);
	return status;
}

static int end(struct mail *m, struct err *e)
{
	const struct dkim_mail *d = m->own;

	if (d->verifying ? end_verify(m, e) < 0 : mail_remove_forged(m, e) < 0)
		return -1;
	return m->refusal.code != NULL ? 0 : sign_end(m, e);
}

static void forget(struct mail *m)
{
	struct dkim_mail *d = m->own;

	if (d != NULL && d->verify != NULL)
		dkim_free(d->verify);
}

int main(int argc, char **argv)
{
	static const struct role role = {
		.name = "dkim",
		.service = "DKIM",
		.socket = "dkim_socket",
		.internal_hosts = "dkim_internal_hosts",
		.dns_timeout = "dkim_dns_timeout",
		.load = options_load,
		.unload = options_unload,
		.header = header,
		.body = body,
		.end = end,
		.forget = forget,
	};

	return milter_main(&role, argc, argv);
}

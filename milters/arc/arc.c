/* milters/arc/arc.c - the ARC milter: verifies the chain of a message and seals what is passed on, RFC 8617. */
#include "milters/arc/arc.h"

#include "milters/common/say.h"

static const struct choice modes[] = {
	{ "verify", ARC_VERIFY },
	{ "seal", ARC_VERIFY | ARC_SEALS },
	{ NULL, 0 },
};

static int load_signer(struct settings *s, struct arc_options *o, struct err *e)
{
	struct str entry = str_trim(str_z(conf_str(s->conf, "arc_seal")));

	if (entry.n == 0)
		return err_perm(e, "arc_mode = seal needs arc_seal");
	return signer_parse(o->keys, "arc_seal", entry, s->life, &o->signer, e);
}

static int load(struct settings *s, struct err *e)
{
	struct arc_options *o = arena_alloc(s->life, sizeof *o);
	int mode;

	s->own = o;
	o->min_key_bits = (unsigned)conf_int(s->conf, "dkim_min_key_bits");
	o->keys = keyring_new(conf_dir(s->conf), o->min_key_bits);
	o->sign_count = conf_list(s->life, conf_str(s->conf, "arc_sign_headers"), &o->sign_headers);
	if (settings_choose(s, "arc_mode", modes, &mode, e) < 0)
		return -1;
	o->mode = (unsigned)mode;
	return o->mode & ARC_SEALS ? load_signer(s, o, e) : 0;
}

static void unload(struct settings *s)
{
	struct arc_options *o = s->own;

	if (o != NULL)
		keyring_free(o->keys);
}

static int header(struct mail *m, struct err *e)
{
	const struct arc_options *o = m->set->own;
	struct arc_mail *a = m->own = arena_alloc(m->life, sizeof *a);

	(void)e; /* whatever is wrong is wrong with the message */
	if (m->trusted)
		return 0;
	a->chain = arc_begin(m, o->min_key_bits);
	if ((o->mode & ARC_SEALS) && seal_possible(a->chain))
		a->body = body_hash_new(m->life, CANON_RELAXED, -1);
	return 0;
}

static bool body(struct mail *m, struct str piece)
{
	struct arc_mail *a = m->own;

	if (a->body != NULL)
		body_hash_feed(a->body, piece);
	return (a->chain != NULL && arc_body(a->chain, piece)) || a->body != NULL;
}

static void describe(struct mail *m, const struct arc_chain *c, struct buf *out)
{
	buf_addf(out, "arc=%s", arc_state_name(c->state));
	if (c->why != NULL)
		authres_add_comment(out, str_z(c->why));
	else if (c->state == ARC_PASS)
		buf_addf(out, " (i=%zu)", c->count);
	if (c->count > 0 && c->state != ARC_NONE && c->sets[c->count - 1].field[ARC_KIND_SEAL] != NULL) {
		buf_addz(out, " header.d=");
		authres_add_address(out, arc_domain(c, c->count - 1));
	}
	if (m->client.n > 0) {
		buf_addz(out, " smtp.remote-ip=");
		authres_add_value(out, m->client);
	}
}

static int end(struct mail *m, struct err *e)
{
	struct arc_mail *a = m->own;
	struct buf result = { 0 };
	int status;

	if (mail_remove_forged(m, e) < 0)
		return -1;
	if (a->chain == NULL)
		return 0;
	arc_end(a->chain);
	describe(m, a->chain, &result);
	say_info("%s: %s", m->queue_id, buf_z(&result));
	status = mail_insert_results(m, buf_str(&result), e);
	if (status == 0 && a->body != NULL)
		status = seal_add(m, buf_z(&result), e);
	buf_done(&result);
	return status;
}

int main(int argc, char **argv)
{
	static const struct role role = {
		.name = "arc",
		.service = "ARC",
		.socket = "arc_socket",
		.internal_hosts = "arc_internal_hosts",
		.dns_timeout = "arc_dns_timeout",
		.load = load,
		.unload = unload,
		.header = header,
		.body = body,
		.end = end,
	};

	return milter_main(&role, argc, argv);
}

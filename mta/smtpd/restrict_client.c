/* mta/smtpd/restrict_client.c - restrictions about the client: its address, its names, its login, its encryption. */
#include "lib/base/log.h"
#include "lib/net/stream.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

/* A list that cannot be read does not permit; it defers, for the client may be one of ours. */
static enum verdict permit_listed(struct check *c, const struct matchlist *list)
{
	struct err e = ERR_INIT;

	switch (matchlist_addr(list, c->s->client.addr, &e)) {
	case TABLE_FOUND:
		return CHECK_OK;
	case TABLE_MISSING:
		return CHECK_DUNNO;
	case TABLE_FAILED:
		break;
	}
	log_warn("%s", e.text);
	return check_trouble(c, CODE(451, 4, 3, 0), "<%.*s>: Temporary lookup failure", STRF(c->s->client.addr));
}

enum verdict permit_mynetworks(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return permit_listed(c, cf.mynetworks);
}

enum verdict permit_inet_interfaces(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return permit_listed(c, cf.own_addresses);
}

enum verdict permit_sasl_authenticated(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return c->s->sasl_user.n > 0 ? CHECK_OK : CHECK_DUNNO;
}

/* relay_clientcerts names certificates, or their keys, by fingerprint: who certified them does not matter. */
enum verdict permit_tls_clientcerts(struct check *c, const struct rule *r)
{
	const struct ccert *cert = &c->s->ccert;
	struct str keys[] = { cert->fingerprint, cert->key_fingerprint };
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	enum table_answer answer = TABLE_MISSING;

	(void)r; /* takes no argument */
	for (size_t i = 0; i < 2 && answer == TABLE_MISSING && keys[i].n > 0; i++)
		answer = tables_lookup(&cf.relay_clientcerts, keys[i], &value, &e);
	buf_done(&value);
	if (answer != TABLE_FAILED)
		return answer == TABLE_FOUND ? CHECK_OK : CHECK_DUNNO;
	log_warn("relay_clientcerts: %s", e.text);
	return check_trouble(c, CODE(451, 4, 3, 0), "<%.*s>: Temporary lookup failure", STRF(c->s->client.namaddr));
}

enum verdict permit_tls_all_clientcerts(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return c->s->ccert.trusted ? CHECK_OK : CHECK_DUNNO;
}

/* The configured code when there is no name; 450 when the DNS could not tell. */
static short name_code(enum name_status status)
{
	return status == NAME_TEMP ? 450 : (short)cf.code_unknown_client;
}

enum verdict reject_unknown_client_hostname(struct check *c, const struct rule *r)
{
	const struct client *cl = &c->s->client;

	(void)r; /* takes no argument */
	if (cl->name_status == NAME_OK)
		return CHECK_DUNNO;
	return check_reject(c, CODE(name_code(cl->name_status), 4, 7, 25), "Client host rejected: cannot find your hostname, [%.*s]",
		STRF(cl->addr));
}

enum verdict reject_unknown_reverse_hostname(struct check *c, const struct rule *r)
{
	const struct client *cl = &c->s->client;

	(void)r; /* takes no argument */
	if (cl->reverse_status == NAME_OK)
		return CHECK_DUNNO;
	return check_reject(c, CODE(name_code(cl->reverse_status), 4, 7, 1),
		"Client host rejected: cannot find your reverse hostname, [%.*s]", STRF(cl->addr));
}

enum verdict reject_plaintext_session(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	if (stream_tls(c->s->io) != NULL)
		return CHECK_DUNNO;
	return check_reject(c, CODE((short)cf.code_plaintext, 4, 7, 1), "Session encryption is required");
}

/* mta/smtpd/restrict_helo.c - restrictions about the name in HELO and EHLO: RFC 5321 sections 2.3.5 and 4.1.3. */
#include "lib/base/clock.h"
#include "lib/mail/addr.h"
#include "lib/mail/ip.h"
#include "lib/net/dns.h"
#include "mta/smtpd/action.h"
#include "mta/smtpd/domain.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

static enum verdict refuse(struct check *c, int64_t smtp, struct code code, const char *why)
{
	code.smtp = (short)smtp;
	return check_reject_about(c, code, c->s->helo, "Helo command", str_z(why));
}

static enum verdict bad_literal(struct check *c)
{
	return refuse(c, cf.code_invalid_hostname, CODE(501, 5, 5, 2), "invalid ip address");
}

static struct str without_dot(struct str name)
{
	return name.n > 1 && name.p[name.n - 1] == '.' ? str_sub(name, 0, name.n - 1) : name;
}

static bool is_literal(struct str name)
{
	return name.n > 0 && name.p[0] == '[';
}

enum verdict reject_invalid_helo_hostname(struct check *c, const struct rule *r)
{
	struct str helo = c->s->helo, ip;
	struct ip parsed;

	(void)r; /* takes no argument */
	if (helo.n == 0)
		return CHECK_DUNNO;
	if (is_literal(helo) || str_chr(helo, ':') >= 0)
		return addr_literal(helo, &ip) ? CHECK_DUNNO : bad_literal(c);
	if (addr_hostname_valid(without_dot(helo)) || ip_parse(helo, &parsed))
		return CHECK_DUNNO; /* Postfix lets a naked address pass here: reject_non_fqdn_helo_hostname is for it */
	return refuse(c, cf.code_invalid_hostname, CODE(501, 5, 5, 2), "Invalid name");
}

enum verdict reject_non_fqdn_helo_hostname(struct check *c, const struct rule *r)
{
	struct str helo = without_dot(c->s->helo), ip;

	(void)r; /* takes no argument */
	if (helo.n == 0)
		return CHECK_DUNNO;
	if (is_literal(helo))
		return addr_literal(helo, &ip) ? CHECK_DUNNO : bad_literal(c);
	if (addr_hostname_valid(helo) && str_chr(helo, '.') > 0)
		return CHECK_DUNNO;
	return refuse(c, cf.code_non_fqdn, CODE(504, 5, 5, 2), "need fully-qualified hostname");
}

enum verdict reject_unknown_helo_hostname(struct check *c, const struct rule *r)
{
	struct str helo = without_dot(c->s->helo);

	(void)r; /* takes no argument */
	if (helo.n == 0 || is_literal(helo))
		return CHECK_DUNNO;
	switch (domain_answers(c->s, helo)) {
	case DOMAIN_EXISTS:
	case DOMAIN_NULL_MX:
		return CHECK_DUNNO;
	case DOMAIN_UNSURE:
		return domain_unsure(c, cf.unknown_helo_tempfail, CODE(450, 4, 7, 1), c->s->helo, "Helo command", "Host not found");
	case DOMAIN_MISSING:
		break;
	}
	return refuse(c, cf.code_unknown_hostname, CODE(450, 4, 7, 1), "Host not found");
}

/* Old: clients that say their address without brackets. */
enum verdict permit_naked_ip_address(struct check *c, const struct rule *r)
{
	struct ip parsed;

	(void)r; /* takes no argument */
	return c->s->helo.n > 0 && ip_parse(c->s->helo, &parsed) ? CHECK_OK : CHECK_DUNNO;
}

/* mta/smtpd/domain.c - one question behind the reject_unknown_* restrictions: has this domain an MX or an address? RFC 5321 section 5. */
#include "mta/smtpd/domain.h"

#include "lib/base/clock.h"
#include "lib/net/dns.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define PATIENCE_MS 20000

static enum domain_state ask_address(struct session *s, struct str domain, int64_t by)
{
	struct sock_addr *addrs = NULL;
	size_t count = 0;

	switch (dns_addresses(session_scratch(s), domain, 3, by, &addrs, &count)) {
	case DNS_OK:
		return DOMAIN_EXISTS;
	case DNS_TEMPFAIL:
		return DOMAIN_UNSURE;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
	case DNS_BADNAME:
		break;
	}
	return DOMAIN_MISSING;
}

enum domain_state domain_answers(struct session *s, struct str domain)
{
	struct dns_answer mx;
	int64_t by = deadline_in(PATIENCE_MS);

	dns_ask(session_scratch(s), domain, DNS_MX, by, &mx);
	if (mx.result == DNS_OK)
		return mx.count == 1 && (mx.records[0].name.n == 0 || str_eqz(mx.records[0].name, ".")) ? DOMAIN_NULL_MX /* RFC 7505 */
													 : DOMAIN_EXISTS;
	if (mx.result == DNS_TEMPFAIL)
		return DOMAIN_UNSURE;
	return mx.result == DNS_NXDOMAIN || mx.result == DNS_BADNAME ? DOMAIN_MISSING : ask_address(s, domain, by);
}

enum verdict domain_unsure(struct check *c, const char *action, struct code code, struct str name, const char *klass, const char *why)
{
	struct str text = arena_printf(session_scratch(c->s), "<%.*s>: %s rejected: %s", STRF(name), klass, why);

	return check_tempfail(c, action, code, text);
}

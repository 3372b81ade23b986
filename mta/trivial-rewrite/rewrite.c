/* mta/trivial-rewrite/rewrite.c - bring an address into the standard form user@fully.qualified, whatever form it came in. */
#include "lib/mail/addr.h"
#include "mta/trivial-rewrite/routing.h"

/* "@one,@two:user@domain" to "user@domain". RFC 5321 section 4.1.1.3: the route may be ignored. */
static struct str without_route(struct str address)
{
	ptrdiff_t colon;

	while (address.n > 0 && address.p[0] == '@' && (colon = str_chr(address, ':')) > 0) {
		if (str_any(str_sub(address, 0, (size_t)colon), "[\"") >= 0)
			break; /* "@[IPv6:...": the colon is none of a route */
		address = str_skip(address, (size_t)colon + 1);
	}
	return address;
}

/* "user@domain." to "user@domain"; two dots are an error that stays. */
static struct str without_last_dot(struct str address)
{
	if (address.n > 1 && address.p[address.n - 1] == '.' && address.p[address.n - 2] != '.' && address.p[address.n - 2] != '@')
		address.n--;
	return address;
}

/* "site!user" to "user@site", "user%domain" to "user@domain"; only for an address that has no domain. */
static struct str without_old_routing(const struct routing *r, struct arena *a, struct str address)
{
	ptrdiff_t bang = r->swap_bangpath ? str_chr(address, '!') : -1;
	ptrdiff_t percent;
	struct str host;

	if (bang >= 0) {
		host = str_sub(address, 0, (size_t)bang);
		address = str_skip(address, (size_t)bang + 1);
		return arena_printf(a, "%.*s@%.*s", STRF(address), STRF(host));
	}
	percent = r->percent_hack ? str_rchr(address, '%') : -1;
	if (percent >= 0) {
		host = str_skip(address, (size_t)percent + 1);
		address = str_sub(address, 0, (size_t)percent);
		return arena_printf(a, "%.*s@%.*s", STRF(address), STRF(host));
	}
	return address;
}

static bool has_domain(struct str address)
{
	return addr_split(address).domain.n > 0 || (address.n > 0 && address.p[address.n - 1] == '@');
}

struct str rewrite_address(const struct routing *r, struct arena *a, struct str address, bool local_context)
{
	struct addr parts;

	address = without_last_dot(without_route(address));
	if (address.n == 0 || str_eqz(address, "@"))
		return STR_NONE;
	if (!has_domain(address))
		address = without_last_dot(without_old_routing(r, a, address));
	if (!has_domain(address)) {
		const char *domain = local_context ? (r->append_at_myorigin ? r->myorigin : "") : r->remote_domain;

		return *domain == '\0' ? address : arena_printf(a, "%.*s@%s", STRF(address), domain);
	}
	parts = addr_split(address);
	if (parts.domain.n > 0 && parts.domain.p[0] != '[' && str_chr(parts.domain, '.') < 0) {
		const char *domain = local_context ? (r->append_dot_mydomain ? r->mydomain : "") : r->remote_domain;

		if (*domain != '\0')
			return arena_printf(a, "%.*s.%s", STRF(address), domain);
	}
	return address;
}

/* t/unit/early.c - early checks: entries of postscreen_dnsbl_sites, and postscreen_access_list. */
#include "mta/smtpd/early.h"

#include "t/unit/tap.h"

static const struct {
	const char *text;
	bool good;
	const char *domain;
	int weight;
} sites[] = {
	{ "bl.test", true, "bl.test", 1 },
	{ "bl.test*3", true, "bl.test", 3 },
	{ "bl.test=127.0.0.[2;4..6]*-2", true, "bl.test", -2 },
	{ "bl.test*0", true, "bl.test", 0 },
	{ "bl.test*", false, "", 0 },
	{ "bl.test*x", false, "", 0 },
	{ "bl.test*3*4", false, "", 0 },
	{ "bl.test*99999999999", false, "", 0 },
	{ "*3", false, "", 0 },
	{ "bl.test=127.0.0*3", false, "", 0 },
};

static const struct {
	const char *list, *addr;
	enum early_access access;
} lists[] = {
	{ "", "192.0.2.1", EARLY_DUNNO },
	{ "permit", "192.0.2.1", EARLY_PERMIT },
	{ "dunno, permit", "192.0.2.1", EARLY_DUNNO },
	{ "permit_mynetworks, reject", "192.0.2.1", EARLY_PERMIT },
	{ "permit_mynetworks, reject", "198.51.100.1", EARLY_REJECT },
	{ "inline:{192.0.2.1=dunno}, reject", "192.0.2.1", EARLY_REJECT },
	{ "inline:{{192.0.2.1 = nonsense permit_mynetworks}}, reject", "192.0.2.1", EARLY_PERMIT },
	{ "inline:{192.0.2.1=reject}, permit", "198.51.100.1", EARLY_PERMIT },
	{ "fail:down, reject", "192.0.2.1", EARLY_REJECT },
};

int main(void)
{
	struct arena *a = arena_new("test");
	struct err e = ERR_INIT;
	struct matchlist *mynetworks = matchlist_open("192.0.2.0/24", MATCH_ADDR, ".", &e);
	struct early_sites all;

	for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
		struct early_site site = { .weight = 0 };
		const char *why = NULL;
		bool good = early_site_parse(str_z(sites[i].text), &site, &why);

		ok(good == sites[i].good, "%s is %s", sites[i].text, sites[i].good ? "good" : "refused");
		ok(!good || (str_eqz(site.filter.domain, sites[i].domain) && site.weight == sites[i].weight), "  %s * %d", sites[i].domain,
			sites[i].weight);
	}
	ok(early_sites_load(a, "a.test, b.test*2", &all, &e) == 0 && all.count == 2, "a list");
	ok(early_sites_load(a, "a.test*x", &all, &e) < 0, "%s", e.text);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		struct early_list *l = early_list_load(a, lists[i].list, ".", &e);

		ok(l != NULL && early_list_find(l, str_z(lists[i].addr), mynetworks) == lists[i].access, "\"%s\", %s", lists[i].list,
			lists[i].addr);
	}
	ok(early_list_load(a, "permit_auth_destination", ".", &e) == NULL, "%s", e.text);
	matchlist_close(mynetworks);
	arena_free(a);
	return done_testing();
}

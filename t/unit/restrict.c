/* t/unit/restrict.c - restriction lists: the registry is sorted, and main.cf text becomes the right rules. */
#include "mta/smtpd/restrict.h"

#include "lib/base/arena.h"
#include "mta/smtpd/settings.h"
#include "t/unit/tap.h"

static void sorted(void)
{
	for (size_t i = 1; i < restriction_count; i++)
		ok(str_cmpi(str_z(restrictions[i - 1].name), str_z(restrictions[i].name)) < 0, "%s before %s",
			restrictions[i - 1].name, restrictions[i].name);
	for (size_t i = 0; i < restriction_count; i++) {
		ok(restriction_find(str_z(restrictions[i].name)) == &restrictions[i], "%s is found", restrictions[i].name);
		if (str_eqz(STR("reject_maps_rbl"), restrictions[i].name))
			continue; /* stands for others, which restrict_load.c puts in its place */
		ok((restrictions[i].eval == NULL) == ((restrictions[i].flags & RULE_POLICYD) != 0), "%s has one judge",
			restrictions[i].name);
	}
	ok(restriction_find(STR("PERMIT")) != NULL, "case does not matter");
	ok(restriction_find(STR("permi")) == NULL && restriction_find(STR("")) == NULL, "others are not");
	ok(restriction_find(STR("zzz")) == NULL && restriction_find(STR("a")) == NULL, "at either end");
}

static const struct {
	const char *text;
	enum list_kind kind;
	size_t count;      /* of rules; (size_t)-1: an error */
	const char *shown; /* "word=arg" of each, '!' for warn_if_reject, '?' for unknown words */
} lists[] = {
	{ "", LIST_RCPT, 0, "" },
	{ "permit_mynetworks, reject", LIST_RCPT, 2, "permit_mynetworks= reject= " },
	{ "permit_mynetworks reject_unauth_destination\n reject", LIST_RELAY, 3, "permit_mynetworks= reject_unauth_destination= reject= " },
	{ "check_recipient_access hash:/x, hash:/y", LIST_RCPT, 2, "check_recipient_access=hash:/x check_recipient_access=hash:/y " },
	{ "hash:/x", LIST_CLIENT, 1, "check_client_access=hash:/x " },
	{ "hash:/x", LIST_SENDER, 1, "check_sender_access=hash:/x " },
	{ "hash:/x", LIST_DATA, 1, "?hash:/x= " },
	{ "check_sender_access inline:{a=NO, c=OK}, permit", LIST_SENDER, 2, "check_sender_access=inline:{a=NO, c=OK} permit= " },
	{ "warn_if_reject reject, permit", LIST_RCPT, 2, "!reject= permit= " },
	{ "reject_rbl_client bl.test=127.0.0.[2;3]", LIST_CLIENT, 1, "reject_rbl_client=bl.test=127.0.0.[2;3] " },
	{ "no_such_thing, permit", LIST_RCPT, 2, "?no_such_thing= permit= " },
	{ "reject_rbl_client", LIST_CLIENT, (size_t)-1, "" },
	{ "sleep 1, permit", LIST_RCPT, 2, "sleep=1 permit= " },
};

static void show(struct buf *b, const struct rule *r)
{
	buf_addf(b, "%s%s%.*s=%.*s ", r->warn ? "!" : "", r->def == NULL ? "?" : "", STRF(r->word), STRF(r->arg));
}

static void parsed(struct arena *a)
{
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		struct rule_list l;
		struct buf b = { 0 };
		struct err e = ERR_INIT;
		int rc = rule_list_parse(a, str_z(lists[i].text), lists[i].kind, "a list", &l, &e);

		if (lists[i].count == (size_t)-1) {
			ok(rc < 0 && e.text[0] != '\0', "\"%s\" is refused", lists[i].text);
			continue;
		}
		ok(rc == 0 && l.count == lists[i].count, "\"%s\" has %zu rules", lists[i].text, lists[i].count);
		for (size_t k = 0; rc == 0 && k < l.count; k++)
			show(&b, &l.rules[k]);
		is_str(buf_str(&b), str_z(lists[i].shown), "rules");
		buf_done(&b);
	}
}

static const struct {
	const char *text;
	bool stops;
} relay[] = {
	{ "permit_mynetworks, reject_unauth_destination", true },
	{ "defer_unauth_destination", true },
	{ "permit_mynetworks, reject", true },
	{ "warn_if_reject reject", false },
	{ "permit_mynetworks", false },
	{ "", false },
};

static void guarded(struct arena *a)
{
	for (size_t i = 0; i < sizeof relay / sizeof *relay; i++) {
		struct rule_list l;
		struct err e = ERR_INIT;

		rule_list_parse(a, str_z(relay[i].text), LIST_RELAY, "a list", &l, &e);
		ok(rule_list_stops_relay(&l) == relay[i].stops, "\"%s\" %s open relaying", relay[i].text,
			relay[i].stops ? "ends" : "permits");
	}
}

int main(void)
{
	struct arena *a = arena_new("test");

	cf.life = a;
	sorted();
	parsed(a);
	guarded(a);
	arena_free(a);
	return done_testing();
}

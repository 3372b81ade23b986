/* mta/tools/gatepost/check_restrictions.c - check: the smtpd restriction lists: their tables, open relay, words that never count or contradict
 * each other.
 */
#include "lib/mail/ip.h"
#include "lib/table/table.h"
#include "mta/tools/gatepost/check.h"

#define ITEMS_MAX 256
#define V4_PREFIX_MIN 8 /* shorter ones are no networks of one's own */
#define V6_PREFIX_MIN 16

enum stage { AT_CLIENT, AT_HELO, AT_SENDER, AT_RCPT, AT_DATA };

static const struct list {
	const char *name;
	enum stage stage; /* what is known when it is looked at with smtpd_delay_reject = no */
} lists[] = {
	{ "smtpd_client_restrictions", AT_CLIENT },
	{ "smtpd_helo_restrictions", AT_HELO },
	{ "smtpd_sender_restrictions", AT_SENDER },
	{ "smtpd_relay_restrictions", AT_RCPT },
	{ "smtpd_recipient_restrictions", AT_RCPT },
	{ "smtpd_data_restrictions", AT_DATA },
	{ "smtpd_end_of_data_restrictions", AT_DATA },
	{ "smtpd_etrn_restrictions", AT_RCPT },
};

const char *const check_restriction_lists[] = { "smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions",
	"smtpd_relay_restrictions", "smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions",
	"smtpd_etrn_restrictions", NULL };

/* ---- a list, word by word ---- */

struct item {
	struct str word, argument;
	bool only_warns; /* behind warn_if_reject */
};

static bool one_of(struct str word, const char *const *names)
{
	while (*names != NULL && !str_eqiz(word, *names))
		names++;
	return *names != NULL;
}

static bool takes_argument(struct str word)
{
	static const char *const prefixes[] = { "check_", "reject_rbl_", "reject_rhsbl_", "permit_dnswl_", "permit_rhswl_", "sleep" };
	static const char *const without[] = { "check_greylist", "check_spf", "check_relay_domains", NULL };

	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
		if (str_startsi(word, str_z(prefixes[i])))
			return !one_of(word, without);
	return false;
}

static size_t read_items(const char *value, struct item items[ITEMS_MAX])
{
	struct str rest = str_z(value), word;
	bool only_warns = false;
	size_t n = 0;

	while (n < ITEMS_MAX && (word = str_word_braced(&rest)).n > 0) {
		struct item it = { .word = word, .only_warns = only_warns };

		only_warns = str_eqiz(word, "warn_if_reject");
		if (takes_argument(word))
			it.argument = str_word_braced(&rest);
		items[n++] = it;
	}
	return n;
}

/* ---- tables ---- */

static void check_access_tables(struct checking *k, const char *name, const struct item *it, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err e = ERR_INIT;
		struct table *t;

		if (!str_startsi(it[i].word, STR("check_")) || !str_endsi(it[i].word, STR("_access")) || it[i].argument.n == 0)
			continue;
		t = table_open(it[i].argument, k->t->conf_dir, &e);
		if (t == NULL)
			found(k, true, name, "%s", e.text);
		table_close(t);
		check_table_file(k, name, it[i].argument);
	}
}

/* ---- words that never count ---- */

static const char *const final[] = { "permit", "reject", "defer", NULL };

static void check_unreachable(struct checking *k, const char *name, const struct item *it, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (one_of(it[i - 1].word, final) && !it[i - 1].only_warns) {
			found(k, false, name, "\"%.*s\" comes after \"%.*s\", which always decides: it is never looked at: put it before",
				STRF(it[i].word), STRF(it[i - 1].word));
			return; /* the others behind it are no other mistake */
		}
}

static void check_twice(struct checking *k, const char *name, const struct item *it, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (str_eqi(it[i].word, it[j].word) && str_eq(it[i].argument, it[j].argument) && it[i].only_warns == it[j].only_warns &&
				!str_eqiz(it[i].word, "warn_if_reject") && !str_eqiz(it[i].word, "sleep")) {
				found(k, false, name, "\"%.*s\" is there twice, and says the same each time: remove one", STRF(it[i].word));
				break;
			}
}

/* warn_if_reject in front of nothing, or of what rejects nothing. */
static void check_warnings(struct checking *k, const char *name, const struct item *it, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!str_eqiz(it[i].word, "warn_if_reject"))
			continue;
		if (i + 1 == n)
			found(k, false, name, "warn_if_reject at the end is about nothing: put it in front of a restriction");
		else if (str_startsi(it[i + 1].word, STR("permit")))
			found(k, false, name, "warn_if_reject before \"%.*s\", which rejects nothing: remove it", STRF(it[i + 1].word));
	}
}

/* ---- what is asked too early or too late ---- */

static enum stage stage_of(struct str word)
{
	static const struct {
		const char *part;
		enum stage stage;
	} parts[] = { { "multi_recipient", AT_SENDER /* it counts them */ }, { "recipient", AT_RCPT }, { "unauth_destination", AT_RCPT },
		{ "sender", AT_SENDER }, { "helo", AT_HELO } };

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (str_find(word, str_z(parts[i].part)) >= 0)
			return parts[i].stage;
	return AT_CLIENT;
}

static void check_stages(struct checking *k, const struct list *l, const struct item *it, size_t n)
{
	static const char *const words[] = { "", "HELO", "MAIL FROM", "RCPT TO", "" };
	bool delayed = conf_bool(k->c, "smtpd_delay_reject");

	for (size_t i = 0; i < n; i++) {
		enum stage needs = stage_of(it[i].word);

		if (needs > l->stage && !delayed)
			found(k, false, l->name, "\"%.*s\" is asked before %s has come, as smtpd_delay_reject is off: move it to a later list",
				STRF(it[i].word), words[needs]);
		if (l->stage == AT_DATA && needs == AT_RCPT)
			found(k, false, l->name, "\"%.*s\" knows the recipient of mail for one only: move it to smtpd_recipient_restrictions",
				STRF(it[i].word));
		if (needs == AT_HELO && str_startsi(it[i].word, STR("reject_")) && !conf_bool(k->c, "smtpd_helo_required")) {
			found(k, false, l->name, "\"%.*s\" does not stop clients that say no HELO: set smtpd_helo_required = yes", STRF(it[i].word));
			return;
		}
	}
}

static void check_list(struct checking *k, const struct list *l, const char *value)
{
	struct item items[ITEMS_MAX];
	size_t n = read_items(value, items);

	check_access_tables(k, l->name, items, n);
	check_unreachable(k, l->name, items, n);
	check_twice(k, l->name, items, n);
	check_warnings(k, l->name, items, n);
	check_stages(k, l, items, n);
}

void check_restrictions(struct checking *k)
{
	struct str rest = str_z(conf_str(k->c, "smtpd_restriction_classes")), word;

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		check_list(k, &lists[i], conf_str(k->c, lists[i].name));
	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		struct list class = { arena_z(k->a, word), AT_RCPT };
		const char *value = conf_lookup(k->c, word);

		if (value == NULL)
			found(k, true, "smtpd_restriction_classes", "there is no parameter \"%.*s\": define the class", STRF(word));
		else
			check_list(k, &class, value);
	}
}

/* ---- relaying ---- */

enum relaying { RELAY_UNDECIDED, RELAY_OPEN, RELAY_CLOSED };

/* What the list says of strangers' mail to strangers. loose: the first word before the decision that can permit by what anybody may claim. */
static enum relaying relaying_by(const char *value, struct str *loose, bool *only_warns)
{
	static const char *const closing[] = { "reject", "defer", "defer_if_permit", "reject_unauth_destination", "defer_unauth_destination",
		"check_relay_domains", NULL };
	static const char *const claims[] = { "check_helo_access", "check_sender_access", "check_recipient_access", NULL };
	struct item items[ITEMS_MAX];
	size_t n = read_items(value, items);

	for (size_t i = 0; i < n; i++) {
		if (one_of(items[i].word, closing) && !items[i].only_warns)
			return RELAY_CLOSED;
		*only_warns |= one_of(items[i].word, closing);
		if (str_eqiz(items[i].word, "permit"))
			return RELAY_OPEN;
		if (one_of(items[i].word, claims) && !items[i].only_warns && loose->n == 0)
			*loose = items[i].word;
	}
	return RELAY_UNDECIDED;
}

static bool has_word(const char *list, const char *word)
{
	struct str rest = str_z(list), w;

	while ((w = str_word_braced(&rest)).n > 0)
		if (str_eqiz(w, word))
			return true;
	return false;
}

static void check_mynetworks(struct checking *k)
{
	const char *mynetworks = conf_str(k->c, "mynetworks");
	struct str rest = str_z(mynetworks), word;
	struct ip_net net;
	const char *why;

	if (has_word(mynetworks, "static:all"))
		found(k, false, "mynetworks", "the whole internet may relay: name your own networks only");
	while ((word = str_word_braced(&rest)).n > 0) {
		if (!ip_net_parse(word, &net, &why) || net.bits >= (net.base.v4 ? V4_PREFIX_MIN : V6_PREFIX_MIN))
			continue;
		if (net.bits == 0)
			found(k, false, "mynetworks", "the whole internet may relay: name your own networks only");
		else
			found(k, false, "mynetworks", "%.*s is more than a network of one's own: all of it may relay", STRF(word));
	}
}

/* Behind relays of one's own only the end of data knows where a message comes from. */
void check_hops(struct checking *k)
{
	if (*conf_str(k->c, "trusted_hops") != '\0' && *conf_str(k->c, "smtpd_end_of_data_restrictions") == '\0')
		found(k, false, "trusted_hops",
			"smtpd_end_of_data_restrictions is empty: what is checked before is about the relay, not about the client it had the "
			"message from; put SPF, DNS lists, greylisting and rates there");
}

/* smtpd itself refuses to run without a word that closes; say so beforehand, and when it is there in vain. */
void check_relay(struct checking *k)
{
	static const char *const names[] = { "smtpd_relay_restrictions", "smtpd_recipient_restrictions" };
	enum relaying decided = RELAY_UNDECIDED;
	bool only_warns = false;
	struct str loose;

	for (size_t i = 0; i < sizeof names / sizeof *names && decided != RELAY_CLOSED; i++) {
		loose = STR_NONE;
		decided = relaying_by(conf_str(k->c, names[i]), &loose, &only_warns);
		if (decided == RELAY_CLOSED && loose.n > 0)
			found(k, false, names[i], "an OK of \"%.*s\" lets anybody relay who says what is in that table: put reject_unauth_destination before it",
				STRF(loose));
	}
	if (decided != RELAY_CLOSED)
		found(k, true, "smtpd_relay_restrictions", "open relay: %sadd reject_unauth_destination to smtpd_relay_restrictions or smtpd_recipient_restrictions",
			only_warns ? "with warn_if_reject nothing is refused: " : "");
	check_mynetworks(k);
}

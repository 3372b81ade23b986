/* mta/tools/gatepost/check_restrictions.c - check: the smtpd restriction lists: their tables, open relay, words that never count. */
#include "lib/table/table.h"
#include "mta/tools/gatepost/check.h"

const char *const check_restriction_lists[] = { "smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions",
	"smtpd_relay_restrictions", "smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions",
	"smtpd_etrn_restrictions", NULL };

static void check_restriction_words(struct checking *k, const char *name, const char *value)
{
	static const char *const final[] = { "permit", "reject", "defer" };
	struct str rest = str_z(value), word, before = STR_NONE;

	while ((word = str_word_braced(&rest)).n > 0) {
		for (size_t i = 0; i < sizeof final / sizeof *final; i++)
			if (str_eqiz(before, final[i]))
				found(k, false, name, "\"%.*s\" comes after \"%.*s\", which always decides: it is never looked at", STRF(word),
					STRF(before));
		if (str_starts(before, STR("check_")) && str_endsi(before, STR("_access"))) {
			struct err e = ERR_INIT;
			struct table *t = table_open(word, k->t->conf_dir, &e);

			if (t == NULL)
				found(k, true, name, "%s", e.text);
			table_close(t);
			check_table_file(k, name, word);
		}
		before = word;
	}
}

void check_restrictions(struct checking *k)
{
	struct str rest = str_z(conf_str(k->c, "smtpd_restriction_classes")), word;

	for (const char *const *name = check_restriction_lists; *name != NULL; name++)
		check_restriction_words(k, *name, conf_str(k->c, *name));
	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		const char *value = conf_lookup(k->c, word);

		if (value == NULL)
			found(k, true, "smtpd_restriction_classes", "there is no parameter \"%.*s\": define the class", STRF(word));
		else
			check_restriction_words(k, arena_z(k->a, word), value);
	}
}

static bool has_word(const char *list, const char *word)
{
	struct str rest = str_z(list), w;

	while ((w = str_word_braced(&rest)).n > 0)
		if (str_eqiz(w, word))
			return true;
	return false;
}

/* Behind relays of one's own only the end of data knows where a message comes from. */
void check_hops(struct checking *k)
{
	if (*conf_str(k->c, "trusted_hops") != '\0' && *conf_str(k->c, "smtpd_end_of_data_restrictions") == '\0')
		found(k, false, "trusted_hops",
			"smtpd_end_of_data_restrictions is empty: what is checked before is about the relay, not about the client it had the "
			"message from; put SPF, DNS lists, greylisting and rates there");
}

/* smtpd itself refuses to run without one of these; say so beforehand. */
void check_relay(struct checking *k)
{
	static const char *const closing[] = { "reject", "defer", "defer_if_permit", "reject_unauth_destination",
		"defer_unauth_destination", "check_relay_domains" };
	const char *mynetworks = conf_str(k->c, "mynetworks");
	bool closed = false;

	for (size_t i = 0; i < sizeof closing / sizeof *closing; i++)
		closed = closed || has_word(conf_str(k->c, "smtpd_relay_restrictions"), closing[i]) ||
			 has_word(conf_str(k->c, "smtpd_recipient_restrictions"), closing[i]);
	if (!closed)
		found(k, true, "smtpd_relay_restrictions",
			"open relay: add reject_unauth_destination to smtpd_relay_restrictions or smtpd_recipient_restrictions");
	if (has_word(mynetworks, "0.0.0.0/0") || has_word(mynetworks, "[::]/0") || has_word(mynetworks, "static:all"))
		found(k, false, "mynetworks", "the whole internet may relay: name your own networks only");
}


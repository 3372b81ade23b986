/* policyd/explain.c - all of smtpd's lists in one question. Restrictions that smtpd evaluates itself are named and passed over: they ask for
 * things of the session that only it knows.
 */
#include "policyd/explain.h"

#include "policyd/shadow.h"
#include "policyd/text.h"

#define DEPTH_MAX 10 /* of classes inside each other */

static const struct {
	const char *parameter, *state; /* state: the only one in which it is looked at; NULL: up to RCPT */
} lists[] = {
	{ "smtpd_client_restrictions", NULL },
	{ "smtpd_helo_restrictions", NULL },
	{ "smtpd_sender_restrictions", NULL },
	{ "smtpd_relay_restrictions", NULL },
	{ "smtpd_recipient_restrictions", NULL },
	{ "smtpd_data_restrictions", "DATA" },
	{ "smtpd_end_of_data_restrictions", "END-OF-MESSAGE" },
	{ "smtpd_etrn_restrictions", "ETRN" },
};

static bool counts(size_t i, const struct request *r)
{
	if (lists[i].state != NULL)
		return str_eqiz(r->state, lists[i].state);
	return !str_eqiz(r->state, "DATA") && !str_eqiz(r->state, "END-OF-MESSAGE") && !str_eqiz(r->state, "ETRN");
}

static bool is_class(const struct conf *c, struct str word)
{
	struct str classes = str_z(conf_str(c, "smtpd_restriction_classes")), name;

	while ((name = str_word(&classes, ", \t\r\n")).n > 0)
		if (str_eq(name, word))
			return true;
	return false;
}

/* Ours, with their arguments, to one side, smtpd's to the other. */
static void sort_words(const struct conf *conf, struct str text, int depth, struct buf *ours, struct buf *others)
{
	struct str word;

	while ((word = str_word_braced(&text)).n > 0) {
		const struct check *c = check_find(word);

		if (c == NULL && is_class(conf, word) && depth < DEPTH_MAX) {
			sort_words(conf, str_z(conf_lookup(conf, word)), depth + 1, ours, others);
			continue;
		}
		buf_addf(c != NULL ? ours : others, " %.*s", STRF(word));
		if (c != NULL && c->argument == ARG_ONE) {
			word = str_word_braced(&text);
			buf_addf(ours, " %.*s", STRF(word));
		}
	}
}

static void evaluate_text(struct request *r, struct str text, struct outcome *out)
{
	struct err e = ERR_INIT;
	struct ruleset *rules = ruleset_parse(r->settings, text, &e);

	if (rules == NULL) {
		request_trace(r, "%s", e.text);
		out->answered = true;
		verdict_config_error(&out->verdict);
		return;
	}
	evaluate_through(r, rules, out);
	shadow_try(r, rules, out);
	ruleset_unref(rules);
}

/* The headers of all lists go to the message, the action is the last one's. */
static void merge(struct outcome *all, const struct outcome *one)
{
	struct outcome sum = *one;

	sum.header_count = all->header_count;
	for (size_t i = 0; i < all->header_count; i++)
		sum.headers[i] = all->headers[i];
	for (size_t i = 0; i < one->header_count && sum.header_count < HEADERS_MAX; i++)
		sum.headers[sum.header_count++] = one->headers[i];
	*all = sum;
}

/* False: it refuses. */
static bool explain_list(struct request *r, const char *name, struct str ours, struct str others, struct outcome *out)
{
	struct outcome one = { .verdict = { .action = STR("DUNNO") } };

	request_trace(r, "%s:%s%.*s", name, others.n > 0 ? " smtpd itself decides about" : "", STRF(others));
	if (ours.n == 0)
		return true;
	evaluate_text(r, ours, &one);
	merge(out, &one);
	return !text_refuses(one.verdict.action);
}

void explain_lists(struct request *r, struct outcome *out)
{
	bool any = false, going = true;

	*out = (struct outcome){ .verdict = { .action = STR("DUNNO") } };
	for (size_t i = 0; i < sizeof lists / sizeof *lists && going; i++) {
		struct buf ours = { 0 }, others = { 0 };

		if (!counts(i, r))
			continue;
		sort_words(r->settings->conf, str_z(conf_str(r->settings->conf, lists[i].parameter)), 0, &ours, &others);
		any |= ours.n > 0;
		if (ours.n + others.n > 0)
			going = explain_list(r, lists[i].parameter, arena_dup(r->life, buf_str(&ours)), buf_str(&others), out);
		buf_done(&ours);
		buf_done(&others);
	}
	if (!any)
		explain_list(r, "policyd_restrictions", r->settings->restrictions, STR_NONE, out);
}

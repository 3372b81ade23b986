/* mta/cleanup/checks.c - header_checks(5) and body_checks: what a table says about a field or a line, and what is done about it. */
#include "lib/base/log.h"
#include "lib/mail/dsn.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

#define SHOWN 200 /* octets of a field or line that are logged */
#define SHOWN_MILTER 60

struct hit { /* one answer of a table */
	struct mail *x;
	enum check_kind kind;
	struct str *text; /* field or line; LF folds */
	struct str *before;
	struct str words; /* behind the action word */
};

static const char *context(enum check_kind kind)
{
	return kind == CHECK_BODY ? "body" : "header";
}

static const struct tables *tables_of(enum check_kind kind)
{
	const struct tables *const all[] = {
		[CHECK_HEADER] = &set->header_checks,
		[CHECK_MIME_HEADER] = &set->mime_header_checks,
		[CHECK_NESTED_HEADER] = &set->nested_header_checks,
		[CHECK_BODY] = &set->body_checks,
		[CHECK_MILTER_HEADER] = &set->milter_header_checks,
	};

	return all[kind];
}

bool checks_any(enum check_kind kind)
{
	return tables_of(kind)->count > 0;
}

/* "ID: reject: header Subject: x from name[addr]; from=<s> to=<r> proto=ESMTP helo=<h>: reason" */
static void note(const struct hit *h, const char *verb, struct str reason)
{
	bool milter = h->kind == CHECK_MILTER_HEADER;
	struct buf b = { 0 };

	buf_addf(&b, "%s: %s%s: %s ", h->x->m.id, milter ? "milter-header-" : "", verb, context(h->kind));
	buf_add_safe(&b, str_sub(*h->text, 0, milter ? SHOWN_MILTER : SHOWN));
	buf_addz(&b, " from ");
	log_client(h->x, &b);
	buf_addz(&b, "; ");
	log_envelope(h->x, &b);
	if (reason.n > 0) {
		buf_addz(&b, ": ");
		buf_add_safe(&b, reason);
	}
	log_info("%.*s", STRF(b));
	buf_done(&b);
}

static void complain(const struct hit *h, const char *what)
{
	log_warn("%s: %s in %s checks: \"%.*s\"", h->x->m.id, what, context(h->kind), STRF(h->words));
}

/* Has it a text, which in a header must be a field? */
static bool usable(const struct hit *h, const char *action)
{
	if (h->words.n > 0 && (h->kind == CHECK_BODY || header_is_field(h->words)))
		return true;
	log_warn("%s: bad %s text in %s checks: \"%.*s\"", h->x->m.id, action, context(h->kind), STRF(h->words));
	return false;
}

/* ---- actions ---- */

static enum check_result act_reject(struct hit *h)
{
	struct code code = CODE(550, 5, 7, 1), given;
	struct str reason = h->words;
	struct buf shown = { 0 };
	size_t n = dsn_parse(reason, &given);

	if (n > 0 && (given.c == 4 || given.c == 5)) {
		code = CODE(given.c == 4 ? 451 : 550, given.c, given.s, given.d);
		reason = str_skip(reason, n);
	}
	if (reason.n == 0)
		reason = STR("message content rejected");
	dsn_print(&shown, code);
	buf_addc(&shown, ' ');
	buf_add(&shown, reason);
	note(h, "reject", buf_str(&shown));
	buf_done(&shown);
	mail_refuse(h->x, code, arena_dup(h->x->life, reason));
	return CHECK_KEEP;
}

static enum check_result act_warn(struct hit *h)
{
	note(h, "warning", h->words);
	return CHECK_KEEP;
}

static enum check_result act_info(struct hit *h)
{
	note(h, "info", h->words);
	return CHECK_KEEP;
}

static enum check_result act_discard(struct hit *h)
{
	note(h, "discard", h->words);
	h->x->discard = true;
	return CHECK_KEEP;
}

static enum check_result act_hold(struct hit *h)
{
	note(h, "hold", h->words);
	h->x->m.flags |= QUEUE_HOLD;
	return CHECK_KEEP;
}

static enum check_result act_filter(struct hit *h)
{
	if (str_chr(h->words, ':') <= 0) {
		complain(h, "FILTER without transport:destination");
		return CHECK_KEEP;
	}
	note(h, "filter", h->words);
	h->x->m.filter = arena_dup(h->x->life, h->words);
	return CHECK_KEEP;
}

static enum check_result act_redirect(struct hit *h)
{
	if (str_chr(h->words, '@') < 0) {
		complain(h, "REDIRECT without user@domain");
		return CHECK_KEEP;
	}
	note(h, "redirect", h->words);
	h->x->redirect = arena_dup(h->x->life, h->words);
	h->x->checks_passed = true; /* it is somebody else's to look at */
	return CHECK_KEEP;
}

static enum check_result act_bcc(struct hit *h)
{
	struct str last = h->x->last_rcpt;

	if (str_chr(h->words, '@') < 0) {
		complain(h, "BCC without user@domain");
		return CHECK_KEEP;
	}
	note(h, "bcc", h->words);
	envelope_add(h->x, arena_dup(h->x->life, h->words), STR_NONE, STR_NONE, DSN_NOTIFY_NEVER, false);
	h->x->last_rcpt = last; /* what comes is logged as about the message's own recipient */
	return CHECK_KEEP;
}

static enum check_result act_prepend(struct hit *h)
{
	if (!usable(h, "PREPEND"))
		return CHECK_KEEP;
	note(h, "prepend", h->words);
	*h->before = arena_dup(h->x->life, h->words);
	return CHECK_KEEP;
}

static enum check_result act_replace(struct hit *h)
{
	if (!usable(h, "REPLACE"))
		return CHECK_KEEP;
	note(h, "replace", h->words);
	*h->text = arena_dup(h->x->life, h->words);
	return CHECK_CHANGED;
}

static enum check_result act_ignore(struct hit *h)
{
	(void)h; /* silently */
	return CHECK_DROP;
}

static enum check_result act_strip(struct hit *h)
{
	note(h, "strip", h->words);
	return CHECK_DROP;
}

static enum check_result act_dunno(struct hit *h)
{
	(void)h; /* nothing to say */
	return CHECK_KEEP;
}

static enum check_result act_pass(struct hit *h)
{
	note(h, "pass", h->words);
	h->x->checks_passed = true;
	return CHECK_KEEP;
}

static enum check_result act_delay(struct hit *h)
{
	complain(h, "obsolete action DELAY");
	return CHECK_KEEP;
}

static const struct action {
	const char *word;
	enum check_result (*run)(struct hit *h);
} actions[] = {
	{ "BCC", act_bcc },
	{ "DELAY", act_delay },
	{ "DISCARD", act_discard },
	{ "DUNNO", act_dunno },
	{ "FILTER", act_filter },
	{ "HOLD", act_hold },
	{ "IGNORE", act_ignore },
	{ "INFO", act_info },
	{ "OK", act_dunno },
	{ "PASS", act_pass },
	{ "PREPEND", act_prepend },
	{ "REDIRECT", act_redirect },
	{ "REJECT", act_reject },
	{ "REPLACE", act_replace },
	{ "STRIP", act_strip },
	{ "WARN", act_warn },
};

static enum check_result act(struct hit *h, struct str answer)
{
	struct str word;

	h->words = str_trim(answer);
	word = str_word(&h->words, " \t\r\n");
	h->words = str_trim(h->words);
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		if (str_eqiz(word, actions[i].word))
			return actions[i].run(h);
	log_warn("%s: unknown command in %s checks: \"%.*s\"", h->x->m.id, context(h->kind), STRF(word));
	return CHECK_KEEP;
}

enum check_result checks_run(struct mail *x, enum check_kind kind, struct str *text, struct str *before)
{
	struct hit h = { .x = x, .kind = kind, .text = text, .before = before };
	enum check_result result = CHECK_KEEP;
	struct buf answer = { 0 };
	struct err e = ERR_INIT;

	*before = STR_NONE;
	switch (tables_lookup(tables_of(kind), *text, &answer, &e)) {
	case TABLE_FOUND:
		result = act(&h, buf_str(&answer));
		break;
	case TABLE_FAILED:
		log_warn("%s: %s", x->m.id, e.text);
		mail_refuse_temp(x, "Error: queue file write error");
		break;
	case TABLE_MISSING:
		break;
	}
	buf_done(&answer);
	return result;
}

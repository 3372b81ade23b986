/* mta/smtpd/action.c - access(5) actions: one table of words, one function for each kind of effect. */
#include "mta/smtpd/action.h"

#include <string.h>

#include "lib/base/log.h"
#include "lib/mail/dsn.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define CODE_CONFIG CODE(451, 4, 3, 5)
#define ACTION_TEXT_MAX 1000 /* octets of a header field or address an action may bring */

static const struct action_word {
	const char *word;
	enum action_kind kind;
} action_words[] = {
	{ "BCC", ACTION_BCC },
	{ "DEFER", ACTION_DEFER },
	{ "DEFER_IF_PERMIT", ACTION_DEFER_IF_PERMIT },
	{ "DEFER_IF_REJECT", ACTION_DEFER_IF_REJECT },
	{ "DISCARD", ACTION_DISCARD },
	{ "DUNNO", ACTION_DUNNO },
	{ "FILTER", ACTION_FILTER },
	{ "HANGUP", ACTION_HANGUP },
	{ "HOLD", ACTION_HOLD },
	{ "INFO", ACTION_INFO },
	{ "OK", ACTION_OK },
	{ "PREPEND", ACTION_PREPEND },
	{ "REDIRECT", ACTION_REDIRECT },
	{ "REJECT", ACTION_REJECT },
	{ "RELAY", ACTION_OK },
	{ "WARN", ACTION_WARN },
};

struct action action_parse(struct str text)
{
	struct str rest = text, word = str_word(&rest, " \t");
	struct action a = { ACTION_LIST, 0, str_trim(text) };
	uint64_t code = 0;

	if (word.n == 0)
		return (struct action){ ACTION_EMPTY, 0, STR_NONE };
	if (str_digits(a.text)) /* a time stamp of pop-before-smtp, say */
		return (struct action){ ACTION_OK, 0, STR_NONE };
	while (rest.n > 0 && (rest.p[0] == ' ' || rest.p[0] == '\t'))
		rest = str_skip(rest, 1); /* blanks at the end belong to the text, as in Postfix */
	if (word.n == 3 && (word.p[0] == '4' || word.p[0] == '5') && str_to_u64(word, 599, &code))
		return (struct action){ ACTION_CODE, (short)code, rest };
	for (size_t i = 0; i < sizeof action_words / sizeof *action_words; i++)
		if (str_eqiz(word, action_words[i].word))
			return (struct action){ action_words[i].kind, 0, rest };
	return a;
}

struct code action_code(short smtp, struct code fallback, struct str *text)
{
	struct code found = { 0, 0, 0, 0 };
	size_t skip = dsn_parse(*text, &found);

	fallback.smtp = smtp;
	if (skip == 0)
		return fallback;
	*text = str_skip(*text, skip);
	found.smtp = smtp;
	return found;
}

/* ---- refusals ---- */

static enum verdict refuse(struct check *c, const struct action_source *src, struct code code, struct str text)
{
	if (src->whole)
		return check_reject(c, code, "%.*s", STRF(text));
	return check_reject_about(c, code, src->name, src->klass, text);
}

static enum verdict refuse_with(struct check *c, const struct action_source *src, int64_t smtp, struct code fallback, struct str text)
{
	struct code code = action_code((short)smtp, fallback, &text);

	return refuse(c, src, code, text.n > 0 ? text : STR("Access denied"));
}

static enum verdict refuse_later(struct check *c, const struct action_source *src, bool if_permit, struct str text)
{
	struct code code = action_code((short)cf.code_map_defer, CODE(450, 4, 7, 1), &text);
	struct buf b = { 0 };
	enum verdict v;

	if (text.n == 0)
		text = STR("Service unavailable");
	if (!src->whole) {
		code = check_fit_code(code, src->klass);
		buf_addf(&b, "<%.*s>: %s rejected: %.*s", STRF(src->name), src->klass, STRF(text));
		text = buf_str(&b);
	}
	v = if_permit ? check_defer_if_permit(c, code, text) : check_defer_if_reject(c, code, text);
	buf_done(&b);
	return v;
}

/* ---- what changes the message ---- */

/* There must be a message: not so when client and HELO are judged at once, nor for ETRN and VRFY. And it must be us who queue it. */
static bool has_message(const struct check *c, const struct action_source *src, const char *word)
{
	if (*cf.proxy_filter != '\0' && strcmp(word, "PREPEND") != 0) {
		log_warn("access table %.*s: with smtpd_proxy_filter specified, action %s is unavailable", STRF(src->where), word);
		return false;
	}
	if (strcmp(c->s->where, "MAIL") == 0 || c->s->t.open)
		return true;
	log_warn("access table %.*s: with %s the %s action is not available here, ignored", STRF(src->where), c->s->where, word);
	return false;
}

static void log_effect(struct check *c, const struct action_source *src, const char *verb, const char *fallback, struct str text)
{
	struct buf b = { 0 };

	buf_addf(&b, "<%.*s>: %s ", STRF(src->name), src->klass);
	buf_add(&b, text.n > 0 ? text : str_z(fallback));
	session_log(c->s, verb, buf_str(&b));
	buf_done(&b);
}

static struct str keep(struct check *c, struct str text)
{
	return arena_dup(c->s->mail, str_sub(str_trim(text), 0, ACTION_TEXT_MAX));
}

static enum verdict do_hold(struct check *c, const struct action_source *src, struct str text)
{
	struct transaction *t = &c->s->t;

	log_effect(c, src, "hold", "triggers HOLD action", text);
	t->hold = true;
	if (t->hold_reason.n == 0)
		t->hold_reason = keep(c, text);
	return CHECK_DUNNO;
}

static enum verdict do_discard(struct check *c, const struct action_source *src, struct str text)
{
	log_effect(c, src, "discard", "triggers DISCARD action", text);
	c->s->t.discard = true;
	return CHECK_OK;
}

static void log_trigger(struct check *c, const struct action_source *src, const char *verb, const char *word, struct str text)
{
	struct buf b = { 0 };

	buf_addf(&b, "triggers %s %.*s", word, STRF(text));
	log_effect(c, src, verb, "", buf_str(&b));
	buf_done(&b);
}

static enum verdict do_filter(struct check *c, const struct action_source *src, struct str text)
{
	if (str_chr(text, ':') <= 0) {
		log_warn("access table %.*s: FILTER needs transport:destination, ignored: \"%.*s\"", STRF(src->where), STRF(text));
		return CHECK_DUNNO;
	}
	log_trigger(c, src, "filter", "FILTER", text);
	c->s->t.filter = keep(c, text);
	return CHECK_DUNNO;
}

static bool is_address(const struct action_source *src, const char *word, struct str text)
{
	if (str_chr(text, '@') >= 0)
		return true;
	log_warn("access table %.*s: %s needs user@domain, ignored: \"%.*s\"", STRF(src->where), word, STRF(text));
	return false;
}

static enum verdict do_redirect(struct check *c, const struct action_source *src, struct str text)
{
	if (!is_address(src, "REDIRECT", text))
		return CHECK_DUNNO;
	log_trigger(c, src, "redirect", "REDIRECT", text);
	c->s->t.redirect = keep(c, text);
	return CHECK_DUNNO;
}

static enum verdict do_bcc(struct check *c, const struct action_source *src, struct str text)
{
	if (!is_address(src, "BCC", text))
		return CHECK_DUNNO;
	log_trigger(c, src, "bcc", "BCC", text);
	str_list_add(c->s->mail, &c->s->t.bcc, str_sub(str_trim(text), 0, ACTION_TEXT_MAX));
	return CHECK_DUNNO;
}

/* "Name: value"; the name must be one (RFC 5322 section 2.2), or the message's own header would be hidden behind it. */
static bool is_header(struct str text)
{
	ptrdiff_t colon = str_chr(text, ':');

	if (colon <= 0)
		return false;
	for (ptrdiff_t i = 0; i < colon; i++)
		if (text.p[i] <= ' ' || text.p[i] > 126)
			return false;
	return true;
}

static enum verdict do_prepend(struct check *c, const struct action_source *src, struct str text)
{
	if (c->kind == LIST_EOD) {
		log_warn("access table %.*s: PREPEND comes too late after the content, ignored", STRF(src->where));
		return CHECK_DUNNO;
	}
	if (!is_header(text)) {
		log_warn("access table %.*s: PREPEND needs a header field, ignored: \"%.*s\"", STRF(src->where), STRF(text));
		return CHECK_DUNNO;
	}
	log_trigger(c, src, "prepend", "PREPEND", text);
	str_list_add(c->s->mail, &c->s->t.prepend, str_sub(text, 0, ACTION_TEXT_MAX));
	return CHECK_DUNNO;
}

typedef enum verdict effect_fn(struct check *c, const struct action_source *src, struct str text);

static const struct effect {
	const char *word;
	effect_fn *run;
} effects[] = {
	[ACTION_HOLD] = { "HOLD", do_hold },
	[ACTION_DISCARD] = { "DISCARD", do_discard },
	[ACTION_FILTER] = { "FILTER", do_filter },
	[ACTION_REDIRECT] = { "REDIRECT", do_redirect },
	[ACTION_BCC] = { "BCC", do_bcc },
	[ACTION_PREPEND] = { "PREPEND", do_prepend },
};

/* ---- the rest ---- */

static enum verdict do_list(struct check *c, const struct action_source *src, struct str text)
{
	struct rule_list l;
	struct err e = ERR_INIT;
	struct check inner = *c;

	if (rule_list_parse(session_scratch(c->s), text, c->kind, "an action", &l, &e) < 0 || c->depth > 100) {
		log_warn("access table %.*s: %s", STRF(src->where), e.text[0] ? e.text : "actions nest too deep");
		return check_trouble(c, CODE_CONFIG, "Server configuration error");
	}
	inner.depth++;
	return rule_list_eval(&inner, &l);
}

static enum verdict do_note(struct check *c, const struct action_source *src, const char *verb, struct str text)
{
	log_effect(c, src, verb, verb[0] == 'w' ? "triggers WARN action" : "triggers INFO action", text);
	return CHECK_DUNNO;
}

static enum verdict do_hangup(struct check *c)
{
	session_log(c->s, "hangup", STR("by policy"));
	c->s->hangup = c->s->closed = true;
	c->s->ruling = (struct reply){ CODE(421, 4, 7, 1), STR("Goodbye") };
	return CHECK_REJECT;
}

enum verdict action_apply(struct check *c, struct str text, const struct action_source *src)
{
	struct action a = action_parse(text);

	switch (a.kind) {
	case ACTION_EMPTY:
		log_warn("access table %.*s: empty action, ignored", STRF(src->where));
		return CHECK_DUNNO;
	case ACTION_OK:
		return CHECK_OK;
	case ACTION_DUNNO:
		return CHECK_DUNNO;
	case ACTION_REJECT:
		return refuse_with(c, src, cf.code_map_reject, CODE(554, 5, 7, 1), a.text);
	case ACTION_DEFER:
		return refuse_with(c, src, cf.code_map_defer, CODE(450, 4, 7, 1), a.text);
	case ACTION_CODE:
		return refuse_with(c, src, a.smtp, CODE(a.smtp, (unsigned char)(a.smtp / 100), 7, 1), a.text);
	case ACTION_DEFER_IF_PERMIT:
	case ACTION_DEFER_IF_REJECT:
		return refuse_later(c, src, a.kind == ACTION_DEFER_IF_PERMIT, a.text);
	case ACTION_HOLD:
	case ACTION_DISCARD:
	case ACTION_FILTER:
	case ACTION_REDIRECT:
	case ACTION_BCC:
	case ACTION_PREPEND:
		return has_message(c, src, effects[a.kind].word) ? effects[a.kind].run(c, src, a.text) : CHECK_DUNNO;
	case ACTION_WARN:
	case ACTION_INFO:
		return do_note(c, src, a.kind == ACTION_WARN ? "warn" : "info", a.text);
	case ACTION_HANGUP:
		return do_hangup(c);
	case ACTION_LIST:
		break;
	}
	return do_list(c, src, a.text);
}

/* mta/smtp/checks.c - smtp_header_checks and its kin: what goes out may lose, change or gain header fields and lines. Only what concerns the
 * text is done here; whether mail is taken at all was decided when it came in.
 */
#include "lib/base/log.h"
#include "lib/mail/body_edit.h"
#include "lib/mail/mime.h"
#include "mta/smtp/smtp.h"

#define SHOWN 60 /* octets of a field or line that are logged */

struct checker {
	struct arena *life;
	const char *id;
	struct body_edit edit;
	struct buf lf;
	struct failure *why;
	bool failed;
};

struct hit { /* one answer of a table */
	struct checker *ck;
	bool body;
	struct str shown; /* field or line as the table saw it */
	struct str at; /* and where it is */
	struct str words; /* behind the action word */
};

static void note(const struct hit *h, const char *verb)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s: %s: %s ", h->ck->id, verb, h->body ? "body" : "header");
	buf_add_safe(&b, str_sub(h->shown, 0, SHOWN));
	if (h->words.n > 0) {
		buf_addz(&b, ": ");
		buf_add_safe(&b, h->words);
	}
	log_info("%s", buf_z(&b));
	buf_done(&b);
}

/* ---- actions ---- */

static void act_none(struct hit *h)
{
	(void)h; /* nothing to do */
}

static void act_drop(struct hit *h)
{
	body_edit_replace(&h->ck->edit, h->at, STR_NONE, true);
}

static void act_strip(struct hit *h)
{
	note(h, "strip");
	act_drop(h);
}

static void act_prepend(struct hit *h)
{
	note(h, "prepend");
	body_edit_insert(&h->ck->edit, h->at, h->words);
}

static void act_replace(struct hit *h)
{
	note(h, "replace");
	body_edit_replace(&h->ck->edit, h->at, h->words, false);
}

static void act_warn(struct hit *h)
{
	note(h, "warning");
}

static void act_info(struct hit *h)
{
	note(h, "info");
}

static void act_pass(struct hit *h)
{
	note(h, "pass");
}

static const struct action {
	const char *word;
	bool text; /* has one, which in a header must be a field */
	void (*run)(struct hit *h);
} actions[] = {
	{ "DUNNO", false, act_none },
	{ "IGNORE", false, act_drop },
	{ "INFO", false, act_info },
	{ "OK", false, act_none },
	{ "PASS", false, act_pass },
	{ "PREPEND", true, act_prepend },
	{ "REPLACE", true, act_replace },
	{ "STRIP", false, act_strip },
	{ "WARN", false, act_warn },
};

static bool usable(const struct hit *h, const struct action *action)
{
	if (!action->text || (h->words.n > 0 && (h->body || header_is_field(h->words))))
		return true;
	log_warn("%s: bad %s text in %s checks: \"%.*s\"", h->ck->id, action->word, h->body ? "body" : "header", STRF(h->words));
	return false;
}

static void act(struct hit *h, struct str answer)
{
	struct str word;

	h->words = str_trim(answer);
	word = str_word(&h->words, " \t\r\n");
	h->words = str_trim(h->words);
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
		if (!str_eqiz(word, actions[i].word))
			continue;
		if (usable(h, &actions[i]))
			actions[i].run(h);
		return;
	}
	log_warn("%s: unsupported command in %s checks: \"%.*s\"", h->ck->id, h->body ? "body" : "header", STRF(word));
}

/* ---- fields and lines ---- */

static void check_text(struct checker *ck, enum check_kind kind, struct str text)
{
	struct hit h = { .ck = ck, .body = kind == CHECK_BODY, .shown = body_edit_lf(text, &ck->lf), .at = text };
	struct buf answer = { 0 };
	struct err e = ERR_INIT;

	switch (tables_lookup(&cfg->checks[kind], h.shown, &answer, &e)) {
	case TABLE_FOUND:
		act(&h, buf_str(&answer));
		break;
	case TABLE_FAILED:
		log_warn("%s: %s", ck->id, e.text);
		failure_local(ck->life, CODE(0, 4, 3, 0), ck->why, "header/body checks lookup error");
		ck->failed = true;
		break;
	case TABLE_MISSING:
		break;
	}
	buf_done(&answer);
}

static bool mime_name(struct str field)
{
	return str_startsi(field, STR("Content-")) || str_startsi(field, STR("MIME-Version"));
}

static bool visit(struct mime_walk *w, enum mime_class what, struct str text)
{
	struct checker *ck = w->ctx;
	enum check_kind kind = what >= MIME_HEADER_END                              ? CHECK_BODY
			       : what == MIME_PART_HEADER || mime_name(text) ? CHECK_MIME_HEADER
										     : CHECK_NESTED_HEADER;

	if (text.n > 0 && cfg->checks[kind].count > 0 && (kind != CHECK_BODY || w->segment_octets < cfg->body_check_limit))
		check_text(ck, kind, text);
	return !ck->failed;
}

bool checks_header_any(void)
{
	return cfg->checks[CHECK_HEADER].count + cfg->checks[CHECK_MIME_HEADER].count > 0;
}

bool checks_body_any(void)
{
	return cfg->checks[CHECK_MIME_HEADER].count + cfg->checks[CHECK_NESTED_HEADER].count + cfg->checks[CHECK_BODY].count > 0;
}

int checks_header(struct arena *a, const char *id, struct str *text, struct buf *changed, struct failure *why)
{
	struct checker ck = { .life = a, .id = id, .why = why };
	struct header h;
	bool missing_blank;

	header_init(&h, a);
	header_parse(&h, *text, &missing_blank);
	body_edit_begin(&ck.edit, *text, changed);
	for (size_t i = 0; i < h.count && !ck.failed; i++) {
		struct str field = h.fields[i].text;
		enum check_kind kind = mime_name(field) ? CHECK_MIME_HEADER : CHECK_HEADER;

		if (cfg->checks[kind].count > 0 && field.p >= text->p && field.p < text->p + text->n)
			check_text(&ck, kind, field);
	}
	*text = body_edit_end(&ck.edit);
	buf_done(&ck.lf);
	return ck.failed ? -1 : 0;
}

int checks_body(struct arena *a, const char *id, const struct header *h, struct str *body, struct buf *changed, struct failure *why)
{
	struct checker ck = { .life = a, .id = id, .why = why };
	struct mime_walk w = { .life = a,
		.structure = true,
		.nesting = cfg->mime_nesting,
		.boundary_length = cfg->boundary_length,
		.visit = visit,
		.ctx = &ck };

	body_edit_begin(&ck.edit, *body, changed);
	mime_begin(&w, h);
	mime_walk(&w, *body);
	*body = body_edit_end(&ck.edit);
	buf_done(&ck.lf);
	return ck.failed ? -1 : 0;
}

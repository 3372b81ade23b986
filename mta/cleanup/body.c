/* mta/cleanup/body.c - the body: header checks in its parts, body checks on its lines, and the strict_* rules. A body nobody has questions
 * about is not looked at; one that changes is copied from the first change on.
 */
#include "lib/base/log.h"
#include "lib/mail/body_edit.h"
#include "lib/mail/mime.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

struct edit { /* the body under inspection */
	struct mail *x;
	struct body_edit body;
	bool checks;
};

static bool stop(const struct mail *x)
{
	return mail_refused(x) || x->discard;
}

void mime_refuse(struct mail *x, const char *what, struct str text)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s: reject: mime-error %s: ", x->m.id, what);
	buf_add_safe(&b, str_sub(text, 0, 100));
	buf_addz(&b, " from ");
	log_client(x, &b);
	buf_addz(&b, "; ");
	log_parties(x, &b);
	log_info("%.*s", STRF(b));
	buf_done(&b);
	mail_refuse(x, CODE(550, 5, 6, 0), str_z(what));
}

static bool eight_bit(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 127)
			return true;
	return false;
}

static void strict_rules(struct mail *x, const struct mime_walk *w, enum mime_class what, struct str text)
{
	if (what >= MIME_HEADER_END) {
		if (set->strict_8bit_body && w->encoding != MIME_8BIT && w->encoding != MIME_BINARY && eight_bit(text))
			mime_refuse(x, "improper use of 8-bit data in message body", text);
	} else if (set->strict_7bit_headers && (x->m.flags & QUEUE_UTF8) == 0 && eight_bit(text)) {
		mime_refuse(x, "improper use of 8-bit data in message header", text);
	}
	if (set->strict_encoding && w->bad_encoding)
		mime_refuse(x, "invalid message/* or multipart/* encoding domain", text);
}

/* ---- checks ---- */

static bool mime_name(struct str text)
{
	return header_is_mime(str_trim(str_cut(&text, ':')));
}

static enum check_kind kind_of(enum mime_class what, struct str text)
{
	if (what >= MIME_HEADER_END)
		return CHECK_BODY;
	return what == MIME_PART_HEADER || mime_name(text) ? CHECK_MIME_HEADER : CHECK_NESTED_HEADER;
}

static void check_unit(struct edit *ed, enum check_kind kind, struct str text)
{
	struct buf lf = { 0 };
	struct str asked = kind == CHECK_BODY ? str_sub(text, 0, (size_t)set->line_limit) : body_edit_lf(text, &lf), before;
	enum check_result result = checks_run(ed->x, kind, &asked, &before);

	if (before.n > 0)
		body_edit_insert(&ed->body, text, before);
	if (result != CHECK_KEEP)
		body_edit_replace(&ed->body, text, asked, result == CHECK_DROP);
	buf_done(&lf);
}

static bool visit(struct mime_walk *w, enum mime_class what, struct str text)
{
	struct edit *ed = w->ctx;
	enum check_kind kind = kind_of(what, text);

	strict_rules(ed->x, w, what, text);
	if (stop(ed->x))
		return false;
	if (!ed->checks || ed->x->checks_passed || text.n == 0 || !checks_any(kind))
		return true;
	if (kind != CHECK_BODY || w->segment_octets < set->body_check_limit)
		check_unit(ed, kind, text);
	return !stop(ed->x);
}

bool body_questioned(const struct mail *x)
{
	bool checks = checks_any(CHECK_BODY) || checks_any(CHECK_MIME_HEADER) || checks_any(CHECK_NESTED_HEADER);

	if (set->force_7bit || set->strict_7bit_headers || set->strict_8bit_body || set->strict_encoding)
		return true;
	return checks && (x->req.flags & CLEANUP_NO_CHECKS) == 0 && !x->checks_passed;
}

void body_stage(struct mail *x)
{
	struct edit ed = { .x = x, .checks = (x->req.flags & CLEANUP_NO_CHECKS) == 0 };
	struct mime_walk w = { .life = x->life,
		.structure = set->mime_input,
		.nesting = set->mime_nesting,
		.boundary_length = set->boundary_length,
		.visit = visit,
		.ctx = &ed,
		.encoding = MIME_7BIT };

	if (!body_questioned(x))
		return;
	body_edit_begin(&ed.body, x->body, &x->edited);
	mime_begin(&w, &x->header);
	mime_walk(&w, x->body);
	if (x->body.n == 0)
		strict_rules(x, &w, MIME_BODY, STR_NONE);
	x->body_edited |= ed.body.changed;
	x->body = body_edit_end(&ed.body);
}

/* mta/bounce/template.c - the words of notifications. */
#include "mta/bounce/template.h"

#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"

#define FILE_MAX (256 * 1024)

static const struct template built_in[BOUNCE_KINDS] = {
	[BOUNCE_FAILURE] = { .subject = STR_INIT("Undelivered Mail Returned to Sender"),
		.postmaster_subject = STR_INIT("Postmaster Copy: Undelivered Mail"),
		.charset = STR_INIT("us-ascii"),
		.text = STR_INIT("This is the mail system at host $myhostname, reporting about your message.\n"
				 "\n"
				 "It could not be delivered to the recipients named below. Behind each of them\n"
				 "stands the reason. What was sent is attached.\n"
				 "\n"
				 "If the reason does not tell you what to do, ask the postmaster here, and quote\n"
				 "this report; the attachment may be left out.\n") },
	[BOUNCE_DELAY] = { .subject = STR_INIT("Delayed Mail (still being retried)"),
		.postmaster_subject = STR_INIT("Postmaster Warning: Delayed Mail"),
		.charset = STR_INIT("us-ascii"),
		.text = STR_INIT("This is the mail system at host $myhostname, reporting about your message.\n"
				 "\n"
				 "This is only a warning: there is no need to send the message again.\n"
				 "\n"
				 "It could not be delivered within $delay_warning_time_hours hour(s). Delivery is tried until the\n"
				 "message is $maximal_queue_lifetime_days day(s) old. Behind each recipient below stands what\n"
				 "happened at the last attempt.\n") },
	[BOUNCE_SUCCESS] = { .subject = STR_INIT("Successful Mail Delivery Report"),
		.postmaster_subject = STR_INIT("Postmaster Copy: Successful Mail Delivery Report"),
		.charset = STR_INIT("us-ascii"),
		.text = STR_INIT("This is the mail system at host $myhostname, reporting about your message.\n"
				 "\n"
				 "As you asked to be told: it was delivered to, or for, the recipients named below.\n"
				 "A host that it was handed to may report failures, but not this success.\n") },
	[BOUNCE_REPORT] = { .subject = STR_INIT("Mail Delivery Status Report"),
		.postmaster_subject = STR_INIT("Postmaster Copy: Mail Delivery Status Report"),
		.charset = STR_INIT("us-ascii"),
		.text = STR_INIT("This is the mail system at host $myhostname, with the report that you asked for.\n"
				 "\n"
				 "Behind each recipient below stands what became of the message, or would have.\n") },
};

/* ---- the file ---- */

static const struct {
	const char *name;
	enum bounce_kind kind;
} names[] = {
	{ "failure_template", BOUNCE_FAILURE },
	{ "delay_template", BOUNCE_DELAY },
	{ "success_template", BOUNCE_SUCCESS },
	{ "verify_template", BOUNCE_REPORT },
};

static bool set_header(struct str line, struct template *t)
{
	struct str value = line, name = str_cut(&value, ':');

	value = str_trim(value);
	if (str_eqiz(name, "Charset"))
		t->charset = value;
	else if (str_eqiz(name, "From"))
		t->from = value;
	else if (str_eqiz(name, "Subject"))
		t->subject = value;
	else if (str_eqiz(name, "Postmaster-Subject"))
		t->postmaster_subject = value;
	else
		return false;
	return true;
}

/* Header lines up to the empty line, then text. */
static bool set_template(struct str body, struct template *t, const char **why)
{
	while (body.n > 0) {
		struct str line = str_cut(&body, '\n');

		if (str_trim(line).n == 0)
			break;
		if (!set_header(line, t)) {
			*why = "unknown header in a template";
			return false;
		}
	}
	t->text = body;
	return true;
}

/* The lines up to the one that is `end`. False: there is none. */
static bool cut_here_text(struct str *rest, struct str end, struct str *body)
{
	const char *start = rest->p;

	while (rest->n > 0) {
		const char *line_at = rest->p;
		struct str line = str_cut(rest, '\n');

		if (str_eq(str_trim(line), end)) {
			*body = str_n(start, (size_t)(line_at - start));
			return true;
		}
	}
	return false;
}

static bool take_one(struct str name, struct str body, struct template *out, const char **why)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_eqz(name, names[i].name))
			return set_template(body, &out[names[i].kind], why);
	*why = "unknown template name";
	return false;
}

bool template_parse(struct str text, struct arena *a, struct template out[BOUNCE_KINDS], const char **why)
{
	struct str rest = arena_dup(a, text);

	while (rest.n > 0) {
		struct str line = str_trim(str_cut(&rest, '\n')), body, name;

		if (line.n == 0 || line.p[0] == '#')
			continue;
		name = str_trim(str_cut(&line, '='));
		line = str_trim(line);
		*why = "expected: name = <<WORD, lines, WORD";
		if (!str_starts(line, STR("<<")) || line.n == 2 || !cut_here_text(&rest, str_trim(str_skip(line, 2)), &body))
			return false;
		if (!take_one(name, body, out, why))
			return false;
	}
	return true;
}

void template_load(const struct conf *c, struct arena *a, struct template out[BOUNCE_KINDS])
{
	const char *path = conf_str(c, "bounce_template_file"), *why = "";
	struct buf text = { 0 };
	struct err e = ERR_INIT;

	memcpy(out, built_in, sizeof built_in);
	if (*path == '\0')
		return;
	if (fs_read_file(path, FILE_MAX, &text, &e) < 0) {
		log_warn("bounce_template_file: %s", e.text);
	} else if (!template_parse(buf_str(&text), a, out, &why)) {
		log_warn("bounce_template_file: %s: %s", path, why);
		memcpy(out, built_in, sizeof built_in);
	}
	buf_done(&text);
}

/* ---- variables ---- */

static const struct {
	const char *name;
	int64_t seconds;
} units[] = { { "seconds", 1 }, { "minutes", 60 }, { "hours", 3600 }, { "days", 86400 }, { "weeks", 604800 } };

struct lookup {
	const struct conf *conf;
	struct arena *a;
};

/* delay_warning_time_hours and its kin. */
static const char *time_in_units(struct lookup *l, struct str name, const char *param)
{
	struct str prefix = str_z(param), unit = str_skip(name, prefix.n + 1);

	if (!str_starts(name, prefix) || name.n <= prefix.n || name.p[prefix.n] != '_')
		return NULL;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (str_eqz(unit, units[i].name)) {
			struct str s = arena_printf(l->a, "%lld", (long long)(conf_time_ms(l->conf, param) / 1000 / units[i].seconds));

			return arena_z(l->a, s);
		}
	return NULL;
}

static const char *find(void *ctx, struct str name)
{
	struct lookup *l = ctx;
	const char *v = time_in_units(l, name, "delay_warning_time");

	if (v == NULL)
		v = time_in_units(l, name, "maximal_queue_lifetime");
	return v != NULL ? v : conf_lookup(l->conf, name);
}

struct str template_text(const struct conf *c, const struct template *t, struct arena *a)
{
	struct lookup l = { c, a };
	struct buf b = { 0 };
	struct err e = ERR_INIT;
	struct str text = t->text;

	if (conf_expand(t->text, find, &l, &b, &e) < 0)
		log_warn("bounce template: %s", e.text);
	else
		text = arena_dup(a, buf_str(&b));
	buf_done(&b);
	return text;
}

/* lib/smtp/command.c - the arguments of MAIL and RCPT. */
#include "lib/smtp/command.h"

static int refuse(const char **why, const char *text)
{
	*why = text;
	return -1;
}

static int take_params(struct str rest, struct smtp_path *out, bool *syntax, const char **why)
{
	for (;;) {
		struct str word = str_word(&rest, " \t");
		struct smtp_param *p = &out->params[out->param_count];

		if (word.n == 0)
			return 0;
		if (out->param_count == SMTP_PARAMS_MAX) {
			*syntax = true;
			return refuse(why, "Too many parameters");
		}
		p->value = word;
		p->name = str_cut(&p->value, '=');
		p->assigned = p->name.n < word.n;
		out->param_count++;
	}
}

int smtp_path_parse(struct str args, const char *keyword, unsigned addr_flags, struct smtp_path *out, bool *syntax, const char **why)
{
	struct str rest = str_trim(args), word = str_cut(&rest, ':');
	ptrdiff_t used;

	*syntax = true;
	out->param_count = 0;
	if (!str_eqiz(str_trim(word), keyword))
		return refuse(why, "Keyword expected");
	/* RFC 5321 has no blank behind the colon; clients that write one are too many to refuse. */
	rest = str_trim(rest);
	if (rest.n == 0)
		return refuse(why, "Address expected");
	*syntax = false;
	used = addr_parse_path(rest, addr_flags, &out->addr, why);
	if (used < 0)
		return -1;
	out->raw = str_sub(rest, 0, (size_t)used);
	rest = str_skip(rest, (size_t)used);
	if (rest.n > 0 && rest.p[0] != ' ' && rest.p[0] != '\t')
		return refuse(why, "Junk behind the address");
	return take_params(rest, out, syntax, why);
}

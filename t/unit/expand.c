/* t/unit/expand.c - lib/conf/expand.c: references, conditions, comparisons, and what is refused. */
#include "lib/conf/conf.h"
#include "t/unit/tap.h"

static const char *find(void *ctx, struct str name)
{
	static const struct {
		const char *name, *value;
	} known[] = { { "a", "alpha" }, { "empty", "" }, { "level", "3.6" }, { "n", "10" }, { "long_name1", "x" } };

	(void)ctx; /* nothing to carry */
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (str_eqz(name, known[i].name))
			return known[i].value;
	return NULL;
}

static const struct {
	const char *in, *out; /* NULL: refused */
} cases[] = {
	{ "", "" },
	{ "plain", "plain" },
	{ "$a", "alpha" },
	{ "$a.$a", "alpha.alpha" },
	{ "${a}b$(a)", "alphabalpha" },
	{ "x${a}y$", NULL },
	{ "$$a", "$a" },
	{ "cost $$5", "cost $5" },
	{ "$long_name1", "x" },
	{ "<$unknown>", "<>" },
	{ "${a?yes}", "yes" },
	{ "${a:no}", "" },
	{ "${empty?yes}", "" },
	{ "${empty:no}", "no" },
	{ "${unknown:no}", "no" },
	{ "${a?{yes}:{no}}", "yes" },
	{ "${empty?{yes}:{no}}", "no" },
	{ "${empty ? {yes} : {no}}", "no" },
	{ "${a ? {yes} : {no}}s", "yess" },
	{ "${empty?{10}:{300}}s", "300s" },
	{ "${empty:{$a}}", "alpha" },
	{ "${a?; $a}", "; alpha" },
	{ "${a?{${empty?{x}:{y$a}}}}", "yalpha" },
	{ "${{$a} == {alpha} ? {same} : {other}}", "same" },
	{ "${{$a} != {alpha} ? {other} : {same}}", "same" },
	{ "${{$a}=={beta}?{same}:{other}}", "other" },
	{ "${{$n} < {9} ? {less} : {more}}", "more" }, /* as numbers: as text it would be less */
	{ "${{$n} >= {10} ? {yes} : {no}}", "yes" },
	{ "${{b} > {a} ? {yes}}", "yes" },
	{ "${{b} < {a} ? {yes}}", "" },
	{ "${{$level} <level {3.10} ? {old} : {new}}", "old" }, /* as releases: 3.6 is older than 3.10 */
	{ "${{$level} <level {2} ? {old} : {new}}", "new" },
	{ "${{$level} >=level {3.6} ? {new} : {old}}", "new" },
	{ "${a", NULL },
	{ "$(a}", NULL },
	{ "${}", NULL },
	{ "$-", NULL },
	{ "${a b}", NULL },
	{ "${a?{x}y}", NULL },
	{ "${a?{x}:y}", NULL },
	{ "${{a} ~ {b} ? {x}}", NULL },
	{ "${{a} == b ? {x}}", NULL },
};

static void test_depth(void)
{
	struct buf in = { 0 }, out = { 0 };
	struct err e = ERR_INIT;

	for (int i = 0; i < 100; i++)
		buf_addz(&in, "${a?{");
	for (int i = 0; i < 100; i++)
		buf_addz(&in, "}}");
	is_int(conf_expand(buf_str(&in), find, NULL, &out, &e), -1, "nesting is bounded");
	buf_done(&in);
	buf_done(&out);
}

int main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf out = { 0 };
		struct err e = ERR_INIT;
		int r = conf_expand(str_z(cases[i].in), find, NULL, &out, &e);

		if (cases[i].out == NULL)
			ok(r == -1 && e.text[0] != '\0', "refused: %s (%s)", cases[i].in, e.text);
		else if (!ok(r == 0 && str_eqz(buf_str(&out), cases[i].out), "%s", cases[i].in))
			diag("got \"%s\" %s", buf_z(&out), e.text);
		buf_done(&out);
	}
	test_depth();
	return done_testing();
}

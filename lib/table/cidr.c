/* lib/table/cidr.c - cidr:file, networks in order, first match wins: cidr_table(5). */
#include "lib/base/mem.h"
#include "lib/table/radix.h"
#include "lib/table/registry.h"
#include "lib/table/rules.h"

static int cut_network(struct str *rest, struct str *pattern, struct str *flags, struct err *e)
{
	*flags = STR_NONE;
	*pattern = str_word(rest, " \t");
	return pattern->n > 0 ? 0 : err_perm(e, "\"network/bits result\" expected");
}

static void *compile_network(struct str pattern, struct str flags, size_t *groups, struct err *e)
{
	struct ip_net *net = mem_alloc(sizeof *net);
	const char *why = "";

	(void)flags; /* there are none */
	*groups = 0;
	if (ip_net_parse(pattern, net, &why))
		return net;
	(void)err_perm(e, "%s: \"%.*s\"", why, STRF(pattern));
	mem_free(net);
	return NULL;
}

static bool parse_subject(struct rule_subject *s)
{
	return ip_parse(s->text, &s->ip);
}

static int match_network(const void *compiled, struct rule_subject *s, struct err *e)
{
	const struct ip_net *net = compiled;

	(void)e; /* cannot fail */
	if (s->ip.v4 != net->base.v4)
		return RULE_NEITHER;
	return ip_in_net(&s->ip, net);
}

static void *index_new(void)
{
	return radix_new();
}

static void index_add(void *index, const void *compiled, size_t number)
{
	radix_add(index, compiled, (uint32_t)number);
}

static size_t index_find(const void *index, const struct rule_subject *s)
{
	uint32_t found = radix_find(index, &s->ip);

	return found == RADIX_NONE ? SIZE_MAX : found;
}

static void index_free(void *index)
{
	radix_free(index);
}

static const struct rule_index networks = { index_new, index_add, index_find, index_free };
static const struct rule_engine engine = { cut_network, compile_network, parse_subject, match_network, mem_free, &networks };

static void *cidr_parse(const char *file, struct buf *text, struct complaints *c)
{
	return rules_parse(&engine, file, buf_str(text), c);
}

static void cidr_free(void *content)
{
	rules_free(content);
}

static int cidr_open(struct table *t, struct str name, struct err *e)
{
	static const struct source_format format = { cidr_parse, cidr_free, true };

	t->state = source_open(t, name, &format, e);
	return t->state == NULL ? -1 : 0;
}

static enum table_answer cidr_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	enum table_answer answer = rules_lookup(source_use(t->state), key, value, e);

	source_release(t->state);
	return answer;
}

static void cidr_close(struct table *t)
{
	source_close(t->state);
}

const struct table_type table_cidr = { "cidr", TABLE_THREAD_OK | TABLE_PATTERN, cidr_open, cidr_lookup, cidr_close };

/* t/unit/address.c - lib/table/address.c: which keys are asked, in which order, and what extension is left. */
#include "lib/table/table.h"
#include "t/unit/tap.h"

static const struct {
	const char *tables, *address;
	bool local;
	const char *want, *ext; /* want "-": missing */
} addresses[] = {
	{ "inline:{ joe+x@d.e=full, joe@d.e=base }", "Joe+x@d.e", false, "full", "" },
	{ "inline:{ joe@d.e=base, @d.e=all }", "joe+x@d.e", false, "base", "+x" },
	{ "inline:{ @d.e=all, joe=local }", "joe+x@d.e", false, "all", "" },
	{ "inline:{ @d.e=all, joe=local }", "joe+x@d.e", true, "local", "+x" },
	{ "inline:{ joe+x=ext, joe=local }", "joe+x@d.e", true, "ext", "" },
	{ "inline:{ joe=local }", "joe@d.e", false, "-", "" },
	{ "inline:{ joe=local }", "joe", false, "local", "" },
	{ "inline:{ joe=local }", "joe+x", false, "local", "+x" },
	{ "inline:{ x=1 } inline:{ @d.e=two }", "joe@d.e", false, "two", "" },
	{ "regexp:{{/^joe@d.e$/ whole}}", "joe+x@d.e", false, "-", "" }, /* patterns are never asked with parts */
	{ "regexp:{{/^@d.e$/ domain}}", "joe@d.e", false, "-", "" },
	{ "regexp:{{/joe/ whole}}", "joe+x@d.e", false, "whole", "" },
};

static const struct {
	const char *tables, *domain;
	bool plain;
	const char *want;
} domains[] = {
	{ "inline:{ a.b.c=own, .b.c=parent }", "A.b.c", false, "own" },
	{ "inline:{ .b.c=parent, b.c=exact }", "a.b.c", false, "parent" },
	{ "inline:{ .b.c=parent, b.c=exact }", "a.b.c", true, "exact" },
	{ "inline:{ .c=top }", "a.b.c", false, "top" },
	{ "inline:{ .b.c=parent }", "b.c", false, "-" },
	{ "inline:{ b.c=exact }", "xb.c", true, "-" },
	{ "cidr:{{1.2.3.0/24 net}}", "1.2.3.4", false, "net" },
};

int main(void)
{
	struct arena *a = arena_new("test");
	struct tables ts;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		struct buf value = { 0 };
		struct str ext = STR("?");

		if (!ok(tables_open(a, addresses[i].tables, ".", &ts, &e) == 0, "open"))
			diag("%s", e.text);
		if (tables_lookup_address(&ts, str_z(addresses[i].address), "+", addresses[i].local, &value, &ext, &e) != TABLE_FOUND)
			buf_addz(&value, "-");
		is_str(buf_str(&value), str_z(addresses[i].want), addresses[i].address);
		is_str(ext, str_z(addresses[i].ext), "extension");
		tables_close(&ts);
		buf_done(&value);
	}
	for (size_t i = 0; i < sizeof domains / sizeof *domains; i++) {
		struct buf value = { 0 };

		ok(tables_open(a, domains[i].tables, ".", &ts, &e) == 0, "open");
		if (tables_lookup_domain(&ts, str_z(domains[i].domain), domains[i].plain, &value, &e) != TABLE_FOUND)
			buf_addz(&value, "-");
		is_str(buf_str(&value), str_z(domains[i].want), domains[i].domain);
		tables_close(&ts);
		buf_done(&value);
	}
	arena_free(a);
	return done_testing();
}

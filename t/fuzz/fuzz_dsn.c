/* t/fuzz/fuzz_dsn.c - enhanced codes and the DSN parameters. */
#include "lib/mail/dsn.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = fuzz_str(data, size);
	struct code c = { 0 }, again = { 0 };
	struct buf text = { 0 };
	size_t skip = dsn_parse(in, &c);
	int bits = dsn_notify_parse(in);

	check(skip <= size && (skip > 0) == (c.c != 0));
	dsn_print(&text, c);
	check(skip == 0 || (dsn_parse(buf_str(&text), &again) == text.n && again.s == c.s && again.d == c.d));
	check(bits == -1 || (bits > 0 && (bits == DSN_NOTIFY_NEVER || !(bits & DSN_NOTIFY_NEVER))));
	if (dsn_orcpt_valid(in))
		check(str_chr(in, ';') > 0 && str_any(in, "\r\n ") < 0);
	buf_done(&text);
	return 0;
}

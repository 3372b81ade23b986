/* t/fuzz/fuzz_reply.c - replies from any server: bounded, with a code or an error, and nothing unprintable in the text. */
#include "lib/smtp/reply.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = fuzz_str(data, size), args;
	struct smtp_reply r = { 0 };
	struct err e = ERR_INIT;
	int last = 0;

	while (last == 0 && rest.n > 0)
		last = smtp_reply_line(&r, str_cut(&rest, '\n'), &e);
	check(last < 0 ? e.kind == ERR_TEMP : size == 0 || (r.code.smtp >= 200 && r.code.smtp <= 599));
	check(r.code.smtp / 100 == r.code.c && r.text.n <= size + 1);
	for (size_t i = 0; i < r.text.n; i++)
		check(r.text.p[i] >= ' ' && r.text.p[i] <= '~');
	smtp_reply_offers(&r, "SIZE", &args);
	smtp_reply_done(&r);
	return 0;
}

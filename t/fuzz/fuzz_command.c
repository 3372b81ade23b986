/* t/fuzz/fuzz_command.c - arguments of MAIL and RCPT: every refusal has a reason, every slice lies inside the line. */
#include "lib/smtp/command.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = fuzz_str(data, size);

	for (unsigned flags = 0; flags < 8; flags++) {
		struct smtp_path p = { 0 };
		const char *why = NULL;
		size_t total = 0;
		bool syntax;

		if (smtp_path_parse(in, flags & 1 ? "FROM" : "TO", flags, &p, &syntax, &why) < 0) {
			check(why != NULL);
			continue;
		}
		check(p.param_count <= SMTP_PARAMS_MAX && p.raw.n > 0);
		for (size_t i = 0; i < p.param_count; i++)
			total += p.params[i].name.n + p.params[i].value.n;
		check(total + p.raw.n <= size);
	}
	return 0;
}

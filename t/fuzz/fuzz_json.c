/* t/fuzz/fuzz_json.c - events that other hosts put into Redis or the ring: whatever a line holds, reading a member ends within it; and what we write
 * we read again.
 */
#include "lib/base/json.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const members[] = { "ts", "sid", "qid", "kind", "text", "checks", "us" };
	struct str text = fuzz_str(data, size);
	struct buf value = { 0 }, event = { 0 }, again = { 0 };
	int64_t number;

	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		buf_clear(&value);
		if (json_get_string(text, members[i], &value))
			check(value.n <= 3 * size); /* \uXXXX is three octets at most */
		(void)json_get_number(text, members[i], &number);
	}
	buf_addc(&event, '{');
	json_add_member(&event, "text", text);
	json_add_number(&event, "us", (int64_t)size);
	buf_addc(&event, '}');
	buf_clear(&value);
	check(json_get_string(buf_str(&event), "text", &value));
	check(json_get_number(buf_str(&event), "us", &number) && number == (int64_t)size);
	buf_clear(&event); /* bytes that were no UTF-8 have become U+FFFD: from now on nothing changes */
	buf_addc(&event, '{');
	json_add_member(&event, "text", buf_str(&value));
	buf_addc(&event, '}');
	check(json_get_string(buf_str(&event), "text", &again) && str_eq(buf_str(&again), buf_str(&value)));
	buf_done(&value);
	buf_done(&event);
	buf_done(&again);
	return 0;
}

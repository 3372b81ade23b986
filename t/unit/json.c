/* t/unit/json.c - JSON written, and read back. */
#include "lib/base/json.h"

#include <string.h>

#include "t/unit/tap.h"

static const struct {
	const char *in;
	size_t n;
	const char *out;
} strings[] = {
	{ "", 0, "\"\"" },
	{ "plain text", 10, "\"plain text\"" },
	{ "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
	{ "\r\n\t\b\f", 5, "\"\\r\\n\\t\\b\\f\"" },
	{ "\x01\x1f\x7f\0x", 5, "\"\\u0001\\u001f\\u007f\\u0000x\"" },
	{ "gr\xc3\xbc\xc3\x9f", 6, "\"gr\xc3\xbc\xc3\x9f\"" },
	{ "gr\xfc", 3, "\"gr\\ufffd\"" },
};

int main(void)
{
	struct buf b = { 0 }, out = { 0 };
	struct str object;
	int64_t n = 0;

	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
		buf_clear(&b);
		json_add_string(&b, str_n(strings[i].in, strings[i].n));
		is_str(buf_str(&b), str_z(strings[i].out), strings[i].out);
	}
	buf_clear(&b);
	buf_addc(&b, '{');
	json_add_member(&b, "text", STR("\"name\":\"false\",\n\\"));
	json_add_number(&b, "us", -5);
	json_add_member(&b, "name", STR("true \x01\xc3\xa9"));
	buf_addc(&b, '}');
	object = buf_str(&b);
	is_str(object, STR("{\"text\":\"\\\"name\\\":\\\"false\\\",\\n\\\\\",\"us\":-5,\"name\":\"true \\u0001\xc3\xa9\"}"), "an object");
	ok(json_get_string(object, "name", &out), "a member is found");
	is_str(buf_str(&out), STR("true \x01\xc3\xa9"), "its value, not what looks like one inside another");
	ok(json_get_string(object, "text", &out), "another one");
	is_str(buf_str(&out), STR("\"name\":\"false\",\n\\"), "unescaped");
	ok(json_get_number(object, "us", &n) && n == -5, "a number");
	ok(!json_get_string(object, "us", &out) && !json_get_number(object, "name", &n), "each is what it is");
	ok(!json_get_string(object, "nam", &out) && !json_get_string(STR("{}"), "x", &out) && !json_get_string(STR_NONE, "x", &out), "what is not there");
	for (size_t i = 0; i <= object.n; i++) {
		struct str cut = str_sub(object, 0, i);

		(void)json_get_string(cut, "name", &out);
		(void)json_get_number(cut, "us", &n);
	}
	ok(json_get_string(STR("{\"a\":\"\\u20acx\\/\"}"), "a", &out), "escapes others write");
	is_str(buf_str(&out), STR("\xe2\x82\xacx/"), "are understood");
	ok(true, "cut anywhere: no harm");
	buf_done(&b);
	buf_done(&out);
	return done_testing();
}

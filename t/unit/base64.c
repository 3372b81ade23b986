/* t/unit/base64.c - RFC 4648 section 10, and what is not base64. */
#include "lib/base/base64.h"

#include "t/unit/tap.h"

static const struct {
	const char *plain, *coded;
} pairs[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
	{ "\xfb\xff\xbe", "+/++" },
};

static const char *const wrong[] = {
	"Z", "Zg", "Zg=", "Zg===", "Z===", "====", "=", "Zg==Zg==", "Zm 9", "Zm9\n", "Zh==", "Zm9=", "Zm-_", "Z=g=", "Zm9v=",
};

int main(void)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		buf_clear(&b);
		base64_encode(&b, str_z(pairs[i].plain));
		is_str(buf_str(&b), str_z(pairs[i].coded), "encoded");
		buf_clear(&b);
		ok(base64_decode(&b, str_z(pairs[i].coded)) == 0, "accepted");
		is_str(buf_str(&b), str_z(pairs[i].plain), "decoded");
	}
	buf_clear(&b);
	buf_addz(&b, "kept");
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ok(base64_decode(&b, str_z(wrong[i])) == -1, "refused: %s", wrong[i]);
	is_str(buf_str(&b), STR("kept"), "output unchanged");
	ok(strcmp(b.p, "kept") == 0, "and terminated");
	ok(base64_decode(&b, STR("AAA=")) == 0 && b.n == 6 && b.p[4] == 0 && b.p[5] == 0, "NUL octets");
	buf_done(&b);
	return done_testing();
}

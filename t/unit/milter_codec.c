/* t/unit/milter_codec.c - packets of the milter protocol: bounds, forms of replies, reply texts. */
#include "lib/milter/codec.h"

#include "t/unit/tap.h"

static const struct {
	char command;
	struct str payload;
	bool good;
	const char *a, *b;
	uint32_t index;
} replies[] = {
	{ 'c', STR_INIT(""), true, "", "", 0 },
	{ 'c', STR_INIT("x"), false, "", "", 0 }, /* nothing may follow */
	{ 'h', STR_INIT("X-A\0one\0"), true, "X-A", "one", 0 },
	{ 'h', STR_INIT("X-A\0one"), false, "", "", 0 }, /* no NUL at the end */
	{ 'h', STR_INIT("X-A\0"), false, "", "", 0 },
	{ 'h', STR_INIT("X-A\0\0"), true, "X-A", "", 0 },
	{ 'h', STR_INIT("X-A\0a\0b\0"), false, "", "", 0 },
	{ 'i', STR_INIT("\0\0\0\2N\0v\0"), true, "N", "v", 2 },
	{ 'i', STR_INIT("\0\0\0"), false, "", "", 0 },
	{ 'm', STR_INIT("\xff\xff\xff\xffN\0\0"), true, "N", "", 0xffffffff },
	{ 'e', STR_INIT("<a@b>\0"), true, "<a@b>", "", 0 },
	{ 'e', STR_INIT("<a@b>\0RET=HDRS\0"), true, "<a@b>", "RET=HDRS", 0 },
	{ '2', STR_INIT("<a@b>\0NOTIFY=NEVER\0x\0"), false, "", "", 0 },
	{ '+', STR_INIT("<a@b>\0"), true, "<a@b>", "", 0 },
	{ 'b', STR_INIT("any \0 bytes"), true, "any \0 bytes", "", 0 },
	{ 'q', STR_INIT("why\0"), true, "why", "", 0 },
	{ 'l', STR_INIT(""), false, "", "", 0 }, /* only inside negotiation */
	{ 'Z', STR_INIT("what"), false, "", "", 0 },
};

static void test_replies(void)
{
	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
		struct reply r;
		bool good = reply_parse(replies[i].command, replies[i].payload, &r);

		ok(good == replies[i].good, "reply %zu '%c' is %s", i, replies[i].command, replies[i].good ? "taken" : "refused");
		if (!good || !replies[i].good || replies[i].command == 'b')
			continue;
		is_str(r.a, str_z(replies[i].a), "first text");
		is_str(r.b, str_z(replies[i].b), "second text");
		is_int(r.index, replies[i].index, "index");
	}
}

static const struct {
	const char *in;
	bool good;
	struct code code;
	const char *text;
} texts[] = {
	{ "554 5.7.99 refused", true, { 554, 5, 7, 99 }, "refused" },
	{ "451 4.7.98 later", true, { 451, 4, 7, 98 }, "later" },
	{ "550 no enhanced code", true, { 550, 0, 0, 0 }, "no enhanced code" },
	{ "550-5.7.1 first\r\n550-5.7.1 second\r\n550 5.7.1 third", true, { 550, 5, 7, 1 }, "first\nsecond\nthird" },
	{ "550-5.7.1 first\r\n550 without", true, { 550, 0, 0, 0 }, "5.7.1 first\nwithout" },
	{ "550 5.7.1 100%% sure", true, { 550, 5, 7, 1 }, "100% sure" },
	{ "550 5.7.1 lone % and %s", true, { 550, 5, 7, 1 }, "lone  and s" },
	{ "550 5.7.1 end%", true, { 550, 5, 7, 1 }, "end" },
	{ "550 5.7.1 bell \a", true, { 550, 5, 7, 1 }, "bell  " },
	{ "421 4.7.0 bye", true, { 421, 4, 7, 0 }, "bye" },
	{ "550", true, { 550, 0, 0, 0 }, "" },
	{ "250 2.0.0 fine", false, { 0, 0, 0, 0 }, "" },
	{ "55 short", false, { 0, 0, 0, 0 }, "" },
	{ "5500 long", false, { 0, 0, 0, 0 }, "" },
	{ "550 4.7.1 mismatch", false, { 0, 0, 0, 0 }, "" },
	{ "", false, { 0, 0, 0, 0 }, "" },
	{ "nonsense", false, { 0, 0, 0, 0 }, "" },
	{ "550-5.7.1 a\r\n551 5.7.1 b", false, { 0, 0, 0, 0 }, "" },
	{ "550 5.7.1 a\r\n550 5.7.1 b", false, { 0, 0, 0, 0 }, "" }, /* a line too many */
	{ "550-5.7.1 a\r\n550-5.7.1 b", false, { 0, 0, 0, 0 }, "" }, /* a line too few */
	{ "550-5.7.1 a\r\nfoo", false, { 0, 0, 0, 0 }, "" },
};

static void test_texts(void)
{
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct buf b = { 0 };
		struct code c = { 0, 0, 0, 0 };

		if (ok(reply_text_parse(str_z(texts[i].in), &c, &b) == texts[i].good, "\"%.20s\"", texts[i].in) && texts[i].good) {
			ok(c.smtp == texts[i].code.smtp && c.c == texts[i].code.c && c.s == texts[i].code.s && c.d == texts[i].code.d,
				"code %d %d.%d.%d", c.smtp, c.c, c.s, c.d);
			is_str(buf_str(&b), str_z(texts[i].text), "text");
		}
		buf_done(&b);
	}
}

static void test_heads(void)
{
	static const unsigned char zero[5] = { 0, 0, 0, 0, 'c' }, one[5] = { 0, 0, 0, 1, 'c' }, huge[5] = { 0x7f, 0xff, 0xff, 0xff, 'c' };
	size_t n = 99;
	char command = 0;

	ok(!packet_head_parse(zero, &n, &command), "length 0 is refused");
	ok(!packet_head_parse(huge, &n, &command), "an unreasonable length is refused");
	ok(packet_head_parse(one, &n, &command) && n == 0 && command == 'c', "length 1 is a command alone");
}

static void test_optneg(void)
{
	struct str payload = STR("\0\0\0\6\0\0\1\xff\0\0\0\0\0\0\0\2i {mail_addr}\0\0\0\0\5"), names = STR_NONE;
	struct optneg o;
	uint32_t stage = 99;

	ok(optneg_parse(payload, &o) && o.version == 6 && o.actions == 0x1ff && o.protocol == 0, "negotiation answer");
	ok(optneg_next_list(&o.lists, &stage, &names) && stage == 2, "a macro list follows");
	is_str(names, STR("i {mail_addr}"), "its names");
	ok(!optneg_next_list(&o.lists, &stage, &names), "a stage without names is no list");
	ok(!optneg_parse(str_sub(payload, 0, 11), &o), "too short");
}

static void test_building(void)
{
	struct buf b = { 0 };
	size_t at = packet_begin(&b, 'M');

	packet_z(&b, STR("a\0b"));
	packet_end(&b, at);
	is_str(buf_str(&b), STR("\0\0\0\3Ma\0"), "a text ends at its first NUL");
	buf_done(&b);
}

int main(void)
{
	test_replies();
	test_texts();
	test_heads();
	test_optneg();
	test_building();
	return done_testing();
}

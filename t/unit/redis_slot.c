/* t/unit/redis_slot.c - the slot of a key, and which word of a command is the key. */
#include <hiredis/hiredis.h>

#include "lib/net/redis_parts.h"
#include "t/unit/tap.h"

static const struct {
	const char *key;
	unsigned slot;
} slots[] = {
	{ "123456789", 0x31c3 },
	{ "foo", 12182 },
	{ "{foo}bar", 12182 },
	{ "x{foo}", 12182 },
	{ "{}foo", 9500 }, /* an empty tag is none */
	{ "", 0 },
};

static const struct {
	const char *words[6];
	const char *key;
} commands[] = {
	{ { "GET", "k" }, "k" },
	{ { "set", "k", "v" }, "k" },
	{ { "EVALSHA", "abc", "2", "k1", "k2", "arg" }, "k1" },
	{ { "EVAL", "return 1", "0" }, "" },
	{ { "PING" }, "" },
	{ { "SCAN", "0" }, "" },
};

int main(void)
{
	for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
		is_int(redis_slot(str_z(slots[i].key)), slots[i].slot, slots[i].key);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		struct str words[6], text;
		size_t n = 0;

		while (n < 6 && commands[i].words[n] != NULL) {
			words[n] = str_z(commands[i].words[n]);
			n++;
		}
		text = redis_format(n, words);
		is_str(redis_command_key(text), str_z(commands[i].key), commands[i].words[0]);
		is_str(redis_command_word(text, n), STR_NONE, "no word behind the last");
		redisFreeCommand((char *)(uintptr_t)text.p);
	}
	return done_testing();
}

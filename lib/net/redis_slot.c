/* lib/net/redis_slot.c - formatted commands, the key in them, and the slot of a Redis cluster it belongs to. */
#include <hiredis/hiredis.h>

#include "lib/base/mem.h"
#include "lib/net/redis_parts.h"
#include "lib/net/redis_value.h"

struct str redis_format(size_t argc, const struct str *argv)
{
	const char *words[REDIS_ARGS_MAX];
	size_t sizes[REDIS_ARGS_MAX];
	char *text = NULL;
	int n;

	check(argc > 0 && argc <= REDIS_ARGS_MAX);
	for (size_t i = 0; i < argc; i++) {
		words[i] = argv[i].p;
		sizes[i] = argv[i].n;
	}
	n = redisFormatCommandArgv(&text, (int)argc, words, sizes);
	check(n > 0);
	return str_n(text, (size_t)n);
}

/* "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" */
struct str redis_command_word(struct str command, size_t i)
{
	struct str word = STR_NONE;

	str_cut(&command, '\n');
	for (size_t k = 0; k <= i; k++) {
		uint64_t n;

		if (command.n == 0 || !str_to_u64(str_trim(str_skip(str_cut(&command, '\n'), 1)), command.n, &n))
			return STR_NONE;
		word = str_sub(command, 0, (size_t)n);
		command = str_skip(command, (size_t)n + 2);
	}
	return word;
}

struct str redis_command_key(struct str command)
{
	static const char *const keyless[] = { "PING", "INFO", "ROLE", "SCRIPT", "CLUSTER", "CLIENT", "CONFIG", "SCAN" };
	struct str verb = redis_command_word(command, 0);

	if (str_eqiz(verb, "EVALSHA") || str_eqiz(verb, "EVAL"))
		return str_eqz(redis_command_word(command, 2), "0") ? STR_NONE : redis_command_word(command, 3);
	for (size_t i = 0; i < sizeof keyless / sizeof *keyless; i++)
		if (str_eqiz(verb, keyless[i]))
			return STR_NONE;
	return redis_command_word(command, 1);
}

/* CRC16 (XMODEM) of what is between the first '{' and the next '}', or of the whole key when that is nothing. */
unsigned redis_slot(struct str key)
{
	ptrdiff_t open = str_chr(key, '{');
	struct str tag = open < 0 ? STR_NONE : str_skip(key, (size_t)open + 1);
	ptrdiff_t end = str_chr(tag, '}');
	unsigned crc = 0;

	if (end > 0)
		key = str_sub(tag, 0, (size_t)end);
	for (size_t i = 0; i < key.n; i++) {
		crc ^= (unsigned)(unsigned char)key.p[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
	}
	return crc % REDIS_SLOTS;
}

/* t/fuzz/fuzz_queue.c - arbitrary bytes as a message file: queue_load and the status records. Inputs whose first byte is odd get their
 * checksum repaired, so that what lies behind it is reached.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/hash.h"
#include "lib/queue/queue.h"
#include "t/fuzz/fuzz.h"

static uint64_t number(const unsigned char *p, int octets)
{
	uint64_t v = 0;

	for (int i = 0; i < octets; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void repair(unsigned char *p, size_t size)
{
	static const unsigned char front[12] = { 'G', 'P', 'q', 'u', 'e', 'u', 'e', '\n', 1, 0, QUEUE_SUPER_SIZE, 0 };
	uint64_t at = number(p + 56, 8), n = number(p + 64, 4), rcpts = number(p + 68, 4);
	uint32_t crc;

	memcpy(p, front, sizeof front);
	crc = hash_crc32c(0, p, 124);
	if (at <= size && n <= size - at && rcpts <= n)
		crc = hash_crc32c(crc, p + at, (size_t)(n - rcpts));
	for (int i = 0; i < 4; i++)
		p[124 + i] = (unsigned char)(crc >> (8 * i));
}

static void load(int fd)
{
	struct arena *a = arena_new("fuzz");
	struct err e = ERR_INIT;
	struct queue_status *st;
	struct queue_message m;
	size_t count;

	if (queue_load(fd, "4fuzz0z1", false, a, &m, &e) == 0) {
		(void)queue_load(fd, "", true, a, &m, &e);
		(void)queue_load_status(fd, &m, a, &st, &count, &e);
		(void)queue_trim_status(fd, &m, &e);
	}
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	unsigned char *copy;

	if (size < 1)
		return 0;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	copy = malloc(size);
	if (copy == NULL)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if ((data[0] & 1) && size > QUEUE_SUPER_SIZE)
		repair(copy, size - 1);
	if (fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, copy, size - 1, 0) == (ssize_t)(size - 1))
		load(fd);
	free(copy);
	return 0;
}

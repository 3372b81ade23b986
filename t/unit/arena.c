/* t/unit/arena.c - lifetimes: allocation, deferred calls, reset. */
#include "lib/base/arena.h"

#include "t/unit/tap.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

static char order[16];

static void note(void *arg)
{
	size_t n = strlen(order);

	order[n] = *(const char *)arg;
}

static void registers_again(void *arg)
{
	note("r");
	arena_defer(arg, note, "x");
}

static void allocation(struct arena *a)
{
	size_t bad = 0;

	for (size_t n = 1; n < 3000; n += 7) {
		unsigned char *p = arena_alloc(a, n);

		bad += (uintptr_t)p % _Alignof(max_align_t) != 0;
		for (size_t i = 0; i < n; i++)
			bad += p[i] != 0;
		memset(p, 0xff, n);
	}
	is_int((long long)bad, 0, "everything is aligned and zero");
	arena_reset(a);
	bad = 0;
	for (const unsigned char *p = arena_alloc(a, 700), *end = p + 700; p < end; p++)
		bad += *p != 0;
	is_int((long long)bad, 0, "zero again after reset");
	ok(arena_alloc(a, 0) != NULL, "zero octets are something");
	memset(arena_alloc(a, 5 * 1024 * 1024), 1, 5 * 1024 * 1024);
	ok(arena_size(a) > 5 * 1024 * 1024, "a large block counts");
	arena_reset(a);
	ok(arena_size(a) <= 1536, "an idle arena is small: %zu octets", arena_size(a));
}

static void texts(struct arena *a)
{
	struct str s = arena_dup(a, STR("Some Text"));

	is_str(s, STR("Some Text"), "dup");
	is_str(arena_dup(a, STR_NONE), STR(""), "dup of nothing");
	ok(strcmp(arena_z(a, s), "Some Text") == 0, "NUL-terminated");
	is_str(arena_lower(a, s), STR("some text"), "lower");
	is_str(s, STR("Some Text"), "of a copy");
	is_str(arena_printf(a, "%s-%d", "x", 5), STR("x-5"), "printf");
}

int main(void)
{
	struct arena *a = arena_new("test");

	allocation(a);
	texts(a);
	arena_defer(a, note, "1");
	arena_defer(a, registers_again, a);
	arena_defer(a, note, "2");
	arena_reset(a);
	ok(strcmp(order, "2rx1") == 0, "deferred calls run last first, also those registered meanwhile: %s", order);
	arena_reset(a);
	ok(strcmp(order, "2rx1") == 0, "and once");
#if defined(__SANITIZE_ADDRESS__)
	char *stale = arena_alloc(a, 10);

	ok(!__asan_address_is_poisoned(stale + 9) && __asan_address_is_poisoned(stale + 10), "a gap behind each allocation");
	arena_reset(a);
	ok(__asan_address_is_poisoned(stale), "stale memory is poisoned");
#endif
	arena_defer(a, note, "3");
	arena_free(a);
	ok(strcmp(order, "2rx13") == 0, "free runs them, too");
	arena_free(NULL);
	return done_testing();
}

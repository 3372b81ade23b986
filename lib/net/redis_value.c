/* lib/net/redis_value.c - the object functions of hiredis' reader: answers become struct redis_value in an arena.
 * The server's word is not trusted: an array's announced size is checked before memory is taken for it. Returning NULL makes the
 * reader fail as if out of memory.
 */
#include "lib/net/redis_value.h"

#include <stddef.h>

#include <hiredis/hiredis.h>
#include <hiredis/read.h>

/* hiredis 1.0 widened the element count. */
#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

/* What the reader carries along: the memory, and how many array members may still be announced (nested arrays multiply). */
struct budget {
	struct arena *a;
	size_t items;
};

static struct arena *memory(const redisReadTask *task)
{
	return ((struct budget *)task->privdata)->a;
}

/* Where this value goes: into its parent's array, or a place of its own for the outermost. */
static struct redis_value *place(const redisReadTask *task)
{
	const struct redis_value *parent;

	if (task->parent == NULL)
		return arena_alloc(memory(task), sizeof(struct redis_value));
	parent = task->parent->obj;
	return (struct redis_value *)(uintptr_t)&parent->items[task->idx];
}

static void *create_string(const redisReadTask *task, char *p, size_t n)
{
	struct redis_value *v = place(task);

	v->type = task->type == REDIS_REPLY_ERROR ? REDIS_ERROR : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS : REDIS_STRING;
	v->text = arena_dup(memory(task), str_n(p, n));
	return v;
}

static void *create_array(const redisReadTask *task, element_count count)
{
	struct redis_value *v = place(task);
	struct budget *left = task->privdata;

	if ((size_t)count > left->items)
		return NULL;
	left->items -= (size_t)count;
	v->type = REDIS_ARRAY;
	v->count = (size_t)count;
	v->items = arena_alloc(memory(task), (v->count + 1) * sizeof *v->items);
	return v;
}

static void *create_integer(const redisReadTask *task, long long n)
{
	struct redis_value *v = place(task);

	v->type = REDIS_INTEGER;
	v->integer = n;
	return v;
}

static void *create_nil(const redisReadTask *task)
{
	struct redis_value *v = place(task);

	v->type = REDIS_NIL;
	return v;
}

static void free_object(void *object)
{
	(void)object; /* the arena has it */
}

struct redisReader *redis_reader_new(struct arena *a)
{
	static redisReplyObjectFunctions functions = {
		.createString = create_string,
		.createArray = create_array,
		.createInteger = create_integer,
		.createNil = create_nil,
		.freeObject = free_object,
	};
	redisReader *reader = redisReaderCreateWithFunctions(&functions);
	struct budget *left = arena_alloc(a, sizeof *left);

	*left = (struct budget){ a, REDIS_ITEMS_MAX };
	reader->privdata = left;
	return reader;
}

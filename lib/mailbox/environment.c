/* lib/mailbox/environment.c - what a command is started with: its arguments and its environment. */
#include "lib/base/mem.h"
#include "lib/mailbox/command.h"

static const char plain[] = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \t";

/* Needs no shell: no character it would look at, and a path as its first word. */
static bool is_simple(struct str line)
{
	struct str rest = line;

	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '\0' || strchr(plain, line.p[i]) == NULL)
			return false;
	}
	return str_chr(str_word(&rest, " \t"), '/') >= 0;
}

static const char *const *shell_argv(struct arena *a, struct str line, const char *shell)
{
	const char **argv = arena_alloc(a, 4 * sizeof *argv);

	argv[0] = shell;
	argv[1] = "-c";
	argv[2] = arena_z(a, line);
	return argv;
}

/* local_command_shell has its own arguments, and the command is one more. */
static const char *const *custom_argv(struct arena *a, struct str line, const char *shell)
{
	struct str rest = str_z(shell), word;
	const char **argv = arena_alloc(a, (rest.n / 2 + 3) * sizeof *argv);
	size_t n = 0;

	while ((word = str_word(&rest, " \t")).n > 0)
		argv[n++] = arena_z(a, word);
	argv[n] = arena_z(a, line);
	return argv;
}

const char *const *command_argv(struct arena *a, struct str line, const char *shell)
{
	const char **argv;
	struct str word;
	size_t n = 0;

	line = str_trim(line);
	if (shell[0] != '\0')
		return custom_argv(a, line, shell);
	if (!is_simple(line))
		return shell_argv(a, line, "/bin/sh");
	argv = arena_alloc(a, (line.n / 2 + 2) * sizeof *argv);
	while ((word = str_word(&line, " \t")).n > 0)
		argv[n++] = arena_z(a, word);
	return argv;
}

/* ---- environment ---- */

void environment_init(struct environment *env, struct arena *a)
{
	*env = (struct environment){ .a = a, .cap = 64 };
	env->v = arena_alloc(a, (env->cap + 1) * sizeof *env->v);
	environment_set(env, "PATH", STR("/usr/local/bin:/usr/bin:/bin"));
}

static void put(struct environment *env, struct str name, const char *pair)
{
	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->v[i], name.p, name.n) == 0 && env->v[i][name.n] == '=') {
			env->v[i] = pair;
			return;
		}
	}
	if (env->count < env->cap)
		env->v[env->count++] = pair;
}

void environment_set(struct environment *env, const char *name, struct str value)
{
	put(env, str_z(name), arena_z(env->a, arena_printf(env->a, "%s=%.*s", name, STRF(value))));
}

void environment_export(struct environment *env, const char *words)
{
	struct str rest = str_z(words), word;

	while ((word = str_word_braced(&rest)).n > 0) {
		const char *value;

		if (word.n > 2 && word.p[0] == '{')
			word = str_trim(str_sub(word, 1, word.n - 2));
		if (str_chr(word, '=') > 0) {
			put(env, str_sub(word, 0, (size_t)str_chr(word, '=')), arena_z(env->a, word));
			continue;
		}
		value = getenv(arena_z(env->a, word));
		if (value != NULL)
			environment_set(env, arena_z(env->a, word), str_z(value));
	}
}

const char *const *environment_list(const struct environment *env)
{
	return env->v;
}

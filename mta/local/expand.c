/* mta/local/expand.c - what a name stands for: aliases, .forward files, :include: files.
 * Security: files of users are opened only in a child that is the user; who may write to a file decides whether it is believed, and who
 * owns it as whom its commands run.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/mailbox/worker.h"
#include "lib/net/fiber.h"
#include "mta/local/local.h"

#define FORWARD_MAX 65536 /* octets of a .forward file */
#define INCLUDE_MAX (CHILD_REPORT_MAX - 1)
#define FORWARD_PATHS_MAX (WORKER_TEXTS_MAX - 1)
#define READ_LIMIT_MS 60000

/* ---- owners ---- */

int default_identity(struct arena *a, struct identity *out, struct err *e)
{
	int r = identity_find(a, str_z(cfg.default_privs), out, e);

	if (r > 0)
		r = err_temp(e, "default_privs: no such user: %s", cfg.default_privs);
	return r;
}

/* Root's files are believed, their commands run as nobody in particular. */
static int owner_identity(struct arena *a, uid_t uid, struct identity *out, struct err *e)
{
	int r;

	if (uid == 0)
		return default_identity(a, out, e);
	r = identity_find_uid(a, uid, out, e);
	return r > 0 ? err_temp(e, "no user has the number %lu", (unsigned long)uid) : r;
}

struct look {
	const char *path;
	struct stat st;
	bool link; /* root's, and st is what it leads to */
	int errnum;
};

/* Links are followed where root made them. */
static void look(void *arg)
{
	struct look *l = arg;

	l->errnum = lstat(l->path, &l->st) < 0 ? errno : 0;
	l->link = l->errnum == 0 && S_ISLNK(l->st.st_mode) && l->st.st_uid == 0;
	if (l->link && stat(l->path, &l->st) < 0)
		l->errnum = errno;
}

/* "hash:/etc/aliases": who owns the file; tables without one are the operator's. */
static uid_t table_owner(const struct table *t)
{
	const char *colon = strchr(t->name, ':');
	struct look l = { .path = colon != NULL ? colon + 1 : t->name };

	if (l.path[0] != '/')
		return 0;
	offload(look, &l);
	return l.errnum == 0 ? l.st.st_uid : 0;
}

static struct origin *new_origin(struct job *j, const struct origin *o, int from, struct str name)
{
	struct origin *n = arena_alloc(j->a, sizeof *n);

	*n = *o;
	n->parent = o;
	n->depth = o->depth + 1;
	n->from = from;
	n->name = name;
	return n;
}

/* ---- aliases ---- */

static enum table_answer ask_aliases(struct str key, struct buf *value, const struct table **from, struct err *e)
{
	for (size_t i = 0; i < cfg.aliases.count; i++) {
		enum table_answer answer = table_lookup(cfg.aliases.t[i], key, value, e);

		if (answer != TABLE_MISSING) {
			*from = cfg.aliases.t[i];
			return answer;
		}
	}
	return TABLE_MISSING;
}

static struct str with_domain(struct arena *a, struct str name)
{
	return str_chr(name, '@') > 0 ? name : arena_printf(a, "%.*s@%s", STRF(name), cfg.myorigin);
}

/* Mail to a list is the list's: its members are told apart from the sender's recipient, and what becomes of them from his mail. */
static void own(struct job *j, struct origin *n, struct str owner)
{
	n->owned = true;
	n->sender = with_domain(j->a, owner);
}

/* Bounces of a list go to its owner; a bounce itself keeps the null sender. -1 with *e. */
static int set_owner(struct job *j, struct origin *n, struct err *e)
{
	struct str owner = arena_printf(j->a, "owner-%.*s", STRF(n->name)), target;
	struct buf value = { 0 };
	const struct table *from;
	enum table_answer answer;

	if (n->sender.n == 0 || str_starts(n->name, STR("owner-")) || str_ends(n->name, STR("-request")))
		return 0;
	answer = ask_aliases(owner, &value, &from, e);
	target = arena_dup(j->a, str_trim(buf_str(&value)));
	if (answer == TABLE_FOUND) {
		own(j, n, cfg.expand_owner && str_any(target, ",|/:\" \t") < 0 ? target : owner);
	} else if (cfg.reset_owner) {
		n->owned = false;
		n->sender = j->r->m.sender;
	}
	buf_done(&value);
	return answer == TABLE_FAILED ? -1 : 0;
}

static void use_alias(struct job *j, const struct origin *o, struct str ext, struct str name, struct str value, uid_t owner)
{
	struct origin *next = new_origin(j, o, FROM_ALIAS, name);
	struct err e = ERR_INIT;
	struct target *t;
	size_t count;

	next->of_user = false;
	next->ext = cfg.extensions & FROM_ALIAS ? ext : STR_NONE;
	if (owner_identity(j->a, owner, &next->privs, &e) < 0 || set_owner(j, next, &e) < 0) {
		job_defer(j, o, &e);
	} else if (alias_parse(j->a, value, &t, &count, &e) < 0) {
		log_warn("%s: alias %.*s: %s", j->r->m.id, STRF(name), e.text);
		job_finish(j, o, DELIVER_DEFERRED, CODE(0, 4, 3, 5), STR("mail system configuration error"));
	} else {
		job_targets(j, next, t, count);
	}
}

/* One key; ext is the part of the name that it leaves out. An alias in its own expansion names the user; around a corner it is a loop. */
static bool try_alias(struct job *j, const struct origin *o, struct str key, struct str ext)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	const struct table *from = NULL;
	enum table_answer answer;

	if (job_names_itself(o, key))
		return false;
	answer = ask_aliases(key, &value, &from, &e);
	if (answer == TABLE_FAILED)
		job_defer(j, o, &e);
	else if (job_within(o, FROM_ALIAS, key))
		job_finish(j, o, DELIVER_BOUNCED, CODE(0, 5, 4, 6), arena_printf(j->a, "alias database loop for %.*s", STRF(key)));
	else if (answer == TABLE_FOUND && !job_duplicate(j, 'l', key))
		use_alias(j, o, ext, key, arena_dup(j->a, buf_str(&value)), table_owner(from));
	buf_done(&value);
	return answer != TABLE_MISSING;
}

bool expand_alias(struct job *j, const struct origin *o, const struct local_name *n)
{
	if (n->delimiter != '\0' && try_alias(j, o, n->full, STR_NONE))
		return true;
	return try_alias(j, o, n->base, name_extension(n));
}

/* ---- files, read by their owner ---- */

struct reading {
	const char **paths; /* the first one that exists */
	size_t count;
	bool of_extension[FORWARD_PATHS_MAX]; /* this path is for the extension alone */
	const char *home; /* NULL: not required */
	struct trust {
		bool with_home, required; /* required: there has to be a file */
		bool follow, any_owner; /* at the end of a link, too; whosesoever */
		uid_t owner; /* or root */
		size_t max;
	} trust;
};

static const char *distrusted(const struct trust *t, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "not a regular file";
	if (!t->any_owner && st->st_uid != 0 && st->st_uid != t->owner)
		return "owned by someone else";
	if (st->st_mode & S_IWOTH)
		return "writable by everyone";
	return NULL;
}

static void read_open(const struct trust *t, const char *path, char number, int fd, struct report *out)
{
	struct err e = ERR_INIT;
	struct stat st;
	const char *why = fstat(fd, &st) < 0 ? strerror(errno) : distrusted(t, &st);
	size_t size = why == NULL ? (size_t)st.st_size : 0;

	if (why != NULL || size > t->max) {
		report_set(out, ERR_PERM, CODE(0, 5, 3, 5), "%s: %s", path, why != NULL ? why : "too large");
		return;
	}
	buf_addc(&out->text, number);
	if (fs_pread_all(fd, buf_reserve(&out->text, size), size, 0, &e) < 0)
		report_set(out, ERR_TEMP, CODE(0, 4, 3, 0), "%s: %s", path, e.text);
	else
		out->text.n += size;
}

/* As the owner: the text of the first file, an octet with its number in front. Kind PERM: a file that is not believed. texts: the home, paths. */
static void read_first(const struct worker_input *in, struct report *out)
{
	const struct trust *t = in->fixed;
	struct stat st;

	if (t->with_home && stat(in->texts[0].p, &st) < 0) {
		report_set(out, ERR_TEMP, CODE(0, 4, 3, 0), "cannot access home directory %s: %s", in->texts[0].p, strerror(errno));
		return;
	}
	for (size_t i = 1; i < in->count; i++) {
		const char *path = in->texts[i].p;
		int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | (t->follow ? 0 : O_NOFOLLOW));

		if (fd >= 0) {
			read_open(t, path, (char)(i - 1), fd, out);
			close(fd);
			return;
		}
		if (t->required || (errno != ENOENT && errno != ENOTDIR && errno != EACCES)) {
			report_set(out, errno == EIO || errno == ESTALE ? ERR_TEMP : ERR_PERM, CODE(0, 4, 3, 0), "%s: %s", path, strerror(errno));
			return;
		}
	}
}

/* The file limit is that of mailboxes: the same process writes those. */
static void read_as(const struct identity *who, struct reading *r, struct report *out)
{
	struct worker_task t = { .who = *who, .file_limit = cfg.size_limit, .time_limit_ms = READ_LIMIT_MS, .work = read_first };

	t.root_allowed = who->uid == 0;
	r->trust.with_home = r->home != NULL;
	t.in = (struct worker_input){ .fixed = &r->trust, .fixed_size = sizeof r->trust, .count = r->count + 1, .fd = -1 };
	t.in.texts[0] = str_z(r->home);
	for (size_t i = 0; i < r->count; i++)
		t.in.texts[i + 1] = str_z(r->paths[i]);
	worker_run(&t, out);
}

/* ---- .forward ---- */

/* Word by word, and only then with names replaced: what comes from an address must not become a path of its own. */
static int forward_paths(
	struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user, struct reading *r, struct err *e)
{
	struct str rest = str_z(cfg.forward_path), word;
	struct expanded path;

	r->paths = arena_alloc(j->a, FORWARD_PATHS_MAX * sizeof *r->paths);
	while (r->count < FORWARD_PATHS_MAX && (word = str_word(&rest, ", \t\r\n")).n > 0) {
		if (expand_names(j->a, word, n, user, o->rcpt.addr, cfg.forward_filter, &path, e) < 0)
			return err_context(e, "forward_path");
		if (!path.whole || path.text.n == 0 || path.text.p[0] != '/')
			continue;
		r->of_extension[r->count] = path.extension;
		r->paths[r->count++] = arena_z(j->a, path.text);
	}
	return 0;
}

static bool use_forward(struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user, bool of_extension,
	struct str text)
{
	struct origin *next = new_origin(j, o, FROM_FORWARD, n->base);
	struct err e = ERR_INIT;
	struct target *t;
	size_t count;

	next->privs = *user;
	next->of_user = true;
	next->ext = (cfg.extensions & FROM_FORWARD) && !of_extension ? name_extension(n) : STR_NONE;
	if (alias_parse_file(j->a, text, &t, &count, &e) < 0) {
		log_warn("%s: forward file of %.*s: %s", j->r->m.id, STRF(n->base), e.text);
		return false;
	}
	job_targets(j, next, t, count);
	return count > 0;
}

bool expand_forward(struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user)
{
	struct reading r = { .home = cfg.require_home ? user->home : NULL, .trust = { .owner = user->uid, .max = FORWARD_MAX } };
	struct report report = { 0 };
	struct err e = ERR_INIT;
	bool used = false;

	if (user->uid == 0 && identity_can_switch())
		return false; /* root's mail is read by an alias, or not at all */
	if (forward_paths(j, o, n, user, &r, &e) < 0) {
		job_defer(j, o, &e);
		return true;
	}
	if (r.count > 0 || r.home != NULL)
		read_as(user, &r, &report);
	if (report.kind == ERR_TEMP) {
		job_report(j, o, &report, STR_NONE);
		return true;
	}
	if (report.kind == ERR_PERM)
		log_warn("%s: forward file ignored: %.*s", j->r->m.id, STRF(buf_str(&report.text)));
	else if (report.text.n > 0)
		used = use_forward(j, o, n, user, r.of_extension[(unsigned char)report.text.p[0] % FORWARD_PATHS_MAX],
			arena_dup(j->a, str_skip(buf_str(&report.text), 1)));
	buf_done(&report.text);
	return used;
}

/* ---- :include: ---- */

static void bad_include(struct job *j, const struct origin *o, struct str path, const char *why)
{
	log_warn("%s: include file %.*s: %s", j->r->m.id, STRF(path), why);
	job_finish(j, o, DELIVER_BOUNCED, CODE(0, 5, 3, 5), STR("mail system configuration error"));
}

static void use_include(struct job *j, struct origin *next, struct str path, struct str text)
{
	struct err e = ERR_INIT;
	struct target *t;
	size_t count;

	if (alias_parse_file(j->a, text, &t, &count, &e) < 0)
		bad_include(j, next->parent, path, e.text);
	else
		job_targets(j, next, t, count);
}

/* As whom is it read? In a user's .forward file as that user. Else its owner is believed, and reads it; but root's authority does not go
 * behind a link. */
static struct identity include_reader(const struct origin *next, const struct look *l)
{
	static const struct identity root = { .name = "root", .home = "", .shell = "" };

	return !next->of_user && l->st.st_uid == 0 && !l->link ? root : next->privs;
}

static void read_include(struct job *j, struct origin *next, struct str path, const struct look *l)
{
	const char *path_z = l->path;
	struct reading r = { .paths = &path_z, .count = 1, .trust = { .required = true, .owner = l->st.st_uid, .max = INCLUDE_MAX } };
	struct identity reader = include_reader(next, l);
	struct report report;

	r.trust.follow = l->link || next->of_user;
	r.trust.any_owner = next->of_user;
	read_as(&reader, &r, &report);
	if (report.kind == ERR_TEMP) {
		job_report(j, next->parent, &report, STR_NONE);
		return;
	}
	if (report.kind == ERR_PERM)
		bad_include(j, next->parent, path, buf_z(&report.text));
	else
		use_include(j, next, path, arena_dup(j->a, str_skip(buf_str(&report.text), 1)));
	buf_done(&report.text);
}

void expand_include(struct job *j, const struct origin *o, struct str path)
{
	struct origin *next = new_origin(j, o, FROM_INCLUDE, path);
	struct look l = { .path = arena_z(j->a, path) };
	struct err e = ERR_INIT;

	if (!(cfg.extensions & FROM_INCLUDE))
		next->ext = STR_NONE;
	if (next->depth > NESTING_MAX) {
		bad_include(j, o, path, "nested too deeply");
		return;
	}
	if (job_duplicate(j, 'i', path))
		return;
	if (l.path[0] != '/') {
		bad_include(j, o, path, "not an absolute path");
		return;
	}
	if (!next->of_user)
		offload(look, &l);
	if (l.errnum != 0)
		bad_include(j, o, path, strerror(l.errnum));
	else if (!next->of_user && owner_identity(j->a, l.st.st_uid, &next->privs, &e) < 0)
		job_defer(j, o, &e);
	else
		read_include(j, next, path, &l);
}

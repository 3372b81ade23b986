/* mta/local/mailbox.c - the ends of the road: a user's mailbox or command, and the files and commands of aliases.
 * Security: everything below a user's or an alias file's authority happens in a child that has become its owner; without root all is done
 * as the user the service runs as. Text of the message's envelope reaches commands in the environment only, filtered.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/mailbox/command.h"
#include "lib/mailbox/mailbox.h"
#include "lib/net/fiber.h"
#include "mta/local/local.h"

struct work { /* for the child */
	struct command command;
	struct content content;
};

static void run(void *arg, struct report *out)
{
	struct work *w = arg;

	w->command.content = w->content;
	command_run(&w->command, out);
}

/* Root's own mailbox is a file like any other. Nothing else is ever done as root. */
static bool is_root(const struct identity *user)
{
	return user->uid == 0 && identity_can_switch();
}

static int64_t mailbox_limit_ms(void)
{
	return cfg.lock_attempts * cfg.lock_delay_ms * 2 + 600000;
}

/* ---- the message as it is written ---- */

static void make_content(struct job *j, const struct origin *o, bool from_line, unsigned delivered, struct content *out)
{
	const struct queue_message *m = &j->r->m;
	struct front f = { .lines = FRONT_RETURN_PATH, .null_sender = "MAILER-DAEMON", .now_us = clock_wall_us() };
	struct buf b = { 0 };

	f.sender = addr_quote(j->a, m->sender);
	f.recipient = addr_quote(j->a, job_delivered_to(j, o));
	f.original = addr_quote(j->a, o->rcpt.orig.n > 0 ? o->rcpt.orig : o->rcpt.addr);
	f.lines |= from_line ? FRONT_FROM : 0;
	f.lines |= cfg.original ? FRONT_ORIGINAL : 0;
	f.lines |= cfg.delivered_headers & delivered ? FRONT_DELIVERED : 0;
	content_front(&f, &b);
	*out = (struct content){ j->r->fd, m->header_at, m->header_size, m->body_at, m->body_size, arena_dup(j->a, buf_str(&b)), STR("\n"),
		from_line ? CONTENT_QUOTE_FROM | CONTENT_BLANK_END : 0 };
	buf_done(&b);
}

/* ---- files ---- */

static void write_to(struct job *j, const struct origin *o, const struct identity *who, struct str path, const char *what, unsigned flags,
	struct str sent)
{
	struct mailbox_task t = { .who = *who, .file_limit = cfg.size_limit, .time_limit_ms = mailbox_limit_ms(), .hostname = cfg.myhostname };
	struct report report;

	t.root_allowed = (flags & MBOX_ANY_FILE) == 0 && is_root(who); /* the same process for all else of a user */
	t.maildir = str_ends(path, STR("/"));
	t.mbox = (struct mbox){ arena_z(j->a, path), flags, cfg.lock_attempts, cfg.lock_delay_ms, cfg.stale_ms, what };
	if (t.maildir)
		sent = STR("delivered to maildir");
	if (job_probed(j, o, sent))
		return;
	make_content(j, o, !t.maildir, DELIVERED_TO_FILE, &t.content);
	mailbox_run(&t, &report);
	job_report(j, o, &report, sent);
}

void deliver_file(struct job *j, const struct origin *o, struct str path)
{
	unsigned flags = cfg.mailbox_locks | MBOX_DOTLOCK_OPTIONAL | MBOX_ANY_FILE;
	const char *what;

	if (path.p[0] == '~') /* "~/file" */
		path = arena_printf(j->a, "%s%.*s", o->privs.home, STRF(str_skip(path, 1)));
	what = arena_z(j->a, arena_printf(j->a, "file %.*s", STRF(path)));
	if (job_duplicate(j, 'f', path))
		return;
	if (!(cfg.files_allowed & (unsigned)o->from))
		job_finish(j, o, DELIVER_BOUNCED, CODE(0, 5, 7, 1), STR("mail to file is restricted"));
	else
		write_to(j, o, &o->privs, path, what, flags, arena_printf(j->a, "delivered to file: %.*s", STRF(path)));
}

/* ---- commands ---- */

static void set_envelope(struct environment *env, struct job *j, const struct origin *o)
{
	const struct queue_message *m = &j->r->m;
	const struct {
		const char *name;
		struct str value;
	} rows[] = {
		{ "RECIPIENT", o->rcpt.addr },
		{ "ORIGINAL_RECIPIENT", o->rcpt.orig.n > 0 ? o->rcpt.orig : o->rcpt.addr },
		{ "CLIENT_ADDRESS", m->client.addr },
		{ "CLIENT_HELO", m->client.helo },
		{ "CLIENT_HOSTNAME", m->client.name },
		{ "CLIENT_PROTOCOL", m->client.proto },
		{ "SASL_METHOD", m->client.sasl_method },
		{ "SASL_SENDER", m->client.sasl_sender },
		{ "SASL_USERNAME", m->client.sasl_user },
		{ "ENVID", m->envid },
	};

	environment_set(env, "SENDER", filter_text(j->a, m->sender, cfg.command_filter));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (rows[i].value.n > 0)
			environment_set(env, rows[i].name, filter_text(j->a, rows[i].value, cfg.command_filter));
	}
}

static const char *const *make_environment(struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user)
{
	struct environment env;

	environment_init(&env, j->a);
	environment_export(&env, cfg.export);
	if (strcmp(user->name, cfg.default_privs) != 0) { /* else the home of nobody in particular */
		environment_set(&env, "HOME", filter_text(j->a, str_z(user->home), cfg.command_filter));
		environment_set(&env, "SHELL", filter_text(j->a, str_z(user->shell[0] != '\0' ? user->shell : "/bin/sh"), cfg.command_filter));
	}
	environment_set(&env, "LOGNAME", filter_text(j->a, n->base, cfg.command_filter));
	environment_set(&env, "USER", filter_text(j->a, n->base, cfg.command_filter));
	environment_set(&env, "DOMAIN", filter_text(j->a, n->domain, cfg.command_filter));
	environment_set(&env, "LOCAL", filter_text(j->a, n->full, cfg.command_filter));
	if (n->ext.n > 0)
		environment_set(&env, "EXTENSION", filter_text(j->a, n->ext, cfg.command_filter));
	set_envelope(&env, j, o);
	return environment_list(&env);
}

static void run_command(struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user, struct str command)
{
	struct work w = { .content = { 0 } };
	struct child c = { .who = *user, .file_limit = cfg.size_limit, .time_limit_ms = cfg.command_limit_ms, .keep = { j->r->fd }, .keep_count = 1 };
	struct str done = arena_printf(j->a, "delivered to command: %.*s", STRF(command));
	struct expanded directory;
	struct err e = ERR_INIT;
	struct report report;

	if (job_probed(j, o, done))
		return;
	if (expand_names(j->a, str_z(cfg.exec_directory), n, user, o->rcpt.addr, cfg.directory_filter, &directory, &e) < 0) {
		err_context(&e, "command_execution_directory");
		job_defer(j, o, &e);
		return;
	}
	w.command.argv = command_argv(j->a, command, cfg.shell);
	w.command.env = make_environment(j, o, n, user);
	w.command.directory = directory.text.n > 0 ? arena_z(j->a, directory.text) : NULL;
	w.command.shown = arena_z(j->a, command);
	w.command.time_limit_ms = cfg.command_limit_ms;
	make_content(j, o, true, DELIVERED_TO_COMMAND, &w.content);
	w.content.flags = 0; /* a command knows where the message ends */
	c.work = run;
	c.arg = &w;
	child_run(&c, &report);
	job_report(j, o, &report, done);
}

void deliver_command(struct job *j, const struct origin *o, struct str command)
{
	struct local_name n = name_split(j->a, o->rcpt.addr);

	if (job_duplicate(j, 'c', arena_printf(j->a, "%s:%.*s", o->privs.name, STRF(command))))
		return;
	if (!(cfg.commands_allowed & (unsigned)o->from))
		job_finish(j, o, DELIVER_BOUNCED, CODE(0, 5, 7, 1), STR("mail to command is restricted"));
	else
		run_command(j, o, &n, &o->privs, command);
}

/* ---- mailboxes ---- */

struct spool {
	const char *path, *mailbox;
	const struct identity *user;
	struct stat st;
	bool found, has_mailbox;
};

static void look_at_spool(void *arg)
{
	struct spool *s = arg;

	s->found = stat(s->path, &s->st) == 0;
	s->has_mailbox = fs_exists(s->mailbox);
}

/* In a child, as the owner of the spool directory, which nobody else may write to. */
static void make_mailbox(void *arg, struct report *out)
{
	const struct spool *s = arg;
	int fd = open(s->mailbox, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EEXIST)
		return;
	if (fd < 0 || fchown(fd, s->user->uid, s->user->gid) < 0)
		report_set(out, ERR_TEMP, CODE(0, 4, 2, 0), "cannot create mailbox %s: %s", s->mailbox, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* A spool directory that only root may write to: the mailbox is made there for the user, once, and locked without a file beside it. */
static bool make_in_closed_spool(struct job *j, const struct origin *o, struct spool *s)
{
	struct child c = { .root_allowed = true, .time_limit_ms = mailbox_limit_ms(), .work = make_mailbox, .arg = s };
	struct report report;

	if (s->has_mailbox)
		return true;
	child_run(&c, &report);
	if (report.kind == ERR_NONE)
		return true;
	job_report(j, o, &report, STR_NONE);
	return false;
}

static bool closed_spool(const struct spool *s)
{
	return s->found && s->st.st_uid == 0 && !(s->st.st_mode & (S_IWGRP | S_IWOTH)) && identity_can_switch() && s->user->uid != 0;
}

/* A spool directory that its group may write to lends that group: for the file and its lock. */
static void deliver_spool(struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user)
{
	struct str path = arena_printf(j->a, "%s/%.*s", cfg.spool, STRF(n->base));
	const char *what = arena_z(j->a, arena_printf(j->a, "mailbox %.*s for user %.*s", STRF(path), STRF(n->base)));
	struct spool spool = { .path = cfg.spool, .mailbox = arena_z(j->a, path), .user = user };
	struct identity who = *user;
	unsigned flags = cfg.mailbox_locks | (cfg.strict_owner ? MBOX_OWNER : 0);
	bool maildirs = cfg.spool[strlen(cfg.spool) - 1] == '/';

	if (maildirs)
		path = arena_printf(j->a, "%s%.*s/", cfg.spool, STRF(n->base)); /* Maildirs */
	offload(look_at_spool, &spool);
	if (spool.found && (spool.st.st_mode & (S_IWGRP | S_IWOTH)) == S_IWGRP)
		who.gid = spool.st.st_gid;
	if (closed_spool(&spool) && !maildirs && !(j->r->m.flags & QUEUE_PROBE)) {
		flags |= MBOX_DOTLOCK_OPTIONAL;
		if (!make_in_closed_spool(j, o, &spool))
			return;
	}
	write_to(j, o, &who, path, what, flags, STR("delivered to mailbox"));
}

static void deliver_home(struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user)
{
	struct str path = arena_printf(j->a, "%s/%s", user->home, cfg.home_mailbox);
	const char *what = arena_z(j->a, arena_printf(j->a, "mailbox %.*s for user %.*s", STRF(path), STRF(n->base)));

	write_to(j, o, user, path, what, cfg.mailbox_locks | (cfg.strict_owner ? MBOX_OWNER : 0), STR("delivered to mailbox"));
}

void deliver_mailbox(struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	enum table_answer answer = tables_lookup(&cfg.mailbox_commands, n->base, &value, &e);
	struct str command = answer == TABLE_FOUND ? arena_dup(j->a, buf_str(&value)) : str_z(cfg.mailbox_command);

	buf_done(&value);
	if (answer == TABLE_FAILED)
		job_defer(j, o, &e);
	else if (n->base.p[0] == '.' || str_chr(n->base, '/') >= 0)
		job_finish(j, o, DELIVER_BOUNCED, CODE(0, 5, 1, 1), arena_printf(j->a, "unknown user: \"%.*s\"", STRF(n->base)));
	else if (str_trim(command).n > 0 && !is_root(user))
		run_command(j, o, n, user, command);
	else if (cfg.home_mailbox[0] != '\0')
		deliver_home(j, o, n, user);
	else
		deliver_spool(j, o, n, user);
}

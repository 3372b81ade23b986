/* t/unit/submission.c - what pickup takes from maildrop and what it refuses (mta/pickup/load.c, included for its entry point). */
#include "mta/pickup/load.c"

#include "lib/base/fs.h"
#include "lib/base/hash.h"
#include "t/unit/tap.h"

static char path[64];

/* Write a message file with this envelope; cut: octets that are missing at its end. */
static void write_message(struct queue_message *m, size_t cut)
{
	static const char content[] = "Subject: x\r\n\r\nbody\r\n";
	struct buf super = { 0 }, envelope = { 0 }, all = { 0 };
	struct err e = ERR_INIT;

	snprintf(m->id, sizeof m->id, "4cXq2T1zABCDz0001");
	m->header_at = QUEUE_SUPER_SIZE;
	m->header_size = 14;
	m->body_at = m->header_at + m->header_size;
	m->body_size = sizeof content - 1 - m->header_size;
	m->envelope_at = m->body_at + m->body_size;
	queue_encode(m, hash_crc32c(0, content, sizeof content - 1), &super, &envelope);
	buf_add(&all, buf_str(&super));
	buf_addz(&all, content);
	buf_add(&all, buf_str(&envelope));
	buf_truncate(&all, all.n - cut);
	unlink(path);
	fs_write_file(path, buf_str(&all), 0644, &e);
	buf_done(&super);
	buf_done(&envelope);
	buf_done(&all);
}

static enum load_result load_into(struct submission *s, struct err *e)
{
	*s = (struct submission){ .life = arena_new("test"), .path = path, .fd = -1 };
	return submission_load(s, e);
}

static void done(struct submission *s)
{
	if (s->fd >= 0)
		close(s->fd);
	arena_free(s->life);
}

static struct queue_rcpt rcpts[3];

static struct queue_message sane(void)
{
	rcpts[0] = (struct queue_rcpt){ .addr = STR("ann@example.org"), .notify = DSN_NOTIFY_SUCCESS };
	rcpts[1] = (struct queue_rcpt){ .addr = STR("bob@example.org"), .done = true };
	rcpts[2] = (struct queue_rcpt){ .addr = STR("cid@example.org"), .orcpt = STR("rfc822;c+40d") };
	return (struct queue_message){ .sender = STR("joe"),
		.rcpts = rcpts,
		.rcpt_count = 3,
		.arrival_us = INT64_MAX,
		.flags = QUEUE_8BIT | QUEUE_HOLD | QUEUE_BOUNCE,
		.client = { .name = STR("forged.example") },
		.filter = STR("smtp:forged") };
}

static void taken(void)
{
	struct queue_message m = sane();
	struct submission s;
	struct err e = ERR_INIT;

	write_message(&m, 0);
	is_int(load_into(&s, &e), LOAD_MESSAGE, "a sane message");
	is_str(s.m.sender, STR("joe"), "sender");
	ok(s.m.rcpt_count == 2 && str_eqz(s.m.rcpts[1].addr, "cid@example.org"), "recipients that are not done");
	ok(s.m.flags == (QUEUE_8BIT | QUEUE_LOCAL), "only flags about the content");
	ok(s.m.client.name.n == 0 && s.m.filter.n == 0, "no client, no filter");
	ok(s.m.arrival_us <= clock_wall_us(), "it did not arrive in the future");
	ok(queue_id_valid(str_z(s.m.id)) && !str_eqz(str_z(s.m.id), "4cXq2T1zABCDz0001"), "an id of our own");
	is_int(s.uid, geteuid(), "the owner");
	done(&s);
}

static void change_sender(struct queue_message *m)
{
	m->sender = STR("joe\r\nX: y");
}

static void change_rcpt(struct queue_message *m)
{
	m->rcpts[2].addr = str_n("a\0b@c", 5);
}

static void change_orcpt(struct queue_message *m)
{
	m->rcpts[0].orcpt = STR("rfc822;a b");
}

static void change_done(struct queue_message *m)
{
	m->rcpts[0].done = m->rcpts[2].done = true;
}

static void change_envid(struct queue_message *m)
{
	m->envid = STR("a\nb");
}

static void change_ret(struct queue_message *m)
{
	m->ret = 9;
}

static void refused(void)
{
	static void (*const changes[])(struct queue_message *) = { change_sender, change_rcpt, change_orcpt, change_done,
		change_envid, change_ret };

	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		struct queue_message m = sane();
		struct submission s;
		struct err e = ERR_INIT;

		changes[i](&m);
		write_message(&m, 0);
		ok(load_into(&s, &e) == LOAD_DAMAGED, "refused: %s", e.text);
		done(&s);
	}
}

static void files(void)
{
	struct queue_message m = sane();
	struct submission s;
	struct err e = ERR_INIT;

	write_message(&m, 5);
	is_int(load_into(&s, &e), LOAD_DAMAGED, "cut short");
	done(&s);
	fs_write_file(path, STR(""), 0644, &e);
	is_int(load_into(&s, &e), LOAD_INCOMPLETE, "not begun");
	done(&s);
	unlink(path);
	is_int(load_into(&s, &e), LOAD_FAILED, "gone");
	done(&s);
	ok(symlink("/etc/passwd", path) == 0 && load_into(&s, &e) == LOAD_DAMAGED, "a symbolic link");
	done(&s);
	unlink(path);
	ok(mkfifo(path, 0644) == 0 && load_into(&s, &e) == LOAD_DAMAGED, "a FIFO, without waiting for a writer");
	done(&s);
	write_message(&m, 0);
	ok(link(path, "other") == 0 && load_into(&s, &e) == LOAD_DAMAGED, "a file with two names");
	done(&s);
	unlink("other");
}

int main(void)
{
	char dir[] = "/tmp/gatepost-maildrop-XXXXXX";

	if (mkdtemp(dir) == NULL || chdir(dir) < 0)
		skip_all("no temporary directory");
	mkdir("maildrop", 0700);
	snprintf(path, sizeof path, "maildrop/4cXq2T1zABCDz0001");
	taken();
	refused();
	files();
	unlink(path);
	rmdir("maildrop");
	is_int(rmdir(dir), 0, "nothing left behind");
	return done_testing();
}

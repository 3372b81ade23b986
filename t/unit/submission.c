/* t/unit/submission.c - what pickup takes from maildrop and what it refuses (mta/pickup/load.c, included for its entry point). */
#include "mta/pickup/load.c"

#include "lib/base/fs.h"
#include "lib/base/hash.h"
#include "t/unit/tap.h"

static char path[64];

/* A new file, without waiting for the disk: there are thousands. */
static void put_file(struct str s)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, s.p, s.n) != (ssize_t)s.n)
		skip_all("no space for a file");
	close(fd);
}

/* Write a message file with this envelope; cut: octets that are missing at its end. */
static void write_message(struct queue_message *m, size_t cut)
{
	static const char content[] = "Subject: x\r\n\r\nbody\r\n";
	struct buf super = { 0 }, envelope = { 0 }, all = { 0 };

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
	put_file(buf_str(&all));
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

static void change_envid_text(struct queue_message *m)
{
	m->envid = STR("a SIZE=1");
}

static void change_ret(struct queue_message *m)
{
	m->ret = 9;
}

static void refused(void)
{
	static void (*const changes[])(struct queue_message *) = { change_sender, change_rcpt, change_orcpt, change_done,
		change_envid, change_envid_text, change_ret };

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
	unlink(path);
	ok(mkdir(path, 0755) == 0 && load_into(&s, &e) == LOAD_DAMAGED, "a directory");
	done(&s);
	rmdir(path);
	write_message(&m, 0);
	ok(truncate(path, 100 * 1024 * 1024) == 0 && load_into(&s, &e) == LOAD_MESSAGE, "100 MB of nothing behind it are not looked at");
	done(&s);
}

/* What the submitter wishes is taken; what he may not say is not. */
static void wishes(void)
{
	struct queue_message m = sane();
	struct submission s;
	struct err e = ERR_INIT;

	m.flags = ~0u;
	m.envid = STR("a+20b");
	m.verp = STR("+=");
	m.arrival_us = -1;
	write_message(&m, 0);
	is_int(load_into(&s, &e), LOAD_MESSAGE, "all flags there are");
	is_int(s.m.flags, CONTENT_FLAGS | WISH_FLAGS | QUEUE_LOCAL, "of content and wishes are left");
	ok(s.m.arrival_us > 0 && s.m.arrival_us <= clock_wall_us(), "an arrival before all time is now");
	is_str(s.m.envid, STR("a+20b"), "ENVID");
	done(&s);
}

/* ---- files made by somebody who knows the format ---- */

struct image {
	char octets[2048];
	size_t n;
};

static void read_image(struct image *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, out->octets, sizeof out->octets);

	out->n = n > 0 ? (size_t)n : 0;
	close(fd);
}

/* Its checksum made right again when the file is still in one piece. */
static enum load_result load_image(const struct image *from, size_t envelope_at, size_t rcpt_count)
{
	struct image x = *from;
	struct submission s;
	struct err e = ERR_INIT;
	enum load_result r;
	uint32_t crc = hash_crc32c(0, x.octets, QUEUE_SUPER_SIZE - 4);

	crc = hash_crc32c(crc, x.octets + envelope_at, x.n - envelope_at - rcpt_count);
	for (int i = 0; i < 4; i++)
		x.octets[QUEUE_SUPER_SIZE - 4 + i] = (char)(crc >> (8 * i));
	put_file(str_n(x.octets, x.n));
	r = load_into(&s, &e);
	done(&s);
	return r;
}

static void cut_everywhere(void)
{
	struct queue_message m = sane();
	struct image x;
	size_t taken_too_early = 0;

	write_message(&m, 0);
	read_image(&x);
	for (size_t cut = 1; cut < x.n; cut++) {
		struct submission s;
		struct err e = ERR_INIT;

		write_message(&m, cut);
		taken_too_early += load_into(&s, &e) == LOAD_MESSAGE;
		done(&s);
	}
	ok(taken_too_early == 0, "cut short behind each of its %zu octets: never a message", x.n);
}

/* Every run of four octets outside the content says something else: lengths, places, counts. Reading stays within the file, whatever comes
 * of it, which the sanitizers watch. */
static void lie_everywhere(void)
{
	static const uint32_t lies[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0, 1000 };
	struct queue_message m = sane();
	struct image x;
	size_t loads = 0, results[4] = { 0 };

	write_message(&m, 0);
	read_image(&x);
	for (size_t at = 8; at + 4 <= x.n; at += at + 4 == QUEUE_SUPER_SIZE - 4 ? m.envelope_at - at : 1) {
		for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
			struct image y = x;

			for (size_t k = 0; k < 4; k++)
				y.octets[at + k] = (char)(lies[i] >> (8 * k));
			results[load_image(&y, (size_t)m.envelope_at, m.rcpt_count)]++;
			loads++;
		}
	}
	ok(results[LOAD_FAILED] == 0, "%zu forged files: none is taken for trouble of ours", loads);
	ok(results[LOAD_DAMAGED] > loads / 3, "%zu are refused, %zu mean something harmless", results[LOAD_DAMAGED], results[LOAD_MESSAGE]);
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
	wishes();
	cut_everywhere();
	lie_everywhere();
	unlink(path);
	rmdir("maildrop");
	is_int(rmdir(dir), 0, "nothing left behind");
	return done_testing();
}

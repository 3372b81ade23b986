/* t/unit/queue.c - ids, the message file (whole, truncated anywhere, any bit flipped), marks, status records, directories. */
#include "lib/queue/queue.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/hash.h"
#include "lib/mail/dsn.h"
#include "t/unit/tap.h"

static struct queue_rcpt rcpts[3] = {
	{ .addr = STR_INIT("ann@a.example"), .notify = DSN_NOTIFY_NEVER },
	{ .addr = STR_INIT("bob@b.example"), .orig = STR_INIT("Bob@alias.example"), .orcpt = STR_INIT("rfc822;bob+2Bx@o.example") },
	{ .addr = STR_INIT("\"c d\"@c.example"), .notify = DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY },
};

static const char header[] = "Subject: x\r\n\r\n", body[] = "hello\r\n.dot\r\n";

static struct queue_message sample(void)
{
	struct queue_message m = { .flags = QUEUE_8BIT | QUEUE_LOCAL,
		.arrival_us = 1764000000123456,
		.sender = STR("s@x.example"),
		.envid = STR("env+2B1"),
		.ret = DSN_RET_HDRS,
		.filter = STR("smtp:[127.0.0.1]:10025"),
		.rcpts = rcpts,
		.rcpt_count = 3 };

	m.client.name = STR("mail.x.example");
	m.client.addr = STR("192.0.2.5");
	m.client.helo = STR("mail");
	memcpy(m.id, "4cXq2T1z0z1F", 13);
	m.header_at = QUEUE_SUPER_SIZE;
	m.header_size = sizeof header - 1;
	m.body_at = m.header_at + m.header_size;
	m.body_size = sizeof body - 1;
	m.envelope_at = m.body_at + m.body_size;
	return m;
}

static void encode(struct queue_message *m, struct buf *file)
{
	struct buf env = { 0 };
	uint32_t crc = hash_crc32c(0, header, sizeof header - 1);

	crc = hash_crc32c(crc, body, sizeof body - 1);
	queue_encode(m, crc, file, &env);
	buf_addz(file, header);
	buf_addz(file, body);
	buf_add(file, buf_str(&env));
	buf_done(&env);
}

static void put(int fd, struct str bytes)
{
	struct err e = ERR_INIT;

	ok(ftruncate(fd, 0) == 0 && fs_pwrite_all(fd, bytes.p, bytes.n, 0, &e) == 0, "written");
}

static void test_ids(void)
{
	char before[QUEUE_ID_MAX] = "", id[QUEUE_ID_MAX];
	bool rising = true, valid = true;

	for (int i = 0; i < 100000; i++) {
		queue_id_new(id);
		rising = rising && strcmp(before, id) < 0;
		valid = valid && queue_id_valid(str_z(id));
		memcpy(before, id, sizeof id);
	}
	ok(rising, "ids of one process rise and never repeat");
	ok(valid, "ids are valid");
	ok(strlen(id) >= 12 && id[10] == 'z', "%s has the shape of a long queue id", id);
	ok(queue_id_time("") == 0 && queue_id_time("abc") == 0 && queue_id_time("6F1A2B3C4D5") == 0, "no time in what is no id of ours");
	ok(!queue_id_valid(STR("../x12")) && !queue_id_valid(STR("abcde")) && !queue_id_valid(STR("abcdefghijklmnopqrstuvwx")) &&
			!queue_id_valid(STR("abc def")),
		"names that are no ids");
}

static void test_round_trip(int fd, struct queue_message *m)
{
	struct arena *a = arena_new("test");
	struct err e = ERR_INIT;
	struct queue_message got;

	ok(queue_begun(fd), "superblock is there");
	if (!ok(queue_load(fd, m->id, true, a, &got, &e) == 0, "loads: %s", e.text))
		return;
	is_str(str_z(got.id), str_z(m->id), "id");
	is_str(got.sender, m->sender, "sender");
	is_str(got.envid, m->envid, "envid");
	is_str(got.filter, m->filter, "filter");
	is_str(got.client.addr, m->client.addr, "client address");
	is_int(got.flags, m->flags, "flags");
	is_int(got.ret, DSN_RET_HDRS, "ret");
	is_int(got.arrival_us, m->arrival_us, "arrival");
	is_int((long long)got.status_at, (long long)m->status_at, "status_at as the encoder said");
	is_int((long long)got.body_at, (long long)m->body_at, "body_at");
	is_int((long long)got.rcpt_count, 3, "recipients");
	for (size_t i = 0; i < got.rcpt_count; i++) {
		is_str(got.rcpts[i].addr, m->rcpts[i].addr, "recipient address");
		is_str(got.rcpts[i].orig, m->rcpts[i].orig, "original");
		is_str(got.rcpts[i].orcpt, m->rcpts[i].orcpt, "orcpt");
		is_int(got.rcpts[i].notify, m->rcpts[i].notify, "notify");
		is_int((long long)got.rcpts[i].mark_at, (long long)m->rcpts[i].mark_at, "mark");
		ok(!got.rcpts[i].done, "to do");
	}
	ok(queue_mark_done(fd, &got.rcpts[1], 1, &e) == 0 && queue_load(fd, m->id, true, a, &got, &e) == 0, "marked and loaded again");
	ok(!got.rcpts[0].done && got.rcpts[1].done && !got.rcpts[2].done, "the marked one is done, the others are not");
	ok(queue_load(fd, NULL, false, a, &got, &e) == 0 && str_eqz(str_z(got.id), m->id), "without a name the stored id is taken");
	arena_free(a);
}

/* Cut anywhere: never a message, never a crash. */
static void test_truncation(int fd, struct str whole)
{
	struct arena *a = arena_new("test");
	struct queue_message got;
	size_t taken = 0, not_perm = 0;

	for (size_t n = whole.n; n-- > 0;) {
		struct err e = ERR_INIT;

		if (ftruncate(fd, (off_t)n) < 0 || queue_load(fd, "4cXq2T1z0z1F", true, a, &got, &e) == 0)
			taken++;
		else if (e.kind != ERR_PERM)
			not_perm++;
		arena_reset(a);
	}
	is_int((long long)taken, 0, "no truncated file is a message");
	is_int((long long)not_perm, 0, "truncation is damage, not trouble");
	arena_free(a);
}

static void test_bit_flips(int fd, struct str whole, const struct queue_message *m)
{
	struct arena *a = arena_new("test");
	uint64_t marks_at = m->rcpts[0].mark_at;
	struct queue_message got;
	size_t wrong = 0;

	for (size_t bit = 0; bit < whole.n * 8; bit++) {
		size_t at = bit / 8;
		char flipped = (char)(whole.p[at] ^ (1 << (bit % 8)));
		struct err e = ERR_INIT;
		bool loads;

		if (pwrite(fd, &flipped, 1, (off_t)at) != 1)
			wrong++;
		loads = queue_load(fd, "4cXq2T1z0z1F", true, a, &got, &e) == 0;
		if (loads != (at >= marks_at))
			wrong++;
		for (size_t i = 0; loads && i < got.rcpt_count; i++)
			wrong += got.rcpts[i].done; /* one flipped bit never finishes a recipient */
		if (pwrite(fd, whole.p + at, 1, (off_t)at) != 1)
			wrong++;
		arena_reset(a);
	}
	is_int((long long)wrong, 0, "every flipped bit is noticed, but for marks, which then count as not done");
	arena_free(a);
}

/* Pages of a torn write: zeroes where data never arrived. */
static void test_holes(int fd, struct str whole)
{
	struct arena *a = arena_new("test");
	char zeroes[16] = { 0 };
	struct queue_message got;
	size_t taken = 0;

	for (size_t at = 0; at + sizeof zeroes < whole.n; at += sizeof zeroes) {
		struct err e = ERR_INIT;

		if (memcmp(whole.p + at, zeroes, sizeof zeroes) == 0)
			continue; /* it is one */
		if (pwrite(fd, zeroes, sizeof zeroes, (off_t)at) < 0 || queue_load(fd, "4cXq2T1z0z1F", true, a, &got, &e) == 0)
			taken++;
		if (pwrite(fd, whole.p + at, sizeof zeroes, (off_t)at) < 0)
			taken++;
		arena_reset(a);
	}
	is_int((long long)taken, 0, "a hole anywhere is noticed");
	arena_free(a);
}

static struct queue_status record(uint32_t rcpt, char action, const char *text)
{
	return (struct queue_status){ .rcpt_index = rcpt,
		.at_us = 1764000001000000,
		.action = action,
		.code = CODE(450, 4, 2, 1),
		.relay = STR("mx[192.0.2.1]:25"),
		.text = str_z(text) };
}

static void test_status(int fd, const struct queue_message *m)
{
	struct arena *a = arena_new("test");
	struct queue_status st[3] = { record(0, 'd', "busy"), record(2, 'b', "no such user"), record(1, 'd', "GPst in the text") }, *got;
	struct err e = ERR_INIT;
	struct stat before;
	size_t count = 99;

	ok(queue_load_status(fd, m, a, &got, &count, &e) == 0 && count == 0, "no records yet");
	ok(queue_append_status(fd, st, 2, &e) == 0 && fstat(fd, &before) == 0, "two appended");
	ok(queue_append_status(fd, st + 2, 1, &e) == 0, "one more");
	ok(queue_load_status(fd, m, a, &got, &count, &e) == 0 && count == 3, "three are read (%zu)", count);
	is_str(got[1].text, STR("no such user"), "text");
	is_str(got[0].relay, STR("mx[192.0.2.1]:25"), "relay");
	is_int(got[1].action, 'b', "action");
	is_int(got[0].code.d, 1, "code");
	ok(ftruncate(fd, before.st_size + 20) == 0 && queue_load_status(fd, m, a, &got, &count, &e) == 0 && count == 2,
		"a torn last record is ignored");
	ok(queue_append_status(fd, st + 2, 1, &e) == 0 && queue_load_status(fd, m, a, &got, &count, &e) == 0 && count == 3,
		"records behind a torn one are found");
	is_str(got[2].text, STR("GPst in the text"), "the last one");
	arena_free(a);
}

static void test_trim(int fd, const struct queue_message *m)
{
	struct arena *a = arena_new("test");
	struct queue_status st[2] = { record(0, 'd', "busy"), record(1, 'w', "") }, *got;
	struct err e = ERR_INIT;
	struct stat after;
	size_t count;

	for (int i = 0; i < 4000; i++)
		(void)queue_append_status(fd, st, 2, &e);
	st[0] = record(0, 'd', "the latest");
	ok(queue_append_status(fd, st, 1, &e) == 0 && queue_trim_status(fd, m, &e) == 0 && fstat(fd, &after) == 0, "trimmed");
	ok(after.st_size < (off_t)m->status_at + 1000, "little is left (%lld)", (long long)after.st_size);
	ok(queue_load_status(fd, m, a, &got, &count, &e) == 0 && count >= 2, "records are left");
	is_str(got[count - 1].text, STR("the latest"), "the latest one stays");
	arena_free(a);
}

/* ---- directories ---- */

static int count_visit(void *ctx, const char *path, const char *id)
{
	(void)path;
	(void)id;
	++*(int *)ctx;
	return 0;
}

static void touch(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	ok(fd >= 0, "made %s", path);
	close(fd);
}

static void tidy(const char *dir)
{
	static const char *const all[] = { "deferred/0000000a/4cXq2T1z0z1F", "deferred/0000000a/4cXq2T1z0z1G", "deferred/0000000a",
		"incoming/4cXq2T1z0z1H", "incoming/.nfs123", "maildrop", "incoming", "active", "deferred", "hold", "corrupt", "flush", "pid",
		"private", "public" };
	bool gone = true;

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		gone = remove(all[i]) == 0 && gone;
	ok(gone && chdir("/") == 0 && rmdir(dir) == 0, "nothing else was made");
}

static void test_dirs(const char *dir)
{
	struct buf path = { 0 };
	struct err e = ERR_INIT;
	struct stat st;
	int seen = 0;

	ok(queue_make_dirs(dir, &e) == 0 && queue_make_dirs(dir, &e) == 0, "directories, twice: %s", e.text);
	ok(chdir(dir) == 0 && stat("maildrop", &st) == 0 && (st.st_mode & 07777) == 0730, "maildrop's mode");
	ok(queue_deferred_path(640, "4cXq2T1z0z1F", &path, &e) == 0, "deferred path");
	is_str(buf_str(&path), STR("deferred/0000000a/4cXq2T1z0z1F"), "bucket of second 640");
	touch(buf_z(&path));
	ok(queue_deferred_path(703, "4cXq2T1z0z1G", &path, &e) == 0, "same bucket");
	touch(buf_z(&path));
	touch("incoming/4cXq2T1z0z1H");
	touch("incoming/.nfs123");
	ok(queue_visit("deferred", count_visit, &seen, &e) == 0 && seen == 2, "two deferred");
	seen = 0;
	ok(queue_visit("incoming", count_visit, &seen, &e) == 0 && seen == 1, "one incoming, dot files are passed over");
	is_int(queue_bucket_due("0000000a"), 704, "when the bucket is due");
	is_int(queue_bucket_due("0000000g"), -1, "no bucket");
	ok(queue_find("4cXq2T1z0z1G", &path), "found");
	is_str(buf_str(&path), STR("deferred/0000000a/4cXq2T1z0z1G"), "where it is");
	ok(!queue_find("4cXq2T1z0z1K", &path) && !queue_find("../../etc", &path), "not found");
	tidy(dir);
	buf_done(&path);
}

int main(void)
{
	char dir[] = "/tmp/gatepost-queue-XXXXXX", name[] = "/tmp/gatepost-file-XXXXXX";
	struct buf file = { 0 };
	struct queue_message m = sample();
	int fd = mkstemp(name);

	if (fd < 0 || unlink(name) < 0 || mkdtemp(dir) == NULL)
		skip_all("no temporary files");
	test_ids();
	encode(&m, &file);
	put(fd, buf_str(&file));
	test_round_trip(fd, &m);
	put(fd, buf_str(&file));
	test_bit_flips(fd, buf_str(&file), &m);
	test_holes(fd, buf_str(&file));
	test_truncation(fd, buf_str(&file));
	put(fd, buf_str(&file));
	test_status(fd, &m);
	put(fd, buf_str(&file));
	test_trim(fd, &m);
	test_dirs(dir);
	buf_done(&file);
	close(fd);
	return done_testing();
}

/* t/unit/table.c - lib/table: each backend's syntax and answers, reload of changed files, lists of tables. */
#include "lib/table/table.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <lmdb.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/table/registry.h"
#include "lib/table/store.h"
#include "t/unit/tap.h"

static char dir[] = "/tmp/gatepost-table-XXXXXX";

static void put(const char *name, const char *text)
{
	struct buf path = { 0 };
	struct err e;

	buf_addf(&path, "%s/%s", dir, name);
	if (fs_write_file(buf_z(&path), str_z(text), 0644, &e) < 0)
		diag("%s", e.text);
	buf_done(&path);
}

/* "value", "-" for missing, "!" for failed. */
static void asks(struct table *t, const char *key, const char *want)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	char *exact = mem_dup(key, strlen(key)); /* nothing behind it that might be read */
	enum table_answer a = table_lookup(t, str_n(exact, strlen(key)), &value, &e);

	if (!ok(str_eqz(a == TABLE_FOUND ? buf_str(&value) : a == TABLE_MISSING ? STR("-") : STR("!"), want), "%s: %s", t->name, key))
		diag("got \"%s\" %s", buf_z(&value), e.text);
	buf_done(&value);
	mem_free(exact);
}

static struct table *open_table(const char *spec)
{
	struct err e = ERR_INIT;
	struct table *t = table_open(str_z(spec), dir, &e);

	if (!ok(t != NULL, "open %s", spec))
		diag("%s", e.text);
	return t;
}

struct question {
	const char *key, *want;
};

static void ask_all(const char *spec, const struct question *q)
{
	struct table *t = open_table(spec);

	for (; t != NULL && q->key != NULL; q++)
		asks(t, q->key, q->want);
	table_close(t);
}

static void test_text(void)
{
	put("access", "# comment\nSpam@Example.com  REJECT no\n   more of it\n\nexample.com\tOK\n\"a b\"@c.d quoted\n\xc3\xbc" "ber umlaut\nbroken\n"
		      "example.com second\n2001:db8::1 six\n[mx.x]:587 user:pass\n");
	ask_all("hash:access", (const struct question[]){ { "spam@example.com", "REJECT no   more of it" }, { "EXAMPLE.com", "OK" },
				       { "\"A b\"@c.d", "quoted" }, { "a b@c.d", "-" }, { "\xc3\x9c" "ber", "umlaut" }, { "broken", "-" }, { "2001:db8::1", "six" }, { "[mx.x]:587", "user:pass" },
				       { NULL, NULL } });
	put("aliases", "postmaster: root\nRoot:\tann,\n  bob\nlist-x : |/bin/prog a\nwebmaster:ann\n\"x y\": z\n");
	ask_all("proxy:texthash:aliases", (const struct question[]){ { "postmaster", "root" }, { "root", "ann,  bob" },
						  { "webmaster", "ann" }, { "x y", "z" }, { "nobody", "-" }, { NULL, NULL } });
	put("transport", "example.com :\nother.com smtp:[127.0.0.1]:25\n.sub.com relay:\n");
	ask_all("btree:transport", (const struct question[]){ { "example.com", ":" }, { "other.com", "smtp:[127.0.0.1]:25" },
					   { ".sub.com", "relay:" }, { NULL, NULL } });
	/* U+023A and its kin take more octets in lower case; the last line has no end, nor room for one */
	put("growing", "\xc8\xba\xc8\xba\xc8\xba\xc8\xba\xc8\xba\xc8\xba 1\n\xc8\xba\xc8\xba 2\n\xc8\xbe\xc8\xbe\xc8\xbe 3\nA 4\n 5\n#\n\t6\nb 7\nB 8\n\"C 9\" 10\n\xc8\xbe 11");
	ask_all("hash:growing", (const struct question[]){ { "\xc8\xba\xc8\xba\xc8\xba\xc8\xba\xc8\xba\xc8\xba", "1" },
					{ "\xe2\xb1\xa5\xe2\xb1\xa5", "2" }, { "\xe2\xb1\xa6\xe2\xb1\xa6\xe2\xb1\xa6", "3" }, { "a", "4 5\t6" },
					{ "b", "7" }, { "\"c 9\"", "10" }, { "\xc8\xbe", "11" }, { NULL, NULL } });
	put("empty", "");
	ask_all("hash:empty", (const struct question[]){ { "", "-" }, { "a", "-" }, { NULL, NULL } });
}

/* More keys than the least table has slots; they begin with what might be taken for no beginning. */
static void test_large_text(void)
{
	struct buf text = { 0 };

	for (int i = 0; i < 3000; i++)
		buf_addf(&text, i % 2 == 0 ? "!%d %d\n" : "\"%d\" %d\n", i, i);
	put("large", buf_z(&text));
	buf_done(&text);
	ask_all("hash:large", (const struct question[]){ { "\"2999\"", "2999" }, { "\"1\"", "1" }, { "!0", "0" }, { "!1", "-" }, { NULL, NULL } });
}

static void test_nul(void)
{
	static const char text[] = "a 1\nb\0c 2\nd e\0f\ng 3\n";
	struct buf path = { 0 };
	struct err e;

	buf_addf(&path, "%s/nul", dir);
	ok(fs_write_file(buf_z(&path), str_n(text, sizeof text - 1), 0644, &e) == 0, "a file with NUL octets");
	buf_done(&path);
	ask_all("hash:nul", (const struct question[]){ { "a", "1" }, { "b", "-" }, { "d", "-" }, { "g", "3" }, { NULL, NULL } });
}

/* A file that looks as old as before, and is as long: what cp -p, rsync -t and chmod leave. */
static void test_quiet_change(void)
{
	struct table *t;
	struct buf path = { 0 };
	struct stat st;
	int fd;

	buf_addf(&path, "%s/quiet", dir);
	put("quiet", "a fifth\n");
	t = open_table("hash:quiet");
	if (t == NULL)
		return;
	asks(t, "a", "fifth");
	fd = open(buf_z(&path), O_WRONLY);
	ok(fd >= 0 && fstat(fd, &st) == 0 && write(fd, "a sixth\n", 8) == 8 &&
			futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim }) == 0, "changed in place");
	close(fd);
	buf_done(&path);
	usleep(1100000);
	asks(t, "a", "sixth");
	table_close(t);
}

static void test_reload(void)
{
	struct table *t;

	put("changing", "a one\n");
	t = open_table("hash:changing");
	if (t == NULL)
		return;
	asks(t, "a", "one");
	put("changing", "a another\n");
	asks(t, "a", "one"); /* not looked at again within a second */
	sleep(1);
	usleep(100000);
	asks(t, "a", "another");
	put("changing", "a third\nbroken\n");
	sleep(1);
	usleep(100000);
	asks(t, "a", "another"); /* a wrong line: the old table stays in force */
	table_close(t);
	t = open_table("hash:changing");
	asks(t, "a", "third"); /* without an old table the line is left out */
	table_close(t);
	test_quiet_change();
}

static void test_memory(void)
{
	ask_all("static:{ a b }", (const struct question[]){ { "x", "a b" }, { NULL, NULL } });
	ask_all("static:all", (const struct question[]){ { "x", "all" }, { NULL, NULL } });
	ask_all("inline:{ A=1, { b = two words }, c=x=y }",
		(const struct question[]){ { "a", "1" }, { "B", "two words" }, { "c", "x=y" }, { "d", "-" }, { NULL, NULL } });
	ask_all("randmap:{ one }", (const struct question[]){ { "x", "one" }, { NULL, NULL } });
	ask_all("randmap:{ { a b }, { a b } }", (const struct question[]){ { "x", "a b" }, { NULL, NULL } });
	ask_all("fail:x", (const struct question[]){ { "a", "!" }, { NULL, NULL } });
	ask_all("unionmap:{ inline:{ a=1, b=2 }, inline:{ a=3 } }",
		(const struct question[]){ { "a", "1,3" }, { "b", "2" }, { "c", "-" }, { NULL, NULL } });
	ask_all("pipemap:{ inline:{ a=b, x=y }, inline:{ b=c } }",
		(const struct question[]){ { "a", "c" }, { "x", "-" }, { "b", "-" }, { NULL, NULL } });
	ask_all("unionmap:{ static:x, fail:y }", (const struct question[]){ { "a", "!" }, { NULL, NULL } });
	ask_all("unix:passwd.byname", (const struct question[]){ { "no-such-user-here", "-" }, { NULL, NULL } });
}

/* 64 throws without one of two values: once in 2^63 runs. */
static void test_chance(void)
{
	struct table *t = open_table("randmap:{ a, b }");
	struct err e = ERR_INIT;
	bool seen[2] = { false, false };

	for (int i = 0; t != NULL && i < 64; i++) {
		struct buf value = { 0 };

		if (table_lookup(t, STR("x"), &value, &e) == TABLE_FOUND)
			seen[str_eqz(buf_str(&value), "b")] = true;
		buf_done(&value);
	}
	ok(seen[0] && seen[1], "randmap: both values come");
	table_close(t);
	ok(table_open(STR("randmap:{ }"), dir, &e) == NULL, "randmap: without values");
}

static void test_cidr(void)
{
	put("cidr", "192.0.2.1 one\n192.0.2.0/24 net\nif 10.0.0.0/8\n!10.1.0.0/16 not ten one\n10.1.2.0/24 inner\nendif\n"
		    "2001:db8::/32 six\n192.0.2.1/24 wrong\n10.0.0.0/8 outer\n");
	ask_all("cidr:cidr", (const struct question[]){ { "192.0.2.1", "one" }, { "192.0.2.9", "net" }, { "10.2.3.4", "not ten one" },
				     { "10.1.2.3", "inner" }, { "10.1.9.9", "outer" }, { "2001:db8::5", "six" }, { "2001:db9::5", "-" },
				     { "198.51.100.1", "-" }, { "example.com", "-" }, { NULL, NULL } });
	ask_all("cidr:{{192.0.2.0/24 in}, {0.0.0.0/0 any v4}}",
		(const struct question[]){ { "192.0.2.7", "in" }, { "1.2.3.4", "any v4" }, { "::1", "-" }, { NULL, NULL } });
}

static const struct question pattern_questions[] = {
	{ "Subject: buy PILLS now", "REJECT pills" },
	{ "user+x@example.com", "user at EXAMPLE $5 x" },
	{ "Case", "case" },
	{ "case", "-" },
	{ "in then deep", "deep in" },
	{ "in only", "in, not deep" },
	{ "deep", "-" },
	{ "must not", "-" },
	{ "a/b", "slash" },
	{ NULL, NULL },
};

static const char pattern_text[] = "# rules\n"
				   "/buy (pills)/ REJECT pills\n"
				   "/^([^+]+)\\+(.*)@example/ $1 at EXAMPLE $$5 ${2}\n"
				   "/^Case$/i case\n"
				   "if /^in/\n"
				   "!/deep/ in, not deep\n"
				   "/deep/ deep in\n"
				   "endif\n"
				   "/^must/ $1\n" /* no such group: left out */
				   "/unclosed(/ x\n" /* left out */
				   "/no end\n" /* left out */
				   "endif\n" /* left out */
				   "/a\\/b/ slash\n";

/* A database as postmap leaves it; with_nul: keys and values end in NUL, as some writers have it. */
static void make_lmdb(const char *name, const char *key, const char *value, bool with_nul)
{
	struct buf path = { 0 };
	MDB_env *env = NULL;
	MDB_txn *txn = NULL;
	MDB_dbi dbi;
	MDB_val k = { strlen(key) + with_nul, (void *)(uintptr_t)key }, v = { strlen(value) + with_nul, (void *)(uintptr_t)value };
	int code;

	buf_addf(&path, "%s/%s.lmdb", dir, name);
	code = mdb_env_create(&env);
	if (code == 0)
		code = mdb_env_open(env, buf_z(&path), MDB_NOSUBDIR | MDB_NOLOCK, 0644);
	if (code == 0)
		code = mdb_txn_begin(env, NULL, 0, &txn);
	if (code == 0)
		code = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (code == 0)
		code = mdb_put(txn, dbi, &k, &v, 0);
	if (code == 0)
		code = mdb_txn_commit(txn);
	ok(code == 0, "make %s", name);
	mdb_env_close(env);
	buf_done(&path);
}

static void test_lmdb(void)
{
	make_lmdb("plain", "joe@a.test", "value of it", false);
	make_lmdb("nul", "joe@a.test", "value of it", true);
	ask_all("lmdb:plain",
		(const struct question[]){ { "Joe@A.test", "value of it" }, { "jim@a.test", "-" }, { "", "-" }, { NULL, NULL } });
	ask_all("lmdb:nul", (const struct question[]){ { "joe@a.test", "value of it" }, { "jim@a.test", "-" }, { NULL, NULL } });
}

/* ---- what takes the place of a good file ---- */

static void cut_short(const char *name, off_t size)
{
	struct buf path = { 0 };

	buf_addf(&path, "%s/%s", dir, name);
	ok(truncate(buf_z(&path), size) == 0, "cut %s short", name);
	buf_done(&path);
}

static void replace(const char *name, const char *by)
{
	struct buf from = { 0 }, to = { 0 };

	buf_addf(&from, "%s/%s", dir, by);
	buf_addf(&to, "%s/%s", dir, name);
	ok(rename(buf_z(&from), buf_z(&to)) == 0, "%s becomes %s", by, name);
	buf_done(&from);
	buf_done(&to);
}

static void make_cdb(const char *name)
{
	const struct table_pair pair = { STR("a"), STR("old") };
	struct buf path = { 0 };
	struct err e = ERR_INIT;

	put(name, "");
	buf_addf(&path, "%s/%s", dir, name);
	ok(table_cdb_store.write(buf_z(&path), &pair, 1, false, &e) == 0, "make %s %s", name, e.text);
	buf_done(&path);
}

static void make_good(void)
{
	put("sp.hash", "a old\n");
	put("sp.regexp", "/^a/ old\n");
	put("sp.pcre", "/^a/ old\n");
	put("sp.cidr", "192.0.2.0/24 old\n");
	make_lmdb("sp1", "a", "old", false);
	make_lmdb("sp2", "a", "old", false);
	make_lmdb("sp3", "a", "old", false);
	make_cdb("sp1.cdb");
	make_cdb("sp2.cdb");
	make_cdb("sp3.cdb");
}

static void spoil(void)
{
	put("sp.hash", "a new\nb\n");
	put("sp.regexp", "/^a/ new\n/(/ x\n");
	put("sp.pcre", "/^a/ new\n/^b/ $2\n");
	put("sp.cidr", "192.0.2.0/24 new\nif 10.0.0.0/8\n");
	make_lmdb("new", "a", "new", false);
	cut_short("new.lmdb", 8192);
	replace("sp1.lmdb", "new.lmdb");
	put("sp2.lmdb.new", "no database\n");
	replace("sp2.lmdb", "sp2.lmdb.new");
	cut_short("sp3.lmdb", 8192); /* in place: there is no old one left, and reading it would end the process */
	make_cdb("new.cdb");
	cut_short("new.cdb", 2060);
	replace("sp1.cdb", "new.cdb");
	put("sp2.cdb.new", "no database\n");
	replace("sp2.cdb", "sp2.cdb.new");
	cut_short("sp3.cdb", 2060);
}

static const struct spoiled {
	const char *spec, *key, *then, *mended;
} spoiled[] = {
	{ "hash:sp.hash", "a", "old", "new" },
	{ "regexp:sp.regexp", "a", "old", "new" },
	{ "pcre:sp.pcre", "a", "old", "new" },
	{ "cidr:sp.cidr", "192.0.2.1", "old", "new" },
	{ "lmdb:sp1", "a", "old", "old" },
	{ "lmdb:sp2", "a", "old", "old" },
	{ "lmdb:sp3", "a", "!", "new" },
	{ "cdb:sp1", "a", "old", "old" },
	{ "cdb:sp2", "a", "old", "old" },
	{ "cdb:sp3", "a", "!", "old" },
};
#define SPOILED (sizeof spoiled / sizeof *spoiled)

static void mend(void)
{
	put("sp.hash", "a new\n");
	put("sp.regexp", "/^a/ new\n");
	put("sp.pcre", "/^a/ new\n");
	put("sp.cidr", "192.0.2.0/24 new\n");
	make_lmdb("good", "a", "new", false);
	replace("sp3.lmdb", "good.lmdb");
	make_cdb("good.cdb");
	replace("sp3.cdb", "good.cdb");
}

static void test_spoiled(void)
{
	struct table *t[SPOILED];

	make_good();
	for (size_t i = 0; i < SPOILED; i++) {
		t[i] = open_table(spoiled[i].spec);
		asks(t[i], spoiled[i].key, "old");
	}
	spoil();
	usleep(1100000);
	for (size_t i = 0; i < SPOILED; i++)
		asks(t[i], spoiled[i].key, spoiled[i].then);
	mend();
	usleep(1100000);
	for (size_t i = 0; i < SPOILED; i++) {
		asks(t[i], spoiled[i].key, spoiled[i].mended);
		table_close(t[i]);
	}
}

static void test_patterns(void)
{
	put("patterns", pattern_text);
	ask_all("regexp:patterns", pattern_questions);
	ask_all("pcre:patterns", pattern_questions);
	ask_all("pcre:{{/^(?!good)x/ lookahead}}", (const struct question[]){ { "xyz", "lookahead" }, { NULL, NULL } });
	ask_all("pcre:{{/(a+)+$/ x}}", (const struct question[]){ { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "!" }, { NULL, NULL } });
	ask_all("regexp:{{/^[^A-Z]/ Bogus}}", (const struct question[]){ { "\x16\x03", "Bogus" }, { "HELO", "-" }, { NULL, NULL } });
}

static const struct {
	const char *spec, *why;
} refused[] = {
	{ "hsah:x", "unknown table type \"hsah\" (there are: btree" },
	{ "mysql:/x", ": ask by pgsql: or sqlite:," },
	{ "hash:nofile", "nofile" },
	{ "lmdb:nofile", "nofile.lmdb" },
	{ "inline:x", "expected" },
	{ "inline:{ a }", "\"key=value\" expected" },
	{ "unix:shadow.byname", "passwd.byname" },
	{ "unionmap:{ hash:nofile }", "nofile" },
};

static void test_refused(void)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct err e = ERR_INIT;
		struct table *t = table_open(str_z(refused[i].spec), dir, &e);

		ok(t == NULL && strstr(e.text, refused[i].why) != NULL, "%s: %s", refused[i].spec, e.text);
		table_close(t);
	}
}

static void test_lists(void)
{
	struct arena *a = arena_new("test");
	struct tables ts;
	struct buf value = { 0 };
	struct err e = ERR_INIT;

	ok(tables_open(a, "inline:{ a=1 }, inline:{ a=2, b=3 }", dir, &ts, &e) == 0 && ts.count == 2, "a list opens: %s", e.text);
	ok(tables_lookup(&ts, STR("a"), &value, &e) == TABLE_FOUND && str_eqz(buf_str(&value), "1"), "first answer wins");
	buf_clear(&value);
	ok(tables_lookup(&ts, STR("b"), &value, &e) == TABLE_FOUND && str_eqz(buf_str(&value), "3"), "the next is asked");
	tables_close(&ts);
	ok(tables_open(a, "inline:{ a=1 }, fail:x, static:y", dir, &ts, &e) == 0, "with a failing one");
	ok(tables_lookup(&ts, STR("b"), &value, &e) == TABLE_FAILED && strstr(e.text, "table fail:x: lookup failed: ") != NULL,
		"a failure is no miss: %s", e.text);
	tables_close(&ts);
	ok(tables_open(a, "static:y, none:x", dir, &ts, &e) == -1 && ts.count == 0, "one bad table spoils the list");
	buf_done(&value);
	arena_free(a);
}

static void remove_dir(void)
{
	static const char *const names[] = { "access", "aliases", "transport", "changing", "cidr", "patterns", "growing", "empty", "large", "nul", "quiet", "sp.hash", "sp.regexp", "sp.pcre", "sp.cidr", "sp1.lmdb", "sp2.lmdb", "sp3.lmdb", "sp1.cdb", "sp2.cdb",
		"sp3.cdb", "plain.lmdb", "nul.lmdb" };
	struct buf path = { 0 };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		buf_clear(&path);
		buf_addf(&path, "%s/%s", dir, names[i]);
		(void)unlink(buf_z(&path));
	}
	buf_done(&path);
	(void)rmdir(dir);
}

int main(void)
{
	if (mkdtemp(dir) == NULL)
		return 1;
	test_text();
	test_large_text();
	test_nul();
	test_memory();
	test_chance();
	test_cidr();
	test_lmdb();
	test_patterns();
	test_spoiled();
	test_refused();
	test_lists();
	test_reload();
	remove_dir();
	return done_testing();
}

/* mta/tools/gatepost/import.c - import: reads the configuration of a Postfix and tells, setting by setting, what works as it is, what
 * differs, what has no effect and what is refused; with -w it writes the files Gatepost would start with.
 */
#include "mta/tools/gatepost/import.h"

#include <errno.h>
#include <getopt.h>
#include <sysexits.h>

#include "lib/base/fs.h"
#include "lib/conf/commands.h"
#include "lib/conf/lines.h"
#include "lib/conf/master_cf.h"

#define FILE_MAX (4 * 1024 * 1024)

static const char *const fate_words[] = { "same", "differs", "no effect", "refused" };

struct report {
	struct import i;
	bool json, all;
	unsigned counts[FATES];
	struct buf dropped; /* lines of the new main.cf that are commented out, as " 12 14 " */
};

/* ---- telling ---- */

static void tell_json(const char *file, int line, struct str name, enum fate fate, const char *why)
{
	printf("{\"file\": \"%s\", \"line\": %d, \"name\": ", file, line);
	tool_print_json(name);
	printf(", \"result\": \"%s\"", fate_words[fate]);
	if (why != NULL) {
		printf(", \"why\": ");
		tool_print_json(str_z(why));
	}
	printf("}\n");
}

static void tell(struct report *r, const char *file, int line, struct str name, enum fate fate, const char *why)
{
	r->counts[fate]++;
	if (r->json)
		tell_json(file, line, name, fate, why);
	else if (r->all || fate != FATE_SAME)
		printf("%s:%-4d %-36.*s %-10s %s\n", file, line, STRF(name), fate_words[fate], why != NULL ? why : "");
}

/* ---- main.cf ---- */

static void import_setting(struct report *r, struct str line, int number)
{
	ptrdiff_t at = str_chr(line, '=');
	struct str name, value;
	const char *why = NULL;
	enum fate fate;

	if (at <= 0) {
		tell(r, "main.cf", number, str_trim(line), FATE_REFUSED, "\"name = value\" expected");
		return;
	}
	name = str_trim(str_sub(line, 0, (size_t)at));
	value = str_trim(str_skip(line, (size_t)at + 1));
	fate = import_judge(&r->i, name, value, &why);
	tell(r, "main.cf", number, name, fate, why);
	if (fate == FATE_NONE || fate == FATE_REFUSED)
		buf_addf(&r->dropped, " %d ", number);
}

static void import_main(struct report *r)
{
	struct lines l = { r->i.main_text, 1 };
	struct buf line = { 0 };
	int number = 0;

	while (lines_next(&l, &line, &number))
		import_setting(r, buf_str(&line), number);
	buf_done(&line);
}

/* ---- master.cf ---- */

static void import_row(struct report *r, const struct service_row *row)
{
	const struct command *c = command_find(row->command);
	enum fate fate = FATE_SAME;

	if (c != NULL && c->flags & COMMAND_REFUSE)
		fate = FATE_REFUSED;
	else if (c != NULL && c->why != NULL)
		fate = c->flags & COMMAND_SKIP ? FATE_NONE : FATE_DIFFERS;
	tell(r, "master.cf", row->line, str_z(row->name), fate, c != NULL ? c->why : NULL);
	for (size_t i = 0; i < row->override_count; i++) {
		struct str value = str_z(row->overrides[i]), name = str_trim(str_cut(&value, '='));
		const char *why = NULL;

		fate = import_judge(&r->i, name, str_trim(value), &why);
		if (fate != FATE_SAME)
			tell(r, "master.cf", row->line, name, fate, why);
	}
}

static void import_master(struct report *r, const char *dir)
{
	struct service_row *rows;
	struct err e = ERR_INIT;
	size_t count;

	if (master_cf_load(dir, r->i.a, &rows, &count, &e) < 0) {
		tell(r, "master.cf", 0, STR("master.cf"), FATE_REFUSED, e.text);
		return;
	}
	for (size_t i = 0; i < count; i++)
		import_row(r, &rows[i]);
}

/* ---- writing ---- */

static bool is_dropped(const struct report *r, int line)
{
	struct buf key = { 0 };
	bool dropped;

	buf_addf(&key, " %d ", line);
	dropped = str_find(buf_str(&r->dropped), buf_str(&key)) >= 0;
	buf_done(&key);
	return dropped;
}

/* The same text; what Gatepost does not take becomes comments, with its continuation lines. */
static void rewrite_main(const struct report *r, struct buf *out)
{
	struct str rest = r->i.main_text;
	bool off = false;

	buf_addz(out, "# Written by gatepost import; lines that begin with #- have no meaning here.\n");
	for (int number = 1; rest.n > 0; number++) {
		struct str line = str_cut(&rest, '\n');
		bool continues = line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');

		off = continues ? off : is_dropped(r, number);
		buf_addf(out, "%s%.*s\n", off ? "#- " : "", STRF(line));
	}
}

static int write_one(const char *dir, const char *name, struct str text)
{
	struct buf path = { 0 };
	struct err e = ERR_INIT;
	int status = EX_OK;

	buf_addf(&path, "%s/%s", dir, name);
	if (fs_exists(buf_z(&path))) {
		tool_complain("%s: exists already; it is left alone", buf_z(&path));
		status = EX_CANTCREAT;
	} else if (fs_write_file(buf_z(&path), text, 0644, &e) < 0) {
		tool_complain("%s", e.text);
		status = EX_CANTCREAT;
	}
	buf_done(&path);
	return status;
}

static int write_files(const struct report *r, const char *dir)
{
	struct buf text = { 0 };
	struct err e = ERR_INIT;
	int status;

	if (fs_make_dirs(dir, 0755, &e) < 0) {
		tool_complain("%s", e.text);
		return EX_CANTCREAT;
	}
	rewrite_main(r, &text);
	status = write_one(dir, "main.cf", buf_str(&text));
	if (status == EX_OK)
		status = write_one(dir, "master.cf", r->i.master_text);
	buf_done(&text);
	return status;
}

/* ---- the verb ---- */

static int read_files(struct report *r, const char *dir, struct buf *main_text, struct buf *master_text)
{
	struct buf path = { 0 };
	struct err e = ERR_INIT;
	int rc;

	buf_addf(&path, "%s/main.cf", dir);
	rc = fs_read_file(buf_z(&path), FILE_MAX, main_text, &e);
	buf_clear(&path);
	buf_addf(&path, "%s/master.cf", dir);
	if (rc == 0)
		rc = fs_read_file(buf_z(&path), FILE_MAX, master_text, &e);
	buf_done(&path);
	if (rc < 0)
		tool_complain("%s", e.text);
	r->i.main_text = buf_str(main_text);
	r->i.master_text = buf_str(master_text);
	return rc;
}

static int import(struct report *r, const char *dir, const char *write_to)
{
	struct buf main_text = { 0 }, master_text = { 0 };
	int status = EX_NOINPUT;

	if (read_files(r, dir, &main_text, &master_text) == 0) {
		import_main(r);
		import_master(r, dir);
		if (!r->json)
			printf("%u same, %u differ, %u without effect, %u refused\n", r->counts[FATE_SAME], r->counts[FATE_DIFFERS],
				r->counts[FATE_NONE], r->counts[FATE_REFUSED]);
		status = write_to != NULL ? write_files(r, write_to) : EX_OK;
		if (status == EX_OK && r->counts[FATE_REFUSED] > 0)
			status = EX_DATAERR;
	}
	buf_done(&main_text);
	buf_done(&master_text);
	return status;
}

int verb_import(struct tool *t, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "write", required_argument, NULL, 'w' }, { NULL, 0, NULL, 0 } };
	struct report r = { 0 };
	const char *write_to = NULL;
	int option, status;

	(void)t; /* our own configuration does not matter */
	while ((option = getopt_long(argc, argv, "jvw:", longs, NULL)) != -1) {
		r.json |= option == 'j';
		r.all |= option == 'v';
		if (option == 'w')
			write_to = optarg;
	}
	if (optind != argc - 1) {
		tool_complain("usage: import [-v all settings] [--json] [-w NEW_DIR] POSTFIX_DIR");
		return EX_USAGE;
	}
	r.i.a = arena_new("import");
	status = import(&r, argv[optind], write_to);
	buf_done(&r.dropped);
	arena_free(r.i.a);
	return status;
}

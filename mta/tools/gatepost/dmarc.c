/* mta/tools/gatepost/dmarc.c - dmarc report: the aggregate reports of a day, from the rows the dmarc milter counted in Redis. Without
 * --send they are only written. A domain's report is taken out of the day's set before it is sent: of several gateways one sends it, and
 * once.
 */
#include <errno.h>
#include <getopt.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/rand.h"
#include "lib/mail/addr.h"
#include "lib/mail/dmarc.h"
#include "lib/net/dns.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/service/redis_conf.h"
#include "mta/tools/gatepost/dmarc_report.h"
#include "mta/tools/gatepost/gatepost.h"

#define DAY_S 86400
#define RECEIVERS_MAX 5 /* of one report */
#define DNS_MS 10000

struct job {
	struct tool *t;
	const struct conf *conf;
	const char *directory;
	bool send;
	char day[9]; /* "20261124" */
	int64_t begin;
	struct redis *redis;
	unsigned written, sent, failed;
	int status;
};

/* ---- sending ---- */

/* May reports about domain go to that address? RFC 7489 section 7.1: to the domain itself, or to whom it may concern by a record of theirs.
 */
static bool receiver_agrees(struct arena *a, struct str domain, struct str to)
{
	struct str there = arena_lower(a, addr_split(to).domain);
	struct dns_answer answer;

	if (!addr_hostname_valid(there))
		return false;
	if (str_eq(there, domain) || str_ends(there, arena_printf(a, ".%.*s", STRF(domain))) ||
		str_ends(domain, arena_printf(a, ".%.*s", STRF(there))))
		return true;
	dns_ask(a, arena_printf(a, "%.*s._report._dmarc.%.*s", STRF(domain), STRF(there)), DNS_TXT, deadline_in(DNS_MS), &answer);
	for (size_t i = 0; i < answer.count; i++)
		if (dmarc_record_selects(answer.records[i].data))
			return true;
	return false;
}

/* Through our own sendmail, null sender: reports about reports must not bounce back and forth. */
static bool submit(struct job *j, struct arena *a, struct str to, struct str message)
{
	const char *program = arena_printf(a, "%s/sendmail", j->t->self_dir).p;
	char *const argv[] = { arena_z(a, STR("sendmail")), arena_z(a, STR("-C")), arena_z(a, str_z(j->t->conf_dir)), arena_z(a, STR("-i")),
		arena_z(a, STR("-f")), arena_z(a, STR("<>")), arena_z(a, STR("--")), arena_z(a, to), NULL };
	struct err e = ERR_INIT;
	int ends[2], status = -1;
	pid_t pid;

	if (pipe(ends) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		dup2(ends[0], 0);
		close(ends[0]);
		close(ends[1]);
		execv(program, argv);
		_exit(EX_UNAVAILABLE);
	}
	close(ends[0]);
	if (pid > 0)
		(void)fs_write_all(ends[1], message.p, message.n, &e);
	close(ends[1]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void send_to(struct job *j, const struct report *r, struct str to, struct str compressed)
{
	struct buf message = { 0 };

	report_message(r, to, compressed, &message);
	if (submit(j, r->life, to, buf_str(&message))) {
		printf("%.*s: sent to %.*s\n", STRF(r->domain), STRF(to));
		j->sent++;
	} else {
		tool_complain("%.*s: cannot submit the report for %.*s", STRF(r->domain), STRF(to));
		j->failed++;
	}
	buf_done(&message);
}

static void send_all(struct job *j, const struct report *r, struct str compressed)
{
	struct dmarc_record record;
	struct str to;
	uint64_t limit;

	if (!dmarc_record_parse(r->record, &record))
		return;
	for (size_t i = 0; i < RECEIVERS_MAX && (to = dmarc_report_address(&record.rua, &limit)).n > 0; i++) {
		struct buf safe = { 0 };

		buf_add_safe(&safe, to);
		if (limit > 0 && compressed.n > limit)
			tool_complain("%.*s: %s wants no reports of %zu octets", STRF(r->domain), buf_z(&safe), compressed.n);
		else if (safe.n != to.n || !str_eq(buf_str(&safe), to) || !receiver_agrees(r->life, r->domain, to))
			tool_complain("%.*s: %s has not agreed to get its reports", STRF(r->domain), buf_z(&safe));
		else
			send_to(j, r, to, compressed);
		buf_done(&safe);
	}
}

/* ---- rows ---- */

static struct str key_of(struct job *j, struct arena *a, struct str domain)
{
	return arena_printf(a, "%sdmarc:{%s}%s%.*s", conf_str(j->conf, "redis_key_prefix"), j->day, domain.n > 0 ? ":" : "", STRF(domain));
}

static bool ask(struct job *j, struct arena *a, const char *verb, struct str key, struct str word, struct redis_value *value)
{
	struct str words[] = { str_z(verb), key, word };
	struct err e = ERR_INIT;

	if (redis_command(j->redis, a, word.n > 0 ? 3 : 2, words, value, &e) == 0 && value->type != REDIS_ERROR)
		return true;
	tool_complain("%s %.*s: %s", verb, STRF(key), e.kind != ERR_NONE ? e.text : "Redis refuses it");
	j->status = EX_TEMPFAIL;
	return false;
}

static bool read_rows(struct job *j, struct report *r)
{
	struct redis_value all;

	if (!ask(j, r->life, "HGETALL", key_of(j, r->life, r->domain), STR_NONE, &all))
		return false;
	r->rows = arena_alloc(r->life, (all.count / 2 + 1) * sizeof *r->rows);
	for (size_t i = 0; i + 1 < all.count; i += 2) {
		struct report_row *row = &r->rows[r->count];

		row->text = all.items[i].text;
		if (str_eqz(row->text, "record"))
			r->record = all.items[i + 1].text;
		else if (str_to_u64(all.items[i + 1].text, UINT32_MAX, &row->count))
			r->count++;
	}
	return r->count > 0;
}

static bool write_file(struct job *j, const struct report *r, struct str compressed)
{
	struct str path = arena_printf(r->life, "%s/%.*s", j->directory, STRF(report_file_name(r)));
	struct err e = ERR_INIT;

	if (fs_write_file(path.p, compressed, 0644, &e) < 0) {
		tool_complain("%s", e.text);
		j->status = EX_CANTCREAT;
		return false;
	}
	printf("%s\n", path.p);
	j->written++;
	return true;
}

/* Is this domain's report ours to send? */
static bool claim(struct job *j, struct report *r)
{
	struct redis_value taken;

	return ask(j, r->life, "SREM", key_of(j, r->life, STR_NONE), r->domain, &taken) && taken.integer == 1;
}

/* Send it; what could not be submitted is for the next run. */
static void finish(struct job *j, const struct report *r, struct str compressed)
{
	unsigned before = j->failed;
	struct redis_value done;

	send_all(j, r, compressed);
	if (j->failed > before)
		(void)ask(j, r->life, "SADD", key_of(j, r->life, STR_NONE), r->domain, &done);
	else
		(void)ask(j, r->life, "DEL", key_of(j, r->life, r->domain), STR_NONE, &done);
}

static void report_domain(struct job *j, struct str domain)
{
	struct report r = { .life = arena_new("dmarc report"), .conf = j->conf, .begin = j->begin, .end = j->begin + DAY_S - 1 };
	struct buf xml = { 0 }, compressed = { 0 };
	struct err e = ERR_INIT;

	r.domain = domain;
	r.id = arena_printf(r.life, "%s.%016llx", j->day, (unsigned long long)rand_u64());
	if (read_rows(j, &r) && (!j->send || claim(j, &r))) {
		report_xml(&r, &xml);
		if (report_compress(buf_str(&xml), &compressed, &e) < 0)
			tool_complain("%s", e.text);
		else if (write_file(j, &r, buf_str(&compressed)) && j->send) {
			finish(j, &r, buf_str(&compressed));
		}
	}
	buf_done(&xml);
	buf_done(&compressed);
	arena_free(r.life);
}

static void run(void *arg)
{
	struct job *j = arg;
	struct arena *a = arena_new("dmarc reports");
	struct redis_value domains;
	struct err e = ERR_INIT;

	if (dns_init(conf_str(j->conf, "dns_servers"), &e) < 0) {
		tool_complain("%s", e.text);
		j->status = EX_CONFIG;
	} else if (ask(j, a, "SMEMBERS", key_of(j, a, STR_NONE), STR_NONE, &domains)) {
		for (size_t i = 0; i < domains.count; i++)
			if (addr_hostname_valid(domains.items[i].text))
				report_domain(j, domains.items[i].text);
	}
	arena_free(a);
	loop_stop();
}

/* ---- command line ---- */

static bool set_day(struct job *j, const char *given)
{
	time_t now = (time_t)(clock_wall_us() / 1000000) - DAY_S;
	struct tm tm = { 0 };
	const char *end = given == NULL ? "" : strptime(given, "%Y%m%d", &tm);

	if (given == NULL)
		gmtime_r(&now, &tm);
	if (end == NULL || *end != '\0')
		return false;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	j->begin = (int64_t)timegm(&tm);
	return strftime(j->day, sizeof j->day, "%Y%m%d", &tm) == 8;
}

static int usage(void)
{
	tool_complain("usage: dmarc report [--send] [-d YYYYMMDD] [-o DIRECTORY]");
	return EX_USAGE;
}

static int report(struct job *j)
{
	struct err e = ERR_INIT;

	if (redis_configured(j->conf, &j->redis, &e) < 0 || j->redis == NULL) {
		tool_complain("%s", j->redis == NULL && e.kind == ERR_NONE ? "redis_server is not set: there are no rows" : e.text);
		return EX_CONFIG;
	}
	loop_init();
	fiber_start("dmarc report", run, j);
	loop_run();
	printf("%s: %u reports written, %u sent\n", j->day, j->written, j->sent);
	return j->status != EX_OK ? j->status : j->failed > 0 ? EX_TEMPFAIL : EX_OK;
}

int verb_dmarc(struct tool *t, int argc, char **argv)
{
	static const struct option longs[] = { { "send", no_argument, NULL, 's' }, { NULL, 0, NULL, 0 } };
	struct job j = { .t = t, .directory = "." };
	const char *day = NULL;
	int option;

	if (argc < 2 || strcmp(argv[1], "report") != 0)
		return usage();
	optind = 2;
	while ((option = getopt_long(argc, argv, "d:o:", longs, NULL)) != -1) {
		if (option == '?')
			return usage();
		if (option == 's')
			j.send = true;
		else
			*(option == 'd' ? &day : &j.directory) = optarg;
	}
	if (optind != argc || !set_day(&j, day))
		return usage();
	j.conf = tool_conf(t);
	return report(&j);
}

/* milters/dmarc/rows.c - rows of aggregate reports: equal messages of a day are one field of a hash in Redis, its value the count. What a
 * stranger can make grow is bounded: rows of a domain, and domains of a day. Keys: "<prefix>dmarc:{YYYYMMDD}" is the set of domains,
 * "<prefix>dmarc:{YYYYMMDD}:<domain>" a domain's rows, and its record as field "record".
 */
#include "lib/base/clock.h"
#include "lib/mail/date.h"
#include "milters/common/redis.h"
#include "milters/dmarc/dmarc.h"

#define ROWS_MAX 20000 /* of one domain and day */
#define DOMAINS_MAX 50000 /* of one day */
#define KEPT_S (4 * 86400) /* time enough to send yesterday's */
#define DKIM_IN_ROW 10

static const char count_row[] = "if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then"
				" if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[5]) then return 0 end"
				" redis.call('SADD', KEYS[1], ARGV[1]) redis.call('EXPIRE', KEYS[1], ARGV[4]) end"
				" if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 and redis.call('HLEN', KEYS[2]) > tonumber(ARGV[6])"
				" then return 0 end"
				" redis.call('HSET', KEYS[2], 'record', ARGV[3]) redis.call('EXPIRE', KEYS[2], ARGV[4])"
				" return redis.call('HINCRBY', KEYS[2], ARGV[2], 1)";

/* Columns end with a tab; nothing from outside can contain one. */
static void add(struct buf *row, struct str text)
{
	buf_add_safe(row, text);
	buf_addc(row, '\t');
}

static void add_dkim(struct buf *row, const struct identities *known)
{
	for (size_t i = 0; i < known->dkim_count && i < DKIM_IN_ROW; i++) {
		const struct identity *d = &known->dkim[i];
		struct buf selector = { 0 };

		buf_add_safe(&selector, d->selector);
		buf_addf(row, "%s%.*s/%s/%.*s", i > 0 ? " " : "", STRF(d->domain), buf_z(&selector), STRF(d->word));
		buf_done(&selector);
	}
	buf_addc(row, '\t');
}

/* address, disposition, dkim, spf, reason, header_from, envelope_from, signatures, SPF: domain, scope, result */
static void write_row(struct mail *m, const struct identities *known, const struct evaluation *v, struct buf *row)
{
	ptrdiff_t at = str_rchr(m->sender, '@');

	add(row, m->client);
	add(row, str_z(dmarc_policy_name(v->result == RESULT_FAIL ? v->disposition : DMARC_NONE)));
	add(row, v->dkim_aligned ? STR("pass") : STR("fail"));
	add(row, v->spf_aligned ? STR("pass") : STR("fail"));
	add(row, str_z(v->softened));
	add(row, v->domain);
	add(row, at < 0 ? STR_NONE : domain_normal(m->life, str_skip(m->sender, (size_t)at + 1)));
	add_dkim(row, known);
	add(row, known->spf.domain);
	add(row, known->spf.helo ? STR("helo") : STR("mfrom"));
	add(row, known->spf.word);
}

void rows_count(struct mail *m, const struct identities *known, const struct evaluation *v)
{
	const struct dmarc_options *o = m->set->own;
	struct buf row = { 0 }, day = { 0 };
	struct str rua = v->d.record.rua;
	struct redis_answer answer;
	struct redis_words eval;
	uint64_t limit;

	if (!o->reports || v->d.found != FOUND_RECORD || v->result == RESULT_TEMPERROR || dmarc_report_address(&rua, &limit).n == 0 ||
		m->client.n == 0 || !redis_ready())
		return;
	date_compact(&day, clock_wall_us());
	buf_truncate(&day, strlen("20261124"));
	write_row(m, known, v, &row);
	/* The day in braces: both keys are in one slot of a cluster. */
	eval = (struct redis_words){
		{ STR("EVAL"), str_z(count_row), STR("2"), redis_key(m->life, "dmarc", arena_printf(m->life, "{%s}", buf_z(&day))),
			redis_key(m->life, "dmarc", arena_printf(m->life, "{%s}:%.*s", buf_z(&day), STRF(v->d.domain))), v->d.domain,
			buf_str(&row), v->d.text, arena_printf(m->life, "%d", KEPT_S), arena_printf(m->life, "%d", DOMAINS_MAX),
			arena_printf(m->life, "%d", ROWS_MAX) },
		11
	};
	(void)redis_ask(m->life, &eval, 1, &answer);
	buf_done(&row);
	buf_done(&day);
}

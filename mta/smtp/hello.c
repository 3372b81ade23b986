/* mta/smtp/hello.c - greeting, EHLO or HELO or LHLO, and what the server offers. */
#include <strings.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "mta/smtp/smtp.h"

/* A reply that does not let us in. Only the greeting's 5xx is no verdict: the next server may do (smtp_skip_5xx_greeting). */
static int refused(struct session *s, struct arena *a, bool greeting, struct failure *why)
{
	failure_refused(a, s, why);
	if (greeting && cfg->skip_5xx_greeting)
		failure_soften(why);
	return -1;
}

static struct str first_word_of_reply(const struct session *s)
{
	struct str lines = buf_str(&s->reply.lines), line = str_cut(&lines, '\n');

	line = str_skip(line, 4);
	return str_word(&line, " \t");
}

static int loops(struct session *s, struct arena *a, bool best_mx, struct failure *why)
{
	log_warn("host %.*s replied to HELO/EHLO with my own hostname %s", STRF(s->relay), cfg->myhostname);
	failure_local(a, best_mx ? CODE(0, 5, 4, 6) : CODE(0, 4, 4, 6), why, "mail for %.*s loops back to myself", STRF(s->host));
	return -1;
}

static void read_size(struct session *s, struct str args)
{
	if (!str_to_u64(str_word(&args, " \t"), UINT64_MAX, &s->size_limit))
		s->size_limit = 0;
}

static void read_mechanisms(struct session *s, struct str args)
{
	s->auth_mechanisms = arena_dup(s->life, args);
}

static void read_xforward(struct session *s, struct str args)
{
	s->xforward_attributes = arena_dup(s->life, args);
}

static const struct {
	const char *keyword;
	unsigned bit;
	void (*args)(struct session *s, struct str args);
} offers[] = {
	{ "PIPELINING", OFFER_PIPELINING, NULL },
	{ "SIZE", OFFER_SIZE, read_size },
	{ "8BITMIME", OFFER_8BITMIME, NULL },
	{ "SMTPUTF8", OFFER_SMTPUTF8, NULL },
	{ "DSN", OFFER_DSN, NULL },
	{ "STARTTLS", OFFER_STARTTLS, NULL },
	{ "AUTH", OFFER_AUTH, read_mechanisms },
	{ "XFORWARD", OFFER_XFORWARD, read_xforward },
	{ "CHUNKING", OFFER_CHUNKING, NULL },
	{ "REQUIRETLS", OFFER_REQUIRETLS, NULL },
};

unsigned offers_named(struct str keywords)
{
	unsigned bits = 0;
	struct str word;

	while ((word = str_word(&keywords, ", \t\r\n")).n > 0) {
		for (size_t i = 0; i < sizeof offers / sizeof *offers; i++)
			bits |= str_eqiz(word, offers[i].keyword) ? offers[i].bit : 0;
		bits |= str_eqiz(word, "silent-discard") ? OFFER_SILENT : 0;
	}
	return bits;
}

/* What to overlook of this server's offers. The table's word counts; the setting is for servers that are not in it. */
static int find_discard(struct session *s, struct arena *a, unsigned *out, struct failure *why)
{
	struct buf ip = { 0 }, words = { 0 };
	struct err e = ERR_INIT;
	enum table_answer found;

	*out = cfg->discard;
	sock_addr_text(&s->addr, &ip);
	found = tables_lookup(&cfg->discard_maps, buf_str(&ip), &words, &e);
	if (found == TABLE_FOUND)
		*out = offers_named(buf_str(&words));
	if (found == TABLE_FAILED) {
		log_warn("%s", e.text);
		failure_local(a, CODE(0, 4, 3, 0), why, "EHLO keyword address map lookup failure");
	}
	buf_done(&ip);
	buf_done(&words);
	return found == TABLE_FAILED ? -1 : 0;
}

static void read_offers(struct session *s, unsigned discard)
{
	struct buf discarded = { 0 };
	struct str args;

	s->offers = 0;
	for (size_t i = 0; i < sizeof offers / sizeof *offers; i++) {
		if (!smtp_reply_offers(&s->reply, offers[i].keyword, &args))
			continue;
		if (discard & offers[i].bit) {
			buf_addf(&discarded, " %s", offers[i].keyword);
			continue;
		}
		s->offers |= offers[i].bit;
		if (offers[i].args != NULL)
			offers[i].args(s, args);
	}
	if (discarded.n > 0 && !(discard & OFFER_SILENT))
		log_info("discarding EHLO keywords:%s", buf_z(&discarded));
	buf_done(&discarded);
}

static int say(struct session *s, struct arena *a, const char *verb, struct failure *why)
{
	static const char *const phases[] = { "performing the EHLO handshake", "performing the HELO handshake",
		"performing the LHLO handshake" };
	const char *during = phases[cfg->lmtp ? 2 : *verb == 'H' ? 1 : 0];

	stream_printf(s->io, deadline_in(cfg->hello_ms), "%s %s\r\n", verb, cfg->hello_name);
	if (session_flush(s, a, cfg->hello_ms, during, why) < 0)
		return -1;
	return session_read(s, a, cfg->hello_ms, during, why);
}

int session_ehlo(struct session *s, struct arena *a, bool loop_check, bool best_mx, struct failure *why)
{
	unsigned discard;

	if (find_discard(s, a, &discard, why) < 0 || say(s, a, cfg->lmtp ? "LHLO" : "EHLO", why) < 0)
		return -1;
	if (s->reply.code.smtp / 100 != 2)
		return refused(s, a, false, why);
	if (loop_check && str_eqiz(first_word_of_reply(s), cfg->myhostname))
		return loops(s, a, best_mx, why);
	read_offers(s, discard);
	return 0;
}

static int session_helo(struct session *s, struct arena *a, struct failure *why)
{
	if (say(s, a, "HELO", why) < 0)
		return -1;
	return s->reply.code.smtp / 100 == 2 ? 0 : refused(s, a, false, why);
}

/* A greeting of nothing but '*', '2', '0' and blanks is a firewall that garbles SMTP: keep it simple for it. */
static bool is_garbled(struct str text)
{
	bool stars = false;

	for (size_t i = 0; i < text.n; i++) {
		if (strchr("*20 ", text.p[i]) == NULL)
			return false;
		stars |= text.p[i] == '*';
	}
	return stars;
}

/* disable_esmtp and delay_dotcrlf, as the table has them for this server, or the setting. True: begin with HELO. */
static bool pix_workarounds(struct session *s)
{
	struct buf ip = { 0 }, words = { 0 };
	struct str rest, word;
	struct err e = ERR_INIT;
	bool helo = false;

	sock_addr_text(&s->addr, &ip);
	if (tables_lookup(&cfg->pix_maps, buf_str(&ip), &words, &e) != TABLE_FOUND)
		buf_addz(&words, cfg->pix_workarounds);
	rest = buf_str(&words);
	log_info("enabling PIX workarounds: %.*s for %.*s", STRF(rest), STRF(s->relay));
	while ((word = str_word(&rest, ", \t")).n > 0) {
		helo |= str_eqiz(word, "disable_esmtp");
		s->pix_delay |= str_eqiz(word, "delay_dotcrlf");
	}
	buf_done(&ip);
	buf_done(&words);
	return helo;
}

int session_hello(struct session *s, struct arena *a, bool loop_check, bool best_mx, struct failure *why)
{
	struct str greeting;
	bool esmtp;

	if (session_read(s, a, cfg->hello_ms, "receiving the initial server greeting", why) < 0)
		return -1;
	if (s->reply.code.smtp / 100 != 2)
		return refused(s, a, true, why);
	greeting = buf_str(&s->reply.text);
	if (loop_check && str_eqiz(first_word_of_reply(s), cfg->myhostname))
		log_warn("host %.*s greeted me with my own hostname %s", STRF(s->relay), cfg->myhostname);
	esmtp = cfg->lmtp || (!cfg->never_ehlo && (cfg->always_ehlo || str_find(greeting, STR("ESMTP")) >= 0));
	if (!cfg->lmtp && is_garbled(greeting) && pix_workarounds(s))
		esmtp = false;
	if (!esmtp)
		return session_helo(s, a, why);
	if (session_ehlo(s, a, loop_check, best_mx, why) == 0)
		return 0;
	/* RFC 5321 section 3.2: who does not know EHLO may know HELO. */
	if (cfg->lmtp || s->broken || !why->remote)
		return -1;
	return session_helo(s, a, why);
}

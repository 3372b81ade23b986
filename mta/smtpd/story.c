/* mta/smtpd/story.c - events of a session: who came, what TLS it speaks, each command with its reply, each list of restrictions with what every one said. */
#include "mta/smtpd/story.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/net/story.h"
#include "lib/service/service.h"

#define TOLD_MAX 1000 /* octets of a command */
#define CHECKS_MAX 8000 /* octets of what a list's rules said */
#define ARGUMENT_MAX 300

void story_session(const struct session *s)
{
	struct buf event = { 0 };

	if (!story_wanted())
		return;
	story_begin(&event, "session", NULL);
	json_add_member(&event, "client", s->client.namaddr);
	json_add_member(&event, "service", str_z(service_name()));
	story_tell(&event);
}

void story_tls(const struct session *s, const struct tls *t)
{
	const struct ccert *c = &s->ccert;
	struct buf event = { 0 }, how = { 0 };

	if (!story_wanted())
		return;
	tls_describe(t, " ", &how);
	if (c->fingerprint.n > 0)
		buf_addf(&how, "; certificate of \"%.*s\" by \"%.*s\", %s, fingerprint %.*s", STRF(c->subject), STRF(c->issuer),
			tls_trust_word(t), STRF(c->fingerprint));
	else
		buf_addz(&how, "; the client showed no certificate");
	story_begin(&event, "tls", NULL);
	json_add_member(&event, "text", buf_str(&how));
	story_tell(&event);
	buf_done(&how);
}

/* Responses and initial responses of AUTH are secrets. */
static struct str without_secret(struct str line)
{
	struct str rest = line;

	if (!str_startsi(line, STR("AUTH ")))
		return line;
	str_word(&rest, " \t");
	str_word(&rest, " \t");
	return str_trim(str_sub(line, 0, line.n - rest.n));
}

/* That the client said goodbye, the log's last line tells, too. */
static bool tells_nothing(const char *verb)
{
	return strcmp(verb, "QUIT") == 0 || strcmp(verb, "NOOP") == 0 || strcmp(verb, "RSET") == 0;
}

void story_command(struct session *s, struct str line, int64_t began_us)
{
	struct buf event = { 0 };
	struct str told = s->told; /* its first line says it */

	if (!story_wanted() || (tells_nothing(s->where) && str_starts(told, STR("2"))))
		return;
	story_begin(&event, "command", s->t.id);
	json_add_member(&event, "stage", str_z(s->where));
	json_add_member(&event, "text", str_sub(without_secret(line), 0, TOLD_MAX));
	json_add_member(&event, "reply", str_cut(&told, '\r'));
	json_add_number(&event, "us", clock_mono_us() - began_us);
	story_tell(&event);
}

static const char *said(const struct check *c, enum verdict v)
{
	if (v == CHECK_REJECT)
		return c->s->ruling.code.smtp >= 500 ? "reject" : "defer";
	return v == CHECK_OK ? "permit" : "dunno";
}

void story_add_rule(struct buf *b, const struct check *c, const struct rule *r, enum verdict v, int64_t spent_us)
{
	if (b->n > CHECKS_MAX)
		return;
	buf_addf(b, "%s%.*s%s", r->warn ? "warn_if_reject " : "", STRF(r->word), r->arg.n > 0 ? " " : "");
	buf_add(b, str_sub(r->arg, 0, ARGUMENT_MAX));
	buf_addf(b, ": %s, %lld.%03lld ms\n", said(c, v), (long long)(spent_us / 1000), (long long)(spent_us % 1000));
}

void story_checks(const struct check *c, const struct rule_list *l, enum verdict v, struct buf *b)
{
	struct session *s = c->s;
	struct buf event = { 0 };

	story_begin(&event, "check", s->t.id);
	json_add_member(&event, "stage", str_z(s->where));
	json_add_member(&event, "list", str_z(l->name));
	json_add_member(&event, "where", str_z(l->where));
	json_add_member(&event, "about", c->name);
	json_add_member(&event, "verdict", str_z(said(c, v)));
	json_add_member(&event, "checks", buf_str(b));
	story_tell(&event);
}

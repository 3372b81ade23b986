/* mta/qmgr/settings.c - the process's state, and what main.cf says. */
#include "lib/base/log.h"
#include "mta/qmgr/qmgr.h"

struct qmgr qmgr;

static struct matchlist *open_flush_domains(const struct conf *c)
{
	const char *value = conf_str(c, "fast_flush_domains");
	unsigned flags = MATCH_HOST | (conf_list_has(c, "parent_domain_matches_subdomains", "fast_flush_domains") ? MATCH_PARENT : 0u);
	struct err e = ERR_INIT;
	struct matchlist *m;

	if (str_trim(str_z(value)).n == 0)
		return NULL;
	m = matchlist_open(value, flags, conf_dir(c), &e);
	if (m == NULL)
		log_warn("fast_flush_domains: %s", e.text); /* everything can still be flushed at once */
	return m;
}

void settings_read(const struct conf *c)
{
	struct settings *s = &qmgr.set;

	qmgr.conf = c;
	qmgr.lock_fd = -1;
	s->active_limit = (size_t)conf_int(c, "qmgr_message_active_limit");
	s->rcpt_limit = (size_t)conf_int(c, "qmgr_message_recipient_limit");
	s->min_backoff_ms = conf_time_ms(c, "minimal_backoff_time");
	s->max_backoff_ms = conf_time_ms(c, "maximal_backoff_time");
	s->lifetime_ms = conf_time_ms(c, "maximal_queue_lifetime");
	s->bounce_lifetime_ms = conf_time_ms(c, "bounce_queue_lifetime");
	s->transport_retry_ms = conf_time_ms(c, "transport_retry_time");
	s->run_delay_ms = conf_time_ms(c, "queue_run_delay");
	s->delay_warning_ms = conf_time_ms(c, "delay_warning_time");
	s->clog_ms = conf_time_ms(c, "qmgr_clog_warn_time");
	s->confirm_cleared = conf_bool(c, "confirm_delay_cleared");
	s->verp_bounces = !conf_bool(c, "disable_verp_bounces");
	s->feedback_debug = conf_bool(c, "destination_concurrency_feedback_debug");
	s->flush_domains = open_flush_domains(c);
	s->soft_bounce = conf_bool(c, "soft_bounce");
	s->defer_transports = conf_str(c, "defer_transports");
	s->recipient_delimiter = conf_str(c, "recipient_delimiter");
	s->filter_nexthop = conf_str(c, "default_filter_nexthop");
	s->double_bounce = conf_str(c, "double_bounce_sender");
	if (s->max_backoff_ms < s->min_backoff_ms)
		log_fatal("maximal_backoff_time is less than minimal_backoff_time");
}

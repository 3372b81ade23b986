/* mta/smtpd/settings_tls.c - TLS as main.cf wants it: level, certificates, tickets, what is asked of clients. */
#include "lib/base/log.h"
#include "mta/smtpd/settings.h"

static struct server_names *names; /* tls_server_sni_maps, as far as they are text */

/* For the rest of the tables: the name, then ".parent" of it and of its parents. Values are lists of files. */
static bool find_in_tables(struct str name, struct buf *chain)
{
	struct err e = ERR_INIT;
	enum table_answer answer = tables_lookup_domain(&cf.sni_maps, name, false, chain, &e);

	if (answer == TABLE_FAILED)
		log_warn("tls_server_sni_maps: %s", e.text);
	return answer == TABLE_FOUND;
}

static bool certificate_for(struct str name, struct buf *chain)
{
	return (names != NULL && server_names_find(names, name, chain)) || (cf.sni_maps.count > 0 && find_in_tables(name, chain));
}

static void load_names(const struct conf *c)
{
	struct buf others = { 0 };
	struct err e = ERR_INIT;

	names = server_names_load(c, &others, &e);
	if (e.text[0] != '\0' || tables_open(cf.life, buf_z(&others), conf_dir(c), &cf.sni_maps, &e) < 0)
		log_fatal("tls_server_sni_maps: %s", e.text);
	buf_done(&others);
}

/* What would otherwise be found out by the first client. */
static void check_client_certificates(void)
{
	if (!tls_digest_known(cf.tls_digest))
		log_fatal("smtpd_tls_fingerprint_digest: no such digest: %s", cf.tls_digest);
	if (cf.tls_req_ccert && cf.tls_level != TLS_LEVEL_ENCRYPT) {
		log_warn("smtpd_tls_req_ccert needs smtpd_tls_security_level = encrypt: it is ignored");
		cf.tls_req_ccert = false;
	}
}

/* Without a usable certificate Postfix goes on without TLS at level may; so do we, but never at level encrypt. */
void settings_load_tls(const struct conf *c)
{
	struct err e = ERR_INIT;

	cf.tls_level = server_tls_level(c);
	if (cf.tls_level == TLS_LEVEL_NONE)
		return;
	check_client_certificates();
	cf.tls_ask_ccert = cf.tls_ask_ccert || cf.tls_req_ccert;
	tls_tickets_init(SERVER_TLS_TICKETS, conf_time_ms(c, "smtpd_tls_session_cache_timeout"));
	load_names(c);
	cf.tls_by_name = names != NULL || cf.sni_maps.count > 0;
	cf.tls = server_tls_open(c, cf.tls_level, cf.tls_by_name ? certificate_for : NULL, &e);
	if (cf.tls != NULL)
		return;
	if (cf.tls_level == TLS_LEVEL_ENCRYPT)
		log_fatal("TLS is required but cannot be offered: %s", e.text);
	log_warn("TLS is not offered: %s", e.text);
	cf.tls_level = TLS_LEVEL_NONE;
}

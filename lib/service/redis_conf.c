/* lib/service/redis_conf.c - from the redis_* parameters to a Redis client. */
#include "lib/service/redis_conf.h"

#include "lib/base/fs.h"
#include "lib/net/tls.h"

#define PASSWORD_FILE_MAX 4096

static int read_password(const struct conf *c, struct buf *out, struct err *e)
{
	const char *file = conf_str(c, "redis_password_file");
	struct buf text = { 0 };
	struct str rest;
	int rc = 0;

	if (*file == '\0') {
		buf_addz(out, conf_str(c, "redis_password"));
		return 0;
	}
	if (fs_read_file(file, PASSWORD_FILE_MAX, &text, e) < 0)
		rc = err_context(e, "redis_password_file");
	rest = buf_str(&text);
	buf_add(out, str_trim(str_cut(&rest, '\n')));
	buf_done(&text);
	return rc;
}

static int make_tls(const struct conf *c, struct tls_ctx **out, struct err *e)
{
	struct tls_settings set = {
		.cert_file = conf_str(c, "redis_tls_cert_file"),
		.key_file = conf_str(c, "redis_tls_key_file"),
		.ca_file = conf_str(c, "redis_tls_CAfile"),
		.protocols = ">=TLSv1.2",
		.ciphers = "high",
	};

	if (!conf_bool(c, "redis_tls"))
		return 0;
	*out = tls_client_ctx(&set, e);
	return *out == NULL ? err_context(e, "TLS for Redis") : 0;
}

int redis_configured(const struct conf *c, struct redis **out, struct err *e)
{
	struct buf password = { 0 };
	struct redis_settings set = {
		.servers = conf_str(c, "redis_server"),
		.user = conf_str(c, "redis_user"),
		.database = (int)conf_int(c, "redis_database"),
		.sentinel_master = conf_str(c, "redis_sentinel_master"),
		.sentinel_user = conf_str(c, "redis_sentinel_user"),
		.sentinel_password = conf_str(c, "redis_sentinel_password"),
		.cluster = conf_bool(c, "redis_cluster"),
		.tls_verify = conf_bool(c, "redis_tls_verify"),
		.tls_name = conf_str(c, "redis_tls_name"),
		.timeout_ms = conf_int(c, "redis_timeout_ms"),
		.breaker_failures = (unsigned)conf_int(c, "redis_breaker_failures"),
		.breaker_ms = conf_time_ms(c, "redis_breaker_time"),
	};
	int rc = 0;

	*out = NULL;
	if (*set.servers == '\0')
		return 0;
	if (read_password(c, &password, e) < 0 || make_tls(c, &set.tls, e) < 0)
		rc = -1;
	set.password = buf_z(&password);
	if (rc == 0)
		*out = redis_new(&set);
	buf_done(&password);
	return rc;
}

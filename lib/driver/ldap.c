/* lib/driver/ldap.c - table-ldap.so: ldap_table(5). A search for the key; the values of result attributes, and of entries that special
 * attributes point to (DNs and LDAP URLs), within limits: depth, number of searches, time.
 */
#include <stdint.h>
#include <strings.h>
#include <time.h>

#include <ldap.h>

#include "lib/driver/driver.h"

#define SEARCHES_MAX 1000 /* for one key: a group of groups of groups */
#define DEPTH_MAX 50
#define ATTRIBUTES_MAX 64
#define URI_MAX 2048

static const char *const names[] = { "bind", "bind_dn", "bind_pw", "cache", "cache_expiry", "cache_size", "chase_referrals", "debuglevel",
	"dereference", "leaf_result_attribute", "query_filter", "recursion_limit", "result_attribute", "scope", "search_base", "server_host", "server_port", "size_limit", "special_result_attribute",
	"start_tls", "terminal_result_attribute", "tls_ca_cert_dir", "tls_ca_cert_file", "tls_cert", "tls_cipher_suite", "tls_key",
	"tls_random_file", "tls_require_cert", "version", NULL }; /* cache*, debuglevel and tls_random_file do nothing, as in Postfix */
static const char *const templates[] = { "query_filter", "search_base", NULL };
static const char *const defaults[] = { "(mailacceptinggeneralid=%s)", NULL };
enum { TEMPLATE_FILTER, TEMPLATE_BASE };

enum attribute_kind { KIND_RESULT, KIND_SPECIAL, KIND_TERMINAL, KIND_LEAF, KIND_COUNT };
static const char *const kind_settings[KIND_COUNT] = {
	"result_attribute",
	"special_result_attribute",
	"terminal_result_attribute",
	"leaf_result_attribute",
};

struct connection {
	LDAP *ld;
	int scope, size_limit, depth_max;
	char *attributes[ATTRIBUTES_MAX + 1]; /* to ask for; NULL at the end */
	enum attribute_kind kinds[ATTRIBUTES_MAX];
	size_t attribute_count;
};

struct search {
	struct connection *c;
	const struct driver_sink *sink;
	int64_t until;
	int searches;
	char *why;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct timeval time_left(int64_t until)
{
	int64_t left = until - now_ms();

	if (left < 1)
		left = 1;
	return (struct timeval){ .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };
}

static int is_yes(const char *s)
{
	return strcasecmp(s, "yes") == 0 || strcasecmp(s, "simple") == 0 || strcmp(s, "1") == 0;
}

static int is_no(const char *s)
{
	return strcasecmp(s, "no") == 0 || strcasecmp(s, "none") == 0 || strcmp(s, "0") == 0;
}

/* ---- settings ---- */

static int number_of(const struct driver_settings *s, const char *name, const char *fallback)
{
	char *end = NULL;
	long n = strtol(s->get(s->ctx, name, fallback), &end, 10);

	return *end != '\0' || n < 0 || n > 1000000 ? -1 : (int)n;
}

static int scope_of(const char *word)
{
	return strcasecmp(word, "sub") == 0 ? LDAP_SCOPE_SUBTREE :
	       strcasecmp(word, "one") == 0 ? LDAP_SCOPE_ONELEVEL :
	       strcasecmp(word, "base") == 0 ? LDAP_SCOPE_BASE : -1;
}

static int check_settings(const struct driver_settings *s, char *why)
{
	static const char *const numbers[] = { "server_port", "size_limit", "recursion_limit", "dereference" };
	static const char *const switches[] = { "bind", "start_tls", "chase_referrals", "tls_require_cert" };

	why[0] = '\0';
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (number_of(s, numbers[i], "0") < 0)
			snprintf(why, DRIVER_WHY_SIZE, "%s: a number expected", numbers[i]);
	for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
		if (!is_yes(s->get(s->ctx, switches[i], "no")) && !is_no(s->get(s->ctx, switches[i], "no")))
			snprintf(why, DRIVER_WHY_SIZE, "%s: yes or no expected", switches[i]);
	if (scope_of(s->get(s->ctx, "scope", "sub")) < 0)
		snprintf(why, DRIVER_WHY_SIZE, "scope: sub, one or base expected");
	if (strcmp(s->get(s->ctx, "version", "3"), "3") != 0)
		snprintf(why, DRIVER_WHY_SIZE, "version: 3 is the only one spoken");
	return why[0] == '\0' ? 0 : -1;
}

static int add_attributes(struct connection *c, const char *list, enum attribute_kind kind)
{
	while (*(list += strspn(list, ", \t")) != '\0') {
		size_t n = strcspn(list, ", \t");

		if (c->attribute_count == ATTRIBUTES_MAX)
			return -1;
		c->attributes[c->attribute_count] = strndup(list, n);
		if (c->attributes[c->attribute_count] == NULL)
			return -1;
		c->kinds[c->attribute_count++] = kind;
		list += n;
	}
	return 0;
}

static int read_settings(struct connection *c, const struct driver_settings *s)
{
	int limit = number_of(s, "recursion_limit", "50");

	c->scope = scope_of(s->get(s->ctx, "scope", "sub"));
	c->size_limit = number_of(s, "size_limit", "0");
	c->depth_max = limit == 0 || limit > DEPTH_MAX ? DEPTH_MAX : limit;
	for (int kind = 0; kind < KIND_COUNT; kind++)
		if (add_attributes(c, s->get(s->ctx, kind_settings[kind], kind == KIND_RESULT ? "maildrop" : ""), (enum attribute_kind)kind) < 0)
			return -1;
	return 0;
}

/* ---- connecting ---- */

static void disconnect(void *connection)
{
	struct connection *c = connection;

	if (c->ld != NULL)
		ldap_unbind_ext_s(c->ld, NULL, NULL);
	for (size_t i = 0; i < c->attribute_count; i++)
		free(c->attributes[i]);
	free(c);
}

/* "host", "host:port" and URLs, any number, as one list of URLs. */
static void list_servers(const struct driver_settings *s, char *out, size_t size)
{
	const char *list = s->get(s->ctx, "server_host", "localhost"), *port = s->get(s->ctx, "server_port", "389");
	size_t used = 0;

	out[0] = '\0';
	while (*(list += strspn(list, ", \t")) != '\0' && used < size) {
		int n = (int)strcspn(list, ", \t");

		if (memmem(list, (size_t)n, "://", 3) != NULL)
			used += (size_t)snprintf(out + used, size - used, "%s%.*s", used > 0 ? " " : "", n, list);
		else
			used += (size_t)snprintf(out + used, size - used, "%sldap://%.*s%s%s", used > 0 ? " " : "", n, list,
				memchr(list, ':', (size_t)n) != NULL ? "" : ":", memchr(list, ':', (size_t)n) != NULL ? "" : port);
		list += n;
	}
}

static void set_tls(LDAP *ld, const struct driver_settings *s)
{
	static const struct {
		const char *name;
		int option;
	} files[] = {
		{ "tls_ca_cert_file", LDAP_OPT_X_TLS_CACERTFILE },
		{ "tls_ca_cert_dir", LDAP_OPT_X_TLS_CACERTDIR },
		{ "tls_cert", LDAP_OPT_X_TLS_CERTFILE },
		{ "tls_key", LDAP_OPT_X_TLS_KEYFILE },
		{ "tls_cipher_suite", LDAP_OPT_X_TLS_CIPHER_SUITE },
	};
	int require = is_yes(s->get(s->ctx, "tls_require_cert", "no")) ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER, client = 0;

	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (*s->get(s->ctx, files[i].name, "") != '\0')
			ldap_set_option(ld, files[i].option, s->get(s->ctx, files[i].name, ""));
	ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &require);
	ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client);
}

static void set_options(LDAP *ld, const struct driver_settings *s, int timeout_ms)
{
	struct timeval t = { .tv_sec = (timeout_ms + 999) / 1000 };
	int version = LDAP_VERSION3, dereference = number_of(s, "dereference", "0");

	ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &t);
	ldap_set_option(ld, LDAP_OPT_TIMEOUT, &t);
	ldap_set_option(ld, LDAP_OPT_DEREF, &dereference);
	ldap_set_option(ld, LDAP_OPT_REFERRALS, is_yes(s->get(s->ctx, "chase_referrals", "no")) ? LDAP_OPT_ON : LDAP_OPT_OFF);
	set_tls(ld, s);
}

static int bind_to(LDAP *ld, const struct driver_settings *s)
{
	char *password = (char *)(uintptr_t)s->get(s->ctx, "bind_pw", "");
	struct berval secret = { strlen(password), password };

	if (is_no(s->get(s->ctx, "bind", "yes")))
		return LDAP_SUCCESS;
	return ldap_sasl_bind_s(ld, s->get(s->ctx, "bind_dn", ""), LDAP_SASL_SIMPLE, &secret, NULL, NULL, NULL);
}

/* With what the TLS library or the server said, when they said anything. */
static void explain(char *why, LDAP *ld, const char *what, int code)
{
	char *more = NULL;

	if (ld != NULL)
		ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
	snprintf(why, DRIVER_WHY_SIZE, "%.160s: %s%s%.160s", what, ldap_err2string(code), more != NULL && *more != '\0' ? ": " : "",
		more != NULL ? more : "");
	ldap_memfree(more);
}

static void *connect_any(const struct driver_settings *s, int timeout_ms, char *why)
{
	struct connection *c = calloc(1, sizeof *c);
	char servers[URI_MAX];
	int code = LDAP_NO_MEMORY;

	list_servers(s, servers, sizeof servers);
	if (c != NULL && read_settings(c, s) == 0)
		code = ldap_initialize(&c->ld, servers);
	if (code == LDAP_SUCCESS) {
		set_options(c->ld, s, timeout_ms);
		if (is_yes(s->get(s->ctx, "start_tls", "no")))
			code = ldap_start_tls_s(c->ld, NULL, NULL);
	}
	if (code == LDAP_SUCCESS)
		code = bind_to(c->ld, s);
	if (code == LDAP_SUCCESS)
		return c;
	explain(why, c != NULL ? c->ld : NULL, servers, code);
	if (c != NULL)
		disconnect(c);
	return NULL;
}

/* ---- asking ---- */

/* RFC 4515 section 3 in filters, RFC 4514 section 2.4 in DNs: what means something there as hexadecimal digits. */
static size_t quote(void *connection, int template_number, const char *p, size_t n, char *out)
{
	const char *special = template_number == TEMPLATE_FILTER ? "*()\\" : "\"+,;<>\\=#";
	char escape[4];
	size_t used = 0;

	(void)connection;
	for (size_t i = 0; i < n; i++) {
		int edge = template_number == TEMPLATE_BASE && p[i] == ' ' && (i == 0 || i + 1 == n);

		if (!edge && strchr(special, p[i]) == NULL) {
			out[used++] = p[i];
			continue;
		}
		snprintf(escape, sizeof escape, "\\%02x", (unsigned char)p[i]);
		memcpy(out + used, escape, 3);
		used += 3;
	}
	return used;
}

static int search(struct search *s, const char *base, int scope, const char *filter, char **attributes, int depth);

static int kind_of(const struct connection *c, const char *name)
{
	for (size_t i = 0; i < c->attribute_count; i++)
		if (strcasecmp(c->attributes[i], name) == 0)
			return (int)c->kinds[i];
	return -1;
}

/* A DN or a URL in the directory itself. What it names may have been deleted: that is no error. */
static int follow(struct search *s, const struct berval *v, int depth)
{
	LDAPURLDesc *url = NULL;
	int rc;

	if (!ldap_is_ldap_url(v->bv_val))
		return search(s, v->bv_val, LDAP_SCOPE_BASE, "(objectClass=*)", s->c->attributes, depth + 1);
	if (ldap_url_parse(v->bv_val, &url) != LDAP_URL_SUCCESS) {
		snprintf(s->why, DRIVER_WHY_SIZE, "bad LDAP URL in the directory");
		return -1;
	}
	rc = search(s, url->lud_dn, url->lud_scope, url->lud_filter != NULL ? url->lud_filter : "(objectClass=*)",
		url->lud_attrs != NULL ? url->lud_attrs : s->c->attributes, depth + 1);
	ldap_free_urldesc(url);
	return rc;
}

static int take_values(struct search *s, LDAPMessage *entry, const char *name, int kind, int depth)
{
	struct berval **v = ldap_get_values_len(s->c->ld, entry, name);
	int rc = 0;

	for (size_t i = 0; v != NULL && v[i] != NULL && rc == 0; i++)
		rc = kind == KIND_SPECIAL ? follow(s, v[i], depth) : s->sink->value(s->sink->ctx, v[i]->bv_val, v[i]->bv_len);
	ldap_value_free_len(v);
	return rc;
}

/* Which kinds of attributes with values this entry has, as bits. */
static unsigned kinds_of_entry(struct search *s, LDAPMessage *entry)
{
	BerElement *at = NULL;
	unsigned kinds = 0;

	for (char *name = ldap_first_attribute(s->c->ld, entry, &at); name != NULL; name = ldap_next_attribute(s->c->ld, entry, at)) {
		int kind = kind_of(s->c, name);

		if (kind >= 0)
			kinds |= 1U << kind;
		ldap_memfree(name);
	}
	ber_free(at, 0);
	return kinds;
}

/* Terminal attributes hide all others; leaves count where nothing points further. */
static int is_wanted(int kind, unsigned kinds)
{
	if (kind < 0)
		return 0;
	if (kinds & (1U << KIND_TERMINAL))
		return kind == KIND_TERMINAL;
	return kind != KIND_LEAF || !(kinds & (1U << KIND_SPECIAL));
}

static int take_entry(struct search *s, LDAPMessage *entry, int depth)
{
	unsigned kinds = kinds_of_entry(s, entry);
	BerElement *at = NULL;
	int rc = 0;

	for (char *name = ldap_first_attribute(s->c->ld, entry, &at); name != NULL; name = ldap_next_attribute(s->c->ld, entry, at)) {
		int kind = kind_of(s->c, name);

		if (rc == 0 && is_wanted(kind, kinds))
			rc = take_values(s, entry, name, kind, depth);
		ldap_memfree(name);
	}
	ber_free(at, 0);
	return rc;
}

static int may_search(struct search *s, int depth)
{
	if (depth > s->c->depth_max)
		snprintf(s->why, DRIVER_WHY_SIZE, "entries point to entries more than %d deep (recursion_limit): a loop?", s->c->depth_max);
	else if (++s->searches > SEARCHES_MAX)
		snprintf(s->why, DRIVER_WHY_SIZE, "more than %d searches for one key", SEARCHES_MAX);
	else if (now_ms() >= s->until)
		snprintf(s->why, DRIVER_WHY_SIZE, "no answer in time");
	else
		return 0;
	return -1;
}

static int search(struct search *s, const char *base, int scope, const char *filter, char **attributes, int depth)
{
	struct timeval left = time_left(s->until);
	LDAPMessage *found = NULL;
	int code, rc = 0;

	if (may_search(s, depth) < 0)
		return -1;
	code = ldap_search_ext_s(s->c->ld, base, scope, filter, attributes, 0, NULL, NULL, &left, s->c->size_limit, &found);
	if (code != LDAP_SUCCESS && !(code == LDAP_NO_SUCH_OBJECT && depth > 0)) {
		explain(s->why, s->c->ld, base, code);
		rc = -1;
	}
	for (LDAPMessage *entry = rc < 0 ? NULL : ldap_first_entry(s->c->ld, found); entry != NULL && rc == 0;
		entry = ldap_next_entry(s->c->ld, entry))
		rc = take_entry(s, entry, depth);
	ldap_msgfree(found);
	return rc;
}

static int ask(void *connection, const char *const *texts, const struct driver_sink *sink, int timeout_ms, char *why)
{
	struct search s = { connection, sink, now_ms() + timeout_ms, 0, why };
	char filter[8192];

	if (*texts[TEMPLATE_FILTER] == '(')
		return search(&s, texts[TEMPLATE_BASE], s.c->scope, texts[TEMPLATE_FILTER], s.c->attributes, 0);
	if (snprintf(filter, sizeof filter, "(%s)", texts[TEMPLATE_FILTER]) >= (int)sizeof filter) {
		snprintf(why, DRIVER_WHY_SIZE, "the filter is too long");
		return -1;
	}
	return search(&s, texts[TEMPLATE_BASE], s.c->scope, filter, s.c->attributes, 0);
}

extern const struct driver gatepost_driver;
const struct driver gatepost_driver = { DRIVER_VERSION, names, templates, defaults, check_settings, connect_any, quote, ask, disconnect };

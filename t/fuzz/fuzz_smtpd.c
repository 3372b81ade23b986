/* t/fuzz/fuzz_smtpd.c - whole SMTP sessions: the command line, MAIL and RCPT, DATA and BDAT, AUTH, XCLIENT, XFORWARD, the PROXY header. The server
 * must say nothing but replies, and the session must end.
 *
 * Input: one octet of flags, what the client sends, perhaps AUTH_MARK and what the authentication server says after its greeting. Addresses at
 * relay.test are ours; nobody else is there to be asked, so that messages are read to their end and then deferred.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/net/loop.h"
#include "lib/proto/rewrite.h"
#include "mta/smtpd/crowd.h"
#include "mta/smtpd/early.h"
#include "mta/smtpd/limit.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"
#include "mta/smtpd/verify.h"
#include "t/fuzz/fuzz.h"

#define AUTH_MARK "\f\f"
#define OUT_MAX 400000 /* octets of replies that are looked at */
#define LINE_MAX_OCTETS 4096

enum { FLAG_PROXY = 1, FLAG_NOT_STRICT = 2, FLAG_REJECT_BARE = 4 };

static struct str auth_script;

static const char main_cf[] = "myhostname = mx.gate.test\nmydomain = gate.test\nmyorigin = gate.test\nmydestination =\nmynetworks = 192.0.2.100\n"
			      "smtpd_peername_lookup = no\nsmtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_authorized_xforward_hosts = 127.0.0.0/8\n"
			      "smtpd_error_sleep_time = 0\nsmtpd_timeout = 2s\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\n"
			      "smtpd_tls_security_level = none\nmessage_size_limit = 2000\nline_length_limit = 1000\nalias_maps =\n"
			      "smtpd_forbid_unauth_pipelining = no\nsmtpd_relay_restrictions = reject_unauth_destination\nsmtpd_upstream_proxy_timeout = 1s\nsmtpd_recipient_limit = 20\n";

/* ---- who would be asked ---- */

struct rewrite_client {
	int none;
};

struct rewrite_client *rewrite_client_new(const char *endpoint, int64_t timeout_ms)
{
	static struct rewrite_client client;

	(void)endpoint; /* nobody is there */
	(void)timeout_ms;
	return &client;
}

int rewrite_ask(struct rewrite_client *c, struct arena *a, const struct rewrite_question *q, struct rewrite_answer *out, struct err *e)
{
	struct str domain = addr_split(q->address).domain;

	(void)c; /* has no state */
	(void)e; /* never fails */
	*out = (struct rewrite_answer){ .klass = str_eqiz(domain, "relay.test") ? CLASS_RELAY : CLASS_DEFAULT, .flags = REWRITE_KNOWN };
	out->address = arena_dup(a, q->address);
	out->transport = STR("relay");
	out->nexthop = arena_dup(a, domain);
	return 0;
}

/* A stream from which text can be read, and then the end. */
static struct stream *stream_of(struct str text, int *other)
{
	int fds[2];

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	check(text.n == 0 || send(fds[1], text.p, text.n, MSG_DONTWAIT) == (ssize_t)text.n);
	shutdown(fds[1], SHUT_WR);
	*other = fds[1];
	return stream_new(fds[0]);
}

struct stream *sock_connect_endpoint(struct str endpoint, int64_t deadline, struct err *e)
{
	static int held = -1; /* the authentication server's end; one at a time */
	struct buf text = { 0 };
	struct stream *s;

	(void)deadline; /* it is here at once */
	if (str_starts(endpoint, STR("unix:private/"))) {
		err_temp(e, "nobody is there");
		return NULL;
	}
	if (held >= 0)
		close(held);
	buf_addz(&text, "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tCRAM-MD5\nSPID\t1\nDONE\n");
	buf_add(&text, auth_script);
	s = stream_of(buf_str(&text), &held);
	buf_done(&text);
	return s;
}

/* ---- a session ---- */

static void run(void *arg)
{
	struct stream *io = arg;
	struct sock_addr peer = { 0 };
	struct err e;

	check(sock_parse_ip(STR("127.0.0.1"), 4000, &peer, &e) == 0);
	session_run(io, &peer);
	stream_close(io);
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static void judge_line(struct str line)
{
	check(line.n >= 5 && line.n <= LINE_MAX_OCTETS); /* an empty challenge is "334 " */
	check(line.p[line.n - 1] == '\r');
	check(line.p[0] >= '2' && line.p[0] <= '5' && digit(line.p[1]) && digit(line.p[2]));
	check(line.p[3] == ' ' || line.p[3] == '-');
	for (size_t i = 0; i + 1 < line.n; i++)
		check((unsigned char)line.p[i] >= ' ' && line.p[i] != 127);
}

static void judge(int fd)
{
	static char out[OUT_MAX];
	size_t n = 0;
	ssize_t got;
	struct str rest;

	while (n < sizeof out && (got = recv(fd, out + n, sizeof out - n, MSG_DONTWAIT)) > 0)
		n += (size_t)got;
	rest = str_n(out, n);
	check(n == 0 || out[n - 1] == '\n');
	while (rest.n > 0)
		judge_line(str_cut(&rest, '\n'));
}

static void begin(void)
{
	static bool done;
	struct conf *c;
	struct err e;

	if (done)
		return;
	done = true;
	log_open("fuzz", "/dev/null");
	c = conf_parse(str_z(main_cf), NULL, 0, NULL, NULL, &e);
	check(c != NULL);
	settings_load(c);
	verify_init(c);
	early_init(c);
	crowd_init();
	limit_init("fuzz");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = fuzz_str(data, size), client;
	ptrdiff_t mark;
	struct stream *io;
	int peer;

	if (size == 0 || size > 60000)
		return 0;
	begin();
	mark = str_find(in, STR(AUTH_MARK));
	client = str_skip(mark < 0 ? in : str_sub(in, 0, (size_t)mark), 1);
	auth_script = mark < 0 ? STR_NONE : str_skip(in, (size_t)mark + sizeof AUTH_MARK - 1);
	cf.proxy_protocol = in.p[0] & FLAG_PROXY ? "haproxy" : "";
	cf.strict_envelopes = !(in.p[0] & FLAG_NOT_STRICT);
	cf.bare_newline = in.p[0] & FLAG_REJECT_BARE ? BARE_REJECT : BARE_NORMALIZE;
	io = stream_of(client, &peer);
	loop_call("session", run, io);
	judge(peer);
	close(peer);
	return 0;
}

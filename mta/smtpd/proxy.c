/* mta/smtpd/proxy.c - PROXY protocol header: parsed as far as addresses go, TLVs are skipped. The listener is for a load balancer alone,
 * still every octet is checked, and a header that is not one ends the connection. */
#include "mta/smtpd/proxy.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define V1_MAX 107 /* octets with CRLF */
#define V2_FIXED 16
#define V2_VERSION 0x20
#define V2_STREAM 1

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static ptrdiff_t refuse(const char **why, const char *text)
{
	*why = text;
	return -1;
}

/* ---- version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 1234 25\r\n" ---- */

static bool parse_port(struct str s, unsigned *port)
{
	uint64_t n;

	if (!str_to_u64(s, UINT16_MAX, &n))
		return false;
	*port = (unsigned)n;
	return true;
}

static bool parse_v1_line(struct str line, struct proxy_header *out)
{
	struct str word, family;

	word = str_cut(&line, ' ');
	family = str_cut(&line, ' ');
	if (!str_eqz(word, "PROXY") || !(str_eqz(family, "TCP4") || str_eqz(family, "TCP6")))
		return false;
	if (!ip_parse(str_cut(&line, ' '), &out->client) || !ip_parse(str_cut(&line, ' '), &out->server))
		return false;
	return parse_port(str_cut(&line, ' '), &out->client_port) && parse_port(line, &out->server_port);
}

static ptrdiff_t parse_v1(struct str in, struct proxy_header *out, const char **why)
{
	ptrdiff_t lf = str_chr(str_sub(in, 0, V1_MAX), '\n');

	if (lf < 0)
		return in.n >= V1_MAX ? refuse(why, "header line too long") : 0;
	if (lf < 1 || in.p[lf - 1] != '\r' || !parse_v1_line(str_sub(in, 0, (size_t)lf - 1), out))
		return refuse(why, "malformed version 1 header");
	return lf + 1;
}

/* ---- version 2 ---- */

static unsigned get_u16(const char *p)
{
	return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

static void get_ip(struct ip *out, const char *p, bool v4)
{
	memset(out, 0, sizeof *out);
	out->v4 = v4;
	if (v4) {
		out->b[10] = out->b[11] = 0xff;
		memcpy(out->b + 12, p, 4);
	} else {
		memcpy(out->b, p, 16);
	}
}

static bool parse_v2_addresses(struct str body, unsigned family, struct proxy_header *out)
{
	bool v4 = family == (0x10 | V2_STREAM);
	size_t size = v4 ? 4 : 16;

	if ((!v4 && family != (0x20 | V2_STREAM)) || body.n < 2 * size + 4)
		return false;
	get_ip(&out->client, body.p, v4);
	get_ip(&out->server, body.p + size, v4);
	out->client_port = get_u16(body.p + 2 * size);
	out->server_port = get_u16(body.p + 2 * size + 2);
	return true;
}

static ptrdiff_t parse_v2(struct str in, struct proxy_header *out, const char **why)
{
	size_t length;
	unsigned command, family;

	if (in.n < V2_FIXED)
		return 0;
	command = (unsigned char)in.p[12];
	family = (unsigned char)in.p[13];
	length = V2_FIXED + get_u16(in.p + 14);
	if ((command & 0xf0) != V2_VERSION || (command & 0x0f) > 1)
		return refuse(why, "unknown version or command");
	if (length > PROXY_HEADER_MAX)
		return refuse(why, "header too long");
	if (in.n < length)
		return 0;
	out->local = (command & 0x0f) == 0;
	if (!out->local && !parse_v2_addresses(str_sub(in, V2_FIXED, length - V2_FIXED), family, out))
		return refuse(why, "unsupported address family or short addresses");
	return (ptrdiff_t)length;
}

ptrdiff_t proxy_parse(struct str in, struct proxy_header *out, const char **why)
{
	struct str signature = str_n(v2_signature, sizeof v2_signature);
	size_t n = in.n < sizeof v2_signature ? in.n : sizeof v2_signature;

	memset(out, 0, sizeof *out);
	if (n == 0)
		return 0;
	if (str_eq(str_sub(in, 0, n), str_sub(signature, 0, n)))
		return parse_v2(in, out, why);
	n = in.n < 6 ? in.n : 6;
	if (!str_eq(str_sub(in, 0, n), str_sub(STR("PROXY "), 0, n)))
		return refuse(why, "no PROXY header");
	return parse_v1(in, out, why);
}

/* ---- the session's part ---- */

static struct str ip_text(struct session *s, const struct ip *ip)
{
	struct buf b = { 0 };
	struct str text;

	ip_print(&b, ip);
	text = arena_dup(s->life, buf_str(&b));
	buf_done(&b);
	return text;
}

static void take_over(struct session *s, const struct proxy_header *h)
{
	if (h->local)
		return;
	s->client.addr = ip_text(s, &h->client);
	s->client.port = arena_printf(s->life, "%u", h->client_port);
	s->server_addr = ip_text(s, &h->server);
	s->server_port = arena_printf(s->life, "%u", h->server_port);
}

/* Wait until the header is complete. Returns its length, or -1 with *why. */
static ptrdiff_t wait_header(struct session *s, struct proxy_header *h, const char **why)
{
	int64_t by = deadline_in(cf.proxy_timeout_ms);
	struct str view = STR_NONE;
	ptrdiff_t n = 0;

	while (n == 0) {
		int rc = stream_peek_more(s->io, view.n, &view, by);

		if (rc != STREAM_OK)
			return refuse(why, stream_strerror((enum stream_result)rc, s->io));
		n = proxy_parse(view, h, why);
	}
	return n;
}

int proxy_read(struct session *s)
{
	struct proxy_header h;
	const char *why = "";
	ptrdiff_t n;

	if (!str_eqiz(str_z(cf.proxy_protocol), "haproxy")) {
		log_warn("smtpd_upstream_proxy_protocol: unknown protocol \"%s\"", cf.proxy_protocol);
		n = -1;
	} else {
		n = wait_header(s, &h, &why);
	}
	if (n > 0) {
		stream_consume(s->io, (size_t)n);
		take_over(s, &h);
		return 0;
	}
	log_warn("haproxy read from %.*s: %s", STRF(s->client.addr), why);
	session_reply(s, CODE(421, 4, 3, 0), "%s Server local error", cf.myhostname);
	return -1;
}

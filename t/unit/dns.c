/* t/unit/dns.c - DNS answers by packet, and questions to a small name server of our own that a child process plays. */
#include "lib/net/dns.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/dns_parse.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/net/sock.h"
#include "t/unit/tap.h"

static void put16(struct buf *b, unsigned v)
{
	buf_addc(b, (char)(v >> 8));
	buf_addc(b, (char)v);
}

static void put_name(struct buf *b, struct str name)
{
	while (name.n > 0) {
		struct str label = str_cut(&name, '.');

		buf_addc(b, (char)label.n);
		buf_add(b, label);
	}
	buf_addc(b, '\0');
}

static void put_header(struct buf *b, unsigned id, unsigned rcode, unsigned answers, unsigned authorities)
{
	put16(b, id);
	put16(b, 0x8580 | rcode);
	put16(b, 1);
	put16(b, answers);
	put16(b, authorities);
	put16(b, 0);
}

static void put_rr(struct buf *b, const char *owner, unsigned type, unsigned ttl, struct str rdata)
{
	put_name(b, str_z(owner));
	put16(b, type);
	put16(b, 1);
	put16(b, ttl >> 16);
	put16(b, ttl & 0xffff);
	put16(b, (unsigned)rdata.n);
	buf_add(b, rdata);
}

static struct str name_rdata(struct buf *room, const char *prefix, size_t prefix_size, const char *name)
{
	buf_clear(room);
	buf_addn(room, prefix, prefix_size);
	put_name(room, str_z(name));
	return buf_str(room);
}

/* The zone: what the child answers. rcode 15 stands for silence. */
static const struct {
	const char *name;
	unsigned type, rcode;
	const char *data; /* A: dotted; names; TXT; MX: name with preference 10 */
} zone[] = {
	{ "a.test", DNS_A, 0, "192.0.2.1" },
	{ "a.test", DNS_MX, 0, "mx.a.test" },
	{ "a.test", DNS_TXT, 0, "v=spf1 -all" },
	{ "alias.test", DNS_CNAME, 0, "a.test" },
	{ "broken.test", DNS_A, 2, "" },
	{ "silent.test", DNS_A, 15, "" },
	{ "host.test", DNS_A, 0, "192.0.2.7" },
	{ "forged.test", DNS_A, 0, "192.0.2.9" },
	{ "7.2.0.192.in-addr.arpa", DNS_PTR, 0, "host.test" },
	{ "8.2.0.192.in-addr.arpa", DNS_PTR, 0, "forged.test" },
	{ "9.2.0.192.in-addr.arpa", DNS_PTR, 0, "lost.test" },
	{ "lost.test", DNS_A, 2, "" },
};

static struct str rdata_for(size_t row, struct buf *room)
{
	unsigned char address[4];

	buf_clear(room);
	if (zone[row].type == DNS_A && inet_pton(AF_INET, zone[row].data, address) == 1)
		buf_addn(room, address, 4);
	else if (zone[row].type == DNS_TXT)
		buf_addf(room, "%c%s", (int)strlen(zone[row].data), zone[row].data);
	else
		name_rdata(room, "\0\12", zone[row].type == DNS_MX ? 2 : 0, zone[row].data);
	return buf_str(room);
}

/* One reply to a question. False: none. */
static bool answer_question(unsigned id, struct str name, unsigned type, struct buf *out)
{
	struct buf room = { 0 }, records = { 0 };
	unsigned count = 0, rcode = 3;

	for (size_t i = 0; i < sizeof zone / sizeof *zone; i++) {
		if (!str_eqiz(name, zone[i].name))
			continue;
		rcode = rcode == 3 ? 0 : rcode;
		if (zone[i].type != type && zone[i].type != DNS_CNAME)
			continue;
		rcode = zone[i].rcode;
		if (rcode == 0) {
			count++;
			put_rr(&records, zone[i].name, zone[i].type, 300, rdata_for(i, &room));
		}
	}
	put_header(out, id, rcode, count, 0);
	put_name(out, name);
	put16(out, type);
	put16(out, 1);
	buf_add(out, buf_str(&records));
	buf_done(&room);
	buf_done(&records);
	return rcode != 15;
}

static void serve(int fd)
{
	for (;;) {
		char packet[512];
		struct sockaddr_in from;
		socklen_t len = sizeof from;
		ssize_t n = recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &len);
		struct buf name = { 0 }, out = { 0 };
		size_t at = 12;

		if (n < 17)
			continue;
		while (packet[at] != 0 && at < (size_t)n) {
			buf_addf(&name, "%s%.*s", name.n > 0 ? "." : "", packet[at], packet + at + 1);
			at += (size_t)packet[at] + 1;
		}
		if (answer_question((unsigned)((unsigned char)packet[0] << 8 | (unsigned char)packet[1]), buf_str(&name),
			    (unsigned char)packet[at + 2], &out))
			sendto(fd, out.p, out.n, 0, (struct sockaddr *)&from, len);
		buf_done(&name);
		buf_done(&out);
	}
}

static pid_t start_server(unsigned *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	pid_t pid;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		skip_all("no UDP on loopback");
	*port = ntohs(a.sin_port);
	pid = fork();
	if (pid == 0)
		serve(fd);
	close(fd);
	return pid;
}

static struct str packet_begin(struct buf *b, unsigned rcode, unsigned answers, unsigned authorities, const char *name, unsigned type)
{
	buf_clear(b);
	put_header(b, 1, rcode, answers, authorities);
	put_name(b, str_z(name));
	put16(b, type);
	put16(b, 1);
	return buf_str(b);
}

static void test_packets(struct arena *a)
{
	struct buf b = { 0 }, room = { 0 };
	struct dns_answer d;

	packet_begin(&b, 0, 3, 0, "Www.Test", DNS_A);
	put_rr(&b, "real.test", DNS_A, 30, STR("\300\0\2\1"));
	put_rr(&b, "www.test", DNS_CNAME, 20, name_rdata(&room, "", 0, "real.TEST"));
	put_rr(&b, "other.test", DNS_A, 10, STR("\300\0\2\2"));
	dns_parse(a, buf_str(&b), DNS_A, &d);
	ok(d.result == DNS_OK && d.count == 1, "a CNAME is followed wherever it stands, strangers' records are left out");
	is_str(d.cname, STR("real.test"), "final name, lower case");
	is_int(d.ttl, 20, "the shortest time to live of the chain");

	packet_begin(&b, 3, 0, 1, "no.test", DNS_MX);
	name_rdata(&room, "", 0, "ns.test");
	buf_addn(&room, "\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\55", 21);
	put_rr(&b, "test", 6, 300, buf_str(&room));
	dns_parse(a, buf_str(&b), DNS_MX, &d);
	ok(d.result == DNS_NXDOMAIN, "NXDOMAIN");
	is_int(d.ttl, 45, "negative time to live from the SOA");

	packet_begin(&b, 0, 1, 0, "t.test", DNS_TXT);
	put_rr(&b, "t.test", DNS_TXT, 60,
		STR("\5v=spf\6"
		    "1 -all\0"));
	dns_parse(a, buf_str(&b), DNS_TXT, &d);
	ok(d.count == 1 && d.records[0].txt_count == 3, "a TXT record's strings, empty ones too");
	is_str(d.records[0].data, STR("v=spf1 -all"), "joined");

	packet_begin(&b, 0, 2, 0, "loop.test", DNS_A);
	put_rr(&b, "loop.test", DNS_CNAME, 60, name_rdata(&room, "", 0, "pool.test"));
	put_rr(&b, "pool.test", DNS_CNAME, 60, name_rdata(&room, "", 0, "loop.test"));
	dns_parse(a, buf_str(&b), DNS_A, &d);
	ok(d.result == DNS_TEMPFAIL, "CNAMEs in a circle");

	packet_begin(&b, 0, 1, 0, "p.test", DNS_MX);
	put_rr(&b, "p.test", DNS_MX, 60, str_n("\0\12\300\300", 4));
	dns_parse(a, buf_str(&b), DNS_MX, &d);
	ok(d.result == DNS_TEMPFAIL, "a pointer that leads forward");
	dns_parse(a, str_sub(buf_str(&b), 0, b.n - 3), DNS_MX, &d);
	ok(d.result == DNS_TEMPFAIL, "a record cut off");
	packet_begin(&b, 2, 0, 0, "f.test", DNS_A);
	dns_parse(a, buf_str(&b), DNS_A, &d);
	ok(d.result == DNS_TEMPFAIL, "SERVFAIL");
	dns_parse(a, STR("short"), DNS_A, &d);
	ok(d.result == DNS_TEMPFAIL, "no packet at all");
	buf_done(&b);
	buf_done(&room);
}

static const struct {
	const char *in, *want; /* NULL: refused */
} names[] = {
	{ "Example.ORG.", "example.org" },
	{ "b\xc3\xbc"
	  "cher.example",
		"xn--bcher-kva.example" },
	{ "a b.example", "a\\032b.example" },
	{ "_25._tcp.mx.example", "_25._tcp.mx.example" },
	{ "", NULL },
	{ ".", NULL },
	{ ".a.example", NULL },
	{ "a..example", NULL },
	{ "a..", NULL },
	{ "a23456789012345678901234567890123456789012345678901234567890123x.example", NULL },
};

static void test_names(void)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct buf b = { 0 };
		const char *why;
		bool good = dns_name_text(str_z(names[i].in), &b, &why);

		ok(good == (names[i].want != NULL), "name \"%s\" is %s", names[i].in, names[i].want != NULL ? "good" : "refused");
		if (good)
			is_str(buf_str(&b), str_z(names[i].want), "  as it is asked");
		buf_done(&b);
	}
}

static const struct {
	const char *ip, *zone, *want; /* NULL: no address */
} reverse[] = {
	{ "192.0.2.7", "", "7.2.0.192.in-addr.arpa" },
	{ "192.0.2.7", "bl.test", "7.2.0.192.bl.test" },
	{ "::ffff:192.0.2.7", "bl.test", "7.2.0.192.bl.test" },
	{ "2001:db8::1", "bl.test", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test" },
	{ "192.0.2", "", NULL },
};

static void test_reverse(void)
{
	for (size_t i = 0; i < sizeof reverse / sizeof *reverse; i++) {
		struct buf b = { 0 };
		bool good = dns_reverse_name(str_z(reverse[i].ip), str_z(reverse[i].zone), &b);

		ok(good == (reverse[i].want != NULL), "reverse of %s", reverse[i].ip);
		if (good)
			is_str(buf_str(&b), str_z(reverse[i].want), "  name");
		buf_done(&b);
	}
}

static void test_peer(struct arena *a, const char *ip, int code, const char *name, const char *rev)
{
	struct str got_name, got_reverse;

	is_int(dns_peer_name(a, str_z(ip), deadline_in(3000), &got_name, &got_reverse), code, ip);
	is_str(got_name, str_z(name), "  client name");
	is_str(got_reverse, str_z(rev), "  reverse name");
}

static void test_hosts_file(struct arena *a)
{
	char path[] = "/tmp/gatepost-hosts.XXXXXX";
	static const char text[] =
		"# comment\n192.0.2.20 Box.lan box # the box\nnonsense here\n2001:db8::20 box.lan\n192.0.2.21 bad/name\n";
	struct sock_addr *addrs;
	size_t count;
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, text, sizeof text - 1) < 0)
		skip_all("no temporary file");
	close(fd);
	dns_hosts(path);
	test_peer(a, "192.0.2.20", 2, "Box.lan", "Box.lan");
	test_peer(a, "192.0.2.21", 5, "unknown", "unknown");
	ok(dns_addresses(a, STR("BOX.lan"), 3 | DNS_HOSTS_FILE, deadline_in(1000), &addrs, &count) == DNS_OK && count == 2,
		"addresses by the file");
	ok(dns_addresses(a, STR("box.lan"), 2 | DNS_HOSTS_FILE, deadline_in(1000), &addrs, &count) == DNS_OK && count == 1,
		"of one family");
	ok(dns_addresses(a, STR("box.lan"), 3, deadline_in(3000), &addrs, &count) == DNS_NXDOMAIN, "only when asked for");
	unlink(path);
}

static void ask(struct arena *a, const char *name, enum dns_type type, enum dns_result want, struct dns_answer *d)
{
	dns_ask(a, str_z(name), type, deadline_in(3000), d);
	ok(d->result == want, "%s type %d", name, type);
}

static void test_live(void *arg)
{
	struct arena *a = arg;
	struct dns_answer d;
	struct sock_addr *addrs;
	size_t count;
	int64_t began;

	ask(a, "a.test", DNS_A, DNS_OK, &d);
	is_str(d.records[0].data, STR("\300\0\2\1"), "address");
	ok(!d.secure && d.ttl <= 300, "not validated, with a time to live");
	ask(a, "A.TEST.", DNS_A, DNS_OK, &d);
	ask(a, "a.test", DNS_MX, DNS_OK, &d);
	is_str(d.records[0].name, STR("mx.a.test"), "MX host");
	is_int(d.records[0].pref, 10, "preference");
	ask(a, "alias.test", DNS_TXT, DNS_OK, &d);
	is_str(d.cname, STR("a.test"), "through a CNAME");
	ask(a, "a.test", DNS_SRV, DNS_NODATA, &d);
	ask(a, "nobody.test", DNS_A, DNS_NXDOMAIN, &d);
	ask(a, "broken.test", DNS_A, DNS_TEMPFAIL, &d);
	ask(a, "a..test", DNS_A, DNS_BADNAME, &d);
	began = clock_mono_ms();
	dns_ask(a, STR("silent.test"), DNS_A, deadline_in(200), &d);
	ok(d.result == DNS_TEMPFAIL && clock_mono_ms() - began < 1500, "a deadline is kept");
	ok(dns_addresses(a, STR("a.test"), 3, deadline_in(3000), &addrs, &count) == DNS_OK && count == 1, "addresses of both families");
	test_peer(a, "192.0.2.7", 2, "host.test", "host.test");
	test_peer(a, "192.0.2.8", 5, "unknown", "forged.test");
	test_peer(a, "192.0.2.9", 4, "unknown", "lost.test");
	test_peer(a, "192.0.2.10", 5, "unknown", "unknown");
	test_hosts_file(a);
	loop_stop();
}

int main(void)
{
	struct arena *a = arena_new("test");
	struct err e = ERR_INIT;
	char servers[32];
	unsigned port;
	pid_t server = start_server(&port);

	test_packets(a);
	test_names();
	test_reverse();
	loop_init();
	snprintf(servers, sizeof servers, "127.0.0.1:%u", port);
	ok(dns_init(servers, &e) == 0, "resolver set up");
	fiber_start("test", test_live, a);
	loop_run();
	dns_done();
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	arena_free(a);
	return done_testing();
}

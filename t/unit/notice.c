/* t/unit/notice.c - the text of notifications, byte for byte where programs read it, and the template file. */
#include "mta/bounce/notice.h"

#include <stdlib.h>
#include <string.h>

#include "mta/bounce/template.h"
#include "t/unit/tap.h"

static struct bounce_rcpt failed = {
	.rcpt = { .addr = STR_INIT("u@relay.test"), .orcpt = STR_INIT("rfc822;orig@o.test") },
	.code = { 0, 5, 4, 4 },
	.relay = STR_INIT("none"),
	.text = STR_INIT("Host or domain name not found. Name service error for name=relay.test type=A: Host not found"),
};

static struct bounce_rcpt refused = {
	.rcpt = { .addr = STR_INIT("b@relay.test"), .orig = STR_INIT("alias@x.test") },
	.code = { 550, 5, 1, 1 },
	.relay = STR_INIT("mx.relay.test[192.0.2.1]:25"),
	.text = STR_INIT("host mx.relay.test[192.0.2.1] said: 550 5.1.1 <b@relay.test>: unknown (in reply to RCPT TO command)"),
	.remote_mta = STR_INIT("mx.relay.test"),
};

static const struct bounce_rcpt *const both[] = { &failed, &refused };

static struct bounce_request request(enum bounce_kind kind)
{
	struct bounce_request r = { .kind = kind, .fd = -1 };

	memcpy(r.m.id, "1C2F0A760FC", 12);
	r.m.sender = STR("a@x.test");
	r.m.envid = STR("env1");
	r.m.arrival_us = 1795517865000000;
	r.retry_until_us = r.m.arrival_us + 432000 * 1000000LL;
	return r;
}

static struct notice notice(const struct bounce_request *r, size_t count)
{
	return (struct notice){ .about = r,
		.rcpts = both,
		.rcpt_count = count,
		.mail_name = STR("Gatepost"),
		.hostname = STR("mx.local.test"),
		.origin = STR("mx.local.test"),
		.subject = STR("Undelivered Mail Returned to Sender"),
		.charset = STR("us-ascii"),
		.text = STR("Sorry.\n"),
		.to = r->m.sender,
		.whole = true,
		.new_id = STR("2A287A767EB"),
		.now_us = 1795517865000000 };
}

static const char reference[] = "Date: Tue, 24 Nov 2026 10:57:45 +0000 (UTC)\r\n"
				"From: Mail Delivery System <MAILER-DAEMON@mx.local.test>\r\n"
				"Subject: Undelivered Mail Returned to Sender\r\n"
				"To: a@x.test\r\n"
				"Auto-Submitted: auto-replied\r\n"
				"MIME-Version: 1.0\r\n"
				"Content-Type: multipart/report; report-type=delivery-status;\r\n"
				"\tboundary=\"1C2F0A760FC.1795517865/mx.local.test\"\r\n"
				"Message-Id: <20261124105745.2A287A767EB@mx.local.test>\r\n"
				"\r\n"
				"This is a MIME-encapsulated message.\r\n"
				"\r\n"
				"--1C2F0A760FC.1795517865/mx.local.test\r\n"
				"Content-Description: Notification\r\n"
				"Content-Type: text/plain; charset=us-ascii\r\n"
				"\r\n"
				"Sorry.\r\n"
				"\r\n"
				"<u@relay.test>: Host or domain name not found. Name service error for\r\n"
				"    name=relay.test type=A: Host not found\r\n"
				"\r\n"
				"--1C2F0A760FC.1795517865/mx.local.test\r\n"
				"Content-Description: Delivery report\r\n"
				"Content-Type: message/delivery-status\r\n"
				"\r\n"
				"Reporting-MTA: dns; mx.local.test\r\n"
				"Original-Envelope-Id: env1\r\n"
				"X-Gatepost-Queue-ID: 1C2F0A760FC\r\n"
				"X-Gatepost-Sender: rfc822; a@x.test\r\n"
				"Arrival-Date: Tue, 24 Nov 2026 10:57:45 +0000 (UTC)\r\n"
				"\r\n"
				"Final-Recipient: rfc822; u@relay.test\r\n"
				"Original-Recipient: rfc822;orig@o.test\r\n"
				"Action: failed\r\n"
				"Status: 5.4.4\r\n"
				"Diagnostic-Code: X-Gatepost; Host or domain name not found. Name service error\r\n"
				"    for name=relay.test type=A: Host not found\r\n"
				"\r\n"
				"--1C2F0A760FC.1795517865/mx.local.test\r\n"
				"Content-Description: Undelivered Message\r\n"
				"Content-Type: message/rfc822\r\n"
				"\r\n"
				"Return-Path: <a@x.test>\r\n";

static void has(const struct buf *b, const char *text, const char *name)
{
	ok(str_find(buf_str(b), str_z(text)) >= 0, "%s", name);
}

static void hasnt(const struct buf *b, const char *text, const char *name)
{
	ok(str_find(buf_str(b), str_z(text)) < 0, "%s", name);
}

static void test_reference(void)
{
	struct bounce_request r = request(BOUNCE_FAILURE);
	struct notice n = notice(&r, 1);
	struct buf b = { 0 };

	notice_front(&n, &b);
	is_str(buf_str(&b), str_z(reference), "the reference notification");
	buf_clear(&b);
	notice_back(&n, &b);
	is_str(buf_str(&b), STR("\r\n--1C2F0A760FC.1795517865/mx.local.test--\r\n"), "its end");
	buf_clear(&b);
	notice_received(&n, &b);
	is_str(buf_str(&b), STR("Received: by mx.local.test (Gatepost)\r\n\tid 2A287A767EB; Tue, 24 Nov 2026 10:57:45 +0000 (UTC)"),
		"Received");
	buf_done(&b);
}

static void test_variants(void)
{
	struct bounce_request r = request(BOUNCE_FAILURE);
	struct notice n = notice(&r, 2);
	struct buf b = { 0 };

	n.whole = false;
	n.old_from = true;
	n.to_postmaster = true;
	notice_front(&n, &b);
	has(&b, "<b@relay.test> (expanded from <alias@x.test>): host mx.relay.test[192.0.2.1]", "what an alias became");
	has(&b, "Remote-MTA: dns; mx.relay.test\r\nDiagnostic-Code: smtp; 550 5.1.1 <b@relay.test>: unknown\r\n",
		"the remote host's words");
	has(&b, "Original-Recipient: rfc822;alias@x.test\r\n", "original recipient without ORCPT");
	has(&b, "Content-Description: Undelivered Message Headers\r\nContent-Type: text/rfc822-headers\r\n", "headers only");
	has(&b, "From: MAILER-DAEMON@mx.local.test (Mail Delivery System)\r\n", "From of old");
	has(&b, "Auto-Submitted: auto-generated\r\n", "to the postmaster");
	buf_clear(&b);
	r = request(BOUNCE_DELAY);
	notice_front(&n, &b);
	has(&b, "Action: delayed\r\n", "delay");
	has(&b, "Will-Retry-Until: Sun, 29 Nov 2026 10:57:45 +0000 (UTC)\r\n", "until when");
	buf_clear(&b);
	r = request(BOUNCE_SUCCESS);
	refused.action = DELIVER_RELAYED;
	refused.text = STR("250 2.0.0 Ok");
	notice_front(&n, &b);
	has(&b, "Action: delivered\r\n", "delivered");
	has(&b, "Action: relayed\r\n", "relayed");
	has(&b, "Diagnostic-Code: smtp; 250 2.0.0 Ok\r\n", "what a relay answered");
	buf_done(&b);
}

static void test_eight_bit(void)
{
	struct bounce_request r = request(BOUNCE_FAILURE);
	struct notice n = notice(&r, 1);
	struct buf b = { 0 };

	r.m.flags = QUEUE_8BIT;
	notice_front(&n, &b);
	has(&b, "Content-Transfer-Encoding: 8bit\r\nMessage-Id:", "8-bit original: in the header");
	has(&b, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n", "and at the message");
	hasnt(&b, "charset=utf-8", "the text is 7-bit");
	buf_clear(&b);
	r.m.flags = QUEUE_UTF8;
	n.text = STR("Gr\xc3\xbc\xc3\x9f\x65\n");
	notice_front(&n, &b);
	has(&b, "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", "8-bit text names its character set");
	has(&b, "Content-Type: message/global-delivery-status\r\n", "RFC 6533 report");
	has(&b, "Content-Type: message/global\r\n", "RFC 6533 message");
	buf_done(&b);
}

/* smtputf8_enable: as Postfix, 8-bit whatever is in it. */
static void test_declared_eight_bit(void)
{
	struct bounce_request r = request(BOUNCE_FAILURE);
	struct notice n = notice(&r, 1);
	struct buf b = { 0 };

	ok(!notice_8bit(&n), "7-bit by itself");
	n.eight_bit = true;
	ok(notice_8bit(&n), "8-bit when told so");
	notice_front(&n, &b);
	has(&b, "Content-Transfer-Encoding: 8bit\r\nMessage-Id:", "declared: in the header");
	has(&b, "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", "declared: at the text");
	has(&b, "Content-Type: message/delivery-status\r\n\r\n", "the report stays 7-bit");
	has(&b, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n", "declared: at the message");
	buf_done(&b);
}

static void test_xtext(void)
{
	struct bounce_request r = request(BOUNCE_FAILURE);
	struct notice n = notice(&r, 1);
	struct bounce_rcpt kept = failed;
	struct buf b = { 0 };

	r.m.envid = STR("env+2B1");
	failed.rcpt.orcpt = STR("rfc822;a+2Bb@x.test");
	notice_front(&n, &b);
	has(&b, "\r\nOriginal-Envelope-Id: env+1\r\n", "ENVID is decoded");
	has(&b, "\r\nOriginal-Recipient: rfc822;a+b@x.test\r\n", "ORCPT is decoded");
	buf_clear(&b);
	r.m.envid = STR("env+1");
	failed.rcpt.orcpt = STR("utf-8;\xc3\xbc@x.test");
	notice_front(&n, &b);
	has(&b, "\r\nOriginal-Envelope-Id: env+1\r\n", "what is no xtext stays");
	has(&b, "\r\nOriginal-Recipient: utf-8;\xc3\xbc@x.test\r\n", "UTF-8 stays");
	failed = kept;
	buf_done(&b);
}

/* What strangers wrote must not begin header fields or parts. */
static void test_hostile(void)
{
	struct bounce_request r = request(BOUNCE_FAILURE);
	struct notice n = notice(&r, 1);
	struct bounce_rcpt kept = failed;
	struct buf b = { 0 };

	r.m.envid = STR("x\r\nBcc: everybody@x.test");
	failed.text = STR("550 bad\r\nX-Evil: yes\r\n\r\n--1C2F0A760FC.1795517865/mx.local.test");
	failed.rcpt.orcpt = STR("rfc822;a\r\n\r\nevil");
	notice_front(&n, &b);
	hasnt(&b, "\nBcc:", "ENVID");
	hasnt(&b, "\nX-Evil", "reason");
	hasnt(&b, "\nevil", "ORCPT");
	buf_clear(&b);
	r.m.envid = STR("x+0D+0ABcc:");
	failed.rcpt.orcpt = STR("rfc822;a+0D+0Aevil");
	notice_front(&n, &b);
	hasnt(&b, "\nBcc:", "encoded ENVID");
	hasnt(&b, "\nevil", "encoded ORCPT");
	failed = kept;
	buf_done(&b);
}

static size_t longest(struct str s)
{
	size_t most = 0;

	while (s.n > 0) {
		struct str line = str_cut(&s, '\n');

		most = line.n > most ? line.n : most;
	}
	return most;
}

static void test_wrap(void)
{
	struct buf word = { 0 }, b = { 0 };

	for (int i = 0; i < 3000; i++)
		buf_addc(&word, 'x');
	notice_wrap(&b, 0, buf_str(&word));
	ok(longest(buf_str(&b)) < 998, "a word without end is cut (%zu)", longest(buf_str(&b)));
	buf_clear(&b);
	buf_clear(&word);
	for (int i = 0; i < 300; i++)
		buf_addz(&word, "word ");
	notice_wrap(&b, 20, buf_str(&word));
	ok(longest(buf_str(&b)) <= NOTICE_WIDTH + 1, "lines stay narrow (%zu)", longest(buf_str(&b)));
	buf_clear(&b);
	notice_wrap(&b, 0, STR(""));
	is_str(buf_str(&b), STR("\r\n"), "no text, an empty line");
	buf_done(&b);
	buf_done(&word);
}

static void test_template(void)
{
	struct arena *a = arena_new("test");
	struct template t[BOUNCE_KINDS] = { 0 };
	const char *why = "";

	ok(template_parse(STR("# ours\n\nfailure_template = <<EOF\nCharset: utf-8\nFrom: Post <p@x>\nSubject: No\n\nDear $myhostname,\n  "
			      "sorry\nEOF\n"
			      "verify_template = <<X\n\nx\nX\n"),
		   a, t, &why),
		"a template file: %s", why);
	is_str(t[BOUNCE_FAILURE].subject, STR("No"), "Subject");
	is_str(t[BOUNCE_FAILURE].from, STR("Post <p@x>"), "From");
	is_str(t[BOUNCE_FAILURE].charset, STR("utf-8"), "Charset");
	is_str(t[BOUNCE_REPORT].text, STR("x\n"), "of a report");
	is_str(t[BOUNCE_FAILURE].text, STR("Dear $myhostname,\n  sorry\n"), "text");
	ok(!template_parse(STR("failure_template = <<EOF\n\nno end\n"), a, t, &why), "text without end");
	ok(!template_parse(STR("other_template = <<EOF\n\nx\nEOF\n"), a, t, &why), "unknown name");
	ok(!template_parse(STR("failure_template = <<EOF\nBcc: x\n\nx\nEOF\n"), a, t, &why), "unknown header");
	ok(!template_parse(STR("failure_template = x\n"), a, t, &why), "no here text");
	arena_free(a);
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	test_reference();
	test_variants();
	test_eight_bit();
	test_declared_eight_bit();
	test_xtext();
	test_hostile();
	test_wrap();
	test_template();
	return done_testing();
}

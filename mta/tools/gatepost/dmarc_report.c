/* mta/tools/gatepost/dmarc_report.c - writing aggregate reports. Everything in them came from strangers' mail and DNS: it is escaped here.
 */
#include "mta/tools/gatepost/dmarc_report.h"

#include <zlib.h>

#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/mail/date.h"
#include "lib/mail/dmarc.h"

#define COLUMNS 11
#define BASE64_LINE 76

/* Columns of a row. */
enum {
	COL_IP,
	COL_DISPOSITION,
	COL_DKIM,
	COL_SPF,
	COL_REASON,
	COL_FROM,
	COL_SENDER,
	COL_SIGNATURES,
	COL_SPF_DOMAIN,
	COL_SPF_SCOPE,
	COL_SPF_RESULT
};

/* ---- XML ---- */

static void add_text(struct buf *out, struct str text)
{
	struct buf safe = { 0 };

	buf_add_safe(&safe, text);
	for (size_t i = 0; i < safe.n; i++) {
		char c = safe.p[i];

		if (c == '&')
			buf_addz(out, "&amp;");
		else if (c == '<')
			buf_addz(out, "&lt;");
		else if (c == '>')
			buf_addz(out, "&gt;");
		else
			buf_addc(out, c);
	}
	buf_done(&safe);
}

static void element(struct buf *out, const char *name, struct str text)
{
	buf_addf(out, "<%s>", name);
	add_text(out, text);
	buf_addf(out, "</%s>", name);
}

static void add_number(struct buf *out, const char *name, uint64_t n)
{
	buf_addf(out, "<%s>%llu</%s>", name, (unsigned long long)n, name);
}

static void add_metadata(const struct report *r, struct buf *out)
{
	buf_addz(out, "<report_metadata>");
	element(out, "org_name", str_z(conf_str(r->conf, "dmarc_report_org")));
	element(out, "email", str_z(conf_str(r->conf, "dmarc_report_from")));
	element(out, "report_id", r->id);
	buf_addz(out, "<date_range>");
	add_number(out, "begin", (uint64_t)r->begin);
	add_number(out, "end", (uint64_t)r->end);
	buf_addz(out, "</date_range></report_metadata>\n");
}

static void add_policy(const struct report *r, struct buf *out)
{
	struct dmarc_record record;

	(void)dmarc_record_parse(r->record, &record); /* of no record at all it makes the defaults */
	buf_addz(out, "<policy_published>");
	element(out, "domain", r->domain);
	element(out, "adkim", record.strict_dkim ? STR("s") : STR("r"));
	element(out, "aspf", record.strict_spf ? STR("s") : STR("r"));
	element(out, "p", str_z(dmarc_policy_name(record.p)));
	element(out, "sp", str_z(dmarc_policy_name(record.sp)));
	add_number(out, "pct", record.pct);
	element(out, "fo", record.fo.n > 0 ? record.fo : STR("0"));
	buf_addz(out, "</policy_published>\n");
}

/* Types of the schema; others are "other", with their name as comment. */
static void add_reason(struct str reason, struct buf *out)
{
	bool known = str_eqz(reason, "sampled_out") || str_eqz(reason, "trusted_forwarder");

	if (reason.n == 0)
		return;
	buf_addz(out, "<reason>");
	element(out, "type", known ? reason : STR("other"));
	if (!known)
		element(out, "comment", reason);
	buf_addz(out, "</reason>");
}

/* "domain/selector/result" */
static void add_signatures(struct str list, struct buf *out)
{
	while (list.n > 0) {
		struct str result = str_cut(&list, ' '), domain = str_cut(&result, '/'), selector = str_cut(&result, '/');

		if (result.n == 0)
			continue;
		buf_addz(out, "<dkim>");
		element(out, "domain", domain);
		element(out, "selector", selector);
		element(out, "result", result);
		buf_addz(out, "</dkim>");
	}
}

static bool columns_of(struct str row, struct str column[COLUMNS])
{
	for (size_t i = 0; i < COLUMNS; i++) {
		if (str_chr(row, '\t') < 0)
			return false;
		column[i] = str_cut(&row, '\t');
	}
	return row.n == 0;
}

static void add_row(const struct report_row *row, struct buf *out)
{
	struct str c[COLUMNS];

	if (!columns_of(row->text, c))
		return;
	buf_addz(out, "<record><row>");
	element(out, "source_ip", c[COL_IP]);
	add_number(out, "count", row->count);
	buf_addz(out, "<policy_evaluated>");
	element(out, "disposition", c[COL_DISPOSITION]);
	element(out, "dkim", c[COL_DKIM]);
	element(out, "spf", c[COL_SPF]);
	add_reason(c[COL_REASON], out);
	buf_addz(out, "</policy_evaluated></row><identifiers>");
	element(out, "envelope_from", c[COL_SENDER]);
	element(out, "header_from", c[COL_FROM]);
	buf_addz(out, "</identifiers><auth_results>");
	add_signatures(c[COL_SIGNATURES], out);
	buf_addz(out, "<spf>");
	element(out, "domain", c[COL_SPF_DOMAIN].n > 0 ? c[COL_SPF_DOMAIN] : c[COL_FROM]);
	element(out, "scope", c[COL_SPF_SCOPE]);
	element(out, "result", c[COL_SPF_RESULT].n > 0 ? c[COL_SPF_RESULT] : STR("none"));
	buf_addz(out, "</spf></auth_results></record>\n");
}

void report_xml(const struct report *r, struct buf *out)
{
	buf_addz(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feedback>\n<version>1.0</version>\n");
	add_metadata(r, out);
	add_policy(r, out);
	for (size_t i = 0; i < r->count; i++)
		add_row(&r->rows[i], out);
	buf_addz(out, "</feedback>\n");
}

/* ---- file and message ---- */

struct str report_file_name(const struct report *r)
{
	return arena_printf(r->life, "%s!%.*s!%lld!%lld.xml.gz", conf_str(r->conf, "dmarc_report_org"), STRF(r->domain),
		(long long)r->begin, (long long)r->end);
}

int report_compress(struct str xml, struct buf *out, struct err *e)
{
	z_stream z = { .next_in = (z_const Bytef *)(uintptr_t)xml.p, .avail_in = (uInt)xml.n };
	int status;

	if (xml.n > UINT32_MAX / 2 || deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return err_temp(e, "cannot compress a report of %zu octets", xml.n);
	z.avail_out = (uInt)deflateBound(&z, xml.n);
	z.next_out = (Bytef *)buf_reserve(out, z.avail_out);
	status = deflate(&z, Z_FINISH);
	out->n += z.total_out;
	deflateEnd(&z);
	return status == Z_STREAM_END ? 0 : err_temp(e, "cannot compress a report");
}

static void add_base64(struct buf *out, struct str bytes)
{
	struct buf text = { 0 };
	struct str rest;

	base64_encode(&text, bytes);
	for (rest = buf_str(&text); rest.n > 0; rest = str_skip(rest, BASE64_LINE)) {
		buf_add(out, str_sub(rest, 0, BASE64_LINE));
		buf_addc(out, '\n');
	}
	buf_done(&text);
}

void report_message(const struct report *r, struct str to, struct str compressed, struct buf *out)
{
	const char *org = conf_str(r->conf, "dmarc_report_org");
	struct str file = report_file_name(r);

	buf_addf(out, "From: <%s>\nTo: <", conf_str(r->conf, "dmarc_report_from"));
	buf_add_safe(out, to);
	buf_addf(out, ">\nSubject: Report Domain: %.*s Submitter: %s Report-ID: <%.*s>\nDate: ", STRF(r->domain), org, STRF(r->id));
	date_rfc5322(out, clock_wall_us());
	buf_addf(out,
		"\nMessage-ID: <%.*s@%s>\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: application/gzip; "
		"name=\"%.*s\"\n"
		"Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"%.*s\"\n\n",
		STRF(r->id), conf_str(r->conf, "myhostname"), STRF(file), STRF(file));
	add_base64(out, compressed);
}

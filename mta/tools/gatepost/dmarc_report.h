/* mta/tools/gatepost/dmarc_report.h - one domain's aggregate report: from rows to XML, to a file, to a message. */
#ifndef GATEPOST_MTA_TOOLS_GATEPOST_DMARC_REPORT_H
#define GATEPOST_MTA_TOOLS_GATEPOST_DMARC_REPORT_H

#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/conf/conf.h"

struct report_row {
	struct str text; /* as the dmarc milter wrote it: columns, each with a tab behind it */
	uint64_t count;
};

struct report {
	struct arena *life;
	const struct conf *conf;
	struct str domain, record; /* whose mail it is about, and what that domain published */
	int64_t begin, end; /* seconds since 1970 */
	struct report_row *rows;
	size_t count;
	struct str id;
};

/* The XML text of RFC 7489 appendix C. Rows that cannot be read are left out. */
void report_xml(const struct report *r, struct buf *out);
/* "receiver!domain!begin!end.xml.gz" (RFC 7489 section 7.2.1.1). Lives in r->life. */
struct str report_file_name(const struct report *r);
int report_compress(struct str xml, struct buf *out, struct err *e);
/* The message that carries it. */
void report_message(const struct report *r, struct str to, struct str compressed, struct buf *out);

#endif

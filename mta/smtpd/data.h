/* mta/smtpd/data.h - message content on its way to cleanup: one connection, one message; limits; the final answer. */
#ifndef GATEPOST_MTA_SMTPD_DATA_H
#define GATEPOST_MTA_SMTPD_DATA_H

#include "mta/smtpd/restrict.h"
#include "mta/smtpd/session.h"

enum content_fate { CONTENT_GOOD, CONTENT_TOO_BIG, CONTENT_LOST };

struct content {
	struct stream *cleanup; /* NULL: not yet opened, discarded, or lost */
	struct buf held;        /* what cleanup has not got yet */
	bool hold_back;         /* all of it: smtpd_end_of_data_restrictions have to be asked first */
	bool filtered;          /* smtpd_proxy_filter has got what came so far */
	enum content_fate fate;
	struct reply refusal;   /* with CONTENT_LOST: what the filter said instead of taking it; none: our own trouble */
	uint64_t size;          /* octets with CRLF line ends */
	unsigned flags;         /* QUEUE_8BIT, QUEUE_DOTS, QUEUE_LONG_LINES */
	bool bare_lf;
	/* BDAT: where the chunk before stopped */
	bool at_start, after_cr;
	size_t line_size;
};

/* Start the message. It ends with the transaction. Cleanup is asked when there is something worth a write. Never fails: trouble is the
 * content's fate, told to the client when its content is in. */
struct content *content_begin(struct session *s);
/* More content, lines ending CRLF. Suspends. */
void content_add(struct session *s, struct content *c, struct str lines);
/* Raw octets of a BDAT chunk; `last` completes an unfinished line. Suspends. */
void content_add_chunk(struct session *s, struct content *c, struct str raw, bool last);
/* All content is in: end-of-data restrictions, cleanup's answer, the reply. chunk: text of a BDAT reply ("14 bytes "), or empty.
 * The transaction is over afterwards. Suspends. Returns what the command returns. */
int content_finish(struct session *s, struct content *c, struct str chunk);

/* origin.c: smtpd_end_of_data_restrictions about the client that trusted_hops had the message from, or about the one that is connected.
 * Suspends. */
enum verdict origin_restrict(struct session *s, struct str message);
/* received.c: our Received field for this message, without the last CRLF, into out. */
void received_print(struct session *s, struct buf *out);

#endif

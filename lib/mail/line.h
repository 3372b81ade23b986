/* lib/mail/line.h - SMTP content on its way in and out: CRLF rules, dots, long lines. RFC 5321 sections 4.5.2 and 2.3.8. */
#ifndef GATEPOST_LIB_MAIL_LINE_H
#define GATEPOST_LIB_MAIL_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"

enum line_newline { LINE_NORMALIZE, LINE_REJECT }; /* smtpd_forbid_bare_newline: bare LF becomes CRLF, or is an error at the end */

/* State of one incoming DATA content. Start as { .newline = ... , .at_start = true, .crlf_before = true }. Only CRLF.CRLF ends it; a "."
 * line with a bare LF beside it is dropped and does not. */
struct line_in {
	enum line_newline newline;
	bool at_start; /* next byte begins a line */
	bool crlf_before; /* the line before ended in CRLF (true at the very start) */
	bool bare_lf; /* a bare LF was seen */
	bool bare_cr; /* a CR without LF was seen (kept as data, or a blank when replace_stray) */
	bool nul; /* a NUL byte was seen */
	bool eight_bit; /* a byte above 127 was seen */
	bool dot_lines; /* a stored line begins with '.': sending needs dot-stuffing */
	bool long_lines; /* a stored line is longer than 998 octets */
	bool replace_stray; /* cleanup_replace_stray_cr_lf: a stray CR becomes a blank */
	size_t line_size; /* octets of the unfinished line */
};

/* Move content from the front of `in` to out, dot-unstuffed, every line ending CRLF. Returns the octets of `in` that were used (the caller
 * keeps the rest for the next call; a lone CR or a possible end mark may wait there) and sets *end when the end of data was seen and used.
 */
size_t line_in_feed(struct line_in *l, struct str in, struct buf *out, bool *end);

/* Content (CRLF lines) to wire form: dots stuffed. *at_start carries over calls. */
void line_out_stuff(struct str in, bool *at_start, struct buf *out);
/* CRLF to LF, for mailboxes and commands. A CR at the very end of `in` is held back: returns the octets used. */
size_t line_to_lf(struct str in, struct buf *out);

#endif

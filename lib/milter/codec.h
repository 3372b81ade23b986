/* lib/milter/codec.h - packets of the milter protocol: u32 length (network order), command byte, payload. Pure functions on bytes.
 */
#ifndef GATEPOST_LIB_MILTER_CODEC_H
#define GATEPOST_LIB_MILTER_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

#define PACKET_HEAD 5 /* length and command byte */
#define PACKET_CHUNK 65535u /* libmilter drops the connection when a payload is larger */
#define PACKET_REPLY_MAX (16u * 1024 * 1024) /* largest packet taken from a filter */

/* Building: size_t at = packet_begin(&b, 'M'); packet_z(&b, ...); packet_end(&b, at). */
size_t packet_begin(struct buf *b, char command);
void packet_end(struct buf *b, size_t at);
void packet_simple(struct buf *b, char command);
void packet_u32(struct buf *b, uint32_t v);
void packet_z(struct buf *b, struct str s); /* up to its first NUL, and a NUL */
/* Length and command of a packet whose payload of n octets follows by other means. */
void packet_head(struct buf *b, char command, size_t n);

/* Reading: a payload, front to back. All return false, and take nothing, when it does not begin with such a field. */
bool packet_get_u32(struct str *rest, uint32_t *v);
/* Split 5 octets: size of the payload and command. False: length 0 or over PACKET_REPLY_MAX. */
bool packet_head_parse(const unsigned char head[PACKET_HEAD], size_t *payload, char *command);
uint32_t packet_length(const unsigned char head[PACKET_HEAD]);

/* A reply of a filter, taken apart. */
struct reply {
	char command;
	uint32_t index; /* i m */
	struct str a; /* name, address, reason, text, body */
	struct str b; /* value, ESMTP arguments (may be missing: empty) */
};

/* Check a reply's payload against the form its command has. False: no such reply, or malformed. */
bool reply_parse(char command, struct str payload, struct reply *out);
const char *reply_name(char command); /* "SMFIR_CONTINUE", or NULL */
/* Text of SMFIR_REPLYCODE: "550 5.7.1 text" or several lines "550-..." CRLF "550 ...". Lines go to *text, separated by LF, without the SMTP
 * code; the enhanced code is taken out when all lines have the same one. "%%" becomes "%", a lone "%" is dropped. False: malformed. */
bool reply_text_parse(struct str in, struct code *code, struct buf *text);

/* The answer to option negotiation. lists: what follows the three numbers. */
struct optneg {
	uint32_t version, actions, protocol;
	struct str lists;
};
bool optneg_parse(struct str payload, struct optneg *out);
bool optneg_next_list(struct str *lists, uint32_t *stage, struct str *names);

/* For session export: strings with a length in front. */
void packet_str(struct buf *b, struct str s);
bool packet_get_str(struct str *rest, struct str *s);

#endif

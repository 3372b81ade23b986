/* lib/smtp/reply.c - replies as a client reads them: several lines, any length, from a peer that may be anything. */
#include "lib/smtp/reply.h"

#include "lib/mail/dsn.h"

#define LINE_MAX_OCTETS 2048 /* kept of one line; RFC 5321 section 4.5.3.1.5 allows 512 */
#define DROPPED_MAX (1024 * 1024) /* of one line; more is no reply */
#define CODE_SIZE 3

void smtp_reply_done(struct smtp_reply *r)
{
	buf_done(&r->text);
	buf_done(&r->lines);
}

static void clear(struct smtp_reply *r)
{
	r->code = (struct code){ 0 };
	buf_clear(&r->text);
	buf_clear(&r->lines);
}

/* "250-text" or "250 text" or "250": the code, 0 when line is something else. */
static short line_code(struct str line)
{
	uint64_t code;

	if (line.n < CODE_SIZE || !str_to_u64(str_sub(line, 0, CODE_SIZE), 599, &code) || code < 200)
		return 0;
	return line.n == CODE_SIZE || line.p[CODE_SIZE] == ' ' || line.p[CODE_SIZE] == '-' ? (short)code : 0;
}

/* One line without its end; what exceeds LINE_MAX_OCTETS is read and dropped. *total counts the octets kept, and those of a line without
 * measure. */
static int read_line(struct stream *s, struct buf *line, size_t *total, int64_t deadline)
{
	int r = stream_read_line(s, line, LINE_MAX_OCTETS, deadline);
	struct buf rest = { 0 };
	size_t dropped = 0;

	*total += line->n;
	for (int more = r; more == STREAM_TOO_LONG && dropped <= DROPPED_MAX; dropped += rest.n) {
		more = stream_read_line(s, &rest, LINE_MAX_OCTETS, deadline);
		r = more == STREAM_TOO_LONG ? STREAM_OK : more;
	}
	buf_done(&rest);
	if (dropped > DROPPED_MAX)
		*total += dropped;
	while (line->n > 0 && (line->p[line->n - 1] == '\n' || line->p[line->n - 1] == '\r'))
		buf_truncate(line, line->n - 1);
	return r;
}

static void add_line(struct smtp_reply *r, struct str line, short code)
{
	struct code enhanced = { 0 };

	if (r->text.n > 0)
		buf_addc(&r->text, ' ');
	buf_add_safe(&r->text, line);
	buf_add_safe(&r->lines, line);
	buf_addc(&r->lines, '\n');
	if (dsn_parse(str_skip(line, CODE_SIZE + 1), &enhanced) == 0 || enhanced.c != code / 100)
		enhanced = r->code.smtp == code ? r->code : CODE(0, (unsigned char)(code / 100), 0, 0);
	r->code = enhanced;
	r->code.smtp = code;
}

int smtp_reply_line(struct smtp_reply *r, struct str line, struct err *e)
{
	struct buf safe = { 0 };
	short code = line_code(line);

	if (code > 0) {
		add_line(r, line, code);
		return line.n == CODE_SIZE || line.p[CODE_SIZE] == ' ';
	}
	buf_add_safe(&safe, str_sub(line, 0, 100));
	err_set(e, ERR_TEMP, CODE(451, 4, 5, 0), "malformed reply: \"%s\"", buf_z(&safe));
	buf_done(&safe);
	return -1;
}

int smtp_reply_read(struct stream *s, struct smtp_reply *r, int64_t deadline, int *result, struct err *e)
{
	struct buf line = { 0 };
	size_t total = 0;
	int last = 0;

	clear(r);
	while (last == 0) {
		*result = read_line(s, &line, &total, deadline);
		if (*result != STREAM_OK) {
			last = err_set(e, ERR_TEMP, CODE(451, 4, 4, 2), "%s", stream_strerror((enum stream_result) * result, s));
		} else if (total > SMTP_REPLY_MAX) {
			last = err_set(e, ERR_TEMP, CODE(451, 4, 5, 0), "reply longer than %d octets", SMTP_REPLY_MAX);
		} else {
			if (r->filter != NULL)
				r->filter(&line);
			last = smtp_reply_line(r, buf_str(&line), e);
		}
	}
	buf_done(&line);
	return last < 0 ? -1 : 0;
}

bool smtp_reply_offers(const struct smtp_reply *r, const char *keyword, struct str *args)
{
	struct str rest = buf_str(&r->lines);

	str_cut(&rest, '\n'); /* the first line is the host's name */
	while (rest.n > 0) {
		struct str line = str_skip(str_cut(&rest, '\n'), CODE_SIZE + 1);

		if (str_eqiz(str_word(&line, " \t"), keyword)) {
			*args = str_trim(line);
			return true;
		}
	}
	return false;
}

/* mta/tools/sendmail/message.c - standard input to a message: line ends, header and body, recipients, a From field. */
#include "mta/tools/sendmail/sendmail.h"

#include <errno.h>
#include <pwd.h>
#include <sysexits.h>

#include "lib/mail/addr.h"
#include "lib/mail/header.h"

#define MEMORY_MAX (512UL * 1024 * 1024) /* octets, when message_size_limit is 0 */
#define RECIPIENTS_MAX 50000

/* ---- reading ---- */

static bool ends_in_crlf(struct str line)
{
	return line.n > 1 && line.p[line.n - 2] == '\r' && line.p[line.n - 1] == '\n';
}

/* take_cr: a CR in front of the line feed, or of the end of input, belongs to it. */
static struct str without_line_end(struct str line, bool take_cr)
{
	if (line.n > 0 && line.p[line.n - 1] == '\n')
		line.n--;
	if (take_cr && line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* sendmail_fix_line_endings, told the first line */
static bool fix_line_ends(const struct request *r, struct str first)
{
	return strcmp(r->line_ends, "always") == 0 || (strcmp(r->line_ends, "strict") == 0 && ends_in_crlf(first));
}

/* A bare CR becomes a blank: a host further on might take it for a line end. */
static void blank_bare_crs(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] == '\r')
			p[i] = ' ';
}

/* "From user date" lines in front, as mailboxes have them. */
static bool is_mailbox_line(struct str line)
{
	while (line.n > 0 && line.p[0] == '>')
		line = str_skip(line, 1);
	return str_starts(line, STR("From "));
}

static void read_lines(struct buf *out, const struct request *r, uint64_t max)
{
	char *line = NULL;
	size_t size = 0;
	bool first = true, fix = false;
	ssize_t n;

	while ((n = getline(&line, &size, stdin)) > 0) {
		struct str s = str_n(line, (size_t)n);

		if (first)
			fix = fix_line_ends(r, s);
		first = false;
		s = without_line_end(s, fix);

		if (!r->dot_is_text && str_eqz(s, "."))
			break;
		if (out->n == 0 && is_mailbox_line(s))
			continue;
		if (s.n + 2 > max - out->n)
			fatal(EX_UNAVAILABLE, "%s(%lu): message file too big", r->login, (unsigned long)getuid());
		blank_bare_crs(line, s.n);
		buf_add(out, s);
		buf_add(out, STR("\r\n"));
	}
	if (ferror(stdin))
		fatal(EX_DATAERR, "cannot read the message: %s", strerror(errno));
	free(line);
}

/* ---- recipients ---- */

static void add_recipients(struct message *m, struct arena *a, struct str list)
{
	struct str *found, *all;
	size_t count = header_addresses(a, list, &found), kept = 0;

	if (m->recipient_count + count > RECIPIENTS_MAX)
		fatal(EX_USAGE, "more than %d recipients", RECIPIENTS_MAX);
	all = arena_alloc(a, (m->recipient_count + count + 1) * sizeof *all);
	if (m->recipient_count > 0)
		memcpy(all, m->recipients, m->recipient_count * sizeof *all);
	for (size_t i = 0; i < count; i++)
		if (found[i].n > 0)
			all[m->recipient_count + kept++] = found[i];
	m->recipients = all;
	m->recipient_count += kept;
}

/* To, Cc and Bcc; in a message that was sent on by hand, their Resent- forms alone (RFC 5322 section 3.6.6). */
static void recipients_from_header(struct message *m, struct header *h, struct arena *a)
{
	static const char *const plain[] = { "To", "Cc", "Bcc" }, *const resent[] = { "Resent-To", "Resent-Cc", "Resent-Bcc" };
	bool again = header_find(h, resent[0], 1) != NULL || header_find(h, resent[1], 1) != NULL || header_find(h, resent[2], 1) != NULL;

	for (size_t i = 0; i < 3; i++) {
		const char *name = again ? resent[i] : plain[i];
		struct header_field *f;

		for (size_t n = 1; (f = header_find(h, name, n)) != NULL; n++)
			add_recipients(m, a, header_unfold(a, f->value));
	}
}

static void drop_blind_copies(struct header *h)
{
	static const char *const names[] = { "Bcc", "Resent-Bcc" };
	struct header_field *f;

	for (size_t i = 0; i < 2; i++)
		while ((f = header_find(h, names[i], 1)) != NULL)
			f->deleted = true;
}

/* ---- From ---- */

/* The first part of the password file's comment, "&" standing for the login name. */
static void gecos_name(struct buf *out)
{
	const struct passwd *pw = getpwuid(getuid());

	for (const char *p = pw != NULL ? pw->pw_gecos : ""; *p != '\0' && *p != ','; p++) {
		if (*p == '&') {
			buf_addc(out, (char)toupper((unsigned char)pw->pw_name[0]));
			buf_addz(out, pw->pw_name[0] != '\0' ? pw->pw_name + 1 : "");
		} else if ((unsigned char)*p >= ' ' && *p != 0x7f) {
			buf_addc(out, *p);
		}
	}
}

static bool is_atom_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && strchr(" !#$%&'*+-/=?^_`{|}~", s.p[i]) == NULL)
			return false;
	return true;
}

static void add_display_name(struct buf *out, struct str name)
{
	if (is_atom_text(name)) {
		buf_add(out, name);
		return;
	}
	buf_addc(out, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, name.p[i]);
	}
	buf_addc(out, '"');
}

/* Only we know the submitter's full name; without one cleanup makes the field. */
static void add_from(struct header *h, const struct request *r, bool again, struct arena *a)
{
	struct str field = again ? STR("Resent-From") : STR("From"), sender = request_sender(r);
	struct buf name = { 0 }, value = { 0 };

	if (r->gateway || header_find(h, field.p, 1) != NULL || sender.n == 0)
		return;
	if (r->full_name != NULL)
		buf_addz(&name, r->full_name);
	else
		gecos_name(&name);
	if (name.n > 0) {
		struct str address = addr_quote(a, sender);

		add_display_name(&value, buf_str(&name));
		buf_addf(&value, " <%.*s>", STRF(address));
		header_append(h, field, buf_str(&value), true);
	}
	buf_done(&name);
	buf_done(&value);
}

/* ---- the whole ---- */

uint64_t message_max(uint64_t limit)
{
	return limit > 0 && limit < MEMORY_MAX ? limit : MEMORY_MAX;
}

void message_read(struct message *m, const struct request *r, struct arena *a, uint64_t max)
{
	struct buf input = { 0 };

	read_lines(&input, r, message_max(max));
	message_make(m, r, a, buf_str(&input));
	buf_done(&input);
}

void message_probe(struct message *m, const struct request *r, struct arena *a)
{
	struct str from = addr_quote(a, request_sender(r));
	struct buf text = { 0 };

	buf_addf(&text, "From: %.*s\r\nSubject: probe\r\nTo:", STRF(from));
	for (size_t i = 0; i < r->recipient_count; i++)
		buf_addf(&text, "%s %s", i > 0 ? ",\r\n" : "", r->recipients[i]);
	buf_addz(&text, "\r\n\r\n");
	message_make(m, r, a, buf_str(&text));
	buf_done(&text);
}

void message_make(struct message *m, const struct request *r, struct arena *a, struct str input)
{
	struct header h;
	bool missing_blank = false, again = false;
	size_t body_at;

	header_init(&h, a);
	body_at = header_parse(&h, input, &missing_blank);
	for (size_t i = 0; i < h.count; i++)
		again |= str_startsi(h.fields[i].name, STR("Resent-"));
	for (size_t i = 0; i < r->recipient_count; i++)
		add_recipients(m, a, str_z(r->recipients[i]));
	if (r->from_header) {
		recipients_from_header(m, &h, a);
		drop_blind_copies(&h);
	}
	if (m->recipient_count == 0)
		fatal(EX_DATAERR, r->from_header ? "No recipient addresses found in message header" : "No valid recipient address");
	add_from(&h, r, again, a);
	header_print(&h, &m->content);
	buf_add(&m->content, STR("\r\n"));
	m->header_size = m->content.n;
	buf_add(&m->content, str_skip(input, body_at));
}

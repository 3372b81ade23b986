/* lib/milter/negotiate.c - connecting to a filter and agreeing on protocol version, actions, and which events it wants. */
#include <string.h>

#include "lib/base/log.h"
#include "lib/milter/filter.h"

#define MDS_BITS 0x70000000u /* "maximum data size" and its kin: internal, never compared */

/* Protocol bits defined for a version; an older filter must not see newer ones. */
static uint32_t version_bits(unsigned version)
{
	return version >= 6 ? 0x1fffff : version >= 4 ? 0x3ff & ~(uint32_t)NR_HEADER : version >= 3 ? 0x17f : 0x7f;
}

const struct event event_negotiate = { .command = 'O', .name = "SMFIC_OPTNEG" };

/* Stages as numbered in the negotiation: note that EOM comes before EOH. */
static const enum milter_stage stage_numbers[] = { MILTER_CONNECT, MILTER_HELO, MILTER_MAIL, MILTER_RCPT, MILTER_DATA, MILTER_EOM,
	MILTER_EOH };

static void take_lists(struct milter_session *s, struct filter *f, struct str lists)
{
	uint32_t stage;
	struct str names;

	while (optneg_next_list(&lists, &stage, &names)) {
		if (stage >= sizeof stage_numbers / sizeof *stage_numbers)
			log_warn("milter %s: unknown macro list number %u", f->set->endpoint, stage);
		else if (names.n > 0) /* an empty list means the configured one, as in Postfix */
			f->agreed.macros[stage_numbers[stage]] = arena_z(s->life, names);
	}
}

/* What was agreed, with what this filter's settings say on top. */
static void follow(struct filter *f)
{
	f->version = f->agreed.version;
	f->actions = f->agreed.actions & ~f->set->forbidden;
	f->protocol = f->agreed.protocol & ~MDS_BITS & version_bits(f->set->version);
	if (f->set->no_header_reply)
		f->protocol |= NR_HEADER;
	memcpy(f->macros, f->agreed.macros, sizeof f->macros);
	f->state = FILTER_OPEN;
}

static int take_options(struct milter_session *s, struct filter *f, const struct optneg *o)
{
	if (o->version > f->set->version) {
		log_warn("milter %s: protocol version %u conflict with MTA protocol version %u", f->set->endpoint, o->version,
			f->set->version);
		return filter_fail(f);
	}
	if ((o->actions & ~(uint32_t)ACTION_ALL) != 0) {
		log_warn("milter %s: request mask 0x%x conflict with MTA request mask 0x%x", f->set->endpoint, o->actions,
			(unsigned)ACTION_ALL);
		return filter_fail(f);
	}
	f->agreed = (struct agreement){ .version = o->version, .actions = o->actions, .protocol = o->protocol };
	take_lists(s, f, o->lists);
	follow(f);
	return 0;
}

/* The answer is the one packet that looks like a command, not like a reply. */
static int read_options(struct milter_session *s, struct filter *f)
{
	int64_t deadline = deadline_in(f->set->command_ms), began = clock_mono_us();
	unsigned char head[PACKET_HEAD];
	struct optneg o;
	char command;
	size_t n;
	int r = stream_read_full(f->io, head, sizeof head, deadline);

	if (r == 0 && (!packet_head_parse(head, &n, &command) || command != 'O' || n > PACKET_CHUNK)) {
		log_warn("milter %s: unexpected reply to SMFIC_OPTNEG: length %u, command 0x%02x", f->set->endpoint, packet_length(head),
			head[4]);
		return filter_fail(f);
	}
	if (r == 0) {
		buf_clear(&f->in);
		buf_reserve(&f->in, n);
		r = n > 0 ? stream_read_full(f->io, f->in.p, n, deadline) : 0;
	}
	f->wait_us += clock_mono_us() - began;
	if (r < 0) {
		log_warn("milter %s: can't read SMFIC_OPTNEG reply packet header: %s", f->set->endpoint, filter_trouble(f, r));
		return filter_fail(f);
	}
	if (!optneg_parse(str_n(f->in.p, n), &o)) {
		log_warn("milter %s: SMFIC_OPTNEG reply is too short: %zu octets", f->set->endpoint, n);
		return filter_fail(f);
	}
	return take_options(s, f, &o);
}

/* "connect to h:1: Connection refused": the line begins with that already. */
static struct str reason(const struct err *e)
{
	struct str text = str_z(e->text);
	ptrdiff_t at = str_starts(text, STR("connect to ")) ? str_find(text, STR(": ")) : -1;

	return at < 0 ? text : str_skip(text, (size_t)at + 2);
}

int filter_connect(struct milter_session *s, struct filter *f)
{
	int64_t began = clock_mono_us();
	struct err e = ERR_INIT;
	size_t at;

	f->wait_us = 0;
	f->telling = event_negotiate.command;
	if (endpoint_resting(f->set))
		return filter_fail(f);
	f->io = reuse_connect(f, s->life, deadline_in(f->set->connect_ms), &e);
	f->wait_us = clock_mono_us() - began;
	if (f->io == NULL) {
		struct str why = reason(&e);

		log_warn("connect to Milter service %s: %.*s", f->set->endpoint, STRF(why));
		return filter_fail(f);
	}
	if (f->reused) {
		follow(f);
		return 0;
	}
	at = packet_begin(&f->out, 'O');
	packet_u32(&f->out, f->set->version);
	packet_u32(&f->out, ACTION_ALL);
	packet_u32(&f->out, version_bits(f->set->version));
	packet_end(&f->out, at);
	if (filter_flush(f, &event_negotiate) < 0)
		return -1;
	return read_options(s, f);
}

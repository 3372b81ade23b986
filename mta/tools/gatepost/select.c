/* mta/tools/gatepost/select.c - finding the messages that a filter, a list of ids, or ALL names. */
#include "mta/tools/gatepost/select.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/mail/addr.h"

static const char *const usual[] = { "maildrop", "incoming", "active", "deferred", "hold", NULL };

void selection_begin(struct selection *s)
{
	*s = (struct selection){ .life = arena_new("selection") };
}

void selection_end(struct selection *s)
{
	arena_free(s->life);
}

/* ---- what is asked for ---- */

static bool take_age(int64_t *out, const char *value)
{
	if (conf_parse_time(str_z(value), 's', out) && *out > 0)
		return true;
	tool_complain("\"%s\" is no age: a number and s, m, h, d or w", value);
	return false;
}

static bool take_size(uint64_t *out, const char *value)
{
	static const char units[] = "kmg";
	struct str number = str_z(value);
	const char *unit = number.n > 1 ? strchr(units, number.p[number.n - 1] | 0x20) : NULL;
	unsigned shift = unit != NULL && *unit != '\0' ? 10 * (unsigned)(unit - units + 1) : 0;

	if (shift > 0)
		number.n--;
	if (str_to_u64(number, UINT64_MAX >> (shift + 1), out)) {
		*out <<= shift;
		return true;
	}
	tool_complain("\"%s\" is no size: a number, and k, m or g", value);
	return false;
}

static bool take_queue(struct selection *s, const char *name)
{
	size_t n = 0;

	while (s->queues[n] != NULL)
		n++;
	for (const char *const *q = usual; *q != NULL || strcmp(name, "corrupt") == 0; q++) {
		const char *known = *q != NULL ? *q : "corrupt";

		if (strcmp(known, name) != 0)
			continue;
		if (n + 1 < SELECT_QUEUES_MAX)
			s->queues[n] = known;
		return true;
	}
	tool_complain("invalid directory name: %s", name);
	return false;
}

bool selection_option(struct selection *s, int option, const char *value)
{
	s->filtered |= option != SELECT_IN;
	switch (option) {
	case SELECT_OLDER:
		return take_age(&s->older_ms, value);
	case SELECT_YOUNGER:
		return take_age(&s->younger_ms, value);
	case SELECT_LARGER:
		return take_size(&s->larger, value);
	case SELECT_SMALLER:
		return take_size(&s->smaller, value);
	case SELECT_SENDER:
		s->sender = value;
		return true;
	case SELECT_RECIPIENT:
		s->recipient = value;
		return true;
	case SELECT_DOMAIN:
		s->domain = value;
		return true;
	case SELECT_REASON:
		s->reason = arena_printf(s->life, "*%s*", value).p;
		return true;
	case SELECT_IN:
		return take_queue(s, value);
	default:
		return false;
	}
}

static bool add_from_input(struct selection *s)
{
	char *line = NULL;
	size_t size = 0;
	bool good = true;

	while (getline(&line, &size, stdin) > 0) {
		struct str rest = str_z(line), word = str_word(&rest, " \t\r\n");

		if (word.n > 0 && !(word.n == 1 && word.p[0] == '-'))
			good = selection_add(s, arena_z(s->life, word)) && good;
	}
	free(line);
	return good;
}

bool selection_add(struct selection *s, const char *word)
{
	s->named |= strcmp(word, "ALL") != 0;
	if (strcmp(word, "-") == 0)
		return add_from_input(s);
	if (strcmp(word, "ALL") == 0) {
		s->all = true;
		return true;
	}
	if (!queue_id_valid(str_z(word))) {
		tool_complain("warning: invalid mail queue id: %s", word);
		return false;
	}
	if (s->id_count == s->id_cap) {
		struct str *more = arena_alloc(s->life, (s->id_cap = s->id_cap > 0 ? 2 * s->id_cap : 16) * sizeof *more);

		if (s->id_count > 0)
			memcpy(more, s->ids, s->id_count * sizeof *more);
		s->ids = more;
	}
	s->ids[s->id_count++] = str_z(word);
	return true;
}

bool selection_empty(const struct selection *s)
{
	return !s->named && !s->all && !s->filtered;
}

/* ---- does it fit? ---- */

static bool fits(struct arena *a, const char *pattern, struct str text)
{
	return pattern == NULL || fnmatch(pattern, arena_z(a, text), FNM_CASEFOLD) == 0;
}

static bool rcpt_fits(const struct selection *s, struct arena *a, const struct entry *n, size_t i)
{
	const struct queue_rcpt *r = &n->m.rcpts[i];

	return !r->done && fits(a, s->recipient, r->addr) && fits(a, s->domain, addr_split(r->addr).domain) &&
		(s->reason == NULL || (n->last[i] != NULL && fits(a, s->reason, n->last[i]->text)));
}

static bool sender_fits(const struct selection *s, struct arena *a, const struct entry *n)
{
	if (s->sender == NULL || n->m.sender.n > 0)
		return fits(a, s->sender, n->m.sender);
	return strcmp(s->sender, "<>") == 0 || fits(a, s->sender, STR("MAILER-DAEMON"));
}

static bool entry_fits(const struct selection *s, struct arena *a, const struct entry *n)
{
	int64_t age_ms = (clock_wall_us() - n->m.arrival_us) / 1000;
	uint64_t size = n->m.header_size + n->m.body_size;
	size_t i = 0;

	if ((s->older_ms > 0 && age_ms < s->older_ms) || (s->younger_ms > 0 && age_ms > s->younger_ms))
		return false;
	if ((s->larger > 0 && size < s->larger) || (s->smaller > 0 && size > s->smaller) || !sender_fits(s, a, n))
		return false;
	if (s->recipient == NULL && s->domain == NULL && s->reason == NULL)
		return true;
	while (i < n->m.rcpt_count && !rcpt_fits(s, a, n, i))
		i++;
	return i < n->m.rcpt_count;
}

/* ---- reading ---- */

struct walk {
	struct selection *s;
	enum select_depth depth;
	select_fn *fn;
	void *ctx;
	const char *queue;
	struct arena *a; /* for one message */
	struct err e;
};

static void read_reasons(struct walk *w, int fd, struct entry *n)
{
	struct queue_status *st;
	struct err e = ERR_INIT;
	size_t count;

	n->last = arena_alloc(w->a, (n->m.rcpt_count + 1) * sizeof *n->last);
	if (queue_load_status(fd, &n->m, w->a, &st, &count, &e) < 0)
		return; /* a list without reasons is better than none */
	for (size_t i = 0; i < count; i++)
		if (st[i].action == 'd' && st[i].rcpt_index < n->m.rcpt_count)
			n->last[st[i].rcpt_index] = &st[i];
}

/* False: not a message any more, or not yet. */
static bool read_entry(struct walk *w, struct entry *n)
{
	int fd = open(n->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct err e = ERR_INIT;
	bool good;

	if (fd < 0) {
		if (errno != ENOENT)
			tool_complain("%s: %s", n->path, strerror(errno));
		return false;
	}
	good = queue_load(fd, n->id, false, w->a, &n->m, &e) == 0;
	if (good && w->depth == SELECT_REASONS)
		read_reasons(w, fd, n);
	else if (!good && queue_begun(fd))
		tool_complain("%s: %s", n->path, e.text);
	n->expiring = (n->m.marks & QUEUE_MODE_EXPIRE) != 0;
	close(fd);
	return good;
}

static int visit(void *ctx, const char *path, const char *id)
{
	struct walk *w = ctx;
	struct entry n = { .queue = w->queue, .path = path, .id = id };

	if ((w->depth == SELECT_NAMES || read_entry(w, &n)) && (!w->s->filtered || entry_fits(w->s, w->a, &n)))
		w->fn(w->ctx, &n);
	arena_reset(w->a);
	return 0;
}

static void visit_id(struct walk *w, const char *id, void (*missing)(void *ctx, const char *id))
{
	struct buf path = { 0 };

	if (queue_find(id, &path)) {
		struct str rest = buf_str(&path), queue = str_cut(&rest, '/');

		w->queue = arena_z(w->s->life, queue);
		visit(w, buf_z(&path), id);
	} else if (missing != NULL) {
		missing(w->ctx, id);
	}
	buf_done(&path);
}

static enum select_depth needed_depth(const struct selection *s, enum select_depth wanted)
{
	if (s->reason != NULL)
		return SELECT_REASONS;
	return s->filtered && wanted == SELECT_NAMES ? SELECT_ENVELOPE : wanted;
}

int selection_walk(struct selection *s, enum select_depth depth, select_fn *fn, void (*missing)(void *ctx, const char *id), void *ctx)
{
	struct walk w = { .s = s, .depth = needed_depth(s, depth), .fn = fn, .ctx = ctx, .a = arena_new("message"), .e = ERR_INIT };
	const char *const *queues = s->queues[0] != NULL ? s->queues : usual;
	int status = EX_OK;

	for (size_t i = 0; i < s->id_count; i++)
		visit_id(&w, arena_z(s->life, s->ids[i]), missing);
	for (; !s->named && *queues != NULL; queues++) {
		w.queue = *queues;
		if (queue_visit(w.queue, visit, &w, &w.e) == 0)
			continue;
		tool_complain("%s (only root and the mail owner see the queue)", w.e.text);
		status = EX_NOPERM;
		break;
	}
	arena_free(w.a);
	return status;
}

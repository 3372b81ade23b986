/* mta/pipe/argv.c - parses a pipe service's attributes and expands macros in its command. */
#include "mta/pipe/argv.h"

#include <string.h>

#include "lib/mail/addr.h"

#define ARGV_MAX 65536 /* arguments after expansion */

/* ---- attributes ---- */

static const struct {
	char letter;
	unsigned flag;
} letters[] = {
	{ '.', PIPE_DOT_STUFF },
	{ '>', PIPE_QUOTE_FROM },
	{ 'B', PIPE_BLANK_END },
	{ 'D', PIPE_DELIVERED_TO },
	{ 'F', PIPE_FROM },
	{ 'O', PIPE_ORIGINAL_TO },
	{ 'R', PIPE_RETURN_PATH },
	{ 'X', PIPE_FINAL },
	{ 'h', PIPE_LOWER_DOMAIN },
	{ 'q', PIPE_QUOTE_ADDRESS },
	{ 'u', PIPE_LOWER_LOCAL },
};

static int parse_flags(struct arena *a, struct str value, struct pipe_settings *out, struct err *e)
{
	(void)a; /* nothing to keep */
	for (size_t i = 0; i < value.n; i++) {
		size_t k = 0;

		while (k < sizeof letters / sizeof *letters && letters[k].letter != value.p[i])
			k++;
		if (k == sizeof letters / sizeof *letters)
			return err_perm(e, "flags=: unknown flag \"%c\"", value.p[i]);
		out->flags |= letters[k].flag;
	}
	return 0;
}

static int parse_user(struct arena *a, struct str value, struct pipe_settings *out, struct err *e)
{
	struct str user = str_cut(&value, ':');

	if (user.n == 0)
		return err_perm(e, "user=: no name");
	out->user = arena_z(a, user);
	out->group = value.n > 0 ? arena_z(a, value) : NULL;
	return 0;
}

/* Up to three octal digits at the front of *rest. */
static char cut_octal(struct str *rest)
{
	unsigned c = 0;

	for (int i = 0; i < 3 && rest->n > 0 && rest->p[0] >= '0' && rest->p[0] <= '7'; i++) {
		c = c * 8 + (unsigned)(rest->p[0] - '0');
		*rest = str_skip(*rest, 1);
	}
	return (char)c;
}

/* What a backslash is for, at the front of *rest. */
static int cut_escape(struct str *rest, char *c)
{
	static const char from[] = "abfnrtv\\", to[] = "\a\b\f\n\r\t\v\\";
	const char *at = rest->n > 0 && rest->p[0] != '\0' ? strchr(from, rest->p[0]) : NULL;

	if (at != NULL) {
		*c = to[at - from];
		*rest = str_skip(*rest, 1);
		return 0;
	}
	if (rest->n == 0 || rest->p[0] < '0' || rest->p[0] > '7')
		return -1;
	*c = cut_octal(rest);
	return 0;
}

/* "\r\n" as in C. */
static int parse_eol(struct arena *a, struct str value, struct pipe_settings *out, struct err *e)
{
	struct buf b = { 0 };
	int r = 0;

	while (value.n > 0 && r == 0) {
		char c = value.p[0];

		value = str_skip(value, 1);
		if (c == '\\' && cut_escape(&value, &c) < 0)
			r = err_perm(e, "eol=: unknown escape");
		buf_addc(&b, c);
	}
	out->eol = arena_dup(a, buf_str(&b));
	buf_done(&b);
	return r;
}

static int parse_size(struct arena *a, struct str value, struct pipe_settings *out, struct err *e)
{
	(void)a; /* nothing to keep */
	return str_to_u64(value, UINT64_MAX, &out->size_limit) ? 0 : err_perm(e, "size=: not a number");
}

static int parse_chroot(struct arena *a, struct str value, struct pipe_settings *out, struct err *e)
{
	(void)e; /* any text is a path */
	out->chroot_dir = arena_z(a, value);
	return 0;
}

static int parse_directory(struct arena *a, struct str value, struct pipe_settings *out, struct err *e)
{
	(void)e; /* any text is a path */
	out->directory = arena_z(a, value);
	return 0;
}

static int parse_null_sender(struct arena *a, struct str value, struct pipe_settings *out, struct err *e)
{
	(void)e; /* any text will do */
	out->null_sender = arena_z(a, value);
	return 0;
}

static const struct {
	const char *name;
	int (*parse)(struct arena *a, struct str value, struct pipe_settings *out, struct err *e);
} attributes[] = {
	{ "chroot", parse_chroot },
	{ "directory", parse_directory },
	{ "eol", parse_eol },
	{ "flags", parse_flags },
	{ "null_sender", parse_null_sender },
	{ "size", parse_size },
	{ "user", parse_user },
};

static int parse_attribute(struct arena *a, struct str arg, struct pipe_settings *out, struct err *e)
{
	struct str rest = arg, name = str_cut(&rest, '=');

	for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
		if (name.n < arg.n && str_eqz(name, attributes[i].name))
			return attributes[i].parse(a, rest, out, e);
	}
	return err_perm(e, "unknown attribute \"%.*s\"", STRF(arg));
}

static void take_argv(struct arena *a, const char *const *args, size_t count, struct pipe_settings *out)
{
	const char **argv = arena_alloc(a, (count + 1) * sizeof *argv);

	for (size_t i = 0; i < count; i++)
		argv[i] = args[i];
	argv[0] += strlen("argv=");
	/* "argv= command" leaves the first one empty */
	out->argv = argv[0][0] == '\0' ? argv + 1 : argv;
	out->argc = argv[0][0] == '\0' ? count - 1 : count;
}

int pipe_parse(struct arena *a, const char *const *args, size_t count, struct pipe_settings *out, struct err *e)
{
	*out = (struct pipe_settings){ .null_sender = "MAILER-DAEMON", .eol = STR("\n") };
	for (size_t i = 0; i < count; i++) {
		if (str_starts(str_z(args[i]), STR("argv="))) {
			take_argv(a, args + i, count - i, out);
			break;
		}
		if (parse_attribute(a, str_z(args[i]), out, e) < 0)
			return -1;
	}
	if (out->argc == 0)
		return err_perm(e, "argv= is missing");
	return out->user == NULL ? err_perm(e, "user= is missing") : 0;
}

/* ---- macros ---- */

static struct str lower_if(struct arena *a, struct str s, bool wanted)
{
	return wanted ? arena_lower(a, s) : s;
}

struct str pipe_recipient(struct arena *a, const struct pipe_settings *s, struct str address, bool quote)
{
	struct addr parts = addr_split(address);
	struct str local = lower_if(a, parts.local, (s->flags & PIPE_LOWER_LOCAL) != 0);
	struct str domain = lower_if(a, parts.domain, (s->flags & PIPE_LOWER_DOMAIN) != 0);
	struct str whole = parts.domain.n > 0 ? arena_printf(a, "%.*s@%.*s", STRF(local), STRF(domain)) : local;

	return quote ? addr_quote(a, whole) : whole;
}

struct expansion {
	struct arena *a;
	const struct pipe_message *p;
	const struct queue_rcpt *rcpt; /* NULL: macros of recipients only set per_rcpt */
	bool per_rcpt;
};

static struct str local_part(const struct expansion *x)
{
	return lower_if(x->a, addr_split(x->rcpt->addr).local, (x->p->settings->flags & PIPE_LOWER_LOCAL) != 0);
}

static struct str user_of(const struct expansion *x)
{
	struct str ext;

	return addr_base(local_part(x), x->p->delimiter, &ext);
}

static struct str extension_of(const struct expansion *x)
{
	struct str ext;

	addr_base(local_part(x), x->p->delimiter, &ext);
	return str_skip(ext, 1);
}

static struct str recipient_of(const struct expansion *x)
{
	return pipe_recipient(x->a, x->p->settings, x->rcpt->addr, (x->p->settings->flags & PIPE_QUOTE_ADDRESS) != 0);
}

static struct str original_of(const struct expansion *x)
{
	struct str address = x->rcpt->orig.n > 0 ? x->rcpt->orig : x->rcpt->addr;

	return pipe_recipient(x->a, x->p->settings, address, (x->p->settings->flags & PIPE_QUOTE_ADDRESS) != 0);
}

static struct str domain_of(const struct expansion *x)
{
	return lower_if(x->a, addr_split(x->rcpt->addr).domain, (x->p->settings->flags & PIPE_LOWER_DOMAIN) != 0);
}

static struct str nexthop_of(const struct expansion *x)
{
	return lower_if(x->a, x->p->nexthop, (x->p->settings->flags & PIPE_LOWER_DOMAIN) != 0);
}

static struct str sender_of(const struct expansion *x)
{
	const struct pipe_message *p = x->p;
	struct str sender = p->m->sender.n > 0 ? p->m->sender : str_z(p->settings->null_sender);

	return (p->settings->flags & PIPE_QUOTE_ADDRESS) && sender.n > 0 ? addr_quote(x->a, sender) : sender;
}

static struct str queue_id_of(const struct expansion *x)
{
	return str_z(x->p->m->id);
}

static struct str size_of(const struct expansion *x)
{
	return arena_printf(x->a, "%llu", (unsigned long long)(x->p->m->header_size + x->p->m->body_size));
}

static struct str envid_of(const struct expansion *x)
{
	return x->p->m->envid;
}

static const struct {
	const char *name;
	struct str (*value)(const struct expansion *x);
	bool per_rcpt;
} macros[] = {
	{ "domain", domain_of, true },
	{ "envid", envid_of, false },
	{ "extension", extension_of, true },
	{ "mailbox", local_part, true },
	{ "nexthop", nexthop_of, false },
	{ "original_recipient", original_of, true },
	{ "queue_id", queue_id_of, false },
	{ "recipient", recipient_of, true },
	{ "sender", sender_of, false },
	{ "size", size_of, false },
	{ "user", user_of, true },
};

static const struct {
	const char *name;
	size_t at;
} client_macros[] = {
	{ "client_address", offsetof(struct queue_client, addr) },
	{ "client_helo", offsetof(struct queue_client, helo) },
	{ "client_hostname", offsetof(struct queue_client, name) },
	{ "client_port", offsetof(struct queue_client, port) },
	{ "client_protocol", offsetof(struct queue_client, proto) },
	{ "sasl_method", offsetof(struct queue_client, sasl_method) },
	{ "sasl_sender", offsetof(struct queue_client, sasl_sender) },
	{ "sasl_username", offsetof(struct queue_client, sasl_user) },
};

static int add_macro(struct expansion *x, struct str name, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < sizeof macros / sizeof *macros; i++) {
		if (!str_eqz(name, macros[i].name))
			continue;
		x->per_rcpt = x->per_rcpt || macros[i].per_rcpt;
		if (x->rcpt != NULL || !macros[i].per_rcpt)
			buf_add(out, macros[i].value(x));
		return 0;
	}
	for (size_t i = 0; i < sizeof client_macros / sizeof *client_macros; i++) {
		if (str_eqz(name, client_macros[i].name)) {
			struct str value;

			memcpy(&value, (const char *)&x->p->m->client + client_macros[i].at, sizeof value);
			buf_add(out, value);
			return 0;
		}
	}
	return err_perm(e, "unknown macro name \"%.*s\"", STRF(name));
}

/* "${name}", "$(name)" or "$name" at the front of *rest, behind the "$". -1: no such thing. */
static int cut_name(struct str *rest, struct str *name)
{
	char shut = rest->n > 0 && rest->p[0] == '{' ? '}' : rest->n > 0 && rest->p[0] == '(' ? ')' : '\0';
	size_t n = 0;

	if (shut != '\0') {
		ptrdiff_t end = str_chr(*rest, shut);

		if (end < 0)
			return -1;
		*name = str_sub(*rest, 1, (size_t)end - 1);
		*rest = str_skip(*rest, (size_t)end + 1);
		return 0;
	}
	while (n < rest->n && (isalnum((unsigned char)rest->p[n]) || rest->p[n] == '_'))
		n++;
	*name = str_sub(*rest, 0, n);
	*rest = str_skip(*rest, n);
	return n > 0 ? 0 : -1;
}

static int expand(struct expansion *x, struct str arg, struct buf *out, struct err *e)
{
	while (arg.n > 0) {
		struct str name, before = str_sub(arg, 0, str_chr(arg, '$') >= 0 ? (size_t)str_chr(arg, '$') : arg.n);

		buf_add(out, before);
		if (before.n == arg.n)
			break;
		arg = str_skip(arg, before.n + 1);
		if (arg.n > 0 && arg.p[0] == '$') {
			buf_addc(out, '$');
			arg = str_skip(arg, 1);
		} else if (cut_name(&arg, &name) < 0) {
			return err_perm(e, "\"$\" without a macro name");
		} else if (add_macro(x, name, out, e) < 0) {
			return -1;
		}
	}
	return 0;
}

struct argv {
	const char **v;
	size_t count, cap;
};

/* A NUL in an address would end the argument early: such mail is refused. */
static int push(struct arena *a, struct argv *v, struct str arg, struct err *e)
{
	if (str_chr(arg, '\0') >= 0)
		return err_perm(e, "NUL byte in a command argument");
	if (v->count == ARGV_MAX)
		return err_perm(e, "too many command arguments");
	if (v->count == v->cap) {
		const char **more = arena_alloc(a, (v->cap * 2 + 16) * sizeof *more);

		if (v->count > 0)
			memcpy(more, v->v, v->count * sizeof *more);
		v->v = more;
		v->cap = v->cap * 2 + 15; /* one kept for the NULL */
	}
	v->v[v->count++] = arena_z(a, arg);
	return 0;
}

static int expand_arg(struct expansion *x, struct str arg, struct argv *v, struct err *e)
{
	struct buf b = { 0 };
	size_t times;
	int r;

	x->rcpt = NULL;
	x->per_rcpt = false;
	r = expand(x, arg, &b, e);
	times = x->per_rcpt ? x->p->m->rcpt_count : 1;
	for (size_t i = 0; i < times && r == 0; i++) {
		if (x->per_rcpt) {
			buf_clear(&b);
			x->rcpt = &x->p->m->rcpts[i];
			r = expand(x, arg, &b, e);
		}
		if (r == 0)
			r = push(x->a, v, buf_str(&b), e);
	}
	buf_done(&b);
	return r;
}

int pipe_argv(struct arena *a, const struct pipe_message *p, const char *const **out, struct err *e)
{
	struct expansion x = { .a = a, .p = p };
	struct argv v = { 0 };

	for (size_t i = 0; i < p->settings->argc; i++) {
		if (expand_arg(&x, str_z(p->settings->argv[i]), &v, e) < 0)
			return -1;
	}
	*out = v.v;
	return 0;
}

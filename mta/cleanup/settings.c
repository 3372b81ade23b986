/* mta/cleanup/settings.c - cleanup's parameters and tables: one reading at start, named problems, no question later. */
#include "mta/cleanup/settings.h"

#include <string.h>

#include "lib/base/log.h"
#include "mta/cleanup/cleanup.h"

static struct settings loaded;
const struct settings *const set = &loaded;

struct word_bit {
	const char *word;
	unsigned bit;
};

static const struct word_bit class_words[] = {
	{ "envelope_recipient", MAP_ENVELOPE_RCPT },
	{ "envelope_sender", MAP_ENVELOPE_SENDER },
	{ "header_recipient", MAP_HEADER_RCPT },
	{ "header_sender", MAP_HEADER_SENDER },
};

static const struct word_bit origin_words[] = {
	{ "all", ORIGIN_ALL },
	{ "bounce", ORIGIN_BOUNCE },
	{ "forward", ORIGIN_FORWARD },
	{ "notify", ORIGIN_NOTIFY },
	{ "qmqpd", ORIGIN_ELSEWHERE },
	{ "sendmail", ORIGIN_SENDMAIL },
	{ "smtpd", ORIGIN_SMTPD },
	{ "verify", ORIGIN_ELSEWHERE },
};

static unsigned bits_of(const struct conf *c, const char *name, const struct word_bit *known, size_t count)
{
	struct str rest = str_z(conf_str(c, name)), word;
	unsigned bits = 0;

	for (word = str_word(&rest, " \t\r\n,"); word.n > 0; word = str_word(&rest, " \t\r\n,")) {
		size_t i = 0;

		while (i < count && !str_eqiz(word, known[i].word))
			i++;
		if (i == count)
			log_fatal("parameter %s: unknown class: \"%.*s\"", name, STRF(word));
		bits |= known[i].bit;
	}
	return bits;
}

static unsigned classes(const struct conf *c, const char *name)
{
	return bits_of(c, name, class_words, sizeof class_words / sizeof *class_words);
}

static bool has_word(const struct conf *c, const char *name, const char *wanted)
{
	struct str rest = str_z(conf_str(c, name)), word;

	for (word = str_word(&rest, " \t\r\n,"); word.n > 0; word = str_word(&rest, " \t\r\n,"))
		if (str_eqiz(word, wanted))
			return true;
	return false;
}

static struct {
	const struct tables *tables;
	const char *rule;
} rules[16];

const char *settings_rule(const struct tables *t)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (rules[i].tables == t)
			return rules[i].rule;
	return "";
}

static void open_tables(struct arena *life, const struct conf *c, const char *name, struct tables *out)
{
	struct err e = ERR_INIT;

	if (tables_open(life, conf_str(c, name), conf_dir(c), out, &e) < 0)
		log_fatal("parameter %s: %s", name, e.text);
	for (size_t i = 0; i < sizeof rules / sizeof *rules && out->count > 0; i++) {
		if (rules[i].tables != NULL)
			continue;
		rules[i].tables = out;
		rules[i].rule = arena_printf(life, "%s (%s)", name, conf_source(c, name)).p;
		break;
	}
}

static size_t words(struct arena *life, const struct conf *c, const char *name, struct str **out)
{
	return conf_list(life, conf_str(c, name), out);
}

static void load_addresses(struct arena *life, const struct conf *c)
{
	struct err e = ERR_INIT;

	open_tables(life, c, "canonical_maps", &loaded.canonical);
	open_tables(life, c, "sender_canonical_maps", &loaded.sender_canonical);
	open_tables(life, c, "recipient_canonical_maps", &loaded.rcpt_canonical);
	open_tables(life, c, "virtual_alias_maps", &loaded.virtual_alias);
	open_tables(life, c, "sender_bcc_maps", &loaded.sender_bcc);
	open_tables(life, c, "recipient_bcc_maps", &loaded.rcpt_bcc);
	loaded.canonical_classes = classes(c, "canonical_classes");
	loaded.sender_canonical_classes = classes(c, "sender_canonical_classes");
	loaded.rcpt_canonical_classes = classes(c, "recipient_canonical_classes");
	loaded.masquerade_classes = classes(c, "masquerade_classes");
	loaded.masquerade_domain_count = words(life, c, "masquerade_domains", &loaded.masquerade_domains);
	loaded.masquerade_exception_count = words(life, c, "masquerade_exceptions", &loaded.masquerade_exceptions);
	loaded.propagate_canonical = has_word(c, "propagate_unmatched_extensions", "canonical");
	loaded.propagate_virtual = has_word(c, "propagate_unmatched_extensions", "virtual");
	loaded.original_recipient = conf_bool(c, "enable_original_recipient");
	loaded.append_at_myorigin = conf_bool(c, "append_at_myorigin");
	loaded.append_dot_mydomain = conf_bool(c, "append_dot_mydomain");
	loaded.virtual_recursion = (unsigned)conf_int(c, "virtual_alias_recursion_limit");
	loaded.virtual_expansion = (unsigned)conf_int(c, "virtual_alias_expansion_limit");
	loaded.virtual_length = (unsigned)conf_int(c, "virtual_alias_address_length_limit");
	loaded.always_bcc = conf_str(c, "always_bcc");
	loaded.remote_domain = conf_str(c, "remote_header_rewrite_domain");
	loaded.empty_recipient = conf_str(c, "empty_address_recipient");
	loaded.mydestination = matchlist_open(conf_str(c, "mydestination"), MATCH_HOST, conf_dir(c), &e);
	if (loaded.mydestination == NULL)
		log_fatal("parameter mydestination: %s", e.text);
}

/* message_reject_characters, message_strip_characters: C escapes, octal among them. */
static bool load_chars(const struct conf *c, const char *name, bool chars[256])
{
	struct str s = str_z(conf_str(c, name));
	bool any = false;

	while (s.n > 0) {
		unsigned char ch = (unsigned char)s.p[0];

		s = str_skip(s, 1);
		if (ch == '\\' && s.n > 0) {
			static const char letters[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
			const char *at = strchr(letters, s.p[0]);
			unsigned octal = 0, digits = 0;

			while (digits < 3 && digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '7')
				octal = octal * 8 + (unsigned)(s.p[digits++] - '0');
			ch = digits > 0 ? (unsigned char)octal : at != NULL ? (unsigned char)values[at - letters] : (unsigned char)s.p[0];
			s = str_skip(s, digits > 0 ? digits : 1);
		}
		chars[ch] = any = true;
	}
	return any;
}

static void load_content(struct arena *life, const struct conf *c)
{
	open_tables(life, c, "header_checks", &loaded.header_checks);
	open_tables(life, c, "mime_header_checks", &loaded.mime_header_checks);
	open_tables(life, c, "nested_header_checks", &loaded.nested_header_checks);
	open_tables(life, c, "body_checks", &loaded.body_checks);
	open_tables(life, c, "milter_header_checks", &loaded.milter_header_checks);
	loaded.drop_header_count = words(life, c, "message_drop_headers", &loaded.drop_headers);
	loaded.always_add_missing = conf_bool(c, "always_add_missing_headers");
	loaded.force_7bit = conf_bool(c, "force_mime_input_conversion");
	loaded.utf8_origins = bits_of(c, "smtputf8_autodetect_classes", origin_words, sizeof origin_words / sizeof *origin_words);
	if (!conf_bool(c, "smtputf8_enable"))
		loaded.utf8_origins = 0;
	loaded.mime_input = !conf_bool(c, "disable_mime_input_processing");
	loaded.strict_7bit_headers = conf_bool(c, "strict_7bit_headers") || conf_bool(c, "strict_8bitmime");
	loaded.strict_8bit_body = conf_bool(c, "strict_8bitmime_body") || conf_bool(c, "strict_8bitmime");
	loaded.strict_encoding = conf_bool(c, "strict_mime_encoding_domain");
	loaded.detect_8bit = conf_bool(c, "detect_8bit_encoding_header");
	loaded.undisclosed = conf_str(c, "undisclosed_recipients_header");
	loaded.mime_nesting = (unsigned)conf_int(c, "mime_nesting_limit");
	loaded.boundary_length = (unsigned)conf_int(c, "mime_boundary_length_limit");
	loaded.any_reject = load_chars(c, "message_reject_characters", loaded.reject_chars);
	loaded.any_strip = load_chars(c, "message_strip_characters", loaded.strip_chars);
}

static void load_milters(struct arena *life, const struct conf *c)
{
	struct milter_settings defaults;
	struct err e = ERR_INIT;

	if (milter_settings_load(c, &defaults, &loaded.macros, &e) < 0)
		log_fatal("%s", e.text);
	if (milter_chain_parse(life, conf_str(c, "non_smtpd_milters"), &defaults, &loaded.milters, &e) < 0)
		log_fatal("parameter non_smtpd_milters: %s", e.text);
	loaded.milter_time_ms = conf_time_ms(c, "milter_message_time_limit");
	loaded.milter_daemon_name = conf_str(c, "milter_macro_daemon_name");
	loaded.milter_v = conf_str(c, "milter_macro_v");
}

void settings_load(const struct conf *c)
{
	struct arena *life = arena_new("cleanup settings"); /* for the life of the process */

	loaded.myhostname = conf_str(c, "myhostname");
	loaded.myorigin = conf_str(c, "myorigin");
	loaded.mail_name = conf_str(c, "mail_name");
	loaded.delimiters = conf_str(c, "recipient_delimiter");
	loaded.ipc_timeout_ms = conf_time_ms(c, "ipc_timeout");
	loaded.flow_delay_ms = conf_time_ms(c, "in_flow_delay");
	loaded.memory_limit = (uint64_t)conf_size(c, "cleanup_memory_limit");
	loaded.message_limit = (uint64_t)conf_size(c, "message_size_limit");
	loaded.header_limit = (uint64_t)conf_size(c, "header_size_limit");
	loaded.body_check_limit = (uint64_t)conf_size(c, "body_checks_size_limit");
	loaded.line_limit = (uint64_t)conf_size(c, "line_length_limit");
	loaded.hop_limit = (unsigned)conf_int(c, "hopcount_limit");
	loaded.duplicate_limit = (unsigned)conf_int(c, "duplicate_filter_limit");
	load_addresses(life, c);
	load_content(life, c);
	load_milters(life, c);
}

/* mta/local/settings.c - reads what local needs of main.cf, once. */
#include "lib/base/log.h"
#include "lib/mailbox/mailbox.h"
#include "lib/mailbox/worker.h"
#include "mta/local/local.h"

struct settings cfg;

struct word {
	const char *text;
	unsigned bit;
};

static unsigned bits(const char *value, const struct word *words, size_t count)
{
	struct str rest = str_z(value), word;
	unsigned all = 0;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		for (size_t i = 0; i < count; i++) {
			if (str_eqiz(word, words[i].text))
				all |= words[i].bit;
		}
	}
	return all;
}

static unsigned origin_bits(const struct conf *c, const char *name)
{
	static const struct word words[] = { { "alias", FROM_ALIAS }, { "forward", FROM_FORWARD }, { "include", FROM_INCLUDE } };

	return bits(conf_str(c, name), words, sizeof words / sizeof *words);
}

static unsigned delivered_bits(const struct conf *c)
{
	static const struct word words[] = { { "command", DELIVERED_TO_COMMAND }, { "file", DELIVERED_TO_FILE },
		{ "forward", DELIVERED_TO_FORWARD } };

	return bits(conf_str(c, "prepend_delivered_header"), words, sizeof words / sizeof *words);
}

static void open_tables(const struct conf *c, const char *name, struct tables *out)
{
	struct err e = ERR_INIT;

	if (tables_open(cfg.life, conf_str(c, name), conf_dir(c), out, &e) < 0)
		log_fatal("%s: %s", name, e.text);
}

/* Local mail waits for a broken alias file, other services do not care. The default file may be missing. */
static void open_aliases(const struct conf *c)
{
	struct err e = ERR_INIT;

	if (tables_open(cfg.life, conf_str(c, "alias_maps"), conf_dir(c), &cfg.aliases, &e) == 0)
		return;
	cfg.aliases = (struct tables){ 0 };
	cfg.aliases_broken = conf_is_set(c, "alias_maps");
	log_warn("alias_maps: %s", e.text);
}

static void load_texts(const struct conf *c)
{
	cfg.delimiter = conf_str(c, "recipient_delimiter");
	cfg.myhostname = conf_str(c, "myhostname");
	cfg.myorigin = conf_str(c, "myorigin");
	cfg.mail_name = conf_str(c, "mail_name");
	cfg.mailbox_transport = conf_str(c, "mailbox_transport");
	cfg.fallback_transport = conf_str(c, "fallback_transport");
	cfg.luser_relay = conf_str(c, "luser_relay");
	cfg.mailbox_command = conf_str(c, "mailbox_command");
	cfg.home_mailbox = conf_str(c, "home_mailbox");
	cfg.spool = conf_str(c, "mail_spool_directory");
	cfg.forward_path = conf_str(c, "forward_path");
	cfg.default_privs = conf_str(c, "default_privs");
	cfg.shell = conf_str(c, "local_command_shell");
	cfg.exec_directory = conf_str(c, "command_execution_directory");
	cfg.command_filter = conf_str(c, "command_expansion_filter");
	cfg.forward_filter = conf_str(c, "forward_expansion_filter");
	cfg.directory_filter = conf_str(c, "execution_directory_expansion_filter");
	cfg.export = conf_str(c, "export_environment");
}

static void load_numbers(const struct conf *c)
{
	cfg.commands_allowed = origin_bits(c, "allow_mail_to_commands");
	cfg.files_allowed = origin_bits(c, "allow_mail_to_files");
	cfg.extensions = origin_bits(c, "propagate_unmatched_extensions");
	cfg.delivered_headers = delivered_bits(c);
	cfg.mailbox_locks = mbox_lock_flags(conf_str(c, "mailbox_delivery_lock"));
	cfg.original = conf_bool(c, "enable_original_recipient");
	cfg.require_home = conf_bool(c, "require_home_directory");
	cfg.strict_owner = conf_bool(c, "strict_mailbox_ownership");
	worker_confine(c);
	cfg.frozen = conf_bool(c, "frozen_delivered_to");
	cfg.expand_owner = conf_bool(c, "expand_owner_alias");
	cfg.reset_owner = conf_bool(c, "reset_owner_alias");
	cfg.size_limit = conf_size(c, "mailbox_size_limit");
	cfg.command_limit_ms = conf_transport_time_ms(c, conf_str(c, "service_name"), "time_limit");
	cfg.lock_delay_ms = conf_time_ms(c, "deliver_lock_delay");
	cfg.stale_ms = conf_time_ms(c, "stale_lock_time");
	cfg.ipc_ms = conf_time_ms(c, "ipc_timeout");
	cfg.lock_attempts = (int)conf_int(c, "deliver_lock_attempts");
	cfg.duplicate_limit = (size_t)conf_int(c, "duplicate_filter_limit");
}

void settings_load(const struct conf *c)
{
	cfg.conf = c;
	cfg.life = arena_new("local");
	open_aliases(c);
	open_tables(c, "mailbox_transport_maps", &cfg.mailbox_transports);
	open_tables(c, "mailbox_command_maps", &cfg.mailbox_commands);
	open_tables(c, "fallback_transport_maps", &cfg.fallback_transports);
	open_tables(c, "local_delivery_status_filter", &cfg.status_filter);
	load_texts(c);
	load_numbers(c);
}

/* lib/milter/settings.c - the milter_* parameters, as every program that asks filters reads them. */
#include "lib/milter/filter.h"

static const char *const macro_names[MILTER_STAGES] = {
	[MILTER_CONNECT] = "milter_connect_macros",
	[MILTER_HELO] = "milter_helo_macros",
	[MILTER_MAIL] = "milter_mail_macros",
	[MILTER_RCPT] = "milter_rcpt_macros",
	[MILTER_DATA] = "milter_data_macros",
	[MILTER_EOH] = "milter_end_of_header_macros",
	[MILTER_EOM] = "milter_end_of_data_macros",
	[MILTER_UNKNOWN] = "milter_unknown_command_macros",
};

int milter_settings_load(const struct conf *c, struct milter_settings *defaults, struct milter_macros *macros, struct err *e)
{
	*defaults = (struct milter_settings){
		.connect_ms = conf_time_ms(c, "milter_connect_timeout"),
		.command_ms = conf_time_ms(c, "milter_command_timeout"),
		.content_ms = conf_time_ms(c, "milter_content_timeout"),
		.budget_ms = conf_time_ms(c, "milter_budget"),
		.breaker_ms = conf_time_ms(c, "milter_breaker_time"),
		.breaker_failures = (unsigned)conf_int(c, "milter_breaker_failures"),
		.keep = conf_bool(c, "milter_connection_reuse"),
		.pipelining_after = (unsigned)conf_int(c, "milter_pipelining_after"),
	};
	if (!milter_default_parse(str_z(conf_str(c, "milter_default_action")), &defaults->on_failure))
		return err_perm(e, "parameter milter_default_action: unknown action: \"%s\"", conf_str(c, "milter_default_action"));
	if (!milter_protocol_parse(str_z(conf_str(c, "milter_protocol")), &defaults->version, &defaults->no_header_reply))
		return err_perm(e, "parameter milter_protocol: bad value: \"%s\"", conf_str(c, "milter_protocol"));
	for (int i = 0; i < MILTER_STAGES; i++)
		macros->names[i] = conf_str(c, macro_names[i]);
	macros->defaults = conf_str(c, "milter_macro_defaults");
	return 0;
}

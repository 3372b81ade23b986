/* mta/tools/sendmail/permission.c - who may submit mail (authorized_submit_users), and as whom (local_login_sender_maps). */
#include "mta/tools/sendmail/sendmail.h"

#include <sysexits.h>

#include "lib/mail/addr.h"
#include "lib/table/table.h"

void check_permission(const struct conf *c, const char *name)
{
	struct err e = ERR_INIT;
	struct matchlist *m = matchlist_open(conf_str(c, "authorized_submit_users"), MATCH_HOST | MATCH_WHOLE, conf_dir(c), &e);
	enum table_answer answer;

	if (m == NULL)
		fatal(EX_TEMPFAIL, "%s", e.text);
	answer = matchlist_host(m, str_z(name), &e);
	if (answer == TABLE_FAILED)
		fatal(EX_TEMPFAIL, "%s", e.text);
	if (answer == TABLE_MISSING && getuid() != 0)
		fatal(EX_NOPERM, "User %s(%lu) is not allowed to submit mail", name, (unsigned long)getuid());
	matchlist_close(m);
}

static struct str without_extension(struct arena *a, const struct conf *c, struct str address)
{
	struct str local = addr_split(address).local, extension;
	struct str base = addr_base(local, conf_str(c, "recipient_delimiter"), &extension);

	return extension.n == 0 ? address : arena_printf(a, "%.*s%.*s", STRF(base), STRF(str_skip(address, local.n)));
}

static bool sender_fits(struct str pattern, struct str sender, struct str null_sender)
{
	if (sender.n == 0)
		return str_eqz(pattern, "*") || str_eqi(pattern, null_sender);
	if (pattern.p[0] == '@')
		return str_eqi(pattern, str_skip(sender, addr_split(sender).local.n));
	return str_eqz(pattern, "*") || str_eqi(pattern, sender);
}

bool sender_permitted(const struct conf *c, const struct request *r, struct str sender)
{
	struct arena *a = arena_new("permission");
	struct str login = r->has_login ? str_z(r->login) : arena_printf(a, "uid:%lu", (unsigned long)getuid());
	struct str null_sender = str_z(conf_str(c, "empty_address_local_login_sender_maps_lookup_key"));
	struct buf patterns = { 0 };
	struct err e = ERR_INIT;
	struct tables maps;
	struct str rest, pattern;
	enum table_answer answer;
	bool fits = false;

	if (tables_open(a, conf_str(c, "local_login_sender_maps"), conf_dir(c), &maps, &e) < 0)
		fatal(EX_TEMPFAIL, "%s", e.text);
	answer = tables_lookup(&maps, login, &patterns, &e);
	if (answer == TABLE_FAILED)
		fatal(EX_TEMPFAIL, "%s", e.text);
	sender = without_extension(a, c, sender);
	for (rest = buf_str(&patterns); !fits && (pattern = str_word(&rest, ", \t\r\n")).n > 0;)
		fits = sender_fits(pattern, sender, null_sender);
	tables_close(&maps);
	buf_done(&patterns);
	arena_free(a);
	return fits;
}

/* t/unit/err.c - the error record. */
#include "lib/base/err.h"

#include <errno.h>

#include "t/unit/tap.h"

int main(void)
{
	struct err e = ERR_INIT;
	char big[2000];

	is_int(err_temp(&e, "table %s", "x"), -1, "err_temp is -1");
	ok(e.kind == ERR_TEMP && e.code.smtp == 451 && e.code.c == 4 && e.code.s == 3 && e.code.d == 0, "451 4.3.0");
	is_str(str_z(e.text), STR("table x"), "text");
	is_int(err_context(&e, "rcpt %d", 2), -1, "err_context is -1");
	is_str(str_z(e.text), STR("rcpt 2: table x"), "context in front");
	ok(e.kind == ERR_TEMP && e.code.smtp == 451, "the kind stays");
	is_int(err_perm(&e, "no"), -1, "err_perm is -1");
	ok(e.kind == ERR_PERM && e.code.smtp == 550 && e.code.c == 5, "550 5.0.0");
	is_int(err_errno(&e, ENOENT, "cannot open %s", "f"), -1, "err_errno is -1");
	is_str(str_z(e.text), STR("cannot open f: No such file or directory"), "errno's text");
	ok(e.kind == ERR_TEMP, "system errors are temporary");
	err_errno(&e, 99999, "x");
	is_str(str_z(e.text), STR("x: unknown error"), "no such errno");
	is_int(err_set(&e, ERR_PERM, CODE(554, 5, 7, 1), "%s", "denied"), -1, "err_set is -1");
	ok(e.kind == ERR_PERM && e.code.smtp == 554 && e.code.s == 7 && e.code.d == 1, "any code");
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	err_temp(&e, "%s", big);
	is_int((long long)strlen(e.text), sizeof e.text - 1, "long text is cut");
	err_errno(&e, ENOENT, "%s", big);
	is_int((long long)strlen(e.text), sizeof e.text - 1, "with errno, too");
	err_context(&e, "%s", big);
	is_int((long long)strlen(e.text), sizeof e.text - 1, "with context, too");
	return done_testing();
}

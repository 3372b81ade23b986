/* t/unit/mta_sts.c - MTA-STS records and policies, as they should be and as they should not. */
#include "lib/mail/mta_sts.h"

#include "t/unit/tap.h"

static const struct {
	const char *txt, *id; /* NULL: none */
} records[] = {
	{ "v=STSv1; id=20160831085700Z;", "20160831085700Z" },
	{ "v=STSv1;id=a", "a" },
	{ "v=STSv1 ; x=y; id = b ;", "b" },
	{ "v=STSv1; id=a; id=b", "a" },
	{ "v=STSv2; id=a;", NULL },
	{ "id=a; v=STSv1;", NULL },
	{ "v=STSv1;", NULL },
	{ "v=STSv1; id=;", NULL },
	{ "v=STSv1; id=a b;", NULL },
	{ "v=STSv1; id=123456789012345678901234567890123;", NULL },
	{ "v=spf1 -all", NULL },
	{ "", NULL },
};

#define HEAD "version: STSv1\r\nmode: enforce\r\n"

static const struct {
	const char *text;
	int mode; /* -1: no policy */
	int mx;
	unsigned age;
	const char *why;
} policies[] = {
	{ HEAD "mx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n", MTA_STS_ENFORCE, 2, 604800, NULL },
	{ "version:STSv1\nmode:testing\nmax_age:0\nmx:a.test", MTA_STS_TESTING, 1, 0, NULL },
	{ "max_age: 99999999999\nmode: none\nversion: STSv1\n", MTA_STS_NONE, 0, MTA_STS_AGE_MAX, NULL },
	{ HEAD "mode: none\nmax_age: 1\nmax_age: x\nmx: a.test\nfuture: field\nno colon\n\n", MTA_STS_ENFORCE, 1, 1, NULL },
	{ HEAD "max_age: 1\n", -1, 0, 0, "no mx" },
	{ HEAD "mx: a.test\n", -1, 0, 0, "no max_age" },
	{ "version: STSv1\nmax_age: 1\nmx: a.test\n", -1, 0, 0, "no mode" },
	{ "mode: enforce\nmax_age: 1\nmx: a.test\n", -1, 0, 0, "no version" },
	{ "version: STSv2\n", -1, 0, 0, "unknown version" },
	{ "version: STSv1\nmode: strict\n", -1, 0, 0, "unknown mode" },
	{ HEAD "max_age: -1\n", -1, 0, 0, "bad max_age" },
	{ HEAD "mx: a b\n", -1, 0, 0, "bad or too many mx patterns" },
	{ HEAD "mx:\n", -1, 0, 0, "bad or too many mx patterns" },
	{ HEAD "mx: .a.test\n", -1, 0, 0, "bad or too many mx patterns" },
	{ "", -1, 0, 0, "no version" },
};

static const struct {
	const char *host;
	bool listed;
} hosts[] = {
	{ "mail.example.com", true },
	{ "MAIL.Example.COM", true },
	{ "x.example.net", true },
	{ "x.y.example.net", false },
	{ "example.net", false },
	{ ".example.net", false },
	{ "mail.example.com.evil.test", false },
	{ "", false },
};

int main(void)
{
	struct arena *a = arena_new("test");
	struct mta_sts p;
	const char *why = NULL;

	for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
		struct str id = STR_NONE;

		is_int(mta_sts_record(str_z(records[i].txt), &id), records[i].id != NULL, records[i].txt);
		if (records[i].id != NULL)
			is_str(id, str_z(records[i].id), "id");
	}
	for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
		bool good = mta_sts_policy(a, str_z(policies[i].text), &p, &why);

		is_int(good ? (int)p.mode : -1, policies[i].mode, "a policy");
		if (!good)
			is_str(str_z(why), str_z(policies[i].why), "why not");
		else
			ok((int)p.mx_count == policies[i].mx && p.max_age == policies[i].age, "hosts and age");
	}
	mta_sts_policy(a, str_z(policies[0].text), &p, &why);
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
		is_int(mta_sts_lists(&p, str_z(hosts[i].host)), hosts[i].listed, hosts[i].host);
	arena_free(a);
	return done_testing();
}

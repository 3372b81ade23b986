/* milters/dkim/result.c - what became of one signature, in the words of RFC 8601 section 2.7.1. */
#include "milters/dkim/dkim.h"

#define ED25519_BITS 256 /* the library counts RSA's alone */
#define B_SHOWN 8 /* octets of the signature that tell it from others: RFC 6008 section 4 */

static const struct failure {
	DKIM_SIGERROR error;
	const char *result;
	enum verdict verdict;
	const char *text;
} failures[] = {
	{ DKIM_SIGERROR_EXPIRED, "fail", VERDICT_FAIL, "signature has expired" },
	{ DKIM_SIGERROR_FUTURE, "fail", VERDICT_FAIL, "signature is from the future" },
	{ DKIM_SIGERROR_BADSIG, "fail", VERDICT_FAIL, "signature does not match" },
	{ DKIM_SIGERROR_NOKEY, "permerror", VERDICT_FAIL, "no key" },
	{ DKIM_SIGERROR_KEYREVOKED, "permerror", VERDICT_FAIL, "key is revoked" },
	{ DKIM_SIGERROR_KEYFAIL, "temperror", VERDICT_TEMPERROR, "key cannot be had now" },
	{ DKIM_SIGERROR_DNSSYNTAX, "permerror", VERDICT_FAIL, "key record is malformed" },
	{ DKIM_SIGERROR_MULTIREPLY, "permerror", VERDICT_FAIL, "several keys" },
	{ DKIM_SIGERROR_SUBDOMAIN, "permerror", VERDICT_FAIL, "key is not for subdomains" },
	{ DKIM_SIGERROR_KEYVERSION, "permerror", VERDICT_FAIL, "key version is unknown" },
	{ DKIM_SIGERROR_KEYUNKNOWNHASH, "permerror", VERDICT_FAIL, "key is for an unknown hash" },
	{ DKIM_SIGERROR_KEYHASHMISMATCH, "permerror", VERDICT_FAIL, "key is for another hash" },
	{ DKIM_SIGERROR_NOTEMAILKEY, "permerror", VERDICT_FAIL, "key is not for mail" },
	{ DKIM_SIGERROR_KEYTYPEMISSING, "permerror", VERDICT_FAIL, "key type is missing" },
	{ DKIM_SIGERROR_KEYTYPEUNKNOWN, "permerror", VERDICT_FAIL, "key type is unknown" },
	{ DKIM_SIGERROR_KEYDECODE, "permerror", VERDICT_FAIL, "key is malformed" },
	{ DKIM_SIGERROR_KEYTOOSMALL, "policy", VERDICT_FAIL, "key is too weak" },
};

static void say(struct buf *value, const char *result, const char *comment)
{
	buf_addf(value, "dkim=%s", result);
	if (comment != NULL)
		authres_add_comment(value, str_z(comment));
}

static enum verdict say_error(struct buf *value, DKIM_SIGERROR error)
{
	for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
		if (failures[i].error == error) {
			say(value, failures[i].result, failures[i].text);
			return failures[i].verdict;
		}
	}
	say(value, "neutral", dkim_sig_geterrorstr(error)); /* all others: the signature field itself is no good */
	return VERDICT_FAIL;
}

/* Does l= leave text at the end that the signer never saw? */
static bool is_partial(DKIM *d, DKIM_SIGINFO *sig)
{
	ssize_t message = 0, canonical = 0, limit = -1;

	return dkim_sig_getcanonlen(d, sig, &message, &canonical, &limit) == DKIM_STAT_OK && limit >= 0 && canonical > limit;
}

static enum verdict say_pass(DKIM *d, DKIM_SIGINFO *sig, struct buf *value)
{
	dkim_alg_t algorithm = DKIM_SIGN_UNKNOWN;
	unsigned bits = 0;
	char comment[40];

	if (is_partial(d, sig)) {
		say(value, "policy", "only a part of the body is signed");
		return VERDICT_FAIL;
	}
	(void)dkim_sig_getkeysize(sig, &bits);
	if (dkim_sig_getsignalg(sig, &algorithm) == DKIM_STAT_OK && algorithm == DKIM_SIGN_ED25519SHA256)
		bits = ED25519_BITS;
	snprintf(comment, sizeof comment, "%u-bit key", bits);
	say(value, "pass", comment);
	return VERDICT_PASS;
}

static enum verdict say_result(struct dkim_mail *d, const struct check *c, struct buf *value)
{
	DKIM_SIGERROR error = dkim_sig_geterror(c->sig);
	unsigned flags = dkim_sig_getflags(c->sig);

	if (c->sha1) {
		say(value, "policy", "rsa-sha1 is not accepted");
		return VERDICT_FAIL;
	}
	if (c->asked && c->answer == TXT_TEMPFAIL)
		return say_error(value, DKIM_SIGERROR_KEYFAIL);
	if (c->asked && c->answer == TXT_NONE)
		return say_error(value, DKIM_SIGERROR_NOKEY);
	if ((flags & DKIM_SIGFLAG_PASSED) && dkim_sig_getbh(c->sig) == DKIM_SIGBH_MATCH)
		return say_pass(d->verify, c->sig, value);
	if (dkim_sig_getbh(c->sig) == DKIM_SIGBH_MISMATCH && (error <= DKIM_SIGERROR_OK || error == DKIM_SIGERROR_BADSIG)) {
		say(value, "fail", "body has been altered");
		return VERDICT_FAIL;
	}
	return say_error(value, error > DKIM_SIGERROR_OK ? error : DKIM_SIGERROR_BADSIG);
}

/* " property=value" from a tag of the signature, without the folds in it. */
static void add_property(struct buf *value, DKIM_SIGINFO *sig, const char *property, const char *tag, size_t max)
{
	const unsigned char *text = dkim_sig_gettagvalue(sig, false, (unsigned char *)tag);
	struct buf plain = { 0 };

	for (; text != NULL && *text != '\0' && plain.n < max; text++)
		if (strchr(" \t\r\n", *text) == NULL)
			buf_addc(&plain, (char)*text);
	if (plain.n > 0) {
		buf_addf(value, " %s=", property);
		authres_add_value(value, buf_str(&plain));
	}
	buf_done(&plain);
}

enum verdict result_of_check(struct dkim_mail *d, const struct check *c, struct buf *value)
{
	static const struct {
		const char *property, *tag;
		size_t max; /* octets */
	} shown[] = {
		{ "header.d", "d", 255 },
		{ "header.s", "s", 255 },
		{ "header.a", "a", 40 },
		{ "header.b", "b", B_SHOWN },
	};
	enum verdict verdict = say_result(d, c, value);

	for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
		add_property(value, c->sig, shown[i].property, shown[i].tag, shown[i].max);
	return verdict;
}

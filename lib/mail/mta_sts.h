/* lib/mail/mta_sts.h - MTA-STS (RFC 8461): the DNS record that announces a domain's policy, and the policy's text. */
#ifndef GATEPOST_LIB_MAIL_MTA_STS_H
#define GATEPOST_LIB_MAIL_MTA_STS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

#define MTA_STS_TEXT_MAX (64 * 1024) /* octets of a policy, section 3.3 */
#define MTA_STS_AGE_MAX 31557600 /* seconds, section 3.2 */
#define MTA_STS_MX_MAX 200

enum mta_sts_mode { MTA_STS_NONE, MTA_STS_TESTING, MTA_STS_ENFORCE };

struct mta_sts {
	enum mta_sts_mode mode;
	uint64_t max_age; /* seconds */
	const struct str *mx; /* "mx.example.org", "*.example.org" */
	size_t mx_count;
};

/* "v=STSv1; id=20160831085700Z;": its id, a slice of txt. False: another kind of record, or a bad one. */
bool mta_sts_record(struct str txt, struct str *id);
/* Slices of text; the list in a. False with *why, a static phrase. */
bool mta_sts_policy(struct arena *a, struct str text, struct mta_sts *out, const char **why);
/* Is this host one of the policy's? */
bool mta_sts_lists(const struct mta_sts *p, struct str host);

#endif

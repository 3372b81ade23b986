/* mta/tools/gatepost/policy.h - talking to policyd as an operator (policyd/admin.h, policyd/explain.h are the other end). */
#ifndef GATEPOST_MTA_TOOLS_GATEPOST_POLICY_H
#define GATEPOST_MTA_TOOLS_GATEPOST_POLICY_H

#include "lib/proto/policy.h"
#include "mta/tools/gatepost/gatepost.h"

struct policy_talk {
	const char *at; /* policyd's socket; NULL: the one that smtpd uses */
	struct policy_request question;
	void (*take)(void *ctx, const struct policy_request *block); /* each block in front of the last; may be NULL */
	void *ctx;
	struct arena *life;
	struct policy_request answer; /* the last block; in life */
};

/* The exit status; other than EX_OK was complained about. */
int policy_talk(struct tool *t, struct policy_talk *talk);
/* Print value with what is not text as '?'; json: as a JSON string. */
void policy_print(struct str value, bool json);

#endif

/* milters/common/arc.h - the chain of ARC sets in a message, RFC 8617: is it whole, and who sealed it?
 */
#ifndef GATEPOST_MILTERS_COMMON_ARC_H
#define GATEPOST_MILTERS_COMMON_ARC_H

#include "lib/mail/taglist.h"
#include "milters/common/signature.h"

#define ARC_SETS_MAX 50 /* section 4.2.1 */
#define ARC_RESULTS "ARC-Authentication-Results"
#define ARC_SIGNATURE "ARC-Message-Signature"
#define ARC_SEAL "ARC-Seal"

enum arc_kind { ARC_KIND_RESULTS, ARC_KIND_SIGNATURE, ARC_KIND_SEAL, ARC_KINDS };
enum arc_state { ARC_NONE, ARC_PASS, ARC_FAIL, ARC_TEMPERROR };

struct arc_set {
	const struct field *field[ARC_KINDS];
	struct taglist signature, seal;
};

struct arc_chain {
	enum arc_state state; /* final after arc_end() */
	const char *why; /* of FAIL and TEMPERROR; static text */
	struct arc_set *sets; /* sets[0] is i=1 */
	size_t count; /* sets that belong together; also of a chain that fails, as far as they could be told apart */
	struct body_hash *body; /* NULL: the body does not matter any more */
};

const char *arc_state_name(enum arc_state s);
/* After the header: structure, keys (waits for them), seals. Lives in m->life. */
struct arc_chain *arc_begin(struct mail *m, unsigned min_rsa_bits);
bool arc_body(struct arc_chain *c, struct str piece); /* false: no need to see more */
void arc_end(struct arc_chain *c);
struct str arc_domain(const struct arc_chain *c, size_t set); /* d= of a seal */
/* The results that set i holds. False: it holds none that can be read. */
bool arc_results(const struct arc_chain *c, size_t set, struct arena *a, struct authres *out);
/* Digest that the last one's seal is over: all fields of these sets, that seal's value without its b=. */
void arc_seal_digest(const struct arc_set *sets, size_t count, struct str seal_value, unsigned char out[DIGEST_SIZE]);

#endif

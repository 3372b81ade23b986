/* lib/net/story.h - what happens to sessions and messages, told to the explain service as it happens.
 *
 * An event is one flat JSON object on a line: "ts" (microseconds since 1970), "node", "c" (the program), "sid" and "qid" (session and queue
 * id, as far as known), "kind", and what belongs to that kind. Log lines about a session or message become events by themselves; what the log
 * does not have is told with story_begin() and story_tell(). Telling never waits: what the explain service has not taken is kept up to a limit,
 * and lost beyond it, which is counted.
 */
#ifndef GATEPOST_LIB_NET_STORY_H
#define GATEPOST_LIB_NET_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

/* From now on, events go to the socket at this path (copied), below the working directory. After loop_init(). */
void story_open(const char *component, const char *path);
void story_log(const char *level, const char *text, size_t n); /* for log_tell(): a line of the log */
bool story_wanted(void); /* is there somebody to tell? Nothing need be prepared otherwise */

/* An event of this fiber's session (fiber_tag()) and this message; qid may be NULL. Add members with json_add_*(), then story_tell(). */
void story_begin(struct buf *event, const char *kind, const char *qid);
void story_tell(struct buf *event); /* releases it */
void story_flush(void); /* at the end of the process: what is here goes out, if that does not wait */

#endif

/* milters/common/keeper.h - two processes a milter: a small one that minds signals, and the one with libmilter's threads. libmilter takes
 * SIGHUP for an order to stop and cannot be told otherwise; and whatever a stranger's mail does to the libraries, service goes on.
 */
#ifndef GATEPOST_MILTERS_COMMON_KEEPER_H
#define GATEPOST_MILTERS_COMMON_KEEPER_H

/* Run serve() in a child, again whenever a signal killed it or it gave up after it had served, until SIGTERM or SIGINT. Returns the exit status for main(). */
int keeper_run(int (*serve)(void));
/* In the child, its first thread: from now on SIGHUP reopens the log and runs reload(), in a thread of its own. */
void keeper_obey(void (*reload)(void));

/* Go to the background: the caller's terminal and session are left, the parent exits. 0, or -1 with errno. */
int keeper_detach(void);

#endif

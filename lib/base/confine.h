/* lib/base/confine.h - what a process that reads strangers' bytes may still do when they have taken it over: nothing but its work.
 * Landlock (Linux 5.13) takes the file system away: nothing is executed, nothing written but the process's own directories, and no mail is read but
 * that in them. From Linux 6.7 on no TCP port can be opened for others, from 6.12 on no process outside be signalled. A seccomp filter leaves the
 * system calls of a server: no programs, processes, namespaces, modules, tracing, keys or mounts. See landlock(7), seccomp(2).
 */
#ifndef GATEPOST_LIB_BASE_CONFINE_H
#define GATEPOST_LIB_BASE_CONFINE_H

#include <stdbool.h>

#include "lib/base/err.h"

struct confinement {
	const char *queue_dir;       /* absolute, as the process sees it; NULL: none */
	const char *const *secret;   /* names in queue_dir that hold mail, NULL at the end */
	const char *const *own;      /* those of them that the process reads and writes, NULL at the end; NULL: none */
	const char *const *writable; /* absolute names of further directories, NULL at the end; NULL: none */
	bool connects_from;          /* gives its own address to connections it makes: bind() to any port of the system's choice */
};

/* What is made later beside the way from / to queue_dir (in /var, when that is /var/spool/mail) cannot be read; in what is there already, it can.
 *
 * For the rest of this process's life, and its threads'. Call it after privileges are given up (PR_SET_NO_NEW_PRIVS is set) and before the first
 * thread starts. What the kernel does not know is left out: that is no error. 0, or -1 with *e. Blocks. */
int confine(const struct confinement *c, struct err *e);

/* Can this kernel do both? */
bool confine_supported(void);

/* The parts; see confine(). */
int confine_files(const struct confinement *c, struct err *e);
int confine_calls(struct err *e);

#endif

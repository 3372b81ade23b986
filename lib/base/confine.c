/* lib/base/confine.c - both parts of the confinement, and whether the kernel has them. */
#include "lib/base/confine.h"

#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int confine(const struct confinement *c, struct err *e)
{
	return confine_files(c, e) < 0 || confine_calls(e) < 0 ? -1 : 0;
}

bool confine_supported(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0 && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}

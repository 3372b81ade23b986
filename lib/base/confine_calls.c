/* lib/base/confine_calls.c - the part of confine() that is seccomp's: system calls a server needs. Others fail with EPERM, as if forbidden.
 * Security: an unknown call is a forbidden one. clone3() hides its flags behind a pointer: it "does not exist", and libc falls back to clone().
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/confine.h"

static const char *const allowed[] = {
	/* memory */
	"brk", "mmap", "mprotect", "munmap", "mremap", "madvise", "mincore", "mlock", "munlock", "msync", "membarrier", "arch_prctl",
	/* files */
	"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "open", "openat", "creat", "close",
	"close_range", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2", "lseek",
	"readlink", "readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "fcntl", "flock", "fsync", "fdatasync", "sync_file_range",
	"fallocate", "fadvise64", "readahead", "truncate", "ftruncate", "rename", "renameat", "renameat2", "link", "linkat", "unlink",
	"unlinkat", "mkdir", "mkdirat", "rmdir", "fchmod", "chmod", "fchmodat", "utimensat", "futimesat", "umask", "dup", "dup2", "dup3", "pipe",
	"pipe2", "sendfile", "splice", "tee", "copy_file_range", "ioctl", "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "getxattr",
	"memfd_create",
	/* sockets and waiting; socket() itself is below */
	"socketpair", "connect", "bind", "accept", "accept4", "getsockname", "getpeername", "setsockopt", "getsockopt", "sendto", "recvfrom",
	"sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown", "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1",
	"epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "timerfd_create", "timerfd_settime", "timerfd_gettime",
	"signalfd4",
	/* threads and signals of our own; clone() and kill() are below */
	"futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "gettid", "sched_yield",
	"sched_getaffinity", "sched_getparam", "sched_getscheduler", "getcpu", "sigaltstack", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
	"rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend", "restart_syscall", "pause", "exit", "exit_group",
	/* time */
	"clock_gettime", "clock_getres", "gettimeofday", "time", "nanosleep", "clock_nanosleep", "times", "alarm", "setitimer", "getitimer",
	/* who and how much */
	"getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getpgrp", "getpgid", "getsid",
	"uname", "sysinfo", "getrandom", "getrlimit", "prlimit64", "getrusage", "capget", "prctl",
};

static int allow_named(scmp_filter_ctx f)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof allowed / sizeof *allowed; i++) {
		int number = seccomp_syscall_resolve_name(allowed[i]);

		if (number >= 0) /* others are not there on this machine */
			rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, number, 0);
	}
	return rc;
}

/* Calls that are harmless with some arguments. */
static int allow_some(scmp_filter_ctx f)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK /* which addresses the host has */ };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof families / sizeof *families; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, SCMP_A1(SCMP_CMP_EQ, 0, 0)); /* is it alive? */
	return rc;
}

int confine_calls(struct err *e)
{
	scmp_filter_ctx f;
	int rc;

	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
		return 0;
	f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (f == NULL)
		return err_temp(e, "seccomp: no memory");
	rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a search tree: some calls are made for every line */
	if (rc == 0)
		rc = allow_named(f);
	if (rc == 0)
		rc = allow_some(f);
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	return rc < 0 ? err_errno(e, -rc, "seccomp") : 0;
}

/* lib/base/fs.h - files: whole reads, safe opens, directories, locks. Blocking: call through offload() in fibers. */
#ifndef GATEPOST_LIB_BASE_FS_H
#define GATEPOST_LIB_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* Append the file to out; at most max bytes, more is an error. */
int fs_read_file(const char *path, size_t max, struct buf *out, struct err *e);
/* Write path so that readers see the old or the new content, never a part: temporary file, fsync, rename. */
int fs_write_file(const char *path, struct str content, mode_t mode, struct err *e);
int fs_write_all(int fd, const void *p, size_t n, struct err *e);               /* short writes continued */
int fs_pread_all(int fd, void *p, size_t n, off_t at, struct err *e);           /* exactly n bytes or an error */
int fs_pwrite_all(int fd, const void *p, size_t n, off_t at, struct err *e);
int fs_make_dirs(const char *path, mode_t mode, struct err *e);                 /* mkdir -p */
int fs_sync_dir(const char *path, struct err *e);
/* On this file system a new file's own fsync makes its name durable as well; on others its directory has to be synced, too. */
bool fs_name_follows_file(int fd);
/* Exclusive lock on path (created 0600) for the life of the returned descriptor; -1 with *e when another holds it
 * (text names the holder's pid where known) or on error. */
int fs_lock_file(const char *path, struct err *e);
bool fs_exists(const char *path);

#endif

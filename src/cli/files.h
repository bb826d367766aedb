/* Writing result files whole or not at all. Threading: pure functions over the file system. */
#ifndef FRT_CLI_FILES_H
#define FRT_CLI_FILES_H

#include "core/status.h"

/**
 * Write `size` bytes to `path`: into a temporary file beside it, synced, then renamed.
 * force  replace a regular file that exists; a link is replaced, not what it names.
 * Errors: FRT_ECONFLICT (exists, without force), FRT_EINVAL (exists and is a device, pipe or folder: a rename
 *         would remove /dev/null), FRT_EIO (disk full, no such folder).
 */
FRT_NODISCARD enum frt_status cli_file_write(const char *path, const void *bytes, size_t size, bool force,
                                             struct frt_error *err);

/** A result file in the making: what is appended shows under its name when it is finished, whole. One owner. */
struct cli_file {
    int fd; /* -1: none */
    bool force;
    const char *path; /* borrowed */
    char temporary[4096];
};
/** Begin one. mode: permissions before the umask, 0666, or 0600 for what others must not read. Errors: as
 *  cli_file_write. */
FRT_NODISCARD enum frt_status cli_file_begin(struct cli_file *file, const char *path, unsigned mode, bool force,
                                             struct frt_error *err);
FRT_NODISCARD enum frt_status cli_file_append(struct cli_file *file, const void *bytes, size_t size,
                                              struct frt_error *err);
/** Sync and rename; on failure nothing is left. */
FRT_NODISCARD enum frt_status cli_file_finish(struct cli_file *file, struct frt_error *err);
/** Forget it. A file that was never begun ({.fd = -1}) or is finished is fine. */
void cli_file_discard(struct cli_file *file);

/** Would cli_file_write take this path? Asked before long work. Errors: FRT_ECONFLICT (exists without force),
 *  FRT_EINVAL (no regular file), FRT_EIO (no such folder, not writable). */
FRT_NODISCARD enum frt_status cli_file_check(const char *path, bool force, struct frt_error *err);

#endif

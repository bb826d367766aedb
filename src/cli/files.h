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

/** Would cli_file_write take this path? Asked before long work. Errors: FRT_ECONFLICT (exists without force),
 *  FRT_EINVAL (no regular file), FRT_EIO (no such folder, not writable). */
FRT_NODISCARD enum frt_status cli_file_check(const char *path, bool force, struct frt_error *err);

#endif

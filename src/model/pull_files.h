/*
 * The files and folders that pull.c moves about: copies of a known size, whole folders removed and exchanged.
 * Threading: pure functions over the file system.
 */
#ifndef FRT_MODEL_PULL_FILES_H
#define FRT_MODEL_PULL_FILES_H

#include "core/status.h"

/** Copy a regular file of exactly `size` bytes to a new file. Errors: FRT_ENOTFOUND, FRT_EBAD_MODEL (another
 * size), FRT_ECONFLICT (`to` is there), FRT_ESTORAGE_FULL, FRT_EIO, FRT_ECANCELLED. Nothing is left on failure.
 */
FRT_NODISCARD enum frt_status frt_pull_copy(const char *from, const char *to, uint64_t size,
                                            bool (*cancelled)(void *arg), void *cancelled_arg,
                                            struct frt_error *err);
/** The same of at most `max` bytes. Errors also: FRT_EBODY_TOO_LARGE. */
FRT_NODISCARD enum frt_status frt_pull_copy_most(const char *from, const char *to, uint64_t max,
                                                 bool (*cancelled)(void *arg), void *cancelled_arg,
                                                 struct frt_error *err);
/** Remove a folder and what is in it; links are removed, not followed. Not being there is fine. */
void frt_pull_remove_folder(const char *path);
/** Bytes of the regular files right in a folder, at most `most`. */
uint64_t frt_pull_folder_bytes(const char *path, uint64_t most);
/** Put `made` in the place of `folder` in one step; what stood there is removed afterwards. Errors: FRT_EIO. */
FRT_NODISCARD enum frt_status frt_pull_exchange(const char *made, const char *folder, struct frt_error *err);

#endif

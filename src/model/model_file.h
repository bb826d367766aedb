/*
 * Files of a pack: read whole and bounded, written so that a reader never sees half a file.
 *
 *     stage: <folder>/.<name>.<random>.tmp, written and fsynced     commit: rename over <folder>/<name>
 *
 * Several files are staged first and committed afterwards, so that a full disk is met before anything
 * that stands is touched.
 *
 * Threading: a staged file has one owner.
 */
#ifndef FRT_MODEL_MODEL_FILE_H
#define FRT_MODEL_MODEL_FILE_H

#include "core/status.h"

/** Make a folder and its parents. Errors: FRT_EIO. */
FRT_NODISCARD enum frt_status frt_model_folder_make(const char *path, struct frt_error *err);

/** "<folder>/<name>", owned (frt_free). Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_model_path_join(const char *folder, const char *name, char **out,
                                                  struct frt_error *err);

/**
 * Read a whole file of at most `max` bytes. `bytes` is owned (frt_free), one NUL beyond `size`.
 * Errors: FRT_ENOTFOUND, FRT_EIO, FRT_EBAD_MODEL (larger than `max`), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_model_file_read(const char *path, size_t max, uint8_t **bytes, size_t *size,
                                                  struct frt_error *err);

/** The bytes of a file of at most `max` bytes, read-only, not copied: gone with frt_model_file_unmap, and
 *  undefined when somebody cuts the file meanwhile. An empty file is refused. Errors: as frt_model_file_read.
 */
FRT_NODISCARD enum frt_status frt_model_file_map(const char *path, size_t max, const void **bytes, size_t *size,
                                                 struct frt_error *err);
/** NULL is fine. */
void frt_model_file_unmap(const void *bytes, size_t size);

/** A file written under a temporary name. Zero value = none. */
struct frt_staged_file {
    char *temporary; /* path; removed by discard */
    char *final;
    bool committed;
};

/** Write `bytes` beside the file they will become. Nothing is left behind on failure. Errors: FRT_EIO,
 * FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_staged_file_write(const char *folder, const char *name, const void *bytes,
                                                    size_t size, struct frt_staged_file *out,
                                                    struct frt_error *err);
/** Put it in its place. Errors: FRT_EIO. */
FRT_NODISCARD enum frt_status frt_staged_file_commit(struct frt_staged_file *file, struct frt_error *err);
/** Remove the temporary file unless committed, and free. Zeroes the struct. */
void frt_staged_file_deinit(struct frt_staged_file *file);
/** Make renames in `folder` durable. Errors: FRT_EIO. */
FRT_NODISCARD enum frt_status frt_model_folder_sync(const char *folder, struct frt_error *err);

#endif

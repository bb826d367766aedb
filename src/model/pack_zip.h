/*
 * Taking single files out of a zip archive, which may be hostile.
 *
 * Nothing in the archive decides where a file goes or how large it may become: the caller names the output and
 * the most bytes. Entries are found by their whole path or, when exactly one has it, by their last part.
 * Encrypted entries and methods other than stored and deflate are refused; the CRC is checked.
 *
 * Threading: one owner.
 */
#ifndef FRT_MODEL_PACK_ZIP_H
#define FRT_MODEL_PACK_ZIP_H

#include "core/status.h"

enum { FRT_ZIP_MAX_ENTRIES = 4096 };

struct frt_zip;

/** Does the file begin as a zip archive does? False also when it cannot be read. */
bool frt_zip_is(const char *path);
/** Errors: FRT_ENOTFOUND, FRT_EBAD_MODEL (no zip archive, too many entries), FRT_ENOMEM. `out` is owned. */
FRT_NODISCARD enum frt_status frt_zip_open(const char *path, struct frt_zip **out, struct frt_error *err);
/** NULL is fine. */
void frt_zip_close(struct frt_zip *zip);

/**
 * Write an entry to a new file.
 *
 * member   path in the archive, or its last part.
 * to       a file that is not there yet; removed again on failure.
 * max      most bytes; the declared size is compared with it before a byte is written.
 * size     out: bytes written; may be NULL.
 * Errors: FRT_ENOTFOUND (no such entry), FRT_EBAD_MODEL (several of that name, damaged, encrypted, unknown
 * method), FRT_EBODY_TOO_LARGE, FRT_ESTORAGE_FULL, FRT_EIO, FRT_ECANCELLED, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_zip_extract(struct frt_zip *zip, const char *member, const char *to,
                                              uint64_t max, bool (*cancelled)(void *arg), void *cancelled_arg,
                                              uint64_t *size, struct frt_error *err);
#endif

/*
 * FAISS index files, read and written without FAISS: for galleries of the older service. Every byte:
 * docs/formats/faiss-files.md.
 *
 * FAISS's own reader trusts sizes and places in the file. This one compares each with what the file holds
 * before it takes memory, and knows what keeps vectors as they are: Flat and IVFFlat, of inner products or L2,
 * bare or inside IDMap and IDMap2. Everything else is refused by its name.
 *
 * Memory: 16 bytes a vector of IVFFlat, 8 inside IDMap, none for Flat.
 * Threading: one owner.
 */
#ifndef FRT_INDEX_FAISS_FILES_H
#define FRT_INDEX_FAISS_FILES_H

#include "core/status.h"

struct frt_faiss_file;

/**
 * Open a file and check that all of it is there.
 *
 * dim, n  out: of the vectors.
 * Errors: FRT_ENOTFOUND, FRT_EIO, FRT_ENOMEM, FRT_EBAD_REQUEST (no FAISS file, cut short, sizes that contradict
 * each other, a kind that is not read: the text names it).
 */
FRT_NODISCARD enum frt_status frt_faiss_file_open(const char *path, struct frt_faiss_file **out, uint32_t *dim,
                                                  uint64_t *n, struct frt_error *err);
/** NULL is fine. */
void frt_faiss_file_close(struct frt_faiss_file *file);
/**
 * Vectors first .. first + n - 1, in the order in which they were added, as they are in the file: not
 * normalised, perhaps not finite. out: f32[n][dim]. Errors: FRT_EINVAL (range), FRT_EIO.
 */
FRT_NODISCARD enum frt_status frt_faiss_file_read(struct frt_faiss_file *file, uint64_t first, size_t n,
                                                  float *out, struct frt_error *err);

/** Writes an IndexFlatIP, whole or not at all: the file gets its name at the end. */
struct frt_faiss_writer;
FRT_NODISCARD enum frt_status frt_faiss_writer_open(const char *path, uint32_t dim,
                                                    struct frt_faiss_writer **out, struct frt_error *err);
/** Errors: FRT_EIO, FRT_ESTORAGE_FULL. */
FRT_NODISCARD enum frt_status frt_faiss_writer_add(struct frt_faiss_writer *writer, size_t n,
                                                   const float *vectors, struct frt_error *err);
/** Gives the file its name. The writer must still be freed. */
FRT_NODISCARD enum frt_status frt_faiss_writer_finish(struct frt_faiss_writer *writer, struct frt_error *err);
/** Without finish, nothing is left behind. NULL is fine. */
void frt_faiss_writer_free(struct frt_faiss_writer *writer);

#endif

/*
 * A run of encoded vectors. Arrays of structs of arrays, one block of memory or one mapped file:
 *
 *     keys u64[] · groups u32[] · factors f32[] · row scales f32[] · codes (blocks of 16) · rows
 * i8[][row_bytes]
 *
 * Vectors are appended by one writer and published by their count; what lies below the count never changes, but
 * for its bit in `removed`. Readers look at whole blocks below the count through codes, and at the rest (fewer
 * than 16) through rows, so that nobody reads what is being written.
 *
 * A segment with lists keeps the vectors of a list together; a list begins at a whole block, and the places
 * that fill up the block before it are marked as removed and as gaps (key 0).
 *
 * Threading: reference-counted. One writer (appends; holds the index's writer lock); any number of readers.
 */
#ifndef FRT_INDEX_SEGMENT_H
#define FRT_INDEX_SEGMENT_H

#include <stdatomic.h>

#include "index/encoder.h"

struct frt_segment {
    atomic_uint refs;
    uint32_t capacity; /* a multiple of FRT_CODE_BLOCK */
    atomic_uint n;     /* published; gaps included */
    uint32_t gaps;     /* immutable once published */
    uint64_t *keys;
    uint32_t *groups;
    float *factors, *row_scales;
    void *codes;
    int8_t *rows;
    _Atomic uint64_t *removed; /* bit i: vector i is not found by searches */
    atomic_uint n_removed;     /* gaps not counted */
    size_t bytes;              /* of all arrays */

    /* look-up by key; the writer's, but for order, which is immutable */
    bool ascending;
    uint64_t last_key;
    uint32_t *order; /* [n] by key, or NULL: ascending, or few enough to look at all */

    /* lists; n_lists 0 = none */
    uint32_t n_lists;
    uint32_t *list_first; /* [n_lists + 1]; the last is n */
    int8_t *centroids;    /* [n_lists][row_bytes], rotated, unit, coded as rows are */
    float *centroid_scales;

    void *memory;                /* owned; frt_free */
    void *side_memory;           /* owned; frt_free: removed, order */
    struct frt_mapping *mapping; /* a reference, or NULL: the arrays lie in a mapped file */
    atomic_bool sealed;          /* nothing is appended any more */
};

/** A mapped file, shared by the segments in it. Reference-counted; any thread. */
struct frt_mapping {
    atomic_uint refs;
    void *bytes;
    size_t size;
};
/** Map a file for reading. Errors: FRT_EIO, FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_mapping_new(int fd, size_t size, struct frt_mapping **out,
                                              struct frt_error *err);
/** The pages of a part of a mapping, at once: a call for many is cheaper than a fault for each few, and threads
 *  may share the work. bytes: at a whole page. */
void frt_mapping_fetch(const void *bytes, size_t size);
struct frt_mapping *frt_mapping_retain(struct frt_mapping *mapping);
/** NULL is fine. */
void frt_mapping_release(struct frt_mapping *mapping);

/** Room for `capacity` vectors (rounded up to whole blocks); refs 1. n_lists and with_order as in the struct.
 */
FRT_NODISCARD enum frt_status frt_segment_new(const struct frt_encoder *encoder, uint32_t capacity,
                                              uint32_t n_lists, bool with_order, struct frt_segment **out,
                                              struct frt_error *err);
struct frt_segment *frt_segment_retain(struct frt_segment *segment);
/** NULL is fine. */
void frt_segment_release(struct frt_segment *segment);

/** Bytes of the arrays of `capacity` vectors, side arrays included; false on overflow. */
bool frt_segment_bytes(const struct frt_encoder *encoder, uint32_t capacity, uint32_t n_lists, bool with_order,
                       size_t *out);

/** Encode a vector to place `at` (not yet published). scratch f32[dim]. */
void frt_segment_encode(struct frt_segment *segment, const struct frt_encoder *encoder, uint32_t at,
                        uint64_t key, uint32_t group, const float *vector, float *scratch);
/** Copy vector `from` of another segment to place `at` (not yet published). */
void frt_segment_copy(struct frt_segment *segment, const struct frt_encoder *encoder, uint32_t at,
                      const struct frt_segment *source, uint32_t from);
/** Make place `at` a gap. */
void frt_segment_gap(struct frt_segment *segment, const struct frt_encoder *encoder, uint32_t at);
/** Everything below `n` is whole: publish. Updates `ascending` and `last_key`. */
void frt_segment_publish(struct frt_segment *segment, uint32_t n);
/** Fill `order` from the keys of the published vectors (gaps last). Before the segment is shared. */
void frt_segment_sort(struct frt_segment *segment);

/** Place of a key; false when it is not there (removed ones are). Any thread that holds the writer lock. */
bool frt_segment_find(const struct frt_segment *segment, uint64_t key, uint32_t *at);
static inline bool frt_segment_is_removed(const struct frt_segment *segment, uint32_t at)
{
    /* relaxed: a remove that has returned happened before this search began */
    return (atomic_load_explicit(&segment->removed[at / 64], memory_order_relaxed) >> (at % 64) & 1) != 0;
}
/** Mark as removed; false when it was already. */
bool frt_segment_remove(struct frt_segment *segment, uint32_t at);
static inline uint32_t frt_segment_count(const struct frt_segment *segment)
{
    return atomic_load_explicit(&segment->n, memory_order_acquire);
}
/** Vectors that searches find. */
static inline uint32_t frt_segment_live(const struct frt_segment *segment)
{
    return frt_segment_count(segment) - segment->gaps -
           atomic_load_explicit(&segment->n_removed, memory_order_relaxed);
}
/** Decode a vector from its row: f32[dim], rotated, about unit. */
void frt_segment_decode(const struct frt_segment *segment, const struct frt_encoder *encoder, uint32_t at,
                        float *out);

#endif

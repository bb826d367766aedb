/*
 * Subjects as a search needs them: the rows of their faces, and what a fused score compares; remembered.
 *
 *     (collection, its seq, subject) ─ cache ─┬─ there: on loan
 *                                             └─ not there: read from the store, once for all who ask
 *
 * Why it cannot be stale: whatever changes a face or a subject gives the collection a new sequence number in
 * the same transaction, also when another process does it. A search reads the collection's row first, and asks
 * for subjects by the seq that stands there: what was remembered before a change has another key, is never
 * found again, and leaves when room is needed or its time is over.
 *
 * Threading: internally locked; no lock is held while the store is read. What is on loan is immutable.
 */
#ifndef FRT_ENGINE_GALLERY_SUBJECTS_H
#define FRT_ENGINE_GALLERY_SUBJECTS_H

#include "cache/cache.h"
#include "engine/gallery_state.h"

enum { GALLERY_SUBJECT_FACES = 64 /* of one subject, its first ones */ };

struct gallery_subject {
    const struct frt_store_face *faces; /* [n], in order of key; with embeddings */
    size_t n;
    /* f32[dim]: the mean of its faces, of length 1; NULL when that is the one face, or nothing. A subject's
     * fused score is the cosine to it. */
    const float *fused;
};

/** The cache of a gallery's subjects. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status gallery_subjects_new(const struct frt_cache_limits *limits,
                                                   struct frt_cache **out, struct frt_error *err);

struct gallery_subject_loan {
    const struct gallery_subject *subject; /* without faces: there is no such subject any more */
    struct frt_cache_loan loan;
};
/**
 * Borrow a subject: gallery_subject_return.
 * row      of the collection, as it was just read.
 * group    of a hit of the index: the low half of the subject's key.
 * at_hand  do not read the store: FRT_EUNAVAILABLE when it is not remembered.
 */
FRT_NODISCARD enum frt_status gallery_subject_get(struct frt_gallery *gallery,
                                                  const struct frt_store_collection *row, uint32_t group,
                                                  bool at_hand, struct gallery_subject_loan *out,
                                                  struct frt_error *err);
void gallery_subject_return(struct frt_gallery *gallery, struct gallery_subject_loan *loan);
/** The face of a key; NULL when it is not among them. */
const struct frt_store_face *gallery_subject_face(const struct gallery_subject *subject, uint64_t key);

#endif

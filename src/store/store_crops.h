/*
 * Crops that are kept with faces: what a face looked like, for another model to embed.
 *
 * With a key (frt_store_options.crop_key) a crop is sealed before it is written, bound to its store and face:
 * it opens nowhere else. The first key that a store is opened with for writing is noted (sealed, so that it
 * tells nothing); with another one the store does not open. A crop goes with its face, in the same transaction.
 *
 * Threading: as store.h.
 */
#ifndef FRT_STORE_STORE_CROPS_H
#define FRT_STORE_STORE_CROPS_H

#include "store/store.h"

/**
 * The crop of a face, by the face's key.
 * out  owned: frt_free.
 * Errors: FRT_ENOTFOUND (it has none), FRT_EINVAL (it is sealed, and there is no key), FRT_ESTORE_DAMAGED (it
 * does not open).
 */
FRT_NODISCARD enum frt_status frt_store_crop_get(struct frt_store *store, uint64_t face, uint8_t **out,
                                                 size_t *size, struct frt_error *err);

struct frt_store_crops {
    uint64_t count, sealed, bytes;
};
/** Crops of a collection. Errors: FRT_ECOLLECTION_NOT_FOUND. */
FRT_NODISCARD enum frt_status frt_store_crops_count(struct frt_store *store, const char *collection,
                                                    struct frt_store_crops *out, struct frt_error *err);

#endif

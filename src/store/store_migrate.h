/*
 * A collection on its way to another model.
 *
 *     begin ─ put, put, … (embeddings of the new model beside the present ones) ─ switch ─ forget
 *
 * The present embeddings are what everybody sees until the switch, which is one transaction: the coming ones
 * take their place, the present ones become the former ones, the collection gets a new key and a new sequence
 * number. With the key, whatever is derived from the collection (indexes, snapshots, remembered subjects) is
 * another's; face ids, subjects, metadata, crops and face keys stay. To go back is to begin with the former
 * model: what is former then is at hand already, and only faces that came since are missing.
 *
 * A face may come or go at any time between the calls: what it has here goes with it, and one that came since
 * lacks its coming embedding, which the switch notices.
 *
 * Threading: as store.h. Errors: those of store.h.
 */
#ifndef FRT_STORE_STORE_MIGRATE_H
#define FRT_STORE_STORE_MIGRATE_H

#include "store/store.h"

struct frt_store_migration {
    char model[FRT_STORE_MODEL_MAX + 1];                                               /* present */
    char coming_model[FRT_STORE_MODEL_MAX + 1], former_model[FRT_STORE_MODEL_MAX + 1]; /* "": none */
    uint32_t dim, coming_dim, former_dim;
    float threshold, former_threshold;          /* NaN: none */
    uint64_t key, faces, coming, former, crops; /* faces that stand, and those of them that have the thing */
    uint64_t missing, missing_with_crop;        /* have no coming embedding; of these, have a crop */
};
/** How a collection stands. Errors: FRT_ECOLLECTION_NOT_FOUND. */
FRT_NODISCARD enum frt_status frt_store_migration_get(struct frt_store *store, const char *collection,
                                                      struct frt_store_migration *out, struct frt_error *err);

/**
 * Embeddings of `model` are to come. Those of another model that were to come are forgotten; those of the same
 * are kept, so that what was interrupted goes on. Former ones of this model are taken. Errors: FRT_ECONFLICT
 * (the collection is of this model already), FRT_EINVAL.
 */
FRT_NODISCARD enum frt_status frt_store_migration_begin(struct frt_store *store, const char *collection,
                                                        const char *model, uint32_t dim, struct frt_error *err);

struct frt_store_missing {
    uint64_t key;
    bool crop;
    char face_id[FRT_STORE_FACE_ID_MAX + 1], subject[FRT_STORE_SUBJECT_MAX + 1];
};
/** Faces without a coming embedding, in order of key, those with key > after, at most `max`.
 *  crops  only those that have a crop. */
FRT_NODISCARD enum frt_status frt_store_migration_missing(struct frt_store *store, const char *collection,
                                                          uint64_t after, bool crops,
                                                          struct frt_store_missing *out, size_t max, size_t *n,
                                                          struct frt_error *err);

/** Coming embeddings of faces, in one transaction; faces that stand no more are passed over.
 *  embeddings  f32[n][dim], unit. Errors: FRT_ECONFLICT (another model is to come, or none). */
FRT_NODISCARD enum frt_status frt_store_migration_put(struct frt_store *store, const char *collection,
                                                      const char *model, const uint64_t *keys,
                                                      const float *embeddings, uint32_t dim, size_t n,
                                                      struct frt_error *err);

/** Present and coming embeddings of faces that have both, in order of key, those with key > after, at most
 * `limit`. present, coming  f32[limit][dim] and f32[limit][coming_dim], the caller's; keys, subjects
 * u64[limit]. */
FRT_NODISCARD enum frt_status frt_store_migration_pairs(struct frt_store *store,
                                                        const struct frt_store_migration *row, uint64_t after,
                                                        size_t limit, uint64_t *keys, uint64_t *subjects,
                                                        float *present, float *coming, size_t *n,
                                                        struct frt_error *err);

struct frt_store_switch {
    const char *model; /* that is to come */
    const char *aside; /* faces without a coming embedding go to a new collection of this name, as they are;
                          NULL = there must be none */
    float threshold;   /* of the collection from now on; NaN = the pack's */
    uint64_t moved, aside_n; /* out: faces that were switched, and put aside */
    uint64_t old_key;        /* out: the collection's until now: what was derived from it can go */
};
/**
 * Switch, in one transaction.
 * Errors: FRT_ECONFLICT (another model is to come, or none; a face lacks its embedding and `aside` is NULL; the
 * name for those aside is taken). On any of them nothing has changed.
 */
FRT_NODISCARD enum frt_status frt_store_migration_switch(struct frt_store *store, const char *collection,
                                                         struct frt_store_switch *how, struct frt_error *err);

/** Forget former embeddings (coming false) or those to come. n: out, how many; may be NULL. */
FRT_NODISCARD enum frt_status frt_store_migration_forget(struct frt_store *store, const char *collection,
                                                         bool coming, uint64_t *n, struct frt_error *err);

#endif

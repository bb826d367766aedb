/*
 * A collection to another model, without the photos: its faces' crops (kept_crop.h) are embedded anew beside
 * the present embeddings, compared, and switched to in one transaction (store/store_migrate.h).
 *
 *     embed (goes on where it was interrupted) ─ compare ─ switch ─┬─ forget the former ones
 *                                                                  └─ go back: the same way, with what is at
 * hand
 *
 * Until the switch searches see the present embeddings and nothing else. A service may run meanwhile: what it
 * enrolls is embedded in a last round; what it deletes is gone from both.
 *
 * Threading: one owner; embedding runs on threads of its own.
 */
#ifndef FRT_ENGINE_MIGRATE_H
#define FRT_ENGINE_MIGRATE_H

#include "frt/gallery.h"

struct frt_migration_state {
    char model[201], coming_model[201], former_model[201]; /* "": none */
    uint32_t dim, former_dim;
    uint64_t faces, crops, coming, former;
    uint64_t missing;                  /* have no embedding of the model that is to come */
    uint64_t without_crop;             /* of these, cannot get one: no crop */
    float threshold, former_threshold; /* the collection's own, NaN = none */
};
FRT_NODISCARD enum frt_status frt_migration_get(struct frt_gallery *gallery, const char *collection,
                                                struct frt_migration_state *out, struct frt_error *err);

struct frt_migrate_options {
    uint32_t threads; /* 0 = 1 */
    void (*progress)(void *arg, uint64_t done, uint64_t total);
    bool (*cancelled)(void *arg);
    void *arg;
};

struct frt_migrated {
    uint64_t embedded;    /* by this call */
    uint64_t found_again; /* of these, aligned by landmarks of the new pack's own */
    uint64_t failed;      /* crops that could not be embedded: damaged, or sealed with another key */
    struct frt_error first_failure;
};
/**
 * Embed what is missing. pack NULL: nothing is embedded; `model`'s former embeddings are taken.
 * model, dim  of what is to come: frt_pack_model and the pack's dim.
 * Errors: FRT_ECONFLICT (the collection is of this model already), FRT_ECANCELLED (what is done stays, the next
 * call goes on), those of the store. A crop that fails is counted, not an error.
 */
FRT_NODISCARD enum frt_status frt_migrate_embed(struct frt_gallery *gallery, const struct frt_pack *pack,
                                                const char *collection, const char *model, uint32_t dim,
                                                const struct frt_migrate_options *options,
                                                struct frt_migrated *out, struct frt_error *err);

struct frt_migrate_side {
    double rank1;       /* share of probes with mates whose nearest other face is a mate; NaN = no mates */
    double tar[2];      /* of mates, at the threshold that lets 1 in 1,000 and 1 in 10,000 strangers pass; NaN =
                           too few strangers to tell */
    double mates_above; /* share of mates at or above `threshold`; NaN = no threshold, or no mates */
    float threshold;    /* that counts in searches; NaN = not known */
};
struct frt_migrate_report {
    uint64_t faces, probes, probes_with_mates, mates, strangers; /* compared pairs */
    double agreement; /* share of probes whose nearest other face is the same person's with both models */
    struct frt_migrate_side before, after;
};
/**
 * Compare the present and the coming embeddings over the collection's own people: up to 1,000 probes against
 * all. before, after  thresholds that count; NaN = not known. Cost: probes × faces × dimensions; memory of the
 * probes and a page.
 */
FRT_NODISCARD enum frt_status frt_migrate_compare(struct frt_gallery *gallery, const char *collection,
                                                  float before, float after, struct frt_migrate_report *out,
                                                  struct frt_error *err);

struct frt_migrate_missing {
    char face_id[129], subject[257];
    bool crop;
};
/** Faces that would be without an embedding, the first `max`. */
FRT_NODISCARD enum frt_status frt_migrate_missing(struct frt_gallery *gallery, const char *collection,
                                                  struct frt_migrate_missing *out, size_t max, size_t *n,
                                                  struct frt_error *err);

struct frt_migrate_switched {
    uint64_t faces, aside;
};
/**
 * Switch. aside: as struct frt_store_switch has it.
 * Errors: FRT_ECONFLICT (a face lacks its embedding and aside is NULL; the name is taken), those of the store.
 * Then nothing has changed.
 */
FRT_NODISCARD enum frt_status frt_migrate_switch(struct frt_gallery *gallery, const char *collection,
                                                 const char *model, const char *aside, float threshold,
                                                 struct frt_migrate_switched *out, struct frt_error *err);
/** Forget the former embeddings (coming false) or those to come; n of them. */
FRT_NODISCARD enum frt_status frt_migrate_forget(struct frt_gallery *gallery, const char *collection,
                                                 bool coming, uint64_t *n, struct frt_error *err);

#endif

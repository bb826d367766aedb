/*
 * The pack in use, and putting another in its place while it is used.
 *
 *     acquire ─ work with it for as long as it takes ─ release          any thread, any number at a time
 *     load: open beside ─ try ─ publish ─ the former waits for its last user ─ freed
 *
 * Whoever works with a pack holds it: a request that began with a pack ends with it, whatever is published
 * meanwhile, and never sees two. Who comes after the publication gets the new one. A pack that cannot be
 * opened, or whose nets give no usable answer to a trial, is not published; the one in use stays.
 *
 * A pack that nobody holds any more is freed by frt_pack_swap_sweep, on the thread of whoever calls that (the
 * service's own, twice a second, and each load), never by a request: closing sessions takes milliseconds.
 *
 * Caches need nothing: their keys hold the pack's id (photo.h).
 *
 * Threading: internally locked. `lock` is a leaf, held for moments: never across opening, inference, freeing.
 */
#ifndef FRT_ENGINE_PACK_SWAP_H
#define FRT_ENGINE_PACK_SWAP_H

#include "engine/pack.h"

struct frt_pack_swap;

FRT_NODISCARD enum frt_status frt_pack_swap_new(struct frt_pack_swap **out, struct frt_error *err);
/** Nobody may hold a pack any more. NULL is fine. */
void frt_pack_swap_free(struct frt_pack_swap *swap);

/** The pack in use, held; NULL before the first one is loaded. */
const struct frt_pack *frt_pack_acquire(struct frt_pack_swap *swap);
/** NULL is fine. */
void frt_pack_release(struct frt_pack_swap *swap, const struct frt_pack *pack);

struct frt_pack_load {
    struct frt_context *context; /* borrowed, outlives the pack */
    const char *path;            /* folder; NULL = where frt_pack_open looks */
    struct frt_pack_options options;
    uint32_t batch; /* frt_pack_batches_start */
};

/** What a load did. Texts are copies. */
struct frt_pack_loaded {
    struct frt_pack_names {
        char name[FRT_SPEC_NAME_MAX], version[FRT_SPEC_NAME_MAX], id[FRT_SHA256_HEX_SIZE], model[201];
        float threshold;
    } before, now; /* before: names "" the first time */
    double ms;
};

/**
 * Load a pack, try it, and put it in the place of the one in use.
 *
 * Nets that the pack in use has opened at need (attributes) are opened in the new one before it is published,
 * so that no request waits for them; files of the others are compared with their checksums.
 *
 * loaded  out; may be NULL.
 * Errors: FRT_ECONFLICT (another load is under way); frt_pack_open's; FRT_EBAD_MODEL (no embedder; the trial
 *         failed: the text says what). On any of them the pack in use stays.
 */
FRT_NODISCARD enum frt_status frt_pack_swap_load(struct frt_pack_swap *swap, const struct frt_pack_load *load,
                                                 struct frt_pack_loaded *loaded, struct frt_error *err);

/** Free former packs that nobody holds. How many are still held. */
uint32_t frt_pack_swap_sweep(struct frt_pack_swap *swap);

struct frt_pack_swap_stats {
    uint64_t reloads, failures; /* loads after the first that succeeded, and loads that failed */
    uint32_t waiting;           /* former packs that are not freed yet */
};
struct frt_pack_swap_stats frt_pack_swap_stats_get(struct frt_pack_swap *swap);

/** What frt_pack_model_used said of a pack when it was loaded: *out of it, valid while the caller holds it. */
size_t frt_pack_swap_models(struct frt_pack_swap *swap, const struct frt_pack *pack,
                            const struct frt_pack_model_facts **out);

/** Copies of a pack's names. */
void frt_pack_names_of(const struct frt_pack *pack, struct frt_pack_names *out);

/**
 * Do its nets answer? Detector (and landmarks) look at a picture without a face, the embedder at a picture of
 * no one: what is wanted is finite numbers of the right count, not a face. Errors: FRT_EBAD_MODEL (the text
 * names the net and what it did).
 */
FRT_NODISCARD enum frt_status frt_pack_try(const struct frt_pack *pack, struct frt_error *err);

#endif

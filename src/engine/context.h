/*
 * The context: inference backend, limits, and for programs with many callers stages and caches.
 * Threading: immutable after creation; stages and caches are internally locked.
 */
#ifndef FRT_ENGINE_CONTEXT_H
#define FRT_ENGINE_CONTEXT_H

#include "cache/cache.h"
#include "core/stage.h"
#include "engine/remote_models.h"
#include "image/image.h"
#include "infer/infer.h"

struct frt_context {
    struct frt_backend *backend;      /* owned */
    struct frt_remote_models *remote; /* owned: of a model server before it; NULL = none */
    struct frt_image_limits limits;
    struct frt_stages *stages;                       /* owned; NULL = none */
    uint32_t threads;                                /* of a wide inference */
    struct frt_cache *embedding_cache, *image_cache; /* owned; NULL = none */
    uint64_t max_kept_frame_bytes;                   /* larger decoded frames are not kept */
    struct frt_shared_cache *shared;                 /* borrowed; NULL = none */
    uint64_t device_memory_bytes;                    /* that models may take of a device */
    int64_t embedding_ttl_ms, image_ttl_ms;
};

/** As frt_context_new, over a backend that the caller made. CONSUMES backend, also on failure. */
FRT_NODISCARD enum frt_status frt_context_new_over(struct frt_backend *backend,
                                                   const struct frt_context_options *options,
                                                   struct frt_context **out, struct frt_error *err);

/** Ask this cache (cache/shared_cache.h; borrowed) for what the own ones do not have, and let it have what is
 * made. Before the context is shared between threads. NULL = none. */
void frt_context_share(struct frt_context *context, struct frt_shared_cache *shared);

/** Defaults in the place of zeros. */
void frt_stage_limits_fill(struct frt_stage_limits *limits);
/**
 * Threads of a wide inference (infer.h): what was asked for (0 = as many as go), with stages at most
 * cores - cores / 4 + 1 (all of up to 7).
 *
 * Wide inferences share these threads but for their callers, so that with `computing` callers at work at most
 * computing + threads - 1 threads compute: of 8 cores two callers may be wide at a time, of 2 to 7 one.
 */
uint32_t frt_context_threads(uint32_t asked, const struct frt_stage_limits *stages);
/** Says how the calling thread's inferences are to spread (infer.h): wide while all threads that then compute
 *  have a core each, narrow otherwise. Asked with a place in a compute stage; without stages always wide. */
void frt_context_settle_width(const struct frt_context *context);

/** Figures of its caches: fills out[0..max), returns how many. */
size_t frt_context_cache_stats(const struct frt_context *context, struct frt_cache_stats *out, size_t max);
/** Let what is too old leave the caches now, though nobody asks them anything. Cheap. */
void frt_context_expire(const struct frt_context *context);

#endif

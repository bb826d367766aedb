/*
 * The context: inference backend and limits. Threading: immutable after creation.
 */
#ifndef FRT_ENGINE_CONTEXT_H
#define FRT_ENGINE_CONTEXT_H

#include "image/image.h"
#include "infer/infer.h"

struct frt_context {
    struct frt_backend *backend; /* owned */
    struct frt_image_limits limits;
};

/** As frt_context_new, over a backend that the caller made. CONSUMES backend, also on failure. */
FRT_NODISCARD enum frt_status frt_context_new_over(struct frt_backend *backend,
                                                   const struct frt_context_options *options,
                                                   struct frt_context **out, struct frt_error *err);

#endif

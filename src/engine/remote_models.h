/*
 * A model server before the models here: the backend of a context whose options name one.
 *
 *     failover ── remote (infer/remote.h) ── server
 *         └────── what computes here
 *
 * Threading: internally synchronised.
 */
#ifndef FRT_ENGINE_REMOTE_MODELS_H
#define FRT_ENGINE_REMOTE_MODELS_H

#include "frt/frt.h"
#include "infer/infer.h"
#include "infer/remote.h"
#include "metrics/histogram.h"

struct frt_remote_models;

/** Does it name a server? NULL does not. */
bool frt_infer_server_is_named(const struct frt_infer_server *server);

/**
 * Put the server before a backend.
 *
 * backend  in: CONSUMED, also on failure; out: both, owned.
 * out      owned; freed after the backend.
 * Errors: FRT_EINVAL (the settings), FRT_EUNAVAILABLE (libcurl is not there), FRT_ENOMEM. That the server does
 * not answer is none.
 */
FRT_NODISCARD enum frt_status frt_remote_models_new(const struct frt_infer_server *server,
                                                    struct frt_backend **backend,
                                                    struct frt_remote_models **out, struct frt_error *err);
/** NULL is fine. */
void frt_remote_models_free(struct frt_remote_models *models);

struct frt_remote_figures {
    struct frt_remote_state state;
    const struct frt_window *time; /* of requests to models; borrowed */
    uint64_t fallbacks;            /* runs that were computed here */
};
/** models  NULL: false. */
bool frt_remote_models_figures(const struct frt_remote_models *models, struct frt_remote_figures *out);

#endif

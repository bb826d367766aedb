/*
 * The HTTP service. Contract: docs/api.md. Threading: one owner; blocks until stopped.
 */
#ifndef FRT_HTTP_SERVE_H
#define FRT_HTTP_SERVE_H

#include "core/config.h"
#include "core/status.h"

/**
 * Serve until SIGTERM or SIGINT, then finish what is in flight and return.
 * Errors: FRT_EUNAVAILABLE (port taken, refused address: what to do), and what opening the pack gives.
 */
FRT_NODISCARD enum frt_status frt_http_serve(const struct frt_config *config, struct frt_error *err);

#endif

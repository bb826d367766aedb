/*
 * The cache that instances share, as the settings say it.
 *
 * Threading: as cache/shared_cache.h.
 */
#ifndef FRT_ENGINE_SHARED_H
#define FRT_ENGINE_SHARED_H

#include "cache/shared_cache.h"
#include "core/config.h"
#include "engine/access.h"
#include "engine/context.h"

/**
 * Open it, and let the context ask it. *out NULL: the settings name none.
 *
 * access   whose store has the secret that seals what is shared.
 * out      owned; freed by frt_shared_cache_free after the context.
 * Errors: FRT_EINVAL (settings), FRT_ENOMEM, the store's. That Redis is not there is none.
 */
FRT_NODISCARD enum frt_status frt_shared_open(const struct frt_config *config, struct frt_access *access,
                                              struct frt_context *context, struct frt_shared_cache **out,
                                              struct frt_error *err);

/** Is it there? For 'frt doctor'. text  out: what and how fast, or what is wrong. */
bool frt_shared_check(const struct frt_config *config, char *text, size_t size);

#endif

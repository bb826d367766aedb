/*
 * Loading a pack while the service runs: asked for by SIGHUP or by POST /v1/models/reload. Design:
 * engine/pack_swap.h.
 *
 * Threading: http_reload from any thread, one load at a time; a reloader has one owner, the thread that waits
 * for signals.
 */
#ifndef FRT_HTTP_RELOAD_H
#define FRT_HTTP_RELOAD_H

#include <pthread.h>

#include "http/service.h"

enum { HTTP_PACK_NAME_MAX = 64 };

/**
 * Load a pack; log what came of it.
 * name    of a folder beside the configured packs (<data folder>/packs/NAME), 1 to HTTP_PACK_NAME_MAX of
 *         [A-Za-z0-9._-], not starting with a dot; NULL = the configured pack, read anew.
 * Errors: FRT_EBAD_REQUEST (name), FRT_ENOTFOUND, frt_pack_swap_load's.
 */
FRT_NODISCARD enum frt_status http_reload(struct http_service *service, const char *name,
                                          struct frt_pack_loaded *out, struct frt_error *err);

/* Reloads on a thread of their own, so that whoever waits for signals goes on waiting. */
struct http_reloader {
    struct http_service *service;
    pthread_t thread;
    bool started; /* and not joined yet */
    bool wanted;  /* asked for while another was under way */
    atomic_bool busy;
};
/** Load the configured pack anew, after the load under way if there is one. */
void http_reloader_ask(struct http_reloader *reloader);
/** Now and then: begins what is wanted. */
void http_reloader_tick(struct http_reloader *reloader);
/** Waits for the load under way. */
void http_reloader_end(struct http_reloader *reloader);

#endif

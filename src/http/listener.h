/*
 * The service's listening socket: the one that it was started with, or one of its own at the settings' address;
 * and who may be let in there.
 *
 * Threading: as listen_address.h.
 */
#ifndef FRT_HTTP_LISTENER_H
#define FRT_HTTP_LISTENER_H

#include "http/service.h"

/**
 * Open it. What is wrong with letting everybody in is said before anything is opened. Sets service->loopback.
 * fd         out: owned, also on failure when it is not -1.
 * url        out: where it listens.
 * inherited  out: it was there already, and others have it, too.
 * Errors: FRT_EINVAL (the address), FRT_EUNAVAILABLE (in use; no permission; not loopback, and no credentials).
 */
FRT_NODISCARD enum frt_status http_listener_open(struct http_service *service, int *fd, char *url,
                                                 size_t url_size, bool *inherited, struct frt_error *err);

#endif

/*
 * How often one client address may fail to log in: HTTP_LOGIN_FAILURES within HTTP_LOGIN_WINDOW_S, then it
 * waits. Behind a proxy all clients share its address.
 *
 * A fixed table: an address has one of a few places, taken from the one that has been quiet longest, so that
 * many addresses cost no memory. An attempt counts from its start, so that many at once cannot slip through
 * together; a success forgets.
 *
 * With a shared cache an attempt counts there, too, over all instances; while that is away, or does not answer
 * in time, what this instance has seen must do.
 *
 * Threading: internally locked; a leaf, and not held while the shared cache is asked.
 */
#ifndef FRT_HTTP_LOGIN_LIMIT_H
#define FRT_HTTP_LOGIN_LIMIT_H

#include "core/clock.h"
#include "core/status.h"
#include "engine/shared.h"
#include "http/request.h"

enum { HTTP_LOGIN_FAILURES = 10, HTTP_LOGIN_WINDOW_S = 60 };

struct http_login_limit;

FRT_NODISCARD enum frt_status http_login_limit_new(const struct frt_clock *clock, struct http_login_limit **out,
                                                   struct frt_error *err);
void http_login_limit_free(struct http_login_limit *limit);
/** Count in this one, too (borrowed; NULL = none). Before threads start. */
void http_login_limit_share(struct http_login_limit *limit, struct frt_shared_cache *shared);

/** An attempt begins: 0 = go on; otherwise the seconds to wait, and the attempt does not count. */
uint32_t http_login_limit_begin(struct http_login_limit *limit, const uint8_t peer[HTTP_PEER_BYTES]);
/** It succeeded, or failed for a reason that is not the client's. */
void http_login_limit_refund(struct http_login_limit *limit, const uint8_t peer[HTTP_PEER_BYTES]);

#endif

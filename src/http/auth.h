/*
 * Who may do what: before a byte of a body is read.
 *
 *     no credentials, loopback ── Host must name loopback ── everybody is admin
 *     credentials ─────────────── Authorization: Bearer TOKEN, or X-API-Key ── role >= the route's
 *
 * Either way a page of another origin may change nothing: its Origin must be this very host.
 *
 * Threading: pure functions over internally locked parts. Runs on the HTTP thread: costs a hash and one row.
 */
#ifndef FRT_HTTP_AUTH_H
#define FRT_HTTP_AUTH_H

#include "http/service.h"

/** May whoever asks speak to this service at all? False: `response` is the refusal. */
bool http_auth_host(struct http_service *service, const struct http_request *request,
                    struct http_response *response);
/** May the caller use this route? Sets request->role. False: `response` is the refusal. */
bool http_auth_route(struct http_service *service, struct http_request *request, const struct http_route *route,
                     struct http_response *response);

/** Does an Origin header ("https://faces.example:8443") name the host of the Host header? Default ports count
 * as none. For http_auth_route and its tests. */
bool http_origin_is_host(const char *origin, const char *host);

#endif

/*
 * The id of a request: the client's (or the proxy's) X-Request-Id where it is harmless, else a new one. It is
 * no secret: it stands in the answer and in the log.
 *
 * Threading: a pure function over its arguments and frt_unique_bits.
 */
#ifndef FRT_HTTP_REQUEST_ID_H
#define FRT_HTTP_REQUEST_ID_H

#include "http/request.h"

/** given  the header's value; NULL when absent. Harmless: 1..128 of [A-Za-z0-9._-]. */
void http_request_id(const char *given, char out[HTTP_REQUEST_ID_MAX + 1]);

#endif

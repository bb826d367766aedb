/*
 * The log's line of a request: id, route, status, bytes, time and, where a photo was looked at, the stages and
 * what a cache had. A route is named by its pattern; nothing that a client sent stands in the line but its
 * request id.
 *
 * Threading: a pure function over a request with one owner.
 */
#ifndef FRT_HTTP_REQUEST_LOG_H
#define FRT_HTTP_REQUEST_LOG_H

#include "http/request.h"

struct http_request_facts {
    const char *route; /* "POST /v1/detect"; NULL = none took it */
    uint64_t received, sent;
    double ms;
    bool written;        /* the answer reached the socket */
    uint32_t not_logged; /* log_limit.h: requests before that had no line; 0 = none to tell of */
};
void http_log_request(const struct http_request *request, const struct http_response *response,
                      const struct http_request_facts *facts);

#endif

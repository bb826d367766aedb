/*
 * A request and an answer, as the handlers see them: no transport type in sight.
 *
 * Threading: one owner at a time (the transport, then a worker, then the transport again).
 */
#ifndef FRT_HTTP_REQUEST_H
#define FRT_HTTP_REQUEST_H

#include "core/buf.h"

enum { HTTP_MAX_QUERY = 32, HTTP_REQUEST_ID_MAX = 128, HTTP_MAX_HEADERS_OUT = 6 };

enum http_method { HTTP_GET = 0, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OTHER };

struct http_param {
    const char *name, *value; /* borrowed from the transport; value "" when there was none */
};

struct http_request {
    enum http_method method;
    char path[512];
    struct http_param query[HTTP_MAX_QUERY];
    size_t n_query;
    const char *content_type, *accept; /* borrowed; NULL when absent */
    char id[HTTP_REQUEST_ID_MAX + 1];
    char *body; /* owned by the transport; handlers may decode in place */
    size_t body_size;
    int64_t deadline_ms; /* monotonic */
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

struct http_response {
    int status;
    const char *content_type; /* static */
    struct frt_buf body;
    const void *fixed; /* static bytes in place of `body` */
    size_t fixed_size;
    struct {
        const char *name; /* static */
        char value[256];
    } headers[HTTP_MAX_HEADERS_OUT];
    size_t n_headers;
    struct frt_timing timing; /* for the access log; zero = none */
    bool rejected;            /* turned away unworked */
};

void http_response_init(struct http_response *response);
void http_response_deinit(struct http_response *response);
/** Add a header; beyond HTTP_MAX_HEADERS_OUT it is a programmer's error (asserted). */
void http_response_header(struct http_response *response, const char *name, const char *value);

/** Make the answer a problem (RFC 9457) of `status`: replaces the body. */
void http_problem(struct http_response *response, const struct http_request *request, enum frt_status status,
                  const char *detail);
/** As http_problem, with another HTTP code and word than the status table's. */
void http_problem_as(struct http_response *response, const struct http_request *request, int http_status,
                     const char *code, const char *title, const char *detail);

#endif

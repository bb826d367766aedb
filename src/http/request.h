/*
 * A request and an answer, as the handlers see them: no transport type in sight.
 *
 * Threading: one owner at a time (the transport, then a worker, then the transport again).
 */
#ifndef FRT_HTTP_REQUEST_H
#define FRT_HTTP_REQUEST_H

#include "core/json_write.h"
#include "core/trace_context.h"
#include "engine/access.h" /* enum frt_role */
#include "http/route_path.h"

enum { HTTP_MAX_QUERY = 32, HTTP_REQUEST_ID_MAX = 128, HTTP_MAX_HEADERS_OUT = 6, HTTP_PEER_BYTES = 16 };

enum http_method { HTTP_GET = 0, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OTHER };

struct frt_pack;
struct http_service;
struct http_timeline;

struct http_param {
    const char *name, *value; /* borrowed from the transport; value "" when there was none */
};

struct http_request {
    enum http_method method;
    struct http_path path;
    const char *params[HTTP_MAX_PATH_PARAMS]; /* of the route's pattern, in its order; into `path` */
    struct http_param query[HTTP_MAX_QUERY];
    size_t n_query;
    /* headers: borrowed; NULL when absent */
    const char *content_type, *accept, *host, *origin, *authorization, *api_key, *inference_length, *seq;
    uint8_t peer[HTTP_PEER_BYTES]; /* the client's address: IPv6, or IPv4 within it; of IPv6 the /64 */
    enum frt_role role;            /* the caller's */
    uint64_t client;               /* admission.h: the user or key, else the address */
    bool bulk;                     /* X-FRT-Priority: bulk: gives way to others */
    char id[HTTP_REQUEST_ID_MAX + 1];
    char *body; /* owned by the transport; handlers may decode in place */
    size_t body_size;
    /* On a route with HTTP_STREAM the handler is called for every full piece of the body, `more` set, and once
     * with the rest; it answers in the last call, or before with a problem, which ends the work. */
    bool more;
    bool older;    /* errors come in the older surface's envelope */
    bool http_1_0; /* knows no chunks: a cut answer would look whole */
    void *state;   /* the handler's own, from one piece or page to the next */
    void (*state_free)(void *state);
    int64_t deadline_ms; /* monotonic; of a stream: of this piece or page */
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
    const struct frt_pack *pack; /* held while the handler runs, the same from its begin to its end; NULL: not
                                    loaded yet, or between two pieces or pages */
    struct frt_trace_context trace; /* the caller's, from traceparent */
    struct http_timeline *timeline; /* answer_timeline.h; NULL = not asked for */
};

struct http_response {
    int status;
    const char *content_type; /* static */
    struct frt_buf body;
    const void *fixed; /* static bytes in place of `body` */
    size_t fixed_size;
    /* An answer of any length: `body` is its first page, and when it has been sent this one puts the next into
     * `body` (empty at the call; still empty afterwards: the end). A failure cuts the connection, so that no
     * client takes what it has for all. NULL = `body` is all. */
    enum frt_status (*next_page)(struct http_service *service, struct http_request *request,
                                 struct http_response *response, struct frt_error *err);
    struct {
        const char *name; /* static */
        char value[256];
    } headers[HTTP_MAX_HEADERS_OUT];
    size_t n_headers;
    struct frt_timing timing;   /* for the access log; zero = none */
    double search_ms, index_ms; /* for the access log: the search, and opening or following its index */
    bool rejected;              /* turned away unworked */
};

void http_response_init(struct http_response *response);
void http_response_deinit(struct http_response *response);
/** Set a header; beyond HTTP_MAX_HEADERS_OUT it is a programmer's error (asserted). */
void http_response_header(struct http_response *response, const char *name, const char *value);

/** Make the answer a problem (RFC 9457; on the older surface: its envelope) of `status`: replaces the body. */
void http_problem(struct http_response *response, const struct http_request *request, enum frt_status status,
                  const char *detail);
/** As http_problem, with another HTTP code and word than the status table's. */
void http_problem_as(struct http_response *response, const struct http_request *request, int http_status,
                     const char *code, const char *title, const char *detail);

/** As http_problem, and the object stays open: the caller adds members and ends it (but not on the older
 * surface, whose envelope holds no more: false). */
bool http_problem_open(struct http_response *response, const struct http_request *request,
                       enum frt_status status, const char *detail, struct frt_json_writer *w);

/** Begin the older surface's envelope {"status","code","message","errorMessage","data":…}: the caller writes
 *  the value of "data" and ends the object. Replaces the body. */
void http_older_begin(struct http_response *response, struct frt_json_writer *w, int http_status,
                      const char *message, const char *error);

#endif

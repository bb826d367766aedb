/*
 * What the handlers share: settings, models once they are loaded, metrics, state.
 *
 * Threading: `pack` is published once with release order by the loader and read with acquire by
 * handlers; `state` is atomic; everything else is immutable after start.
 */
#ifndef FRT_HTTP_SERVICE_H
#define FRT_HTTP_SERVICE_H

#include <stdatomic.h>

#include "core/config.h"
#include "http/request.h"
#include "metrics/metrics.h"

enum http_state { HTTP_STARTING = 0, HTTP_READY, HTTP_DRAINING };

struct http_service {
    const struct frt_config *config;
    struct frt_context *context;
    _Atomic(struct frt_pack *) pack; /* NULL until loaded */
    atomic_int state;                /* enum http_state */
    struct frt_metrics *metrics;
    struct frt_worker_pool *pool;
};

struct http_route {
    const char *path;
    const char *name; /* "POST /v1/detect": metrics and log */
    void (*handle)(struct http_service *service, struct http_request *request, struct http_response *response);
    enum http_method method;
    bool works; /* decodes or infers: runs on a worker, needs the models */
    bool takes_body;
};

/** The routes; *n of them. */
const struct http_route *http_routes(size_t *n);
/** Route of a method and path; NULL when there is none. HEAD is looked up as GET. */
const struct http_route *http_route_find(enum http_method method, const char *path);
/** "GET, POST": methods of a path, for Allow; false when the path is unknown. */
bool http_route_methods(const char *path, char *out, size_t size);

/* The handlers, by file: handle_faces.c, handle_service.c. */
void http_handle_detect(struct http_service *, struct http_request *, struct http_response *);
void http_handle_embed(struct http_service *, struct http_request *, struct http_response *);
void http_handle_verify(struct http_service *, struct http_request *, struct http_response *);
void http_handle_healthz(struct http_service *, struct http_request *, struct http_response *);
void http_handle_readyz(struct http_service *, struct http_request *, struct http_response *);
void http_handle_version(struct http_service *, struct http_request *, struct http_response *);
void http_handle_metrics(struct http_service *, struct http_request *, struct http_response *);
void http_handle_openapi(struct http_service *, struct http_request *, struct http_response *);
void http_handle_console(struct http_service *, struct http_request *, struct http_response *);

#endif

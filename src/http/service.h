/*
 * What the handlers share: settings, models once they are loaded, galleries, access, metrics, state; and the
 * table of routes.
 *
 * Threading: `packs` is internally locked; `state` is atomic; everything else is immutable after start.
 */
#ifndef FRT_HTTP_SERVICE_H
#define FRT_HTTP_SERVICE_H

#include <stdatomic.h>

#include "core/config.h"
#include "core/crypto.h"
#include "engine/access.h"
#include "engine/pack_locate.h"
#include "engine/pack_swap.h"
#include "frt/gallery.h"
#include "http/request.h"
#include "metrics/metrics.h"

/* LEAVING: everything is served, but /readyz says that others are to be asked. DRAINING: nobody new is heard.
 */
enum http_state { HTTP_STARTING = 0, HTTP_READY, HTTP_LEAVING, HTTP_DRAINING };

/* Where a route's handler runs. */
enum http_pool {
    HTTP_HERE = 0, /* on the HTTP thread: answers from memory */
    HTTP_WORKERS,  /* decodes or infers; needs the models; a bounded queue, 503 when it is full */
    HTTP_STORE,    /* reads or writes the store; every connection has its place in the queue */
    HTTP_LOGINS,   /* hashes a password: 64 MiB each, so two at a time */
    HTTP_POOLS
};

struct http_service {
    const struct frt_config *config;
    struct frt_context *context;
    struct frt_gallery *gallery;
    struct frt_access *access;
    struct http_login_limit *logins;
    struct http_seq_gate *gate;                   /* seq_gate.h */
    struct frt_shared_cache *shared;              /* NULL: none */
    char database[FRT_LOCATE_PATH_MAX];           /* file, or a server's address, which may hold a password */
    char index_folder[FRT_LOCATE_PATH_MAX];       /* "" = the usual one */
    uint8_t client_key[FRT_SHORT_HASH_KEY_BYTES]; /* of http_client_number; random */
    bool loopback;                                /* listens on loopback only */
    struct frt_pack_swap *packs;                  /* the pack in use; handlers have it as request->pack */
    atomic_int state;                             /* enum http_state */
    uint32_t http_threads;                        /* >= 1 */
    struct frt_metrics *metrics;
    struct frt_worker_pool *pools[HTTP_POOLS]; /* [HTTP_HERE] is NULL */
};

/* Larger bodies are not tried at once: what they hold is not remembered, or takes long to be looked for. */
enum { HTTP_AT_ONCE_BYTES = 512 * 1024 };

enum http_route_flag {
    HTTP_BODY = 1 << 0,    /* takes a body, handed over whole */
    HTTP_STREAM = 1 << 1,  /* takes a body of any length, handed over in pieces: request.h */
    HTTP_MODELS = 1 << 2,  /* needs the models */
    HTTP_CHANGES = 1 << 3, /* changes something: refused from a foreign page (Origin) */
    HTTP_OLDER = 1 << 4,   /* of the older surface: errors come in its envelope */
    HTTP_NUMBERED = 1 << 5 /* changes a gallery: the answer has the number of its last change (X-FRT-Seq) */
};

struct http_route {
    const char *path; /* "/v1/jobs/{id}": a segment in braces is a parameter */
    const char *name; /* "GET /v1/jobs/{id}": metrics and log, never a request's own path */
    void (*handle)(struct http_service *service, struct http_request *request, struct http_response *response);
    enum http_method method;
    enum http_pool pool;
    uint32_t flags;
    enum frt_role role; /* least role, where there are credentials */
    /* Answers if everything that takes is in memory (engine/at_hand.h); false: `handle` is to, on its pool.
     * Called on the HTTP thread, between requests of others: it never waits. NULL = always `handle`. */
    bool (*at_once)(struct http_service *service, struct http_request *request, struct http_response *response);
};

/** The routes; *n of them. */
const struct http_route *http_routes(size_t *n);
/** Route of a method and path; NULL when there is none. HEAD is looked up as GET. params: as http_path_matches.
 */
const struct http_route *http_route_find(enum http_method method, const struct http_path *path,
                                         const char *params[HTTP_MAX_PATH_PARAMS]);
/** "GET, POST": methods of a path, for Allow, and what they share (flags); false when the path is unknown. */
bool http_route_methods(const struct http_path *path, char *out, size_t size, uint32_t *flags);

/* The handlers, by file: handle_faces.c, handle_service.c, handle_access.c, handle_collections.c,
 * handle_enroll.c, handle_search.c, handle_import.c, handle_models.c, handle_model_api.c, handle_older.c. */
void http_handle_detect(struct http_service *, struct http_request *, struct http_response *);
void http_handle_embed(struct http_service *, struct http_request *, struct http_response *);
void http_handle_verify(struct http_service *, struct http_request *, struct http_response *);
void http_handle_healthz(struct http_service *, struct http_request *, struct http_response *);
void http_handle_readyz(struct http_service *, struct http_request *, struct http_response *);
void http_handle_version(struct http_service *, struct http_request *, struct http_response *);
void http_handle_metrics(struct http_service *, struct http_request *, struct http_response *);
void http_handle_openapi(struct http_service *, struct http_request *, struct http_response *);
void http_handle_console(struct http_service *, struct http_request *, struct http_response *);
void http_handle_login(struct http_service *, struct http_request *, struct http_response *);
void http_handle_key_list(struct http_service *, struct http_request *, struct http_response *);
void http_handle_key_add(struct http_service *, struct http_request *, struct http_response *);
void http_handle_key_delete(struct http_service *, struct http_request *, struct http_response *);
void http_handle_collection_list(struct http_service *, struct http_request *, struct http_response *);
void http_handle_collection_get(struct http_service *, struct http_request *, struct http_response *);
void http_handle_collection_put(struct http_service *, struct http_request *, struct http_response *);
void http_handle_collection_patch(struct http_service *, struct http_request *, struct http_response *);
void http_handle_collection_delete(struct http_service *, struct http_request *, struct http_response *);
void http_handle_enroll(struct http_service *, struct http_request *, struct http_response *);
void http_handle_face_list(struct http_service *, struct http_request *, struct http_response *);
void http_handle_face_get(struct http_service *, struct http_request *, struct http_response *);
void http_handle_face_delete(struct http_service *, struct http_request *, struct http_response *);
void http_handle_subject_list(struct http_service *, struct http_request *, struct http_response *);
void http_handle_subject_patch(struct http_service *, struct http_request *, struct http_response *);
void http_handle_subject_delete(struct http_service *, struct http_request *, struct http_response *);
void http_handle_search(struct http_service *, struct http_request *, struct http_response *);
void http_handle_model_server(struct http_service *, struct http_request *, struct http_response *);
void http_handle_model_server_live(struct http_service *, struct http_request *, struct http_response *);
void http_handle_model_server_ready(struct http_service *, struct http_request *, struct http_response *);
void http_handle_model_metadata(struct http_service *, struct http_request *, struct http_response *);
void http_handle_model_ready(struct http_service *, struct http_request *, struct http_response *);
void http_handle_model_infer(struct http_service *, struct http_request *, struct http_response *);
void http_handle_models_reload(struct http_service *, struct http_request *, struct http_response *);
bool http_search_at_once(struct http_service *, struct http_request *, struct http_response *);
void http_handle_import(struct http_service *, struct http_request *, struct http_response *);
void http_handle_export(struct http_service *, struct http_request *, struct http_response *);
void http_handle_rebuild(struct http_service *, struct http_request *, struct http_response *);
void http_handle_job(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_ping(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_verify(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_create(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_collections(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_drop(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_images(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_add(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_remove(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_find(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_rebuild(struct http_service *, struct http_request *, struct http_response *);
void http_handle_older_detect(struct http_service *, struct http_request *, struct http_response *);

#endif

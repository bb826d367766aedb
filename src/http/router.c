/* The table of routes. Design: service.h. */
#include <stdio.h>
#include <string.h>

#include "http/service.h"

#define NONE FRT_ROLE_NONE
#define READER FRT_ROLE_READER
#define WRITER FRT_ROLE_WRITER
#define ADMIN FRT_ROLE_ADMIN
#define CHANGE (HTTP_BODY | HTTP_CHANGES)
#define OLDER HTTP_OLDER
#define NUMBERED (CHANGE | HTTP_NUMBERED)
#define FACES (HTTP_BODY | HTTP_MODELS | HTTP_CHANGES)

static const struct http_route routes[] = {
    {"/", "GET /", http_handle_console, HTTP_GET, HTTP_HERE, 0, NONE, NULL},
    {"/console.js", "GET /console.js", http_handle_console, HTTP_GET, HTTP_HERE, 0, NONE, NULL},
    {"/console.css", "GET /console.css", http_handle_console, HTTP_GET, HTTP_HERE, 0, NONE, NULL},
    {"/healthz", "GET /healthz", http_handle_healthz, HTTP_GET, HTTP_HERE, 0, NONE, NULL},
    {"/readyz", "GET /readyz", http_handle_readyz, HTTP_GET, HTTP_STORE, 0, NONE, NULL},
    {"/version", "GET /version", http_handle_version, HTTP_GET, HTTP_HERE, 0, NONE, NULL},
    {"/metrics", "GET /metrics", http_handle_metrics, HTTP_GET, HTTP_STORE, 0, READER, NULL},
    {"/openapi.json", "GET /openapi.json", http_handle_openapi, HTTP_GET, HTTP_HERE, 0, NONE, NULL},
    {"/v1/detect", "POST /v1/detect", http_handle_detect, HTTP_POST, HTTP_WORKERS, FACES, READER, NULL},
    {"/v1/embed", "POST /v1/embed", http_handle_embed, HTTP_POST, HTTP_WORKERS, FACES, READER, NULL},
    {"/v1/verify", "POST /v1/verify", http_handle_verify, HTTP_POST, HTTP_WORKERS, FACES, READER, NULL},
    {"/v1/auth/login", "POST /v1/auth/login", http_handle_login, HTTP_POST, HTTP_LOGINS, CHANGE, NONE, NULL},
    {"/v1/keys", "GET /v1/keys", http_handle_key_list, HTTP_GET, HTTP_STORE, 0, ADMIN, NULL},
    {"/v1/keys", "POST /v1/keys", http_handle_key_add, HTTP_POST, HTTP_STORE, CHANGE, ADMIN, NULL},
    {"/v1/keys/{id}", "DELETE /v1/keys/{id}", http_handle_key_delete, HTTP_DELETE, HTTP_STORE, CHANGE, ADMIN,
     NULL},
    {"/v1/collections", "GET /v1/collections", http_handle_collection_list, HTTP_GET, HTTP_STORE, 0, READER,
     NULL},
    {"/v1/collections/{c}", "GET /v1/collections/{c}", http_handle_collection_get, HTTP_GET, HTTP_STORE, 0,
     READER, NULL},
    {"/v1/collections/{c}", "PUT /v1/collections/{c}", http_handle_collection_put, HTTP_PUT, HTTP_STORE,
     NUMBERED, ADMIN, NULL},
    {"/v1/collections/{c}", "PATCH /v1/collections/{c}", http_handle_collection_patch, HTTP_PATCH, HTTP_STORE,
     NUMBERED, ADMIN, NULL},
    {"/v1/collections/{c}", "DELETE /v1/collections/{c}", http_handle_collection_delete, HTTP_DELETE,
     HTTP_STORE, NUMBERED, ADMIN, NULL},
    {"/v1/collections/{c}/faces", "POST /v1/collections/{c}/faces", http_handle_enroll, HTTP_POST, HTTP_WORKERS,
     FACES | HTTP_NUMBERED, WRITER, NULL},
    {"/v1/collections/{c}/faces", "GET /v1/collections/{c}/faces", http_handle_face_list, HTTP_GET, HTTP_STORE,
     0, READER, NULL},
    {"/v1/collections/{c}/faces/{face_id}", "GET /v1/collections/{c}/faces/{face_id}", http_handle_face_get,
     HTTP_GET, HTTP_STORE, 0, READER, NULL},
    {"/v1/collections/{c}/faces/{face_id}", "DELETE /v1/collections/{c}/faces/{face_id}",
     http_handle_face_delete, HTTP_DELETE, HTTP_STORE, NUMBERED, WRITER, NULL},
    {"/v1/collections/{c}/subjects", "GET /v1/collections/{c}/subjects", http_handle_subject_list, HTTP_GET,
     HTTP_STORE, 0, READER, NULL},
    {"/v1/collections/{c}/subjects/{s}", "PATCH /v1/collections/{c}/subjects/{s}", http_handle_subject_patch,
     HTTP_PATCH, HTTP_STORE, NUMBERED, WRITER, NULL},
    {"/v1/collections/{c}/subjects/{s}", "DELETE /v1/collections/{c}/subjects/{s}", http_handle_subject_delete,
     HTTP_DELETE, HTTP_STORE, NUMBERED, WRITER, NULL},
    {"/v1/collections/{c}/search", "POST /v1/collections/{c}/search", http_handle_search, HTTP_POST,
     HTTP_WORKERS, FACES, READER, http_search_at_once},
    {"/v1/collections/{c}/import", "POST /v1/collections/{c}/import", http_handle_import, HTTP_POST, HTTP_STORE,
     HTTP_STREAM | HTTP_MODELS | HTTP_CHANGES | HTTP_NUMBERED, WRITER, NULL},
    {"/v1/collections/{c}/export", "GET /v1/collections/{c}/export", http_handle_export, HTTP_GET, HTTP_STORE,
     0, READER, NULL},
    {"/v1/collections/{c}/rebuild", "POST /v1/collections/{c}/rebuild", http_handle_rebuild, HTTP_POST,
     HTTP_STORE, CHANGE, ADMIN, NULL},
    {"/v1/models/reload", "POST /v1/models/reload", http_handle_models_reload, HTTP_POST, HTTP_STORE,
     CHANGE | HTTP_MODELS, ADMIN, NULL},
    {"/v1/jobs/{id}", "GET /v1/jobs/{id}", http_handle_job, HTTP_GET, HTTP_STORE, 0, READER, NULL},
    {"/v2", "GET /v2", http_handle_model_server, HTTP_GET, HTTP_HERE, 0, READER, NULL},
    {"/v2/health/live", "GET /v2/health/live", http_handle_model_server_live, HTTP_GET, HTTP_HERE, 0, NONE,
     NULL},
    {"/v2/health/ready", "GET /v2/health/ready", http_handle_model_server_ready, HTTP_GET, HTTP_HERE, 0, NONE,
     NULL},
    {"/v2/models/{model}", "GET /v2/models/{model}", http_handle_model_metadata, HTTP_GET, HTTP_WORKERS,
     HTTP_MODELS, READER, NULL},
    {"/v2/models/{model}/ready", "GET /v2/models/{model}/ready", http_handle_model_ready, HTTP_GET,
     HTTP_WORKERS, HTTP_MODELS, READER, NULL},
    {"/v2/models/{model}/infer", "POST /v2/models/{model}/infer", http_handle_model_infer, HTTP_POST,
     HTTP_WORKERS, FACES, READER, NULL},
    {"/v2/models/{model}/versions/{version}", "GET /v2/models/{model}/versions/{version}",
     http_handle_model_metadata, HTTP_GET, HTTP_WORKERS, HTTP_MODELS, READER, NULL},
    {"/v2/models/{model}/versions/{version}/ready", "GET /v2/models/{model}/versions/{version}/ready",
     http_handle_model_ready, HTTP_GET, HTTP_WORKERS, HTTP_MODELS, READER, NULL},
    {"/v2/models/{model}/versions/{version}/infer", "POST /v2/models/{model}/versions/{version}/infer",
     http_handle_model_infer, HTTP_POST, HTTP_WORKERS, FACES, READER, NULL},
    {"/ping", "GET /ping", http_handle_older_ping, HTTP_GET, HTTP_HERE, OLDER, NONE, NULL},
    {"/login", "POST /login", http_handle_login, HTTP_POST, HTTP_LOGINS, OLDER | CHANGE, NONE, NULL},
    {"/verify", "POST /verify", http_handle_older_verify, HTTP_POST, HTTP_WORKERS, OLDER | FACES, READER, NULL},
    {"/create-collection", "POST /create-collection", http_handle_older_create, HTTP_POST, HTTP_STORE,
     OLDER | NUMBERED, ADMIN, NULL},
    {"/list-collections", "GET /list-collections", http_handle_older_collections, HTTP_GET, HTTP_STORE, OLDER,
     READER, NULL},
    {"/delete-collection", "DELETE /delete-collection", http_handle_older_drop, HTTP_DELETE, HTTP_STORE,
     OLDER | NUMBERED, ADMIN, NULL},
    {"/list-images", "GET /list-images", http_handle_older_images, HTTP_GET, HTTP_STORE, OLDER, READER, NULL},
    {"/add-image", "POST /add-image", http_handle_older_add, HTTP_POST, HTTP_WORKERS,
     OLDER | FACES | HTTP_NUMBERED, WRITER, NULL},
    {"/delete-image", "DELETE /delete-image", http_handle_older_remove, HTTP_DELETE, HTTP_STORE,
     OLDER | NUMBERED, WRITER, NULL},
    {"/find", "POST /find", http_handle_older_find, HTTP_POST, HTTP_WORKERS, OLDER | FACES, READER, NULL},
    {"/rebuild-index", "POST /rebuild-index", http_handle_older_rebuild, HTTP_POST, HTTP_STORE, OLDER | CHANGE,
     ADMIN, NULL},
    {"/detect-face", "POST /detect-face", http_handle_older_detect, HTTP_POST, HTTP_WORKERS, OLDER | FACES,
     READER, NULL},
};
#define N_ROUTES (sizeof routes / sizeof *routes)

static const char *const method_names[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

const struct http_route *http_routes(size_t *n)
{
    *n = N_ROUTES;
    return routes;
}

const struct http_route *http_route_find(enum http_method method, const struct http_path *path,
                                         const char *params[HTTP_MAX_PATH_PARAMS])
{
    for (size_t i = 0; i < N_ROUTES; i++)
        if (routes[i].method == method && http_path_matches(path, routes[i].path, params))
            return &routes[i];
    return NULL;
}

bool http_route_methods(const struct http_path *path, char *out, size_t size, uint32_t *flags)
{
    const char *params[HTTP_MAX_PATH_PARAMS];
    size_t used = 0;
    out[0] = '\0';
    *flags = UINT32_MAX;
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (!http_path_matches(path, routes[i].path, params))
            continue;
        int n = snprintf(out + used, size - used, "%s%s%s", used == 0 ? "" : ", ",
                         method_names[routes[i].method], routes[i].method == HTTP_GET ? ", HEAD" : "");
        if (n < 0 || (size_t)n >= size - used)
            break;
        used += (size_t)n;
        *flags &= routes[i].flags;
    }
    if (used > 0 && size - used > sizeof ", OPTIONS")
        (void)snprintf(out + used, size - used, ", OPTIONS");
    if (used == 0)
        *flags = 0;
    return used > 0;
}

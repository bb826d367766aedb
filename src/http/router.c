/* The table of routes. Design: service.h. */
#include <stdio.h>
#include <string.h>

#include "http/service.h"

static const struct http_route routes[] = {
    {"/", "GET /", http_handle_console, HTTP_GET, false, false},
    {"/console.js", "GET /console.js", http_handle_console, HTTP_GET, false, false},
    {"/console.css", "GET /console.css", http_handle_console, HTTP_GET, false, false},
    {"/healthz", "GET /healthz", http_handle_healthz, HTTP_GET, false, false},
    {"/readyz", "GET /readyz", http_handle_readyz, HTTP_GET, false, false},
    {"/version", "GET /version", http_handle_version, HTTP_GET, false, false},
    {"/metrics", "GET /metrics", http_handle_metrics, HTTP_GET, false, false},
    {"/openapi.json", "GET /openapi.json", http_handle_openapi, HTTP_GET, false, false},
    {"/v1/detect", "POST /v1/detect", http_handle_detect, HTTP_POST, true, true},
    {"/v1/embed", "POST /v1/embed", http_handle_embed, HTTP_POST, true, true},
    {"/v1/verify", "POST /v1/verify", http_handle_verify, HTTP_POST, true, true},
};
#define N_ROUTES (sizeof routes / sizeof *routes)

static const char *const method_names[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

const struct http_route *http_routes(size_t *n)
{
    *n = N_ROUTES;
    return routes;
}

const struct http_route *http_route_find(enum http_method method, const char *path)
{
    for (size_t i = 0; i < N_ROUTES; i++)
        if (routes[i].method == method && strcmp(routes[i].path, path) == 0)
            return &routes[i];
    return NULL;
}

bool http_route_methods(const char *path, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (strcmp(routes[i].path, path) != 0)
            continue;
        int n = snprintf(out + used, size - used, "%s%s%s", used == 0 ? "" : ", ",
                         method_names[routes[i].method], routes[i].method == HTTP_GET ? ", HEAD" : "");
        if (n < 0 || (size_t)n >= size - used)
            break;
        used += (size_t)n;
    }
    if (used > 0 && size - used > sizeof ", OPTIONS")
        (void)snprintf(out + used, size - used, ", OPTIONS");
    return used > 0;
}

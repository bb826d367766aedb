/* /healthz, /readyz, /version, /metrics, /openapi.json and the console. Contract: docs/api.md. */
#include <string.h>

#include "core/json_write.h"
#include "engine/answer_gallery.h"
#include "engine/context.h"
#include "http/assets.h"
#include "http/service.h"

static void one_word(struct http_response *response, const char *key, const char *word)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, &response->body, false);
    frt_json_object(&w);
    frt_json_key(&w, key);
    frt_json_string(&w, word);
    frt_json_end(&w);
}

void http_handle_healthz(struct http_service *service, struct http_request *request,
                         struct http_response *response)
{
    (void)service;
    (void)request;
    one_word(response, "status", "ok");
}

void http_handle_readyz(struct http_service *service, struct http_request *request,
                        struct http_response *response)
{
    switch ((enum http_state)atomic_load(&service->state)) {
    case HTTP_STARTING:
        http_problem_as(response, request, 503, "starting", "Not ready", "the models are being loaded");
        return;
    case HTTP_DRAINING:
        http_problem_as(response, request, 503, "stopping", "Not ready", "the service is stopping");
        return;
    case HTTP_READY:
        break;
    }
    one_word(response, "status", "ready");
}

void http_handle_version(struct http_service *service, struct http_request *request,
                         struct http_response *response)
{
    struct frt_json_writer w;
    const struct frt_pack *pack = atomic_load(&service->pack);
    (void)request;
    frt_json_writer_init(&w, &response->body, false);
    frt_json_object(&w);
    frt_json_key(&w, "name");
    frt_json_string(&w, "frt");
    frt_json_key(&w, "version");
    frt_json_string(&w, frt_version());
    frt_json_key(&w, "runtime");
    frt_json_object(&w);
    frt_json_key(&w, "name");
    frt_json_string(&w, service->context->backend->ops->name);
    frt_json_key(&w, "version");
    frt_json_string(&w, service->context->backend->ops->version(service->context->backend));
    frt_json_end(&w);
    frt_json_key(&w, "pack");
    if (pack == NULL) {
        frt_json_null(&w);
    } else {
        const struct frt_pack_info *info = frt_pack_info_get(pack);
        frt_json_object(&w);
        frt_json_key(&w, "name");
        frt_json_string(&w, info->name);
        frt_json_key(&w, "version");
        frt_json_string(&w, info->version);
        frt_json_key(&w, "id");
        frt_json_string(&w, info->id);
        frt_json_key(&w, "threshold");
        frt_json_fixed(&w, (double)info->default_threshold, 6);
        frt_json_end(&w);
    }
    frt_json_end(&w);
}

/* JSON unless Prometheus is asked for: by the query, else by Accept. */
static enum frt_status wants_prometheus(const struct http_request *request, bool *out, struct frt_error *err)
{
    bool prometheus = request->accept != NULL && (strstr(request->accept, "text/plain") != NULL ||
                                                  strstr(request->accept, "openmetrics") != NULL);
    for (size_t i = 0; i < request->n_query; i++) {
        const struct http_param *p = &request->query[i];
        bool known = strcmp(p->name, "format") == 0 &&
                     (strcmp(p->value, "prometheus") == 0 || strcmp(p->value, "json") == 0);
        if (!known)
            return frt_fail(err, FRT_EBAD_REQUEST, "metrics takes format=json or format=prometheus");
        prometheus = strcmp(p->value, "prometheus") == 0;
    }
    *out = prometheus;
    return FRT_OK;
}

void http_handle_metrics(struct http_service *service, struct http_request *request,
                         struct http_response *response)
{
    struct frt_error err = {0};
    bool prometheus = false;
    enum frt_status status = wants_prometheus(request, &prometheus, &err);
    if (status != FRT_OK) {
        http_problem(response, request, status, err.text);
    } else if (prometheus) {
        response->content_type = "text/plain; version=0.0.4; charset=utf-8";
        frt_metrics_prometheus(service->metrics, &response->body);
    } else {
        frt_metrics_json(service->metrics, &response->body);
    }
}

static void asset(struct http_response *response, const char *type, const unsigned char *bytes, size_t size)
{
    response->content_type = type;
    response->fixed = bytes;
    response->fixed_size = size;
    http_response_header(response, "Cache-Control", "no-cache");
}

void http_handle_openapi(struct http_service *service, struct http_request *request,
                         struct http_response *response)
{
    (void)service;
    (void)request;
    asset(response, "application/json", asset_openapi_json, asset_openapi_json_size);
}

void http_handle_console(struct http_service *service, struct http_request *request,
                         struct http_response *response)
{
    (void)service;
    if (strcmp(request->path.segments[0], "console.js") == 0) {
        asset(response, "text/javascript; charset=utf-8", asset_console_js, asset_console_js_size);
    } else if (strcmp(request->path.segments[0], "console.css") == 0) {
        asset(response, "text/css; charset=utf-8", asset_console_css, asset_console_css_size);
    } else {
        asset(response, "text/html; charset=utf-8", asset_index_html, asset_index_html_size);
        http_response_header(
            response, "Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    }
}

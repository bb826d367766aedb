/* /healthz, /readyz, /version, /metrics, /openapi.json and the console. Contract: docs/api.md. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json_write.h"
#include "engine/answer_gallery.h"
#include "engine/context.h"
#include "engine/gallery_figures.h"
#include "engine/shared.h"
#include "http/assets.h"
#include "http/service.h"

enum gauge { GAUGE_FACES = 0, GAUGE_BYTES, GAUGE_RECALL, GAUGE_COUNT };

static const struct {
    const char *name, *help;
} gauges[GAUGE_COUNT] = {
    {"frt_collection_faces", "Faces of a collection."},
    {"frt_collection_index_bytes", "Memory of a collection's index."},
    {"frt_collection_index_recall_estimate",
     "Share of the right answers that the index finds, as it measures itself."},
};

enum { LIST_PAGE = 1000, PATH_NAME_SIZE = 129 };

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

/* NULL: ready; else the code of what is in the way, and err->text. */
static const char *not_ready(struct http_service *service, struct frt_error *err)
{
    switch ((enum http_state)atomic_load(&service->state)) {
    case HTTP_STARTING:
        (void)snprintf(err->text, sizeof err->text, "the models are being loaded");
        return "starting";
    case HTTP_LEAVING:
    case HTTP_DRAINING:
        (void)snprintf(err->text, sizeof err->text, "the service is stopping");
        return "stopping";
    case HTTP_READY:
        break;
    }
    return frt_gallery_check(service->gallery, err) == FRT_OK ? NULL : frt_status_code(err->status);
}

/* Ready; what is done without meanwhile is said beside it. A device that is down is a matter of speed, not of
 * answers. */
static void ready(struct http_service *service, struct http_response *response)
{
    struct frt_backend_state states[FRT_METRICS_MAX_DEVICES];
    const size_t n = frt_backend_states(service->context->backend, states, FRT_METRICS_MAX_DEVICES);
    struct frt_json_writer w;
    struct frt_shared_cache_stats redis = {.up = true};
    if (service->shared != NULL)
        frt_shared_cache_stats_get(service->shared, &redis);
    frt_json_writer_init(&w, &response->body, false);
    frt_json_object(&w);
    frt_json_key(&w, "status");
    frt_json_string(&w, "ready");
    if (!redis.up) {
        frt_json_key(&w, "degraded");
        frt_json_object(&w);
        frt_json_key(&w, "redis");
        frt_json_string(&w, "away"); /* why stands in the log, which not everybody reads */
        frt_json_end(&w);
    }
    if (n > 0) {
        frt_json_key(&w, "devices");
        frt_json_array(&w);
    }
    for (size_t i = 0; i < n; i++) {
        frt_json_object(&w);
        frt_json_key(&w, "device");
        frt_json_string(&w, states[i].device);
        frt_json_key(&w, "serving");
        frt_json_string(&w, states[i].serving);
        frt_json_key(&w, "state");
        frt_json_string(&w, states[i].state);
        frt_json_end(&w);
    }
    if (n > 0)
        frt_json_end(&w);
    frt_json_end(&w);
}

void http_handle_readyz(struct http_service *service, struct http_request *request,
                        struct http_response *response)
{
    struct frt_error err = {0};
    const char *code = not_ready(service, &err);
    if (code != NULL)
        http_problem_as(response, request, 503, code, "Not ready", err.text);
    else
        ready(service, response);
}

void http_handle_version(struct http_service *service, struct http_request *request,
                         struct http_response *response)
{
    struct frt_json_writer w;
    const struct frt_pack *pack = request->pack;
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

/* What /metrics says of collections. */
struct gallery_metrics {
    bool there; /* the store could be read */
    uint64_t count, faces, behind;
    struct frt_gallery_figures figures;
    struct frt_buf index;               /* JSON object: figures of indexes by name */
    struct frt_buf series[GAUGE_COUNT]; /* the same for Prometheus, which wants a gauge's lines together */
};

static void add_series(struct frt_buf series[GAUGE_COUNT], const struct frt_collection_info *info)
{
    /* names are [A-Za-z0-9._-]: nothing to escape */
    frt_buf_printf(&series[GAUGE_FACES], "%s{collection=\"%s\"} %llu\n", gauges[GAUGE_FACES].name, info->name,
                   (unsigned long long)info->faces);
    if (info->index_kind[0] == '\0')
        return;
    frt_buf_printf(&series[GAUGE_BYTES], "%s{collection=\"%s\",kind=\"%s\"} %llu\n", gauges[GAUGE_BYTES].name,
                   info->name, info->index_kind, (unsigned long long)info->index_bytes);
    if (isfinite(info->recall_estimate))
        frt_buf_printf(&series[GAUGE_RECALL], "%s{collection=\"%s\"} %.6f\n", gauges[GAUGE_RECALL].name,
                       info->name, info->recall_estimate);
}

static enum frt_status read_gallery(struct http_service *service, struct gallery_metrics *out,
                                    struct frt_error *err)
{
    struct frt_json_writer w;
    char after[PATH_NAME_SIZE] = "";
    enum frt_status status = FRT_OK;
    frt_gallery_figures_get(service->gallery, &out->figures);
    frt_json_writer_init(&w, &out->index, false);
    frt_json_object(&w);
    for (size_t n = LIST_PAGE; status == FRT_OK && n == LIST_PAGE;) {
        struct frt_collection_info *list = NULL;
        status = frt_collection_list(service->gallery, after, LIST_PAGE, &list, &n, err);
        if (status != FRT_OK)
            break;
        frt_answer_index_metrics(&w, list, n);
        for (size_t i = 0; i < n; i++) {
            out->faces += list[i].faces;
            if (list[i].index_behind > out->behind)
                out->behind = list[i].index_behind;
            add_series(out->series, &list[i]);
        }
        out->count += n;
        if (n > 0)
            (void)snprintf(after, sizeof after, "%s", list[n - 1].name);
        frt_collection_list_free(list, n);
    }
    frt_json_end(&w);
    return status;
}

/* Indexes that came into being since start, and the time that took. */
static void made(struct frt_json_writer *w, const char *key, uint64_t count, double ms)
{
    frt_json_key(w, key);
    frt_json_object(w);
    frt_json_key(w, "count");
    frt_json_int(w, (int64_t)count);
    frt_json_key(w, "ms");
    frt_json_fixed(w, ms, 3);
    frt_json_end(w);
}

static void gallery_members(struct frt_json_writer *w, void *arg)
{
    const struct gallery_metrics *gallery = arg;
    frt_json_key(w, "collections");
    frt_json_object(w);
    frt_json_key(w, "count");
    frt_json_int(w, (int64_t)gallery->count);
    frt_json_key(w, "faces");
    frt_json_int(w, (int64_t)gallery->faces);
    frt_json_key(w, "index");
    frt_json_raw(w, gallery->index.data, gallery->index.size);
    made(w, "loads", gallery->figures.index_loads, gallery->figures.index_load_ms);
    made(w, "builds", gallery->figures.index_builds, gallery->figures.index_build_ms);
    frt_json_key(w, "feed");
    frt_json_object(w);
    frt_json_key(w, "connected");
    frt_json_bool(w, gallery->figures.feed_connected);
    frt_json_key(w, "behind_changes");
    frt_json_int(w, (int64_t)gallery->behind);
    frt_json_key(w, "behind_seconds");
    frt_json_fixed(w, gallery->figures.behind_s, 3);
    frt_json_end(w);
    frt_json_end(w);
}

static void gauge(struct frt_buf *out, const char *name, const char *help, uint64_t value)
{
    frt_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %llu\n", name, help, name, name,
                   (unsigned long long)value);
}

/* What Prometheus is told beside src/metrics: is it ready, as /readyz says, and the collections. */
static void gallery_series(struct http_service *service, const struct gallery_metrics *gallery,
                           struct frt_buf *out)
{
    struct frt_error err = {0};
    gauge(out, "frt_ready", "1 when /readyz says 200.", gallery->there && not_ready(service, &err) == NULL);
    gauge(out, "frt_store_up", "1 when the store answered this scrape.", gallery->there);
    if (!gallery->there)
        return;
    gauge(out, "frt_collections", "Collections.", gallery->count);
    const struct frt_metrics_feed feed = {gallery->figures.feed_connected, gallery->behind,
                                          gallery->figures.behind_s};
    frt_metrics_prometheus_feed(&feed, out);
    for (int i = 0; i < GAUGE_COUNT; i++) {
        frt_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", gauges[i].name, gauges[i].help, gauges[i].name);
        frt_buf_append(out, gallery->series[i].data, gallery->series[i].size);
    }
}

enum format { FORMAT_JSON = 0, FORMAT_PROMETHEUS, FORMAT_OPENMETRICS };

/* JSON unless another is asked for: by the query, else by Accept. */
static enum frt_status wanted_format(const struct http_request *request, enum format *out,
                                     struct frt_error *err)
{
    static const char *const words[] = {"json", "prometheus", "openmetrics"};
    const char *accept = request->accept == NULL ? "" : request->accept;
    enum format format = strstr(accept, "openmetrics") != NULL  ? FORMAT_OPENMETRICS
                         : strstr(accept, "text/plain") != NULL ? FORMAT_PROMETHEUS
                                                                : FORMAT_JSON;
    for (size_t i = 0; i < request->n_query; i++) {
        int k = 0;
        while (k < 3 && strcmp(request->query[i].value, words[k]) != 0)
            k++;
        if (k == 3 || strcmp(request->query[i].name, "format") != 0)
            return frt_fail(err, FRT_EBAD_REQUEST, "metrics takes format=json, prometheus or openmetrics");
        format = (enum format)k;
    }
    *out = format;
    return FRT_OK;
}

void http_handle_metrics(struct http_service *service, struct http_request *request,
                         struct http_response *response)
{
    struct frt_error err = {0};
    struct gallery_metrics gallery = {0};
    enum format format = FORMAT_JSON;
    frt_buf_init(&gallery.index, response->body.max);
    for (int i = 0; i < GAUGE_COUNT; i++)
        frt_buf_init(&gallery.series[i], response->body.max);
    enum frt_status status = wanted_format(request, &format, &err);
    if (status == FRT_OK) {
        status = read_gallery(service, &gallery, &err);
        if (status == FRT_OK && frt_buf_status(&gallery.index) != FRT_OK)
            status = frt_fail_nomem(&err, "the figures of collections");
        gallery.there = status == FRT_OK;
        if (format != FORMAT_JSON)
            status = FRT_OK; /* a store that is down is when the other figures are wanted most */
    }
    if (status != FRT_OK) {
        http_problem(response, request, status, err.text);
    } else if (format != FORMAT_JSON) {
        response->content_type = format == FORMAT_PROMETHEUS
                                     ? "text/plain; version=0.0.4; charset=utf-8"
                                     : "application/openmetrics-text; version=1.0.0; charset=utf-8";
        frt_metrics_prometheus(service->metrics, format == FORMAT_OPENMETRICS, &response->body);
        gallery_series(service, &gallery, &response->body);
        if (format == FORMAT_OPENMETRICS)
            frt_buf_append_text(&response->body, "# EOF\n");
    } else {
        frt_metrics_json_with(service->metrics, &response->body, gallery_members, &gallery);
    }
    frt_buf_deinit(&gallery.index);
    for (int i = 0; i < GAUGE_COUNT; i++)
        frt_buf_deinit(&gallery.series[i]);
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

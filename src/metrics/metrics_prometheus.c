/* Metrics as Prometheus text (exposition format 0.0.4) and as OpenMetrics 1.0. They differ in how the family of
 * a counter is called, and OpenMetrics has an end mark. */
#include <stdio.h>
#include <string.h>

#include "metrics/metrics.h"
#include "metrics/process.h"

static const double bounds_ms[] = {0.1, 0.25, 0.5, 1,    2.5,  5,    10,    25,   50,
                                   100, 250,  500, 1000, 2500, 5000, 10000, 30000};
enum { N_BOUNDS = sizeof bounds_ms / sizeof *bounds_ms };

/* What is being written. */
struct page {
    struct frt_buf *out;
    bool open; /* OpenMetrics */
};

static void head(const struct page *p, const char *name, const char *type, const char *help)
{
    size_t n = strlen(name);
    if (p->open && strcmp(type, "counter") == 0)
        n -= strlen("_total");
    frt_buf_printf(p->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)n, name, help, (int)n, name, type);
}

static void one(const struct page *p, const char *name, const char *type, const char *help, double value)
{
    head(p, name, type, help);
    frt_buf_printf(p->out, "%s %.17g\n", name, value);
}

/* label  `route="POST /v1/detect"` */
static void histogram(const struct page *p, const char *name, const char *label,
                      const struct frt_window *window)
{
    struct frt_totals totals = {0};
    frt_window_add_all(window, &totals);
    for (size_t i = 0; i < N_BOUNDS; i++)
        frt_buf_printf(p->out, p->open ? "%s_bucket{%s,le=\"%#.4g\"} %llu\n" : "%s_bucket{%s,le=\"%g\"} %llu\n",
                       name, label, bounds_ms[i] / 1000,
                       (unsigned long long)frt_totals_below(&totals, bounds_ms[i]));
    frt_buf_printf(p->out, "%s_bucket{%s,le=\"+Inf\"} %llu\n%s_sum{%s} %.6f\n%s_count{%s} %llu\n", name, label,
                   (unsigned long long)totals.count, name, label, (double)totals.sum_us / 1e6, name, label,
                   (unsigned long long)totals.count);
}

static void routes(const struct page *p, const struct frt_metrics *m)
{
    char label[128];
    head(p, "frt_request_duration_seconds", "histogram", "Time from a request's first byte to its answer.");
    for (uint32_t i = 0; i < m->n_routes; i++) {
        int n = snprintf(label, sizeof label, "route=\"%s\"", m->routes[i].name);
        if (n > 0 && (size_t)n < sizeof label)
            histogram(p, "frt_request_duration_seconds", label, &m->routes[i].time);
    }
    head(p, "frt_responses_total", "counter", "Answers by route and class of status.");
    for (uint32_t i = 0; i < m->n_routes; i++) {
        uint64_t by_class[6] = {0};
        frt_metrics_route_answers(&m->routes[i], by_class);
        for (int c = 1; c < 6; c++)
            frt_buf_printf(p->out, "frt_responses_total{route=\"%s\",class=\"%dxx\"} %llu\n", m->routes[i].name,
                           c, (unsigned long long)by_class[c]);
    }
}

static void stages(const struct page *p, const struct frt_metrics *m)
{
    char label[48];
    head(p, "frt_stage_duration_seconds", "histogram",
         "Time of one photo in a stage, or of one use of the store.");
    for (int i = 0; i < FRT_STAGE_COUNT; i++) {
        (void)snprintf(label, sizeof label, "stage=\"%s\"", frt_stage_name((enum frt_stage)i));
        histogram(p, "frt_stage_duration_seconds", label, &m->stages[i]);
    }
}

/* The format wants the lines of one metric together: a table of metrics, and in each the stages or caches. */
static void stage_states(const struct page *p, const struct frt_metrics *m)
{
    static const struct {
        const char *name, *type, *help;
    } series[] = {{"frt_stage_limit", "gauge", "Work that a stage does at once at most."},
                  {"frt_stage_busy", "gauge", "Work that is in a stage now."},
                  {"frt_stage_queued", "gauge", "Work that waits for a stage."},
                  {"frt_stage_rejected_total", "counter", "Work refused because too much waited."}};
    struct frt_metrics_stage_state states[FRT_STAGE_COUNT] = {0};
    if (m->sources.stage == NULL)
        return;
    for (int i = 0; i < FRT_STAGE_COUNT; i++)
        m->sources.stage(m->sources.arg, (enum frt_stage)i, &states[i]);
    for (size_t s = 0; s < sizeof series / sizeof *series; s++) {
        head(p, series[s].name, series[s].type, series[s].help);
        for (int i = 0; i < FRT_STAGE_COUNT; i++) {
            const uint64_t values[] = {states[i].limit, states[i].busy, states[i].queued, states[i].rejected};
            frt_buf_printf(p->out, "%s{stage=\"%s\"} %llu\n", series[s].name, frt_stage_name((enum frt_stage)i),
                           (unsigned long long)values[s]);
        }
    }
}

static void caches(const struct page *p, const struct frt_metrics *m)
{
    static const struct {
        const char *name, *type, *help;
    } series[] = {{"frt_cache_hits_total", "counter", "Look-ups that found a value."},
                  {"frt_cache_misses_total", "counter", "Look-ups that had to make the value."},
                  {"frt_cache_shared_total", "counter", "Look-ups that waited for another's work."},
                  {"frt_cache_evictions_total", "counter", "Values that left to make room."},
                  {"frt_cache_expirations_total", "counter", "Values whose time was over."},
                  {"frt_cache_entries", "gauge", "Values kept."},
                  {"frt_cache_capacity", "gauge", "Values kept at most."},
                  {"frt_cache_bytes", "gauge", "Memory of the values."},
                  {"frt_cache_capacity_bytes", "gauge", "Memory of the values at most; 0 is no limit."}};
    struct frt_metrics_cache_state list[FRT_METRICS_MAX_CACHES] = {0};
    size_t n = 0;
    if (m->sources.caches != NULL)
        n = m->sources.caches(m->sources.arg, list, FRT_METRICS_MAX_CACHES);
    for (size_t s = 0; n > 0 && s < sizeof series / sizeof *series; s++) {
        head(p, series[s].name, series[s].type, series[s].help);
        for (size_t i = 0; i < n; i++) {
            const struct frt_metrics_cache_state *c = &list[i];
            const uint64_t values[] = {c->hits,    c->misses,   c->shared, c->evictions,     c->expirations,
                                       c->entries, c->capacity, c->bytes,  c->capacity_bytes};
            frt_buf_printf(p->out, "%s{cache=\"%s\"} %llu\n", series[s].name, c->name,
                           (unsigned long long)values[s]);
        }
    }
}

static void redis(const struct page *p, const struct frt_metrics *m)
{
    struct frt_metrics_redis_state s = {.up = false};
    if (m->sources.redis == NULL || !m->sources.redis(m->sources.arg, &s))
        return;
    const struct {
        const char *name, *type, *help;
        double value;
    } series[] = {
        {"frt_redis_up", "gauge", "1 while Redis is asked; 0 while it is away.", s.up},
        {"frt_redis_servers", "gauge", "Servers that hold the cache.", s.servers},
        {"frt_redis_servers_up", "gauge", "Of these, those that are asked.", s.servers_up},
        {"frt_redis_connections", "gauge", "Connections to them.", s.connections},
        {"frt_redis_hits_total", "counter", "Look-ups that found a value.", (double)s.hits},
        {"frt_redis_misses_total", "counter", "Look-ups that found none.", (double)s.misses},
        {"frt_redis_refused_total", "counter", "Values found and not believed.", (double)s.refused},
        {"frt_redis_stored_total", "counter", "Values stored.", (double)s.stored},
        {"frt_redis_store_dropped_total", "counter", "Values not stored for want of room or of Redis.",
         (double)s.store_dropped},
        {"frt_redis_store_failed_total", "counter", "Values that Redis did not store.", (double)s.store_failed},
        {"frt_redis_queue_length", "gauge", "Values waiting to be stored.", s.queued},
        {"frt_redis_queue_bytes", "gauge", "Their size.", (double)s.queued_bytes},
        {"frt_redis_logins_limited_total", "counter", "Logins refused by the count of all instances.",
         (double)s.limited},
        {"frt_redis_falls_total", "counter", "Times that a server was given up for a while.", (double)s.falls},
        {"frt_redis_returns_total", "counter", "Times that one came back.", (double)s.returns},
        {"frt_redis_redirected_total", "counter", "Look-ups that a cluster sent elsewhere.",
         (double)s.redirected},
        {"frt_redis_lookup_seconds_total", "counter", "Time of all look-ups.", s.lookup_ms / 1000},
        {"frt_redis_budget_seconds", "gauge", "Time of one look-up at most.", s.budget_ms / 1000}};
    for (size_t i = 0; i < sizeof series / sizeof *series; i++)
        one(p, series[i].name, series[i].type, series[i].help, series[i].value);
    head(p, "frt_redis_skipped_total", "counter", "Look-ups without an answer.");
    frt_buf_printf(
        p->out,
        "frt_redis_skipped_total{reason=\"away\"} %llu\nfrt_redis_skipped_total{reason=\"late\"} %llu\n",
        (unsigned long long)s.away, (unsigned long long)s.late);
}

static void batches(const struct page *p, const struct frt_metrics *m)
{
    struct frt_metrics_batch_state state = {0};
    if (m->sources.batches == NULL)
        return;
    m->sources.batches(m->sources.arg, &state);
    one(p, "frt_batches_total", "counter", "Inferences of a batch.", (double)state.count);
    one(p, "frt_batch_items_total", "counter", "Faces in all batches.", (double)state.items);
}

static void indexes(const struct page *p, const struct frt_metrics *m)
{
    struct frt_metrics_index_state state = {0};
    if (m->sources.indexes == NULL)
        return;
    m->sources.indexes(m->sources.arg, &state);
    one(p, "frt_index_loads_total", "counter", "Indexes opened from a snapshot.", (double)state.loads);
    one(p, "frt_index_load_seconds_total", "counter", "Time that took.", state.load_ms / 1000);
    one(p, "frt_index_builds_total", "counter", "Indexes built from the store's rows.", (double)state.builds);
    one(p, "frt_index_build_seconds_total", "counter", "Time that took.", state.build_ms / 1000);
}

static void store(const struct page *p, const struct frt_metrics *m)
{
    struct frt_metrics_store_state state = {0};
    if (m->sources.store == NULL)
        return;
    m->sources.store(m->sources.arg, &state);
    one(p, "frt_store_errors_total", "counter", "Reads and writes that failed by the database.",
        (double)state.errors);
    one(p, "frt_store_reconnects_total", "counter", "Connections to the database server that were lost.",
        (double)state.reconnects);
}

static void remote(const struct page *p, const struct frt_metrics *m)
{
    struct frt_metrics_remote r = {.protocol = NULL};
    char label_text[48];
    if (m->sources.remote == NULL || !m->sources.remote(m->sources.arg, &r))
        return;
    one(p, "frt_remote_breaker_open", "gauge", "1 while the model server is not asked after failures.",
        r.breaker_open ? 1 : 0);
    one(p, "frt_remote_breaker_opened_total", "counter", "Times that the breaker opened.",
        (double)r.breaker_opened);
    head(p, "frt_remote_requests_total", "counter", "Requests to the model server, by how they ended.");
    for (int i = 0; i < FRT_METRICS_REMOTE_OUTCOMES; i++)
        frt_buf_printf(p->out, "frt_remote_requests_total{outcome=\"%s\"} %llu\n", r.outcomes[i],
                       (unsigned long long)r.requests[i]);
    head(p, "frt_remote_request_duration_seconds", "histogram",
         "Time of one request to a model of the model server.");
    (void)snprintf(label_text, sizeof label_text, "protocol=\"%s\"", r.protocol);
    histogram(p, "frt_remote_request_duration_seconds", label_text, r.time);
    one(p, "frt_remote_retries_total", "counter", "Further tries of one inference.", (double)r.retries);
    one(p, "frt_remote_fallbacks_total", "counter",
        "Inferences that the models here did in the server's place.", (double)r.fallbacks);
    one(p, "frt_remote_comparisons_total", "counter", "Answers compared with those of the models here.",
        (double)r.comparisons);
    one(p, "frt_remote_differences_total", "counter", "Comparisons that found another model.",
        (double)r.differences);
    one(p, "frt_remote_sent_bytes_total", "counter", "Bytes of inferences sent.", (double)r.sent_bytes);
    one(p, "frt_remote_received_bytes_total", "counter", "Bytes of their answers.", (double)r.received_bytes);
}

static void gpu_search(const struct page *p, const struct frt_metrics *m)
{
    struct frt_metrics_gpu_search s = {0};
    if (m->sources.gpu_search == NULL || !m->sources.gpu_search(m->sources.arg, &s))
        return;
    one(p, "frt_gpu_index_up", "gauge", "1 while the GPU that indexes are to be searched on is in use.",
        s.up ? 1 : 0);
    one(p, "frt_gpu_index_resident", "gauge", "Indexes with a copy on the GPU.", (double)s.resident);
    one(p, "frt_gpu_index_bytes", "gauge", "Memory of the GPU that indexes take.", (double)s.memory_bytes);
    one(p, "frt_gpu_index_limit_bytes", "gauge", "Memory of the GPU that indexes may take.",
        (double)s.limit_bytes);
    one(p, "frt_gpu_index_uploaded_bytes_total", "counter", "Bytes brought to the GPU.",
        (double)s.uploaded_bytes);
    one(p, "frt_gpu_index_searches_total", "counter", "Searches that the GPU took part in.",
        (double)s.searches);
    one(p, "frt_gpu_index_fallbacks_total", "counter",
        "Searches that the GPU should have done and the processor did.", (double)s.fallbacks);
    one(p, "frt_gpu_index_uncertain_total", "counter",
        "Queries done again by the processor because the GPU's answer could not be proven complete.",
        (double)s.uncertain);
    one(p, "frt_gpu_index_evictions_total", "counter", "Indexes that left the GPU to make room for others.",
        (double)s.evictions);
    one(p, "frt_gpu_index_failures_total", "counter", "Times the GPU was given up for a while.",
        (double)s.failures);
}

static void gpu(const struct page *p, struct frt_metrics *m)
{
    struct frt_gpu_reading g;
    struct frt_gpu *device = atomic_load(&m->gpu);
    if (device == NULL || !frt_gpu_read(device, &g))
        return;
    one(p, "frt_gpu_memory_used_bytes", "gauge", "Memory of the first GPU in use, by all programs.",
        (double)g.memory_used_bytes);
    one(p, "frt_gpu_memory_total_bytes", "gauge", "Memory of the first GPU.", (double)g.memory_total_bytes);
    if (m->gpu_limit_bytes > 0)
        one(p, "frt_gpu_memory_limit_bytes", "gauge", "Memory of it that models may take.",
            (double)m->gpu_limit_bytes);
    one(p, "frt_gpu_utilization_ratio", "gauge", "Share of time the first GPU was busy, 0 to 1.",
        g.utilization_percent / 100);
}

static void label(const struct page *p, const char *before, const char *name, const char *value)
{
    frt_buf_printf(p->out, "%s%s=\"", before, name);
    for (const char *c = value; c != NULL && *c != '\0'; c++) /* a pack may be anybody's */
        frt_buf_printf(p->out, *c == '\n' ? "\\n" : *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    frt_buf_append_char(p->out, '"');
}

static void devices(const struct page *p, const struct frt_metrics *m)
{
    static const struct {
        const char *name, *type, *help;
    } series[] = {
        {"frt_device_fallback", "gauge", "1 while another device serves than the one that is wanted."},
        {"frt_device_models", "gauge", "Models opened for a device."},
        {"frt_device_models_on_device", "gauge", "Models that it serves now."},
        {"frt_device_failovers_total", "counter", "Times that a device failed and another took over."},
        {"frt_device_model_falls_total", "counter", "Times that one model left a device and others stayed."},
        {"frt_device_returns_total", "counter", "Times that a device took its models back."},
        {"frt_device_probes_total", "counter", "Looks whether a device is back."},
        {"frt_device_spills_total", "counter", "Inferences that a device was too busy or too narrow for."},
        {"frt_device_runs_total", "counter", "Inferences on a device."},
        {"frt_device_fallback_runs_total", "counter", "Inferences in its place."}};
    struct frt_metrics_device list[FRT_METRICS_MAX_DEVICES];
    size_t n = 0;
    if (m->sources.devices != NULL)
        n = m->sources.devices(m->sources.arg, list, FRT_METRICS_MAX_DEVICES);
    for (size_t s = 0; s < sizeof series / sizeof *series; s++) {
        head(p, series[s].name, series[s].type, series[s].help);
        for (size_t i = 0; i < n; i++) {
            const struct frt_metrics_device *d = &list[i];
            const uint64_t values[] = {strcmp(d->device, d->serving) != 0,
                                       d->models,
                                       d->on_device,
                                       d->falls,
                                       d->model_falls,
                                       d->returns,
                                       d->probes,
                                       d->spills,
                                       d->runs,
                                       d->fallback_runs};
            frt_buf_printf(p->out, "%s", series[s].name);
            label(p, "{", "device", d->device);
            frt_buf_printf(p->out, "} %llu\n", (unsigned long long)values[s]);
        }
    }
}

static void pack_in_use(const struct page *p, const struct frt_metrics *metrics)
{
    struct frt_metrics_pack pack = {.n_models = 0};
    if (metrics->sources.pack != NULL && metrics->sources.pack(metrics->sources.arg, &pack)) {
        head(p, "frt_pack_info", "gauge", "Always 1; the pack in use is in the labels.");
        label(p, "frt_pack_info{", "name", pack.name);
        label(p, ",", "version", pack.version);
        label(p, ",", "id", pack.id);
        frt_buf_append_text(p->out, "} 1\n");
        one(p, "frt_pack_reloads_total", "counter", "Packs that took another's place since start.",
            (double)pack.reloads);
        one(p, "frt_pack_reload_failures_total", "counter", "Packs that were asked for and not taken.",
            (double)pack.failures);
        one(p, "frt_packs_waiting", "gauge", "Former packs that are still in memory.", pack.waiting);
    }
    head(p, "frt_model_info", "gauge", "Always 1; the models in use are labels.");
    for (uint32_t i = 0; i < pack.n_models; i++) {
        const struct frt_metrics_model *model = &pack.models[i];
        label(p, "frt_model_info{", "name", model->name);
        label(p, ",", "role", model->role);
        label(p, ",", "precision", model->precision);
        label(p, ",", "device", model->device);
        frt_buf_append_text(p->out, "} 1\n");
    }
}

void frt_metrics_prometheus(struct frt_metrics *metrics, bool open, struct frt_buf *out)
{
    const struct page page = {out, open}, *p = &page;
    const struct frt_metrics_counts counts = frt_metrics_counts_get(metrics);
    struct frt_process_reading reading = frt_process_read();
    struct frt_worker_pool_stats s = {0};
    if (metrics->pool != NULL)
        s = frt_worker_pool_stats_get(metrics->pool);
    head(p, "frt_build_info", "gauge", "Always 1; the version is a label.");
    frt_buf_printf(out, "frt_build_info{version=\"%s\"} 1\n", frt_version());
    one(p, "frt_uptime_seconds", "gauge", "Time since start.",
        (double)(metrics->clock->monotonic_ns(metrics->clock) - metrics->start_ns) / 1e9);
    one(p, "process_cpu_seconds_total", "counter", "CPU time used.", reading.cpu_seconds);
    one(p, "process_resident_memory_bytes", "gauge", "Resident memory.", (double)reading.rss_bytes);
    one(p, "process_resident_memory_max_bytes", "gauge", "Most resident memory so far.",
        (double)reading.peak_rss_bytes);
    one(p, "process_open_fds", "gauge", "Open file descriptors.", reading.open_files);
    one(p, "process_threads", "gauge", "Threads.", reading.threads);
    one(p, "frt_requests_total", "counter", "Requests received.", (double)counts.total);
    one(p, "frt_requests_in_flight", "gauge", "Requests being worked on.", (double)counts.in_flight);
    one(p, "frt_request_errors_total", "counter", "Answers of status 400 or above.", (double)counts.errors);
    one(p, "frt_requests_rejected_total", "counter", "Requests turned away unworked.", (double)counts.rejected);
    one(p, "frt_workers", "gauge", "Worker threads.", s.limit);
    one(p, "frt_workers_busy", "gauge", "Workers at work.", s.busy);
    one(p, "frt_queue_length", "gauge", "Requests waiting for a worker.", s.queued);
    one(p, "frt_queue_limit", "gauge", "Requests that may wait.", s.queue_limit);
    routes(p, metrics);
    stages(p, metrics);
    stage_states(p, metrics);
    caches(p, metrics);
    redis(p, metrics);
    batches(p, metrics);
    indexes(p, metrics);
    gpu_search(p, metrics);
    store(p, metrics);
    remote(p, metrics);
    gpu(p, metrics);
    devices(p, metrics);
    pack_in_use(p, metrics);
}

void frt_metrics_prometheus_feed(const struct frt_metrics_feed *feed, struct frt_buf *out)
{
    const struct page p = {.out = out};
    one(&p, "frt_feed_connected", "gauge", "1 when changes that others make are heard of.", feed->connected);
    one(&p, "frt_index_behind_changes", "gauge",
        "Numbers of changes that the index furthest behind its collection has not followed yet.",
        (double)feed->behind);
    one(&p, "frt_index_behind_seconds", "gauge", "Time since indexes had all changes; 0 when they have.",
        feed->behind_s);
}

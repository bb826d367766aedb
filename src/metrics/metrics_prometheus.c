/* Metrics as Prometheus text, exposition format 0.0.4. */
#include <stdio.h>

#include "metrics/metrics.h"
#include "metrics/process.h"

static const double bounds_ms[] = {1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000};

static void head(struct frt_buf *out, const char *name, const char *type, const char *help)
{
    frt_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct frt_buf *out, const char *name, const char *type, const char *help, double value)
{
    head(out, name, type, help);
    frt_buf_printf(out, "%s %.10g\n", name, value);
}

/* label  `route="POST /v1/detect"` */
static void histogram(struct frt_buf *out, const char *name, const char *label, const struct frt_histogram *h)
{
    /* the total last: a record that lands meanwhile must not make a bucket larger than +Inf */
    uint64_t below[sizeof bounds_ms / sizeof *bounds_ms], count;
    for (size_t i = 0; i < sizeof bounds_ms / sizeof *bounds_ms; i++)
        below[i] = frt_histogram_count_below(h, bounds_ms[i]);
    count = frt_histogram_count_below(h, 1e9);
    for (size_t i = 0; i < sizeof bounds_ms / sizeof *bounds_ms; i++)
        frt_buf_printf(out, "%s_bucket{%s,le=\"%g\"} %llu\n", name, label, bounds_ms[i] / 1000,
                       (unsigned long long)(below[i] < count ? below[i] : count));
    frt_buf_printf(out, "%s_bucket{%s,le=\"+Inf\"} %llu\n%s_sum{%s} %.6f\n%s_count{%s} %llu\n", name, label,
                   (unsigned long long)count, name, label, (double)atomic_load(&h->sum_us) / 1e6, name, label,
                   (unsigned long long)count);
}

static void routes(struct frt_buf *out, const struct frt_metrics *m)
{
    char label[128];
    head(out, "frt_request_duration_seconds", "histogram", "Time from a request's first byte to its answer.");
    for (uint32_t i = 0; i < m->n_routes; i++) {
        int n = snprintf(label, sizeof label, "route=\"%s\"", m->routes[i].name);
        if (n > 0 && (size_t)n < sizeof label)
            histogram(out, "frt_request_duration_seconds", label, &m->routes[i].time.all);
    }
    head(out, "frt_responses_total", "counter", "Answers by route and class of status.");
    for (uint32_t i = 0; i < m->n_routes; i++)
        for (int c = 1; c < 6; c++)
            frt_buf_printf(out, "frt_responses_total{route=\"%s\",class=\"%dxx\"} %llu\n", m->routes[i].name, c,
                           (unsigned long long)atomic_load(&m->routes[i].by_class[c]));
}

static void stages(struct frt_buf *out, const struct frt_metrics *m)
{
    char label[48];
    head(out, "frt_stage_duration_seconds", "histogram", "Time of one photo in a stage.");
    for (int i = 0; i < FRT_STAGE_COUNT; i++) {
        (void)snprintf(label, sizeof label, "stage=\"%s\"", frt_stage_name((enum frt_stage)i));
        histogram(out, "frt_stage_duration_seconds", label, &m->stages[i].all);
    }
}

/* The format wants the lines of one metric together: a table of metrics, and in each the stages or caches. */
static void stage_states(struct frt_buf *out, const struct frt_metrics *m)
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
        head(out, series[s].name, series[s].type, series[s].help);
        for (int i = 0; i < FRT_STAGE_COUNT; i++) {
            const uint64_t values[] = {states[i].limit, states[i].busy, states[i].queued, states[i].rejected};
            frt_buf_printf(out, "%s{stage=\"%s\"} %llu\n", series[s].name, frt_stage_name((enum frt_stage)i),
                           (unsigned long long)values[s]);
        }
    }
}

static void caches(struct frt_buf *out, const struct frt_metrics *m)
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
        head(out, series[s].name, series[s].type, series[s].help);
        for (size_t i = 0; i < n; i++) {
            const struct frt_metrics_cache_state *c = &list[i];
            const uint64_t values[] = {c->hits,    c->misses,   c->shared, c->evictions,     c->expirations,
                                       c->entries, c->capacity, c->bytes,  c->capacity_bytes};
            frt_buf_printf(out, "%s{cache=\"%s\"} %llu\n", series[s].name, c->name,
                           (unsigned long long)values[s]);
        }
    }
}

static void batches(struct frt_buf *out, const struct frt_metrics *m)
{
    struct frt_metrics_batch_state state = {0};
    if (m->sources.batches == NULL)
        return;
    m->sources.batches(m->sources.arg, &state);
    one(out, "frt_batches_total", "counter", "Inferences of a batch.", (double)state.count);
    one(out, "frt_batch_items_total", "counter", "Faces in all batches.", (double)state.items);
}

void frt_metrics_prometheus(struct frt_metrics *metrics, struct frt_buf *out)
{
    struct frt_process_reading p = frt_process_read();
    struct frt_worker_pool_stats s = {0};
    if (metrics->pool != NULL)
        s = frt_worker_pool_stats_get(metrics->pool);
    head(out, "frt_build_info", "gauge", "Always 1; the version is a label.");
    frt_buf_printf(out, "frt_build_info{version=\"%s\"} 1\n", frt_version());
    one(out, "frt_uptime_seconds", "gauge", "Time since start.",
        (double)(metrics->clock->monotonic_ns(metrics->clock) - metrics->start_ns) / 1e9);
    one(out, "process_cpu_seconds_total", "counter", "CPU time used.", p.cpu_seconds);
    one(out, "process_resident_memory_bytes", "gauge", "Resident memory.", (double)p.rss_bytes);
    one(out, "process_open_fds", "gauge", "Open file descriptors.", p.open_files);
    one(out, "process_threads", "gauge", "Threads.", p.threads);
    one(out, "frt_requests_total", "counter", "Requests received.", (double)atomic_load(&metrics->total));
    one(out, "frt_requests_in_flight", "gauge", "Requests being worked on.", atomic_load(&metrics->in_flight));
    one(out, "frt_request_errors_total", "counter", "Answers of status 400 or above.",
        (double)atomic_load(&metrics->errors));
    one(out, "frt_requests_rejected_total", "counter", "Requests turned away unworked.",
        (double)atomic_load(&metrics->rejected));
    one(out, "frt_workers", "gauge", "Worker threads.", s.limit);
    one(out, "frt_workers_busy", "gauge", "Workers at work.", s.busy);
    one(out, "frt_queue_length", "gauge", "Requests waiting for a worker.", s.queued);
    one(out, "frt_queue_limit", "gauge", "Requests that may wait.", s.queue_limit);
    routes(out, metrics);
    stages(out, metrics);
    stage_states(out, metrics);
    caches(out, metrics);
    batches(out, metrics);
}

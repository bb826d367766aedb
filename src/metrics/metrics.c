#include "metrics/metrics.h"

#include "core/mem.h"

enum frt_status frt_metrics_new(const struct frt_clock *clock, struct frt_metrics **out, struct frt_error *err)
{
    struct frt_metrics *m = frt_alloc_zero(1, sizeof *m);
    if (m == NULL)
        return frt_fail_nomem(err, "metrics");
    m->clock = clock;
    m->start_ns = clock->monotonic_ns(clock);
    atomic_store(&m->cpu_then_ns, m->start_ns);
    frt_window_init(&m->time, clock);
    for (int i = 0; i < FRT_STAGE_COUNT; i++)
        frt_window_init(&m->stages[i], clock);
    *out = m;
    return FRT_OK;
}

void frt_metrics_free(struct frt_metrics *metrics)
{
    frt_free(metrics);
}

uint32_t frt_metrics_add_route(struct frt_metrics *metrics, const char *name)
{
    if (metrics->n_routes == FRT_METRICS_MAX_ROUTES)
        return UINT32_MAX;
    struct frt_metrics_route *route = &metrics->routes[metrics->n_routes];
    route->name = name;
    frt_window_init(&route->time, metrics->clock);
    return metrics->n_routes++;
}

/* relaxed throughout: statistics, see histogram.c */
static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void frt_metrics_began(struct frt_metrics *metrics)
{
    add(&metrics->total, 1);
    (void)atomic_fetch_add_explicit(&metrics->in_flight, 1, memory_order_relaxed);
}

void frt_metrics_answered(struct frt_metrics *metrics, uint32_t route, int http_status, double ms,
                          bool rejected)
{
    (void)atomic_fetch_sub_explicit(&metrics->in_flight, 1, memory_order_relaxed);
    if (http_status >= 400)
        add(&metrics->errors, 1);
    if (rejected)
        add(&metrics->rejected, 1);
    frt_window_record(&metrics->time, ms);
    if (route < metrics->n_routes) {
        frt_window_record(&metrics->routes[route].time, ms);
        if (http_status >= 100 && http_status < 600)
            add(&metrics->routes[route].by_class[http_status / 100], 1);
    }
}

void frt_metrics_stages(struct frt_metrics *metrics, const struct frt_timing *timing)
{
    /* 0: the step was not taken, as a cache had its outcome; it must not pass for a fast one */
    if (timing->decode_ms > 0)
        frt_window_record(&metrics->stages[FRT_STAGE_IMAGE], timing->decode_ms);
    if (timing->detect_ms > 0)
        frt_window_record(&metrics->stages[FRT_STAGE_DETECT], timing->detect_ms);
    if (timing->embed_ms > 0)
        frt_window_record(&metrics->stages[FRT_STAGE_RECOGNIZE], timing->align_ms + timing->embed_ms);
}

void frt_metrics_stage(struct frt_metrics *metrics, enum frt_stage stage, double ms)
{
    frt_window_record(&metrics->stages[stage], ms);
}

void frt_metrics_set_sources(struct frt_metrics *metrics, const struct frt_metrics_sources *sources)
{
    metrics->sources = sources != NULL ? *sources : (struct frt_metrics_sources){0};
}

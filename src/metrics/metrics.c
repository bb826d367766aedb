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
    for (int i = 0; i < FRT_STAGE_COUNT; i++)
        frt_window_init(&m->stages[i], clock);
    frt_window_init(&m->routes[FRT_METRICS_MAX_ROUTES].time, clock);
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
    add(&metrics->counters[frt_metrics_shard()].began, 1);
}

void frt_metrics_answered(struct frt_metrics *metrics, uint32_t route, int http_status, double ms,
                          bool rejected)
{
    struct frt_metrics_route *r = &metrics->routes[route < metrics->n_routes ? route : FRT_METRICS_MAX_ROUTES];
    const unsigned shard = frt_metrics_shard();
    if (rejected)
        add(&metrics->counters[shard].rejected, 1);
    frt_window_record(&r->time, ms);
    add(&r->shards[shard].by_class[http_status >= 100 && http_status < 600 ? http_status / 100 : 0], 1);
}

void frt_metrics_route_answers(const struct frt_metrics_route *route, uint64_t by_class[6])
{
    for (int s = 0; s < FRT_METRICS_SHARDS; s++)
        for (int c = 0; c < 6; c++)
            by_class[c] += atomic_load_explicit(&route->shards[s].by_class[c], memory_order_relaxed);
}

/* Route i of all, the one for requests of none behind the others. */
static const struct frt_metrics_route *route_at(const struct frt_metrics *m, uint32_t i)
{
    return &m->routes[i < m->n_routes ? i : FRT_METRICS_MAX_ROUTES];
}

struct frt_metrics_counts frt_metrics_counts_get(const struct frt_metrics *metrics)
{
    struct frt_metrics_counts counts = {0};
    uint64_t by_class[6] = {0}, answered = 0;
    for (uint32_t i = 0; i <= metrics->n_routes; i++)
        frt_metrics_route_answers(route_at(metrics, i), by_class);
    for (int c = 0; c < 6; c++)
        answered += by_class[c];
    counts.errors = by_class[4] + by_class[5];
    for (int s = 0; s < FRT_METRICS_SHARDS; s++) { /* behind the answers: none is in flight less than never */
        counts.total += atomic_load_explicit(&metrics->counters[s].began, memory_order_relaxed);
        counts.rejected += atomic_load_explicit(&metrics->counters[s].rejected, memory_order_relaxed);
    }
    counts.in_flight = counts.total > answered ? counts.total - answered : 0;
    return counts;
}

void frt_metrics_add_times(const struct frt_metrics *metrics, bool recent, struct frt_totals *totals)
{
    for (uint32_t i = 0; i <= metrics->n_routes; i++) {
        if (recent)
            frt_window_add_recent(&route_at(metrics, i)->time, totals);
        else
            frt_window_add_all(&route_at(metrics, i)->time, totals);
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

#include "http/summary.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "metrics/process.h"

enum { MAX_FIELDS = 64, KEY_SIZE = 40, MAX_KEYS = 2 * FRT_STAGE_COUNT + FRT_METRICS_MAX_CACHES };

/* Everything that a period is the difference of. */
struct reading {
    int64_t at_ns;
    struct frt_metrics_counts counts;
    struct frt_totals times, stages[FRT_STAGE_COUNT];
    struct frt_metrics_cache_state caches[FRT_METRICS_MAX_CACHES];
    size_t n_caches;
    struct frt_metrics_batch_state batches;
    struct frt_metrics_index_state indexes;
    struct frt_process_reading process;
};

struct http_summary {
    struct http_service *service;
    struct reading before, now;
};

/* The line's fields. */
struct line {
    struct frt_log_field fields[MAX_FIELDS];
    size_t n;
    char keys[MAX_KEYS][KEY_SIZE];
    size_t n_keys;
    char device[64], serving[64];
};

static void add(struct line *line, struct frt_log_field field)
{
    if (line->n + 1 < MAX_FIELDS) /* the last one ends the list */
        line->fields[line->n++] = field;
}

static void add_whole(struct line *line, const char *key, uint64_t value)
{
    add(line, FRT_LOG_INT(key, value));
}

static void add_number(struct line *line, const char *key, double value)
{
    add(line, FRT_LOG_NUM(key, value));
}

/* "embedding" + "_hit_rate"; lives as long as the line. */
static const char *made_key(struct line *line, const char *name, const char *what)
{
    char *key = line->keys[line->n_keys < MAX_KEYS - 1 ? line->n_keys++ : MAX_KEYS - 1];
    (void)snprintf(key, KEY_SIZE, "%.20s%s", name, what);
    return key;
}

/* ------------------------------------------------------------------ readings */

static void take(struct http_service *service, struct reading *out)
{
    struct frt_metrics *m = service->metrics;
    const struct frt_metrics_sources *sources = &m->sources;
    memset(out, 0, sizeof *out);
    out->at_ns = frt_now_ns();
    out->counts = frt_metrics_counts_get(m);
    frt_metrics_add_times(m, false, &out->times);
    for (int i = 0; i < FRT_STAGE_COUNT; i++)
        frt_window_add_all(&m->stages[i], &out->stages[i]);
    if (sources->caches != NULL)
        out->n_caches = sources->caches(sources->arg, out->caches, FRT_METRICS_MAX_CACHES);
    if (sources->batches != NULL)
        sources->batches(sources->arg, &out->batches);
    if (sources->indexes != NULL)
        sources->indexes(sources->arg, &out->indexes);
    out->process = frt_process_read();
}

/* -------------------------------------------------------------------- fields */

static void add_requests(struct line *line, const struct reading *now, const struct reading *before,
                         double seconds)
{
    const struct frt_summary s = frt_totals_summary(&now->times, &before->times);
    add_whole(line, "requests", s.count);
    add_number(line, "per_second", seconds > 0 ? (double)s.count / seconds : 0);
    add_whole(line, "in_flight", now->counts.in_flight);
    add_whole(line, "errors", now->counts.errors - before->counts.errors);
    add_whole(line, "rejected", now->counts.rejected - before->counts.rejected);
    if (s.count == 0)
        return;
    add_number(line, "avg_ms", s.avg_ms);
    add_number(line, "p50_ms", s.p50_ms);
    add_number(line, "p95_ms", s.p95_ms);
    add_number(line, "p99_ms", s.p99_ms);
    add_number(line, "max_ms", s.max_ms);
}

static void add_stages(struct line *line, const struct frt_metrics_sources *sources, const struct reading *now,
                       const struct reading *before)
{
    for (int i = 0; i < FRT_STAGE_COUNT; i++) {
        const char *name = frt_stage_name((enum frt_stage)i);
        const struct frt_summary s = frt_totals_summary(&now->stages[i], &before->stages[i]);
        struct frt_metrics_stage_state state = {0};
        if (s.count > 0)
            add_number(line, made_key(line, name, "_ms"), s.avg_ms);
        if (sources->stage != NULL)
            sources->stage(sources->arg, (enum frt_stage)i, &state);
        if (state.queued > 0)
            add_whole(line, made_key(line, name, "_queued"), state.queued);
    }
}

static void add_caches(struct line *line, const struct reading *now, const struct reading *before)
{
    for (size_t i = 0; i < now->n_caches && i < before->n_caches; i++) {
        const struct frt_metrics_cache_state *a = &now->caches[i], *b = &before->caches[i];
        const uint64_t spared = a->hits + a->shared - b->hits - b->shared,
                       asked = spared + a->misses - b->misses;
        if (asked > 0)
            add_number(line, made_key(line, a->name, "_hit_rate"), (double)spared / (double)asked);
    }
    if (now->batches.count > before->batches.count)
        add_number(line, "batch_mean",
                   (double)(now->batches.items - before->batches.items) /
                       (double)(now->batches.count - before->batches.count));
}

static void add_indexes(struct line *line, const struct reading *now, const struct reading *before)
{
    const struct frt_metrics_index_state *a = &now->indexes, *b = &before->indexes;
    if (a->loads > b->loads) {
        add_whole(line, "index_loads", a->loads - b->loads);
        add_number(line, "index_load_ms", a->load_ms - b->load_ms);
    }
    if (a->builds > b->builds) {
        add_whole(line, "index_builds", a->builds - b->builds);
        add_number(line, "index_build_ms", a->build_ms - b->build_ms);
    }
}

static void add_machine(struct line *line, struct frt_metrics *m, const struct reading *now,
                        const struct reading *before, double seconds)
{
    struct frt_gpu *gpu = atomic_load(&m->gpu);
    struct frt_gpu_reading g;
    add_number(line, "cpu_percent",
               seconds > 0 ? 100 * (now->process.cpu_seconds - before->process.cpu_seconds) / seconds : 0);
    add_whole(line, "rss_bytes", now->process.rss_bytes);
    add_whole(line, "threads", now->process.threads);
    add_whole(line, "open_files", now->process.open_files);
    struct frt_metrics_device device;
    if (m->sources.devices != NULL && m->sources.devices(m->sources.arg, &device, 1) > 0) {
        (void)snprintf(line->device, sizeof line->device, "%s", device.device);
        (void)snprintf(line->serving, sizeof line->serving, "%s", device.serving);
        add(line, FRT_LOG_STR("device", line->device));
        add(line, FRT_LOG_STR("serving", line->serving));
    }
    if (gpu != NULL && frt_gpu_read(gpu, &g)) {
        add_whole(line, "gpu_memory_used_bytes", g.memory_used_bytes);
        add_whole(line, "gpu_memory_total_bytes", g.memory_total_bytes);
        add_number(line, "gpu_percent", g.utilization_percent);
    }
}

/* ----------------------------------------------------------------------- life */

enum frt_status http_summary_new(struct http_service *service, struct http_summary **out, struct frt_error *err)
{
    struct http_summary *summary = frt_alloc_zero(1, sizeof *summary);
    if (summary == NULL)
        return frt_fail_nomem(err, "summaries");
    summary->service = service;
    take(service, &summary->before);
    *out = summary;
    return FRT_OK;
}

static void write_line(struct http_summary *summary)
{
    struct line line = {0};
    struct frt_metrics *m = summary->service->metrics;
    struct reading *now = &summary->now, *before = &summary->before;
    take(summary->service, now);
    const double seconds = (double)(now->at_ns - before->at_ns) / 1e9;
    add_number(&line, "seconds", seconds);
    add_requests(&line, now, before, seconds);
    add_stages(&line, &m->sources, now, before);
    add_caches(&line, now, before);
    add_indexes(&line, now, before);
    add_machine(&line, m, now, before, seconds);
    frt_log_fields(FRT_LOG_INFO, "summary", line.fields);
    *before = *now;
}

static bool had_requests(const struct http_summary *summary)
{
    return frt_metrics_counts_get(summary->service->metrics).total > summary->before.counts.total;
}

void http_summary_tick(struct http_summary *summary)
{
    const struct frt_config *config = summary->service->config;
    const double ms = frt_elapsed_ms(summary->before.at_ns);
    const bool busy = config->summary_interval_ms > 0 && ms >= config->summary_interval_ms &&
                      had_requests(summary),
               idle = config->summary_idle_interval_ms > 0 && ms >= config->summary_idle_interval_ms;
    if (frt_log_enabled(FRT_LOG_INFO) && (busy || idle))
        write_line(summary);
}

void http_summary_last(struct http_summary *summary)
{
    if (summary->service->config->summary_interval_ms > 0 && frt_log_enabled(FRT_LOG_INFO) &&
        had_requests(summary))
        write_line(summary);
}

void http_summary_free(struct http_summary *summary)
{
    frt_free(summary);
}

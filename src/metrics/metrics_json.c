/* Metrics as JSON. What does not exist is said so: gpu null, caches empty. */
#include "core/cores.h"
#include "core/json_write.h"
#include "metrics/metrics.h"
#include "metrics/process.h"

static void number(struct frt_json_writer *w, const char *key, double value)
{
    frt_json_key(w, key);
    frt_json_fixed(w, value, 3);
}

static void whole(struct frt_json_writer *w, const char *key, uint64_t value)
{
    frt_json_key(w, key);
    frt_json_int(w, (int64_t)value);
}

static void summary(struct frt_json_writer *w, const struct frt_totals *totals)
{
    struct frt_summary s = frt_totals_summary(totals, NULL);
    frt_json_object(w);
    whole(w, "count", s.count);
    number(w, "avg", s.avg_ms);
    number(w, "p50", s.p50_ms);
    number(w, "p95", s.p95_ms);
    number(w, "p99", s.p99_ms);
    number(w, "max", s.max_ms);
    frt_json_end(w);
}

static void last_minute(struct frt_json_writer *w, const struct frt_window *window)
{
    struct frt_totals totals = {0};
    frt_window_add_recent(window, &totals);
    summary(w, &totals);
}

/* CPU between this look and the one before, at least a second ago. */
static double cpu_percent(struct frt_metrics *m, double cpu_seconds)
{
    int64_t now = m->clock->monotonic_ns(m->clock), then = atomic_load(&m->cpu_then_ns);
    double wall = (double)(now - then) / 1e9, used = cpu_seconds - atomic_load(&m->cpu_seconds_then);
    if (wall >= 1) {
        atomic_store(&m->cpu_then_ns, now);
        atomic_store(&m->cpu_seconds_then, cpu_seconds);
    }
    return wall > 0 ? 100 * used / wall : 0;
}

static void process(struct frt_json_writer *w, struct frt_metrics *m)
{
    struct frt_process_reading p = frt_process_read();
    frt_json_key(w, "cpu");
    frt_json_object(w);
    number(w, "percent", cpu_percent(m, p.cpu_seconds));
    whole(w, "cores", frt_usable_cores());
    frt_json_end(w);
    frt_json_key(w, "memory");
    frt_json_object(w);
    whole(w, "rss_bytes", p.rss_bytes);
    whole(w, "peak_rss_bytes", p.peak_rss_bytes);
    frt_json_end(w);
}

static void gpu(struct frt_json_writer *w, struct frt_metrics *m)
{
    struct frt_gpu_reading g;
    struct frt_gpu *device = atomic_load(&m->gpu);
    frt_json_key(w, "gpu");
    if (device == NULL || !frt_gpu_read(device, &g)) {
        frt_json_null(w);
        return;
    }
    frt_json_object(w);
    frt_json_key(w, "name");
    frt_json_string(w, g.name);
    whole(w, "memory_used_bytes", g.memory_used_bytes);
    whole(w, "memory_total_bytes", g.memory_total_bytes);
    frt_json_key(w, "memory_limit_bytes");
    if (m->gpu_limit_bytes > 0)
        frt_json_int(w, (int64_t)m->gpu_limit_bytes);
    else
        frt_json_null(w); /* nothing here limits it */
    number(w, "utilization_percent", g.utilization_percent);
    frt_json_end(w);
}

/* Only where it is wanted: no member otherwise. */
static void gpu_search(struct frt_json_writer *w, const struct frt_metrics *m)
{
    struct frt_metrics_gpu_search s = {0};
    if (m->sources.gpu_search == NULL || !m->sources.gpu_search(m->sources.arg, &s))
        return;
    frt_json_key(w, "gpu_search");
    frt_json_object(w);
    frt_json_key(w, "up");
    frt_json_bool(w, s.up);
    frt_json_key(w, "device");
    frt_json_string(w, s.device);
    whole(w, "indexes", s.resident);
    whole(w, "memory_bytes", s.memory_bytes);
    whole(w, "memory_limit_bytes", s.limit_bytes);
    whole(w, "uploaded_bytes", s.uploaded_bytes);
    whole(w, "searches", s.searches);
    whole(w, "fallbacks", s.fallbacks);
    whole(w, "uncertain", s.uncertain);
    whole(w, "evictions", s.evictions);
    whole(w, "failures", s.failures);
    frt_json_end(w);
}

static void requests(struct frt_json_writer *w, const struct frt_metrics *m)
{
    const struct frt_metrics_counts counts = frt_metrics_counts_get(m);
    struct frt_totals all = {0};
    frt_metrics_add_times(m, true, &all);
    frt_json_key(w, "requests");
    frt_json_object(w);
    whole(w, "total", counts.total);
    whole(w, "in_flight", counts.in_flight);
    whole(w, "errors", counts.errors);
    whole(w, "rejected", counts.rejected);
    frt_json_key(w, "response_time_ms");
    summary(w, &all);
    frt_json_key(w, "by_route");
    frt_json_object(w);
    for (uint32_t i = 0; i < m->n_routes; i++) {
        frt_json_key(w, m->routes[i].name);
        last_minute(w, &m->routes[i].time);
    }
    frt_json_end(w);
    frt_json_end(w);
}

static void stages(struct frt_json_writer *w, struct frt_metrics *m)
{
    struct frt_worker_pool_stats s = {0};
    if (m->pool != NULL)
        s = frt_worker_pool_stats_get(m->pool);
    frt_json_key(w, "workers");
    frt_json_object(w);
    whole(w, "limit", s.limit);
    whole(w, "busy", s.busy);
    whole(w, "queued", s.queued);
    whole(w, "queue_limit", s.queue_limit);
    whole(w, "rejected", s.rejected);
    whole(w, "late", s.late);
    frt_json_end(w);
    frt_json_key(w, "stages");
    frt_json_object(w);
    for (int i = 0; i < FRT_STAGE_COUNT; i++) {
        frt_json_key(w, frt_stage_name((enum frt_stage)i));
        frt_json_object(w);
        if (m->sources.stage != NULL) {
            struct frt_metrics_stage_state state = {0};
            m->sources.stage(m->sources.arg, (enum frt_stage)i, &state);
            whole(w, "limit", state.limit);
            whole(w, "busy", state.busy);
            whole(w, "queued", state.queued);
            whole(w, "rejected", state.rejected);
        }
        frt_json_key(w, "time_ms");
        last_minute(w, &m->stages[i]);
        frt_json_end(w);
    }
    frt_json_end(w);
}

static void caches(struct frt_json_writer *w, const struct frt_metrics *m)
{
    struct frt_metrics_cache_state list[FRT_METRICS_MAX_CACHES] = {0};
    size_t n = 0;
    if (m->sources.caches != NULL)
        n = m->sources.caches(m->sources.arg, list, FRT_METRICS_MAX_CACHES);
    frt_json_key(w, "caches");
    frt_json_object(w);
    for (size_t i = 0; i < n; i++) {
        const struct frt_metrics_cache_state *c = &list[i];
        uint64_t spared = c->hits + c->shared, asked = spared + c->misses;
        frt_json_key(w, c->name);
        frt_json_object(w);
        whole(w, "hits", c->hits);
        whole(w, "misses", c->misses);
        whole(w, "shared", c->shared);
        number(w, "hit_rate", asked > 0 ? (double)spared / (double)asked : 0);
        whole(w, "entries", c->entries);
        whole(w, "capacity", c->capacity);
        whole(w, "bytes", c->bytes);
        whole(w, "capacity_bytes", c->capacity_bytes);
        whole(w, "evictions", c->evictions);
        whole(w, "expirations", c->expirations);
        number(w, "ttl_seconds", c->ttl_seconds);
        frt_json_end(w);
    }
    frt_json_end(w);
}

/* The second level. hit_rate is of the look-ups that were answered. */
static void redis(struct frt_json_writer *w, const struct frt_metrics *m)
{
    struct frt_metrics_redis_state s = {.up = false};
    frt_json_key(w, "redis");
    if (m->sources.redis == NULL || !m->sources.redis(m->sources.arg, &s)) {
        frt_json_null(w);
        return;
    }
    const uint64_t answered = s.hits + s.misses, asked = answered + s.away + s.late;
    frt_json_object(w);
    frt_json_key(w, "state");
    frt_json_string(w, s.up ? "up" : "away");
    whole(w, "servers", s.servers);
    whole(w, "servers_up", s.servers_up);
    whole(w, "connections", s.connections);
    whole(w, "hits", s.hits);
    whole(w, "misses", s.misses);
    number(w, "hit_rate", answered > 0 ? (double)s.hits / (double)answered : 0);
    whole(w, "skipped_away", s.away);
    whole(w, "skipped_late", s.late);
    whole(w, "refused", s.refused);
    whole(w, "stored", s.stored);
    whole(w, "store_dropped", s.store_dropped);
    whole(w, "store_failed", s.store_failed);
    whole(w, "queued", s.queued);
    whole(w, "queued_bytes", s.queued_bytes);
    whole(w, "logins_limited", s.limited);
    whole(w, "falls", s.falls);
    whole(w, "returns", s.returns);
    whole(w, "redirected", s.redirected);
    number(w, "lookup_ms_avg", asked > 0 ? s.lookup_ms / (double)asked : 0);
    number(w, "budget_ms", s.budget_ms);
    frt_json_end(w);
}

static void batches(struct frt_json_writer *w, const struct frt_metrics *m)
{
    struct frt_metrics_batch_state state = {0};
    if (m->sources.batches != NULL)
        m->sources.batches(m->sources.arg, &state);
    frt_json_key(w, "batches");
    frt_json_object(w);
    whole(w, "count", state.count);
    number(w, "mean_size", state.count > 0 ? (double)state.items / (double)state.count : 0);
    frt_json_end(w);
}

static void remote(struct frt_json_writer *w, const struct frt_metrics *m)
{
    struct frt_metrics_remote r = {.protocol = NULL};
    frt_json_key(w, "remote");
    if (m->sources.remote == NULL || !m->sources.remote(m->sources.arg, &r)) {
        frt_json_null(w);
        return;
    }
    frt_json_object(w);
    frt_json_key(w, "protocol");
    frt_json_string(w, r.protocol);
    frt_json_key(w, "url");
    frt_json_string(w, r.url);
    frt_json_key(w, "breaker");
    frt_json_string(w, r.breaker);
    whole(w, "breaker_opened", r.breaker_opened);
    frt_json_key(w, "requests");
    frt_json_object(w);
    for (int i = 0; i < FRT_METRICS_REMOTE_OUTCOMES; i++)
        whole(w, r.outcomes[i], r.requests[i]);
    frt_json_end(w);
    whole(w, "retries", r.retries);
    whole(w, "fallbacks", r.fallbacks);
    whole(w, "comparisons", r.comparisons);
    whole(w, "differences", r.differences);
    whole(w, "sent_bytes", r.sent_bytes);
    whole(w, "received_bytes", r.received_bytes);
    frt_json_key(w, "time_ms");
    last_minute(w, r.time);
    frt_json_key(w, "last_error");
    if (r.last_error[0] == '\0') {
        frt_json_null(w);
    } else {
        frt_json_object(w);
        frt_json_key(w, "text");
        frt_json_string(w, r.last_error);
        number(w, "seconds_ago", r.last_error_s);
        frt_json_end(w);
    }
    frt_json_end(w);
}

static void number_or_null(struct frt_json_writer *w, const char *key, double value)
{
    frt_json_key(w, key);
    if (value >= 0)
        frt_json_fixed(w, value, 3);
    else
        frt_json_null(w);
}

static void devices(struct frt_json_writer *w, const struct frt_metrics *m)
{
    struct frt_metrics_device list[FRT_METRICS_MAX_DEVICES];
    size_t n = 0;
    if (m->sources.devices != NULL)
        n = m->sources.devices(m->sources.arg, list, FRT_METRICS_MAX_DEVICES);
    frt_json_key(w, "devices");
    frt_json_array(w);
    for (size_t i = 0; i < n; i++) {
        const struct frt_metrics_device *d = &list[i];
        frt_json_object(w);
        frt_json_key(w, "device");
        frt_json_string(w, d->device);
        frt_json_key(w, "serving");
        frt_json_string(w, d->serving);
        frt_json_key(w, "state");
        frt_json_string(w, d->state);
        whole(w, "models", d->models);
        whole(w, "on_device", d->on_device);
        whole(w, "falls", d->falls);
        whole(w, "model_falls", d->model_falls);
        whole(w, "returns", d->returns);
        whole(w, "probes", d->probes);
        whole(w, "spills", d->spills);
        whole(w, "runs", d->runs);
        whole(w, "fallback_runs", d->fallback_runs);
        number_or_null(w, "down_seconds", d->down_s);
        number_or_null(w, "next_probe_seconds", d->next_probe_s);
        frt_json_key(w, "cause");
        frt_json_string(w, d->cause[0] != '\0' ? d->cause : NULL);
        frt_json_end(w);
    }
    frt_json_end(w);
}

void frt_metrics_json(struct frt_metrics *metrics, struct frt_buf *out)
{
    frt_metrics_json_with(metrics, out, NULL, NULL);
}

static void pack_in_use(struct frt_json_writer *w, const struct frt_metrics *metrics,
                        struct frt_metrics_pack *pack)
{
    if (metrics->sources.pack == NULL || !metrics->sources.pack(metrics->sources.arg, pack))
        return;
    frt_json_key(w, "pack");
    frt_json_object(w);
    frt_json_key(w, "name");
    frt_json_string(w, pack->name);
    frt_json_key(w, "version");
    frt_json_string(w, pack->version);
    frt_json_key(w, "id");
    frt_json_string(w, pack->id);
    frt_json_key(w, "reloads");
    frt_json_int(w, (int64_t)pack->reloads);
    frt_json_key(w, "reload_failures");
    frt_json_int(w, (int64_t)pack->failures);
    frt_json_key(w, "former_in_memory");
    frt_json_int(w, pack->waiting);
    frt_json_end(w);
}

void frt_metrics_json_with(struct frt_metrics *metrics, struct frt_buf *out,
                           void (*more)(struct frt_json_writer *w, void *arg), void *arg)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    number(&w, "uptime_seconds",
           (double)(metrics->clock->monotonic_ns(metrics->clock) - metrics->start_ns) / 1e9);
    frt_json_key(&w, "version");
    frt_json_string(&w, frt_version());
    process(&w, metrics);
    gpu(&w, metrics);
    gpu_search(&w, metrics);
    requests(&w, metrics);
    stages(&w, metrics);
    caches(&w, metrics);
    redis(&w, metrics);
    batches(&w, metrics);
    remote(&w, metrics);
    devices(&w, metrics);
    if (more != NULL)
        more(&w, arg);
    struct frt_metrics_pack pack = {.n_models = 0};
    pack_in_use(&w, metrics, &pack);
    frt_json_key(&w, "models");
    frt_json_array(&w);
    for (uint32_t i = 0; i < pack.n_models; i++) {
        frt_json_object(&w);
        frt_json_key(&w, "name");
        frt_json_string(&w, pack.models[i].name);
        frt_json_key(&w, "role");
        frt_json_string(&w, pack.models[i].role);
        frt_json_key(&w, "precision");
        frt_json_string(&w, pack.models[i].precision);
        frt_json_key(&w, "device");
        frt_json_string(&w, pack.models[i].device);
        frt_json_end(&w);
    }
    frt_json_end(&w);
    frt_json_end(&w);
}

#include "http/metrics_sources.h"

#include <stdio.h>
#include <string.h>

#include "engine/context.h"
#include "engine/gallery_figures.h"
#include "engine/gallery_gpu.h"
#include "engine/pack.h"
#include "engine/shared.h"

static struct frt_batcher_stats batches_of(struct http_service *service)
{
    const struct frt_pack *pack = frt_pack_acquire(service->packs);
    const struct frt_batcher_stats stats = frt_batcher_stats_get(pack == NULL ? NULL : pack->batcher);
    frt_pack_release(service->packs, pack);
    return stats;
}

static void read_batches(void *arg, struct frt_metrics_batch_state *out)
{
    struct frt_batcher_stats b = batches_of(arg);
    *out = (struct frt_metrics_batch_state){.count = b.count, .items = b.items};
}

/* The store has its own places, its connections: a stage in all but the code. */
static void read_stage(void *arg, enum frt_stage stage, struct frt_metrics_stage_state *out)
{
    struct http_service *service = arg;
    if (stage == FRT_STAGE_STORE) {
        struct frt_gallery_figures f;
        frt_gallery_figures_get(service->gallery, &f);
        *out = (struct frt_metrics_stage_state){.limit = f.store.limit,
                                                .busy = f.store.busy,
                                                .queued = f.store.waiting,
                                                .rejected = f.store.refused};
        return;
    }
    struct frt_stage_stats s = frt_stage_stats_get(service->context->stages, stage);
    if (stage == FRT_STAGE_RECOGNIZE) { /* of those who wait to be taken along, one asks for a place */
        struct frt_batcher_stats b = batches_of(service);
        s.queued += b.waiting;
        s.rejected += b.rejected;
    }
    *out = (struct frt_metrics_stage_state){
        .limit = s.limit, .busy = s.busy, .queued = s.queued, .rejected = s.rejected};
}

static void read_store(void *arg, struct frt_metrics_store_state *out)
{
    const struct http_service *service = arg;
    struct frt_gallery_figures f;
    frt_gallery_figures_get(service->gallery, &f);
    *out = (struct frt_metrics_store_state){f.store.errors, f.store.reconnects, f.store.kind};
}

static size_t read_caches(void *arg, struct frt_metrics_cache_state *out, size_t max)
{
    const struct http_service *service = arg;
    struct frt_cache_stats stats[FRT_METRICS_MAX_CACHES];
    const size_t most = max < FRT_METRICS_MAX_CACHES ? max : FRT_METRICS_MAX_CACHES;
    size_t n = frt_context_cache_stats(service->context, stats, most);
    n += frt_gallery_cache_stats(service->gallery, stats + n, most - n);
    for (size_t i = 0; i < n; i++) {
        const struct frt_cache_stats *s = &stats[i];
        out[i] = (struct frt_metrics_cache_state){.name = s->name,
                                                  .hits = s->hits,
                                                  .misses = s->misses,
                                                  .shared = s->shared,
                                                  .entries = s->entries,
                                                  .capacity = s->capacity,
                                                  .bytes = s->bytes,
                                                  .capacity_bytes = s->capacity_bytes,
                                                  .evictions = s->evictions,
                                                  .expirations = s->expirations,
                                                  .ttl_seconds = (double)s->ttl_ms / 1000.0};
    }
    return n;
}

static bool read_redis(void *arg, struct frt_metrics_redis_state *out)
{
    const struct http_service *service = arg;
    struct frt_shared_cache_stats s;
    if (service->shared == NULL)
        return false;
    frt_shared_cache_stats_get(service->shared, &s);
    *out = (struct frt_metrics_redis_state){.up = s.up,
                                            .servers = s.servers,
                                            .servers_up = s.servers_up,
                                            .connections = s.connections,
                                            .queued = s.queued,
                                            .queued_bytes = s.queued_bytes,
                                            .hits = s.hits,
                                            .misses = s.misses,
                                            .away = s.away,
                                            .late = s.late,
                                            .refused = s.refused,
                                            .stored = s.stored,
                                            .store_dropped = s.store_dropped,
                                            .store_failed = s.store_failed,
                                            .limited = s.limited,
                                            .falls = s.falls,
                                            .returns = s.returns,
                                            .redirected = s.redirected,
                                            .lookup_ms = (double)s.lookups_ns / 1e6,
                                            .budget_ms = s.budget_ms};
    return true;
}

static void read_indexes(void *arg, struct frt_metrics_index_state *out)
{
    const struct http_service *service = arg;
    struct frt_gallery_figures f;
    frt_gallery_figures_get(service->gallery, &f);
    *out = (struct frt_metrics_index_state){.loads = f.index_loads,
                                            .builds = f.index_builds,
                                            .load_ms = f.index_load_ms,
                                            .build_ms = f.index_build_ms};
}

static bool read_remote(void *arg, struct frt_metrics_remote *out)
{
    const struct http_service *service = arg;
    struct frt_remote_figures f;
    if (!frt_remote_models_figures(service->context->remote, &f))
        return false;
    *out = (struct frt_metrics_remote){.protocol = f.state.protocol,
                                       .url = f.state.url,
                                       .breaker = frt_breaker_state_name(f.state.breaker),
                                       .breaker_open = f.state.breaker != FRT_BREAKER_CLOSED,
                                       .breaker_opened = f.state.breaker_opened,
                                       .retries = f.state.retries,
                                       .fallbacks = f.fallbacks,
                                       .comparisons = f.state.comparisons,
                                       .differences = f.state.differences,
                                       .sent_bytes = f.state.sent_bytes,
                                       .received_bytes = f.state.received_bytes,
                                       .time = f.time,
                                       .last_error_s = f.state.last_error_s};
    _Static_assert((int)FRT_METRICS_REMOTE_OUTCOMES == (int)FRT_REMOTE_OUTCOMES, "one row each");
    for (int i = 0; i < FRT_REMOTE_OUTCOMES; i++) {
        out->outcomes[i] = frt_remote_outcome_name((enum frt_remote_outcome)i);
        out->requests[i] = f.state.requests[i];
    }
    (void)snprintf(out->last_error, sizeof out->last_error, "%.*s", (int)sizeof out->last_error - 1,
                   f.state.last_error);
    return true;
}

static bool read_gpu_search(void *arg, struct frt_metrics_gpu_search *out)
{
    struct frt_gallery_gpu g;
    (void)arg;
    frt_gallery_gpu_get(&g);
    *out = (struct frt_metrics_gpu_search){.up = g.up,
                                           .memory_bytes = g.memory_bytes,
                                           .limit_bytes = g.limit_bytes,
                                           .resident = g.resident,
                                           .searches = g.searches,
                                           .fallbacks = g.fallbacks,
                                           .uncertain = g.uncertain,
                                           .evictions = g.evictions,
                                           .failures = g.failures,
                                           .uploaded_bytes = g.uploaded_bytes};
    memcpy(out->device, g.device, sizeof out->device);
    return g.wanted;
}

static bool read_pack(void *arg, struct frt_metrics_pack *out)
{
    const struct http_service *service = arg;
    const struct frt_pack *pack = frt_pack_acquire(service->packs);
    const struct frt_pack_model_facts *facts = NULL;
    struct frt_pack_names names;
    if (pack == NULL)
        return false;
    const struct frt_pack_swap_stats stats = frt_pack_swap_stats_get(service->packs);
    const size_t n = frt_pack_swap_models(service->packs, pack, &facts);
    frt_pack_names_of(pack, &names);
    memcpy(out->name, names.name, sizeof out->name);
    memcpy(out->version, names.version, sizeof out->version);
    memcpy(out->id, names.id, sizeof out->id);
    out->reloads = stats.reloads;
    out->failures = stats.failures;
    out->waiting = stats.waiting;
    for (out->n_models = 0; out->n_models < n && out->n_models < FRT_METRICS_MAX_MODELS; out->n_models++) {
        const struct frt_pack_model_facts *f = &facts[out->n_models];
        struct frt_metrics_model *model = &out->models[out->n_models];
        *model = (struct frt_metrics_model){
            .role = f->role, .precision = f->precision, .device = frt_pack_model_device(pack, f->number)};
        (void)snprintf(model->name, sizeof model->name, "%s", f->name);
    }
    frt_pack_release(service->packs, pack);
    return true;
}

static size_t read_devices(void *arg, struct frt_metrics_device *out, size_t max)
{
    const struct http_service *service = arg;
    struct frt_backend_state states[FRT_METRICS_MAX_DEVICES];
    const size_t n = frt_backend_states(service->context->backend, states,
                                        max < FRT_METRICS_MAX_DEVICES ? max : FRT_METRICS_MAX_DEVICES);
    for (size_t i = 0; i < n; i++) {
        const struct frt_backend_state *s = &states[i];
        out[i] = (struct frt_metrics_device){.state = s->state,
                                             .models = s->models,
                                             .on_device = s->on_device,
                                             .falls = s->falls,
                                             .model_falls = s->model_falls,
                                             .returns = s->returns,
                                             .probes = s->probes,
                                             .spills = s->spills,
                                             .runs = s->runs,
                                             .fallback_runs = s->fallback_runs,
                                             .down_s = s->down_s,
                                             .next_probe_s = s->next_probe_s};
        (void)snprintf(out[i].device, sizeof out[i].device, "%s", s->device);
        (void)snprintf(out[i].serving, sizeof out[i].serving, "%s", s->serving);
        (void)snprintf(out[i].cause, sizeof out[i].cause, "%s", s->cause);
    }
    return n;
}

static void store_used(void *arg, double ms)
{
    frt_metrics_stage(arg, FRT_STAGE_STORE, ms);
}

void http_metrics_connect(struct http_service *service)
{
    const struct frt_metrics_sources sources = {.arg = service,
                                                .stage = read_stage,
                                                .caches = read_caches,
                                                .batches = read_batches,
                                                .redis = read_redis,
                                                .indexes = read_indexes,
                                                .gpu_search = read_gpu_search,
                                                .store = read_store,
                                                .pack = read_pack,
                                                .devices = read_devices,
                                                .remote = read_remote};
    frt_metrics_set_sources(service->metrics, &sources);
    frt_gallery_watch_store(service->gallery, store_used, service->metrics);
}

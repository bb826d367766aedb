/*
 * Counters and latencies of the service, and their two renderings: JSON (docs/api.md) and Prometheus
 * text (format 0.0.4).
 *
 * Threading: recording is lock-free; rendering reads the same atomics. Routes and models are set before
 * threads start (models: once, before `ready`; sources: before the first rendering). Sources are asked at each
 * rendering, by whatever thread renders.
 */
#ifndef FRT_METRICS_METRICS_H
#define FRT_METRICS_METRICS_H

#include "core/json_write.h"
#include "core/stage.h"
#include "core/worker_pool.h"
#include "metrics/histogram.h"

enum { FRT_METRICS_MAX_ROUTES = 64, FRT_METRICS_MAX_MODELS = 32, FRT_METRICS_MAX_CACHES = 8 };

struct frt_metrics_route {
    const char *name; /* "POST /v1/detect", static */
    struct frt_window time;
    atomic_uint_fast64_t by_class[6]; /* answers 1xx..5xx at [1]..[5] */
};

struct frt_metrics_model {
    const char *name, *role; /* borrowed from the pack */
};

struct frt_metrics_stage_state {
    uint32_t limit, busy, queued;
    uint64_t rejected;
};

struct frt_metrics_cache_state {
    const char *name; /* static: "embedding" */
    uint64_t hits, misses, shared /* waited for another's work */, entries, capacity, bytes, capacity_bytes;
    uint64_t evictions, expirations;
    double ttl_seconds;
};

struct frt_metrics_batch_state {
    uint64_t count, items;
};

/* What others know and metrics renders. A member that is NULL: nothing is known, and nothing is said. */
struct frt_metrics_sources {
    void *arg; /* borrowed */
    void (*stage)(void *arg, enum frt_stage stage, struct frt_metrics_stage_state *out);
    /* Fills out[0..max), returns how many. */
    size_t (*caches)(void *arg, struct frt_metrics_cache_state *out, size_t max);
    void (*batches)(void *arg, struct frt_metrics_batch_state *out);
};

struct frt_metrics {
    const struct frt_clock *clock;
    int64_t start_ns;
    atomic_uint_fast64_t total, errors, rejected;
    atomic_uint in_flight;
    struct frt_window time;
    struct frt_window stages[FRT_STAGE_COUNT];
    struct frt_metrics_route routes[FRT_METRICS_MAX_ROUTES];
    uint32_t n_routes;
    struct frt_metrics_model models[FRT_METRICS_MAX_MODELS];
    uint32_t n_models;
    struct frt_metrics_sources sources;
    struct frt_worker_pool *pool; /* borrowed; NULL = none yet */
    /* the last CPU reading, for percent between two looks; guarded by nothing: a race shows an old value */
    _Atomic double cpu_seconds_then;
    atomic_int_fast64_t cpu_then_ns;
};

FRT_NODISCARD enum frt_status frt_metrics_new(const struct frt_clock *clock, struct frt_metrics **out,
                                              struct frt_error *err);
void frt_metrics_free(struct frt_metrics *metrics);
/** Register a route; returns its number for frt_metrics_answered. At most FRT_METRICS_MAX_ROUTES. */
uint32_t frt_metrics_add_route(struct frt_metrics *metrics, const char *name);

void frt_metrics_began(struct frt_metrics *metrics);
/** A request was answered. route  number, or UINT32_MAX for none. rejected: turned away unworked. */
void frt_metrics_answered(struct frt_metrics *metrics, uint32_t route, int http_status, double ms,
                          bool rejected);
/** Time that one photo spent in the stages. */
void frt_metrics_stages(struct frt_metrics *metrics, const struct frt_timing *timing);
/** Time of one piece of work in a stage. */
void frt_metrics_stage(struct frt_metrics *metrics, enum frt_stage stage, double ms);

/** Copied; NULL = none. */
void frt_metrics_set_sources(struct frt_metrics *metrics, const struct frt_metrics_sources *sources);

void frt_metrics_json(struct frt_metrics *metrics, struct frt_buf *out);
/** As frt_metrics_json; `more` (NULL: none) adds members of the caller's to the object. */
void frt_metrics_json_with(struct frt_metrics *metrics, struct frt_buf *out,
                           void (*more)(struct frt_json_writer *w, void *arg), void *arg);
void frt_metrics_prometheus(struct frt_metrics *metrics, struct frt_buf *out);

#endif

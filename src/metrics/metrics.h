/*
 * Counters and latencies of the service, and their renderings: JSON (docs/api.md), Prometheus text (format
 * 0.0.4) and OpenMetrics 1.0.
 *
 * What a request counts goes into its thread's shard (histogram.h) of its route; totals, errors and requests in
 * flight are added up from there when somebody looks.
 *
 * Threading: recording is lock-free; rendering reads the same atomics. Routes and models are set before
 * threads start (sources: before the first rendering). Sources are asked at each
 * rendering, by whatever thread renders.
 */
#ifndef FRT_METRICS_METRICS_H
#define FRT_METRICS_METRICS_H

#include "core/json_write.h"
#include "core/stage.h"
#include "core/worker_pool.h"
#include "metrics/gpu.h"
#include "metrics/histogram.h"

enum {
    FRT_METRICS_MAX_ROUTES = 64,
    FRT_METRICS_MAX_MODELS = 32,
    FRT_METRICS_MAX_CACHES = 8,
    FRT_METRICS_MAX_DEVICES = 4
};

struct frt_metrics_shard {
    _Alignas(64) atomic_uint_fast64_t by_class[6]; /* answers 1xx..5xx at [1]..[5]; others at [0] */
};

struct frt_metrics_route {
    const char *name; /* "POST /v1/detect", static */
    struct frt_metrics_shard shards[FRT_METRICS_SHARDS];
    struct frt_window time;
};

struct frt_metrics_model {
    char name[64];
    const char *role, *precision, *device; /* static; precision NULL = not known */
};

/* The pack in use, copied. */
struct frt_metrics_pack {
    char name[64], version[64], id[65];
    uint64_t reloads, failures; /* since start: packs that took another's place, and loads that failed */
    uint32_t waiting;           /* former packs that somebody still works with */
    struct frt_metrics_model models[FRT_METRICS_MAX_MODELS];
    uint32_t n_models;
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

/* The cache that instances share; all counts since start. */
struct frt_metrics_redis_state {
    bool up;
    uint32_t servers, servers_up, connections, queued;
    uint64_t queued_bytes;
    uint64_t hits, misses, away, late, refused;   /* look-ups; away, late: without an answer */
    uint64_t stored, store_dropped, store_failed; /* values that were made here */
    uint64_t limited;                             /* logins refused because of other instances' counts, too */
    uint64_t falls, returns, redirected;          /* of servers */
    double lookup_ms, budget_ms;                  /* of all look-ups; of one at most */
};

/* Indexes that came into being since start. */
struct frt_metrics_index_state {
    uint64_t loads, builds; /* from a snapshot; from the store's rows */
    double load_ms, build_ms;
};

/* Of the database since start. */
struct frt_metrics_store_state {
    uint64_t errors, reconnects;
    const char *kind; /* a token: letters */
};

/* A model server that computes for this service. Texts are borrowed while the sources are asked. */
enum { FRT_METRICS_REMOTE_OUTCOMES = 4 };
struct frt_metrics_remote {
    const char *protocol, *url, *breaker; /* breaker: "closed", "open", "half-open" */
    bool breaker_open;                    /* not closed */
    uint64_t breaker_opened, retries, fallbacks, comparisons, differences, sent_bytes, received_bytes;
    const char *outcomes[FRT_METRICS_REMOTE_OUTCOMES]; /* names */
    uint64_t requests[FRT_METRICS_REMOTE_OUTCOMES];
    const struct frt_window *time; /* of requests to models */
    char last_error[512];          /* "" = none yet */
    double last_error_s;           /* ago */
};

/* A device before another one that catches its fall. */
struct frt_metrics_device {
    char device[64], serving[64]; /* wanted; computing now */
    const char *state;            /* "up", "down", "opening"; static */
    uint32_t models, on_device;
    uint64_t falls, model_falls, returns, probes, spills, runs, fallback_runs;
    double down_s, next_probe_s; /* < 0: none */
    char cause[512];
};

/* Searches on a GPU. */
struct frt_metrics_gpu_search {
    bool up;
    char device[96];
    uint64_t memory_bytes, limit_bytes;
    uint32_t resident; /* indexes on the device */
    uint64_t searches, fallbacks, uncertain, evictions, failures, uploaded_bytes;
};

/* What others know and metrics renders. A member that is NULL: nothing is known, and nothing is said. */
struct frt_metrics_sources {
    void *arg; /* borrowed */
    void (*stage)(void *arg, enum frt_stage stage, struct frt_metrics_stage_state *out);
    /* Fills out[0..max), returns how many. */
    size_t (*caches)(void *arg, struct frt_metrics_cache_state *out, size_t max);
    void (*batches)(void *arg, struct frt_metrics_batch_state *out);
    bool (*redis)(void *arg, struct frt_metrics_redis_state *out); /* false: there is none */
    void (*indexes)(void *arg, struct frt_metrics_index_state *out);
    size_t (*devices)(void *arg, struct frt_metrics_device *out, size_t max);
    bool (*gpu_search)(void *arg, struct frt_metrics_gpu_search *out); /* false: nobody wants it */
    bool (*pack)(void *arg, struct frt_metrics_pack *out);             /* false: none is loaded yet */
    void (*store)(void *arg, struct frt_metrics_store_state *out);
    bool (*remote)(void *arg, struct frt_metrics_remote *out); /* false: there is no model server */
};

struct frt_metrics_counters {
    _Alignas(64) atomic_uint_fast64_t began, rejected;
};

struct frt_metrics {
    struct frt_metrics_counters counters[FRT_METRICS_SHARDS];
    struct frt_window stages[FRT_STAGE_COUNT];
    struct frt_metrics_route routes[FRT_METRICS_MAX_ROUTES + 1]; /* the last: requests of no route */
    const struct frt_clock *clock;
    int64_t start_ns;
    uint32_t n_routes;
    struct frt_metrics_sources sources;
    _Atomic(struct frt_gpu *) gpu; /* borrowed; NULL = none, or not looked for yet */
    uint64_t gpu_limit_bytes;      /* that models may take of it; 0 = no limit, or not used */
    struct frt_worker_pool *pool;  /* borrowed; NULL = none yet */
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

struct frt_metrics_counts {
    uint64_t total, in_flight, errors, rejected; /* in_flight: began and not answered */
};
struct frt_metrics_counts frt_metrics_counts_get(const struct frt_metrics *metrics);
/** Answers of a route by class, added to by_class[6]. */
void frt_metrics_route_answers(const struct frt_metrics_route *route, uint64_t by_class[6]);
/** Latencies of all requests since start, or of the last minute, added to `totals`. */
void frt_metrics_add_times(const struct frt_metrics *metrics, bool recent, struct frt_totals *totals);

/** Copied; NULL = none. */
void frt_metrics_set_sources(struct frt_metrics *metrics, const struct frt_metrics_sources *sources);

void frt_metrics_json(struct frt_metrics *metrics, struct frt_buf *out);
/** As frt_metrics_json; `more` (NULL: none) adds members of the caller's to the object. */
void frt_metrics_json_with(struct frt_metrics *metrics, struct frt_buf *out,
                           void (*more)(struct frt_json_writer *w, void *arg), void *arg);
/** Following what others change. */
struct frt_metrics_feed {
    bool connected;  /* changes are heard of */
    uint64_t behind; /* numbers of changes that the index furthest behind has not followed */
    double behind_s; /* since when not all were followed; 0 = they are */
};
void frt_metrics_prometheus_feed(const struct frt_metrics_feed *feed, struct frt_buf *out);
/** open  as OpenMetrics 1.0; the caller appends "# EOF" behind what else it has. */
void frt_metrics_prometheus(struct frt_metrics *metrics, bool open, struct frt_buf *out);

#endif

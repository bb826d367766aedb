/* overload, idle-connections and soak: what becomes of the service when it has too much, or for long. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/load_cases.h"

static void figure(const char *name, const char *unit, double ours, const char *peer, double peer_value,
                   double at_least, double at_most)
{
    const struct load_figure f = {.name = name,
                                  .unit = unit,
                                  .ours = ours,
                                  .peer = peer,
                                  .peer_value = peer_value,
                                  .at_least = at_least,
                                  .at_most = at_most};
    load_figure_print(&f);
}

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

/* ------------------------------------------------------------------- overload */

enum { CURVE_MAX = 64, CURVE_POINTS = 12 };

struct curve {
    const struct load_service *service;
    double at_s[CURVE_MAX], rss_mb[CURVE_MAX];
    size_t n;
};

static void note_memory(void *arg, double elapsed_s, bool holding)
{
    struct curve *curve = arg;
    (void)holding;
    if (curve->n < CURVE_MAX) {
        curve->at_s[curve->n] = elapsed_s;
        curve->rss_mb[curve->n++] = load_service_read(curve->service).rss_mb;
    }
}

static void print_curve(const struct curve *curve)
{
    char name[64];
    for (size_t i = 0; i < curve->n; i++) {
        (void)snprintf(name, sizeof name, "overload memory after %.0f s", curve->at_s[i]);
        figure(name, "MB", curve->rss_mb[i], NULL, 0, 0, 0);
    }
    /* From a quarter of the time on: by then every cache and every queue has been full. */
    if (curve->n >= 4)
        figure("overload growth of memory, last 3/4", "MB",
               curve->rss_mb[curve->n - 1] - curve->rss_mb[curve->n / 4], "target", 5, 0, 1);
}

void load_case_overload(struct load_bench *bench)
{
    static const char *const options[] = {"--request-timeout-ms", "2s", NULL};
    static struct load_batch batch;
    struct curve curve = {.service = &bench->ours};
    const struct load_report *report = &bench->report;
    load_batch_add(&batch, bench->photos.probes, bench->photos.n_probes, load_search_target, true);
    load_bench_restart(bench, options, LOAD_ANY_CORE);
    double peak = load_bench_closed(bench, &bench->ours, &batch, 8);
    (void)fprintf(stderr, "overload: %.0f requests/s arrive, the peak is %.1f, for %.0f s; deadline 2 s\n",
                  peak * 4, peak, bench->overload_seconds);
    struct load_options load = {.connections = 512,
                                .rate = peak * 4,
                                .warmup_s = 2,
                                .duration_s = bench->overload_seconds,
                                .deadline_ms = 2000,
                                .timeout_ms = 10000,
                                .tick_s = (bench->overload_seconds + 2) / CURVE_POINTS,
                                .tick = note_memory,
                                .tick_arg = &curve};
    load_bench_run(bench, &bench->ours, &batch, &load);
    double goodput = (double)report->ok / report->seconds;
    uint64_t total = load_total(report), pushed_back = report->by_status[429] + report->by_status[503];
    figure("overload accepted in time", "share", share(report->ok, report->accepted.count), "target", 1, 0.99,
           0);
    figure("overload accepted p99", "ms", load_histogram_percentile_ms(&report->accepted, 0.99), "deadline",
           2000, 0, 1);
    figure("overload answered 429", "share", share(report->by_status[429], total), NULL, 0, 0, 0);
    figure("overload answered 503", "share", share(report->by_status[503], total), NULL, 0, 0, 0);
    figure("overload neither accepted nor 429 nor 503", "requests",
           (double)(total - report->accepted.count - pushed_back), NULL, 0, 0, 0);
    figure("overload refusals p99", "ms", load_histogram_percentile_ms(&report->refused, 0.99), NULL, 0, 0, 0);
    print_curve(&curve);
    /* The peak once more: whether it came back, and against whatever else the machine did meanwhile. */
    double after = load_bench_closed(bench, &bench->ours, &batch, 8);
    figure("overload peak afterwards", "requests/s", after, "peak before", peak, 0, 0);
    figure("overload goodput", "requests/s", goodput, "the larger peak", after > peak ? after : peak, 0.9, 0);
    load_batch_free(&batch);
    load_bench_restart(bench, NULL, LOAD_ANY_CORE);
}

/* ----------------------------------------------------------- idle-connections */

enum { IDLE_CONNECTIONS = 5000 };

struct holding {
    const struct load_service *service;
    const struct load_photo *photo;
    double rss_mb;
    int status;
};

static void look_while_holding(void *arg, double elapsed_s, bool holding)
{
    struct holding *look = arg;
    (void)elapsed_s;
    if (!holding || look->status != 0)
        return;
    look->rss_mb = load_service_read(look->service).rss_mb;
    look->status =
        load_service_ask(look->service, "POST", load_search_target, look->photo->data, look->photo->size);
}

void load_case_idle(struct load_bench *bench)
{
    static const char *const options[] = {"--connections", "6000", NULL};
    static struct load_batch batch;
    struct holding look = {.service = &bench->ours, .photo = &bench->photos.hot_20k[0]};
    load_batch_add(&batch, bench->photos.hot_20k, LOAD_HOT, load_search_target, false);
    load_bench_restart(bench, options, LOAD_ANY_CORE);
    struct load_options warm = {.connections = 64, .count = 2000}; /* as many at once as below */
    load_bench_run(bench, &bench->ours, &batch, &warm);
    double before = load_service_read(&bench->ours).rss_mb;
    struct load_options load = {.connections = IDLE_CONNECTIONS,
                                .per_connection = 1,
                                .hold_s = 2.5,
                                .tick_s = 1,
                                .tick = look_while_holding,
                                .tick_arg = &look};
    load_bench_run(bench, &bench->ours, &batch, &load);
    (void)fprintf(stderr, "idle-connections: each after one answered search of a 20 KB photo\n");
    figure("idle-connections open", "connections", bench->report.open_at_end, "target", IDLE_CONNECTIONS, 1, 0);
    figure("idle-connections memory of each", "KB", (look.rss_mb - before) * 1e3 / IDLE_CONNECTIONS, "target",
           10, 0, 1);
    figure("idle-connections answer of another one", "status", look.status, "target", 200, 1, 0);
    load_batch_free(&batch);
    load_bench_restart(bench, NULL, LOAD_ANY_CORE);
}

/* ----------------------------------------------------------------------- soak */

/* 100 requests: 90 hot, 3 cold, 4 wrong ones, 3 hung up. */
static void add_mix(struct load_batch *batch, struct load_bench *bench)
{
    static const char no_image[] = "this is no image", no_json[] = "{\"embedding\":[1,2";
    const struct load_photos *photos = &bench->photos;
    for (size_t i = 0; i < 90; i++)
        load_batch_add(batch, &photos->hot_20k[i % LOAD_HOT], 1, load_search_target, false);
    for (size_t i = 0; i < 6; i++)
        load_batch_add(batch, &photos->probes[i % photos->n_probes], 1, load_search_target, true);
    batch->requests[batch->n - 1].ending = LOAD_HANG_UP_SENT;
    batch->requests[batch->n - 2].ending = LOAD_HANG_UP_HALF;
    batch->requests[batch->n - 3].ending = LOAD_HANG_UP_HALF;
    struct load_request *rest = &batch->requests[batch->n];
    load_request_init(&rest[0], "POST", "/v1/collections/nobody/search", load_image_header,
                      photos->hot_20k[0].data, photos->hot_20k[0].size, false);
    load_request_init(&rest[1], "POST", load_search_target, load_image_header, no_image, sizeof no_image - 1,
                      true);
    load_request_init(&rest[2], "POST", load_search_target, "Content-Type: application/json\r\n", no_json,
                      sizeof no_json - 1, false);
    load_request_init(&rest[3], "GET", "/v1/nowhere", NULL, NULL, 0, false);
    batch->n += 4;
    for (size_t i = 0; i < batch->n; i++) { /* 61 and 100 have no common divisor: every kind is spread */
        size_t j = i * 61 % batch->n;
        struct load_request swap = batch->requests[i];
        batch->requests[i] = batch->requests[j];
        batch->requests[j] = swap;
    }
}

static struct load_reading settled(const struct load_bench *bench)
{
    (void)poll(NULL, 0, 1500);
    return load_service_read(&bench->ours);
}

void load_case_soak(struct load_bench *bench)
{
    static struct load_batch batch;
    const struct load_report *report = &bench->report;
    uint64_t first = bench->soak_requests / 10, done = 0, unexpected = 0;
    struct load_reading early = {0}, late = {0};
    char name[64];
    load_bench_restart(bench, NULL, LOAD_ANY_CORE);
    add_mix(&batch, bench);
    (void)fprintf(stderr, "soak: %llu requests: of 100, 90 hot, 3 cold, 4 wrong, 3 hung up\n",
                  (unsigned long long)bench->soak_requests);
    while (done < bench->soak_requests) {
        struct load_options load = {.connections = 8, .count = first};
        load_bench_run(bench, &bench->ours, &batch, &load);
        done += first;
        late = settled(bench);
        if (done == first)
            early = late;
        (void)snprintf(name, sizeof name, "soak memory after %llu", (unsigned long long)done);
        figure(name, "MB", late.rss_mb, NULL, 0, 0, 0);
        unexpected += report->cut + report->timeouts + report->malformed + report->by_status[500];
    }
    figure("soak growth of memory", "MB", late.rss_mb - early.rss_mb, "target", 2, 0, 1);
    figure("soak descriptors", "descriptors", late.descriptors, "after a tenth", early.descriptors, 0, 1);
    figure("soak cut, timed out, malformed or 500", "requests", (double)unexpected, NULL, 0, 0, 0);
    load_batch_free(&batch);
    load_bench_restart(bench, NULL, LOAD_ANY_CORE);
}

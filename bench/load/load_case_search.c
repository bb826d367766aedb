/* cold-search and hot-search: ours and the stand-in in turn, round after round, and the median of the rounds.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "load/load_cases.h"

enum { ROUNDS_MAX = 32 };

/* What one kind of measurement gave, a value a round. */
struct series {
    double values[ROUNDS_MAX];
    size_t n;
};

static void note(struct series *series, double value)
{
    if (series->n < ROUNDS_MAX)
        series->values[series->n++] = value;
}

static double median(struct series *series)
{
    return series->n > 0 ? bench_median(series->values, series->n) : 0;
}

struct measured {
    struct series rate, p50_ms, p99_ms, cpu_us, client_cpu_us, unanswered;
};

static void measure(struct load_bench *bench, const struct load_service *service,
                    const struct load_batch *batch, uint32_t connections, struct measured *out)
{
    double before = load_service_read(service).cpu_seconds;
    double rate = load_bench_closed(bench, service, batch, connections);
    const struct load_report *report = &bench->report;
    /* CPU covers the warm-up as well, which is an eighth of the measured time more */
    double requests = rate * bench->seconds * 1.125;
    note(&out->rate, rate);
    note(&out->p50_ms, load_histogram_percentile_ms(&report->accepted, 0.5));
    note(&out->p99_ms, load_histogram_percentile_ms(&report->accepted, 0.99));
    note(&out->cpu_us, (load_service_read(service).cpu_seconds - before) * 1e6 / requests);
    note(&out->client_cpu_us, (report->user_seconds + report->system_seconds) * 1e6 / requests);
    note(&out->unanswered, (double)(load_total(report) - report->accepted.count));
}

static void figure(const char *prefix, const char *name, const char *unit, double ours, const char *peer,
                   double peer_value, double at_least, double at_most)
{
    char whole[100];
    (void)snprintf(whole, sizeof whole, "%s%s%s", prefix, name[0] != '\0' ? " " : "", name);
    const struct load_figure f = {.name = whole,
                                  .unit = unit,
                                  .ours = ours,
                                  .peer = peer,
                                  .peer_value = peer_value,
                                  .at_least = at_least,
                                  .at_most = at_most};
    load_figure_print(&f);
}

/* ---------------------------------------------------------------- cold-search */

static const uint32_t steps[] = {1, 2, 4, 8, 16};
enum { N_STEPS = sizeof steps / sizeof *steps };

static int cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* Confine this thread, the generator, to every core but the first; or free it again. */
static void keep_off_first_core(bool off)
{
    static cpu_set_t before;
    cpu_set_t rest;
    if (!off) {
        (void)sched_setaffinity(0, sizeof before, &before);
        return;
    }
    (void)sched_getaffinity(0, sizeof before, &before);
    rest = before;
    CPU_CLR(0, &rest);
    if (CPU_COUNT(&rest) > 0)
        (void)sched_setaffinity(0, sizeof rest, &rest);
}

static void measure_one_core(struct load_bench *bench, const struct load_batch *batch, struct measured *out)
{
    load_bench_restart(bench, NULL, 0);
    keep_off_first_core(true);
    measure(bench, &bench->ours, batch, 1, out);
    keep_off_first_core(false);
    load_bench_restart(bench, NULL, LOAD_ANY_CORE);
}

void load_case_cold(struct load_bench *bench)
{
    static struct load_batch batch;
    static struct measured ours[N_STEPS], peer[N_STEPS], one_core;
    struct series rss_ours = {0}, rss_peer = {0};
    char name[64];
    (void)fprintf(stderr, "cold-search: %.1f KB, every one another, %zu people\n",
                  load_photos_mean_kb(bench->photos.probes, bench->photos.n_probes), bench->photos.n_people);
    load_batch_add(&batch, bench->photos.probes, bench->photos.n_probes, load_search_target, true);
    for (int round = 0; round < bench->rounds; round++) {
        measure_one_core(bench, &batch, &one_core);
        for (size_t i = 0; i < N_STEPS; i++) {
            if (bench->has_peer && (steps[i] == 1 || steps[i] == 4 || steps[i] == 8))
                measure(bench, &bench->peer, &batch, steps[i], &peer[i]);
            measure(bench, &bench->ours, &batch, steps[i], &ours[i]);
        }
        note(&rss_ours, load_service_read(&bench->ours).rss_mb);
        if (bench->has_peer)
            note(&rss_peer, load_service_read(&bench->peer).rss_mb);
    }

    double service_s = 1 / median(&one_core.rate), best = 0, best_peer = 0;
    figure("cold-search", "service time on one core", "ms", service_s * 1e3, NULL, 0, 0, 0);
    for (size_t i = 0; i < N_STEPS; i++) {
        double rate = median(&ours[i].rate), bound = cores() / service_s;
        (void)snprintf(name, sizeof name, "throughput, %u connections", steps[i]);
        figure("cold-search", name, "requests/s", rate, "cores / service time", bound, i > 0 ? 0.95 : 0, 0);
        best = rate > best ? rate : best;
        best_peer = median(&peer[i].rate) > best_peer ? median(&peer[i].rate) : best_peer;
    }
    figure("cold-search", "best throughput", "requests/s", best, "cores / service time", cores() / service_s,
           0.95, 0);
    figure("cold-search", "p50, 1 connection", "ms", median(&ours[0].p50_ms), "the issue's stand-in", 22, 0,
           0.5);
    figure("cold-search", "best throughput", "requests/s", best, "the issue's stand-in", 84, 2.5, 0);
    /* CPU time is what a busy machine disturbs least: what sharing the cores costs, without the waiting. */
    figure("cold-search", "service CPU, 8 connections", "ms/request", median(&ours[3].cpu_us) / 1e3,
           "on one core", median(&one_core.cpu_us) / 1e3, 0, 0);
    figure("cold-search", "p99, 8 connections", "ms", median(&ours[3].p99_ms), NULL, 0, 0, 0);
    if (bench->has_peer) {
        figure("cold-search", "p50, 1 connection", "ms", median(&ours[0].p50_ms), "standin",
               median(&peer[0].p50_ms), 0, 0.5);
        figure("cold-search", "best throughput", "requests/s", best, "standin", best_peer, 2.5, 0);
        figure("cold-search", "resident memory", "MB", median(&rss_ours), "standin", median(&rss_peer), 0, 1);
    } else {
        load_figure_skip(bench, "cold-search");
        figure("cold-search", "resident memory", "MB", median(&rss_ours), "the issue's stand-in", 240, 0, 1);
    }
    load_batch_free(&batch);
}

/* ----------------------------------------------------------------- hot-search */

/* Each photo once, so that all are in the cache. */
static void prime(struct load_bench *bench, const struct load_service *service, const struct load_batch *batch)
{
    struct load_options options = {.count = batch->n};
    load_bench_run(bench, service, batch, &options);
}

static void hot(struct load_bench *bench, const struct load_photo *photos, const char *prefix, double target)
{
    static struct load_batch batch;
    static const uint32_t connections[] = {1, 4, 16};
    enum { N = sizeof connections / sizeof *connections };
    struct measured ours[N], peer[N];
    size_t best = 0, best_peer = 0;
    char name[64];
    memset(ours, 0, sizeof ours);
    memset(peer, 0, sizeof peer);
    load_batch_add(&batch, photos, LOAD_HOT, load_search_target, false);
    prime(bench, &bench->ours, &batch);
    if (bench->has_peer)
        prime(bench, &bench->peer, &batch);
    for (int round = 0; round < bench->rounds; round++)
        for (size_t i = 0; i < N; i++) {
            if (bench->has_peer)
                measure(bench, &bench->peer, &batch, connections[i], &peer[i]);
            measure(bench, &bench->ours, &batch, connections[i], &ours[i]);
        }
    for (size_t i = 0; i < N; i++) {
        const char *wished = i > 0 ? "target" : NULL; /* one connection is the baseline */
        best = median(&ours[i].rate) > median(&ours[best].rate) ? i : best;
        best_peer = median(&peer[i].rate) > median(&peer[best_peer].rate) ? i : best_peer;
        (void)snprintf(name, sizeof name, "throughput, %u connections", connections[i]);
        figure(prefix, name, "requests/s", median(&ours[i].rate), wished, target, 1, 0);
        (void)snprintf(name, sizeof name, "p50, %u connections", connections[i]);
        figure(prefix, name, "ms", median(&ours[i].p50_ms), NULL, 0, 0, 0);
        (void)snprintf(name, sizeof name, "p99, %u connections", connections[i]);
        figure(prefix, name, "ms", median(&ours[i].p99_ms), wished, 2, 0, 1);
        if (median(&ours[i].unanswered) > 0)
            figure(prefix, "answers that were no 200", "", median(&ours[i].unanswered), NULL, 0, 0, 0);
    }
    figure(prefix, "generator CPU", "us/request", median(&ours[best].client_cpu_us), NULL, 0, 0, 0);
    if (bench->has_peer) {
        figure(prefix, "p50, 1 connection", "ms", median(&ours[0].p50_ms), "standin", median(&peer[0].p50_ms),
               0, 0);
        figure(prefix, "best throughput", "requests/s", median(&ours[best].rate), "standin",
               median(&peer[best_peer].rate), 0, 0);
        figure(prefix, "service CPU", "us/request", median(&ours[best].cpu_us), "standin",
               median(&peer[best_peer].cpu_us), 0, 0);
    } else {
        figure(prefix, "service CPU", "us/request", median(&ours[best].cpu_us), NULL, 0, 0, 0);
        load_figure_skip(bench, prefix);
    }
    load_batch_free(&batch);
}

void load_case_hot(struct load_bench *bench)
{
    (void)fprintf(stderr, "hot-search: %d photos again and again, %zu people\n", LOAD_HOT,
                  bench->photos.n_people);
    hot(bench, bench->photos.hot_20k, "hot-search 20 KB", 15000);
    hot(bench, bench->photos.hot_100k, "hot-search 100 KB", 8000);
}

/*
 * What counting costs, with 1, 2 and 4 threads that all count the same route:
 *
 *     record   one latency into one histogram with its window
 *     hot      all that a search counts whose photo a cache knew: begun, two uses of the store, answered
 *     cold     all that a photo's request counts: begun, three stages, answered with route and class of status
 *     span     a span of a request that nobody traces
 *
 * The peer of "hot" is such a search itself, 65 us, the shortest request there is: a ratio of at most 0.01 is
 * the bound. CPU time, medians of rounds; threads start a round together.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "bench.h"
#include "core/clock.h"
#include "core/trace.h"
#include "metrics/metrics.h"

enum { ROUNDS = 15, RECORDS = 100000, MOST_THREADS = 4 };
static const double hot_request_ns = 65000;

struct load {
    struct frt_metrics *metrics;
    uint32_t route;
    void (*once)(struct load *load, uint32_t i);
    pthread_barrier_t *start;
    double ns; /* of one call, in CPU time: others may be on the machine */
    char apart[64];
};

static void record(struct load *load, uint32_t i)
{
    frt_window_record(&load->metrics->routes[load->route].time, 0.06 + (double)(i % 64) / 1000);
}

static void hot(struct load *load, uint32_t i)
{
    const struct frt_timing timing = {.total_ms = 0.05};
    frt_metrics_began(load->metrics);
    frt_metrics_stages(load->metrics, &timing);
    frt_metrics_stage(load->metrics, FRT_STAGE_STORE, 0.01); /* the collection's row, the matches' rows */
    frt_metrics_stage(load->metrics, FRT_STAGE_STORE, 0.01);
    frt_metrics_answered(load->metrics, load->route, 200, 0.06 + (double)(i % 64) / 1000, false);
}

static void cold(struct load *load, uint32_t i)
{
    const struct frt_timing timing = {.decode_ms = 1.5, .detect_ms = 9, .align_ms = 0.1, .embed_ms = 3};
    frt_metrics_began(load->metrics);
    frt_metrics_stages(load->metrics, &timing);
    frt_metrics_answered(load->metrics, load->route, 200, 0.06 + (double)(i % 64) / 1000, false);
}

static void unwatched(struct load *load, uint32_t i)
{
    (void)load;
    (void)i;
    int span = frt_trace_begin("decode");
    frt_trace_end(span, NULL);
}

static double cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *work(void *arg)
{
    struct load *load = arg;
    (void)pthread_barrier_wait(load->start);
    double start = cpu_ns();
    for (uint32_t i = 0; i < RECORDS; i++)
        load->once(load, i);
    load->ns = (cpu_ns() - start) / RECORDS;
    return NULL;
}

/* Nanoseconds of a call, as the thread that makes it sees it: median over rounds of the threads' mean. */
static double measure(struct frt_metrics *metrics, uint32_t route, void (*once)(struct load *, uint32_t),
                      unsigned threads)
{
    double rounds[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        pthread_t ids[MOST_THREADS];
        struct load loads[MOST_THREADS];
        pthread_barrier_t start;
        double sum = 0;
        (void)pthread_barrier_init(&start, NULL, threads);
        for (unsigned t = 0; t < threads; t++) {
            loads[t] = (struct load){.metrics = metrics, .route = route, .once = once, .start = &start};
            if (pthread_create(&ids[t], NULL, work, &loads[t]) != 0)
                exit(1);
        }
        for (unsigned t = 0; t < threads; t++) {
            (void)pthread_join(ids[t], NULL);
            sum += loads[t].ns;
        }
        (void)pthread_barrier_destroy(&start);
        rounds[r] = sum / threads;
    }
    return bench_median(rounds, ROUNDS);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*once)(struct load *, uint32_t);
        bool bounded;
    } cases[] = {{"record", record, false},
                 {"hot-request", hot, true},
                 {"cold-request", cold, false},
                 {"span", unwatched, false}};
    struct frt_metrics *metrics = NULL;
    if (frt_metrics_new(&frt_clock_system, &metrics, NULL) != FRT_OK)
        return 1;
    uint32_t route = frt_metrics_add_route(metrics, "POST /v1/collections/{c}/search");
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (unsigned threads = 1; threads <= MOST_THREADS; threads *= 2) {
            char name[64];
            (void)snprintf(name, sizeof name, "%s-%u", cases[c].name, threads);
            const struct bench_figure figure = {.bench = "metrics",
                                                .name = name,
                                                .unit = "ns",
                                                .ours = measure(metrics, route, cases[c].once, threads),
                                                .peer = cases[c].bounded ? "hot request" : NULL,
                                                .peer_value = hot_request_ns};
            bench_print(&figure);
        }
    }
    frt_metrics_free(metrics);
    return 0;
}

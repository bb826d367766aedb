/*
 * The service under load, from outside, beside the Python stand-in for the older service (bench/peers/standin).
 *
 *     make bench BENCH=load [CASE=NAME]      all cases, or one; bench/run load NAME
 *
 *     cold-search        every photo another one: service time, throughput at 1 to 16 connections, against
 * cores × (1 / service time on one core) and against the stand-in hot-search         8 photos again and again,
 * of about 20 and of about 100 KB overload           four times the peak arrives: goodput, deadlines, memory
 * over the time idle-connections   5,000 keep-alive connections: memory of each soak               hot, cold,
 * wrong and hung-up requests: growth of memory and descriptors
 *
 * From the environment, with defaults: LOAD_SECONDS (4) of one measurement, LOAD_ROUNDS (2) of interleaved
 * ones, OVERLOAD_SECONDS (60), SOAK_REQUESTS (200000), LOAD_PEER=none leaves the stand-in out, FRT_TEST_ASSETS
 * (../shared/assets): YuNet, MobileFaceNet and lfw-dev; without them the default pack and no stand-in.
 *
 * The load generator (load/load_client.h) runs on the same cores as what it measures. docs/load.md has the
 * method.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load/load_cases.h"

static struct load_bench bench;

static const struct {
    const char *name;
    void (*run)(struct load_bench *bench);
    bool with_peer;
} cases[] = {{"cold-search", load_case_cold, true},
             {"hot-search", load_case_hot, true},
             {"overload", load_case_overload, false},
             {"idle-connections", load_case_idle, false},
             {"soak", load_case_soak, false}};

enum { N_CASES = sizeof cases / sizeof *cases };

static void clean_up(void)
{
    load_service_stop(&bench.ours);
    load_service_stop(&bench.peer);
    load_place_close(&bench.place);
    load_photos_close(&bench.photos);
}

static void end(int signal_number)
{
    exit(128 + signal_number);
}

static double from_environment(const char *name, double fallback)
{
    const char *text = getenv(name);
    double value = text != NULL && *text != '\0' ? strtod(text, NULL) : fallback;
    if (!(value > 0)) {
        (void)fprintf(stderr, "bench: %s is '%s'; a number above 0 fits\n", name, text);
        exit(2);
    }
    return value;
}

static void enroll(const struct load_service *service)
{
    static struct load_batch batch;
    int status = load_service_ask(service, "PUT", "/v1/collections/people", NULL, 0);
    if (status != 200 && status != 201) {
        (void)fprintf(stderr, "bench: the collection was answered %d\n", status);
        exit(1);
    }
    for (size_t i = 0; i < bench.photos.n_people; i++) {
        char target[200];
        (void)snprintf(target, sizeof target, "/v1/collections/people/faces?on_multiple=largest&subject=%s",
                       bench.photos.people[i].person);
        load_batch_add(&batch, &bench.photos.people[i], 1, target, false);
    }
    struct load_options options = {.connections = 2, .count = batch.n};
    load_bench_run(&bench, service, &batch, &options);
    if (bench.report.ok < batch.n * 9 / 10) { /* a few may be refused: two faces, too alike */
        (void)fprintf(stderr, "bench: of %zu people %llu were enrolled\n", batch.n,
                      (unsigned long long)bench.report.ok);
        load_print(&bench.report, &options);
        exit(1);
    }
    load_batch_free(&batch);
}

/* Both must do the work they are timed for: of probes whose person was enrolled, who is named? */
static void check_names(const struct load_service *service, const char *who)
{
    size_t asked = 0, named = 0;
    for (size_t i = 0; i < bench.photos.n_probes && asked < 12; i++) {
        const struct load_photo *probe = &bench.photos.probes[i];
        for (size_t j = 0; j < bench.photos.n_people; j++)
            if (strcmp(bench.photos.people[j].person, probe->person) == 0) {
                asked++;
                named +=
                    load_service_names(service, load_search_target, probe->data, probe->size, probe->person)
                        ? 1
                        : 0;
            }
    }
    (void)fprintf(stderr, "bench: %s names %zu of %zu people right\n", who, named, asked);
    if (named * 4 < asked * 3) {
        (void)fprintf(stderr, "bench: that is no work worth timing\n");
        exit(1);
    }
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc < 2;
}

static void prepare(bool wants_peer)
{
    const char *assets = getenv("FRT_TEST_ASSETS"), *peer = getenv("LOAD_PEER");
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* 5,000 connections; the services inherit it */
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    bench.seconds = from_environment("LOAD_SECONDS", 4);
    bench.rounds = (int)from_environment("LOAD_ROUNDS", 2);
    bench.overload_seconds = from_environment("OVERLOAD_SECONDS", 60);
    bench.soak_requests = (uint64_t)from_environment("SOAK_REQUESTS", 200000);
    if (assets == NULL || *assets == '\0')
        assets = "../shared/assets";
    load_place_open(&bench.place, assets);
    load_photos_open(&bench.photos, assets);
    (void)fprintf(stderr, "bench: %s; %zu people, %zu probes of %.1f KB, hot photos of %.1f and %.1f KB\n",
                  bench.place.has_models ? "YuNet and MobileFaceNet" : "the default pack",
                  bench.photos.n_people, bench.photos.n_probes,
                  load_photos_mean_kb(bench.photos.probes, bench.photos.n_probes),
                  load_photos_mean_kb(bench.photos.hot_20k, LOAD_HOT),
                  load_photos_mean_kb(bench.photos.hot_100k, LOAD_HOT));
    load_service_start(&bench.ours, &bench.place, NULL, LOAD_ANY_CORE);
    enroll(&bench.ours);
    check_names(&bench.ours, "ours");
    if (peer != NULL && strcmp(peer, "none") == 0)
        (void)snprintf(bench.why_no_peer, sizeof bench.why_no_peer, "LOAD_PEER=none");
    else if (wants_peer)
        bench.has_peer =
            load_service_start_peer(&bench.peer, &bench.place, bench.why_no_peer, sizeof bench.why_no_peer);
    if (bench.has_peer) {
        enroll(&bench.peer);
        check_names(&bench.peer, "the stand-in");
    }
}

int main(int argc, char **argv)
{
    bool wants_peer = false;
    for (int i = 1; i < argc; i++) {
        size_t known = 0;
        while (known < N_CASES && strcmp(cases[known].name, argv[i]) != 0)
            known++;
        if (known == N_CASES) {
            (void)fprintf(stderr, "bench: no case '%s'; there are:", argv[i]);
            for (size_t j = 0; j < N_CASES; j++)
                (void)fprintf(stderr, " %s", cases[j].name);
            (void)fputc('\n', stderr);
            return 2;
        }
    }
    for (size_t i = 0; i < N_CASES; i++)
        wants_peer = wants_peer || (cases[i].with_peer && is_wanted(cases[i].name, argc, argv));
    (void)atexit(clean_up);
    (void)signal(SIGINT, end);
    (void)signal(SIGTERM, end);
    (void)signal(SIGPIPE, SIG_IGN);
    prepare(wants_peer);
    for (size_t i = 0; i < N_CASES; i++)
        if (is_wanted(cases[i].name, argc, argv))
            cases[i].run(&bench);
    return 0;
}

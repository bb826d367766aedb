/*
 * The load generator of bench/load against the service: that it counts what happened, that unique bodies reach
 * no cache and equal ones do, that a due request is late however the service stalls, and that it leaves
 * loopback alone. No figure is judged here.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "http_client.h"
#include "http_photos.h"
#include "load/load_client.h"

static const char *program, *generator;
static struct service service;
static struct photo one;
static struct load_report report;

static void percentiles_are_near(void **state)
{
    static struct load_histogram histogram;
    (void)state;
    for (int64_t i = 1; i <= 1000; i++)
        load_histogram_add(&histogram, i * i * 1000); /* 1 µs to 1 s */
    for (double share = 0.01; share <= 1.0; share += 0.01) {
        double exact = ceil(share * 1000 - 1e-9) * ceil(share * 1000 - 1e-9) * 1000 / 1e6;
        assert_true(fabs(load_histogram_percentile_ms(&histogram, share) - exact) <= 0.004 * exact);
    }
    load_histogram_add(&histogram, INT64_MAX);
    assert_int_equal(histogram.max_ns, INT64_MAX);
    assert_true(load_histogram_percentile_ms(&histogram, 0.5) < 1000);
}

static double cache_figure(const char *cache, const char *figure)
{
    struct answer a = get(service.port, "/metrics");
    expect(&a, 200, NULL);
    const struct frt_json_value *caches = frt_json_get(frt_json_root(a.json), "caches");
    double value = frt_json_double(frt_json_get(frt_json_get(caches, cache), figure), NAN);
    answer_free(&a);
    assert_true(value >= 0);
    return value;
}

static void run(struct load_options *options, const struct load_request *requests, size_t n)
{
    char error[200] = "";
    options->port = service.port;
    options->requests = requests;
    options->n_requests = n;
    if (load_run(options, &report, error, sizeof error) != 0)
        fail_msg("%s", error);
}

static void unique_bodies_are_unknown_to_the_cache(void **state)
{
    static const char type[] = "Content-Type: image/jpeg\r\n";
    struct load_options options = {.connections = 2, .count = 6};
    (void)state;
    for (int unique = 0; unique < 2; unique++) {
        struct load_request request;
        double misses = cache_figure("embedding", "misses"), hits = cache_figure("embedding", "hits");
        load_request_init(&request, "POST", "/v1/embed", type, one.data, one.size, unique != 0);
        run(&options, &request, 1);
        assert_int_equal(report.ok, 6);
        assert_int_equal(load_total(&report), 6);
        assert_int_equal(report.by_status[200], 6);
        assert_int_equal(report.accepted.count, 6);
        assert_true(report.sent_bytes > 6 * one.size);
        assert_true(report.received_bytes > 6 * 1000);
        /* the first two equal ones may be on their way together: one computes, one waits for it */
        assert_true(cache_figure("embedding", "misses") - misses == (unique ? 6 : 1) ||
                    (!unique && cache_figure("embedding", "misses") - misses == 2));
        assert_true(unique || cache_figure("embedding", "hits") - hits >= 4);
        load_request_deinit(&request);
    }
}

static void statuses_and_hang_ups_are_counted(void **state)
{
    struct load_request requests[4];
    struct load_options options = {.connections = 3, .count = 40};
    (void)state;
    load_request_init(&requests[0], "GET", "/healthz", NULL, NULL, 0, false);
    load_request_init(&requests[1], "GET", "/v1/collections/nobody", NULL, NULL, 0, false);
    load_request_init(&requests[2], "POST", "/v1/embed", NULL, one.data, one.size, true);
    load_request_init(&requests[3], "POST", "/v1/embed", NULL, one.data, one.size, true);
    requests[2].ending = LOAD_HANG_UP_HALF;
    requests[3].ending = LOAD_HANG_UP_SENT;
    run(&options, requests, 4);
    assert_int_equal(report.ok, 10);
    assert_int_equal(report.by_status[404], 10);
    assert_int_equal(report.hung_up, 20);
    assert_int_equal(load_total(&report), 40);
    for (size_t i = 0; i < 4; i++)
        load_request_deinit(&requests[i]);
}

/* At 200 a second, 20 requests are due within 100 ms; the service is stopped for 300 ms from the start, so each
 * waits for at least 200 ms, whenever it was sent. */
static void waiting_counts_from_when_it_was_due(void **state)
{
    struct load_request request;
    struct load_options options = {.connections = 1, .rate = 200, .count = 20, .deadline_ms = 150};
    (void)state;
    load_request_init(&request, "GET", "/healthz", NULL, NULL, 0, false);
    assert_int_equal(kill(service.pid, SIGSTOP), 0);
    assert_int_equal(waitpid(service.pid, NULL, WUNTRACED), service.pid); /* every thread of it stands */
    pid_t waker = fork();
    assert_true(waker >= 0);
    if (waker == 0) {
        (void)usleep(300000);
        _exit(kill(service.pid, SIGCONT) == 0 ? 0 : 1);
    }
    run(&options, &request, 1);
    assert_int_equal(waitpid(waker, NULL, 0), waker);
    assert_int_equal(report.accepted.count, 20);
    assert_int_equal(report.late, 20);
    assert_int_equal(report.ok, 0);
    assert_true(load_histogram_percentile_ms(&report.accepted, 0.01) > 190);
    load_request_deinit(&request);
}

static void connections_are_held(void **state)
{
    struct load_request request;
    struct load_options options = {.connections = 100, .per_connection = 2};
    (void)state;
    load_request_init(&request, "GET", "/healthz", NULL, NULL, 0, false);
    run(&options, &request, 1);
    assert_int_equal(report.ok, 200);
    assert_int_equal(report.open_at_end, 100);
    load_request_deinit(&request);
}

/* Output of a command of the generator; its exit status. */
static int say(const char *arguments, char *out, size_t capacity)
{
    char command[600];
    (void)snprintf(command, sizeof command, "'%s' %s 2>&1", generator, arguments);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c): our own words */
    assert_non_null(pipe);
    size_t n = fread(out, 1, capacity - 1, pipe);
    out[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void program_prints_json_and_stays_on_this_machine(void **state)
{
    char out[8192], arguments[200];
    struct frt_json *json = NULL;
    (void)state;
    (void)snprintf(arguments, sizeof arguments, "-c 2 -n 50 -H 'X-Test: 1' http://localhost:%d/healthz",
                   service.port);
    assert_int_equal(say(arguments, out, sizeof out), 0);
    if (frt_json_parse(out, strlen(out), &json, NULL) != FRT_OK)
        fail_msg("not JSON: %s", out);
    const struct frt_json_value *root = frt_json_root(json);
    assert_true(frt_json_double(frt_json_get(root, "requests"), 0) == 50);
    assert_true(frt_json_double(frt_json_get(frt_json_get(root, "by_status"), "200"), 0) == 50);
    assert_true(frt_json_double(frt_json_get(frt_json_get(root, "latency_ms"), "p50"), 0) > 0);
    frt_json_free(json);
    static const struct {
        const char *arguments;
        int code;
        const char *says;
    } wrong[] = {{"http://10.1.2.3:80/", 1, "loopback"},
                 {"http://[2001:db8::1]:80/", 1, "loopback"},
                 {"http://example.org:80/", 1, "loopback"},
                 {"https://127.0.0.1:80/", 2, "http://"},
                 {"http://127.0.0.1/", 2, "port"},
                 {"http://127.0.0.1:1/", 1, "nobody listens"},
                 {"-c x http://127.0.0.1:1/", 2, "number"},
                 {"", 2, "no URL"},
                 {"-H nothing http://127.0.0.1:1/", 2, "header"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int code = say(wrong[i].arguments, out, sizeof out);
        if (code != wrong[i].code || strstr(out, wrong[i].says) == NULL)
            fail_msg("%s: %d: %s", wrong[i].arguments, code, out);
    }
}

static int start(void **state)
{
    /* what is left of half a request is given up soon */
    static const char *const options[] = {"--request-timeout-ms", "5s", NULL};
    (void)state;
    service_start(&service, program, options);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return service_stop(&service, SIGTERM);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_near),
        cmocka_unit_test(unique_bodies_are_unknown_to_the_cache),
        cmocka_unit_test(statuses_and_hang_ups_are_counted),
        cmocka_unit_test(waiting_counts_from_when_it_was_due),
        cmocka_unit_test(connections_are_held),
        cmocka_unit_test(program_prints_json_and_stays_on_this_machine),
    };
    if (argc != 3 || !photos_are_there())
        return 77;
    program = argv[1];
    generator = argv[2];
    one = photo_of(1);
    int failed = cmocka_run_group_tests(tests, start, stop);
    free(one.data);
    return failed;
}

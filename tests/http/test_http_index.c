/*
 * The first search of a large collection that has no snapshot, in a service whose requests have a quarter of a
 * second: told when to come again, until the one load that was begun is done.
 */
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "http_client.h"
#include "http_photos.h"
#include "simd/dot.h"
#include "store/store.h"

enum { DIM = 512, FACES = 40000, BATCH = 1000 };
static const char *program;
static struct service service;

static void fill(const char *path)
{
    static char names[BATCH][32];
    static struct frt_store_face faces[BATCH];
    const struct frt_store_options options = {.path = path};
    const struct frt_store_collection people = {.name = "people", .threshold = NAN, .target_fpir = (double)NAN};
    float *vectors = frt_alloc_array((size_t)BATCH * DIM, sizeof *vectors);
    struct frt_store *store = NULL;
    struct frt_error err = {0};
    uint64_t x = 88172645463325252u;
    assert_non_null(vectors);
    assert_int_equal(frt_store_open(&options, &store, &err), FRT_OK);
    assert_int_equal(frt_store_collection_add(store, &people, &err), FRT_OK);
    for (size_t first = 0; first < FACES; first += BATCH) {
        for (size_t i = 0; i < BATCH; i++) {
            float *v = vectors + i * DIM;
            for (size_t d = 0; d < DIM; d++) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                v[d] = (float)(x >> 40) / 16777216.0f - 0.5f;
            }
            const float norm = sqrtf(frt_dot_f32(v, v, DIM));
            for (size_t d = 0; d < DIM; d++)
                v[d] /= norm;
            (void)snprintf(names[i], sizeof names[i], "s%zu", first + i);
            faces[i] =
                (struct frt_store_face){.subject = names[i], .embedding = v, .quality = NAN, .threshold = NAN};
        }
        const struct frt_store_add add = {
            .collection = "people", .model = "test 1", .dim = DIM, .faces = faces, .n = BATCH};
        assert_int_equal(frt_store_faces_add(store, &add, NULL, NULL, NULL, &err), FRT_OK);
    }
    frt_store_close(store);
    frt_free(vectors);
}

static struct answer search(void)
{
    static char body[DIM * 8 + 64];
    int n = snprintf(body, sizeof body, "{\"threshold\":0.9,\"embedding\":[1");
    for (int d = 1; d < DIM; d++)
        n += snprintf(body + n, sizeof body - (size_t)n, ",0");
    n += snprintf(body + n, sizeof body - (size_t)n, "]}");
    return request(service.port, "POST", "/v1/collections/people/search", "application/json", body, (size_t)n);
}

static double metric(const char *group, const char *name)
{
    struct answer a = request_with(service.port, "GET", "/metrics",
                                   "Connection: close\r\nAccept: application/json\r\n", NULL, NULL, 0);
    const struct frt_json_value *collections = frt_json_get(frt_json_root(a.json), "collections");
    const double value = frt_json_double(frt_json_get(frt_json_get(collections, group), name), -1);
    answer_free(&a);
    return value;
}

static void the_first_search_of_many(void **state)
{
    (void)state;
    size_t refused = 0;
    int status = 0;
    for (int64_t start = frt_now_ns(); status != 200; (void)poll(NULL, 0, 50)) {
        struct answer a = search();
        status = a.status;
        if (status == 200) {
            expect(&a, 200, NULL);
        } else if (status == 504) { /* a machine that others use: no worker came to it in time */
            expect(&a, 504, "deadline_exceeded");
        } else {
            expect(&a, 503, "index_not_ready");
            assert_true(strtol(answer_header(&a, "Retry-After"), NULL, 10) >= 1);
            assert_non_null(strstr(a.body, "of 40000 faces"));
            refused++;
        }
        answer_free(&a);
        assert_true(frt_elapsed_ms(start) < 4 * WAIT_MS);
    }
    assert_true(refused > 0); /* nobody reads and codes 40,000 faces in a quarter of a second */
    struct answer a = search();
    expect(&a, 200, NULL);
    answer_free(&a);
    assert_int_equal((int)metric("builds", "count"), 1);
    assert_int_equal((int)metric("loads", "count"), 0);
}

int main(int argc, char **argv)
{
    static const char *const options[] = {"--request-timeout-ms", "250ms", NULL};
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_first_search_of_many)};
    if (argc != 2 || !photos_are_there())
        return 77;
    (void)signal(SIGPIPE, SIG_IGN);
    program = argv[1];
    service_folder(&service);
    fill(service.database);
    service_start(&service, program, options);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)service_stop(&service, SIGTERM);
    return failed;
}

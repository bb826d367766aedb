/*
 * The service on WebGPU, on a software Vulkan driver that fails when it is told to: it starts without the
 * device, moves to it when it comes and to the CPU when it is lost, with clients that ask all the time: none is
 * refused, none gets another answer. Skipped where Debian's chromium, the pack or the sample photos are absent.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "http_client.h"
#include "http_photos.h"
#include "infer/software_vulkan.h"

/* A request on the software driver takes seconds, more on a busy machine. */
enum { ANSWER_MS = 600000, CLIENTS = 2, DIM_MAX = 512 };

static const char *program;
static struct photo photo;

/* What is compared of an answer. */
struct look {
    double box[4], embedding[DIM_MAX];
    size_t dim;
};

static void look_at(const struct answer *a, struct look *out)
{
    static const char *const sides[] = {"x", "y", "width", "height"};
    const struct frt_json_value *face = frt_json_first(frt_json_get(frt_json_root(a->json), "faces"));
    const struct frt_json_value *number = frt_json_first(frt_json_get(face, "embedding"));
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < 4; i++)
        out->box[i] = frt_json_double(frt_json_get(frt_json_get(face, "box"), sides[i]), -1e9);
    for (; number != NULL && out->dim < DIM_MAX; number = frt_json_next(number))
        out->embedding[out->dim++] = frt_json_double(number, 0);
}

/* Worst difference of a side, px, and 1 - cosine. */
static bool same(const struct look *a, const struct look *b, double *px, double *angle)
{
    double ab = 0, aa = 0, bb = 0;
    *px = 0;
    for (size_t i = 0; i < 4; i++)
        *px = fmax(*px, fabs(a->box[i] - b->box[i]));
    for (size_t i = 0; i < a->dim; i++) {
        ab += a->embedding[i] * b->embedding[i];
        aa += a->embedding[i] * a->embedding[i];
        bb += b->embedding[i] * b->embedding[i];
    }
    *angle = 1 - ab / sqrt(aa * bb);
    return a->dim > 0 && a->dim == b->dim && *px < 0.5 && *angle < 1e-4;
}

static struct answer embed(int port)
{
    return request(port, "POST", "/v1/embed", "image/jpeg", photo.data, photo.size);
}

struct load {
    int port;
    const struct look *want;
    atomic_bool stop;
    atomic_int answered, wrong, failed;
};

static void *ask_on(void *arg)
{
    struct load *load = arg;
    while (!atomic_load(&load->stop)) {
        struct look look;
        double px, angle;
        struct answer a = embed(load->port);
        if (a.status == 200) {
            look_at(&a, &look);
            (void)atomic_fetch_add(same(&look, load->want, &px, &angle) ? &load->answered : &load->wrong, 1);
        } else {
            (void)atomic_fetch_add(&load->failed, 1);
        }
        answer_free(&a);
        (void)usleep(100000);
    }
    return NULL;
}

/* /readyz, which is 200 whatever computes: what serves. */
static void wait_for(int port, const char *device)
{
    for (int64_t begun = frt_now_ns();; (void)usleep(20000)) {
        struct answer a = get(port, "/readyz");
        assert_int_equal(a.status, 200);
        const struct frt_json_value *list = frt_json_get(frt_json_root(a.json), "devices");
        const bool there = strcmp(frt_json_text(frt_json_get(frt_json_first(list), "serving")), device) == 0;
        answer_free(&a);
        if (there)
            return;
        assert_true(frt_elapsed_ms(begun) < ANSWER_MS);
    }
}

static int lines_with(const char *log, const char *text)
{
    int n = 0;
    for (const char *at = log; (at = strstr(at, text)) != NULL; at += strlen(text))
        n++;
    return n;
}

/* Models that /metrics says are on a device. */
static int models_on(int port, const char *device)
{
    int n = 0;
    struct answer a = get(port, "/metrics");
    assert_int_equal(a.status, 200);
    const struct frt_json_value *m = frt_json_first(frt_json_get(frt_json_root(a.json), "models"));
    for (; m != NULL; m = frt_json_next(m))
        n += strcmp(frt_json_text(frt_json_get(m, "device")), device) == 0;
    answer_free(&a);
    return n;
}

static void moves_and_answers(void **state)
{
    static const char *const options[] = {"--device",
                                          "webgpu",
                                          "--detector",
                                          "tiny_face_detector",
                                          "--request-timeout-ms",
                                          "600s",
                                          "--embedding-cache",
                                          "0",
                                          "--image-cache",
                                          "0",
                                          "--recognition-batch",
                                          "1",
                                          NULL};
    struct service service = {0};
    struct look want, look;
    pthread_t threads[CLIENTS];
    double px, angle;
    (void)state;
    software_vulkan_fault("absent");
    service_start(&service, program, options);
    wait_for(service.port, "cpu");
    struct answer a = embed(service.port);
    expect(&a, 200, NULL);
    look_at(&a, &want);
    answer_free(&a);
    assert_true(want.box[2] > 0 && want.box[3] > 0 && want.dim > 0);
    assert_int_equal(models_on(service.port, "webgpu:0"), 0);

    struct load load = {.port = service.port, .want = &want};
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &load), 0);
    software_vulkan_fault(""); /* the driver is installed */
    wait_for(service.port, "webgpu:0");
    assert_true(models_on(service.port, "webgpu:0") >= 3);
    a = embed(service.port);
    expect(&a, 200, NULL);
    look_at(&a, &look);
    answer_free(&a);
    assert_true(same(&look, &want, &px, &angle));
    print_message("CPU and WebGPU: boxes %.4f px apart, 1 - cosine %.2e\n", px, angle);

    software_vulkan_fault("lost"); /* and fails under the clients */
    wait_for(service.port, "cpu");
    software_vulkan_fault("absent");
    a = embed(service.port);
    expect(&a, 200, NULL);
    answer_free(&a);
    atomic_store(&load.stop, true);
    for (size_t i = 0; i < CLIENTS; i++)
        (void)pthread_join(threads[i], NULL);
    print_message("%d answers while it moved\n", atomic_load(&load.answered));
    assert_int_equal(atomic_load(&load.failed), 0);
    assert_int_equal(atomic_load(&load.wrong), 0);
    assert_true(atomic_load(&load.answered) > 0);
    a = get(service.port, "/metrics");
    const struct frt_json_value *device = frt_json_first(frt_json_get(frt_json_root(a.json), "devices"));
    assert_int_equal((int)frt_json_double(frt_json_get(device, "falls"), -1), 2);
    assert_int_equal((int)frt_json_double(frt_json_get(device, "returns"), -1), 1);
    assert_true(frt_json_double(frt_json_get(device, "runs"), -1) > 0);
    answer_free(&a);
    char *log = service_log(&service);
    assert_int_equal(lines_with(log, "state=down"), 2); /* once a fall */
    assert_int_equal(lines_with(log, "state=up"), 1);
    free(log);
    assert_int_equal(service_stop(&service, SIGTERM), 0);
}

/* Whether this runtime can have the device, with its driver there. */
static bool is_usable(void)
{
    char command[512], text[512] = "";
    (void)snprintf(command, sizeof command, "'%s' version --json", program);
    FILE *f = popen(command, "re");
    const bool read = f != NULL && fgets(text, sizeof text, f) != NULL;
    if (f != NULL)
        (void)pclose(f);
    if (read && strstr(text, "\"webgpu\"") != NULL)
        return true;
    (void)printf("SKIP: the runtime has no WebGPU: %s\n", text);
    return false;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(moves_and_answers)};
    if (argc != 3 || !photos_are_there() || !software_vulkan_set_up(argv[2]))
        return 77;
    program = argv[1];
    if (!is_usable()) {
        software_vulkan_tear_down();
        return 77;
    }
    client_wait_ms = ANSWER_MS;
    photo = photo_of(1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(photo.data);
    software_vulkan_tear_down();
    return failed;
}

/*
 * Two services, one of which computes for the other: the models over /v2, the same answers whoever computes, a
 * model server that is killed and comes back under load, and one with other weights. Skipped where the pack or
 * the sample photos are absent.
 */
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/sha256.h"
#include "http_client.h"
#include "http_photos.h"

enum { CLIENTS = 3, TEXT_MAX = 64 * 1024 };

static const char *program;
static struct photo photos[2];

static const struct frt_json_value *at(const struct frt_json *json, const char *outer, const char *inner)
{
    return frt_json_get(frt_json_get(frt_json_root(json), outer), inner);
}

static double number_of(const struct service *service, const char *outer, const char *inner)
{
    struct answer a = get(service->port, "/metrics");
    const struct frt_json_value *value =
        inner == NULL ? frt_json_get(frt_json_root(a.json), outer) : at(a.json, outer, inner);
    const double number = frt_json_double(value, -1);
    answer_free(&a);
    return number;
}

static double asked(const struct service *service, const char *outcome)
{
    struct answer a = get(service->port, "/metrics");
    const double number = frt_json_double(frt_json_get(at(a.json, "remote", "requests"), outcome), -1);
    answer_free(&a);
    return number;
}

/* --------------------------------------------------------------- /v2 */

static struct answer infer(const struct service *service, const char *path, const char *json,
                           const void *tensor, size_t size, long json_size)
{
    const size_t n = strlen(json);
    char *body = malloc(n + size + 1), headers[96] = "";
    assert_non_null(body);
    memcpy(body, json, n);
    if (size > 0)
        memcpy(body + n, tensor, size);
    if (json_size >= 0)
        (void)snprintf(headers, sizeof headers, "Inference-Header-Content-Length: %ld\r\n", json_size);
    struct answer a =
        request_with(service->port, "POST", path, headers,
                     json_size >= 0 ? "application/octet-stream" : "application/json", body, n + size);
    free(body);
    return a;
}

#define NET "/v2/models/antispoof"
#define INPUT(shape, bytes)                                                                                    \
    "{\"name\":\"image\",\"datatype\":\"FP32\",\"shape\":" shape                                               \
    ",\"parameters\":{\"binary_data_size\":" bytes "}}"

static void models_are_served(void **state)
{
    (void)state;
    static float x[3 * 128 * 128];
    struct service service = {0};
    const char *const options[] = {"--model-api", "true", NULL};
    service_start(&service, program, options);
    struct answer a = get(service.port, "/v2");
    assert_int_equal(a.status, 200);
    assert_string_equal(frt_json_text(frt_json_get(frt_json_root(a.json), "name")), "frt");
    answer_free(&a);
    static const char *const good[] = {"/v2/health/live",     "/v2/health/ready",         NET "/ready", NET,
                                       NET "/versions/3.3.6", NET "/versions/3.3.6/ready"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        a = get(service.port, good[i]);
        assert_int_equal(a.status, 200);
        answer_free(&a);
    }
    static const char *const absent[] = {"/v2/models/nobody", "/v2/models/nobody/ready", NET "/versions/9",
                                         NET "/versions/9/ready", "/v2/models/tiny_face_detector"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        a = get(service.port, absent[i]);
        expect(&a, 404, "not_found");
        assert_non_null(frt_json_text(frt_json_get(frt_json_root(a.json), "error"))); /* the protocol's own */
        answer_free(&a);
    }
    a = get(service.port, NET);
    const struct frt_json_value *in = frt_json_first(frt_json_get(frt_json_root(a.json), "inputs"));
    const char *name = frt_json_text(frt_json_get(in, "name"));
    assert_non_null(name);
    assert_string_equal(frt_json_text(frt_json_get(in, "datatype")), "FP32");
    assert_int_equal(frt_json_count(frt_json_get(in, "shape")), 4);
    char head[512];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)(i % 251) / 250.0F;
    /* as bytes */
    int n =
        snprintf(head, sizeof head,
                 "{\"id\":\"42\",\"inputs\":[{\"name\":\"%s\",\"datatype\":\"FP32\",\"shape\":[1,3,128,128],"
                 "\"parameters\":{\"binary_data_size\":%zu}}],\"parameters\":{\"binary_data_output\":true}}",
                 name, sizeof x);
    answer_free(&a);
    a = infer(&service, NET "/infer", head, x, sizeof x, n);
    assert_int_equal(a.status, 200);
    const size_t json_size = strtoul(answer_header(&a, "Inference-Header-Content-Length"), NULL, 10);
    assert_in_range(json_size, 2, a.size - 4);
    float value = 0;
    memcpy(&value, a.body + json_size, sizeof value);
    a.body[json_size] = '\0';
    assert_non_null(strstr(a.body, "\"id\":\"42\""));
    assert_non_null(strstr(a.body, "\"model_version\":\"3.3.6\""));
    answer_free(&a);
    /* the answer as JSON: the same number, digit by digit */
    const char *no_bytes = ",\"parameters\":{\"binary_data_output\":true}}";
    head[strlen(head) - strlen(no_bytes)] = '\0';
    (void)strcat(head, "}");
    a = infer(&service, NET "/versions/3.3.6/infer", head, x, sizeof x, (long)strlen(head));
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "Inference-Header-Content-Length"), "");
    const struct frt_json_value *data =
        frt_json_get(frt_json_first(frt_json_get(frt_json_root(a.json), "outputs")), "data");
    assert_true((float)frt_json_double(frt_json_first(data), -1) == value);
    answer_free(&a);
    /* everything as JSON */
    char *json = malloc(32 * (sizeof x / sizeof *x) + 256);
    int used =
        sprintf(json, "{\"inputs\":[{\"name\":\"%s\",\"datatype\":\"FP32\",\"shape\":[1,3,128,128],\"data\":[",
                "image");
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        used += sprintf(json + used, "%s%.9g", i == 0 ? "" : ",", (double)x[i]);
    (void)sprintf(json + used, "]}]}");
    a = infer(&service, NET "/infer", json, NULL, 0, -1);
    assert_int_equal(a.status, 200);
    data = frt_json_get(frt_json_first(frt_json_get(frt_json_root(a.json), "outputs")), "data");
    assert_true((float)frt_json_double(frt_json_first(data), -1) == value);
    answer_free(&a);
    free(json);
    /* what is no inference of it */
    static const struct {
        const char *json;
        size_t bytes;
        long json_size; /* 0: the JSON's own */
        const char *said;
    } bad[] = {
        {"{}", 0, -1, "no list of tensors"},
        {"{\"inputs\":[]}", 0, -1, "is missing"},
        {"{\"inputs\":7}", 0, -1, "no list of tensors"},
        {"nonsense", 0, -1, "JSON"},
        {"", 0, -1, "JSON"},
        {"{\"inputs\":[" INPUT("[1,3,128,128]", "196608") "]}", 196604, 0, "are left"},
        {"{\"inputs\":[" INPUT("[1,3,128,128]", "196608") "]}", 196612, 0, "behind the last tensor"},
        {"{\"inputs\":[" INPUT("[1,3,128,127]", "196608") "]}", 196608, 0, "its shape takes"},
        {"{\"inputs\":[" INPUT("[1,3,64,256]", "196608") "]}", 196608, 0, "[1,3,64,256]"},
        {"{\"inputs\":[" INPUT("[3,128,128]", "196608") "]}", 196608, 0, "[3,128,128]"},
        {"{\"inputs\":[" INPUT("[1,3,128,-128]", "196608") "]}", 196608, 0, "no size"},
        {"{\"inputs\":[" INPUT("[1073741824,1073741824,128,128]", "196608") "]}", 196608, 0, "no size"},
        {"{\"inputs\":[" INPUT("[1073741824,1073741824,1073741824,128]", "196608") "]}", 196608, 0, "no size"},
        {"{\"inputs\":[" INPUT("[1,3,128,128]", "196608") "," INPUT("[1,3,128,128]", "196608") "]}", 393216, 0,
         "twice"},
        {"{\"inputs\":[{\"name\":\"other\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1]}]}", 0, -1,
         "no input"},
        {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"FP64\",\"shape\":[1],\"data\":[1]}]}", 0, -1,
         "FP32 is right"},
        {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1]}]}", 0, -1,
         "numbers"},
        {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[[1,2]]}]}", 0, -1,
         "numbers"},
        {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"FP32\",\"shape\":[9999999],\"data\":[1]}]}", 0, -1,
         "sent as bytes"},
        {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"FP32\",\"shape\":[1]}]}", 0, -1, "neither"},
        {"{\"inputs\":[{\"datatype\":\"FP32\",\"shape\":[1]}]}", 0, -1, "without a name"},
        {"{\"inputs\":[" INPUT("[1,3,128,128]", "196608") "],\"outputs\":[{\"name\":\"nix\"}]}", 196608, 0,
         "no output 'nix'"},
        {"{\"inputs\":[" INPUT("[1,3,128,128]", "196608") "],\"outputs\":{}}", 196608, 0, "no list"},
        {"{}", 0, 99, "Inference-Header-Content-Length"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *bytes = calloc(bad[i].bytes + 1, 1);
        a = infer(&service, NET "/infer", bad[i].json, bytes, bad[i].bytes,
                  bad[i].json_size == 0 ? (long)strlen(bad[i].json) : bad[i].json_size);
        print_message("%zu: %.200s\n", i, a.body);
        expect(&a, 400, "bad_request");
        assert_non_null(strstr(a.body, bad[i].said));
        answer_free(&a);
        free(bytes);
    }
    static const char *const lengths[] = {"-1", "x", "1e3", "99999999999999999999", " ", "1 2"};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        (void)snprintf(head, sizeof head, "Inference-Header-Content-Length: %s\r\n", lengths[i]);
        a = request_with(service.port, "POST", NET "/infer", head, NULL, "{}", 2);
        expect(&a, 400, "bad_request");
        answer_free(&a);
    }
    assert_int_equal(service_stop(&service, SIGTERM), 0);
    /* without being told to, a service keeps its models to itself */
    service_start(&service, program, NULL);
    static const char *const all[] = {"/v2", "/v2/health/live", "/v2/health/ready", NET, NET "/ready"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        a = get(service.port, all[i]);
        expect(&a, 404, "not_found");
        assert_non_null(strstr(a.body, "FRT_MODEL_API"));
        answer_free(&a);
    }
    a = infer(&service, NET "/infer", "{}", NULL, 0, -1);
    expect(&a, 404, "not_found");
    answer_free(&a);
    assert_int_equal(service_stop(&service, SIGTERM), 0);
}

/* --------------------------------------------------- one for the other */

static void start_server(struct service *server, const char *pack, int port)
{
    char listen[32];
    const char *options[] = {"--model-api", "true", "--listen", listen, "--pack", pack, NULL};
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    service_start(server, program, options);
}

static void start_client(struct service *client, int port, const char *more, const char *value)
{
    char address[64];
    const char *options[] = {
        "--infer", address, "--infer-timeout", "20s", "--embedding-cache", "0", "--image-cache", "0", more,
        value,     NULL};
    (void)snprintf(address, sizeof address, "kserve:http://127.0.0.1:%d", port);
    service_start(client, program, options);
}

/* Everything that the models have to do with, without the times. free() */
static char *faces_of(const struct service *service, const struct photo *photo)
{
    struct answer a =
        request(service->port, "POST", "/v1/embed?attributes=all", "image/jpeg", photo->data, photo->size);
    assert_int_equal(a.status, 200);
    char *end = strstr(a.body, "\"timing_ms\"");
    assert_non_null(end);
    *end = '\0';
    char *copy = strdup(a.body);
    answer_free(&a);
    return copy;
}

static void answers_are_the_same(void **state)
{
    (void)state;
    struct service server = {0}, client = {0}, alone = {0};
    start_server(&server, "data/packs/default", 0);
    start_client(&client, server.port, NULL, NULL);
    service_start(&alone, program, NULL);
    for (int i = 0; i < 2; i++) {
        char *here = faces_of(&alone, &photos[i]), *there = faces_of(&client, &photos[i]);
        assert_non_null(strstr(here, "\"embedding\""));
        assert_string_equal(here, there);
        free(here);
        free(there);
    }
    assert_true(asked(&client, "ok") >= 14); /* seven models, two photos; and what opening took */
    assert_true(number_of(&client, "remote", "fallbacks") == 0);
    assert_true(number_of(&client, "remote", "comparisons") >= 7);
    assert_true(number_of(&client, "remote", "differences") == 0);
    struct answer a = get(client.port, "/metrics?format=prometheus");
    assert_non_null(strstr(a.body, "frt_remote_requests_total{outcome=\"ok\"}"));
    assert_non_null(
        strstr(a.body, "frt_remote_request_duration_seconds_bucket{protocol=\"kserve\",le=\"0.1\"}"));
    answer_free(&a);
    assert_int_equal(service_stop(&alone, SIGTERM), 0);
    assert_int_equal(service_stop(&client, SIGTERM), 0);
    assert_int_equal(service_stop(&server, SIGTERM), 0);
}

struct crowd {
    const struct service *service;
    const char *right[2];
    atomic_bool stop;
    atomic_uint done, wrong;
};

static void *ask(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 0; !atomic_load(&crowd->stop); i++) {
        const struct photo *photo = &photos[i % 2];
        struct answer a =
            request(crowd->service->port, "POST", "/v1/embed", "image/jpeg", photo->data, photo->size);
        char *end = a.status == 200 ? strstr(a.body, "\"timing_ms\"") : NULL;
        if (end != NULL)
            *end = '\0';
        if (end != NULL && strcmp(a.body, crowd->right[i % 2]) == 0)
            atomic_fetch_add(&crowd->done, 1);
        else
            atomic_fetch_add(&crowd->wrong, 1);
        answer_free(&a);
    }
    return NULL;
}

static void wait_for(struct crowd *crowd, unsigned more)
{
    const unsigned until = atomic_load(&crowd->done) + more;
    for (int64_t start = frt_now_ns(); atomic_load(&crowd->done) < until; (void)usleep(10000))
        assert_true(frt_elapsed_ms(start) < WAIT_MS);
}

static char *embedded(const struct service *service, const struct photo *photo)
{
    struct answer a = request(service->port, "POST", "/v1/embed", "image/jpeg", photo->data, photo->size);
    assert_int_equal(a.status, 200);
    char *end = strstr(a.body, "\"timing_ms\"");
    assert_non_null(end);
    *end = '\0';
    char *copy = strdup(a.body);
    answer_free(&a);
    return copy;
}

static void a_server_that_goes_and_comes_drops_nothing(void **state)
{
    (void)state;
    pthread_t threads[CLIENTS];
    struct service server = {0}, client = {0};
    start_server(&server, "data/packs/default", 0);
    start_client(&client, server.port, NULL, NULL);
    const int port = server.port;
    char *first = embedded(&client, &photos[0]), *second = embedded(&client, &photos[1]);
    struct crowd crowd = {.service = &client, .right = {first, second}};
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &crowd), 0);
    wait_for(&crowd, 6);
    assert_int_equal(service_pause(&server, SIGKILL), 128 + SIGKILL);
    wait_for(&crowd, 12);
    assert_true(number_of(&client, "remote", "fallbacks") > 0);
    start_server(&server, "data/packs/default", port);
    const double before = asked(&client, "ok");
    for (int64_t start = frt_now_ns(); asked(&client, "ok") < before + 20; (void)usleep(50000))
        assert_true(frt_elapsed_ms(start) < WAIT_MS); /* it is used again */
    wait_for(&crowd, 6);
    /* and it leaves in an orderly way, too */
    assert_int_equal(service_pause(&server, SIGTERM), 0);
    wait_for(&crowd, 6);
    atomic_store(&crowd.stop, true);
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&crowd.wrong), 0);
    char *log = service_log_with(&client, "state=down");
    assert_non_null(strstr(log, "kserve:http://127.0.0.1:"));
    assert_non_null(strstr(log, "state=up"));
    free(log);
    free(first);
    free(second);
    assert_int_equal(service_stop(&client, SIGTERM), 0);
    server.pid = 0;
    (void)rmdir(server.folder);
}

/* The default pack beside it, but for the embedder's weights: a quarter of them is 0. */
static void make_other_pack(const char *folder)
{
    static const char *const files[] = {"ssd_mobilenetv1.onnx",  "tiny_face_detector.onnx", "age_gender.onnx",
                                        "face_landmark_68.onnx", "face_expression.onnx",    "antispoof.onnx",
                                        "liveness.onnx"};
    char path[256], from[PATH_MAX], real[PATH_MAX], before[FRT_SHA256_HEX_SIZE], after[FRT_SHA256_HEX_SIZE];
    static char text[TEXT_MAX];
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_non_null(realpath("data/packs/default", real));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        assert_true((size_t)snprintf(from, sizeof from, "%s/%s", real, files[i]) < sizeof from);
        assert_int_equal(symlink(from, path), 0);
    }
    FILE *in = fopen("data/packs/default/face_recognition.onnx", "rb");
    assert_non_null(in);
    assert_int_equal(fseek(in, 0, SEEK_END), 0);
    const size_t size = (size_t)ftell(in);
    char *bytes = malloc(size);
    rewind(in);
    assert_int_equal(fread(bytes, 1, size, in), size);
    (void)fclose(in);
    (void)snprintf(path, sizeof path, "%s/face_recognition.onnx", folder);
    assert_int_equal(frt_sha256_file("data/packs/default/face_recognition.onnx", before, NULL), FRT_OK);
    /* inside of the largest tensor of raw data, which is most of the file's second half */
    memset(bytes + size * 11 / 16, 0, 65536);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
    free(bytes);
    assert_int_equal(frt_sha256_file(path, after, NULL), FRT_OK);
    in = fopen("data/packs/default/manifest.json", "rb");
    assert_non_null(in);
    const size_t n = fread(text, 1, sizeof text - 1, in);
    text[n] = '\0';
    (void)fclose(in);
    char *sum = strstr(text, before);
    assert_non_null(sum);
    memcpy(sum, after, strlen(after));
    (void)snprintf(path, sizeof path, "%s/manifest.json", folder);
    out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

static void other_weights_never_answer(void **state)
{
    (void)state;
    char folder[128];
    struct service server = {0}, client = {0}, alone = {0};
    service_folder(&server);
    (void)snprintf(folder, sizeof folder, "%s/other", server.folder);
    make_other_pack(folder);
    start_server(&server, folder, 0);
    start_client(&client, server.port, NULL, NULL);
    service_start(&alone, program, NULL);
    char *here = embedded(&alone, &photos[0]), *there = embedded(&client, &photos[0]),
         *wrong = embedded(&server, &photos[0]);
    assert_string_equal(here, there);
    assert_string_not_equal(here, wrong); /* the test means something */
    char *log = service_log_with(&client, "another one there");
    assert_non_null(strstr(log, "face_recognition"));
    free(log);
    assert_true(number_of(&client, "remote", "differences") >= 1);
    assert_true(asked(&client, "ok") > 0); /* the other models are computed there */
    free(here);
    free(there);
    free(wrong);
    assert_int_equal(service_stop(&alone, SIGTERM), 0);
    assert_int_equal(service_stop(&client, SIGTERM), 0);
    assert_int_equal(service_stop(&server, SIGTERM), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_served),
        cmocka_unit_test(answers_are_the_same),
        cmocka_unit_test(a_server_that_goes_and_comes_drops_nothing),
        cmocka_unit_test(other_weights_never_answer),
    };
    if (argc != 2)
        return 1;
    program = argv[1];
    if (!photos_are_there())
        return 77;
    for (int i = 0; i < 2; i++)
        photos[i] = photo_of(i + 1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < 2; i++)
        free(photos[i].data);
    return failed;
}

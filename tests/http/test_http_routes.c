/*
 * The service from outside, as a well-meaning client sees it: every route, every way to hand over an image,
 * every documented error. Real program, real models, real photos; skipped (77) when they are not there.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/crypto.h"
#include "http_client.h"
#include "http_photos.h"

static struct service service;
static struct photo one, other, blank;

static const struct frt_json_value *root_of(const struct answer *a)
{
    return frt_json_root(a->json);
}

static double number(const struct frt_json_value *value, const char *key)
{
    const struct frt_json_value *v = frt_json_get(value, key);
    assert_true(frt_json_is_number(v));
    return frt_json_double(v, 0);
}

static struct answer post(const char *target, const char *type, const void *body, size_t size)
{
    return request(service.port, "POST", target, type, body, size);
}

static struct answer post_photo(const char *target, const struct photo *photo)
{
    return post(target, "image/jpeg", photo->data, photo->size);
}

/* ------------------------------------------------------------- inputs */

static char *base64_of(const struct photo *photo, const char *before, const char *after)
{
    size_t capacity = frt_base64_encoded_size(photo->size) + strlen(before) + strlen(after) + 1;
    char *text = malloc(capacity);
    assert_non_null(text);
    size_t n = strlen(before);
    memcpy(text, before, n);
    frt_base64_encode(photo->data, photo->size, text + n);
    n = strlen(text);
    memcpy(text + n, after, strlen(after) + 1);
    return text;
}

struct part {
    const char *name;
    const void *data;
    size_t size;
};

/* multipart/form-data; boundary "frontier". */
static char *multipart_of(const struct part *parts, size_t n, size_t *size)
{
    size_t capacity = 64;
    for (size_t i = 0; i < n; i++)
        capacity += parts[i].size + 200;
    char *body = malloc(capacity);
    assert_non_null(body);
    *size = 0;
    for (size_t i = 0; i < n; i++) {
        *size += (size_t)snprintf(body + *size, capacity - *size,
                                  "--frontier\r\nContent-Disposition: form-data; name=\"%s\"; "
                                  "filename=\"x.jpg\"\r\nContent-Type: application/octet-stream\r\n\r\n",
                                  parts[i].name);
        memcpy(body + *size, parts[i].data, parts[i].size);
        *size += parts[i].size;
        memcpy(body + *size, "\r\n", 2);
        *size += 2;
    }
    *size += (size_t)snprintf(body + *size, capacity - *size, "--frontier--\r\n");
    return body;
}

static const char multipart_type[] = "multipart/form-data; boundary=frontier";

/* ----------------------------------------------------------- service routes */

static void health_readiness_version(void **state)
{
    (void)state;
    struct answer a = get(service.port, "/healthz");
    expect(&a, 200, NULL);
    assert_string_equal(a.body, "{\"status\":\"ok\"}");
    answer_free(&a);
    a = get(service.port, "/readyz");
    expect(&a, 200, NULL);
    answer_free(&a);
    a = get(service.port, "/version");
    expect(&a, 200, NULL);
    assert_string_equal(frt_json_text(frt_json_get(root_of(&a), "name")), "frt");
    assert_true(strlen(frt_json_text(frt_json_get(root_of(&a), "version"))) >= 5);
    assert_int_equal(strlen(frt_json_text(frt_json_get(frt_json_get(root_of(&a), "pack"), "id"))), 64);
    answer_free(&a);
}

static void assets_and_openapi(void **state)
{
    static const char *const paths[][2] = {{"/", "text/html"},
                                           {"/console.js", "text/javascript"},
                                           {"/console.css", "text/css"},
                                           {"/openapi.json", "application/json"}};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct answer a = get(service.port, paths[i][0]);
        expect(&a, 200, NULL);
        assert_non_null(strstr(answer_header(&a, "Content-Type"), paths[i][1]));
        assert_true(a.size > 0);
        answer_free(&a);
    }
    struct answer a = get(service.port, "/");
    assert_non_null(strstr(answer_header(&a, "Content-Security-Policy"), "default-src 'none'"));
    assert_null(strstr(answer_header(&a, "Content-Security-Policy"), "unsafe"));
    answer_free(&a);
}

static void methods(void **state)
{
    (void)state;
    struct answer a = request(service.port, "HEAD", "/healthz", NULL, NULL, 0);
    expect(&a, 200, NULL);
    assert_string_equal(answer_header(&a, "Content-Length"), "15");
    answer_free(&a);
    a = request(service.port, "OPTIONS", "/v1/detect", NULL, NULL, 0);
    assert_int_equal(a.status, 204);
    assert_string_equal(answer_header(&a, "Allow"), "POST, OPTIONS");
    answer_free(&a);
    static const char *const wrong[][3] = {{"GET", "/v1/detect", "POST, OPTIONS"},
                                           {"DELETE", "/healthz", "GET, HEAD, OPTIONS"},
                                           {"PUT", "/v1/verify", "POST, OPTIONS"},
                                           {"BREW", "/", "GET, HEAD, OPTIONS"}};
    for (size_t i = 0; i < 4; i++) {
        a = request(service.port, wrong[i][0], wrong[i][1], NULL, NULL, 0);
        expect(&a, 405, "method_not_allowed");
        assert_string_equal(answer_header(&a, "Allow"), wrong[i][2]);
        answer_free(&a);
    }
    static const char *const nowhere[] = {"/nope",     "/v1", "/v1/detect/",    "/../etc/passwd",
                                          "/%2e%2e/x", "//",  "/console.js.map"};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        a = get(service.port, nowhere[i]);
        expect(&a, 404, "not_found");
        answer_free(&a);
    }
}

static void request_ids(void **state)
{
    static const struct {
        const char *given;
        bool kept;
    } ids[] = {{"my-id_1.2", true}, {"", false}, {"a b", false}, {"<script>", false}, {"x\ty", false}};
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char text[200];
        int fd = client_connect(service.port);
        (void)snprintf(text, sizeof text,
                       "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: %s\r\n\r\n", ids[i].given);
        (void)client_send_text(fd, text);
        struct answer a = client_read(fd, false);
        expect(&a, 200, NULL);
        if (ids[i].kept)
            assert_string_equal(answer_header(&a, "X-Request-Id"), ids[i].given);
        else
            assert_int_equal(strspn(answer_header(&a, "X-Request-Id"), "0123456789abcdef"), 24);
        answer_free(&a);
        (void)close(fd);
    }
}

static void hosts(void **state)
{
    static const struct {
        const char *host;
        int status;
    } hosts[] = {{"127.0.0.1", 200},      {"127.0.0.1:9", 200},    {"localhost", 200},
                 {"LOCALHOST:80", 200},   {"[::1]:8080", 200},     {"evil.example", 403},
                 {"127.0.0.1.evil", 403}, {"localhost.evil", 403}, {"10.0.0.1", 403}};
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char text[200];
        int fd = client_connect(service.port);
        (void)snprintf(text, sizeof text, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i].host);
        (void)client_send_text(fd, text);
        struct answer a = client_read(fd, false);
        expect(&a, hosts[i].status, "forbidden");
        answer_free(&a);
        (void)close(fd);
    }
}

/* -------------------------------------------------------------- detect */

static void check_face(const struct frt_json_value *face)
{
    static const char *const points[] = {"left_eye", "right_eye", "nose", "mouth_left", "mouth_right"};
    const struct frt_json_value *box = frt_json_get(face, "box"), *landmarks = frt_json_get(face, "landmarks");
    assert_true(number(box, "width") > 10 && number(box, "height") > 10);
    assert_true(number(box, "x") > -50 && number(box, "y") > -50);
    assert_true(number(face, "confidence") > 0.1 && number(face, "confidence") <= 1);
    assert_int_equal(frt_json_count(landmarks), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(frt_json_count(frt_json_get(landmarks, points[i])), 2);
}

static void detect_however_the_image_comes(void **state)
{
    (void)state;
    size_t size;
    struct part part = {"image", one.data, one.size};
    char *parts = multipart_of(&part, 1, &size);
    char *plain = base64_of(&one, "{\"image\":\"", "\"}");
    char *url = base64_of(&one, "{\"image\":\"data:image/jpeg;base64,", "\"}");
    const struct {
        const char *type;
        const void *body;
        size_t size;
    } ways[] = {{"image/jpeg", one.data, one.size},
                {"IMAGE/anything", one.data, one.size}, /* the bytes say what they are */
                {"application/octet-stream", one.data, one.size},
                {"application/x-www-form-urlencoded", one.data, one.size}, /* curl --data-binary without -H */
                {NULL, one.data, one.size},
                {multipart_type, parts, size},
                {"Multipart/Form-Data; charset=utf-8; boundary=\"frontier\"", parts, size},
                {"application/json", plain, strlen(plain)},
                {"application/json; charset=utf-8", url, strlen(url)}};
    double first_x = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct answer a = post("/v1/detect", ways[i].type, ways[i].body, ways[i].size);
        expect(&a, 200, NULL);
        const struct frt_json_value *faces = frt_json_get(root_of(&a), "faces");
        assert_int_equal(frt_json_count(faces), 1);
        const struct frt_json_value *face = frt_json_first(faces);
        check_face(face);
        assert_null(frt_json_get(face, "embedding"));
        double x = number(frt_json_get(face, "box"), "x");
        if (i == 0)
            first_x = x;
        assert_float_equal(x, first_x, 1e-3);
        const struct frt_json_value *image = frt_json_get(root_of(&a), "image");
        assert_int_equal((uint32_t)number(image, "width"), one.width);
        assert_int_equal((uint32_t)number(image, "height"), one.height);
        const struct frt_json_value *timing = frt_json_get(root_of(&a), "timing_ms");
        assert_true(number(timing, "total") >= number(timing, "detect"));
        assert_true(number(timing, "decode") >= 0);
        answer_free(&a);
    }
    free(parts);
    free(plain);
    free(url);
}

static void detect_options(void **state)
{
    (void)state;
    struct answer a =
        post_photo("/v1/detect?attributes=quality,liveness,age,gender,expression&max_faces=1", &one);
    expect(&a, 200, NULL);
    const struct frt_json_value *face = frt_json_first(frt_json_get(root_of(&a), "faces"));
    const struct frt_json_value *quality = frt_json_get(face, "quality"),
                                *live = frt_json_get(face, "liveness");
    assert_true(number(quality, "score") >= 0 && number(quality, "score") <= 1);
    assert_true(fabs(number(quality, "yaw")) < 90 && fabs(number(quality, "pitch")) < 90);
    assert_true(number(live, "spoof_confidence") >= 0 && number(live, "spoof_confidence") <= 1);
    const char *type = frt_json_text(frt_json_get(live, "type"));
    assert_true(strcmp(type, "REAL") == 0 || strcmp(type, "SPOOF") == 0);
    assert_true(number(face, "age") > 0 && number(face, "age") < 120);
    assert_true(frt_json_is_string(frt_json_get(face, "gender")));
    assert_non_null(frt_json_get(face, "expression"));
    answer_free(&a);
    a = post_photo("/v1/detect?min_size=5000", &one);
    expect(&a, 200, NULL);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "faces")), 0);
    answer_free(&a);
    static const char *const wrong[] = {"max_faces=0", "max_faces=1001",     "max_faces=1.5",
                                        "max_faces=",  "max_faces=x",        "min_confidence=2",
                                        "min_size=-1", "min_confidence=nan", "attributes=qualty",
                                        "size=3",      "encoding=base64"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char target[100];
        (void)snprintf(target, sizeof target, "/v1/detect?%s", wrong[i]);
        a = post_photo(target, &one);
        expect(&a, 400, "bad_request");
        answer_free(&a);
    }
    a = post_photo("/v1/detect?attributes=qualty", &one);
    assert_non_null(strstr(a.body, "quality"));
    answer_free(&a);
}

/* ------------------------------------------------------------ embed, verify */

static void embed_in_both_encodings(void **state)
{
    (void)state;
    struct answer a = post_photo("/v1/embed", &one), b = post_photo("/v1/embed?encoding=base64", &one);
    expect(&a, 200, NULL);
    expect(&b, 200, NULL);
    size_t dim = (size_t)number(frt_json_get(root_of(&a), "model"), "dim");
    const struct frt_json_value *face = frt_json_first(frt_json_get(root_of(&a), "faces"));
    const struct frt_json_value *values = frt_json_get(face, "embedding");
    const char *text =
        frt_json_text(frt_json_get(frt_json_first(frt_json_get(root_of(&b), "faces")), "embedding"));
    float raw[4096];
    size_t bytes = 0, i = 0;
    double norm = 0;
    assert_int_equal(frt_json_count(values), dim);
    assert_int_equal(frt_base64_decode(text, strlen(text), raw, sizeof raw, &bytes, NULL), FRT_OK);
    assert_int_equal(bytes, dim * sizeof(float));
    for (const struct frt_json_value *v = frt_json_first(values); v != NULL; v = frt_json_next(v), i++) {
        double x = frt_json_double(v, NAN);
        assert_float_equal(x, raw[i], 1e-5);
        norm += x * x;
    }
    assert_float_equal(norm, 1, 1e-3);
    answer_free(&a);
    answer_free(&b);
}

static struct answer verify_parts(const struct photo *a, const struct photo *b, const char *threshold)
{
    struct part parts[] = {{"image1", a->data, a->size},
                           {"image2", b->data, b->size},
                           {"threshold", threshold, threshold == NULL ? 0 : strlen(threshold)}};
    size_t size;
    char *body = multipart_of(parts, threshold == NULL ? 2 : 3, &size);
    struct answer answer = post("/v1/verify", multipart_type, body, size);
    free(body);
    return answer;
}

static void verify_people(void **state)
{
    (void)state;
    struct answer same = verify_parts(&one, &one, NULL), different = verify_parts(&one, &other, NULL);
    expect(&same, 200, NULL);
    expect(&different, 200, NULL);
    assert_true(frt_json_truth(frt_json_get(root_of(&same), "verified"), false));
    assert_float_equal(number(root_of(&same), "similarity"), 1, 1e-3);
    assert_false(frt_json_truth(frt_json_get(root_of(&different), "verified"), true));
    double s = number(root_of(&different), "similarity");
    assert_float_equal(number(root_of(&different), "distance"), (1 - s) / 2, 1e-4);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&different), "faces")), 2);
    check_face(frt_json_first(frt_json_get(root_of(&different), "faces")));
    answer_free(&same);
    answer_free(&different);
    struct answer easy = verify_parts(&one, &other, "-1"), hard = verify_parts(&one, &other, "0.99");
    expect(&easy, 200, NULL);
    assert_true(frt_json_truth(frt_json_get(root_of(&easy), "verified"), false));
    assert_float_equal(number(root_of(&hard), "threshold"), 0.99, 1e-6);
    answer_free(&easy);
    answer_free(&hard);
}

static void verify_with_embeddings(void **state)
{
    (void)state;
    struct answer a = post_photo("/v1/embed?encoding=base64&max_faces=1", &one);
    expect(&a, 200, NULL);
    const char *text =
        frt_json_text(frt_json_get(frt_json_first(frt_json_get(root_of(&a), "faces")), "embedding"));
    struct part parts[] = {{"image1", one.data, one.size}, {"embedding2", text, strlen(text)}};
    size_t size;
    char *body = multipart_of(parts, 2, &size);
    struct answer b = post("/v1/verify", multipart_type, body, size);
    expect(&b, 200, NULL);
    assert_float_equal(number(root_of(&b), "similarity"), 1, 1e-3);
    const struct frt_json_value *faces = frt_json_get(root_of(&b), "faces");
    assert_true(frt_json_is_null(frt_json_next(frt_json_first(faces))));
    free(body);
    answer_free(&b);
    char *json = malloc(2 * strlen(text) + 100);
    assert_non_null(json);
    (void)sprintf(json, "{\"embedding1\":\"%s\",\"embedding2\":\"%s\",\"threshold\":0.5}", text, text);
    b = post("/v1/verify", "application/json", json, strlen(json));
    expect(&b, 200, NULL);
    assert_true(frt_json_truth(frt_json_get(root_of(&b), "verified"), false));
    free(json);
    answer_free(&b);
    answer_free(&a);
}

static void verify_refusals(void **state)
{
    static const struct {
        const char *body;
        const char *says;
    } wrong[] = {{"{}", "neither"},
                 {"{\"image1\":\"\"}", "image2"},
                 {"{\"image1\":5,\"image2\":5}", "base64"},
                 {"{\"image1\":\"http://127.0.0.1/x.jpg\",\"image2\":\"\"}", "never fetched"},
                 {"{\"image1\":\"file:///etc/passwd\",\"image2\":\"\"}", "never fetched"},
                 {"{\"embedding1\":[1,2],\"embedding2\":[1,2]}", "2 numbers"},
                 {"{\"embedding1\":[\"a\"],\"embedding2\":[1]}", "not a number"},
                 {"{\"embedding1\":\"AAAA\",\"embedding2\":\"AAAA\"}", "3 bytes"},
                 {"{\"image1\":\"x\",\"embedding1\":[1],\"image2\":\"x\"}", "both"},
                 {"{\"image_1\":\"x\",\"image2\":\"x\"}", "image1"},
                 {"{\"image1\":\"x\",\"image2\":\"x\",\"threshold\":7}", "-1 to 1"},
                 {"{\"image1\":\"x\",\"image2\":\"x\",\"threshold\":\"0.5\"}", "-1 to 1"},
                 {"[]", "object"},
                 {"{\"image1\":", "JSON"},
                 {"", "empty"}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct answer a = post("/v1/verify", "application/json", wrong[i].body, strlen(wrong[i].body));
        expect(&a, 400, "bad_request");
        if (strstr(a.body, wrong[i].says) == NULL)
            fail_msg("%s: %s", wrong[i].body, a.body);
        answer_free(&a);
    }
    struct answer a = verify_parts(&one, &blank, NULL);
    expect(&a, 422, "no_face");
    assert_non_null(strstr(a.body, "image2"));
    answer_free(&a);
    a = post_photo("/v1/verify", &one);
    expect(&a, 415, "unsupported_media_type");
    answer_free(&a);
    struct part twice[] = {{"image1", one.data, one.size}, {"image1", one.data, one.size}};
    size_t size;
    char *body = multipart_of(twice, 2, &size);
    a = post("/v1/verify", multipart_type, body, size);
    expect(&a, 400, "bad_request");
    assert_non_null(strstr(a.body, "twice"));
    answer_free(&a);
    free(body);
}

static void what_is_no_image(void **state)
{
    static const uint8_t bomb[] = {0x89, 'P',  'N', 'G', 13,  10, 26, 10,   0,    0,    0,
                                   13,   'I',  'H', 'D', 'R', 0,  0,  0x75, 0x30, 0,    0,
                                   0x75, 0x30, 8,   2,   0,   0,  0,  0x8a, 0xd6, 0x4f, 0x1c};
    (void)state;
    struct answer a = post("/v1/detect", "image/jpeg", "just some words, not an image", 29);
    expect(&a, 415, "unsupported_image");
    answer_free(&a);
    a = post("/v1/detect", "text/plain", one.data, one.size);
    expect(&a, 415, "unsupported_media_type");
    answer_free(&a);
    a = post("/v1/detect", "image/jpeg", one.data, one.size / 2);
    expect(&a, 422, "bad_image");
    answer_free(&a);
    a = post("/v1/detect", "image/png", bomb, sizeof bomb);
    assert_true(a.status == 413 || a.status == 422);
    answer_free(&a);
    a = post("/v1/detect", "image/jpeg", "", 0);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    a = post("/v1/detect", "multipart/form-data", "--x\r\n", 5);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    a = post_photo("/v1/detect", &blank); /* no face is an answer */
    expect(&a, 200, NULL);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "faces")), 0);
    answer_free(&a);
}

/* ---------------------------------------------------------------- metrics */

/* When nothing but the asking is under way: a request is over when its answer has been sent, and a client may
 * have it a moment before. asked: so many times. */
static struct answer quiet_metrics(int *asked)
{
    struct answer m = get(service.port, "/metrics");
    for (*asked = 1; (int)number(frt_json_get(root_of(&m), "requests"), "in_flight") > 1 && *asked < 1000;
         (*asked)++) {
        answer_free(&m);
        m = get(service.port, "/metrics");
    }
    return m;
}

static void metrics_tell_what_happened(void **state)
{
    (void)state;
    int asked = 0;
    struct answer before = quiet_metrics(&asked);
    struct answer a = post_photo("/v1/detect", &one);
    expect(&a, 200, NULL);
    answer_free(&a);
    a = get(service.port, "/nowhere");
    expect(&a, 404, "not_found");
    answer_free(&a);
    struct answer after = quiet_metrics(&asked);
    expect(&after, 200, NULL);
    const struct frt_json_value *m = root_of(&after), *was = root_of(&before);
    const struct frt_json_value *requests = frt_json_get(m, "requests");
    assert_int_equal((int)(number(requests, "total") - number(frt_json_get(was, "requests"), "total")),
                     2 + asked);
    assert_int_equal((int)(number(requests, "errors") - number(frt_json_get(was, "requests"), "errors")), 1);
    assert_int_equal((int)number(requests, "in_flight"), 1); /* the asking one */
    const struct frt_json_value *time = frt_json_get(requests, "response_time_ms");
    assert_true(number(time, "p50") <= number(time, "p95") && number(time, "p95") <= number(time, "p99") &&
                number(time, "p99") <= number(time, "max") * 1.02 && number(time, "avg") > 0);
    assert_non_null(frt_json_get(frt_json_get(requests, "by_route"), "POST /v1/detect"));
    assert_true(number(frt_json_get(m, "cpu"), "cores") >= 1);
    assert_true(number(frt_json_get(m, "memory"), "rss_bytes") > 10e6);
    assert_true(number(frt_json_get(m, "memory"), "peak_rss_bytes") >=
                number(frt_json_get(m, "memory"), "rss_bytes") * 0.99);
    assert_true(frt_json_is_null(frt_json_get(m, "gpu")));
    assert_true(number(m, "uptime_seconds") > 0);
    const struct frt_json_value *detect = frt_json_get(frt_json_get(m, "stages"), "detect");
    assert_true(number(frt_json_get(detect, "time_ms"), "max") > 0);
    bool embedder = false;
    for (const struct frt_json_value *v = frt_json_first(frt_json_get(m, "models")); v != NULL;
         v = frt_json_next(v))
        embedder |= strcmp(frt_json_text(frt_json_get(v, "role")), "embedder") == 0;
    assert_true(embedder);
    answer_free(&before);
    answer_free(&after);
    after = get(service.port, "/metrics?format=prometheus");
    expect(&after, 200, NULL);
    assert_non_null(strstr(answer_header(&after, "Content-Type"), "text/plain; version=0.0.4"));
    assert_non_null(strstr(after.body, "# TYPE frt_"));
    answer_free(&after);
    after = get(service.port, "/metrics?format=xml");
    expect(&after, 400, "bad_request");
    answer_free(&after);
}

static void the_log_keeps_secrets(void **state)
{
    (void)state;
    struct answer a = post("/v1/detect?attributes=hunter2&max_faces=3", "application/json",
                           "{\"image\":\"c2VjcmV0LXBob3Rv\"}", 28);
    answer_free(&a);
    char *log = service_log_with(&service, "POST /v1/detect");
    assert_null(strstr(log, "c2VjcmV0"));
    assert_null(strstr(log, "hunter2"));
    free(log);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_readiness_version),
        cmocka_unit_test(assets_and_openapi),
        cmocka_unit_test(methods),
        cmocka_unit_test(request_ids),
        cmocka_unit_test(hosts),
        cmocka_unit_test(detect_however_the_image_comes),
        cmocka_unit_test(detect_options),
        cmocka_unit_test(embed_in_both_encodings),
        cmocka_unit_test(verify_people),
        cmocka_unit_test(verify_with_embeddings),
        cmocka_unit_test(verify_refusals),
        cmocka_unit_test(what_is_no_image),
        cmocka_unit_test(metrics_tell_what_happened),
        cmocka_unit_test(the_log_keeps_secrets),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    one = photo_of(1);
    other = photo_of(2);
    blank = photo_blank();
    service_start(&service, argv[1], NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int code = service_stop(&service, SIGTERM);
    if (code != 0)
        (void)fprintf(stderr, "the service ended with %d\n", code);
    free(one.data);
    free(other.data);
    free(blank.data);
    return failed != 0 || code != 0;
}

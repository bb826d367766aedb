/*
 * The older surface from outside, a test per route: the envelope, the codes, the distances and the adaptive
 * thresholds that its clients know. Real program, models and photos.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/crypto.h"
#include "core/mem.h"
#include "engine/access.h"
#include "http_client.h"
#include "http_photos.h"

static struct service service;
static struct photo one, other, blank;

static const struct frt_json_value *root_of(const struct answer *a)
{
    return frt_json_root(a->json);
}

static const struct frt_json_value *data_of(const struct answer *a)
{
    return frt_json_get(root_of(a), "data");
}

static double number(const struct frt_json_value *value, const char *key)
{
    const struct frt_json_value *v = frt_json_get(value, key);
    assert_true(frt_json_is_number(v));
    return frt_json_double(v, 0);
}

static const char *text(const struct frt_json_value *value, const char *key)
{
    const char *t = frt_json_text(frt_json_get(value, key));
    assert_non_null(t);
    return t;
}

/* The envelope has all its members, and they agree. */
static void expect_code(const struct answer *a, int code)
{
    const struct frt_json_value *root = root_of(a);
    if (a->status != code)
        fail_msg("%d instead of %d: %s", a->status, code, a->body);
    assert_int_equal(frt_json_count(root), 5);
    assert_int_equal((int)number(root, "code"), code);
    assert_true(frt_json_truth(frt_json_get(root, "status"), code >= 400) == (code < 400));
    assert_true(strlen(text(root, "message")) > 0);
    assert_true((strlen(text(root, "errorMessage")) > 0) == (code >= 400));
    if (code >= 400)
        assert_true(frt_json_is_null(frt_json_get(root, "data")));
    assert_string_equal(answer_header(a, "Content-Type"), "application/json");
}

static struct answer ask(const char *method, const char *target, const char *json)
{
    return request(service.port, method, target, json == NULL ? NULL : "application/json", json,
                   json == NULL ? 0 : strlen(json));
}

static void expect_ask(const char *method, const char *target, const char *json, int code)
{
    struct answer a = ask(method, target, json);
    expect_code(&a, code);
    answer_free(&a);
}

/* {MEMBERS,"NAME":"base64 of the photo"} with a second photo when there is one. */
static struct answer send_photos(const char *target, const char *members, const char *name,
                                 const struct photo *photo, const char *second, const struct photo *also)
{
    size_t capacity = strlen(members) + frt_base64_encoded_size(photo->size) + 200 +
                      (also == NULL ? 0 : frt_base64_encoded_size(also->size));
    char *json = malloc(capacity);
    assert_non_null(json);
    int n = snprintf(json, capacity, "{%s\"%s\":\"", members, name);
    frt_base64_encode(photo->data, photo->size, json + n);
    if (also != NULL) {
        (void)strcat(json, "\",\"");
        (void)strcat(json, second);
        (void)strcat(json, "\":\"");
        frt_base64_encode(also->data, also->size, json + strlen(json));
    }
    (void)strcat(json, "\"}");
    struct answer a = ask("POST", target, json);
    free(json);
    return a;
}

static struct answer add(const char *collection, const char *id, const struct photo *photo, const char *more)
{
    char members[300];
    (void)snprintf(members, sizeof members, "\"collection_name\":\"%s\",\"id\":\"%s\",%s", collection, id,
                   more);
    return send_photos("/add-image", members, "base64_code", photo, NULL, NULL);
}

static void ping(void **state)
{
    (void)state;
    struct answer a = ask("GET", "/ping", NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"message\":\"pong\"}");
    answer_free(&a);
    expect_ask("POST", "/ping", "{}", 405);
}

static void verify(void **state)
{
    (void)state;
    struct answer a = send_photos("/verify", "", "img1", &one, "img2", &one);
    expect_code(&a, 200);
    assert_true(frt_json_truth(frt_json_get(data_of(&a), "verified"), false));
    assert_float_equal(number(data_of(&a), "distance"), 0, 1e-3);
    assert_float_equal(number(data_of(&a), "threshold"), 0.25, 1e-9);
    answer_free(&a);
    a = send_photos("/verify", "", "img1", &one, "img2", &other);
    expect_code(&a, 200);
    double distance = number(data_of(&a), "distance");
    assert_true(frt_json_truth(frt_json_get(data_of(&a), "verified"), true) == (distance < 0.25));
    answer_free(&a);
    char members[60];
    for (int i = -1; i <= 1; i += 2) { /* either side of it */
        (void)snprintf(members, sizeof members, "\"threshold\":%.6f,", distance + i * 0.001);
        a = send_photos("/verify", members, "img1", &one, "img2", &other);
        expect_code(&a, 200);
        assert_true(frt_json_truth(frt_json_get(data_of(&a), "verified"), i < 0) == (i > 0));
        answer_free(&a);
    }
    a = send_photos("/verify", "", "img1", &one, "img2", &blank);
    expect_code(&a, 422);
    answer_free(&a);
    a = send_photos("/verify", "", "img1", &one, NULL, NULL);
    expect_code(&a, 400);
    answer_free(&a);
    expect_ask("POST", "/verify", "{\"img1\":\"!!\",\"img2\":\"\"}", 400);
    expect_ask("POST", "/verify", "{\"img1\":\"http://x/y.jpg\",\"img2\":\"\"}", 400);
    expect_ask("POST", "/verify", "not json", 400);
    expect_ask("POST", "/verify", NULL, 400);
}

static void collections(void **state)
{
    (void)state;
    struct answer a = ask("POST", "/create-collection", "{\"collection_name\":\"people\"}");
    expect_code(&a, 201);
    assert_string_equal(text(data_of(&a), "collection_name"), "people");
    answer_free(&a);
    expect_ask("POST", "/create-collection", "{\"collection_name\":\"people\"}", 400);
    expect_ask("POST", "/create-collection", "{}", 400);
    expect_ask("POST", "/create-collection", "{\"collection_name\":\"../etc\"}", 400);
    expect_ask("POST", "/create-collection", "{\"collection_name\":\"gone\"}", 201);
    a = ask("GET", "/list-collections", NULL);
    expect_code(&a, 200);
    const struct frt_json_value *names = frt_json_get(data_of(&a), "collections");
    assert_int_equal(frt_json_count(names), 2);
    assert_string_equal(frt_json_text(frt_json_first(names)), "gone");
    answer_free(&a);
    a = ask("DELETE", "/delete-collection", "{\"collection_name\":\"gone\"}");
    expect_code(&a, 200);
    assert_string_equal(text(data_of(&a), "deleted_collection"), "gone");
    assert_int_equal((int)number(data_of(&a), "deleted_embeddings"), 0);
    assert_true(frt_json_is_bool(frt_json_get(data_of(&a), "index_deleted")));
    assert_true(frt_json_is_bool(frt_json_get(data_of(&a), "metadata_deleted")));
    answer_free(&a);
    expect_ask("DELETE", "/delete-collection", "{\"collection_name\":\"gone\"}", 404);
    expect_ask("DELETE", "/delete-collection", "{}", 400);
}

static void add_image(void **state)
{
    static const char *const times[] = {"embedding_time", "DB_retrieval_time", "search_time",
                                        "index_update_time", "total_time"};
    (void)state;
    struct answer a = add("people", "first", &one, "");
    expect_code(&a, 200);
    assert_string_equal(text(data_of(&a), "id"), "first");
    assert_string_equal(text(data_of(&a), "collection_name"), "people");
    assert_float_equal(number(data_of(&a), "threshold"), 0.30, 1e-6);
    for (size_t i = 0; i < 5; i++)
        assert_true(number(frt_json_get(data_of(&a), "timing"), times[i]) < 30); /* seconds */
    assert_true(number(frt_json_get(data_of(&a), "timing"), "total_time") > 0);
    answer_free(&a);
    a = add("people", "first", &other, ""); /* the id stands */
    expect_code(&a, 409);
    answer_free(&a);
    a = add("people", "first", &other, "\"force\":true,"); /* which force does not change */
    expect_code(&a, 409);
    answer_free(&a);
    a = add("people", "second", &one, ""); /* nearer than 0.2 */
    expect_code(&a, 409);
    answer_free(&a);
    a = add("people", "second", &one, "\"force\":true,");
    expect_code(&a, 200);
    assert_float_equal(number(data_of(&a), "threshold"), 0.20, 1e-6); /* never under it */
    answer_free(&a);
    a = add("people", "third", &blank, "");
    expect_code(&a, 422);
    answer_free(&a);
    a = add("nobody", "third", &one, "");
    expect_code(&a, 404);
    answer_free(&a);
    a = send_photos("/add-image", "\"collection_name\":\"people\",", "base64_code", &one, NULL, NULL);
    expect_code(&a, 400);
    answer_free(&a);
    expect_ask("POST", "/add-image", "{\"collection_name\":\"people\",\"id\":\"x\"}", 400);
    expect_ask("POST", "/add-image", "{\"collection_name\":\"people\",\"id\":\"x\",\"base64_code\":\"AAAA\"}",
               415);
}

/* Two people at a distance d: the second takes d where 0.2 <= d < 0.3, and so does the first; else 0.30 stays.
 */
static void adaptive_thresholds(void **state)
{
    (void)state;
    struct answer a = send_photos("/verify", "", "img1", &one, "img2", &other);
    double d = number(data_of(&a), "distance");
    answer_free(&a);
    bool adapts = d >= 0.2 && d < 0.3;
    expect_ask("POST", "/create-collection", "{\"collection_name\":\"two\"}", 201);
    a = add("two", "first", &one, "");
    expect_code(&a, 200);
    answer_free(&a);
    a = add("two", "second", &other, d < 0.2 ? "\"force\":true," : "");
    expect_code(&a, 200);
    double expected = adapts ? d : d < 0.2 ? 0.2 : 0.3;
    assert_float_equal(number(data_of(&a), "threshold"), expected, 1e-3);
    answer_free(&a);
    a = send_photos("/find", "\"collection_name\":\"two\",", "img_base64", &one, NULL, NULL);
    expect_code(&a, 200);
    const struct frt_json_value *results =
        frt_json_get(frt_json_first(frt_json_get(data_of(&a), "response")), "results");
    assert_string_equal(text(frt_json_first(results), "id"), "first");
    assert_float_equal(number(frt_json_first(results), "threshold"), expected, 1e-3);
    answer_free(&a);
}

static void list_images(void **state)
{
    (void)state;
    struct answer a = ask("GET", "/list-images?collection_name=people", NULL);
    expect_code(&a, 200);
    assert_string_equal(text(data_of(&a), "collection"), "people");
    assert_int_equal((int)number(data_of(&a), "number_of_identities"), 2);
    assert_int_equal(frt_json_count(frt_json_get(data_of(&a), "identities")), 2);
    answer_free(&a);
    expect_ask("GET", "/list-images", NULL, 400);
    expect_ask("GET", "/list-images?collection_name=nobody", NULL, 404);
    expect_ask("GET", "/list-images?collection=people", NULL, 400);
}

static void find(void **state)
{
    (void)state;
    struct answer a = send_photos("/find", "\"collection_name\":\"people\",", "img_base64", &one, NULL, NULL);
    expect_code(&a, 200);
    const struct frt_json_value *response = frt_json_get(data_of(&a), "response");
    assert_int_equal(frt_json_count(response), 1);
    assert_int_equal((int)number(frt_json_first(response), "query"), 0);
    const struct frt_json_value *results = frt_json_get(frt_json_first(response), "results");
    assert_int_equal(frt_json_count(results), 2);
    for (const struct frt_json_value *r = frt_json_first(results); r != NULL; r = frt_json_next(r)) {
        assert_true(strlen(text(r, "id")) > 0);
        assert_true(number(r, "distance") < number(r, "threshold"));
    }
    assert_true(number(frt_json_get(data_of(&a), "timing"), "total_time") > 0);
    answer_free(&a);
    expect_ask("POST", "/create-collection", "{\"collection_name\":\"bare\"}", 201);
    a = send_photos("/find", "\"collection_name\":\"bare\",", "img_base64", &one, NULL, NULL);
    expect_code(&a, 400); /* nobody passes */
    assert_non_null(strstr(a.body, "bare"));
    answer_free(&a);
    a = send_photos("/find", "\"collection_name\":\"people\",", "img_base64", &blank, NULL, NULL);
    expect_code(&a, 422);
    answer_free(&a);
    a = send_photos("/find", "\"collection_name\":\"nobody\",", "img_base64", &one, NULL, NULL);
    expect_code(&a, 404);
    answer_free(&a);
    expect_ask("POST", "/find", "{\"collection_name\":\"people\"}", 400);
}

/* A face that v1 enrolled has no adaptive threshold: the pack's 0.6, a distance of 0.2, is the stricter one. */
static void find_after_v1(void **state)
{
    (void)state;
    expect_ask("POST", "/create-collection", "{\"collection_name\":\"mixed\"}", 201);
    struct answer a = request(service.port, "POST", "/v1/collections/mixed/faces?subject=first", "image/jpeg",
                              one.data, one.size);
    assert_int_equal(a.status, 201);
    answer_free(&a);
    a = send_photos("/find", "\"collection_name\":\"mixed\",", "img_base64", &one, NULL, NULL);
    expect_code(&a, 200);
    const struct frt_json_value *results =
        frt_json_get(frt_json_first(frt_json_get(data_of(&a), "response")), "results");
    assert_string_equal(text(frt_json_first(results), "id"), "first");
    assert_float_equal(number(frt_json_first(results), "threshold"), 0.2, 1e-6);
    answer_free(&a);
    /* And a neighbour who comes the older way does not loosen it. */
    a = add("mixed", "second", &one, "\"force\":true,");
    expect_code(&a, 200);
    answer_free(&a);
    a = request(service.port, "POST", "/v1/collections/mixed/search", "image/jpeg", one.data, one.size);
    for (const struct frt_json_value *m =
             frt_json_first(frt_json_get(frt_json_first(frt_json_get(root_of(&a), "faces")), "matches"));
         m != NULL; m = frt_json_next(m))
        assert_true(number(m, "threshold") >= 0.6 - 1e-6);
    answer_free(&a);
}

static void delete_image(void **state)
{
    (void)state;
    struct answer a = ask("DELETE", "/delete-image", "{\"collection_name\":\"people\",\"id\":\"second\"}");
    expect_code(&a, 200);
    assert_string_equal(text(data_of(&a), "id"), "second");
    answer_free(&a);
    expect_ask("DELETE", "/delete-image", "{\"collection_name\":\"people\",\"id\":\"second\"}", 404);
    expect_ask("DELETE", "/delete-image", "{\"collection_name\":\"people\"}", 400);
    a = ask("GET", "/list-images?collection_name=people", NULL);
    assert_int_equal((int)number(data_of(&a), "number_of_identities"), 1);
    answer_free(&a);
}

static void rebuild_index(void **state)
{
    (void)state;
    struct answer a = ask("POST", "/rebuild-index", "{\"collection_name\":\"people\"}");
    expect_code(&a, 200);
    assert_string_equal(text(root_of(&a), "data"), "");
    answer_free(&a);
    expect_ask("POST", "/rebuild-index", "{\"collection_name\":\"nobody\"}", 404);
    expect_ask("POST", "/rebuild-index", "{}", 400);
}

static void detect_face(void **state)
{
    (void)state;
    struct answer a = send_photos("/detect-face", "", "img_base64", &one, NULL, NULL);
    expect_code(&a, 200);
    const char *type = text(data_of(&a), "type");
    assert_true(strcmp(type, "REAL") == 0 || strcmp(type, "SPOOF") == 0);
    assert_true(number(data_of(&a), "spoof_confidence") >= 0);
    int n = (int)number(data_of(&a), "num_faces");
    assert_true(n >= 1);
    assert_true(frt_json_truth(frt_json_get(data_of(&a), "face_detected"), false));
    answer_free(&a);
    a = send_photos("/detect-face", "", "img_base64", &blank, NULL, NULL);
    expect_code(&a, 200);
    assert_false(frt_json_truth(frt_json_get(data_of(&a), "face_detected"), true));
    assert_int_equal((int)number(data_of(&a), "num_faces"), 0);
    assert_true(frt_json_is_null(frt_json_get(data_of(&a), "type")));
    answer_free(&a);
    expect_ask("POST", "/detect-face", "{}", 400);
}

/* Last: from here on there are credentials. */
static void login(void **state)
{
    struct frt_access *access = NULL;
    char bearer[FRT_JWT_MAX_BYTES + 40];
    const struct frt_access_options options = {.database = service.database};
    (void)state;
    struct answer a = ask("POST", "/login", "{\"email\":\"ann@example.org\",\"password\":\"whatever it is\"}");
    expect_code(&a, 401);
    answer_free(&a);
    assert_int_equal(frt_access_open(&options, &access, NULL), FRT_OK);
    assert_int_equal(
        frt_access_user_add(access, "ann@example.org", "correct horse battery", FRT_ROLE_WRITER, NULL), FRT_OK);
    frt_access_close(access);
    a = ask("POST", "/login", "{\"email\":\"ann@example.org\",\"password\":\"correct horse battery\"}");
    expect_code(&a, 200);
    (void)snprintf(bearer, sizeof bearer, "Authorization: Bearer %s\r\n", text(data_of(&a), "access_token"));
    assert_int_equal(strlen(text(data_of(&a), "expires_at")), 24);
    answer_free(&a);
    expect_ask("POST", "/login", "{\"email\":\"ann@example.org\"}", 400);
    for (int status = 200; status != 401;) { /* the open door is remembered for a second */
        a = ask("GET", "/list-collections", NULL);
        status = a.status;
        if (status == 401)
            expect_code(&a, 401);
        answer_free(&a);
    }
    static const struct {
        const char *method, *target, *json;
        int with;
    } routes[] = {{"GET", "/list-collections", NULL, 200},
                  {"GET", "/list-images?collection_name=people", NULL, 200},
                  {"POST", "/create-collection", "{\"collection_name\":\"x\"}", 403},
                  {"DELETE", "/delete-collection", "{\"collection_name\":\"people\"}", 403},
                  {"POST", "/rebuild-index", "{\"collection_name\":\"people\"}", 403},
                  {"POST", "/add-image", "{}", 400},
                  {"DELETE", "/delete-image", "{}", 400},
                  {"POST", "/find", "{}", 400},
                  {"POST", "/verify", "{}", 400},
                  {"POST", "/detect-face", "{}", 400}};
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        expect_ask(routes[i].method, routes[i].target, routes[i].json, 401);
        a = request_with(service.port, routes[i].method, routes[i].target, bearer, "application/json",
                         routes[i].json, routes[i].json == NULL ? 0 : strlen(routes[i].json));
        expect_code(&a, routes[i].with);
        answer_free(&a);
    }
    a = ask("GET", "/ping", NULL);
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ping),
        cmocka_unit_test(verify),
        cmocka_unit_test(collections),
        cmocka_unit_test(add_image),
        cmocka_unit_test(adaptive_thresholds),
        cmocka_unit_test(list_images),
        cmocka_unit_test(find),
        cmocka_unit_test(find_after_v1),
        cmocka_unit_test(delete_image),
        cmocka_unit_test(rebuild_index),
        cmocka_unit_test(detect_face),
        cmocka_unit_test(login),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    one = photo_of(1);
    other = photo_of(2);
    blank = photo_blank();
    service_start(&service, argv[1], NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int code = service_stop(&service, SIGTERM);
    free(one.data);
    free(other.data);
    free(blank.data);
    return failed != 0 || code != 0;
}

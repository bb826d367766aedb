/*
 * Collections from outside: every route of v1 as a well-meaning client uses it, and as a careless one does.
 * Real program, models and photos.
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

#include "core/clock.h"
#include "core/crypto.h"
#include "http_client.h"
#include "http_photos.h"

static const char *program;
static struct service service;
static struct photo one, other, blank;

static const struct frt_json_value *root_of(const struct answer *a)
{
    return frt_json_root(a->json);
}

static const char *text(const struct frt_json_value *value, const char *key)
{
    const char *t = frt_json_text(frt_json_get(value, key));
    assert_non_null(t);
    return t;
}

static double number(const struct frt_json_value *value, const char *key)
{
    const struct frt_json_value *v = frt_json_get(value, key);
    assert_true(frt_json_is_number(v));
    return frt_json_double(v, 0);
}

static struct answer ask(const char *method, const char *target, const char *json)
{
    return request(service.port, method, target, json == NULL ? NULL : "application/json", json,
                   json == NULL ? 0 : strlen(json));
}

static void expect_ask(const char *method, const char *target, const char *json, int status, const char *code)
{
    struct answer a = ask(method, target, json);
    expect(&a, status, code);
    answer_free(&a);
}

static struct answer send_photo(const char *target, const struct photo *photo)
{
    return request(service.port, "POST", target, "image/jpeg", photo->data, photo->size);
}

/* ------------------------------------------------------------------- parts */

struct part {
    const char *name;
    const void *data;
    size_t size;
};

static struct answer send_parts(const char *target, const struct part *parts, size_t n)
{
    size_t capacity = 64, size = 0;
    for (size_t i = 0; i < n; i++)
        capacity += parts[i].size + 200;
    char *body = malloc(capacity);
    assert_non_null(body);
    for (size_t i = 0; i < n; i++) {
        size += (size_t)snprintf(body + size, capacity - size,
                                 "--frontier\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n",
                                 parts[i].name);
        memcpy(body + size, parts[i].data, parts[i].size);
        size += parts[i].size;
        memcpy(body + size, "\r\n", 2);
        size += 2;
    }
    size += (size_t)snprintf(body + size, capacity - size, "--frontier--\r\n");
    struct answer a =
        request(service.port, "POST", target, "multipart/form-data; boundary=frontier", body, size);
    free(body);
    return a;
}

static struct part part(const char *name, const char *value)
{
    return (struct part){name, value, strlen(value)};
}

/* --------------------------------------------------------------- collections */

static void collections_come_and_go(void **state)
{
    (void)state;
    struct answer a =
        ask("PUT", "/v1/collections/staff", "{\"threshold\":0.5,\"metadata\":{\"site\":[1,{\"a\":null}]}}");
    expect(&a, 201, NULL);
    assert_string_equal(text(root_of(&a), "name"), "staff");
    assert_float_equal(number(root_of(&a), "threshold"), 0.5, 1e-6);
    assert_int_equal(frt_json_count(frt_json_get(frt_json_get(root_of(&a), "metadata"), "site")), 2);
    assert_int_equal((int)number(root_of(&a), "faces"), 0);
    answer_free(&a);
    expect_ask("PUT", "/v1/collections/staff", "{\"threshold\":0.5,\"metadata\":{\"site\":[1,{\"a\":null}]}}",
               200, NULL);
    expect_ask("PUT", "/v1/collections/staff", "{\"threshold\":0.6}", 409, "conflict");
    a = ask("PATCH", "/v1/collections/staff", "{\"threshold\":null,\"target_fpir\":0.01}");
    expect(&a, 200, NULL);
    assert_null(frt_json_get(root_of(&a), "threshold"));
    assert_float_equal(number(root_of(&a), "target_fpir"), 0.01, 1e-9);
    assert_true(frt_json_is_array(frt_json_get(frt_json_get(root_of(&a), "metadata"), "site")));
    answer_free(&a);
    for (int i = 0; i < 5; i++) {
        char target[64];
        (void)snprintf(target, sizeof target, "/v1/collections/page-%d", i);
        expect_ask("PUT", target, NULL, 201, NULL);
    }
    /* pages that meet, without gap or overlap */
    char target[1200] = "/v1/collections?limit=2";
    size_t seen = 0;
    for (int page = 0; page < 10; page++) {
        a = ask("GET", target, NULL);
        expect(&a, 200, NULL);
        seen += frt_json_count(frt_json_get(root_of(&a), "collections"));
        const char *cursor = frt_json_text(frt_json_get(root_of(&a), "next_cursor"));
        bool more = cursor != NULL;
        if (more)
            (void)snprintf(target, sizeof target, "/v1/collections?limit=2&cursor=%s", cursor);
        answer_free(&a);
        if (!more)
            break;
    }
    assert_int_equal(seen, 6);
    for (int i = 0; i < 5; i++) {
        (void)snprintf(target, sizeof target, "/v1/collections/page-%d", i);
        a = ask("DELETE", target, NULL);
        expect(&a, 200, NULL);
        assert_int_equal((int)number(root_of(&a), "deleted_faces"), 0);
        answer_free(&a);
        expect_ask("DELETE", target, NULL, 404, "collection_not_found");
        expect_ask("GET", target, NULL, 404, "collection_not_found");
    }
}

static void names_and_settings_that_are_wrong(void **state)
{
    static const char *const names[] = {".hidden", "a%20b", "a%2Fb", "..",       "%2e%2e",  "a%00",
                                        "a%0a",    "%ff",   "a%zz",  "\xc3\xa9", "a%C3%A9", "a'b"};
    static const char *const settings[] = {"{\"threshold\":2}",
                                           "{\"threshold\":\"0.5\"}",
                                           "{\"treshold\":0.5}",
                                           "{\"metadata\":[]}",
                                           "{\"metadata\":\"{}\"}",
                                           "{\"target_fpir\":-1}",
                                           "[1]",
                                           "{",
                                           "5",
                                           "{\"threshold\":1e999}"};
    char target[300];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(target, sizeof target, "/v1/collections/%s", names[i]);
        struct answer a = ask("PUT", target, NULL);
        if (a.status != 400)
            fail_msg("%s: %d", target, a.status);
        answer_free(&a);
    }
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        struct answer a = ask("PUT", "/v1/collections/new", settings[i]);
        if (a.status != 400)
            fail_msg("%s: %d", settings[i], a.status);
        expect(&a, 400, "bad_request");
        answer_free(&a);
    }
    struct answer a = ask("PUT", "/v1/collections/new", "{\"treshold\":0.5}");
    assert_non_null(strstr(a.body, "threshold"));
    answer_free(&a);
    char *large = malloc(40000);
    assert_non_null(large);
    int n = sprintf(large, "{\"metadata\":{\"a\":\"");
    memset(large + n, 'x', 20000);
    (void)strcpy(large + n + 20000, "\"}}");
    expect_ask("PUT", "/v1/collections/new", large, 400, "bad_request");
    n = sprintf(large, "{\"metadata\":{\"a\":");
    for (int i = 0; i < 30; i++)
        large[n++] = '[';
    for (int i = 0; i < 30; i++)
        large[n++] = ']';
    (void)strcpy(large + n, "}}");
    expect_ask("PUT", "/v1/collections/new", large, 400, "bad_request");
    free(large);
    expect_ask("GET", "/v1/collections/new", NULL, 404, "collection_not_found");
    memset(target, 'a', sizeof target);
    (void)memcpy(target, "/v1/collections/", 16);
    target[16 + 128] = '\0';
    expect_ask("PUT", target, NULL, 201, NULL);
    expect_ask("DELETE", target, NULL, 200, NULL);
    target[16 + 128] = 'a';
    target[16 + 129] = '\0';
    expect_ask("PUT", target, NULL, 400, "bad_request");
    static const char *const lists[] = {"limit=0", "limit=1001",      "limit=x", "cursor=!!",
                                        "cursor=", "limit=1&limit=2", "page=2"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        (void)snprintf(target, sizeof target, "/v1/collections?%s", lists[i]);
        expect_ask("GET", target, NULL, 400, "bad_request");
    }
}

static void paths_and_methods(void **state)
{
    static const struct {
        const char *method, *target, *allow;
    } wrong[] = {{"POST", "/v1/collections", "GET, HEAD, OPTIONS"},
                 {"POST", "/v1/collections/c", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"},
                 {"PUT", "/v1/collections/c/faces", "POST, GET, HEAD, OPTIONS"},
                 {"PATCH", "/v1/collections/c/faces/f", "GET, HEAD, DELETE, OPTIONS"},
                 {"GET", "/v1/collections/c/subjects/s", "PATCH, DELETE, OPTIONS"},
                 {"GET", "/v1/collections/c/search", "POST, OPTIONS"},
                 {"GET", "/v1/collections/c/import", "POST, OPTIONS"},
                 {"DELETE", "/v1/collections/c/export", "GET, HEAD, OPTIONS"},
                 {"GET", "/v1/collections/c/rebuild", "POST, OPTIONS"},
                 {"DELETE", "/v1/jobs/j", "GET, HEAD, OPTIONS"}};
    static const char *const nowhere[] = {
        "/v1/collections/", "/v1/collections//faces",      "/v1/collections/c/face", "/v1/collections/c/faces/",
        "/v1/jobs",         "/v1/collections/c/faces/f/x", "/v1/collections%2Fc",    "/v1%2Fcollections"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct answer a = ask(wrong[i].method, wrong[i].target, NULL);
        expect(&a, 405, "method_not_allowed");
        assert_string_equal(answer_header(&a, "Allow"), wrong[i].allow);
        answer_free(&a);
    }
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        expect_ask("GET", nowhere[i], NULL, 404, "not_found");
    expect_ask("GET", "/v1/jobs/nobody", NULL, 404, "not_found");
}

/* ------------------------------------------------------------------- enroll */

static void enroll_however_it_comes(void **state)
{
    (void)state;
    struct answer a =
        send_photo("/v1/collections/staff/faces?subject=Ann&face_id=ann-1&metadata=%7B%22n%22%3A7%7D", &one);
    expect(&a, 201, NULL);
    const struct frt_json_value *face = frt_json_first(frt_json_get(root_of(&a), "faces"));
    assert_string_equal(text(face, "face_id"), "ann-1");
    assert_string_equal(text(face, "subject"), "Ann");
    assert_int_equal((int)number(frt_json_get(face, "metadata"), "n"), 7);
    assert_true(number(face, "confidence") > 0.3 && number(face, "quality") > 0);
    assert_true(number(frt_json_get(face, "box"), "width") > 20);
    assert_true(number(face, "seq") > 0);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "rejected")), 0);
    answer_free(&a);
    /* several photos as parts; one shows nobody */
    const struct part parts[] = {{"image", one.data, one.size},
                                 part("subject", "Bob / Builder"),
                                 {"image", blank.data, blank.size},
                                 part("metadata", "{\"k\":\"v\"}"),
                                 {"image", other.data, other.size}};
    a = send_parts("/v1/collections/staff/faces", parts, 5);
    expect(&a, 201, NULL);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "faces")), 2);
    const struct frt_json_value *rejected = frt_json_first(frt_json_get(root_of(&a), "rejected"));
    assert_int_equal((int)number(rejected, "image"), 1);
    assert_string_equal(text(rejected, "code"), "no_face");
    answer_free(&a);
    /* JSON with an array of images */
    char *json = malloc(2 * frt_base64_encoded_size(other.size) + 200);
    assert_non_null(json);
    int n = sprintf(json, "{\"subject\":\"Cleo\",\"images\":[\"");
    frt_base64_encode(other.data, other.size, json + n);
    (void)strcat(json, "\"],\"on_multiple\":\"largest\",\"metadata\":{\"deep\":{\"er\":[true,1.5]}}}");
    a = request(service.port, "POST", "/v1/collections/staff/faces", "application/json", json, strlen(json));
    expect(&a, 201, NULL);
    assert_string_equal(text(frt_json_first(frt_json_get(root_of(&a), "faces")), "subject"), "Cleo");
    answer_free(&a);
    free(json);
    a = ask("GET", "/v1/collections/staff", NULL);
    assert_int_equal((int)number(root_of(&a), "faces"), 4);
    assert_int_equal((int)number(root_of(&a), "subjects"), 3);
    assert_true(number(frt_json_get(root_of(&a), "model"), "dim") > 0);
    answer_free(&a);
}

/* Of several photos one cannot be read: it is named, and the others are taken. */
static void unreadable_photos_among_others(void **state)
{
    (void)state;
    static const char garbage[] = "this is no photo";
    const uint8_t *cut = one.data; /* a JPEG's beginning */
    const struct part mixed[] = {part("image", garbage),
                                 {"image", one.data, one.size},
                                 {"image", (const char *)cut, 20},
                                 {"image", blank.data, blank.size},
                                 part("subject", "Ann")};
    const struct part bad[] = {
        part("image", garbage), {"image", (const char *)cut, 20}, part("subject", "Ann")};
    const struct part alone[] = {part("image", garbage), part("subject", "Ann")};
    const struct part named[] = {part("image", garbage),
                                 {"image", one.data, one.size},
                                 part("subject", "Ann"),
                                 part("face_id", "ann-9")};
    expect_ask("PUT", "/v1/collections/mixed", NULL, 201, NULL);
    struct answer a = send_parts("/v1/collections/mixed/faces", mixed, 5);
    expect(&a, 201, NULL);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "faces")), 1);
    const struct frt_json_value *rejected = frt_json_get(root_of(&a), "rejected");
    assert_int_equal(frt_json_count(rejected), 3);
    static const struct {
        int image;
        const char *code;
    } wanted[] = {{0, "unsupported_image"}, {2, "bad_image"}, {3, "no_face"}};
    size_t i = 0;
    for (const struct frt_json_value *r = frt_json_first(rejected); r != NULL; r = frt_json_next(r), i++) {
        assert_int_equal((int)number(r, "image"), wanted[i].image);
        assert_string_equal(text(r, "code"), wanted[i].code);
        assert_true(strlen(text(r, "detail")) > 5);
    }
    answer_free(&a);
    a = send_parts("/v1/collections/mixed/faces", bad, 3);
    expect(&a, 415, "unsupported_image");
    assert_non_null(strstr(a.body, "image 0"));
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "rejected")), 2);
    answer_free(&a);
    a = send_parts("/v1/collections/mixed/faces", alone, 2);
    expect(&a, 415, "unsupported_image");
    answer_free(&a);
    a = send_parts("/v1/collections/mixed/faces", named, 4); /* which of them would it be? */
    expect(&a, 400, "bad_request");
    answer_free(&a);
    a = ask("GET", "/v1/collections/mixed", NULL);
    assert_int_equal((int)number(root_of(&a), "faces"), 1);
    answer_free(&a);
    expect_ask("DELETE", "/v1/collections/mixed", NULL, 200, NULL);
}

static void enrollments_that_are_refused(void **state)
{
    static const struct {
        const char *query, *code;
        int status;
    } wrong[] = {{"", "bad_request", 400},
                 {"?subject=", "bad_request", 400},
                 {"?subject=x&on_multiple=some", "bad_request", 400},
                 {"?subject=x&on_duplicate=maybe", "bad_request", 400},
                 {"?subject=x&min_quality=2", "bad_request", 400},
                 {"?subject=x&metadata=5", "bad_request", 400},
                 {"?subject=x&metadata=%7B", "bad_request", 400},
                 {"?subject=x&liveness=yes", "bad_request", 400},
                 {"?subjekt=x", "bad_request", 400},
                 {"?subject=a%0ab", "bad_request", 400},
                 {"?subject=x&face_id=a%2Fb", "bad_request", 400},
                 {"?subject=x&face_id=ann-1", "conflict", 409},
                 {"?subject=x&min_quality=1", "low_quality", 422},
                 {"?subject=x&on_duplicate=reject", "duplicate_of", 409}};
    char target[300];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        (void)snprintf(target, sizeof target, "/v1/collections/staff/faces%s", wrong[i].query);
        struct answer a = send_photo(target, &one);
        if (a.status != wrong[i].status)
            fail_msg("%s: %d: %s", wrong[i].query, a.status, a.body);
        expect(&a, wrong[i].status, wrong[i].code);
        answer_free(&a);
    }
    struct answer a = send_photo("/v1/collections/staff/faces?subject=x&on_duplicate=reject", &one);
    const struct frt_json_value *rejected = frt_json_first(frt_json_get(root_of(&a), "rejected"));
    assert_true(strlen(text(rejected, "face_id")) > 0);
    assert_true(number(rejected, "similarity") > 0.99);
    answer_free(&a);
    a = send_photo("/v1/collections/staff/faces?subject=x", &blank);
    expect(&a, 422, "no_face");
    answer_free(&a);
    a = send_photo("/v1/collections/nobody/faces?subject=x", &one);
    expect(&a, 404, "collection_not_found");
    answer_free(&a);
    a = request(service.port, "POST", "/v1/collections/staff/faces?subject=x", "image/jpeg", "no image", 8);
    expect(&a, 415, "unsupported_image");
    answer_free(&a);
    const struct part both[] = {{"image", one.data, one.size}, part("subject", "a"), part("embedding", "[1]")};
    a = send_parts("/v1/collections/staff/faces", both, 3);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    a = send_parts("/v1/collections/staff/faces?subject=b", both, 2);
    expect(&a, 400, "bad_request"); /* the subject in two places */
    answer_free(&a);
    const struct part twice[] = {{"image", one.data, one.size}, part("subject", "a"), part("subject", "b")};
    a = send_parts("/v1/collections/staff/faces", twice, 3);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    const struct part nul[] = {{"image", one.data, one.size}, {"subject", "a\0b", 3}};
    a = send_parts("/v1/collections/staff/faces", nul, 2);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    expect_ask("POST", "/v1/collections/staff/faces", NULL, 400, "bad_request");
    expect_ask("POST", "/v1/collections/staff/faces", "{\"subject\":\"x\"}", 400, "bad_request");
    expect_ask("POST", "/v1/collections/staff/faces", "{\"subject\":\"x\",\"images\":[5]}", 400, "bad_request");
    expect_ask("POST", "/v1/collections/staff/faces", "{\"subject\":\"x\",\"images\":[]}", 400, "bad_request");
    a = ask("GET", "/v1/collections/staff", NULL); /* nothing of all that was taken */
    assert_int_equal((int)number(root_of(&a), "faces"), 4);
    answer_free(&a);
}

/* The embedding of a photo and its model, as members of a JSON object. */
static char *embedding_members(const struct photo *photo)
{
    struct answer a = send_photo("/v1/embed?encoding=base64&max_faces=1", photo);
    expect(&a, 200, NULL);
    const struct frt_json_value *model = frt_json_get(root_of(&a), "model");
    const char *e = text(frt_json_first(frt_json_get(root_of(&a), "faces")), "embedding");
    char *out = malloc(strlen(e) + 500);
    assert_non_null(out);
    (void)sprintf(out, "\"embedding\":\"%s\",\"model\":{\"name\":\"%s\",\"version\":\"%s\"}", e,
                  text(model, "name"), text(model, "version"));
    answer_free(&a);
    return out;
}

static void enroll_and_search_by_embedding(void **state)
{
    (void)state;
    char *members = embedding_members(&one);
    char *json = malloc(strlen(members) + 200);
    assert_non_null(json);
    (void)sprintf(json, "{\"subject\":\"Dora\",\"face_id\":\"dora-1\",%s}", members);
    expect_ask("POST", "/v1/collections/staff/faces", json, 201, NULL);
    (void)sprintf(json, "{\"top_k\":3,\"unique_subjects\":false,%s}", members);
    struct answer a = ask("POST", "/v1/collections/staff/search", json);
    expect(&a, 200, NULL);
    const struct frt_json_value *face = frt_json_first(frt_json_get(root_of(&a), "faces"));
    assert_string_equal(text(face, "decision"), "match");
    assert_int_equal(frt_json_count(frt_json_get(face, "matches")), 3); /* Ann, Bob and Dora: the same photo */
    assert_float_equal(number(frt_json_first(frt_json_get(face, "matches")), "similarity"), 1, 1e-3);
    assert_null(frt_json_get(face, "box"));
    answer_free(&a);
    static const char *const wrong[] = {
        "{\"subject\":\"x\",\"embedding\":[1,0]}", "{\"subject\":\"x\",\"embedding\":[1,0],\"model\":5}",
        "{\"subject\":\"x\",\"embedding\":[],\"model\":\"a 1\"}",
        "{\"subject\":\"x\",\"embedding\":[\"a\"],\"model\":{\"name\":\"a\",\"version\":\"1\"}}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        a = ask("POST", "/v1/collections/staff/faces", wrong[i]);
        assert_true(a.status == 400 || a.status == 409);
        answer_free(&a);
    }
    expect_ask("POST", "/v1/collections/staff/faces",
               "{\"subject\":\"x\",\"embedding\":[1,0],\"model\":{\"name\":\"a\",\"version\":\"1\"}}", 409,
               "model_mismatch");
    expect_ask("POST", "/v1/collections/staff/search",
               "{\"embedding\":[1,0],\"model\":{\"name\":\"a\",\"version\":\"1\"}}", 409, "model_mismatch");
    expect_ask("DELETE", "/v1/collections/staff/faces/dora-1", NULL, 200, NULL);
    free(json);
    free(members);
}

/* ---------------------------------------------------------------- thresholds */

/* A table whose comparisons fall by ten every tenth of a cosine: one photo of a stranger in ten thousand
 * reaches 0.5. */
static const char made_table[] =
    "{\"format\":\"frt-thresholds\",\"format_version\":1,\"embedder\":{\"name\":\"%s\",\"version\":\"%s\","
    "\"dim\":%d},\"measured\":{\"on\":\"made up\",\"date\":\"2026-01-02\",\"photos\":20,\"people\":10},"
    "\"curves\":[{\"enrolled\":1,\"people\":10,\"comparisons\":100000,\"points\":[[0.1,1],[0.5,0.0001]],"
    "\"tail\":{\"scale\":0.0434294,\"shape\":0}}]}";

/* Member of the collection's "search_threshold". */
static double threshold_of(const char *collection, const char *member, char source[32])
{
    char target[200];
    (void)snprintf(target, sizeof target, "/v1/collections/%s", collection);
    struct answer a = ask("GET", target, NULL);
    expect(&a, 200, NULL);
    const struct frt_json_value *rule = frt_json_get(root_of(&a), "search_threshold");
    const double value = number(rule, member);
    (void)snprintf(source, 32, "%s", text(rule, "source"));
    answer_free(&a);
    return value;
}

/* A stranger of dim numbers that is as similar to the first axis as asked. */
static void axis(char *out, size_t size, uint32_t dim, uint32_t which, double cosine)
{
    size_t n = (size_t)snprintf(out, size, "\"embedding\":[");
    for (uint32_t d = 0; d < dim; d++)
        n += (size_t)snprintf(out + n, size - n, "%s%.9g", d == 0 ? "" : ",",
                              d == which     ? cosine
                              : d == dim - 1 ? sqrt(1 - cosine * cosine)
                                             : 0);
    (void)snprintf(out + n, size - n, "],\"model\":{\"name\":\"made\",\"version\":\"1\"}");
}

/* The threshold follows from the target, the people and the table; who sets one, or brings one, is obeyed. */
static void thresholds_follow_the_people(void **state)
{
    enum { DIM = 64 };
    static char json[8192], table[2048], patch[4096], members[4096];
    char source[32];
    (void)state;
    expect_ask("PUT", "/v1/collections/grows", "{\"target_fpir\":0.001}", 201, NULL);
    for (uint32_t i = 0; i < 10; i++) {
        axis(members, sizeof members, DIM, i, 1);
        (void)snprintf(json, sizeof json, "{\"subject\":\"s%u\",%s}", i, members);
        /* embeddings of another model than the pack's come by import */
        char target[] = "/v1/collections/grows/import?model=made%201&dim=64";
        char *end = strstr(json, ",\"model\"");
        assert_non_null(end);
        (void)strcpy(end, "}");
        expect_ask("POST", target, json, 200, NULL);
    }
    /* the pack's table is another model's */
    struct answer a = ask("GET", "/v1/collections/grows", NULL);
    assert_null(frt_json_get(root_of(&a), "search_threshold"));
    answer_free(&a);
    (void)snprintf(table, sizeof table, made_table, "made", "1", DIM);
    (void)snprintf(patch, sizeof patch, "{\"calibration\":%s}", table);
    expect_ask("PATCH", "/v1/collections/grows", patch, 200, NULL);
    /* 10 people and one in a thousand: one comparison in ten thousand, at 0.5 */
    assert_float_equal(threshold_of("grows", "value", source), 0.5, 1e-4);
    assert_string_equal(source, "collection");
    assert_float_equal(threshold_of("grows", "estimated_fpir", source), 0.001, 1e-5);
    expect_ask("PATCH", "/v1/collections/grows", "{\"target_fpir\":null}", 200, NULL); /* 0.01: a tenth more */
    assert_float_equal(threshold_of("grows", "value", source), 0.4, 1e-3);
    /* a stranger at 0.45 is named, and by chance as often as one in a hundred by √10 less */
    axis(members, sizeof members, DIM, 0, 0.45);
    (void)snprintf(json, sizeof json, "{\"probability\":true,%s}", members);
    a = ask("POST", "/v1/collections/grows/search", json);
    expect(&a, 200, NULL);
    const struct frt_json_value *face = frt_json_first(frt_json_get(root_of(&a), "faces"));
    assert_string_equal(text(face, "decision"), "match");
    assert_float_equal(number(frt_json_first(frt_json_get(face, "matches")), "false_match_probability"),
                       0.00316, 2e-5);
    answer_free(&a);
    /* unknown where fewer strangers may be named */
    expect_ask("PATCH", "/v1/collections/grows", "{\"target_fpir\":0.001}", 200, NULL);
    a = ask("POST", "/v1/collections/grows/search", json);
    assert_string_equal(text(frt_json_first(frt_json_get(root_of(&a), "faces")), "decision"), "unknown");
    answer_free(&a);
    /* what the request says wins over all */
    (void)snprintf(json, sizeof json, "{\"threshold\":0.3,%s}", members);
    a = ask("POST", "/v1/collections/grows/search", json);
    face = frt_json_first(frt_json_get(root_of(&a), "faces"));
    assert_string_equal(text(face, "decision"), "match");
    assert_null(frt_json_get(frt_json_first(frt_json_get(face, "matches")), "false_match_probability"));
    answer_free(&a);
    /* ten times the people: a tenth of a cosine more */
    for (uint32_t i = 0; i < 90; i++) {
        axis(members, sizeof members, DIM, i % DIM, 0.9);
        *strstr(members, ",\"model\"") = '\0';
        (void)snprintf(json, sizeof json, "{\"subject\":\"t%u\",%s}", i, members);
        expect_ask("POST", "/v1/collections/grows/import?model=made%201&dim=64", json, 200, NULL);
    }
    assert_float_equal(threshold_of("grows", "value", source), 0.6, 1e-3);
    expect_ask("PATCH", "/v1/collections/grows", "{\"threshold\":0.42}", 200, NULL);
    assert_float_equal(threshold_of("grows", "value", source), 0.42, 1e-6);
    assert_string_equal(source, "set");
    /* unset again; and tables that are none */
    expect_ask("PATCH", "/v1/collections/grows", "{\"threshold\":null,\"calibration\":null}", 200, NULL);
    a = ask("GET", "/v1/collections/grows", NULL);
    assert_null(frt_json_get(root_of(&a), "search_threshold"));
    answer_free(&a);
    expect_ask("PATCH", "/v1/collections/grows", "{\"calibration\":{}}", 400, "bad_request");
    expect_ask("PATCH", "/v1/collections/grows", "{\"calibration\":5}", 400, "bad_request");
    expect_ask("DELETE", "/v1/collections/grows", NULL, 200, NULL);
    /* of the pack's own model: by its table, or its manifest */
    const double people = threshold_of("staff", "people", source);
    assert_true(people >= 1 && (strcmp(source, "pack") == 0 || strcmp(source, "manifest") == 0));
}

/* ------------------------------------------------------------------- search */

static void search(void **state)
{
    (void)state;
    struct answer a = send_photo("/v1/collections/staff/search", &one);
    expect(&a, 200, NULL);
    const struct frt_json_value *face = frt_json_first(frt_json_get(root_of(&a), "faces"));
    assert_string_equal(text(face, "decision"), "match");
    const struct frt_json_value *match = frt_json_first(frt_json_get(face, "matches"));
    assert_true(number(match, "similarity") >= number(match, "threshold"));
    assert_float_equal(number(match, "distance"), (1 - number(match, "similarity")) / 2, 1e-4);
    assert_null(frt_json_get(match, "match"));
    assert_true(number(frt_json_get(root_of(&a), "timing_ms"), "total") > 0);
    answer_free(&a);
    a = send_photo("/v1/collections/staff/search?candidates=true&threshold=1&top_k=3", &other);
    expect(&a, 200, NULL);
    face = frt_json_first(frt_json_get(root_of(&a), "faces"));
    assert_int_equal(frt_json_count(frt_json_get(face, "matches")), 3);
    assert_true(frt_json_is_bool(frt_json_get(frt_json_first(frt_json_get(face, "matches")), "match")));
    answer_free(&a);
    a = send_photo("/v1/collections/staff/search", &blank); /* nobody there is an answer */
    expect(&a, 200, NULL);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "faces")), 0);
    answer_free(&a);
    expect_ask("PUT", "/v1/collections/empty", NULL, 201, NULL);
    a = send_photo("/v1/collections/empty/search", &one);
    expect(&a, 200, NULL);
    assert_string_equal(text(frt_json_first(frt_json_get(root_of(&a), "faces")), "decision"), "unknown");
    answer_free(&a);
    static const char *const wrong[] = {"top_k=0",        "top_k=1001",        "top_k=1.5",
                                        "threshold=2",    "unique_subjects=1", "max_faces=0",
                                        "candidates=yes", "score=worst",       "subject=x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char target[100];
        (void)snprintf(target, sizeof target, "/v1/collections/staff/search?%s", wrong[i]);
        a = send_photo(target, &one);
        expect(&a, 400, "bad_request");
        answer_free(&a);
    }
    a = send_photo("/v1/collections/nobody/search", &one);
    expect(&a, 404, "collection_not_found");
    answer_free(&a);
    expect_ask("DELETE", "/v1/collections/empty", NULL, 200, NULL);
}

/* ------------------------------------------------------------ faces, subjects */

static void faces_and_subjects(void **state)
{
    (void)state;
    struct answer a =
        ask("GET", "/v1/collections/staff/faces?subject=Bob%20%2F%20Builder&embedding=true", NULL);
    expect(&a, 200, NULL);
    const struct frt_json_value *faces = frt_json_get(root_of(&a), "faces");
    assert_int_equal(frt_json_count(faces), 2);
    assert_true(frt_json_count(frt_json_get(frt_json_first(faces), "embedding")) > 10);
    assert_null(frt_json_get(root_of(&a), "next_cursor"));
    answer_free(&a);
    char target[1300] = "/v1/collections/staff/faces?limit=3";
    size_t seen = 0;
    for (int page = 0; page < 5; page++) {
        a = ask("GET", target, NULL);
        expect(&a, 200, NULL);
        seen += frt_json_count(frt_json_get(root_of(&a), "faces"));
        assert_null(frt_json_get(frt_json_first(frt_json_get(root_of(&a), "faces")), "embedding"));
        const char *cursor = frt_json_text(frt_json_get(root_of(&a), "next_cursor"));
        bool more = cursor != NULL;
        if (more)
            (void)snprintf(target, sizeof target, "/v1/collections/staff/faces?limit=3&cursor=%s", cursor);
        answer_free(&a);
        if (!more)
            break;
    }
    assert_int_equal(seen, 4);
    a = ask("GET", "/v1/collections/staff/faces/ann-1?embedding=true&encoding=base64", NULL);
    expect(&a, 200, NULL);
    assert_true(frt_json_is_string(frt_json_get(root_of(&a), "embedding")));
    answer_free(&a);
    expect_ask("GET", "/v1/collections/staff/faces/nobody", NULL, 404, "face_not_found");
    expect_ask("DELETE", "/v1/collections/staff/faces/nobody", NULL, 404, "face_not_found");
    expect_ask("GET", "/v1/collections/staff/faces?cursor=YWJj", NULL, 400,
               "bad_request"); /* not this list's */
    expect_ask("GET", "/v1/collections/staff/faces?embedding=1", NULL, 400, "bad_request");

    a = ask("GET", "/v1/collections/staff/subjects", NULL);
    expect(&a, 200, NULL);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "subjects")), 3);
    answer_free(&a);
    a = ask("PATCH", "/v1/collections/staff/subjects/Bob%20%2F%20Builder", "{\"subject\":\"Bob \xc3\xa9\"}");
    expect(&a, 200, NULL);
    assert_string_equal(text(root_of(&a), "subject"), "Bob \xc3\xa9");
    answer_free(&a);
    expect_ask("PATCH", "/v1/collections/staff/subjects/Bob%20%2F%20Builder", "{\"subject\":\"x\"}", 404,
               "subject_not_found");
    expect_ask("PATCH", "/v1/collections/staff/subjects/Ann", "{\"subject\":\"Cleo\"}", 409, "conflict");
    expect_ask("PATCH", "/v1/collections/staff/subjects/Ann", "{}", 400, "bad_request");
    expect_ask("PATCH", "/v1/collections/staff/subjects/Ann", "{\"subject\":\"\"}", 400, "bad_request");
    expect_ask("PATCH", "/v1/collections/staff/subjects/a%0ab", "{\"subject\":\"x\"}", 400, "bad_request");
    a = ask("DELETE", "/v1/collections/staff/subjects/Bob%20%C3%A9", NULL);
    expect(&a, 200, NULL);
    assert_int_equal((int)number(root_of(&a), "deleted_faces"), 2);
    answer_free(&a);
    expect_ask("DELETE", "/v1/collections/staff/faces/ann-1", NULL, 200, NULL);
    a = ask("GET", "/v1/collections/staff/subjects", NULL); /* a subject goes with its last face */
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "subjects")), 1);
    answer_free(&a);
}

static void jobs_metrics_and_a_restart(void **state)
{
    (void)state;
    struct answer a = ask("POST", "/v1/collections/staff/rebuild", NULL);
    expect(&a, 202, NULL);
    char location[100];
    (void)snprintf(location, sizeof location, "%s", answer_header(&a, "Location"));
    assert_non_null(strstr(location, text(root_of(&a), "job")));
    answer_free(&a);
    for (int64_t start = frt_now_ns();;) {
        a = ask("GET", location, NULL);
        expect(&a, 200, NULL);
        bool done = strcmp(text(root_of(&a), "state"), "done") == 0;
        assert_string_equal(text(root_of(&a), "collection"), "staff");
        answer_free(&a);
        if (done)
            break;
        assert_true(frt_elapsed_ms(start) < WAIT_MS);
    }
    expect_ask("POST", "/v1/collections/nobody/rebuild", NULL, 404, "collection_not_found");
    a = ask("GET", "/metrics", NULL);
    const struct frt_json_value *m = frt_json_get(root_of(&a), "collections");
    assert_int_equal((int)number(m, "count"), 1);
    assert_int_equal((int)number(m, "faces"), 1);
    assert_int_equal((int)number(frt_json_get(frt_json_get(m, "index"), "staff"), "faces"), 1);
    m = frt_json_get(frt_json_get(root_of(&a), "caches"), "index");
    assert_int_equal((int)number(m, "entries"), 1);
    assert_int_equal((int)number(m, "capacity"), 50);
    assert_int_equal((int)number(m, "ttl_seconds"), 7200);
    assert_true(number(m, "bytes") > 0 && number(m, "misses") >= 1);
    answer_free(&a);
    a = ask("GET", "/metrics?format=prometheus", NULL);
    assert_non_null(strstr(a.body, "frt_cache_entries{cache=\"index\"} 1"));
    assert_non_null(strstr(a.body, "frt_cache_capacity{cache=\"subject\"} 8192"));
    assert_non_null(strstr(a.body, "frt_collection_faces{collection=\"staff\"} 1"));
    answer_free(&a);
    /* it is all there after a restart */
    assert_int_equal(service_pause(&service, SIGTERM), 0);
    service_start(&service, program, NULL);
    a = send_photo("/v1/collections/staff/search?threshold=0.9", &other);
    expect(&a, 200, NULL);
    const struct frt_json_value *face = frt_json_first(frt_json_get(root_of(&a), "faces"));
    assert_string_equal(text(frt_json_first(frt_json_get(face, "matches")), "subject"), "Cleo");
    answer_free(&a);
    char *log = service_log_with(&service, "/v1/collections/{c}/search"); /* the pattern, never the names */
    assert_null(strstr(log, "staff/search"));
    free(log);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collections_come_and_go),
        cmocka_unit_test(names_and_settings_that_are_wrong),
        cmocka_unit_test(paths_and_methods),
        cmocka_unit_test(enroll_however_it_comes),
        cmocka_unit_test(unreadable_photos_among_others),
        cmocka_unit_test(enrollments_that_are_refused),
        cmocka_unit_test(enroll_and_search_by_embedding),
        cmocka_unit_test(thresholds_follow_the_people),
        cmocka_unit_test(search),
        cmocka_unit_test(faces_and_subjects),
        cmocka_unit_test(jobs_metrics_and_a_restart),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    program = argv[1];
    one = photo_of(1);
    other = photo_of(2);
    blank = photo_blank();
    service_start(&service, program, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int code = service_stop(&service, SIGTERM);
    free(one.data);
    free(other.data);
    free(blank.data);
    return failed != 0 || code != 0;
}

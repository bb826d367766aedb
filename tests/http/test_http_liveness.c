/*
 * The gate of liveness from outside: enroll, search and verify with liveness=require. What counts as a spoof is
 * moved by the setting, so that the same photos are live ones, spoofs, or both at once. Real program, models
 * and photos; the largest of the sample's three faces has a spoof confidence of 0.32, the others 0.14 and 0.17.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_client.h"
#include "http_photos.h"

#define SAMPLE "node_modules/@vladmandic/face-api/demo/sample1.jpg"

static const char *program;
static struct service service;
static struct photo one, other, sample;

static struct answer send_photo(const char *target, const struct photo *photo)
{
    return request(service.port, "POST", target, "image/jpeg", photo->data, photo->size);
}

static void expect_photo(const char *target, const struct photo *photo, int status, const char *code)
{
    struct answer a = send_photo(target, photo);
    expect(&a, status, code);
    answer_free(&a);
}

/* Parts image1 and image2, or embedding1 in the first one's place, and liveness. */
static struct answer verify(const struct photo *first, const char *embedding, const struct photo *second,
                            const char *liveness)
{
    const struct {
        const char *name;
        const void *data;
        size_t size;
    } parts[] = {{embedding == NULL ? "image1" : "embedding1",
                  embedding == NULL ? (const void *)first->data : embedding,
                  embedding == NULL ? first->size : strlen(embedding)},
                 {"image2", second->data, second->size},
                 {"liveness", liveness, strlen(liveness)}};
    const size_t capacity = parts[0].size + parts[1].size + 1024;
    size_t size = 0;
    char *body = malloc(capacity);
    assert_non_null(body);
    for (size_t i = 0; i < 3; i++) {
        size += (size_t)snprintf(body + size, capacity - size,
                                 "--frontier\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n",
                                 parts[i].name);
        memcpy(body + size, parts[i].data, parts[i].size);
        size += parts[i].size;
        size += (size_t)snprintf(body + size, capacity - size, "\r\n");
    }
    size += (size_t)snprintf(body + size, capacity - size, "--frontier--\r\n");
    struct answer a =
        request(service.port, "POST", "/v1/verify", "multipart/form-data; boundary=frontier", body, size);
    free(body);
    return a;
}

static void expect_verify(const char *liveness, int status, const char *code, const char *words)
{
    struct answer a = verify(&one, NULL, &other, liveness);
    expect(&a, status, code);
    if (words != NULL && strstr(a.body, words) == NULL)
        fail_msg("%s lacks %s", a.body, words);
    answer_free(&a);
}

static void restart(const char *percent)
{
    const char *const options[] = {"--spoof-percent", percent, NULL};
    if (service.pid != 0)
        assert_int_equal(service_pause(&service, SIGTERM), 0);
    service_start(&service, program, options);
}

static void live_faces_pass(void **state)
{
    (void)state;
    restart("100");
    struct answer a = request(service.port, "PUT", "/v1/collections/door", NULL, NULL, 0);
    expect(&a, 201, NULL);
    answer_free(&a);
    expect_photo("/v1/collections/door/faces?subject=Ann&liveness=require", &one, 201, NULL);
    expect_photo("/v1/collections/door/faces?subject=Bob&liveness=require", &other, 201, NULL);
    a = send_photo("/v1/collections/door/search?liveness=require", &one);
    expect(&a, 200, NULL);
    assert_non_null(strstr(a.body, "\"subject\":\"Ann\""));
    assert_non_null(strstr(a.body, "\"type\":\"REAL\""));
    answer_free(&a);
    a = send_photo("/v1/collections/door/search?liveness=off", &one);
    expect(&a, 200, NULL);
    assert_null(strstr(a.body, "\"type\""));
    answer_free(&a);
    static const char *const modes[] = {"off", "require", "image1", "image2"};
    for (size_t i = 0; i < 4; i++) {
        a = verify(&one, NULL, &one, modes[i]);
        expect(&a, 200, NULL);
        assert_non_null(strstr(a.body, "\"verified\":true"));
        answer_free(&a);
    }
}

static void spoofs_do_not(void **state)
{
    (void)state;
    restart("1");
    expect_photo("/v1/collections/door/faces?subject=Cleo&liveness=require", &one, 422, "spoof");
    /* what the caches know of the photo does not pass it */
    for (int i = 0; i < 3; i++) {
        expect_photo("/v1/collections/door/search", &one, 200, NULL);
        expect_photo("/v1/collections/door/search?liveness=require", &one, 422, "spoof");
    }
    expect_verify("off", 200, NULL, NULL);
    expect_verify("require", 422, "spoof", "image1");
    expect_verify("image1", 422, "spoof", "image1");
    expect_verify("image2", 422, "spoof", "image2");
    struct answer a = send_photo("/v1/detect?attributes=liveness", &one);
    expect(&a, 200, NULL);
    assert_non_null(strstr(a.body, "\"type\":\"SPOOF\""));
    answer_free(&a);
}

static void of_several_faces_the_live_ones_are_named(void **state)
{
    (void)state;
    restart("25");
    struct answer a =
        send_photo("/v1/collections/door/search?max_faces=3&liveness=require&candidates=true", &sample);
    expect(&a, 200, NULL);
    const struct frt_json_value *faces = frt_json_get(frt_json_root(a.json), "faces");
    assert_int_equal(frt_json_count(faces), 3);
    size_t spoofs = 0;
    for (const struct frt_json_value *f = frt_json_first(faces); f != NULL; f = frt_json_next(f)) {
        const char *type = frt_json_text(frt_json_get(frt_json_get(f, "liveness"), "type"));
        const size_t matches = frt_json_count(frt_json_get(f, "matches"));
        assert_non_null(type);
        if (strcmp(type, "SPOOF") == 0) {
            assert_string_equal(frt_json_text(frt_json_get(f, "decision")), "unknown");
            assert_int_equal(matches, 0);
            spoofs++;
        } else {
            assert_int_equal(matches, 2); /* candidates: both people */
        }
    }
    assert_int_equal(spoofs, 1);
    answer_free(&a);
    /* the largest alone is the spoof */
    expect_photo("/v1/collections/door/search?liveness=require", &sample, 422, "spoof");
    a = send_photo("/v1/collections/door/search?max_faces=3", &sample);
    expect(&a, 200, NULL);
    assert_non_null(strstr(a.body, "\"subject\":\"Ann\""));
    answer_free(&a);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    expect_verify("maybe", 400, "bad_request", "off, require, image1, image2");
    expect_photo("/v1/collections/door/search?liveness=yes", &one, 400, "bad_request");
    static const char by_embedding[] = "{\"embedding\":[1,0],\"liveness\":\"require\"}";
    struct answer a = request(service.port, "POST", "/v1/collections/door/search", "application/json",
                              by_embedding, sizeof by_embedding - 1);
    expect(&a, 400, "bad_request");
    assert_non_null(strstr(a.body, "has no face to look at"));
    answer_free(&a);
    a = verify(NULL, "[1,0]", &other, "require");
    expect(&a, 400, "bad_request");
    assert_non_null(strstr(a.body, "has no face to look at"));
    answer_free(&a);
    static const char json[] = "{\"image1\":\"x\",\"image2\":\"x\",\"liveness\":5}";
    a = request(service.port, "POST", "/v1/verify", "application/json", json, sizeof json - 1);
    expect(&a, 400, "bad_request");
    assert_non_null(strstr(a.body, "'liveness' must be one of"));
    answer_free(&a);
}

static struct photo whole_sample(void)
{
    struct photo photo = {0};
    FILE *f = fopen(SAMPLE, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0)
        abort();
    photo.size = (size_t)ftell(f);
    photo.data = malloc(photo.size);
    rewind(f);
    if (photo.data == NULL || fread(photo.data, 1, photo.size, f) != photo.size)
        abort();
    (void)fclose(f);
    return photo;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_faces_pass),
        cmocka_unit_test(spoofs_do_not),
        cmocka_unit_test(of_several_faces_the_live_ones_are_named),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    program = argv[1];
    one = photo_of(1);
    other = photo_of(2);
    sample = whole_sample();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int code = service.pid != 0 ? service_stop(&service, SIGTERM) : 0;
    free(one.data);
    free(other.data);
    free(sample.data);
    return failed != 0 || code != 0;
}

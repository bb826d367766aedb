/*
 * The timeline of a request (X-FRT-Trace), Server-Timing, X-Process-Time on whatever is answered, and `frt
 * trace` against the service, also where credentials are asked for.
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

static const char *program;
static struct service service;
static struct photo one, other;

static const char trace[] = "X-FRT-Trace: 1\r\n";

static struct answer traced(const char *target, const struct photo *photo)
{
    return request_with(service.port, "POST", target, trace, "image/jpeg", photo->data, photo->size);
}

static const struct frt_json_value *trace_of(const struct answer *a)
{
    const struct frt_json_value *t = frt_json_get(frt_json_root(a->json), "trace");
    assert_true(frt_json_is_array(t));
    return t;
}

/* The first step of a name; NULL when there is none. */
static const struct frt_json_value *step(const struct answer *a, const char *name)
{
    for (const struct frt_json_value *s = frt_json_first(trace_of(a)); s != NULL; s = frt_json_next(s))
        if (strcmp(frt_json_text(frt_json_get(s, "name")), name) == 0)
            return s;
    return NULL;
}

static double number(const struct frt_json_value *value, const char *key)
{
    const struct frt_json_value *v = frt_json_get(value, key);
    assert_true(frt_json_is_number(v));
    return frt_json_double(v, -1);
}

/* In the order of beginning, each within the one it lies in, none longer than the whole. */
static void makes_sense(const struct answer *a)
{
    double ends[64] = {0}, before = 0;
    const double all_ms = 1000 * strtod(answer_header(a, "X-Process-Time"), NULL);
    for (const struct frt_json_value *s = frt_json_first(trace_of(a)); s != NULL; s = frt_json_next(s)) {
        const double start = number(s, "start_ms"), ms = number(s, "ms"), depth = number(s, "depth");
        assert_true(depth >= 0 && depth < 64);
        assert_true(start >= before && start + ms <= all_ms + 0.01);
        if (depth > 0)
            assert_true(start + ms <= ends[(int)depth - 1] + 0.01);
        ends[(int)depth] = start + ms;
        before = start;
        const struct frt_json_value *wait = frt_json_get(s, "wait");
        assert_true(wait == NULL || frt_json_truth(wait, false));
    }
}

static void a_photo_and_the_same_again(void **state)
{
    (void)state;
    struct answer a = traced("/v1/embed", &one);
    expect(&a, 200, NULL);
    makes_sense(&a);
    static const char *const steps[] = {"hash",      "embedding-cache", "image-cache", "decode", "detect",
                                        "inference", "align",           "embed",       "write"};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (step(&a, steps[i]) == NULL)
            fail_msg("no step %s in %s", steps[i], a.body);
        assert_non_null(strstr(answer_header(&a, "Server-Timing"), steps[i]));
    }
    assert_string_equal(frt_json_text(frt_json_get(step(&a, "embedding-cache"), "note")), "miss");
    assert_true(number(step(&a, "inference"), "depth") > number(step(&a, "detect"), "depth"));
    assert_non_null(strstr(answer_header(&a, "Server-Timing"), "embedding-cache;desc=\"miss\";dur="));
    answer_free(&a);
    a = traced("/v1/embed", &one);
    expect(&a, 200, NULL);
    makes_sense(&a);
    assert_string_equal(frt_json_text(frt_json_get(step(&a, "embedding-cache"), "note")), "hit");
    assert_null(step(&a, "decode"));
    assert_null(step(&a, "inference"));
    answer_free(&a);
}

/* A search at first opens the index, and reads the store. */
static void a_search(void **state)
{
    (void)state;
    struct answer a = request(service.port, "PUT", "/v1/collections/people", NULL, NULL, 0);
    expect(&a, 201, NULL);
    answer_free(&a);
    a = request(service.port, "POST", "/v1/collections/people/faces?subject=Anna", "image/jpeg", one.data,
                one.size);
    expect(&a, 201, NULL);
    answer_free(&a);
    a = traced("/v1/collections/people/search", &other);
    expect(&a, 200, NULL);
    makes_sense(&a);
    static const char *const steps[] = {"store-read", "index", "search", "write"};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (step(&a, steps[i]) == NULL)
            fail_msg("no step %s in %s", steps[i], a.body);
    answer_free(&a);
    a = traced("/v1/collections/people/search", &other); /* what memory has is answered without a worker */
    expect(&a, 200, NULL);
    makes_sense(&a);
    assert_non_null(step(&a, "search"));
    assert_null(step(&a, "inference"));
    answer_free(&a);
}

/* Where nobody asked there is none; where it cannot stand in the body there are at least the sums. */
static void only_for_who_asks(void **state)
{
    (void)state;
    static const char *const others[] = {"X-FRT-Trace: 0\r\n", "X-FRT-Trace: yes\r\n", ""};
    for (size_t i = 0; i < 3; i++) {
        struct answer a =
            request_with(service.port, "POST", "/v1/detect", others[i], "image/jpeg", one.data, one.size);
        expect(&a, 200, NULL);
        assert_null(frt_json_get(frt_json_root(a.json), "trace"));
        assert_string_equal(answer_header(&a, "Server-Timing"), "");
        answer_free(&a);
    }
    struct answer a = request_with(service.port, "POST", "/v1/detect", trace, "image/jpeg", "no image", 8);
    expect(&a, 415, "unsupported_image");
    makes_sense(&a);
    answer_free(&a);
    a = request_with(service.port, "GET", "/metrics?format=prometheus", trace, NULL, NULL, 0);
    assert_int_equal(a.status, 200);
    assert_null(strstr(a.body, "\"trace\""));
    assert_non_null(strstr(answer_header(&a, "Server-Timing"), "store-read;dur="));
    answer_free(&a);
    a = request_with(service.port, "GET", "/v1/collections/people/export", trace, NULL, NULL, 0);
    assert_int_equal(a.status, 200);
    assert_null(strstr(a.body, "\"trace\""));
    answer_free(&a);
    a = request_with(service.port, "GET", "/openapi.json", trace, NULL, NULL, 0);
    assert_int_equal(a.status, 200);
    assert_null(frt_json_get(frt_json_root(a.json), "trace"));
    answer_free(&a);
    a = request_with(service.port, "POST", "/verify", trace, "application/json", "{}", 2);
    assert_int_equal(a.status, 400); /* the older surface's envelope */
    makes_sense(&a);
    answer_free(&a);
}

/* A request that is traced leaves nothing in the next one's. */
static void requests_do_not_mix(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct answer a = traced("/v1/detect", &one);
        expect(&a, 200, NULL);
        assert_int_equal(frt_json_count(trace_of(&a)) < 20, 1);
        makes_sense(&a);
        answer_free(&a);
        a = request_with(service.port, "GET", "/healthz", i % 2 == 0 ? trace : "", NULL, NULL, 0);
        expect(&a, 200, NULL);
        answer_free(&a);
    }
}

static void process_time_on_every_answer(void **state)
{
    (void)state;
    static const struct {
        const char *method, *target, *headers, *type;
        int status;
    } cases[] = {{"GET", "/healthz", "", NULL, 200},
                 {"GET", "/", "", NULL, 200},
                 {"HEAD", "/version", "", NULL, 200},
                 {"OPTIONS", "/v1/detect", "", NULL, 204},
                 {"GET", "/metrics", "", NULL, 200},
                 {"GET", "/nowhere", "", NULL, 404},
                 {"GET", "/%zz", "", NULL, 400},
                 {"DELETE", "/v1/detect", "", NULL, 405},
                 {"POST", "/v1/detect", "", "image/jpeg", 400},
                 {"POST", "/v1/detect", "", "text/css", 400},
                 {"POST", "/v1/detect", "Origin: http://evil.example\r\n", "image/jpeg", 403},
                 {"GET", "/v1/collections/nobody", "", NULL, 404},
                 {"GET", "/v1/collections/people/export", "", NULL, 200},
                 {"GET", "/v1/collections/nobody/export", "", NULL, 404},
                 {"POST", "/v1/collections/people/import", "", "application/x-ndjson", 200},
                 {"POST", "/v1/collections/people/rebuild", "", NULL, 202},
                 {"GET", "/ping", "", NULL, 200},
                 {"POST", "/find", "", "application/json", 400}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = request_with(service.port, cases[i].method, cases[i].target, cases[i].headers,
                                       cases[i].type, NULL, 0);
        const char *text = answer_header(&a, "X-Process-Time");
        char *end = NULL;
        const double seconds = strtod(text, &end);
        if (a.status != cases[i].status || text[0] == '\0' || *end != '\0' || !(seconds >= 0 && seconds < 60))
            fail_msg("%s %s: status %d instead of %d, X-Process-Time '%s'", cases[i].method, cases[i].target,
                     a.status, cases[i].status, text);
        answer_free(&a);
    }
    /* told before the body: too large */
    int fd = client_connect(service.port);
    (void)client_send_text(fd, "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
                               "Content-Length: 999999999\r\n\r\n");
    struct answer a = client_read(fd, false);
    expect(&a, 413, "body_too_large");
    assert_true(strlen(answer_header(&a, "X-Process-Time")) > 0);
    answer_free(&a);
    (void)close(fd);
}

/* ------------------------------------------------------------------ frt trace */

/* Its standard output, and its exit status. free() */
static char *run_trace(const char *arguments, int *code)
{
    char command[600], photo[100];
    char *text = calloc(1, 1 << 20);
    size_t n = 0;
    (void)snprintf(photo, sizeof photo, "%s/photo.jpg", service.folder);
    FILE *file = fopen(photo, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(one.data, 1, one.size, file), one.size);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(command, sizeof command, "LC_ALL=C.UTF-8 '%s' trace --url http://127.0.0.1:%d %s %s 2>&1",
                   program, service.port, arguments, photo);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(text);
    while (n < (1 << 20) - 1 && !feof(pipe))
        n += fread(text + n, 1, (1 << 20) - 1 - n, pipe);
    const int status = pclose(pipe);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return text;
}

static void drawn_by_the_program(void **state)
{
    (void)state;
    int code = -1;
    char svg[200], *text = run_trace("--collection people", &code);
    assert_int_equal(code, 0);
    assert_non_null(strstr(text, " in people at http://127.0.0.1:"));
    assert_true(strstr(text, "\nsearch ") != NULL || strstr(text, "\n  search ") != NULL);
    assert_non_null(strstr(text, "\nwaits "));
    free(text);
    (void)snprintf(svg, sizeof svg, "--json --svg %s/trace.svg", service.folder);
    text = run_trace(svg, &code);
    assert_int_equal(code, 0);
    struct frt_json *json = NULL;
    assert_int_equal(frt_json_parse(text, strlen(text), &json, NULL), FRT_OK);
    assert_true(frt_json_count(frt_json_get(frt_json_root(json), "trace")) > 2);
    assert_true(frt_json_is_null(frt_json_get(frt_json_root(json), "collection")));
    frt_json_free(json);
    free(text);
    text = run_trace(svg, &code); /* the file stands already */
    assert_int_equal(code, 1);
    free(text);
    text = run_trace("--collection nobody", &code);
    assert_int_equal(code, 3);
    assert_non_null(strstr(text, "404"));
    free(text);
}

/* Where there are credentials a key opens the door, and a reader may ask. */
static void with_a_key(void **state)
{
    (void)state;
    static const char wanted[] = "{\"name\":\"for traces\",\"role\":\"reader\"}";
    int code = -1;
    char path[120], argument[200];
    struct answer a = request(service.port, "POST", "/v1/keys", "application/json", wanted, sizeof wanted - 1);
    expect(&a, 201, NULL);
    (void)snprintf(path, sizeof path, "%s/key", service.folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "%s\n", frt_json_text(frt_json_get(frt_json_root(a.json), "key")));
    (void)fclose(file);
    answer_free(&a);
    char *text = run_trace("", &code);
    assert_int_not_equal(code, 0);
    assert_non_null(strstr(text, "401"));
    free(text);
    (void)snprintf(argument, sizeof argument, "--key-file %s --collection people", path);
    text = run_trace(argument, &code);
    assert_int_equal(code, 0);
    assert_non_null(strstr(text, "\nwaits "));
    free(text);
    a = traced("/v1/embed", &one); /* no key: no timeline of anything but the refusal */
    expect(&a, 401, "unauthorized");
    assert_true(strlen(answer_header(&a, "X-Process-Time")) > 0);
    assert_null(frt_json_get(frt_json_root(a.json), "trace"));
    answer_free(&a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_photo_and_the_same_again),
        cmocka_unit_test(a_search),
        cmocka_unit_test(only_for_who_asks),
        cmocka_unit_test(requests_do_not_mix),
        cmocka_unit_test(process_time_on_every_answer),
        cmocka_unit_test(drawn_by_the_program),
        cmocka_unit_test(with_a_key),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    program = argv[1];
    one = photo_of(1);
    other = photo_of(2);
    service_start(&service, program, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int code = service_stop(&service, SIGTERM);
    free(one.data);
    free(other.data);
    return failed != 0 || code != 0;
}

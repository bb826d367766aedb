/*
 * Import and export: bodies larger than any limit, cut in the middle, slow, wrong or never ending. Small
 * limits, so that reaching them costs little: a body may have 64 KiB, a request 2 s.
 */
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/clock.h"
#include "http_client.h"
#include "http_photos.h"

static const char *const options[] = {"--max-body-bytes", "64KiB", "--request-timeout-ms", "2s", NULL};
enum { TIMEOUT_MS = 2000, MANY = 6000, PADDING = 1500, LINE_LIMIT = 256 * 1024 };

/* Sanitizers keep what was freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static struct service service;
static unsigned dim;

static const struct frt_json_value *root_of(const struct answer *a)
{
    return frt_json_root(a->json);
}

static int number(const struct frt_json_value *value, const char *key)
{
    const struct frt_json_value *v = frt_json_get(value, key);
    assert_true(frt_json_is_number(v));
    return (int)frt_json_double(v, 0);
}

static struct answer ask(const char *method, const char *target)
{
    return request(service.port, method, target, NULL, NULL, 0);
}

static struct answer import(const char *target, const char *body, size_t size)
{
    return request(service.port, "POST", target, "application/x-ndjson", body, size);
}

static int faces_of(const char *collection)
{
    char target[100];
    (void)snprintf(target, sizeof target, "/v1/collections/%s", collection);
    struct answer a = ask("GET", target);
    expect(&a, 200, NULL);
    int n = number(root_of(&a), "faces");
    answer_free(&a);
    return n;
}

static void make(const char *collection)
{
    char target[100];
    (void)snprintf(target, sizeof target, "/v1/collections/%s", collection);
    struct answer a = ask("PUT", target);
    expect(&a, 201, NULL);
    answer_free(&a);
}

/* A line of a face that no other line resembles. */
static void add_line(struct frt_buf *out, int i)
{
    double norm = 0;
    uint32_t seed = (uint32_t)i * 2654435761U + 1;
    float values[4096];
    for (unsigned k = 0; k < dim; k++) {
        seed = seed * 1664525U + 1013904223U;
        values[k] = (float)(seed >> 16) / 65536.0f - 0.5f;
        norm += (double)values[k] * (double)values[k];
    }
    frt_buf_printf(out, "{\"subject\":\"person %d\",\"face_id\":\"id-%d\",\"embedding\":[", i, i);
    for (unsigned k = 0; k < dim; k++)
        frt_buf_printf(out, "%s%.6f", k == 0 ? "" : ",", (double)values[k] / sqrt(norm));
    frt_buf_printf(out, "],\"metadata\":{\"n\":\"%0*d\"}}\n", PADDING, i); /* more than sockets hold */
}

static struct frt_buf lines(int from, int n)
{
    struct frt_buf out;
    frt_buf_init(&out, (size_t)1 << 30);
    for (int i = 0; i < n; i++)
        add_line(&out, from + i);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    return out;
}

static long rss_kib(void)
{
    char path[64], line[200];
    long kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)service.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    (void)fclose(file);
    return kib;
}

static void larger_than_any_body(void **state)
{
    (void)state;
    struct frt_buf body = lines(0, MANY);
    make("large");
    struct answer a = import("/v1/collections/large/import", body.data, body.size);
    expect(&a, 200, NULL);
    assert_int_equal(number(root_of(&a), "imported"), MANY);
    assert_int_equal(number(root_of(&a), "lines"), MANY);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "rejected")), 0);
    answer_free(&a);
    assert_int_equal(faces_of("large"), MANY);
    /* again, in chunks of odd sizes: all stand already, the first thousand are named */
    int fd = client_connect(service.port);
    char text[100];
    (void)client_send_text(fd, "POST /v1/collections/large/import HTTP/1.1\r\nHost: localhost\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0, n = 1; at < body.size; at += n) {
        n = body.size - at < 12345 + at % 7777 ? body.size - at : 12345 + at % 7777;
        (void)snprintf(text, sizeof text, "%zx\r\n", n);
        (void)client_send_text(fd, text);
        (void)client_send(fd, body.data + at, n);
        (void)client_send_text(fd, "\r\n");
    }
    (void)client_send_text(fd, "0\r\n\r\n");
    a = client_read(fd, false);
    expect(&a, 200, NULL);
    assert_int_equal(number(root_of(&a), "imported"), 0);
    assert_int_equal(frt_json_count(frt_json_get(root_of(&a), "rejected")), 1000);
    assert_int_equal(number(root_of(&a), "rejected_total"), MANY);
    answer_free(&a);
    /* and the connection goes on */
    (void)client_send_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    a = client_read(fd, false);
    expect(&a, 200, NULL);
    answer_free(&a);
    (void)close(fd);
    frt_buf_deinit(&body);
}

/* What went in comes out, and goes in elsewhere; memory does not grow with it. */
static void export_and_back(void **state)
{
    (void)state;
    long before = 0;
    struct answer a = ask("GET", "/v1/collections/large/export");
    expect(&a, 200, NULL);
    assert_false(a.cut);
    assert_string_equal(answer_header(&a, "Content-Type"), "application/x-ndjson");
    int n = 0;
    for (const char *p = a.body; (p = strchr(p, '\n')) != NULL; p++)
        n++;
    assert_int_equal(n, MANY);
    for (int round = 0; round < 4; round++) {
        make("twin");
        struct answer b = import("/v1/collections/twin/import", a.body, a.size);
        expect(&b, 200, NULL);
        assert_int_equal(number(root_of(&b), "imported"), MANY);
        answer_free(&b);
        b = ask("GET", "/v1/collections/twin/export");
        expect(&b, 200, NULL);
        assert_false(b.cut);
        const char *first = strstr(a.body, "\"embedding\""), *again = strstr(b.body, "\"embedding\"");
        assert_true(first != NULL && again != NULL);
        assert_memory_equal(first, again, dim); /* not a bit is lost on the way */
        answer_free(&b);
        b = ask("DELETE", "/v1/collections/twin");
        expect(&b, 200, NULL);
        answer_free(&b);
        if (round == 0)
            before = rss_kib(); /* caches and heaps have their size */
    }
    if (!SANITIZED) /* three imports and exports later */
        assert_true(rss_kib() - before < (long)(a.size / 1024));
    answer_free(&a);
    a = ask("GET", "/v1/collections/nobody/export");
    expect(&a, 404, "collection_not_found");
    answer_free(&a);
    a = ask("GET", "/v1/collections/large/export?limit=3");
    expect(&a, 400, "bad_request");
    answer_free(&a);
    a = request(service.port, "HEAD", "/v1/collections/large/export", NULL, NULL, 0);
    expect(&a, 200, NULL);
    answer_free(&a);
    int fd = client_connect(service.port); /* HTTP/1.0 could not tell a cut answer from a whole one */
    (void)client_send_text(fd, "GET /v1/collections/large/export HTTP/1.0\r\nHost: localhost\r\n\r\n");
    a = client_read(fd, false);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    (void)close(fd);
}

static void lines_that_are_wrong(void **state)
{
    (void)state;
    struct frt_buf body = lines(0, 1);
    char *long_line = malloc(LINE_LIMIT + 1000);
    assert_non_null(long_line);
    memset(long_line, 'x', LINE_LIMIT + 999);
    long_line[LINE_LIMIT + 999] = '\0';
    make("wrong");
    static const char *const bad[] = {"{}",
                                      "no json",
                                      "[]",
                                      "{\"subject\":\"a\"}",
                                      "{\"subject\":\"a\",\"embedding\":[1,2]}",
                                      "{\"subject\":\"a\",\"embedding\":\"AAAA\"}",
                                      "{\"subject\":\"\",\"embedding\":[1]}",
                                      "{\"subject\":5,\"embedding\":[1]}",
                                      "\xff\xfe",
                                      "{\"subject\":\"a\\u0000b\",\"embedding\":[1]}"};
    enum { BAD = sizeof bad / sizeof *bad };
    for (size_t i = 0; i < BAD; i++)
        frt_buf_printf(&body, "%s\n", bad[i]);
    frt_buf_printf(&body, "%s\n", long_line); /* refused as one line, and the next is read again */
    add_line(&body, 1);
    body.size--; /* the last line without its end */
    struct answer a = import("/v1/collections/wrong/import", body.data, body.size);
    expect(&a, 200, NULL);
    assert_int_equal(number(root_of(&a), "imported"), 2);
    const struct frt_json_value *rejected = frt_json_get(root_of(&a), "rejected");
    assert_int_equal(frt_json_count(rejected), BAD + 1);
    int line = 2;
    for (const struct frt_json_value *r = frt_json_first(rejected); r != NULL; r = frt_json_next(r), line++) {
        assert_int_equal(number(r, "line"), line);
        assert_true(strlen(frt_json_text(frt_json_get(r, "code"))) > 0);
        assert_null(strstr(frt_json_text(frt_json_get(r, "detail")), "xxxxxxxxxxxxxxxx"));
    }
    answer_free(&a);
    assert_int_equal(faces_of("wrong"), 2);
    /* nothing at all, and what is no NDJSON */
    a = import("/v1/collections/wrong/import", "", 0);
    expect(&a, 200, NULL);
    assert_int_equal(number(root_of(&a), "imported"), 0);
    answer_free(&a);
    a = request(service.port, "POST", "/v1/collections/wrong/import", "image/jpeg", "x", 1);
    expect(&a, 415, "unsupported_media_type");
    answer_free(&a);
    a = import("/v1/collections/wrong/import?dim=x", body.data, body.size);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    a = import("/v1/collections/wrong/import?model=other%201", body.data, body.size);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    static const char another[] = "{\"subject\":\"a\",\"embedding\":[1,0,0]}";
    a = import("/v1/collections/wrong/import?model=other%201&dim=3", another, sizeof another - 1);
    assert_true(a.status == 409 || number(root_of(&a), "imported") == 0); /* another model's */
    answer_free(&a);
    a = import("/v1/collections/nobody/import", body.data, body.size);
    expect(&a, 404, "collection_not_found");
    answer_free(&a);
    assert_int_equal(faces_of("wrong"), 2);
    free(long_line);
    frt_buf_deinit(&body);
}

/* The client goes in the middle of a line: whole batches stay, no half face, and the service goes on. */
static void cut_in_the_middle(void **state)
{
    (void)state;
    struct frt_buf body = lines(0, MANY);
    char head[200];
    make("cut");
    for (int way = 0; way < 3; way++) {
        int fd = client_connect(service.port);
        (void)snprintf(
            head, sizeof head,
            "POST /v1/collections/cut/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
            body.size);
        (void)client_send_text(fd, head);
        (void)client_send(fd, body.data, body.size / 4 * (size_t)(way + 1) - 33);
        if (way == 1) { /* rudely: with a reset */
            const struct linger now = {.l_onoff = 1};
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        (void)close(fd);
    }
    for (int64_t start = frt_now_ns();; (void)poll(NULL, 0, 20)) { /* until nobody is at it any more */
        struct answer a = ask("GET", "/metrics");
        int in_flight = number(frt_json_get(root_of(&a), "requests"), "in_flight");
        answer_free(&a);
        if (in_flight == 1)
            break;
        assert_true(frt_elapsed_ms(start) < WAIT_MS);
    }
    int n = faces_of("cut");
    assert_true(n < MANY);
    struct answer a = ask("GET", "/v1/collections/cut/export");
    expect(&a, 200, NULL);
    int whole = 0;
    for (char *p = a.body, *end; (end = strchr(p, '\n')) != NULL; p = end + 1, whole++) {
        struct frt_json *json = NULL;
        assert_int_equal(frt_json_parse(p, (size_t)(end - p), &json, NULL), FRT_OK);
        const struct frt_json_value *root = frt_json_root(json);
        assert_non_null(frt_json_get(root, "subject"));
        assert_non_null(frt_json_get(root, "embedding"));
        frt_json_free(json);
    }
    assert_int_equal(whole, n);
    answer_free(&a);
    a = import("/v1/collections/cut/import", body.data, body.size); /* the rest can be brought later */
    expect(&a, 200, NULL);
    assert_int_equal(number(root_of(&a), "imported"), MANY - n);
    answer_free(&a);
    frt_buf_deinit(&body);
}

/* Longer than a request's time, as it moves; one that does not move is cut off. */
static void slow_imports(void **state)
{
    (void)state;
    struct frt_buf body = lines(100000, 400);
    char head[200];
    make("slow");
    int fd = client_connect(service.port);
    (void)snprintf(
        head, sizeof head,
        "POST /v1/collections/slow/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
        body.size);
    int64_t start = frt_now_ns();
    (void)client_send_text(fd, head);
    size_t step = body.size / 6 + 1;
    assert_true(step > 65536); /* enough to count as moving */
    for (size_t at = 0; at < body.size; at += step) {
        (void)client_send(fd, body.data + at, body.size - at < step ? body.size - at : step);
        (void)poll(NULL, 0, TIMEOUT_MS / 4);
    }
    assert_true(frt_elapsed_ms(start) > TIMEOUT_MS);
    struct answer a = client_read(fd, false);
    expect(&a, 200, NULL);
    assert_int_equal(number(root_of(&a), "imported"), 400);
    answer_free(&a);
    (void)close(fd);
    fd = client_connect(service.port); /* a byte now and then is no progress */
    (void)client_send_text(fd, head);
    char byte;
    bool ended = false;
    for (start = frt_now_ns(); !ended && frt_elapsed_ms(start) < WAIT_MS;) {
        (void)client_send(fd, "{", 1);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ended = poll(&p, 1, 100) > 0 && recv(fd, &byte, 1, 0) <= 0;
    }
    assert_true(ended);
    (void)close(fd);
    frt_buf_deinit(&body);
}

/* Somebody asks for everything and reads nothing, or leaves: others are served, and the work ends. */
static void export_clients_that_hang(void **state)
{
    (void)state;
    int fds[8];
    const int small = 65536;
    for (int i = 0; i < 8; i++) {
        fds[i] = client_connect(service.port);
        (void)setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        (void)client_send_text(fds[i], "GET /v1/collections/large/export HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    char some[1000];
    for (int i = 0; i < 4; i++) { /* four leave after a bite, four stay and do nothing */
        assert_true(recv(fds[i], some, sizeof some, 0) > 0);
        (void)close(fds[i]);
    }
    struct answer a = ask("GET", "/v1/collections/large/export");
    expect(&a, 200, NULL);
    assert_false(a.cut);
    answer_free(&a);
    for (int64_t start = frt_now_ns();; (void)poll(NULL, 0, 50)) { /* those that stay are cut off in time */
        a = ask("GET", "/metrics");
        int in_flight = number(frt_json_get(root_of(&a), "requests"), "in_flight");
        answer_free(&a);
        if (in_flight == 1)
            break;
        assert_true(frt_elapsed_ms(start) < WAIT_MS);
    }
    for (int i = 4; i < 8; i++)
        (void)close(fds[i]);
}

/* A collection that goes while it is being read: no answer that looks whole. */
static void an_export_that_fails_is_cut(void **state)
{
    (void)state;
    int fd = client_connect(service.port);
    const int small = 65536;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    (void)client_send_text(fd, "GET /v1/collections/large/export HTTP/1.1\r\nHost: localhost\r\n\r\n");
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_PEEK), 1); /* it has begun */
    struct answer a = ask("DELETE", "/v1/collections/large");
    expect(&a, 200, NULL);
    assert_int_equal(number(root_of(&a), "deleted_faces"), MANY);
    answer_free(&a);
    a = client_read(fd, false);
    assert_int_equal(a.status, 200);
    assert_true(a.cut);
    answer_free(&a);
    (void)close(fd);
    free(service_log_with(&service, "answer cut off"));
}

static void *import_one(void *arg)
{
    const struct frt_buf *body = arg;
    struct answer a = import("/v1/collections/many/import", body->data, body->size);
    expect(&a, 200, NULL);
    int n = number(root_of(&a), "imported");
    answer_free(&a);
    return (void *)(intptr_t)n;
}

/* Several at once, and a stop in the middle of some: it ends in time, with what was committed. */
static void many_at_once_and_a_stop(void **state)
{
    enum { CLIENTS = 6, EACH = 1000 };
    struct frt_buf bodies[CLIENTS];
    pthread_t threads[CLIENTS];
    (void)state;
    make("many");
    for (int i = 0; i < CLIENTS; i++) {
        bodies[i] = lines(200000 + i * EACH, EACH);
        assert_int_equal(pthread_create(&threads[i], NULL, import_one, &bodies[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        void *n = NULL;
        (void)pthread_join(threads[i], &n);
        assert_int_equal((intptr_t)n, EACH);
        frt_buf_deinit(&bodies[i]);
    }
    assert_int_equal(faces_of("many"), CLIENTS * EACH);
    struct frt_buf body = lines(300000, 3000);
    char head[200];
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = client_connect(service.port);
        (void)snprintf(
            head, sizeof head,
            "POST /v1/collections/many/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
            body.size);
        (void)client_send_text(fds[i], head);
        (void)client_send(fds[i], body.data, body.size / 2);
    }
    assert_int_equal(service_pause(&service, SIGTERM), 0);
    for (int i = 0; i < 3; i++)
        (void)close(fds[i]);
    frt_buf_deinit(&body);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(larger_than_any_body),
        cmocka_unit_test(export_and_back),
        cmocka_unit_test(lines_that_are_wrong),
        cmocka_unit_test(cut_in_the_middle),
        cmocka_unit_test(slow_imports),
        cmocka_unit_test(export_clients_that_hang),
        cmocka_unit_test(an_export_that_fails_is_cut),
        cmocka_unit_test(many_at_once_and_a_stop),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    (void)signal(SIGPIPE, SIG_IGN);
    service_start(&service, argv[1], options);
    struct photo one = photo_of(1);
    struct answer a = request(service.port, "POST", "/v1/embed", "image/jpeg", one.data, one.size);
    dim = a.status == 200 ? (unsigned)number(frt_json_get(root_of(&a), "model"), "dim") : 0;
    answer_free(&a);
    free(one.data);
    int failed = dim == 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
    (void)service_stop(&service, service_is_alive(&service) ? SIGKILL : 0);
    return failed;
}

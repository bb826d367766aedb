/*
 * Clients that are slow, rude, broken or many. After each case the service must still be alive and well;
 * at the end it must stop cleanly (under a sanitizer: without a leak).
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "http_client.h"
#include "http_photos.h"

/* Small limits, so that reaching them costs little. */
/* No photo is remembered: sixty with one photo are sixty times the work. */
static const char *const options[] = {
    "--max-body-bytes", "1MiB", "--request-timeout-ms", "3s", "--queue",           "4", "--workers", "1",
    "--connections",    "300",  "--image-cache",        "0",  "--embedding-cache", "0", NULL};
enum { TIMEOUT_MS = 3000, BODY_LIMIT = 1 << 20 };

static struct service service;
static struct photo one;

static int is_well(void **state)
{
    (void)state;
    assert_true(service_is_alive(&service));
    struct answer a = get(service.port, "/healthz");
    expect(&a, 200, NULL);
    answer_free(&a);
    return 0;
}

/* The peer ends the connection within the time; what it says before goes to nowhere. */
static void expect_end(int fd, int within_ms)
{
    char bytes[4096];
    for (int64_t start = frt_now_ns(); frt_elapsed_ms(start) < within_ms;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 100) > 0 && recv(fd, bytes, sizeof bytes, 0) <= 0) {
            (void)close(fd);
            return;
        }
    }
    fail_msg("the connection is still open after %d ms", within_ms);
}

static void keep_alive_and_pipelining(void **state)
{
    (void)state;
    int fd = client_connect(service.port);
    for (int i = 0; i < 50; i++) {
        (void)client_send_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        struct answer a = client_read(fd, false);
        expect(&a, 200, NULL);
        answer_free(&a);
    }
    /* three at once, the one in the middle works */
    char head[200];
    (void)snprintf(
        head, sizeof head,
        "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\nPOST /v1/detect HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: %zu\r\n\r\n",
        one.size);
    (void)client_send_text(fd, head);
    (void)client_send(fd, one.data, one.size);
    (void)client_send_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    static const char *const in_order[] = {"\"frt\"", "\"faces\"", "\"ok\""};
    for (int i = 0; i < 3; i++) {
        struct answer a = client_read(fd, false);
        expect(&a, 200, NULL);
        assert_non_null(strstr(a.body, in_order[i]));
        answer_free(&a);
    }
    (void)close(fd);
}

static void chunked_and_expect(void **state)
{
    (void)state;
    char text[300];
    int fd = client_connect(service.port);
    (void)client_send_text(fd,
                           "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < one.size;) {
        size_t n = one.size - at < 7000 ? one.size - at : 7000;
        (void)snprintf(text, sizeof text, "%zx\r\n", n);
        (void)client_send_text(fd, text);
        (void)client_send(fd, one.data + at, n);
        (void)client_send_text(fd, "\r\n");
        at += n;
    }
    (void)client_send_text(fd, "0\r\n\r\n");
    struct answer a = client_read(fd, false);
    expect(&a, 200, NULL);
    answer_free(&a);
    (void)snprintf(
        text, sizeof text,
        "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
        one.size);
    (void)client_send_text(fd, text);
    char line[64] = "";
    assert_true(recv(fd, line, sizeof line - 1, 0) > 0);
    assert_non_null(strstr(line, "100"));
    (void)client_send(fd, one.data, one.size);
    a = client_read(fd, false);
    expect(&a, 200, NULL);
    answer_free(&a);
    (void)close(fd);
}

static void bodies_that_are_too_large(void **state)
{
    (void)state;
    char text[300];
    char *junk = calloc(1, 2 * BODY_LIMIT);
    assert_non_null(junk);
    /* said in advance: refused before a byte of it is read */
    static const char *const lengths[] = {"1048577", "99999999999", "18446744073709551615"};
    for (size_t i = 0; i < 3; i++) {
        int fd = client_connect(service.port);
        (void)snprintf(text, sizeof text,
                       "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n", lengths[i]);
        (void)client_send_text(fd, text);
        struct answer a = client_read(fd, false);
        if (i < 2)
            expect(&a, 413, "body_too_large");
        else
            assert_true(a.status == 413 || a.status == 400); /* past 64 bits: the HTTP library's own answer */
        answer_free(&a);
        expect_end(fd, TIMEOUT_MS);
    }
    /* sent on anyway: the answer arrives all the same */
    int fd = client_connect(service.port);
    (void)client_send_text(fd,
                           "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2097152\r\n\r\n");
    (void)client_send(fd, junk, 100000);
    struct answer a = client_read(fd, false);
    expect(&a, 413, "body_too_large");
    answer_free(&a);
    (void)close(fd);
    /* not said in advance */
    fd = client_connect(service.port);
    (void)client_send_text(fd,
                           "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 24; i++) {
        (void)client_send_text(fd, "10000\r\n");
        (void)client_send(fd, junk, 65536);
        (void)client_send_text(fd, "\r\n");
    }
    (void)client_send_text(fd, "0\r\n\r\n");
    a = client_read(fd, false);
    expect(&a, 413, "body_too_large");
    answer_free(&a);
    (void)close(fd);
    free(junk);
}

static void heads_that_are_too_large(void **state)
{
    (void)state;
    char *head = malloc(200000);
    assert_non_null(head);
    int n = sprintf(head, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ");
    memset(head + n, 'a', 150000);
    (void)strcpy(head + n + 150000, "\r\n\r\n");
    int fd = client_connect(service.port);
    (void)client_send_text(fd, head);
    struct answer a = {.head = NULL};
    char line[64] = "";
    ssize_t got = recv(fd, line, sizeof line - 1, 0);
    if (got > 0) /* the HTTP library answers by itself, or just hangs up */
        assert_non_null(strstr(line, " 4"));
    answer_free(&a);
    (void)close(fd);
    n = sprintf(head, "GET /");
    memset(head + n, 'a', 20000);
    (void)strcpy(head + n + 20000, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    fd = client_connect(service.port);
    (void)client_send_text(fd, head);
    got = recv(fd, line, sizeof line - 1, 0);
    assert_true(got <= 0 || strstr(line, " 4") != NULL);
    (void)close(fd);
    /* too many parameters */
    n = sprintf(head, "/v1/detect?");
    for (int i = 0; i < 50; i++)
        n += sprintf(head + n, "a%d=1&", i);
    a = request(service.port, "POST", head, "image/jpeg", one.data, one.size);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    free(head);
}

static void garbage(void **state)
{
    static const char *const lines[] = {
        "\r\n\r\n\r\n",
        "GARBAGE\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /* TLS */
        "GET /healthz HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
        "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        "\r\nzz\r\n",
        "GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET http://evil/ HTTP/1.1\r\nHost: localhost\r\n\r\n"};
    (void)state;
    uint32_t seed = 3;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        int fd = client_connect(service.port);
        (void)client_send_text(fd, lines[i]);
        (void)shutdown(fd, SHUT_WR);
        expect_end(fd, 2 * TIMEOUT_MS);
        (void)is_well(state);
    }
    for (int i = 0; i < 50; i++) {
        char noise[3000];
        for (size_t k = 0; k < sizeof noise; k++)
            noise[k] = (char)((seed = seed * 1664525U + 1013904223U) >> 24);
        int fd = client_connect(service.port);
        (void)client_send(fd, noise, sizeof noise);
        (void)close(fd);
    }
}

static void a_request_without_host_is_refused(void **state)
{
    (void)state;
    int fd = client_connect(service.port);
    (void)client_send_text(fd, "GET /healthz HTTP/1.0\r\n\r\n");
    struct answer a = client_read(fd, false);
    assert_int_equal(a.status, 403);
    answer_free(&a);
    (void)close(fd);
}

static void slow_clients_are_cut_off(void **state)
{
    (void)state;
    int idle = client_connect(service.port), slow_head = client_connect(service.port),
        slow_body = client_connect(service.port);
    (void)client_send_text(slow_head, "GET /healthz HT");
    (void)client_send_text(slow_body,
                           "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\nab");
    for (int i = 0; i < 4; i++) { /* a byte now and then does not help */
        (void)poll(NULL, 0, 500);
        (void)client_send_text(slow_head, "T");
        (void)client_send_text(slow_body, "c");
    }
    expect_end(slow_body, 2 * TIMEOUT_MS);
    expect_end(slow_head, 2 * TIMEOUT_MS);
    expect_end(idle, 2 * TIMEOUT_MS);
}

static void clients_that_hang_up(void **state)
{
    (void)state;
    char head[200];
    (void)snprintf(head, sizeof head,
                   "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", one.size);
    for (size_t i = 0; i < 40; i++) { /* amid the head, amid the body, before the answer */
        int fd = client_connect(service.port);
        size_t sent = client_send(fd, head, i % 4 == 0 ? 20 : strlen(head));
        if (i % 4 > 0 && sent > 0)
            (void)client_send(fd, one.data, i % 4 == 1 ? one.size / 2 : one.size);
        if (i % 4 == 3) {
            const struct linger reset = {.l_onoff = 1};
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        }
        (void)close(fd);
    }
    for (int64_t start = frt_now_ns();; (void)poll(NULL, 0, 20)) { /* all of it is over soon */
        struct answer a = get(service.port, "/metrics");
        expect(&a, 200, NULL);
        double in_flight =
            frt_json_double(frt_json_get(frt_json_get(frt_json_root(a.json), "requests"), "in_flight"), 99);
        answer_free(&a);
        if (in_flight <= 1)
            break;
        assert_true(frt_elapsed_ms(start) < 2 * TIMEOUT_MS);
    }
}

struct tally {
    atomic_int ok, busy, other;
};

static void *ask(void *arg)
{
    struct tally *tally = arg;
    struct answer a = request(service.port, "POST", "/v1/detect", "image/jpeg", one.data, one.size);
    if (a.status == 200) {
        (void)atomic_fetch_add(&tally->ok, 1);
    } else if (((a.status == 429 || a.status == 503) &&
                strtol(answer_header(&a, "Retry-After"), NULL, 10) >= 1) ||
               a.status == 504) {
        (void)atomic_fetch_add(&tally->busy, 1);
    } else {
        (void)atomic_fetch_add(&tally->other, 1);
    }
    answer_free(&a);
    return NULL;
}

static void more_than_the_queue_holds(void **state)
{
    enum { CLIENTS = 60 };
    (void)state;
    struct tally tally = {0};
    pthread_t threads[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &tally), 0);
    for (int i = 0; i < CLIENTS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(tally.other, 0);
    assert_true(tally.ok >= 4);   /* one at work, and three in the queue: one client's share of it, at least */
    assert_true(tally.busy >= 1); /* sixty at once on one worker do not all fit */
    struct answer a = get(service.port, "/metrics");
    assert_true(frt_json_double(frt_json_get(frt_json_get(frt_json_root(a.json), "requests"), "rejected"), 0) >=
                1);
    answer_free(&a);
}

/* ------------------------------------------------------------------ a mix */

struct mix {
    atomic_bool over;
    atomic_uint turns;
};

static void *be_hostile(void *arg)
{
    static char junk[60000];
    struct mix *mix = arg;
    for (unsigned i = atomic_fetch_add(&mix->turns, 1); !atomic_load(&mix->over);
         i = atomic_fetch_add(&mix->turns, 1)) {
        char head[200];
        int fd = client_try_connect(service.port);
        if (fd < 0)
            continue;
        (void)snprintf(head, sizeof head,
                       "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
                       i % 6 == 0   ? (size_t)4 << 30
                       : i % 6 == 5 ? sizeof junk
                                    : one.size);
        size_t sent = client_send_text(fd, head);
        switch (sent == 0 ? 6 : i % 6) {
        case 0: /* a huge body, or as much of it as is taken */
            for (int k = 0; k < 20 && client_send(fd, junk, sizeof junk) == sizeof junk; k++)
                ;
            break;
        case 1: /* hangs up amid the body */
            (void)client_send(fd, one.data, one.size / 2);
            break;
        case 2: /* hangs up before the answer */
            (void)client_send(fd, one.data, one.size);
            break;
        case 3: /* slow */
            for (size_t k = 0; k < 5 && !atomic_load(&mix->over); k++, (void)poll(NULL, 0, 20))
                (void)client_send(fd, one.data + k, 1);
            break;
        case 4: /* a burst on one connection */
            for (int k = 0; k < 8; k++) {
                (void)client_send(fd, one.data, one.size);
                (void)client_send_text(fd, head);
            }
            break;
        case 5: /* no photo */
            (void)client_send(fd, junk, sizeof junk);
            break;
        default:
            break;
        }
        (void)close(fd);
    }
    return NULL;
}

static void honest_clients_amid_hostile_ones(void **state)
{
    enum { HOSTILE = 6, HONEST = 12 };
    (void)state;
    struct mix mix = {0};
    pthread_t threads[HOSTILE];
    for (int i = 0; i < HOSTILE; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, be_hostile, &mix), 0);
    for (int i = 0; i < HONEST; i++) {
        struct answer a = get(service.port, "/healthz"); /* from memory: always at once */
        expect(&a, 200, NULL);
        answer_free(&a);
        for (int64_t start = frt_now_ns();; (void)poll(NULL, 0, 50)) { /* refused politely, then answered */
            a = request(service.port, "POST", "/v1/detect", "image/jpeg", one.data, one.size);
            const int status = a.status;
            if (status == 200)
                assert_int_equal(frt_json_count(frt_json_get(frt_json_root(a.json), "faces")), 1);
            else if (status == 429 || status == 503)
                assert_true(strtol(answer_header(&a, "Retry-After"), NULL, 10) >= 1);
            else
                assert_int_equal(status, 504);
            answer_free(&a);
            if (status == 200)
                break;
            assert_true(frt_elapsed_ms(start) < WAIT_MS);
        }
    }
    atomic_store(&mix.over, true);
    for (int i = 0; i < HOSTILE; i++)
        (void)pthread_join(threads[i], NULL);
    for (int64_t start = frt_now_ns();; (void)poll(NULL, 0, 50)) { /* nothing of it stays behind */
        struct answer a = get(service.port, "/metrics");
        const struct frt_json_value *root = frt_json_root(a.json);
        const double in_flight = frt_json_double(frt_json_get(frt_json_get(root, "requests"), "in_flight"), 99);
        answer_free(&a);
        if (in_flight <= 1)
            break;
        assert_true(frt_elapsed_ms(start) < 2 * TIMEOUT_MS);
    }
}

/* More come at once than may, again and again: whichever thread of the service a connection falls to
 * afterwards, it is answered. (A thread that takes more than its share of the library's limit would stand still
 * for good.) */
static void more_connections_than_allowed(void **state)
{
    enum { MANY = 400, ROUNDS = 8, AFTERWARDS = 16 };
    static int fds[MANY];
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < MANY; i++)
            fds[i] = client_connect(service.port); /* the kernel takes them; the service may hang up */
        for (int i = 0; i < MANY; i++)
            (void)close(fds[i]);
    }
    int open[AFTERWARDS]; /* at the same time: each thread has some of them */
    const char *text = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (int i = 0; i < AFTERWARDS; i++) {
        open[i] = client_connect(service.port);
        (void)client_send_text(open[i], text);
    }
    for (int i = 0; i < AFTERWARDS; i++) {
        char byte;
        struct pollfd one_fd = {.fd = open[i], .events = POLLIN};
        assert_int_equal(poll(&one_fd, 1, 3 * TIMEOUT_MS), 1);
        assert_int_equal(recv(open[i], &byte, 1, 0), 1);
        (void)close(open[i]);
    }
}

static void deep_json(void **state)
{
    (void)state;
    char *deep = malloc(500001);
    assert_non_null(deep);
    memset(deep, '[', 500000);
    deep[500000] = '\0';
    struct answer a = request(service.port, "POST", "/v1/detect", "application/json", deep, 500000);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    for (size_t i = 0; i < 500000; i++)
        deep[i] = i == 0 ? '[' : i % 2 == 1 ? '1' : ',';
    deep[499999] = ']';
    a = request(service.port, "POST", "/v1/detect", "application/json", deep, 500000);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    a = request(service.port, "POST", "/v1/detect", "application/json", "{\"image\":\"a\\u0000b\"}", 20);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    a = request(service.port, "POST", "/v1/detect", "application/json", "{\"image\":\"\xff\xfe\"}", 14);
    expect(&a, 400, "bad_request");
    answer_free(&a);
    free(deep);
}

static void broken_multipart(void **state)
{
    static const char *const bodies[] = {
        "--b\r\n\r\n\r\n--b--\r\n",
        "--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nabc",
        "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
        "--c\r\n",
        "--b--\r\n",
        "--b\r\nContent-Disposition: form-data; name=\"../../etc\"\r\n\r\nx\r\n--b--\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct answer a = request(service.port, "POST", "/v1/detect", "multipart/form-data; boundary=b",
                                  bodies[i], strlen(bodies[i]));
        expect(&a, 400, "bad_request");
        answer_free(&a);
    }
    char body[20000];
    int n = 0;
    for (int i = 0; i < 100; i++)
        n += snprintf(body + n, sizeof body - (size_t)n,
                      "--b\r\nContent-Disposition: form-data; name=\"p%d\"\r\n\r\nx\r\n", i);
    n += snprintf(body + n, sizeof body - (size_t)n, "--b--\r\n");
    struct answer a =
        request(service.port, "POST", "/v1/detect", "multipart/form-data; boundary=b", body, (size_t)n);
    expect(&a, 400, "bad_request");
    answer_free(&a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(keep_alive_and_pipelining, is_well),
        cmocka_unit_test_setup(chunked_and_expect, is_well),
        cmocka_unit_test_setup(bodies_that_are_too_large, is_well),
        cmocka_unit_test_setup(heads_that_are_too_large, is_well),
        cmocka_unit_test_setup(garbage, is_well),
        cmocka_unit_test_setup(a_request_without_host_is_refused, is_well),
        cmocka_unit_test_setup(slow_clients_are_cut_off, is_well),
        cmocka_unit_test_setup(clients_that_hang_up, is_well),
        cmocka_unit_test_setup(more_than_the_queue_holds, is_well),
        cmocka_unit_test_setup(honest_clients_amid_hostile_ones, is_well),
        cmocka_unit_test_setup(more_connections_than_allowed, is_well),
        cmocka_unit_test_setup(deep_json, is_well),
        cmocka_unit_test_setup_teardown(broken_multipart, is_well, is_well),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    (void)signal(SIGPIPE, SIG_IGN);
    one = photo_of(1);
    service_start(&service, argv[1], options);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int code = service_stop(&service, SIGTERM);
    if (code != 0)
        (void)fprintf(stderr, "the service ended with %d\n", code);
    free(one.data);
    return failed != 0 || code != 0;
}

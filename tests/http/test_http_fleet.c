/*
 * Two services on one store: what one changes the other has, by number (X-FRT-Seq) and without being asked; and
 * one person is enrolled once, whichever of them is asked.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "http_client.h"
#include "http_photos.h"

enum { DIM = 128, BODY = 4096 };

static const char *program;
static struct service a, b; /* over a's database */
static char model[200];     /* the loaded pack's, as JSON */

/* An embedding, unit, of its own for each number. */
static int embedding_text(uint32_t number, char *out, size_t size)
{
    int n = 0;
    double values[DIM], norm = 0;
    for (uint32_t i = 0; i < DIM; i++) {
        uint32_t z = (number + 1) * 2654435761u + i * 40503u;
        z ^= z >> 15;
        z *= 2246822519u;
        z ^= z >> 13;
        values[i] = (double)(z % 2000) / 1000 - 1;
        norm += values[i] * values[i];
    }
    double root = 1; /* no libm here */
    for (int i = 0; i < 40; i++)
        root = (root + norm / root) / 2;
    for (uint32_t i = 0; i < DIM; i++)
        n += snprintf(out + n, size - (size_t)n, "%s%.9f", i == 0 ? "[" : ",", values[i] / root);
    return n + snprintf(out + n, size - (size_t)n, "]");
}

static struct answer enroll(const struct service *service, uint32_t number, const char *subject,
                            const char *more)
{
    char embedding[BODY / 2], body[BODY];
    (void)embedding_text(number, embedding, sizeof embedding);
    (void)snprintf(body, sizeof body, "{\"subject\":\"%s\",\"embedding\":%s,\"model\":%s%s}", subject,
                   embedding, model, more);
    return request(service->port, "POST", "/v1/collections/staff/faces", "application/json", body,
                   strlen(body));
}

static struct answer search(const struct service *service, uint32_t number, const char *headers)
{
    char embedding[BODY / 2], body[BODY];
    (void)embedding_text(number, embedding, sizeof embedding);
    (void)snprintf(body, sizeof body, "{\"embedding\":%s,\"model\":%s,\"threshold\":0.99}", embedding, model);
    return request_with(service->port, "POST", "/v1/collections/staff/search", headers, "application/json",
                        body, strlen(body));
}

/* Embeddings must be of the loaded model: what is it called? */
static void learn_model(void)
{
    struct photo one = photo_of(1);
    struct answer answer = request(a.port, "POST", "/v1/embed", "image/jpeg", one.data, one.size);
    expect(&answer, 200, NULL);
    const struct frt_json_value *given = frt_json_get(frt_json_root(answer.json), "model");
    (void)snprintf(model, sizeof model, "{\"name\":\"%s\",\"version\":\"%s\"}",
                   frt_json_text(frt_json_get(given, "name")), frt_json_text(frt_json_get(given, "version")));
    assert_int_equal(frt_json_double(frt_json_get(given, "dim"), 0), DIM);
    answer_free(&answer);
    free(one.data);
}

static uint64_t seq_of(const struct answer *answer)
{
    const char *text = answer_header(answer, "X-FRT-Seq");
    assert_true(text[0] != '\0');
    return strtoull(text, NULL, 10);
}

static bool names(const struct answer *answer, const char *subject)
{
    const struct frt_json_value *face = frt_json_first(frt_json_get(frt_json_root(answer->json), "faces"));
    const struct frt_json_value *match = frt_json_first(frt_json_get(face, "matches"));
    const char *found = frt_json_text(frt_json_get(match, "subject"));
    return found != NULL && strcmp(found, subject) == 0;
}

static void put_collection(void)
{
    struct answer answer = request(a.port, "PUT", "/v1/collections/staff", "application/json", "{}", 2);
    assert_true(answer.status == 201 || answer.status == 200);
    (void)seq_of(&answer);
    answer_free(&answer);
}

static void what_one_changes_the_other_has(void **state)
{
    char subject[24], headers[64];
    (void)state;
    learn_model();
    put_collection();
    for (uint32_t i = 0; i < 40; i++) {
        const struct service *one = i % 2 == 0 ? &a : &b, *other = i % 2 == 0 ? &b : &a;
        (void)snprintf(subject, sizeof subject, "p%u", i);
        struct answer answer = enroll(one, i, subject, "");
        expect(&answer, 201, NULL);
        const uint64_t seq = seq_of(&answer);
        answer_free(&answer);
        (void)snprintf(headers, sizeof headers, "X-FRT-Seq: %llu\r\n", (unsigned long long)seq);
        answer = search(other, i, headers);
        expect(&answer, 200, NULL);
        assert_true(names(&answer, subject));
        answer_free(&answer);
    }
    /* a renamed subject, a deleted one */
    static const char rename[] = "{\"subject\":\"q0\"}";
    struct answer answer = request(a.port, "PATCH", "/v1/collections/staff/subjects/p0", "application/json",
                                   rename, sizeof rename - 1);
    expect(&answer, 200, NULL);
    (void)seq_of(&answer);
    answer_free(&answer);
    answer = search(&b, 0, "");
    assert_true(names(&answer, "q0"));
    answer_free(&answer);
    answer = request(b.port, "DELETE", "/v1/collections/staff/subjects/p1", NULL, NULL, 0);
    expect(&answer, 200, NULL);
    (void)seq_of(&answer);
    answer_free(&answer);
    answer = search(&a, 1, "");
    assert_false(names(&answer, "p1"));
    answer_free(&answer);
}

static struct answer ask_with(const char *value)
{
    char headers[120];
    (void)snprintf(headers, sizeof headers, "X-FRT-Seq: %s\r\n", value);
    return request_with(b.port, "GET", "/v1/collections", headers, NULL, NULL, 0);
}

static void numbers_that_are_none(void **state)
{
    static const char *const bad[] = {
        "x", "-1", "1.5", "0x10", "1e3", "99999999999999999999", "9223372036854775808", "1 2", "+1"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct answer answer = ask_with(bad[i]);
        expect(&answer, 400, "bad_request");
        assert_non_null(strstr(answer.body, "X-FRT-Seq"));
        answer_free(&answer);
    }
    struct answer answer = ask_with("0");
    expect(&answer, 200, NULL);
    answer_free(&answer);
}

struct asking {
    char value[32];
    int status;
};

static void *ask_ahead(void *arg)
{
    struct asking *asking = arg;
    struct answer answer = ask_with(asking->value);
    asking->status = answer.status;
    answer_free(&answer);
    return NULL;
}

static void a_request_waits_for_its_number(void **state)
{
    pthread_t threads[8];
    struct asking asking[8];
    char value[32];
    (void)state;
    struct answer answer = enroll(&a, 100, "p100", "");
    expect(&answer, 201, NULL);
    const uint64_t seq = seq_of(&answer);
    answer_free(&answer);
    for (size_t i = 0; i < 8; i++) { /* more than there are workers: they wait on no thread */
        (void)snprintf(asking[i].value, sizeof asking[i].value, "%llu", (unsigned long long)seq + 1);
        assert_int_equal(pthread_create(&threads[i], NULL, ask_ahead, &asking[i]), 0);
    }
    (void)poll(NULL, 0, 100);
    answer = search(&b, 100, "");
    expect(&answer, 200, NULL);
    answer_free(&answer);
    answer = enroll(&a, 101, "p101", ""); /* a's change is what b waits for */
    expect(&answer, 201, NULL);
    assert_true(seq_of(&answer) > seq);
    answer_free(&answer);
    for (size_t i = 0; i < 8; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(asking[i].status, 200);
    }
    (void)snprintf(value, sizeof value, "%llu", (unsigned long long)seq + 1000000);
    answer = ask_with(value); /* b's requests have two seconds */
    expect(&answer, 503, "seq_not_reached");
    assert_string_equal(answer_header(&answer, "Retry-After"), "1");
    answer_free(&answer);
    /* who hangs up while he waits is let go: seen in the log */
    char text[160];
    const int fd = client_connect(b.port);
    (void)snprintf(
        text, sizeof text,
        "GET /v1/collections HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: gone\r\nX-FRT-Seq: %s\r\n\r\n",
        value);
    (void)client_send_text(fd, text);
    (void)poll(NULL, 0, 50);
    (void)close(fd);
    free(service_log_with(&b, "id=gone"));
}

static double gauge_of(const struct service *service, const char *name)
{
    struct answer answer = get(service->port, "/metrics?format=prometheus");
    const char *at = answer.body;
    const size_t n = strlen(name);
    while (at != NULL && (strncmp(at, name, n) != 0 || at[n] != ' ')) {
        at = strchr(at, '\n');
        at = at == NULL ? NULL : at + 1;
    }
    assert_non_null(at);
    const double value = strtod(at + n, NULL);
    answer_free(&answer);
    return value;
}

static void an_index_follows_unasked(void **state)
{
    char subject[24];
    (void)state;
    struct answer answer = search(&b, 100, ""); /* it is in b's memory */
    expect(&answer, 200, NULL);
    answer_free(&answer);
    for (uint32_t i = 200; i < 230; i++) {
        (void)snprintf(subject, sizeof subject, "p%u", i);
        answer = enroll(&a, i, subject, "");
        expect(&answer, 201, NULL);
        answer_free(&answer);
    }
    for (int64_t start = frt_now_ns(); gauge_of(&b, "frt_index_behind_changes") > 0; (void)poll(NULL, 0, 5))
        assert_true(frt_elapsed_ms(start) < WAIT_MS);
    assert_true(gauge_of(&b, "frt_feed_connected") == 1);
    /* a collection that the other one deletes is gone here, and one of the same name is another */
    answer = request(a.port, "DELETE", "/v1/collections/staff", NULL, NULL, 0);
    expect(&answer, 200, NULL);
    answer_free(&answer);
    answer = search(&b, 100, "");
    expect(&answer, 404, "collection_not_found");
    answer_free(&answer);
    put_collection();
    answer = search(&b, 100, "");
    expect(&answer, 200, NULL);
    assert_false(names(&answer, "p100"));
    answer_free(&answer);
}

struct enrolling {
    const struct service *service;
    uint32_t first;
    int taken, refused, other;
};

enum { PEOPLE = 20 };

static void *enroll_people(void *arg)
{
    struct enrolling *e = arg;
    char subject[32];
    for (uint32_t i = 0; i < PEOPLE; i++) {
        (void)snprintf(subject, sizeof subject, "by %d: %u", e->service == &a ? 0 : 1, i);
        struct answer answer = enroll(e->service, e->first + i, subject, ",\"on_duplicate\":\"reject\"");
        e->taken += answer.status == 201;
        e->refused += answer.status == 409;
        e->other += answer.status != 201 && answer.status != 409;
        answer_free(&answer);
    }
    return NULL;
}

/* The same people at both, at the same time: each of them once. */
static void nobody_is_enrolled_twice(void **state)
{
    (void)state;
    static const char settings[] = "{\"threshold\":0.99}";
    struct answer answer = request(a.port, "DELETE", "/v1/collections/staff", NULL, NULL, 0);
    answer_free(&answer);
    answer = request(a.port, "PUT", "/v1/collections/staff", "application/json", settings, sizeof settings - 1);
    expect(&answer, 201, NULL);
    answer_free(&answer);
    struct enrolling both[2] = {{&a, 1000, 0, 0, 0}, {&b, 1000, 0, 0, 0}};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, enroll_people, &both[i]), 0);
    for (size_t i = 0; i < 2; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(both[0].other + both[1].other, 0);
    assert_int_equal(both[0].taken + both[1].taken, PEOPLE);
    assert_int_equal(both[0].refused + both[1].refused, PEOPLE);
}

int main(int argc, char **argv)
{
    static const char *const brief[] = {"--request-timeout-ms", "2s", "--workers", "2", NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_changes_the_other_has), cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(a_request_waits_for_its_number), cmocka_unit_test(an_index_follows_unasked),
        cmocka_unit_test(nobody_is_enrolled_twice),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    program = argv[1];
    service_start(&a, program, NULL);
    service_folder(&b);
    (void)snprintf(b.database, sizeof b.database, "%s", a.database);
    service_start(&b, program, brief);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    const int codes = service_stop(&b, SIGTERM) | service_stop(&a, SIGTERM);
    return failed != 0 || codes != 0;
}

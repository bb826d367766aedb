/*
 * Two instances over one store and one Redis: what one has made is the other's, logins that fail are counted
 * over both, and neither minds what becomes of Redis. Skipped without a Redis server, the pack or the photos.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/redis_server.h"
#include "core/clock.h"
#include "engine/access.h"
#include "http_client.h"
#include "http_photos.h"

enum { TURNS = 1000, CLIENTS = 2, TRIES = 5 };
#define BUDGET "500ms" /* large: a busy machine may stop anybody for a while */
#define SECRET "open-sesame"

static const char *program;
static struct service a, b;
static struct test_redis redis;
static struct photo one, two;

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* A figure of /metrics, member `redis`. */
static double figure(const struct service *service, const char *name)
{
    struct answer m = get(service->port, "/metrics");
    expect(&m, 200, NULL);
    const struct frt_json_value *v = frt_json_get(frt_json_get(frt_json_root(m.json), "redis"), name);
    assert_non_null(v);
    const double value = frt_json_is_number(v) ? frt_json_double(v, -1) : strcmp(frt_json_text(v), "up") == 0;
    answer_free(&m);
    return value;
}

static void await(const struct service *service, const char *name, double value)
{
    for (int i = 0; i < TURNS; i++) {
        if (figure(service, name) == value)
            return;
        nap();
    }
    fail_msg("%s is %g and not %g", name, figure(service, name), value);
}

static struct answer ask(const struct service *service, const char *target, const struct photo *photo)
{
    struct answer x = request(service->port, "POST", target, "image/jpeg", photo->data, photo->size);
    expect(&x, 200, NULL);
    return x;
}

/* What is told of the faces, without the times. */
static char *faces_of(const struct answer *x)
{
    const char *begin = strstr(x->body, "\"faces\""), *end = strstr(x->body, "\"timing_ms\"");
    assert_true(begin != NULL && end > begin);
    char *text = strndup(begin, (size_t)(end - begin));
    assert_non_null(text);
    return text;
}

/* A photo that nobody has seen: another by a few bytes behind its end. free() its data. */
static struct photo unseen(const struct photo *photo)
{
    static uint32_t number;
    struct photo other = *photo;
    other.size += sizeof number;
    other.data = malloc(other.size);
    assert_non_null(other.data);
    memcpy(other.data, photo->data, photo->size);
    number++;
    memcpy(other.data + photo->size, &number, sizeof number);
    return other;
}

/* Asks the first instance for something new, until what it made has come to Redis: when the machine stands
 * still, a value may be dropped. */
static struct answer make_new(const char *target, const struct photo *photo, struct photo *made)
{
    for (int turn = 0; turn < TRIES; turn++) {
        const double stored = figure(&a, "stored");
        *made = unseen(photo);
        struct answer first = ask(&a, target, made);
        assert_string_equal(answer_header(&first, "X-FRT-Cache"), "miss");
        for (int i = 0; i < TURNS && figure(&a, "queued") > 0; i++)
            nap();
        if (figure(&a, "stored") == stored + 1)
            return first;
        answer_free(&first);
        free(made->data);
    }
    fail_msg("nothing is stored");
    return (struct answer){.status = 0};
}

static void expect_same(const struct answer *x, const struct answer *y)
{
    char *here = faces_of(x), *there = faces_of(y);
    assert_string_equal(here, there);
    free(here);
    free(there);
}

/* What the first makes for `target`, the other has for `other_target`; both answer alike. */
static void expect_shared(const char *target, const char *other_target, const struct photo *photo)
{
    bool shared = false;
    for (int turn = 0; turn < TRIES && !shared; turn++) { /* a look-up may be late */
        struct photo made;
        struct answer first = make_new(target, photo, &made), other = ask(&b, other_target, &made);
        shared = strcmp(answer_header(&other, "X-FRT-Cache"), "redis") == 0;
        struct answer here = ask(&a, other_target, &made);
        expect_same(&here, &other);
        struct answer again = ask(&b, other_target, &made);
        assert_true(answer_header(&again, "X-FRT-Cache")[0] != 'r'); /* by now its own */
        answer_free(&first);
        answer_free(&other);
        answer_free(&here);
        answer_free(&again);
        free(made.data);
    }
    assert_true(shared);
}

static void what_one_has_made_the_other_has(void **state)
{
    (void)state;
    const char *const options[] = {"--redis-budget", BUDGET, NULL};
    (void)setenv("FRT_REDIS", redis.url, 1);
    service_start(&a, program, options);
    service_folder(&b);
    memcpy(b.database, a.database, sizeof b.database);
    service_start(&b, program, options);
    await(&a, "state", 1);
    await(&b, "state", 1);
    expect_shared("/v1/embed", "/v1/embed", &one);
    expect_shared("/v1/detect", "/v1/detect", &two);
    expect_shared("/v1/embed", "/v1/detect", &one); /* embeddings have their detections with them */
    assert_int_equal((int)figure(&b, "refused"), 0);
    assert_true(figure(&b, "hit_rate") > 0);
}

static void poison_costs_a_miss_and_nothing_else(void **state)
{
    (void)state;
    char said[256];
    static const char *const script[] = {
        "EVAL",
        "local n = 0 for _, k in ipairs(redis.call('KEYS', 'frt:1:*')) do local v = redis.call('GET', k) "
        "redis.call('SET', k, v:sub(1, 99) .. string.char(bit.bxor(string.byte(v, 100), 4)) .. v:sub(101)) "
        "n = n + 1 end return n",
        "0", NULL};
    bool refused = false;
    for (int turn = 0; turn < TRIES && !refused; turn++) {
        struct photo made;
        const double before = figure(&b, "refused");
        struct answer first = make_new("/v1/embed", &two, &made);
        test_redis_ask(&redis, script, said, sizeof said);
        assert_true(atoi(said) > 0);
        struct answer other = ask(&b, "/v1/embed", &made);
        assert_string_equal(answer_header(&other, "X-FRT-Cache"), "miss");
        refused = figure(&b, "refused") == before + 1;
        expect_same(&first, &other);
        free(made.data);
        answer_free(&first);
        answer_free(&other);
    }
    assert_true(refused);
}

/* ------------------------------------------------------------------ trouble */

struct client {
    pthread_t thread;
    const struct service *service;
    atomic_bool *stop;
    uint32_t number, answered;
    double worst_ms;
};

/* Blank photos that nobody has seen: each is looked for in Redis, made and given to it. */
static void *send_photos(void *arg)
{
    struct client *c = arg;
    struct photo photo = photo_blank();
    uint8_t *bytes = malloc(photo.size + 8);
    assert_non_null(bytes);
    memcpy(bytes, photo.data, photo.size);
    for (uint32_t i = 0; !atomic_load(c->stop); i++) {
        memcpy(bytes + photo.size, &c->number, 4);
        memcpy(bytes + photo.size + 4, &i, 4);
        const int64_t start = frt_now_ns();
        struct answer x = request(c->service->port, "POST", "/v1/detect", "image/jpeg", bytes, photo.size + 8);
        const double ms = frt_elapsed_ms(start);
        if (x.status != 200) {
            (void)fprintf(stderr, "a request failed: %d %s\n", x.status, x.body);
            abort();
        }
        c->worst_ms = ms > c->worst_ms ? ms : c->worst_ms;
        c->answered++;
        answer_free(&x);
    }
    free(bytes);
    free(photo.data);
    return NULL;
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
        n++;
    return n;
}

static void no_request_fails_whatever_becomes_of_redis(void **state)
{
    (void)state;
    struct client clients[CLIENTS];
    atomic_bool stop = false;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.service = i % 2 == 0 ? &a : &b, .stop = &stop, .number = i};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, send_photos, &clients[i]), 0);
    }
    (void)kill(redis.pid, SIGSTOP);
    await(&a, "state", 0);
    struct answer ready = get(a.port, "/readyz");
    expect(&ready, 200, NULL);
    assert_non_null(strstr(ready.body, "\"degraded\":{\"redis\":\"away\"}"));
    answer_free(&ready);
    (void)kill(redis.pid, SIGCONT);
    await(&a, "state", 1);
    test_redis_kill(&redis);
    await(&a, "state", 0);
    await(&b, "state", 0);
    test_redis_start(&redis, NULL);
    await(&a, "state", 1);
    await(&b, "state", 1);
    ready = get(a.port, "/readyz");
    assert_string_equal(ready.body, "{\"status\":\"ready\"}");
    answer_free(&ready);
    atomic_store(&stop, true);
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(clients[i].thread, NULL), 0);
        assert_true(clients[i].answered > 0);
    }
    const size_t falls =
        (size_t)figure(&a, "falls"); /* or more than two, when the machine stood still for a while */
    assert_true(falls >= 2);
    assert_int_equal((size_t)figure(&a, "returns"), falls);
    char *log = service_log(&a);
    assert_int_equal(count(log, "event=redis state=away"), falls); /* a line each */
    assert_int_equal(count(log, "event=redis state=up"), falls + 1);
    free(log);
}

/* ------------------------------------------------------------------- logins */

static int log_in(const struct service *service, const char *password)
{
    char json[128];
    (void)snprintf(json, sizeof json, "{\"email\":\"me@example.org\",\"password\":\"%s\"}", password);
    struct answer x = request(service->port, "POST", "/v1/auth/login", "application/json", json, strlen(json));
    const int status = x.status;
    if (status == 429)
        assert_true(atoi(answer_header(&x, "Retry-After")) > 0);
    answer_free(&x);
    return status;
}

static void failed_logins_count_over_both(void **state)
{
    (void)state;
    const struct frt_access_options options = {.database = a.database};
    struct frt_access *access = NULL;
    assert_int_equal(frt_access_open(&options, &access, NULL), FRT_OK);
    assert_int_equal(frt_access_user_add(access, "me@example.org", "right-right", FRT_ROLE_ADMIN, NULL),
                     FRT_OK);
    frt_access_close(access);
    assert_int_equal(log_in(&a, "right-right"), 200); /* which does not count */
    for (int i = 0; i < 10; i++)
        assert_int_equal(log_in(i % 2 == 0 ? &a : &b, "wrong-wrong"), 401);
    assert_int_equal(log_in(&a, "right-right"), 429);
    assert_int_equal(log_in(&b, "right-right"), 429);
    test_redis_kill(&redis); /* each knows of five only */
    for (int i = 0; i < TURNS && log_in(&a, "right-right") != 200; i++)
        nap();
    assert_int_equal(log_in(&b, "right-right"), 200);
    assert_int_equal(service_stop(&a, SIGTERM), 0);
    assert_int_equal(service_stop(&b, SIGTERM), 0);
}

/* ------------------------------------------------------------------ passwords */

static void a_password_is_nowhere_to_be_seen(void **state)
{
    (void)state;
    static const char *const options[] = {"--requirepass", SECRET, NULL};
    struct test_redis locked = {.pid = 0};
    struct service service = {.pid = 0};
    char url[96], path[64], line[4096];
    test_redis_start(&locked, options);
    for (int turn = 0; turn < 2; turn++) { /* the right one, and a wrong one, which is spoken of */
        (void)snprintf(url, sizeof url, "redis://:%s%s@127.0.0.1:%d", SECRET, turn == 0 ? "" : "x",
                       locked.port);
        (void)setenv("FRT_REDIS", url, 1);
        service_start(&service, program, NULL);
        free(service_log_with(&service, turn == 0 ? "event=redis state=up" : "event=redis state=away"));
        char *log = service_log(&service);
        assert_null(strstr(log, SECRET));
        free(log);
        (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)service.pid);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        const size_t n = fread(line, 1, sizeof line - 1, file);
        (void)fclose(file);
        assert_null(memmem(line, n, SECRET, strlen(SECRET)));
        struct answer m = get(service.port, "/metrics?format=prometheus");
        assert_null(strstr(m.body, SECRET));
        assert_non_null(strstr(m.body, turn == 0 ? "\nfrt_redis_up 1\n" : "\nfrt_redis_up 0\n"));
        answer_free(&m);
        assert_int_equal(service_stop(&service, SIGTERM), 0);
    }
    test_redis_end(&locked);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_has_made_the_other_has),
        cmocka_unit_test(poison_costs_a_miss_and_nothing_else),
        cmocka_unit_test(no_request_fails_whatever_becomes_of_redis),
        cmocka_unit_test(failed_logins_count_over_both),
        cmocka_unit_test(a_password_is_nowhere_to_be_seen),
    };
    if (argc != 2)
        return 1;
    program = argv[1];
    if (!test_redis_is_there() || !photos_are_there())
        return 77;
    one = photo_of(1);
    two = photo_of(2);
    test_redis_start(&redis, NULL);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_redis_end(&redis);
    free(one.data);
    free(two.data);
    return failed;
}

/*
 * The shared cache against a real Redis: what it gives, and what it survives. Two caches with the secret of one
 * store stand for two instances. Skipped where no Redis server is installed.
 *
 * Budgets here are large, as a busy machine may stop anybody for a while: what is tested is what happens, and
 * that nothing hangs, not how fast it is.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/redis_server.h"
#include "cache/shared_cache.h"
#include "core/log.h"

enum {
    BUDGET_MS = 2000,
    STOPPED_BUDGET_MS = 300,
    SIZE = 3000,
    WAIT_TURNS = 1000,
    TTL_MS = 600000,
    HANG_MS = 5000
};

static const uint8_t secret[32] = {1, 2, 3};
static const int64_t most[2] = {TTL_MS, TTL_MS};

/* ------------------------------------------------------------------ helpers */

static struct frt_shared_cache_options options_of(const char *address)
{
    return (struct frt_shared_cache_options){.address = address,
                                             .password_file = "",
                                             .ca_file = "",
                                             .cert_file = "",
                                             .budget_ms = BUDGET_MS,
                                             .secret = secret,
                                             .edition = "test"};
}

static struct frt_shared_cache *open_with(const struct frt_shared_cache_options *options)
{
    struct frt_shared_cache *cache = NULL;
    struct frt_error err = {0};
    if (frt_shared_cache_new(options, &cache, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return cache;
}

static struct frt_shared_cache_stats stats_of(struct frt_shared_cache *cache)
{
    struct frt_shared_cache_stats s;
    frt_shared_cache_stats_get(cache, &s);
    return s;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static void await_up(struct frt_shared_cache *cache, bool up)
{
    for (int i = 0; i < WAIT_TURNS; i++) {
        if (stats_of(cache).up == up)
            return;
        nap();
    }
    fail_msg("it is still %s: %s", up ? "away" : "up", stats_of(cache).why);
}

static struct frt_shared_cache *open_up(const char *address)
{
    const struct frt_shared_cache_options options = options_of(address);
    struct frt_shared_cache *cache = open_with(&options);
    await_up(cache, true);
    return cache;
}

static void key_of(uint32_t number, uint8_t out[32])
{
    memset(out, 0, 32);
    memcpy(out, &number, sizeof number);
}

static void value_of(uint32_t number, uint8_t out[SIZE])
{
    for (size_t i = 0; i < SIZE; i++)
        out[i] = (uint8_t)(number * 31 + i * 7);
}

/* Puts a value and waits until it has been written, or was not. */
static void put(struct frt_shared_cache *cache, uint32_t number, int64_t ttl_ms)
{
    uint8_t key[32], value[SIZE];
    key_of(number, key);
    value_of(number, value);
    frt_shared_cache_put(cache, key, 'e', value, SIZE, ttl_ms);
    for (int i = 0; i < WAIT_TURNS && stats_of(cache).queued > 0; i++)
        nap();
    assert_int_equal(stats_of(cache).queued, 0);
}

/* What a look-up says; a value that comes is the right one. */
static enum frt_shared_answer get(struct frt_shared_cache *cache, uint32_t number)
{
    uint8_t key[32], value[SIZE];
    struct frt_shared_value found[2];
    const int64_t start = frt_now_ns();
    key_of(number, key);
    value_of(number, value);
    const enum frt_shared_answer answer = frt_shared_cache_get(cache, key, "ed", most, 0, found);
    assert_true(frt_elapsed_ms(start) < HANG_MS);
    assert_null(found[1].bytes);
    assert_int_equal(found[0].bytes != NULL, answer == FRT_SHARED_HIT);
    if (answer == FRT_SHARED_HIT) {
        assert_int_equal(found[0].size, SIZE);
        assert_memory_equal(found[0].bytes, value, SIZE);
        assert_true(found[0].left_ms > 0 && found[0].left_ms <= TTL_MS);
    }
    frt_shared_value_free(&found[0]);
    return answer;
}

static void ask(const struct test_redis *redis, char *out, size_t size, const char *a, const char *b,
                const char *c, const char *d)
{
    const char *const words[] = {a, b, c, d, NULL};
    test_redis_ask(redis, words, out, size);
    out[strcspn(out, "\r\n")] = '\0';
}

static void the_only_key(const struct test_redis *redis, char *out, size_t size)
{
    ask(redis, out, size, "KEYS", "*", NULL, NULL);
    assert_memory_equal(out, "frt:1:{", 7);
}

static struct test_redis server;

static int start(void **state)
{
    (void)state;
    test_redis_start(&server, NULL);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    test_redis_end(&server);
    return 0;
}

/* ---------------------------------------------------------------- two instances */

static void what_one_puts_the_other_gets(void **state)
{
    (void)state;
    char text[256], unix_url[128];
    (void)snprintf(unix_url, sizeof unix_url, "redis+unix:%s", server.socket);
    struct frt_shared_cache *a = open_up(server.url), *b = open_up(unix_url);
    assert_int_equal(get(b, 1), FRT_SHARED_MISS);
    put(a, 1, TTL_MS);
    assert_int_equal(stats_of(a).stored, 1);
    assert_int_equal(get(b, 1), FRT_SHARED_HIT);
    assert_int_equal(get(b, 2), FRT_SHARED_MISS);
    const struct frt_shared_cache_stats s = stats_of(b);
    assert_int_equal(s.hits, 1);
    assert_int_equal(s.misses, 2);
    assert_int_equal(s.away + s.late + s.refused, 0);
    the_only_key(&server, text, sizeof text);
    char ttl[64];
    ask(&server, ttl, sizeof ttl, "PTTL", text, NULL, NULL);
    assert_true(atol(ttl) > TTL_MS / 2 && atol(ttl) <= TTL_MS);
    frt_shared_cache_free(a);
    frt_shared_cache_free(b);
}

static void its_time_is_what_is_left(void **state)
{
    (void)state;
    uint8_t key[32];
    struct frt_shared_value found[2];
    struct frt_shared_cache *a = open_up(server.url), *b = open_up(server.url);
    put(a, 1, 3000);
    key_of(1, key);
    assert_int_equal(frt_shared_cache_get(b, key, "e", most, 0, found), FRT_SHARED_HIT);
    assert_true(found[0].left_ms <= 3000);
    const int64_t left = found[0].left_ms;
    frt_shared_value_free(&found[0]);
    nap();
    assert_int_equal(frt_shared_cache_get(b, key, "e", most, 0, found), FRT_SHARED_HIT);
    assert_true(found[0].left_ms < left); /* nothing renews it */
    frt_shared_value_free(&found[0]);
    for (int i = 0; i < WAIT_TURNS && get(b, 1) == FRT_SHARED_HIT; i++)
        nap();
    assert_int_equal(get(b, 1), FRT_SHARED_MISS);
    frt_shared_cache_free(a);
    frt_shared_cache_free(b);
}

static void another_secret_or_edition_shares_nothing(void **state)
{
    (void)state;
    static const uint8_t other[32] = {9};
    struct frt_shared_cache_options options = options_of(server.url);
    struct frt_shared_cache *a = open_up(server.url);
    put(a, 1, TTL_MS);
    options.edition = "later";
    struct frt_shared_cache *b = open_with(&options);
    options.edition = "test";
    options.secret = other;
    struct frt_shared_cache *c = open_with(&options);
    await_up(b, true);
    await_up(c, true);
    assert_int_equal(get(b, 1), FRT_SHARED_MISS);
    assert_int_equal(get(c, 1), FRT_SHARED_MISS);
    assert_int_equal(get(a, 1), FRT_SHARED_HIT);
    frt_shared_cache_free(a);
    frt_shared_cache_free(b);
    frt_shared_cache_free(c);
}

/* ------------------------------------------------------------------ poison */

/* What stands under its name is replaced by a script of Redis, and refused. */
static void poisoned(struct frt_shared_cache *cache, const char *script)
{
    char name[256], said[256];
    put(cache, 1, TTL_MS);
    assert_int_equal(get(cache, 1), FRT_SHARED_HIT);
    ask(&server, name, sizeof name, "EVAL", "return redis.call('KEYS', 'frt:1:*')[1]", "0", NULL);
    const uint64_t before = stats_of(cache).refused;
    ask(&server, said, sizeof said, "EVAL", script, "1", name);
    assert_string_equal(said, "OK");
    assert_int_equal(get(cache, 1), FRT_SHARED_MISS);
    assert_int_equal(stats_of(cache).refused, before + 1);
    put(cache, 1, TTL_MS); /* a good one takes its place */
    assert_int_equal(get(cache, 1), FRT_SHARED_HIT);
    ask(&server, said, sizeof said, "FLUSHALL", NULL, NULL, NULL);
}

static void poison_is_refused_and_counted(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        /* a bit of the ciphertext, of the time, of the magic */
        "local v = redis.call('GET', KEYS[1]) local c = string.byte(v, 200) "
        "return redis.call('SET', KEYS[1], v:sub(1, 199) .. string.char(bit.bxor(c, 1)) .. v:sub(201))",
        "local v = redis.call('GET', KEYS[1]) local c = string.byte(v, 13) "
        "return redis.call('SET', KEYS[1], v:sub(1, 12) .. string.char(bit.bxor(c, 1)) .. v:sub(14))",
        "local v = redis.call('GET', KEYS[1]) return redis.call('SET', KEYS[1], 'X' .. v:sub(2))",
        /* cut, lengthened, empty but for a head, a later version */
        "return redis.call('SET', KEYS[1], redis.call('GET', KEYS[1]):sub(1, -2))",
        "return redis.call('SET', KEYS[1], redis.call('GET', KEYS[1]) .. 'x')",
        "return redis.call('SET', KEYS[1], redis.call('GET', KEYS[1]):sub(1, 20))",
        "local v = redis.call('GET', KEYS[1]) return redis.call('SET', KEYS[1], v:sub(1, 4) .. '\\2' .. "
        "v:sub(6))",
        /* something of another's, huge or of another type */
        "return redis.call('SET', KEYS[1], 'hello')",
        "return redis.call('SET', KEYS[1], string.rep('FRTR', 4000000))",
        "redis.call('DEL', KEYS[1]) redis.call('LPUSH', KEYS[1], 'x') return redis.status_reply('OK')"};
    struct frt_shared_cache *cache = open_up(server.url);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        poisoned(cache, scripts[i]);
    assert_true(stats_of(cache).up);
    frt_shared_cache_free(cache);
}

static void a_value_under_another_name_is_refused(void **state)
{
    (void)state;
    char said[256];
    struct frt_shared_cache *cache = open_up(server.url);
    put(cache, 1, TTL_MS);
    put(cache, 2, TTL_MS);
    ask(&server, said, sizeof said, "EVAL",
        "local k = redis.call('KEYS', 'frt:1:*') local a = redis.call('GET', k[1]) "
        "redis.call('SET', k[1], redis.call('GET', k[2])) redis.call('SET', k[2], a) "
        "return redis.status_reply('OK')",
        "0", NULL);
    assert_string_equal(said, "OK");
    assert_int_equal(get(cache, 1), FRT_SHARED_MISS);
    assert_int_equal(get(cache, 2), FRT_SHARED_MISS);
    assert_int_equal(stats_of(cache).refused, 2);
    frt_shared_cache_free(cache);
}

/* Who kept a value keeps it for nothing: its time is in it. */
static void a_replayed_value_is_over(void **state)
{
    (void)state;
    char said[256];
    struct frt_shared_cache *cache = open_up(server.url);
    put(cache, 1, 2500);
    ask(&server, said, sizeof said, "EVAL", "return redis.call('PERSIST', redis.call('KEYS', 'frt:1:*')[1])",
        "0", NULL);
    assert_string_equal(said, "1");
    for (int i = 0; i < WAIT_TURNS && get(cache, 1) == FRT_SHARED_HIT; i++)
        nap();
    assert_int_equal(get(cache, 1), FRT_SHARED_MISS);
    ask(&server, said, sizeof said, "DBSIZE", NULL, NULL, NULL);
    assert_string_equal(said, "1"); /* it still stands there */
    assert_true(stats_of(cache).refused > 0);
    frt_shared_cache_free(cache);
}

/* --------------------------------------------------------------- trouble */

struct caller {
    pthread_t thread;
    struct frt_shared_cache *cache;
    atomic_bool *stop;
    uint32_t number;
    uint64_t hits, skipped;
    double worst_ms;
};

static void *call(void *arg)
{
    struct caller *c = arg;
    for (uint32_t i = 0; !atomic_load(c->stop); i++) {
        uint8_t key[32], value[SIZE];
        struct frt_shared_value found[2];
        const uint32_t number = c->number * 1000 + i % 50;
        key_of(number, key);
        value_of(number, value);
        const int64_t start = frt_now_ns();
        const enum frt_shared_answer answer = frt_shared_cache_get(c->cache, key, "ed", most, 0, found);
        const double ms = frt_elapsed_ms(start);
        c->worst_ms = ms > c->worst_ms ? ms : c->worst_ms;
        c->hits += answer == FRT_SHARED_HIT;
        c->skipped += answer == FRT_SHARED_SKIPPED;
        if (answer == FRT_SHARED_HIT && (found[0].size != SIZE || memcmp(found[0].bytes, value, SIZE) != 0))
            abort();
        frt_shared_value_free(&found[0]);
        if (answer != FRT_SHARED_HIT)
            frt_shared_cache_put(c->cache, key, 'e', value, SIZE, TTL_MS);
        if (answer == FRT_SHARED_SKIPPED)
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

enum { CALLERS = 6 };

static void pass_ms(int ms)
{
    for (int i = 0; i < ms / 10; i++)
        nap();
}

/* Under load the server is stopped, goes on, is killed, and comes back. */
static void nobody_hangs_whatever_becomes_of_the_server(void **state)
{
    (void)state;
    struct caller callers[CALLERS];
    atomic_bool stop = false;
    struct frt_shared_cache_options options = options_of(server.url);
    options.budget_ms = STOPPED_BUDGET_MS;
    struct frt_shared_cache *cache = open_with(&options);
    await_up(cache, true);
    for (uint32_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.cache = cache, .stop = &stop, .number = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    pass_ms(200);
    (void)kill(server.pid, SIGSTOP);
    await_up(cache, false);
    const struct frt_shared_cache_stats stopped = stats_of(cache);
    pass_ms(200);
    (void)kill(server.pid, SIGCONT);
    await_up(cache, true);
    pass_ms(200);
    test_redis_kill(&server);
    await_up(cache, false);
    pass_ms(100);
    test_redis_start(&server, NULL);
    await_up(cache, true);
    pass_ms(300);
    atomic_store(&stop, true);
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
        assert_true(callers[i].worst_ms < HANG_MS);
        assert_true(callers[i].hits > 0);
        assert_true(callers[i].skipped > 0);
    }
    const struct frt_shared_cache_stats s = stats_of(cache);
    assert_true(stopped.falls > 0 && stopped.returns < stopped.falls);
    assert_true(s.falls >= 2); /* or more, when the machine stood still for a while */
    assert_int_equal(s.returns, s.falls);
    assert_true(s.late > 0 && s.away > 0 && s.stored > 0);
    assert_int_equal(s.refused, 0);
    assert_true(s.connections <= 8);
    frt_shared_cache_free(cache);
}

static void an_absent_server_costs_nothing_and_is_found_when_it_comes(void **state)
{
    (void)state;
    struct test_redis later = {.port = test_free_port()};
    char url[64];
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", later.port);
    const struct frt_shared_cache_options options = options_of(url);
    struct frt_shared_cache *cache = open_with(&options);
    for (int i = 0; i < WAIT_TURNS && stats_of(cache).why[0] == '\0'; i++)
        nap();
    assert_non_null(strstr(stats_of(cache).why, "refused"));
    assert_int_equal(get(cache, 1), FRT_SHARED_SKIPPED);
    put(cache, 1, TTL_MS);
    assert_int_equal(stats_of(cache).store_dropped, 1);
    test_redis_start(&later, NULL);
    await_up(cache, true);
    put(cache, 1, TTL_MS);
    assert_int_equal(get(cache, 1), FRT_SHARED_HIT);
    frt_shared_cache_free(cache);
    test_redis_end(&later);
}

static void a_full_or_read_only_server_still_gives(void **state)
{
    (void)state;
    char said[256];
    struct frt_shared_cache *cache = open_up(server.url);
    uint32_t wait_ms = 7;
    put(cache, 1, TTL_MS);
    ask(&server, said, sizeof said, "CONFIG", "SET", "maxmemory", "1");
    put(cache, 2, TTL_MS);
    assert_int_equal(stats_of(cache).store_failed, 1);
    assert_int_equal(get(cache, 1), FRT_SHARED_HIT);
    ask(&server, said, sizeof said, "CONFIG", "SET", "maxmemory", "0");
    ask(&server, said, sizeof said, "REPLICAOF", "127.0.0.1", "1", NULL);
    put(cache, 2, TTL_MS);
    assert_int_equal(stats_of(cache).store_failed, 2);
    assert_false(frt_shared_cache_attempt(cache, "x", 1, 3, 60000, &wait_ms));
    assert_int_equal(wait_ms, 7);
    assert_int_equal(get(cache, 1), FRT_SHARED_HIT);
    assert_true(stats_of(cache).up);
    ask(&server, said, sizeof said, "REPLICAOF", "NO", "ONE", NULL);
    frt_shared_cache_free(cache);
}

static void what_is_too_large_is_not_put(void **state)
{
    (void)state;
    uint8_t key[32] = {1}, *huge = calloc(1, FRT_SHARED_MAX_VALUE_BYTES + 1);
    struct frt_shared_value found[1];
    struct frt_shared_cache *cache = open_up(server.url);
    assert_non_null(huge);
    frt_shared_cache_put(cache, key, 'e', huge, FRT_SHARED_MAX_VALUE_BYTES + 1, TTL_MS);
    assert_int_equal(stats_of(cache).store_dropped, 1);
    frt_shared_cache_put(cache, key, 'e', huge, FRT_SHARED_MAX_VALUE_BYTES, TTL_MS);
    for (int i = 0; i < WAIT_TURNS && stats_of(cache).stored == 0; i++)
        nap();
    assert_int_equal(frt_shared_cache_get(cache, key, "e", most, 0, found), FRT_SHARED_HIT);
    assert_int_equal(found[0].size, FRT_SHARED_MAX_VALUE_BYTES);
    frt_shared_value_free(&found[0]);
    (void)kill(server.pid, SIGSTOP);
    for (int i = 0; i < 40; i++) /* more than the queue holds */
        frt_shared_cache_put(cache, key, 'e', huge, FRT_SHARED_MAX_VALUE_BYTES, TTL_MS);
    assert_true(stats_of(cache).store_dropped > 1);
    assert_true(stats_of(cache).queued_bytes <= 8 << 20);
    frt_shared_cache_free(cache); /* with a full queue */
    free(huge);
}

/* ------------------------------------------------------------------ limits */

static void attempts_count_over_all(void **state)
{
    (void)state;
    uint32_t wait_ms = 99;
    struct frt_shared_cache *a = open_up(server.url), *b = open_up(server.url);
    for (int i = 0; i < 4; i++) {
        assert_true(frt_shared_cache_attempt(i % 2 == 0 ? a : b, "peer", 4, 4, 60000, &wait_ms));
        assert_int_equal(wait_ms, 0);
    }
    assert_true(frt_shared_cache_attempt(a, "peer", 4, 4, 60000, &wait_ms));
    assert_true(wait_ms > 50000 && wait_ms <= 60000);
    assert_true(frt_shared_cache_attempt(b, "peer", 4, 4, 60000, &wait_ms));
    assert_true(wait_ms > 0);
    assert_true(frt_shared_cache_attempt(b, "other", 5, 4, 60000, &wait_ms));
    assert_int_equal(wait_ms, 0);
    frt_shared_cache_refund(b, "peer", 4);
    assert_true(frt_shared_cache_attempt(a, "peer", 4, 4, 60000, &wait_ms));
    assert_int_equal(wait_ms, 0);
    assert_int_equal(stats_of(a).limited, 1);
    /* and it ends */
    assert_true(frt_shared_cache_attempt(a, "short", 5, 1, 100, &wait_ms));
    for (int i = 0; i < WAIT_TURNS; i++) {
        assert_true(frt_shared_cache_attempt(a, "short", 5, 1, 100, &wait_ms));
        if (wait_ms == 0)
            break;
        nap();
    }
    assert_int_equal(wait_ms, 0);
    for (int i = 0; i < 3; i++) /* never below nothing */
        frt_shared_cache_refund(b, "nobody", 6);
    assert_true(frt_shared_cache_attempt(a, "nobody", 6, 1, 60000, &wait_ms));
    assert_true(frt_shared_cache_attempt(a, "nobody", 6, 1, 60000, &wait_ms));
    assert_true(wait_ms > 0);
    frt_shared_cache_free(a);
    frt_shared_cache_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_one_puts_the_other_gets, start, finish),
        cmocka_unit_test_setup_teardown(its_time_is_what_is_left, start, finish),
        cmocka_unit_test_setup_teardown(another_secret_or_edition_shares_nothing, start, finish),
        cmocka_unit_test_setup_teardown(poison_is_refused_and_counted, start, finish),
        cmocka_unit_test_setup_teardown(a_value_under_another_name_is_refused, start, finish),
        cmocka_unit_test_setup_teardown(a_replayed_value_is_over, start, finish),
        cmocka_unit_test_setup_teardown(nobody_hangs_whatever_becomes_of_the_server, start, finish),
        cmocka_unit_test_setup_teardown(an_absent_server_costs_nothing_and_is_found_when_it_comes, start,
                                        finish),
        cmocka_unit_test_setup_teardown(a_full_or_read_only_server_still_gives, start, finish),
        cmocka_unit_test_setup_teardown(what_is_too_large_is_not_put, start, finish),
        cmocka_unit_test_setup_teardown(attempts_count_over_all, start, finish),
    };
    if (!test_redis_is_there())
        return 77;
    frt_log_configure(FRT_LOG_ERROR, false, STDERR_FILENO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

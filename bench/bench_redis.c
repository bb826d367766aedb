/*
 * The shared cache: what a look-up costs, found or not, and what it costs while Redis is away.
 *
 *     bench_redis        a server of its own on a socket (Debian's redis-tools), or the one that BENCH_REDIS
 * names
 *
 * A value is what one face of 512 numbers takes, sealed. Each round asks once for what is there, once for what
 * is not, and for a bare PING on a connection of its own, so that whatever else the machine does meets all
 * three alike. Peer: the PING of the same round, below which nothing can get. `put` is what a request pays to
 * have a value written; `away` a look-up while no server is there; `threads` look-ups of 4 threads at once.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "cache/redis_link.h"
#include "cache/shared_cache.h"
#include "core/clock.h"
#include "core/log.h"

enum {
    ROUNDS = 3000,
    VALUE_BYTES = 16 + 64 + 2048,
    THREADS = 4,
    BUDGET_MS = 1000,
    TTL_MS = 3600000,
    TURNS = 1000
};

static const uint8_t secret[32] = {1};
static const int64_t most_ms[2] = {TTL_MS, TTL_MS};

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_redis: %s\n", what);
    exit(1);
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static pid_t start_server(const char *socket_path)
{
    static const char program[] = "/usr/bin/redis-check-rdb"; /* a server when it is called one */
    if (access(program, X_OK) != 0)
        die("no Redis server here: install redis-tools, or name one with BENCH_REDIS");
    const pid_t pid = fork();
    if (pid == 0) {
        const int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, 1);
        (void)execl(program, "redis-server", "--port", "0", "--unixsocket", socket_path, "--save", "",
                    (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < TURNS && access(socket_path, F_OK) != 0; i++)
        nap();
    return pid;
}

static struct frt_shared_cache *open_cache(const char *address, bool await)
{
    const struct frt_shared_cache_options options = {.address = address,
                                                     .password_file = "",
                                                     .ca_file = "",
                                                     .cert_file = "",
                                                     .budget_ms = BUDGET_MS,
                                                     .secret = secret,
                                                     .edition = "bench"};
    struct frt_shared_cache *cache = NULL;
    struct frt_shared_cache_stats s = {.up = false};
    struct frt_error err = {0};
    if (frt_shared_cache_new(&options, &cache, &err) != FRT_OK)
        die(err.text);
    for (int i = 0; i < TURNS && await && !s.up; i++) {
        nap();
        frt_shared_cache_stats_get(cache, &s);
    }
    if (await && !s.up)
        die("Redis does not answer");
    return cache;
}

static void key_of(uint32_t number, uint8_t key[32])
{
    memset(key, 0, 32);
    memcpy(key, &number, sizeof number);
}

static double look_us(struct frt_shared_cache *cache, uint32_t number, enum frt_shared_answer wanted)
{
    uint8_t key[32];
    struct frt_shared_value found[2];
    key_of(number, key);
    const int64_t start = frt_now_ns();
    const enum frt_shared_answer answer = frt_shared_cache_get(cache, key, "ed", most_ms, 0, found);
    const double us = (double)(frt_now_ns() - start) / 1000;
    frt_shared_value_free(&found[0]);
    frt_shared_value_free(&found[1]);
    if (answer != wanted)
        die("a look-up found what it should not, or did not find what it should");
    return us;
}

static double put_us(struct frt_shared_cache *cache, uint32_t number)
{
    static const uint8_t value[VALUE_BYTES];
    uint8_t key[32];
    key_of(number, key);
    const int64_t start = frt_now_ns();
    frt_shared_cache_put(cache, key, 'e', value, sizeof value, TTL_MS);
    return (double)(frt_now_ns() - start) / 1000;
}

static double ping_us(struct frt_redis_link *link)
{
    struct frt_redis_command ping = {0};
    struct frt_redis_reply *reply = NULL;
    frt_redis_word(&ping, "PING");
    const int64_t start = frt_now_ns();
    if (frt_redis_link_ask(link, &ping, NULL) != FRT_OK ||
        frt_redis_link_next(link, start + INT64_C(1000000000), &reply, NULL) != FRT_OK)
        die("a PING is not answered");
    frt_redis_reply_free(reply);
    return (double)(frt_now_ns() - start) / 1000;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const char *name, double *us, double *peer, double share)
{
    char full[64];
    qsort(us, ROUNDS, sizeof *us, by_value);
    if (peer != NULL)
        qsort(peer, ROUNDS, sizeof *peer, by_value);
    const size_t at = (size_t)(share * (ROUNDS - 1));
    (void)snprintf(full, sizeof full, "%s-p%d", name, (int)(share * 100 + 0.5));
    bench_print(&(struct bench_figure){"redis", full, "us", us[at], peer == NULL ? NULL : "ping",
                                       peer == NULL ? 0 : peer[at]});
}

static void bench_rounds(struct frt_shared_cache *cache, struct frt_redis_link *link)
{
    static double hits[ROUNDS], misses[ROUNDS], pings[ROUNDS], puts[ROUNDS];
    for (uint32_t i = 0; i < ROUNDS; i++) {
        hits[i] = look_us(cache, 1, FRT_SHARED_HIT);
        misses[i] = look_us(cache, 1000000 + i, FRT_SHARED_MISS);
        pings[i] = ping_us(link);
        puts[i] = put_us(cache, 2);
        if (i % 64 == 63)
            nap(); /* the queue is bounded */
    }
    print("hit", hits, pings, 0.5);
    print("hit", hits, pings, 0.99);
    print("miss", misses, pings, 0.5);
    print("miss", misses, pings, 0.99);
    print("put", puts, NULL, 0.5);
    print("put", puts, NULL, 0.99);
}

static void *look_often(void *arg)
{
    for (uint32_t i = 0; i < ROUNDS; i++)
        (void)look_us(arg, 1, FRT_SHARED_HIT);
    return NULL;
}

static void bench_threads(struct frt_shared_cache *cache)
{
    pthread_t threads[THREADS];
    const int64_t start = frt_now_ns();
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, look_often, cache) != 0)
            die("no thread");
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    bench_print(&(struct bench_figure){"redis", "threads-4", "look-ups/s",
                                       (double)THREADS * ROUNDS / (frt_elapsed_ms(start) / 1000), NULL, 0});
}

static void bench_away(void)
{
    static double us[ROUNDS];
    struct frt_shared_cache *cache = open_cache("redis+unix:/nowhere/at/all", false);
    for (int i = 0; i < 10; i++)
        nap();
    for (uint32_t i = 0; i < ROUNDS; i++)
        us[i] = look_us(cache, i, FRT_SHARED_SKIPPED);
    print("away", us, NULL, 0.5);
    print("away", us, NULL, 0.99);
    frt_shared_cache_free(cache);
}

int main(void)
{
    char folder[] = "/tmp/frt-bench-redis-XXXXXX", path[64], address[512];
    const char *given = getenv("BENCH_REDIS");
    struct frt_redis_address where;
    struct frt_redis_link *link = NULL;
    struct frt_error err = {0};
    pid_t server = 0;
    frt_log_configure(FRT_LOG_ERROR, false, STDERR_FILENO);
    if (mkdtemp(folder) == NULL)
        die("no folder");
    (void)snprintf(path, sizeof path, "%s/s", folder);
    (void)snprintf(address, sizeof address, "redis+unix:%s", path);
    if (given == NULL)
        server = start_server(path);
    else
        (void)snprintf(address, sizeof address, "%s", given);
    if (frt_redis_address_parse(address, &where, &err) != FRT_OK ||
        frt_redis_link_open(&where.hosts[0], NULL, frt_now_ns() + INT64_C(1000000000), &link, &err) != FRT_OK)
        die(err.text);
    struct frt_shared_cache *cache = open_cache(address, true);
    (void)put_us(cache, 1);
    for (struct frt_shared_cache_stats s = {.stored = 0}; s.stored == 0; frt_shared_cache_stats_get(cache, &s))
        nap();
    bench_rounds(cache, link);
    bench_threads(cache);
    bench_away();
    frt_shared_cache_free(cache);
    frt_redis_link_close(link);
    if (server > 0) {
        (void)kill(server, SIGKILL);
        (void)waitpid(server, NULL, 0);
    }
    (void)unlink(path);
    (void)rmdir(folder);
    return 0;
}

/*
 * The ways to a Redis: passwords and users, TLS, Sentinels, a cluster; and peers that are none. Skipped where
 * no Redis server is installed, TLS also where no openssl makes certificates.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/redis_server.h"
#include "cache/shared_cache.h"
#include "core/log.h"

enum { BUDGET_MS = 2000, WAIT_TURNS = 1500, TTL_MS = 600000, KEYS = 40, ROUNDS = 400 };

static const uint8_t secret[32] = {1, 2, 3};
static const int64_t most[2] = {TTL_MS, TTL_MS};

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

static void await_up(struct frt_shared_cache *cache)
{
    for (int i = 0; i < WAIT_TURNS && !stats_of(cache).up; i++)
        nap();
    if (!stats_of(cache).up)
        fail_msg("it is still away: %s", stats_of(cache).why);
}

/* What keeps it away. */
static struct frt_shared_cache_stats await_why(struct frt_shared_cache *cache)
{
    for (int i = 0; i < WAIT_TURNS && stats_of(cache).why[0] == '\0'; i++)
        nap();
    assert_false(stats_of(cache).up);
    return stats_of(cache);
}

static void put(struct frt_shared_cache *cache, uint8_t number)
{
    const uint8_t key[32] = {number}, value[] = {1, 2, number};
    frt_shared_cache_put(cache, key, 'e', value, sizeof value, TTL_MS);
    for (int i = 0; i < WAIT_TURNS && stats_of(cache).queued > 0; i++)
        nap();
}

static bool get(struct frt_shared_cache *cache, uint8_t number)
{
    const uint8_t key[32] = {number}, value[] = {1, 2, number};
    struct frt_shared_value found[2];
    const bool hit = frt_shared_cache_get(cache, key, "ed", most, 0, found) == FRT_SHARED_HIT;
    if (hit) {
        assert_int_equal(found[0].size, sizeof value);
        assert_memory_equal(found[0].bytes, value, sizeof value);
    }
    frt_shared_value_free(&found[0]);
    frt_shared_value_free(&found[1]);
    return hit;
}

/* Both ways, over this address. */
static void works(const struct frt_shared_cache_options *options)
{
    struct frt_shared_cache *cache = open_with(options);
    await_up(cache);
    put(cache, 1);
    assert_true(get(cache, 1));
    frt_shared_cache_free(cache);
}

static void does_not(const struct frt_shared_cache_options *options, const char *because)
{
    struct frt_shared_cache *cache = open_with(options);
    const struct frt_shared_cache_stats s = await_why(cache);
    if (strstr(s.why, because) == NULL)
        fail_msg("'%s' does not say '%s'", s.why, because);
    assert_null(strstr(s.why, "sesame"));
    assert_null(strstr(s.address, "sesame"));
    assert_false(get(cache, 1));
    frt_shared_cache_free(cache);
}

static void write_file(const char *folder, const char *name, const char *text, char path[128])
{
    (void)snprintf(path, 128, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* The commands that docs/operations.md grants are enough. */
static void passwords_and_users(void **state)
{
    (void)state;
    static const char *const options[] = {"--requirepass", "sesame",   "--user",  "frt",       "on",
                                          ">sesame2",      "~frt:1:*", "-@all",   "+getrange", "+set",
                                          "+eval",         "+get",     "+incr",   "+decr",     "+pttl",
                                          "+pexpire",      "+ping",    "+select", NULL};
    struct test_redis redis = {.pid = 0};
    char url[128], path[128];
    test_redis_start(&redis, options);
    struct frt_shared_cache_options o = options_of(url);
    (void)snprintf(url, sizeof url, "redis://:sesame@127.0.0.1:%d/2", redis.port);
    works(&o);
    (void)snprintf(url, sizeof url, "redis://:open@127.0.0.1:%d", redis.port);
    does_not(&o, "WRONGPASS");
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", redis.port);
    does_not(&o, "NOAUTH");
    (void)snprintf(url, sizeof url, "redis://frt@127.0.0.1:%d", redis.port);
    o.password_file = "/nowhere/at/all";
    does_not(&o, "redis_password_file");
    write_file(redis.folder, "password", "sesame2\n", path);
    o.password_file = path;
    works(&o);
    struct frt_shared_cache *cache = open_with(&o);
    uint32_t wait_ms = 1;
    await_up(cache);
    assert_true(frt_shared_cache_attempt(cache, "x", 1, 1, 60000, &wait_ms));
    assert_int_equal(wait_ms, 0);
    assert_true(frt_shared_cache_attempt(cache, "x", 1, 1, 60000, &wait_ms));
    assert_true(wait_ms > 0);
    frt_shared_cache_refund(cache, "x", 1);
    assert_true(frt_shared_cache_attempt(cache, "x", 1, 1, 60000, &wait_ms));
    assert_int_equal(wait_ms, 0);
    frt_shared_cache_free(cache);
    test_redis_end(&redis);
}

/* ------------------------------------------------------------------------ TLS */

/* ca.pem, server.pem, client.pem (certificate and key each) by openssl; false: there is none. */
static bool make_certificates(const char *folder)
{
    char command[2048];
    (void)snprintf(
        command, sizeof command,
        "cd '%s' && exec 2>/dev/null; openssl version >/dev/null || exit 1; "
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days "
        "2 "
        "-subj /CN=ca || exit 1; "
        "for name in server client; do "
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr -subj "
        "/CN=$name && printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' >ext && "
        "openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out "
        "$name.crt && cat $name.crt $name.key >$name.pem || exit 1; done",
        folder);
    return system(command) == 0;
}

static void over_tls(void **state)
{
    (void)state;
    char folder[] = "/tmp/frt-test-tls-XXXXXX", url[128], ca[64], server[64], client[64], port[16], command[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (!make_certificates(folder)) {
        assert_int_equal(system(command), 0);
        skip();
    }
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", folder);
    (void)snprintf(server, sizeof server, "%s/server.pem", folder);
    (void)snprintf(client, sizeof client, "%s/client.pem", folder);
    const int tls_port = test_free_port();
    (void)snprintf(port, sizeof port, "%d", tls_port);
    const char *const options[] = {
        "--tls-port", port, "--tls-cert-file", server, "--tls-key-file", server, "--tls-ca-cert-file",
        ca,           NULL}; /* and it asks clients for theirs */
    struct test_redis redis = {.pid = 0};
    test_redis_start(&redis, options);
    struct frt_shared_cache_options o = options_of(url);
    o.ca_file = ca;
    o.cert_file = client;
    (void)snprintf(url, sizeof url, "rediss://127.0.0.1:%d", tls_port);
    works(&o);
    (void)snprintf(url, sizeof url, "rediss://localhost:%d", tls_port);
    works(&o);
    o.cert_file = "";
    does_not(&o, "");
    o.cert_file = client;
    o.ca_file = "";
    does_not(&o, "TLS: The certificate is NOT trusted");
    o.ca_file = ca;
    (void)snprintf(url, sizeof url, "rediss://127.0.0.2:%d",
                   tls_port); /* nobody is there, or not by this name */
    does_not(&o, "127.0.0.2");
    o.ca_file = url;
    struct frt_shared_cache *cache = NULL;
    assert_int_equal(frt_shared_cache_new(&o, &cache, NULL), FRT_EINVAL);
    test_redis_end(&redis);
    assert_int_equal(system(command), 0);
}

/* ------------------------------------------------------------------- several */

/* A Sentinel names the master; when another becomes it, it is found. */
static void sentinels_are_followed(void **state)
{
    (void)state;
    struct test_redis one = {.pid = 0}, two = {.pid = 0}, sentinel = {.pid = 0};
    char lines[512], url[128], port[16], said[256];
    test_redis_start(&one, NULL);
    test_redis_start(&two, NULL);
    (void)snprintf(port, sizeof port, "%d", one.port);
    const char *const follow[] = {"REPLICAOF", "127.0.0.1", port, NULL};
    test_redis_ask(&two, follow, said, sizeof said);
    (void)snprintf(lines, sizeof lines,
                   "sentinel monitor mine 127.0.0.1 %d 1\nsentinel down-after-milliseconds mine 500\n"
                   "sentinel failover-timeout mine 2000\n",
                   one.port);
    test_redis_start_sentinel(&sentinel, lines);
    (void)snprintf(url, sizeof url, "redis-sentinel://127.0.0.1:1,127.0.0.1:%d/mine", sentinel.port);
    struct frt_shared_cache_options o = options_of(url);
    struct frt_shared_cache *cache = open_with(&o);
    await_up(cache);
    put(cache, 1);
    assert_true(get(cache, 1));
    /* the replica is known to the Sentinel, and has the value */
    for (int i = 0; i < WAIT_TURNS; i++) {
        static const char *const ask[] = {"SENTINEL", "replicas", "mine", NULL}, *const size[] = {"DBSIZE",
                                                                                                  NULL};
        test_redis_ask(&sentinel, ask, said, sizeof said);
        char there[64];
        test_redis_ask(&two, size, there, sizeof there);
        if (strstr(said, "slave") != NULL && there[0] == '1')
            break;
        nap();
    }
    static const char *const failover[] = {"SENTINEL", "FAILOVER", "mine", NULL};
    test_redis_ask(&sentinel, failover, said, sizeof said);
    bool moved = false;
    for (int i = 0; i < WAIT_TURNS && !moved;
         i++) { /* writes find out that the former master is none any more */
        static const char *const role[] = {"ROLE", NULL};
        const uint64_t before = stats_of(cache).stored;
        put(cache, 2);
        test_redis_ask(&two, role, said, sizeof said);
        moved = strncmp(said, "master", 6) == 0 && stats_of(cache).stored > before && get(cache, 2);
        nap();
    }
    assert_true(moved);
    test_redis_kill(&one);
    for (int i = 0; i < WAIT_TURNS && !get(cache, 1); i++)
        nap();
    assert_true(get(cache, 1));
    frt_shared_cache_free(cache);
    (void)snprintf(url, sizeof url, "redis-sentinel://127.0.0.1:%d/other", sentinel.port);
    does_not(&o, "knows no master 'other'");
    test_redis_end(&sentinel);
    test_redis_end(&two);
    test_redis_end(&one);
}

static void say(const struct test_redis *redis, const char *a, const char *b, const char *c, const char *d)
{
    char said[4096];
    const char *const words[] = {a, b, c, d, NULL};
    test_redis_ask(redis, words, said, sizeof said);
    if (strncmp(said, "OK", 2) != 0)
        fail_msg("%s %s: %s", a, b, said);
}

static void await_cluster(const struct test_redis *redis)
{
    static const char *const info[] = {"CLUSTER", "INFO", NULL};
    char said[4096];
    for (int i = 0; i < WAIT_TURNS; i++) {
        test_redis_ask(redis, info, said, sizeof said);
        if (strstr(said, "cluster_state:ok") != NULL && strstr(said, "cluster_known_nodes:2") != NULL)
            return;
        nap();
    }
    fail_msg("no cluster: %s", said);
}

/* Two masters: whatever is asked of the wrong one is found at the right one. */
static void a_cluster_is_followed(void **state)
{
    (void)state;
    struct test_redis one = {.pid = 0}, two = {.pid = 0};
    char bus[2][16], port[16];
    (void)snprintf(bus[0], sizeof bus[0], "%d", test_free_port());
    (void)snprintf(bus[1], sizeof bus[1], "%d", test_free_port());
    const char *const first[] = {"--cluster-enabled", "yes", "--cluster-port", bus[0], NULL};
    const char *const second[] = {"--cluster-enabled", "yes", "--cluster-port", bus[1], NULL};
    test_redis_start(&one, first);
    test_redis_start(&two, second);
    say(&one, "CLUSTER", "ADDSLOTSRANGE", "0", "8191");
    say(&two, "CLUSTER", "ADDSLOTSRANGE", "8192", "16383");
    (void)snprintf(port, sizeof port, "%d", two.port);
    char said[256];
    const char *const meet[] = {"CLUSTER", "MEET", "127.0.0.1", port, bus[1], NULL};
    test_redis_ask(&one, meet, said, sizeof said);
    await_cluster(&one);
    await_cluster(&two);
    struct frt_shared_cache_options o = options_of(one.url);
    struct frt_shared_cache *cache = open_with(&o);
    await_up(cache);
    for (uint8_t i = 0; i < KEYS; i++)
        (void)get(cache, i); /* some are redirected, and the map is asked for */
    for (int i = 0; i < WAIT_TURNS && stats_of(cache).servers_up < 2; i++)
        nap();
    assert_int_equal(stats_of(cache).servers_up, 2);
    assert_true(stats_of(cache).redirected > 0);
    const uint64_t redirected = stats_of(cache).redirected;
    for (uint8_t i = 0; i < KEYS; i++)
        put(cache, i);
    for (uint8_t i = 0; i < KEYS; i++)
        assert_true(get(cache, i));
    assert_int_equal(stats_of(cache).redirected, redirected); /* the map is known */
    assert_int_equal(stats_of(cache).stored, KEYS);
    static const char *const size[] = {"DBSIZE", NULL};
    test_redis_ask(&one, size, said, sizeof said);
    assert_true(atoi(said) > 0 && atoi(said) < KEYS);
    /* one of two dies: its keys are away, the other's are not */
    test_redis_kill(&two);
    for (int i = 0; i < WAIT_TURNS && stats_of(cache).servers_up > 1; i++) {
        for (uint8_t k = 0; k < KEYS; k++)
            (void)get(cache, k);
        nap();
    }
    assert_int_equal(stats_of(cache).servers_up, 1);
    assert_true(stats_of(cache).up);
    frt_shared_cache_free(cache);
    test_redis_end(&two);
    test_redis_end(&one);
}

/* -------------------------------------------------------------- no Redis at all */

struct impostor {
    int fd, port;
    const char *text; /* what it says to everybody, again and again */
    size_t size;
    pthread_t thread;
    atomic_bool stop;
};

static void *pretend(void *arg)
{
    struct impostor *i = arg;
    while (!atomic_load(&i->stop)) {
        char heard[4096];
        const struct timeval patience = {.tv_usec = 50000};
        const int fd = accept4(i->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        (void)recv(fd, heard, sizeof heard, 0);
        for (int turn = 0; turn < ROUNDS && !atomic_load(&i->stop); turn++)
            if (send(fd, i->text, i->size, MSG_NOSIGNAL) < 0)
                break;
        (void)close(fd);
    }
    return NULL;
}

static void impostors_are_seen_through(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
    } texts[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28},
        {"+PONG\r\n$-5\r\n", 12},
        {"*1000000000\r\n", 13},
        {"$2000000000\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 85},
        {"*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n", 48},
        {"\0\0\0\0\0\0\0\0\r\n", 10},
        {"+PONG\r\n", 7}}; /* also to what nobody asked */
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        struct impostor impostor = {.text = texts[k].text, .size = texts[k].size, .port = test_free_port()};
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)impostor.port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        const int on = 1;
        char url[64];
        impostor.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)setsockopt(impostor.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        const struct timeval patience = {.tv_usec = 50000};
        (void)setsockopt(impostor.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        assert_int_equal(bind(impostor.fd, (struct sockaddr *)(void *)&address, sizeof address), 0);
        assert_int_equal(listen(impostor.fd, 5), 0);
        assert_int_equal(pthread_create(&impostor.thread, NULL, pretend, &impostor), 0);
        (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", impostor.port);
        const struct frt_shared_cache_options o = options_of(url);
        struct frt_shared_cache *cache = open_with(&o);
        for (int i = 0; i < 20; i++) {
            put(cache, 1);
            assert_false(get(cache, 1));
            nap();
        }
        assert_int_equal(stats_of(cache).hits, 0);
        frt_shared_cache_free(cache);
        atomic_store(&impostor.stop, true);
        assert_int_equal(pthread_join(impostor.thread, NULL), 0);
        (void)close(impostor.fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_and_users),        cmocka_unit_test(over_tls),
        cmocka_unit_test(sentinels_are_followed),     cmocka_unit_test(a_cluster_is_followed),
        cmocka_unit_test(impostors_are_seen_through),
    };
    if (!test_redis_is_there())
        return 77;
    frt_log_configure(FRT_LOG_ERROR, false, STDERR_FILENO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

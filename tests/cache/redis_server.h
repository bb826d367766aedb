/*
 * A Redis of a test's own: Debian's server from a folder of its own, on a free port and a socket, killed with
 * the test. The package redis-tools brings the program, as redis-check-rdb, which is a server when it is called
 * so; redis-server starts one of its own when it is installed, which nobody asked for.
 *
 * Everything fails the running test when it goes wrong.
 * Threading: one owner each.
 */
#ifndef FRT_TESTS_REDIS_SERVER_H
#define FRT_TESTS_REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct test_redis {
    pid_t pid;
    int port;
    char folder[64];
    char socket[96];
    char url[128]; /* redis://127.0.0.1:port */
};

/** Whether there is a program; says on stdout when not. */
bool test_redis_is_there(void);
/** Start one and wait until it answers. A stopped one starts again on its port. options  NULL-terminated: words
 * of its command line; NULL = none. */
void test_redis_start(struct test_redis *redis, const char *const *options);
/** As test_redis_start with --sentinel: options are lines of its settings. */
void test_redis_start_sentinel(struct test_redis *redis, const char *lines);
/** Kill it; it may start again. */
void test_redis_kill(struct test_redis *redis);
/** Kill it, if it runs, and remove its folder. */
void test_redis_end(struct test_redis *redis);
/** A command in words, NULL-terminated, by redis-cli over the socket: what it says, cut to `size`. */
void test_redis_ask(const struct test_redis *redis, const char *const *words, char *out, size_t size);
/** A port that was free a moment ago. */
int test_free_port(void);

#endif

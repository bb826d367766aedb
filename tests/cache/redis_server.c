#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/redis_server.h"

enum { MAX_WORDS = 48, WAIT_TURNS = 500 };

static const char *program(void)
{
    static const char *const candidates[] = {"/usr/bin/redis-check-rdb", "/usr/bin/redis-server",
                                             "/usr/bin/valkey-server"};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (access(candidates[i], X_OK) == 0)
            return candidates[i];
    return NULL;
}

bool test_redis_is_there(void)
{
    if (program() != NULL)
        return true;
    (void)printf("no Redis server here: install redis-tools\n");
    return false;
}

int test_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&address, &size), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

/* It answers something to a PING: an error will do. */
static bool answers(const struct test_redis *redis)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_usec = 200000};
    char byte;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", redis->socket);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const bool good = connect(fd, (struct sockaddr *)(void *)&address, sizeof address) == 0 &&
                      send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(fd, &byte, 1, 0) == 1;
    (void)close(fd);
    return good;
}

static void run(const struct test_redis *redis, char *const *words)
{
    char log[96];
    (void)snprintf(log, sizeof log, "%s/log", redis->folder);
    const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || chdir(redis->folder) != 0)
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of the test */
    (void)execv(program(), words);
    _exit(127);
}

static void start(struct test_redis *redis, char *const *words)
{
    (void)unlink(redis->socket);
    redis->pid = fork();
    assert_true(redis->pid >= 0);
    if (redis->pid == 0)
        run(redis, words);
    for (int i = 0; i < WAIT_TURNS; i++) {
        int status;
        if (answers(redis))
            return;
        if (waitpid(redis->pid, &status, WNOHANG) == redis->pid) {
            redis->pid = 0;
            fail_msg("the Redis server ended: see %s/log", redis->folder);
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    fail_msg("the Redis server does not answer: see %s/log", redis->folder);
}

static void prepare(struct test_redis *redis)
{
    if (redis->folder[0] == '\0') {
        (void)snprintf(redis->folder, sizeof redis->folder, "/tmp/frt-test-redis-XXXXXX");
        assert_non_null(mkdtemp(redis->folder));
        (void)snprintf(redis->socket, sizeof redis->socket, "%s/s", redis->folder);
    }
    if (redis->port == 0)
        redis->port = test_free_port();
    (void)snprintf(redis->url, sizeof redis->url, "redis://127.0.0.1:%d", redis->port);
}

static char *const name_of_program = (char[]){"redis-server"};

void test_redis_start(struct test_redis *redis, const char *const *options)
{
    char port[16], *words[MAX_WORDS] = {name_of_program};
    size_t n = 1;
    prepare(redis);
    (void)snprintf(port, sizeof port, "%d", redis->port);
    const char *const fixed[] = {"--port", port, "--bind",       "127.0.0.1", "--unixsocket", redis->socket,
                                 "--save", "",   "--appendonly", "no",        "--daemonize",  "no"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        words[n++] = strdup(fixed[i]);
    for (size_t i = 0; options != NULL && options[i] != NULL && n < MAX_WORDS - 1; i++)
        words[n++] = strdup(options[i]);
    start(redis, words);
    while (n > 1)
        free(words[--n]);
}

void test_redis_start_sentinel(struct test_redis *redis, const char *lines)
{
    char path[96];
    prepare(redis);
    (void)snprintf(path, sizeof path, "%s/conf", redis->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "port %d\nbind 127.0.0.1\nunixsocket %s\ndir %s\n%s", redis->port, redis->socket,
                  redis->folder, lines);
    assert_int_equal(fclose(file), 0);
    char *words[] = {name_of_program, path, (char[]){"--sentinel"}, NULL};
    start(redis, words);
}

void test_redis_kill(struct test_redis *redis)
{
    if (redis->pid <= 0)
        return;
    (void)kill(redis->pid, SIGKILL);
    (void)waitpid(redis->pid, NULL, 0);
    redis->pid = 0;
}

void test_redis_end(struct test_redis *redis)
{
    char command[96];
    test_redis_kill(redis);
    if (redis->folder[0] == '\0')
        return;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", redis->folder);
    assert_int_equal(system(command), 0);
    *redis = (struct test_redis){.pid = 0};
}

void test_redis_ask(const struct test_redis *redis, const char *const *words, char *out, size_t size)
{
    char *all[MAX_WORDS] = {(char[]){"redis-cli"}, (char[]){"-s"}, strdup(redis->socket)};
    int ends[2];
    size_t n = 3, got = 0;
    for (size_t i = 0; words[i] != NULL && n < MAX_WORDS - 1; i++)
        all[n++] = strdup(words[i]);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(ends[1], 1);
        (void)execvp("redis-cli", all);
        _exit(127);
    }
    (void)close(ends[1]);
    for (ssize_t k; got < size - 1 && (k = read(ends[0], out + got, size - 1 - got)) > 0;)
        got += (size_t)k;
    out[got] = '\0';
    (void)close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (size_t i = 2; i < n; i++)
        free(all[i]);
}

/*
 * Under a service manager: what the service tells it over NOTIFY_SOCKET, and what `frt ping` says to who waits.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_client.h"

static const char *program;

/* The manager's end: "/path", or "@name" for an abstract one. */
static int manager_socket(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t size = strlen(name);
    assert_true(size < sizeof a.sun_path);
    memcpy(a.sun_path, name, size);
    if (name[0] == '@')
        a.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(
        bind(fd, (struct sockaddr *)&a,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] == '/' ? 1 : 0))),
        0);
    return fd;
}

/* The next word that begins with `wanted`, others passed over; fails after WAIT_MS. */
static void expect_word(int fd, const char *wanted)
{
    char text[512] = "";
    do {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, WAIT_MS) != 1)
            fail_msg("the manager never heard %s; last was '%s'", wanted, text);
        ssize_t n = recv(fd, text, sizeof text - 1, 0);
        assert_true(n > 0);
        text[n] = '\0';
    } while (strncmp(text, wanted, strlen(wanted)) != 0);
}

/* `frt ping OPTION VALUE [FLAG]`: its exit status. */
static int ping(const char *option, const char *value, const char *flag)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null >= 0 && dup2(null, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0)
            (void)execl(program, program, "ping", option, value, flag, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void one_life(const char *name)
{
    struct service service = {0};
    char where[128];
    int fd = manager_socket(name);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "1000000", 1), 0);
    service_start(&service, program, (const char *const[]){NULL});
    expect_word(fd, "READY=1");
    expect_word(fd, "WATCHDOG=1");
    expect_word(fd, "WATCHDOG=1");
    (void)snprintf(where, sizeof where, "http://127.0.0.1:%d", service.port);
    assert_int_equal(ping("--url", where, NULL), 0);
    (void)snprintf(where, sizeof where, "0.0.0.0:%d", service.port);
    assert_int_equal(ping("--listen", where, "--live"), 0);
    (void)snprintf(where, sizeof where, "http://127.0.0.1:%d/nowhere", service.port);
    assert_int_equal(ping("--url", where, NULL), 7); /* 404 is not ready */
    (void)snprintf(where, sizeof where, "127.0.0.1:%d", service.port);
    assert_int_equal(service_stop(&service, SIGTERM), 0);
    expect_word(fd, "STOPPING=1");
    assert_int_equal(ping("--listen", where, NULL), 7);
    (void)close(fd);
}

static void a_socket_in_a_folder(void **state)
{
    char name[64] = "";
    (void)state;
    (void)snprintf(name, sizeof name, "/tmp/frt-manager-%d", (int)getpid());
    (void)unlink(name);
    one_life(name);
    (void)unlink(name);
}

static void an_abstract_socket(void **state)
{
    char name[64] = "";
    (void)state;
    (void)snprintf(name, sizeof name, "@frt-manager-%d", (int)getpid());
    one_life(name);
}

/* A manager that is gone, or a name that is none, is no reason not to serve. */
static void nobody_there(void **state)
{
    static const char *const names[] = {"/nonexistent/socket", "neither", "/", ""};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct service service = {0};
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        service_start(&service, program, (const char *const[]){NULL});
        assert_int_equal(service_stop(&service, SIGTERM), 0);
    }
}

static void what_cannot_be_asked(void **state)
{
    (void)state;
    assert_int_equal(ping("--listen", "127.0.0.1:0", NULL), 2);
    assert_int_equal(ping("--url", "ftp://127.0.0.1", NULL), 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_in_a_folder),
        cmocka_unit_test(an_abstract_socket),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(what_cannot_be_asked),
    };
    if (argc != 2 || access("data/packs/default/manifest.json", R_OK) != 0) {
        (void)fprintf(stderr, "SKIP: no program or no data/packs/default\n");
        return 77;
    }
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}

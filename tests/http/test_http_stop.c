/*
 * Starting and stopping: what is in flight is finished, as is what comes later on a connection that stood, and
 * the program ends with 0 in time; what prevents a start is said.
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "http_client.h"
#include "http_photos.h"

static const char *program;
static struct photo one;

struct load {
    int port;
    atomic_int ok, refused, unheard, other;
    atomic_bool stop;
};

/* One connection per request, until nobody listens any more. A connection that the kernel took, and the
 * service never saw, is cut without a byte: unheard. */
static void *ask_on(void *arg)
{
    struct load *load = arg;
    while (!atomic_load(&load->stop)) {
        char head[200];
        int fd = client_try_connect(load->port);
        if (fd < 0)
            break;
        (void)snprintf(
            head, sizeof head,
            "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
            one.size);
        (void)client_send_text(fd, head);
        (void)client_send(fd, one.data, one.size);
        char answer[16] = "";
        size_t n = 0;
        for (ssize_t got = 1; n < 12 && got > 0; n += (size_t)(got > 0 ? got : 0))
            got = recv(fd, answer + n, 12 - n, 0);
        if (strncmp(answer, "HTTP/1.1 200", 12) == 0)
            (void)atomic_fetch_add(&load->ok, 1);
        else if (strncmp(answer, "HTTP/1.1 503", 12) == 0)
            (void)atomic_fetch_add(&load->refused, 1);
        else if (n == 0)
            (void)atomic_fetch_add(&load->unheard, 1);
        else
            (void)atomic_fetch_add(&load->other, 1);
        (void)close(fd);
    }
    return NULL;
}

static void requests_in_flight_are_finished(void **state)
{
    static const char *const options[] = {"--workers", "1", NULL};
    (void)state;
    struct service service = {0};
    service_start(&service, program, options);
    int fds[5];
    for (size_t i = 0; i < 5; i++) { /* one at work, four waiting */
        char head[200];
        fds[i] = client_connect(service.port);
        (void)snprintf(head, sizeof head,
                       "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", one.size);
        (void)client_send_text(fds[i], head);
        (void)client_send(fds[i], one.data, one.size);
    }
    int late = client_connect(service.port);                      /* connected before, asks after */
    for (int64_t start = frt_now_ns();; (void)poll(NULL, 0, 2)) { /* all five have been read */
        struct answer a = get(service.port, "/metrics");
        double n = frt_json_double(frt_json_get(frt_json_get(frt_json_root(a.json), "requests"), "total"), 0);
        answer_free(&a);
        if (n >= 6 || frt_elapsed_ms(start) > 200)
            break;
    }
    assert_int_equal(kill(service.pid, SIGTERM), 0);
    free(service_log_with(&service, "event=stopping"));
    (void)client_send_text(late, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    struct answer a = client_read(late, false);
    expect(&a, 200, NULL);
    assert_string_equal(answer_header(&a, "Connection"), "close");
    answer_free(&a);
    (void)close(late);
    for (size_t i = 0; i < 5; i++) {
        a = client_read(fds[i], false);
        expect(&a, 200, NULL);
        answer_free(&a);
        (void)close(fds[i]);
    }
    assert_int_equal(service_stop(&service, 0), 0);
}

static void stopping_under_load(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct service service = {0};
        struct load load = {0};
        pthread_t threads[4];
        service_start(&service, program, NULL);
        load.port = service.port;
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &load), 0);
        (void)poll(NULL, 0, 300);
        int64_t start = frt_now_ns();
        assert_int_equal(service_stop(&service, round == 2 ? SIGINT : SIGTERM), 0);
        assert_true(frt_elapsed_ms(start) < 10000);
        atomic_store(&load.stop, true);
        for (size_t i = 0; i < 4; i++)
            (void)pthread_join(threads[i], NULL);
        assert_true(load.unheard <= 20); /* a few a client, while the socket closes */
        assert_true(load.ok > 0);
        assert_int_equal(load.other, 0);
    }
}

static void stopping_while_starting(void **state)
{
    (void)state;
    for (int ms = 0; ms < 250; ms += 60) {
        struct service service = {0};
        service_start_cold(&service, program, NULL);
        (void)poll(NULL, 0, ms);
        assert_int_equal(service_stop(&service, SIGTERM), 0);
    }
}

/* Run to its end with these arguments; what it said goes to `text`. */
static int run(const char *database, const char *const *arguments, char *text, size_t size)
{
    const char *argv[16] = {program, "serve", "--database", database};
    int ends[2], status = 0;
    size_t n = 4;
    for (; *arguments != NULL; arguments++)
        argv[n++] = *arguments;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(ends[1]);
    n = 0;
    for (ssize_t got = 1; got > 0 && n + 1 < size; n += (size_t)(got > 0 ? got : 0))
        got = read(ends[0], text + n, size - 1 - n);
    text[n] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void what_prevents_a_start(void **state)
{
    (void)state;
    struct service service = {0};
    char text[8192], taken[32], garbage[100];
    service_start(&service, program, NULL);
    (void)snprintf(taken, sizeof taken, "127.0.0.1:%d", service.port);
    (void)snprintf(garbage, sizeof garbage, "%s/garbage.db", service.folder);
    FILE *file = fopen(garbage, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        (void)fputs("this is no database of ours\n", file);
    (void)fclose(file);
    const struct {
        const char *arguments[8];
        int code;
        const char *says;
    } tries[] = {{{"--listen", taken}, 7, "in use"},
                 {{"--listen", "0.0.0.0:0"}, 7, "credentials"},
                 {{"--listen", "here"}, 2, "ADDRESS:PORT"},
                 {{"--listen", "127.0.0.1:99999"}, 2, "ADDRESS:PORT"},
                 {{"--listen", "127.0.0.1:0", "--pack", "no/such/pack"}, -1, "no/such/pack"},
                 {{"--listen", "127.0.0.1:0", "--detector", "nobody"}, 6, "nobody"},
                 {{"--listen", "127.0.0.1:0", "--runtime", "/nowhere/lib.so"}, 7, "/nowhere/lib.so"},
                 {{"--listen", "127.0.0.1:0", "--database", garbage}, 7, "garbage.db"},
                 {{"--listen", "127.0.0.1:0", "--database", service.folder}, -1, service.folder},
                 {{"--listen", "127.0.0.1:0", "--database", "/proc/nowhere/frt.db"}, -1, "/proc/nowhere"},
                 {{"--listen", "127.0.0.1:0", "--index-engine", "guess"}, -1, "guess"},
                 {{"--trusted-proxies", "10.0.0.0/40"}, 2, "10.0.0.0/40"},
                 {{"--token-lifetime", "1ms"}, 2, "token_lifetime"},
                 {{"--queeu", "3"}, 2, "--queue"}};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        int code = run(service.database, tries[i].arguments, text, sizeof text);
        if (strstr(text, tries[i].says) == NULL || code == 0 || (tries[i].code >= 0 && code != tries[i].code))
            fail_msg("try %zu: code %d: %s", i, code, text);
    }
    assert_int_equal(service_stop(&service, SIGTERM), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_in_flight_are_finished),
        cmocka_unit_test(stopping_under_load),
        cmocka_unit_test(stopping_while_starting),
        cmocka_unit_test(what_prevents_a_start),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    (void)signal(SIGPIPE, SIG_IGN);
    program = argv[1];
    one = photo_of(1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(one.data);
    return failed;
}

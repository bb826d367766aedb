/*
 * Restarts that nobody notices: leaving before stopping, a socket that outlives the service (socket
 * activation), and a successor on the same port.
 */
#include <fcntl.h>
#include <netinet/in.h>
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

enum { CLIENTS = 3, RESTARTS = 3, BETWEEN_MS = 250 };

static const char *program;

/* ------------------------------------------------------------------- load */

struct load {
    int port;
    atomic_int ok, failed, again, unheard;
    atomic_bool stop;
    char first[200]; /* what went wrong first; its writer has raised `failed` from 0 */
};

static void failed(struct load *load, const char *what, const struct answer *a)
{
    if (atomic_fetch_add(&load->failed, 1) == 0)
        (void)snprintf(load->first, sizeof load->first, "%s: %d %.150s", what, a == NULL ? 0 : a->status,
                       a == NULL ? "" : a->body);
}

/* One after the other, on a connection as long as it stands. A connection that was used before and ends without
 * a byte is what HTTP allows at any time: asked again on a new one, as every client and balancer does. */
static void *ask_on(void *arg)
{
    struct load *load = arg;
    int fd = -1;
    bool used = false;
    for (int i = 0; !atomic_load(&load->stop); i++) {
        if (fd < 0) {
            fd = client_try_connect(load->port);
            used = false;
        }
        if (fd < 0) {
            failed(load, "nobody listens", NULL);
            continue;
        }
        (void)client_send_text(fd, i % 2 == 0 ? "GET /v1/collections HTTP/1.1\r\nHost: localhost\r\n\r\n"
                                              : "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n");
        struct answer a = client_read(fd, false);
        if (a.status == 200)
            (void)atomic_fetch_add(&load->ok, 1);
        else if (a.status == 0 && used)
            (void)atomic_fetch_add(&load->again, 1);
        else if (a.status == 0)
            (void)atomic_fetch_add(&load->unheard, 1);
        else
            failed(load, "asked", &a);
        used = true;
        if (a.status == 0 || strcmp(answer_header(&a, "Connection"), "close") == 0 || i % 16 == 15) {
            (void)close(fd);
            fd = -1;
        }
        answer_free(&a);
    }
    if (fd >= 0)
        (void)close(fd);
    return NULL;
}

static void load_start(struct load *load, int port, pthread_t threads[CLIENTS])
{
    load->port = port;
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, load), 0);
}

static void load_end(struct load *load, pthread_t threads[CLIENTS], int at_least, int cut)
{
    atomic_store(&load->stop, true);
    for (size_t i = 0; i < CLIENTS; i++)
        (void)pthread_join(threads[i], NULL);
    print_message("%d answered, %d asked again on a new connection, %d cut unheard, %d failed\n", load->ok,
                  load->again, load->unheard, load->failed);
    if (load->failed > 0 || load->unheard > cut)
        fail_msg("%d of %d failed, first: %s; %d cut unheard", load->failed, load->failed + load->ok,
                 load->first, load->unheard);
    assert_true(load->ok >= at_least);
}

/* --------------------------------------------------------------- services */

static void set_ready(const struct service *service)
{
    free(service_log_with(service, "event=ready"));
}

/* A service on a socket that this test holds. */
static void start_on_socket(struct service *service, int listener)
{
    service_folder(service);
    int log = open(service->log, O_CREAT | O_RDWR | O_TRUNC, 0600);
    assert_true(log >= 0);
    service->pid = fork();
    assert_true(service->pid >= 0);
    if (service->pid == 0) {
        char pid[24];
        (void)dup2(log, STDERR_FILENO);
        (void)dup2(log, STDOUT_FILENO);
        (void)dup2(listener, 3);
        (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
        (void)setenv("LISTEN_PID", pid, 1);
        (void)setenv("LISTEN_FDS", "1", 1);
        (void)execl(program, program, "serve", "--database", service->database, (char *)NULL);
        _exit(127);
    }
    (void)close(log);
    set_ready(service);
}

static int listen_here(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* dup2 onto itself would leave it closed at exec */
    const int listener = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    (void)close(fd);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 511), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return listener;
}

/* ------------------------------------------------------------------ tests */

static void it_leaves_before_it_stops(void **state)
{
    static const char *const options[] = {"--drain-delay", "1min", NULL}, *const brief[] = {"--drain-delay",
                                                                                            "300ms", NULL};
    (void)state;
    struct service service = {0};
    service_start(&service, program, options);
    const int kept = client_connect(service.port); /* a balancer's connection, idle */
    assert_int_equal(kill(service.pid, SIGTERM), 0);
    free(service_log_with(&service, "event=leaving"));
    struct answer a = get(service.port, "/readyz");
    expect(&a, 503, "stopping");
    answer_free(&a);
    a = request_with(service.port, "GET", "/v1/collections", "", NULL, NULL, 0);
    expect(&a, 200, NULL); /* served, and told to go elsewhere next time */
    assert_string_equal(answer_header(&a, "Connection"), "close");
    answer_free(&a);
    (void)client_send_text(kept, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    a = client_read(kept, false);
    expect(&a, 200, NULL);
    assert_string_equal(answer_header(&a, "Connection"), "close");
    answer_free(&a);
    (void)close(kept);
    assert_int_equal(service_pause(&service, SIGTERM), 0); /* a second signal does not wait */
    assert_true(client_try_connect(service.port) < 0);
    service_start(&service, program, brief);
    const int64_t start = frt_now_ns();
    assert_int_equal(service_pause(&service, SIGTERM), 0);
    assert_true(frt_elapsed_ms(start) >= 300);
    service_start(&service, program, options);
    assert_int_equal(service_pause(&service, SIGINT), 0); /* nor does a terminal's */
    char *log = service_log(&service);
    assert_null(strstr(log, "event=leaving"));
    free(log);
    assert_int_equal(service_stop(&service, 0), 0);
}

/* As under systemd: one service ends, connections wait in the socket, the next one begins. */
static void a_socket_outlives_the_service(void **state)
{
    (void)state;
    struct service service = {0};
    struct load load = {0};
    pthread_t threads[CLIENTS];
    int port = 0;
    const int listener = listen_here(&port);
    start_on_socket(&service, listener);
    load_start(&load, port, threads);
    for (int i = 0; i < RESTARTS; i++) {
        (void)poll(NULL, 0, BETWEEN_MS);
        assert_int_equal(service_pause(&service, SIGTERM), 0);
        start_on_socket(&service, listener);
    }
    (void)poll(NULL, 0, BETWEEN_MS);
    load_end(&load, threads, 10, 0);
    assert_int_equal(service_stop(&service, SIGTERM), 0);
    (void)close(listener);
}

/* The next one listens beside the one that ends. Between the last look into a socket and its end a connection
 * may still come, which the kernel then cuts: docs/operations.md says what closes that gap. */
static void a_successor_on_the_same_port(void **state)
{
    (void)state;
    struct service services[2] = {0};
    struct load load = {0};
    pthread_t threads[CLIENTS];
    char address[32];
    const char *options[] = {"--reuse-port", "true", "--drain-delay", "200ms", NULL, NULL, NULL};
    service_start(&services[0], program, options);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", services[0].port);
    options[4] = "--listen";
    options[5] = address;
    load_start(&load, services[0].port, threads);
    for (int i = 0; i < RESTARTS; i++) {
        struct service *old = &services[i % 2], *next = &services[(i + 1) % 2];
        (void)poll(NULL, 0, BETWEEN_MS);
        service_start_cold(next, program, options);
        set_ready(next);
        assert_int_equal(service_stop(old, SIGTERM), 0);
        *old = (struct service){0};
    }
    load_end(&load, threads, 10, RESTARTS);
    assert_int_equal(service_stop(&services[RESTARTS % 2], SIGTERM), 0);
}

static void what_is_no_socket_is_refused(void **state)
{
    (void)state;
    struct service service = {0};
    service_folder(&service);
    const int pid = fork();
    if (pid == 0) {
        char text[24];
        const int log = open(service.log, O_CREAT | O_RDWR | O_TRUNC, 0600);
        (void)dup2(log, STDERR_FILENO);
        (void)dup2(log, 3);
        (void)snprintf(text, sizeof text, "%d", (int)getpid());
        (void)setenv("LISTEN_PID", text, 1);
        (void)setenv("LISTEN_FDS", "1", 1);
        (void)execl(program, program, "serve", "--database", service.database, (char *)NULL);
        _exit(127);
    }
    service.pid = pid;
    assert_int_equal(service_pause(&service, 0), 7);
    char *log = service_log(&service);
    assert_non_null(strstr(log, "LISTEN_FDS"));
    free(log);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_leaves_before_it_stops),
        cmocka_unit_test(a_socket_outlives_the_service),
        cmocka_unit_test(a_successor_on_the_same_port),
        cmocka_unit_test(what_is_no_socket_is_refused),
    };
    if (argc != 2 || !photos_are_there())
        return 77;
    (void)signal(SIGPIPE, SIG_IGN);
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/clock.h"

enum { MAX_OPTIONS = 32, MAX_HEAD = 64 * 1024 };

int client_wait_ms = WAIT_MS;

static void nap(int ms)
{
    (void)poll(NULL, 0, ms);
}

/* ---------------------------------------------------------------- service */

char *service_log(const struct service *service)
{
    FILE *file = fopen(service->log, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    (void)fread(text, 1, (1 << 20) - 1, file);
    (void)fclose(file);
    return text;
}

char *service_log_with(const struct service *service, const char *text)
{
    for (int64_t start = frt_now_ns();; nap(5)) {
        char *log = service_log(service);
        if (strstr(log, text) != NULL)
            return log;
        if (frt_elapsed_ms(start) > WAIT_MS)
            fail_msg("'%s' is not in the log: %s", text, log);
        free(log);
    }
}

bool service_is_alive(struct service *service)
{
    return waitpid(service->pid, NULL, WNOHANG) == 0;
}

void service_folder(struct service *service)
{
    if (service->folder[0] != '\0')
        return;
    (void)snprintf(service->folder, sizeof service->folder, "/tmp/frt_http_XXXXXX");
    assert_non_null(mkdtemp(service->folder));
    (void)snprintf(service->log, sizeof service->log, "%s/log", service->folder);
    (void)snprintf(service->database, sizeof service->database, "%s/frt.db", service->folder);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_folder(struct service *service)
{
    (void)nftw(service->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    service->folder[0] = '\0';
}

void service_start_cold(struct service *service, const char *program, const char *const *options)
{
    service_folder(service);
    const char *argv[MAX_OPTIONS] = {program,       "serve",      "--listen",
                                     "127.0.0.1:0", "--database", service->database};
    size_t n = 6;
    for (; options != NULL && *options != NULL && n + 1 < MAX_OPTIONS; options++)
        argv[n++] = *options;
    argv[n] = NULL;
    int log = open(service->log, O_CREAT | O_RDWR | O_TRUNC, 0600);
    assert_true(log >= 0);
    service->port = 0;
    service->pid = fork();
    assert_true(service->pid >= 0);
    if (service->pid == 0) {
        (void)dup2(log, STDERR_FILENO);
        (void)dup2(log, STDOUT_FILENO);
        (void)execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(log);
    for (int64_t start = frt_now_ns(); service->port == 0; nap(5)) {
        char *text = service_log(service);
        const char *line = strstr(text, "listening"); /* in whatever format, at whatever address */
        const char *url = line == NULL ? NULL : strstr(line, "http://");
        /* the whole line must be there, lest a port be read in half */
        if (url != NULL && strchr(url, '\n') != NULL)
            service->port = (int)strtol(strchr(url + strlen("http://"), ':') + 1, NULL, 10);
        if (!service_is_alive(service) || frt_elapsed_ms(start) > WAIT_MS)
            fail_msg("the service did not start: %s", text);
        free(text);
    }
}

void service_start(struct service *service, const char *program, const char *const *options)
{
    service_start_cold(service, program, options);
    for (int64_t start = frt_now_ns();; nap(10)) {
        struct answer a = get(service->port, "/readyz");
        int status = a.status;
        answer_free(&a);
        if (status == 200)
            return;
        assert_int_equal(status, 503);
        assert_true(frt_elapsed_ms(start) < WAIT_MS);
    }
}

int service_stop(struct service *service, int signal)
{
    int code = service_pause(service, signal);
    if (getenv("FRT_KEEP_LOG") == NULL)
        remove_folder(service);
    return code;
}

int service_pause(struct service *service, int signal)
{
    int status = 0;
    if (signal != 0)
        assert_int_equal(kill(service->pid, signal), 0);
    for (int64_t start = frt_now_ns(); waitpid(service->pid, &status, WNOHANG) == 0; nap(5))
        if (frt_elapsed_ms(start) > WAIT_MS) {
            (void)kill(service->pid, SIGKILL);
            (void)waitpid(service->pid, &status, 0);
            fail_msg("the service did not stop");
        }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ----------------------------------------------------------------- client */

int client_try_connect(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const struct timeval limit = {.tv_sec = client_wait_ms / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

int client_connect(int port)
{
    int fd = client_try_connect(port);
    if (fd < 0)
        fail_msg("nobody listens on port %d", port);
    return fd;
}

size_t client_send(int fd, const void *data, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t n = send(fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    return sent;
}

size_t client_send_text(int fd, const char *text)
{
    return client_send(fd, text, strlen(text));
}

/* Reads up to the empty line, byte by byte: what follows may be another answer's. */
static char *read_head(int fd)
{
    char *head = calloc(1, MAX_HEAD);
    assert_non_null(head);
    for (size_t n = 0; n + 1 < MAX_HEAD; n++) {
        ssize_t got = recv(fd, head + n, 1, 0);
        if (got < 0 && errno != ECONNRESET)
            fail_msg("no answer: %s", strerror(errno));
        if (got <= 0) {
            assert_int_equal(n, 0); /* half a head is never right */
            break;
        }
        if (n >= 3 && memcmp(head + n - 3, "\r\n\r\n", 4) == 0)
            break;
    }
    return head;
}

/* A body in chunks; `cut` when the connection ends before the last one. */
static void read_chunks(int fd, struct answer *a)
{
    struct frt_buf body;
    frt_buf_init(&body, (size_t)1 << 30);
    for (;;) {
        char line[40] = "", bytes[65536];
        size_t n = 0, left;
        while (n + 1 < sizeof line && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
            n++;
        left = strtoull(line, NULL, 16);
        a->cut = line[n] != '\n';
        if (a->cut)
            break;
        for (size_t want = left + 2; want > 0 && !a->cut;) { /* CRLF ends a chunk */
            ssize_t got = recv(fd, bytes, want < sizeof bytes ? want : sizeof bytes, 0);
            a->cut = got <= 0;
            if (a->cut)
                break;
            size_t data = want > 2 ? want - 2 : 0;
            frt_buf_append(&body, bytes, (size_t)got < data ? (size_t)got : data);
            want -= (size_t)got;
        }
        if (a->cut || left == 0)
            break;
    }
    assert_int_equal(frt_buf_status(&body), FRT_OK);
    a->size = body.size;
    a->body = calloc(1, body.size + 1);
    assert_non_null(a->body);
    if (body.size > 0)
        memcpy(a->body, body.data, body.size);
    frt_buf_deinit(&body);
}

struct answer client_read(int fd, bool head_only)
{
    struct answer a = {.head = read_head(fd)};
    if (a.head[0] == '\0')
        return a;
    assert_int_equal(strncmp(a.head, "HTTP/1.1 ", 9), 0);
    a.status = (int)strtol(a.head + 9, NULL, 10);
    if (a.status == 100) { /* the real one follows */
        answer_free(&a);
        return client_read(fd, head_only);
    }
    if (a.status == 204 || head_only)
        return a;
    if (strcmp(answer_header(&a, "Transfer-Encoding"), "chunked") == 0) {
        read_chunks(fd, &a);
        return a;
    }
    const char *length = answer_header(&a, "Content-Length");
    assert_true(length[0] != '\0'); /* every answer of the service states its length */
    a.size = (size_t)strtoull(length, NULL, 10);
    a.body = calloc(1, a.size + 1);
    assert_non_null(a.body);
    for (size_t n = 0; n < a.size;) {
        ssize_t got = recv(fd, a.body + n, a.size - n, 0);
        if (got <= 0)
            fail_msg("the answer ends after %zu of %zu bytes", n, a.size);
        n += (size_t)got;
    }
    if (strstr(answer_header(&a, "Content-Type"), "json") != NULL) {
        struct frt_error err = {0};
        if (frt_json_parse(a.body, a.size, &a.json, &err) != FRT_OK)
            fail_msg("not JSON: %s: %s", err.text, a.body);
    }
    return a;
}

void answer_free(struct answer *answer)
{
    frt_json_free(answer->json);
    free(answer->head);
    free(answer->body);
    *answer = (struct answer){0};
}

const char *answer_header(const struct answer *answer, const char *name)
{
    static _Thread_local char value[1024];
    size_t n = strlen(name);
    value[0] = '\0';
    for (const char *line = strstr(answer->head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) != 0 || line[n] != ':')
            continue;
        const char *from = line + n + 1 + strspn(line + n + 1, " ");
        size_t size = strcspn(from, "\r\n");
        if (size >= sizeof value)
            size = sizeof value - 1;
        memcpy(value, from, size);
        value[size] = '\0';
        break;
    }
    return value;
}

struct answer request_with(int port, const char *method, const char *target, const char *headers,
                           const char *type, const void *body, size_t size)
{
    char head[8192];
    int fd = client_connect(port);
    int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s", method, target, port,
                     headers);
    if (type != NULL)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Type: %s\r\n", type);
    if (body != NULL)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %zu\r\n", size);
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    assert_true(n < (int)sizeof head);
    (void)client_send(fd, head, (size_t)n);
    (void)client_send(fd, body, body == NULL ? 0 : size);
    struct answer a = client_read(fd, strcmp(method, "HEAD") == 0);
    (void)close(fd);
    return a;
}

struct answer request(int port, const char *method, const char *target, const char *type, const void *body,
                      size_t size)
{
    return request_with(port, method, target, "Connection: close\r\n", type, body, size);
}

struct answer get(int port, const char *target)
{
    return request(port, "GET", target, NULL, NULL, 0);
}

void expect(const struct answer *answer, int status, const char *code)
{
    if (answer->status != status)
        fail_msg("%d instead of %d: %s", answer->status, status, answer->body == NULL ? "" : answer->body);
    assert_int_equal(strlen(answer_header(answer, "X-Request-Id")) > 0, 1);
    assert_true(strtod(answer_header(answer, "X-Process-Time"), NULL) >= 0);
    assert_string_equal(answer_header(answer, "X-Content-Type-Options"), "nosniff");
    if (status < 400)
        return;
    char type[80];
    const struct frt_json_value *root = frt_json_root(answer->json);
    assert_string_equal(answer_header(answer, "Content-Type"), "application/problem+json");
    (void)snprintf(type, sizeof type, "urn:frt:problem:%s", code);
    assert_string_equal(frt_json_text(frt_json_get(root, "code")), code);
    assert_string_equal(frt_json_text(frt_json_get(root, "type")), type);
    assert_true(strlen(frt_json_text(frt_json_get(root, "title"))) > 0);
    assert_true(strlen(frt_json_text(frt_json_get(root, "detail"))) > 10);
    assert_int_equal((int)frt_json_double(frt_json_get(root, "status"), 0), status);
    assert_string_equal(frt_json_text(frt_json_get(root, "request_id")), answer_header(answer, "X-Request-Id"));
}

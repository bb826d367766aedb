#include "cli/service_call.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/output.h"
#include "core/clock.h"
#include "core/mem.h"

enum { QUIET_MS = 60000, TICK_MS = 200, HOST_SIZE = 256, PORT_SIZE = 8, HEAD_SIZE = 2048, KEY_MAX = 512 };

struct place {
    char host[HOST_SIZE], port[PORT_SIZE], authority[HOST_SIZE + PORT_SIZE + 4], prefix[HOST_SIZE];
};

/* ------------------------------------------------------------------------ url */

static enum frt_status wrong_url(const char *url, struct frt_error *err)
{
    return frt_fail(err, FRT_EINVAL, "'%.200s' is no URL of a service; http://HOST[:PORT] is right%s", url,
                    strncmp(url, "https://", 8) == 0 ? " (not https: ask the service behind the proxy)" : "");
}

static enum frt_status parse_url(const char *url, struct place *out, struct frt_error *err)
{
    struct place p = {.port = "80"};
    const char *text = url + 7;
    if (strncmp(url, "http://", 7) != 0)
        return wrong_url(url, err);
    size_t n = strcspn(text, "/"), host = n;
    for (const char *c = url; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '@' || *c == '?' || *c == '#')
            return wrong_url(url, err);
    if (n == 0 || n >= HOST_SIZE || strlen(text + n) >= sizeof p.prefix)
        return wrong_url(url, err);
    (void)snprintf(p.authority, sizeof p.authority, "%.*s", (int)n, text);
    (void)snprintf(p.prefix, sizeof p.prefix, "%s", text + n);
    for (size_t end = strlen(p.prefix); end > 0 && p.prefix[end - 1] == '/';)
        p.prefix[--end] = '\0';
    const char *colon = strrchr(p.authority, ':');
    if (colon != NULL && strchr(colon, ']') == NULL) {
        host = (size_t)(colon - p.authority);
        if (colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5)
            return wrong_url(url, err);
        (void)snprintf(p.port, sizeof p.port, "%.5s", colon + 1);
    }
    const bool v6 = p.authority[0] == '[';
    if (v6 && (host < 3 || p.authority[host - 1] != ']'))
        return wrong_url(url, err);
    (void)snprintf(p.host, sizeof p.host, "%.*s", (int)(host - (v6 ? 2 : 0)), p.authority + (v6 ? 1 : 0));
    *out = p;
    return FRT_OK;
}

/* --------------------------------------------------------------------- socket */

static enum frt_status wait_for(int fd, short events, int quiet_ms, struct frt_error *err)
{
    const int64_t start = frt_now_ns();
    struct pollfd p = {.fd = fd, .events = events};
    while (frt_elapsed_ms(start) < quiet_ms) {
        if (cli_interrupted(NULL))
            return frt_fail(err, FRT_ECANCELLED, "interrupted");
        if (poll(&p, 1, TICK_MS) > 0)
            return FRT_OK;
    }
    return frt_fail(err, FRT_ETIMEOUT, "the service has been silent for %d s", quiet_ms / 1000);
}

static enum frt_status open_socket(const struct place *place, int quiet_ms, int *out, struct frt_error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int fd = -1, failed = 0, code = getaddrinfo(place->host, place->port, &hints, &list);
    if (code != 0)
        return frt_fail(err, FRT_EUNAVAILABLE, "%s: %s", place->host, gai_strerror(code));
    enum frt_status status = FRT_OK;
    for (const struct addrinfo *a = list; a != NULL && fd < 0 && status == FRT_OK; a = a->ai_next) {
        socklen_t size = sizeof failed;
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
        failed = fd < 0 || connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
        if (failed == EINPROGRESS) {
            status = wait_for(fd, POLLOUT, quiet_ms, err);
            if (status == FRT_OK && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0)
                failed = errno;
        }
        if (fd >= 0 && (failed != 0 || status != FRT_OK)) {
            (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (status == FRT_OK && fd < 0)
        status = frt_fail(err, FRT_EUNAVAILABLE, "no service at %s: %s", place->authority, strerror(failed));
    if (status == FRT_OK)
        *out = fd;
    return status;
}

/* A peer that closes early may have said why: what it says is read all the same. */
static enum frt_status send_all(int fd, const char *bytes, size_t size, int quiet_ms, struct frt_error *err)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return FRT_OK;
        } else if (errno != EINTR) {
            enum frt_status status = errno == EAGAIN
                                         ? wait_for(fd, POLLOUT, quiet_ms, err)
                                         : frt_fail(err, FRT_EUNAVAILABLE, "the service: %s", strerror(errno));
            if (status != FRT_OK)
                return status;
        }
    }
    return FRT_OK;
}

static enum frt_status receive_all(int fd, int quiet_ms, struct frt_buf *out, struct frt_error *err)
{
    char piece[16384];
    for (;;) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n == 0)
            break;
        if (n > 0)
            frt_buf_append(out, piece, (size_t)n);
        if (frt_buf_status(out) != FRT_OK)
            return frt_fail(err, frt_buf_status(out), "the answer is larger than %zu bytes", out->max);
        if (n < 0 && errno == ECONNRESET && out->size > 0)
            break;
        if (n < 0 && errno != EINTR) {
            enum frt_status status = errno == EAGAIN
                                         ? wait_for(fd, POLLIN, quiet_ms, err)
                                         : frt_fail(err, FRT_EUNAVAILABLE, "the service: %s", strerror(errno));
            if (status != FRT_OK)
                return status;
        }
    }
    return FRT_OK;
}

/* ----------------------------------------------------------------------- call */

static enum frt_status split(const struct frt_buf *whole, int *status, struct frt_buf *answer,
                             struct frt_error *err)
{
    const char *end = whole->size == 0 ? NULL : strstr(whole->data, "\r\n\r\n");
    if (end == NULL || strncmp(whole->data, "HTTP/1.", 7) != 0 || whole->size < 12)
        return frt_fail(err, FRT_EUNAVAILABLE, "what answers there does not speak HTTP");
    *status = (int)strtol(whole->data + 9, NULL, 10);
    end += 4;
    frt_buf_append(answer, end, whole->size - (size_t)(end - whole->data));
    return frt_buf_status(answer) == FRT_OK ? FRT_OK : frt_fail_nomem(err, "an answer");
}

static enum frt_status exchange(const struct cli_service_call *call, bool post, int *status,
                                struct frt_buf *answer, struct frt_error *err)
{
    const int quiet_ms = call->quiet_ms > 0 ? call->quiet_ms : QUIET_MS;
    struct place place;
    struct frt_buf whole;
    char head[HEAD_SIZE], body[128] = "";
    int fd = -1;
    enum frt_status result = parse_url(call->url, &place, err);
    if (result != FRT_OK)
        return result;
    frt_buf_init(&whole, answer->max);
    if (post)
        (void)snprintf(body, sizeof body, "Content-Type: %.64s\r\nContent-Length: %zu\r\n", call->type,
                       call->size);
    int n = snprintf(head, sizeof head, "%s %s%s HTTP/1.0\r\nHost: %s\r\n%s%s\r\n", post ? "POST" : "GET",
                     place.prefix, call->path, place.authority, body, call->headers);
    if (n < 0 || (size_t)n >= sizeof head)
        return frt_fail(err, FRT_EINVAL, "the request's head is longer than %d bytes", HEAD_SIZE);
    result = open_socket(&place, quiet_ms, &fd, err);
    if (result == FRT_OK)
        result = send_all(fd, head, (size_t)n, quiet_ms, err);
    if (result == FRT_OK && post)
        result = send_all(fd, call->body, call->size, quiet_ms, err);
    if (result == FRT_OK)
        result = receive_all(fd, quiet_ms, &whole, err);
    if (result == FRT_OK)
        result = split(&whole, status, answer, err);
    if (fd >= 0)
        (void)close(fd);
    frt_buf_deinit(&whole);
    return result;
}

enum frt_status cli_service_post(const struct cli_service_call *call, int *status, struct frt_buf *answer,
                                 struct frt_error *err)
{
    return exchange(call, true, status, answer, err);
}

enum frt_status cli_service_get(const struct cli_service_call *call, int *status, struct frt_buf *answer,
                                struct frt_error *err)
{
    return exchange(call, false, status, answer, err);
}

enum frt_status cli_key_read(const char *path, char **key, struct frt_error *err)
{
    char line[KEY_MAX + 2] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return frt_fail(err, errno == ENOENT ? FRT_ENOTFOUND : FRT_EIO, "%s: %s", path, strerror(errno));
    const bool there = fgets(line, sizeof line, file) != NULL;
    (void)fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    bool good = there && line[0] != '\0' && strlen(line) <= KEY_MAX;
    for (const char *c = line; *c != '\0'; c++)
        good = good && (unsigned char)*c > ' ' && (unsigned char)*c < 0x7f;
    if (!good)
        return frt_fail(err, FRT_EINVAL, "%s: its first line is no key", path);
    *key = frt_strdup(line);
    return *key != NULL ? FRT_OK : frt_fail_nomem(err, "a key");
}

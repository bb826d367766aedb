#include "http/listen_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 511, HOST_MAX = 256, INHERITED_FD = 3 };

/* A host of n characters; an IPv6 address has brackets, which are left out, and nothing else has. */
static bool copy_host(const char *text, size_t n, char host[HOST_MAX])
{
    bool v6 = n > 2 && text[0] == '[' && text[n - 1] == ']';
    if (n == 0 || n >= HOST_MAX || v6 != (memchr(text, ':', n) != NULL))
        return false;
    memcpy(host, text + v6, n - 2 * (size_t)v6);
    host[n - 2 * (size_t)v6] = '\0';
    return true;
}

/* Host and port of "a:1", "[b]:2". */
static bool split(const char *text, char host[HOST_MAX], long *port)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    if (colon == NULL || colon == text || colon[1] < '0' || colon[1] > '9')
        return false;
    *port = strtol(colon + 1, &end, 10);
    return *end == '\0' && *port >= 0 && *port <= 65535 && copy_host(text, (size_t)(colon - text), host);
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse(const char *host, uint16_t port, union address *out, socklen_t *size)
{
    memset(out, 0, sizeof *out);
    if (strcasecmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        *size = sizeof out->v4;
        return true;
    }
    if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        *size = sizeof out->v6;
        return true;
    }
    return false;
}

static bool is_loopback(const union address *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

static enum frt_status read_listen(const char *text, char host[HOST_MAX], union address *address,
                                   socklen_t *size, struct frt_error *err)
{
    long port = 0;
    if (split(text, host, &port) && parse(host, (uint16_t)port, address, size))
        return FRT_OK;
    return frt_fail(err, FRT_EINVAL,
                    "listen is '%s'; ADDRESS:PORT with a numeric address is right, e.g. "
                    "127.0.0.1:8080 or [::1]:8080",
                    text);
}

enum frt_status http_listen_is_loopback(const char *listen_text, bool *out, struct frt_error *err)
{
    char host[HOST_MAX];
    union address address = {0};
    socklen_t size = 0;
    enum frt_status status = read_listen(listen_text, host, &address, &size, err);
    if (status == FRT_OK)
        *out = is_loopback(&address);
    return status;
}

/* Where a socket is bound. */
static bool bound_to(int s, union address *out)
{
    socklen_t size = sizeof *out;
    memset(out, 0, sizeof *out);
    return getsockname(s, &out->any, &size) == 0 &&
           (out->any.sa_family == AF_INET || out->any.sa_family == AF_INET6);
}

/* host  as it was asked for; NULL = as it is bound. */
static void write_url(const char *host, const union address *bound, char *url, size_t url_size)
{
    char text[INET6_ADDRSTRLEN] = "";
    const bool v6 = bound->any.sa_family == AF_INET6;
    if (host == NULL)
        host = v6 ? inet_ntop(AF_INET6, &bound->v6.sin6_addr, text, sizeof text)
                  : inet_ntop(AF_INET, &bound->v4.sin_addr, text, sizeof text);
    if (host == NULL)
        host = "";
    (void)snprintf(url, url_size, v6 ? "http://[%s]:%u" : "http://%s:%u",
                   strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                   ntohs(v6 ? bound->v6.sin6_port : bound->v4.sin_port));
}

/* Sockets that this process was started with. */
static long count_inherited(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    const bool ours = pid != NULL && count != NULL && strtol(pid, NULL, 10) == (long)getpid();
    return ours ? strtol(count, NULL, 10) : 0;
}

bool http_listen_is_inherited(void)
{
    return count_inherited() > 0;
}

enum frt_status http_listen_inherited(int *fd, char *url, size_t url_size, bool *loopback,
                                      struct frt_error *err)
{
    const long n = count_inherited();
    union address bound;
    int listens = 0;
    socklen_t size = sizeof listens;
    *fd = -1;
    if (n < 1)
        return FRT_OK;
    (void)unsetenv("LISTEN_PID"); /* it is no business of whatever this process starts */
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (n > 1)
        return frt_fail(err, FRT_EUNAVAILABLE, "the service was handed %ld sockets (LISTEN_FDS); one is right",
                        n);
    if (getsockopt(INHERITED_FD, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0 ||
        !bound_to(INHERITED_FD, &bound))
        return frt_fail(err, FRT_EUNAVAILABLE,
                        "the service was handed a descriptor (LISTEN_FDS) that is no listening TCP socket");
    (void)fcntl(INHERITED_FD, F_SETFD, FD_CLOEXEC);
    (void)fcntl(INHERITED_FD, F_SETFL, fcntl(INHERITED_FD, F_GETFL) | O_NONBLOCK);
    write_url(NULL, &bound, url, url_size);
    *loopback = is_loopback(&bound);
    *fd = INHERITED_FD;
    return FRT_OK;
}

enum frt_status http_listen(const char *listen_text, bool shared, int *fd, char *url, size_t url_size,
                            struct frt_error *err)
{
    char host[HOST_MAX];
    union address address = {0}, bound = {0};
    socklen_t size = 0;
    int on = 1;

    enum frt_status status = read_listen(listen_text, host, &address, &size, err);
    if (status != FRT_OK)
        return status;
    int s = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return frt_fail(err, FRT_EUNAVAILABLE, "socket: %s", strerror(errno));
    (void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if ((shared && setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        bind(s, &address.any, size) != 0 || listen(s, BACKLOG) != 0 || !bound_to(s, &bound)) {
        int why = errno;
        (void)close(s);
        if (why == EADDRINUSE)
            return frt_fail(err, FRT_EUNAVAILABLE,
                            "%s is in use; is the service running already? 'ss -ltnp' tells who has it; choose "
                            "another port with --listen",
                            listen_text);
        return frt_fail(err, FRT_EUNAVAILABLE, "cannot listen on %s: %s", listen_text, strerror(why));
    }
    write_url(host, &bound, url, url_size);
    *fd = s;
    return FRT_OK;
}

bool http_host_is_loopback(const char *host)
{
    char name[HOST_MAX];
    union address address;
    socklen_t size;
    long port;
    if (host == NULL)
        return false;
    if (!split(host, name, &port) && !copy_host(host, strlen(host), name))
        return false;
    return parse(name, 0, &address, &size) && is_loopback(&address);
}

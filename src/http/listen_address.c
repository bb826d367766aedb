#include "http/listen_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 511, HOST_MAX = 256 };

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

enum frt_status http_listen(const char *listen_text, int *fd, char *url, size_t url_size, struct frt_error *err)
{
    char host[HOST_MAX];
    union address address = {0}, bound = {0};
    socklen_t size = 0, bound_size = sizeof bound;
    int on = 1;

    enum frt_status status = read_listen(listen_text, host, &address, &size, err);
    if (status != FRT_OK)
        return status;
    int s = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return frt_fail(err, FRT_EUNAVAILABLE, "socket: %s", strerror(errno));
    (void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s, &address.any, size) != 0 || listen(s, BACKLOG) != 0 ||
        getsockname(s, &bound.any, &bound_size) != 0) {
        int why = errno;
        (void)close(s);
        if (why == EADDRINUSE)
            return frt_fail(err, FRT_EUNAVAILABLE,
                            "%s is in use; is the service running already? 'ss -ltnp' tells who has it; choose "
                            "another port with --listen",
                            listen_text);
        return frt_fail(err, FRT_EUNAVAILABLE, "cannot listen on %s: %s", listen_text, strerror(why));
    }
    bool v6 = bound.any.sa_family == AF_INET6;
    (void)snprintf(url, url_size, v6 ? "http://[%s]:%u" : "http://%s:%u",
                   strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                   ntohs(v6 ? bound.v6.sin6_port : bound.v4.sin_port));
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

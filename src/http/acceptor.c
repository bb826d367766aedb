#include "http/acceptor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/mem.h"

enum { NO_ROOM_MS = 20, AT_ONCE = 64 };

struct http_acceptor {
    struct http_acceptor_options options;
    pthread_t thread;
    int end; /* an event that ends the thread; -1 = it does not run */
};

/* At most `most` of what waits. False: there is no room, or no descriptor, for more. */
static bool accept_some(const struct http_acceptor *acceptor, int most)
{
    const struct http_acceptor_options *o = &acceptor->options;
    for (int i = 0; i < most; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        if (!o->room(o->arg))
            return false;
        const int fd = accept4(o->listener, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        o->take(o->arg, fd, (const struct sockaddr *)&address, size);
    }
    return true;
}

static void *accept_on(void *arg)
{
    const struct http_acceptor *acceptor = arg;
    bool room = true;
    for (;;) {
        struct pollfd fds[2] = {{.fd = acceptor->end, .events = POLLIN},
                                {.fd = room ? acceptor->options.listener : -1, .events = POLLIN}};
        (void)poll(fds, 2, room ? -1 : NO_ROOM_MS);
        if (fds[0].revents != 0)
            return NULL;
        room = accept_some(acceptor, AT_ONCE);
    }
}

enum frt_status http_acceptor_new(const struct http_acceptor_options *options, struct http_acceptor **out,
                                  struct frt_error *err)
{
    struct http_acceptor *acceptor = frt_alloc_zero(1, sizeof *acceptor);
    if (acceptor == NULL) {
        (void)close(options->listener);
        return frt_fail_nomem(err, "the server");
    }
    acceptor->options = *options;
    acceptor->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (acceptor->end < 0 || pthread_create(&acceptor->thread, NULL, accept_on, acceptor) != 0) {
        if (acceptor->end >= 0)
            (void)close(acceptor->end);
        (void)close(options->listener);
        frt_free(acceptor);
        return frt_fail_nomem(err, "a thread");
    }
    *out = acceptor;
    return FRT_OK;
}

void http_acceptor_end(struct http_acceptor *acceptor)
{
    const uint64_t one = 1;
    if (acceptor == NULL)
        return;
    (void)!write(acceptor->end, &one, sizeof one);
    (void)pthread_join(acceptor->thread, NULL);
    if (!acceptor->options.inherited)
        (void)accept_some(acceptor, SOMAXCONN);
    (void)close(acceptor->options.listener);
    (void)close(acceptor->end);
    frt_free(acceptor);
}

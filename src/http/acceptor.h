/*
 * The thread that accepts connections and hands them on, so that a service can stop hearing new ones while
 * those that stand are served. (libmicrohttpd 0.9.75 can do the latter by itself, MHD_quiesce_daemon; with
 * several threads over epoll two of them then take the socket out of the same set, and the second one ends the
 * process.)
 *
 * Threading: one owner; `room` and `take` are called on the acceptor's thread, and from http_acceptor_end.
 */
#ifndef FRT_HTTP_ACCEPTOR_H
#define FRT_HTTP_ACCEPTOR_H

#include <sys/socket.h>

#include "core/status.h"

struct http_acceptor;

struct http_acceptor_options {
    int listener;            /* CONSUMED, also on failure */
    bool inherited;          /* others have the socket, too: what waits in it at the end is theirs */
    bool (*room)(void *arg); /* may another connection come? False: it waits in the socket */
    void (*take)(void *arg, int fd, const struct sockaddr *address, socklen_t size); /* CONSUMES fd */
    void *arg;
};

/** Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status http_acceptor_new(const struct http_acceptor_options *options,
                                                struct http_acceptor **out, struct frt_error *err);
/** Take what waits (not of an inherited socket), close the socket and end the thread. NULL is fine. */
void http_acceptor_end(struct http_acceptor *acceptor);

#endif

/*
 * The open connections and what each is at, so that one that sits in a phase too long can be cut off.
 *
 * Threading: internally locked (who comes and goes, and the look at all); a connection's phase is atomic and
 * set by its own thread without a lock, as that happens several times a request.
 */
#ifndef FRT_HTTP_CLIENT_LIST_H
#define FRT_HTTP_CLIENT_LIST_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/status.h"

enum http_phase { HTTP_PHASE_WAITING = 0, HTTP_PHASE_READING, HTTP_PHASE_WORKING, HTTP_PHASE_WRITING };

/* One connection. */
struct http_client {
    struct http_client *next, *previous; /* guarded by the list's lock */
    int fd;
    _Atomic int phase; /* enum http_phase */
    _Atomic int64_t since_ns;
};

struct http_client_list {
    pthread_mutex_t lock;
    struct http_client *first;
    atomic_uint size;
    atomic_uint coming; /* accepted, and not yet taken up by the thread that will serve them */
};

void http_client_list_init(struct http_client_list *list);
void http_client_list_deinit(struct http_client_list *list);

/** A connection was accepted: it counts from now on. http_client_add or http_client_lost follows. */
void http_client_coming(struct http_client_list *list);
/** It was dropped before it was taken up. */
void http_client_lost(struct http_client_list *list);
/** A connection has come that was said to be coming; NULL without memory. */
struct http_client *http_client_add(struct http_client_list *list, int fd);
/** It has gone: frees. */
void http_client_remove(struct http_client_list *list, struct http_client *client);
void http_client_phase(struct http_client *client, enum http_phase phase, int64_t now_ns);
/**
 * Shut down those that sit in a phase other than working for longer than the limit, and those whose client has
 * hung up: their thread sees the end and cleans up.
 *
 * The latter for what came in one piece with the end of the connection: the library reads the piece, and
 * nothing ever tells it again that there is an end to be read. Of idle connections only those are looked at
 * that have become so a moment ago: thousands of them cost nothing.
 */
void http_client_list_reap(struct http_client_list *list, int64_t now_ns, int64_t limit_ns);
/** How many there are. */
uint32_t http_client_list_size(struct http_client_list *list);
/** Is there one that is at something, or that has waited for its next request for less than `quiet_ns`? */
bool http_client_list_busy(struct http_client_list *list, int64_t now_ns, int64_t quiet_ns);

#endif

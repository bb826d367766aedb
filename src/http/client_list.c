#include "http/client_list.h"

#include <sys/socket.h>

#include "core/clock.h"
#include "core/mem.h"

#define LOOK_FROM_NS (INT64_C(100) * 1000000)
#define LOOK_UNTIL_NS (INT64_C(1600) * 1000000)

void http_client_list_init(struct http_client_list *list)
{
    *list = (struct http_client_list){.first = NULL};
    (void)pthread_mutex_init(&list->lock, NULL);
}

void http_client_list_deinit(struct http_client_list *list)
{
    (void)pthread_mutex_destroy(&list->lock);
}

void http_client_coming(struct http_client_list *list)
{
    atomic_fetch_add(&list->coming, 1);
}

void http_client_lost(struct http_client_list *list)
{
    atomic_fetch_sub(&list->coming, 1);
}

struct http_client *http_client_add(struct http_client_list *list, int fd)
{
    struct http_client *client = frt_alloc_zero(1, sizeof *client);
    if (client == NULL) {
        http_client_lost(list);
        return NULL;
    }
    client->fd = fd;
    atomic_init(&client->since_ns, frt_now_ns());
    (void)pthread_mutex_lock(&list->lock);
    client->next = list->first;
    if (client->next != NULL)
        client->next->previous = client;
    list->first = client;
    atomic_fetch_add(&list->size, 1); /* before the other: it is never counted as none */
    atomic_fetch_sub(&list->coming, 1);
    (void)pthread_mutex_unlock(&list->lock);
    return client;
}

void http_client_remove(struct http_client_list *list, struct http_client *client)
{
    (void)pthread_mutex_lock(&list->lock);
    if (client->next != NULL)
        client->next->previous = client->previous;
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        list->first = client->next;
    atomic_fetch_sub(&list->size, 1);
    (void)pthread_mutex_unlock(&list->lock);
    frt_free(client);
}

void http_client_phase(struct http_client *client, enum http_phase phase, int64_t now_ns)
{
    /* The time first: who sees the new phase (release, acquire) sees a time that is not older. The other way
     * round a connection that has been worked on for long would look as if it had been written to for long. */
    atomic_store_explicit(&client->since_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&client->phase, (int)phase, memory_order_release);
}

/* A client that has hung up, and everything it sent has been read. */
static bool is_over(const struct http_client *client, int phase, int64_t in_phase_ns)
{
    char byte;
    return in_phase_ns > LOOK_FROM_NS && (phase == HTTP_PHASE_READING || in_phase_ns < LOOK_UNTIL_NS) &&
           recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void http_client_list_reap(struct http_client_list *list, int64_t now_ns, int64_t limit_ns)
{
    (void)pthread_mutex_lock(&list->lock);
    for (const struct http_client *c = list->first; c != NULL; c = c->next) {
        const int phase = atomic_load_explicit(&c->phase, memory_order_acquire);
        const int64_t in_phase_ns = now_ns - atomic_load_explicit(&c->since_ns, memory_order_relaxed);
        if (phase == HTTP_PHASE_WORKING || c->fd < 0)
            continue;
        /* while it is written to, an end of what it sends is its right */
        if (in_phase_ns > limit_ns || (phase != HTTP_PHASE_WRITING && is_over(c, phase, in_phase_ns)))
            (void)shutdown(c->fd, SHUT_RDWR);
    }
    (void)pthread_mutex_unlock(&list->lock);
}

bool http_client_list_busy(struct http_client_list *list, int64_t now_ns, int64_t quiet_ns)
{
    bool busy = atomic_load(&list->coming) > 0;
    (void)pthread_mutex_lock(&list->lock);
    for (const struct http_client *c = list->first; c != NULL && !busy; c = c->next)
        busy = atomic_load_explicit(&c->phase, memory_order_acquire) != HTTP_PHASE_WAITING ||
               now_ns - atomic_load_explicit(&c->since_ns, memory_order_relaxed) < quiet_ns;
    (void)pthread_mutex_unlock(&list->lock);
    return busy;
}

uint32_t http_client_list_size(struct http_client_list *list)
{
    return atomic_load(&list->coming) + atomic_load(&list->size);
}

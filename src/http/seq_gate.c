#include "http/seq_gate.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

enum { MOST_DIGITS = 19 /* of what the store counts with: 63 bits */ };

struct http_seq_gate {
    struct frt_gallery *gallery;
    pthread_mutex_t lock;
    struct http_seq_wait *first; /* guarded by the lock, as is what follows */
    bool closed;
};

bool http_seq_gate_passed(const struct http_seq_gate *gate, uint64_t seq)
{
    return frt_gallery_known_seq(gate->gallery) >= seq;
}

enum reason { REACHED, ALSO_EXPIRED, ALL };

static bool ends(const struct http_seq_gate *gate, const struct http_seq_wait *wait, enum reason reason,
                 int64_t now_ms)
{
    if (reason == ALL || http_seq_gate_passed(gate, wait->seq))
        return true;
    return reason == ALSO_EXPIRED && (now_ms >= wait->deadline_ms || wait->cancelled(wait->arg));
}

/* Takes out those that end, and tells them. */
static void let_go(struct http_seq_gate *gate, enum reason reason)
{
    struct http_seq_wait *out = NULL;
    const int64_t now_ms = frt_now_ns() / 1000000;
    (void)pthread_mutex_lock(&gate->lock);
    for (struct http_seq_wait **at = &gate->first; *at != NULL;) {
        struct http_seq_wait *wait = *at;
        if (ends(gate, wait, reason, now_ms)) {
            *at = wait->next;
            wait->next = out;
            out = wait;
        } else {
            at = &wait->next;
        }
    }
    (void)pthread_mutex_unlock(&gate->lock);
    while (out != NULL) {
        struct http_seq_wait *wait = out;
        out = wait->next; /* from done on it is its owner's again */
        wait->done(wait->arg, http_seq_gate_passed(gate, wait->seq));
    }
}

static void on_seq(void *arg)
{
    let_go(arg, REACHED);
}

enum frt_status http_seq_gate_new(struct frt_gallery *gallery, struct http_seq_gate **out,
                                  struct frt_error *err)
{
    struct http_seq_gate *gate = frt_alloc_zero(1, sizeof *gate);
    if (gate == NULL)
        return frt_fail_nomem(err, "the service");
    gate->gallery = gallery;
    (void)pthread_mutex_init(&gate->lock, NULL);
    frt_gallery_on_seq(gallery, on_seq, gate);
    *out = gate;
    return FRT_OK;
}

void http_seq_gate_free(struct http_seq_gate *gate)
{
    if (gate == NULL)
        return;
    frt_gallery_on_seq(gate->gallery, NULL, NULL);
    (void)pthread_mutex_destroy(&gate->lock);
    frt_free(gate);
}

void http_seq_gate_wait(struct http_seq_gate *gate, struct http_seq_wait *wait)
{
    bool passed;
    (void)pthread_mutex_lock(&gate->lock);
    /* with the lock: who makes the number known looks through the list afterwards */
    passed = gate->closed || http_seq_gate_passed(gate, wait->seq);
    if (!passed) {
        wait->next = gate->first;
        gate->first = wait;
    }
    (void)pthread_mutex_unlock(&gate->lock);
    if (passed)
        wait->done(wait->arg, http_seq_gate_passed(gate, wait->seq));
}

void http_seq_gate_expire(struct http_seq_gate *gate)
{
    let_go(gate, ALSO_EXPIRED);
}

void http_seq_gate_close(struct http_seq_gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->closed = true;
    (void)pthread_mutex_unlock(&gate->lock);
    let_go(gate, ALL);
}

enum frt_status http_seq_parse(const char *text, uint64_t *out, struct frt_error *err)
{
    const size_t n = strlen(text);
    errno = 0;
    const unsigned long long number = n == 0 ? 0 : strtoull(text, NULL, 10);
    if (n == 0 || n > MOST_DIGITS || strspn(text, "0123456789") != n || errno != 0 || number > INT64_MAX)
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "X-FRT-Seq is '%.32s'; a number as the X-FRT-Seq of an answer tells it is right", text);
    *out = number;
    return FRT_OK;
}

#include "engine/batcher.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/trace.h"

enum state { WAITING = 0, CANDIDATE, TAKEN, DONE };

/* A request; lives on its thread's stack. */
struct ticket {
    struct ticket *next;
    const uint8_t *items;
    size_t n;
    float *out;
    const struct frt_stage_wait *wait;
    pthread_cond_t signal;
    enum state state;
    enum frt_status status;
    struct frt_error err;
    double run_ms, inference_ms;
    int64_t began_ns; /* of the inference */
};

struct lane {
    struct ticket *first, **end; /* of those that are waiting, and the candidate; not of those taken */
    struct ticket *candidate;    /* NULL: nobody waits */
    bool asking;                 /* the candidate stands in the stage's queue */
    uint32_t tickets;
    size_t items;
};

struct frt_batcher {
    struct frt_batcher_options options;
    pthread_mutex_t lock; /* guards the lanes and `rejected` */
    struct lane lanes[FRT_PRIORITIES];
    uint64_t rejected;
    atomic_uint best, window_us;               /* relaxed: a caller may use the old ones once more */
    atomic_uint device_best, device_window_us; /* the same; 0: those above */
    atomic_uint_fast64_t count, items;
};

/* Whether it is the device's choice that counts. */
static bool is_devices(struct frt_batcher *batcher)
{
    return atomic_load_explicit(&batcher->device_best, memory_order_relaxed) != 0 &&
           batcher->options.on_device != NULL && batcher->options.on_device(batcher->options.arg);
}

static uint32_t best_of(struct frt_batcher *batcher)
{
    return atomic_load_explicit(is_devices(batcher) ? &batcher->device_best : &batcher->best,
                                memory_order_relaxed);
}

static uint32_t window_us_of(struct frt_batcher *batcher)
{
    return atomic_load_explicit(is_devices(batcher) ? &batcher->device_window_us : &batcher->window_us,
                                memory_order_relaxed);
}

/* ---------------------------------------------------------------- making */

/* A core stays free: a candidate who lets others go first need not. */
static void core_is_free(void *arg)
{
    struct frt_batcher *batcher = arg;
    if (best_of(batcher) <= 1)
        return;
    (void)pthread_mutex_lock(&batcher->lock);
    for (int i = 0; i < FRT_PRIORITIES; i++)
        if (batcher->lanes[i].candidate != NULL)
            (void)pthread_cond_signal(&batcher->lanes[i].candidate->signal);
    (void)pthread_mutex_unlock(&batcher->lock);
}

enum frt_status frt_batcher_new(const struct frt_batcher_options *options, struct frt_batcher **out,
                                struct frt_error *err)
{
    struct frt_batcher *batcher = frt_alloc_zero(1, sizeof *batcher);
    if (batcher == NULL)
        return frt_fail_nomem(err, "batches");
    batcher->options = *options;
    (void)pthread_mutex_init(&batcher->lock, NULL);
    for (int i = 0; i < FRT_PRIORITIES; i++)
        batcher->lanes[i].end = &batcher->lanes[i].first;
    atomic_init(&batcher->best, 1);
    frt_stages_on_free_core(options->stages, core_is_free, batcher);
    *out = batcher;
    return FRT_OK;
}

void frt_batcher_free(struct frt_batcher *batcher)
{
    if (batcher == NULL)
        return;
    frt_stages_on_free_core(batcher->options.stages, NULL, NULL);
    (void)pthread_mutex_destroy(&batcher->lock);
    frt_free(batcher);
}

void frt_batcher_set(struct frt_batcher *batcher, uint32_t best, uint32_t window_us)
{
    assert(best >= 1 && best <= FRT_BATCH_MAX);
    atomic_store_explicit(&batcher->window_us, window_us, memory_order_relaxed);
    atomic_store_explicit(&batcher->best, best, memory_order_relaxed);
}

void frt_batcher_set_on_device(struct frt_batcher *batcher, uint32_t best, uint32_t window_us)
{
    assert(best >= 1 && best <= FRT_BATCH_MAX);
    atomic_store_explicit(&batcher->device_window_us, window_us, memory_order_relaxed);
    atomic_store_explicit(&batcher->device_best, best, memory_order_relaxed);
}

struct frt_batcher_stats frt_batcher_stats_get(struct frt_batcher *batcher)
{
    struct frt_batcher_stats stats = {0};
    if (batcher == NULL)
        return stats;
    stats.count = atomic_load(&batcher->count);
    stats.items = atomic_load(&batcher->items);
    stats.best = best_of(batcher);
    stats.window_us = window_us_of(batcher);
    (void)pthread_mutex_lock(&batcher->lock);
    stats.rejected = batcher->rejected;
    for (int i = 0; i < FRT_PRIORITIES; i++)
        stats.waiting += batcher->lanes[i].tickets - batcher->lanes[i].asking;
    (void)pthread_mutex_unlock(&batcher->lock);
    return stats;
}

/* ----------------------------------------------------------------- queue */

static void append_locked(struct lane *lane, struct ticket *ticket)
{
    *lane->end = ticket;
    lane->end = &ticket->next;
    lane->tickets++;
    lane->items += ticket->n;
}

static void remove_locked(struct lane *lane, struct ticket *ticket)
{
    struct ticket **at = &lane->first;
    while (*at != ticket)
        at = &(*at)->next;
    *at = ticket->next;
    if (lane->end == &ticket->next)
        lane->end = at;
    lane->tickets--;
    lane->items -= ticket->n;
    ticket->next = NULL;
}

/* The first who waits, if any, is the candidate now. */
static void next_candidate_locked(struct lane *lane)
{
    lane->candidate = lane->first;
    if (lane->candidate != NULL) {
        lane->candidate->state = CANDIDATE;
        (void)pthread_cond_signal(&lane->candidate->signal);
    }
}

static bool is_late(const struct ticket *ticket, int64_t now_ns)
{
    return ticket->wait->deadline_ms != 0 && now_ns / 1000000 >= ticket->wait->deadline_ms;
}

static void wait_until_locked(struct frt_batcher *batcher, struct ticket *ticket, int64_t until_ns)
{
    struct timespec t = {.tv_sec = until_ns / 1000000000, .tv_nsec = (long)(until_ns % 1000000000)};
    (void)pthread_cond_timedwait(&ticket->signal, &batcher->lock, &t);
}

/* Until somebody made this ticket the candidate or did its work. FRT_OK, or why it gave up: it has then left
 * the queue. The lock is let go while the caller's own function is asked. */
static enum frt_status wait_locked(struct frt_batcher *batcher, struct lane *lane, struct ticket *ticket)
{
    const struct frt_stage_wait *wait = ticket->wait;
    while (ticket->state == WAITING || ticket->state == TAKEN) {
        int64_t now = frt_now_ns(), until = now + (int64_t)FRT_STAGE_POLL_MS * 1000000;
        enum frt_status status = FRT_OK;
        if (ticket->state == WAITING && wait->deadline_ms != 0 && wait->deadline_ms * 1000000 < until)
            until = wait->deadline_ms * 1000000;
        wait_until_locked(batcher, ticket, until);
        if (ticket->state != WAITING)
            continue;
        if (is_late(ticket, frt_now_ns())) {
            status = FRT_ETIMEOUT;
        } else if (wait->cancelled != NULL && frt_now_ns() >= until) {
            (void)pthread_mutex_unlock(&batcher->lock);
            bool cancelled = wait->cancelled(wait->cancelled_arg);
            (void)pthread_mutex_lock(&batcher->lock);
            status = cancelled ? FRT_ECANCELLED : FRT_OK;
        }
        if (status != FRT_OK && ticket->state == WAITING) {
            remove_locked(lane, ticket);
            return status;
        }
    }
    return FRT_OK;
}

/* --------------------------------------------------------------- leading */

/* The candidate lets others' work go first while that fills his batch and no core is free for it. */
static void wait_for_company_locked(struct frt_batcher *batcher, struct lane *lane, struct ticket *ticket)
{
    uint32_t best = best_of(batcher);
    int64_t until = frt_now_ns() + (int64_t)window_us_of(batcher) * 1000;
    if (best <= 1)
        return;
    if (ticket->wait->deadline_ms != 0 && ticket->wait->deadline_ms * 1000000 < until)
        until = ticket->wait->deadline_ms * 1000000;
    for (;;) {
        uint32_t busy, cores;
        /* asked under the lock: who then frees a core signals after this wait has begun */
        frt_stages_cores(batcher->options.stages, &busy, &cores);
        if (lane->items >= best || busy < cores || frt_now_ns() >= until)
            break;
        wait_until_locked(batcher, ticket, until);
    }
}

/* This ticket, and with it those who wait as long as they fit. */
static size_t take_locked(struct frt_batcher *batcher, struct lane *lane, struct ticket *mine,
                          struct ticket *batch[FRT_BATCH_MAX])
{
    size_t n = 1, items = mine->n, best = best_of(batcher);
    int64_t now = frt_now_ns();
    struct ticket *next;
    remove_locked(lane, mine);
    batch[0] = mine;
    for (struct ticket *t = lane->first; t != NULL && items < best && n < FRT_BATCH_MAX; t = next) {
        next = t->next;
        if (items + t->n > best || is_late(t, now))
            continue;
        remove_locked(lane, t);
        t->state = TAKEN;
        items += t->n;
        batch[n++] = t;
    }
    return n;
}

static enum frt_status infer(struct frt_batcher *batcher, const uint8_t *const *items, size_t n, float *out,
                             double *inference_ms, struct frt_error *err)
{
    enum frt_status status = batcher->options.run(batcher->options.arg, items, n, out, inference_ms, err);
    if (status == FRT_OK) {
        (void)atomic_fetch_add(&batcher->count, 1);
        (void)atomic_fetch_add(&batcher->items, n);
    }
    return status;
}

/* One request alone, in as many inferences as it takes. */
static void run_alone(struct frt_batcher *batcher, struct ticket *t)
{
    const uint8_t *items[FRT_BATCH_MAX];
    size_t count;
    int64_t start = frt_now_ns();
    t->status = FRT_OK;
    for (size_t begin = 0; t->status == FRT_OK && begin < t->n; begin += count) {
        const size_t most = best_of(batcher); /* the device may have fallen since the last piece */
        count = t->n - begin < most ? t->n - begin : most;
        for (size_t i = 0; i < count; i++)
            items[i] = t->items + (begin + i) * batcher->options.item_bytes;
        t->status =
            infer(batcher, items, count, t->out + begin * batcher->options.dim, &t->inference_ms, &t->err);
    }
    t->run_ms += frt_elapsed_ms(start);
}

/* Several requests in one inference; alone, when that fails. */
static void run_together(struct frt_batcher *batcher, struct ticket *const *batch, size_t n)
{
    const uint8_t *items[FRT_BATCH_MAX];
    size_t dim = batcher->options.dim, total = 0;
    double inference_ms = 0;
    int64_t start = frt_now_ns();
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < batch[i]->n; k++)
            items[total++] = batch[i]->items + k * batcher->options.item_bytes;
    float *rows = frt_alloc_array(total, dim * sizeof *rows);
    enum frt_status status =
        rows == NULL ? FRT_ENOMEM : infer(batcher, items, total, rows, &inference_ms, NULL);
    double run_ms = frt_elapsed_ms(start);
    const float *row = rows;
    for (size_t i = 0; i < n; i++) {
        batch[i]->run_ms = run_ms;
        batch[i]->inference_ms = inference_ms;
        if (status == FRT_OK) {
            memcpy(batch[i]->out, row, batch[i]->n * dim * sizeof *row);
            row += batch[i]->n * dim;
        } else {
            run_alone(batcher, batch[i]);
        }
    }
    frt_free(rows);
}

static enum frt_status explain(enum frt_status status, struct frt_error *err)
{
    switch (status) {
    case FRT_EOVERLOADED:
        return frt_fail(err, status, "too many faces wait to be recognised; try again later");
    case FRT_ETIMEOUT:
        return frt_fail(err, status, "the deadline passed before the face was recognised");
    default:
        return frt_fail(err, status, "the caller gave up");
    }
}

/* A place; none for somebody who is late or gave up. */
static enum frt_status enter(struct frt_batcher *batcher, const struct ticket *ticket, struct frt_error *err)
{
    const struct frt_stage_wait *wait = ticket->wait;
    if (is_late(ticket, frt_now_ns()))
        return explain(FRT_ETIMEOUT, err);
    if (wait->cancelled != NULL && wait->cancelled(wait->cancelled_arg))
        return explain(FRT_ECANCELLED, err);
    return frt_stage_enter(batcher->options.stages, FRT_STAGE_RECOGNIZE, wait, err);
}

/* The candidate's way: a place, a batch, the work. `span` of his wait ends before the work. */
static enum frt_status lead(struct frt_batcher *batcher, struct lane *lane, struct ticket *mine, int span,
                            struct frt_error *err)
{
    struct ticket *batch[FRT_BATCH_MAX];
    size_t n = 0;
    (void)pthread_mutex_lock(&batcher->lock);
    wait_for_company_locked(batcher, lane, mine);
    lane->asking = true;
    (void)pthread_mutex_unlock(&batcher->lock);
    enum frt_status status = enter(batcher, mine, err);
    frt_trace_end(span, NULL);
    (void)pthread_mutex_lock(&batcher->lock);
    lane->asking = false;
    if (status == FRT_OK)
        n = take_locked(batcher, lane, mine, batch);
    else
        remove_locked(lane, mine);
    next_candidate_locked(lane);
    (void)pthread_mutex_unlock(&batcher->lock);
    if (status != FRT_OK)
        return status;
    int64_t began = frt_now_ns();
    for (size_t i = 0; i < n; i++)
        batch[i]->began_ns = began;
    span = frt_trace_begin("embed");
    if (n > 1)
        run_together(batcher, batch, n);
    else
        run_alone(batcher, mine);
    frt_trace_end(span, n > 1 ? "batch" : NULL);
    frt_stage_leave(batcher->options.stages, FRT_STAGE_RECOGNIZE);
    (void)pthread_mutex_lock(&batcher->lock);
    for (size_t i = 1; i < n; i++) {
        batch[i]->state = DONE;
        (void)pthread_cond_signal(&batch[i]->signal);
    }
    (void)pthread_mutex_unlock(&batcher->lock);
    return FRT_OK;
}

/* ---------------------------------------------------------------- the way */

static void ticket_init(struct ticket *ticket)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&ticket->signal, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

/* In the queue, until led or done. */
static enum frt_status queue_up(struct frt_batcher *batcher, struct lane *lane, struct ticket *ticket)
{
    enum frt_status status = FRT_OK;
    (void)pthread_mutex_lock(&batcher->lock);
    if (lane->tickets >= batcher->options.queue) {
        batcher->rejected++;
        status = FRT_EOVERLOADED;
    } else {
        append_locked(lane, ticket);
        if (lane->candidate == NULL)
            next_candidate_locked(lane);
        else if (lane->items >= best_of(batcher))
            (void)pthread_cond_signal(&lane->candidate->signal);
        status = wait_locked(batcher, lane, ticket);
    }
    (void)pthread_mutex_unlock(&batcher->lock);
    return status;
}

/* Where batches gain nothing there is no queue but the stage's. */
static enum frt_status run_without_batches(struct frt_batcher *batcher, struct ticket *ticket, int span,
                                           struct frt_error *err)
{
    enum frt_status status = enter(batcher, ticket, err);
    frt_trace_end(span, NULL);
    if (status != FRT_OK)
        return status;
    ticket->began_ns = frt_now_ns();
    span = frt_trace_begin("embed");
    run_alone(batcher, ticket);
    frt_trace_end(span, NULL);
    frt_stage_leave(batcher->options.stages, FRT_STAGE_RECOGNIZE);
    return FRT_OK;
}

/* With others: led by one of them, or leading. */
static enum frt_status run_with_batches(struct frt_batcher *batcher, struct ticket *ticket, int span,
                                        struct frt_error *err)
{
    struct lane *lane = &batcher->lanes[ticket->wait->priority];
    ticket_init(ticket);
    enum frt_status status = queue_up(batcher, lane, ticket);
    if (status == FRT_OK && ticket->state == CANDIDATE) {
        status = lead(batcher, lane, ticket, span, err);
    } else {
        frt_trace_end(span, ticket->state == DONE ? "batch" : NULL);
        status = status == FRT_OK ? FRT_OK : explain(status, err);
    }
    (void)pthread_cond_destroy(&ticket->signal);
    return status;
}

enum frt_status frt_batcher_run(struct frt_batcher *batcher, const uint8_t *items, size_t n,
                                const struct frt_stage_wait *wait, float *out, struct frt_batch_times *times,
                                struct frt_error *err)
{
    static const struct frt_stage_wait patient = {0};
    struct ticket ticket = {.items = items, .n = n, .wait = wait != NULL ? wait : &patient, .status = FRT_OK};
    int64_t start = frt_now_ns();
    assert(n >= 1);
    ticket.out = out;
    int span = frt_trace_begin_wait("recognize-wait");
    enum frt_status status = best_of(batcher) <= 1 ? run_without_batches(batcher, &ticket, span, err)
                                                   : run_with_batches(batcher, &ticket, span, err);
    times->wait_ms += ((double)((ticket.began_ns != 0 ? ticket.began_ns : frt_now_ns()) - start)) / 1e6;
    if (status != FRT_OK)
        return status;
    times->run_ms += ticket.run_ms;
    times->inference_ms += ticket.inference_ms;
    if (ticket.status != FRT_OK && err != NULL)
        *err = ticket.err;
    return ticket.status;
}

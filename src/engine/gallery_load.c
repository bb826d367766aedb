/*
 * Indexes of large collections come into memory beside the request that wants one: a million faces without a
 * snapshot take longer than a request has. Each load has a thread, which goes on to the end whoever still
 * waits, and what it made is kept as any index is. Who asks meanwhile joins it. Whoever can have it in time
 * waits; whoever cannot (his time is nearly over, or the progress so far says that it will be) is told how far
 * it is and when to come again.
 *
 *     free ─ start ─→ loading ─ the thread has an index or an error ─→ ending ─→ over ─ the last waiter leaves,
 *                                                                               ↑      the thread is joined ─→
 * free
 *
 * Lock: `lock` guards the places and what stands in them; a leaf. `changed` tells of every change of a state.
 * Waits end at the deadline of who waits. Closing asks every load to stop, which it does at its next batch of
 * changes.
 */
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/mem.h"
#include "engine/gallery_state.h"

enum {
    MAX_LOADS = 8,
    TICK_MS = 100,      /* between two looks at the progress */
    MEASURED_MS = 1000, /* of progress from which on an estimate counts */
    UNMEASURED_S = 2    /* Retry-After without one */
};

enum state { FREE = 0, LOADING, ENDING, OVER };

struct gallery_load {
    struct gallery_loads *loads;
    struct gallery_entry *entry; /* a reference while LOADING */
    pthread_t thread;
    enum state state;
    uint32_t waiters;
    uint64_t seq;
    /* progress: faces when the first changes were in, and when that was; faces now; of how many */
    uint64_t base, have, faces;
    int64_t base_ms;
    /* the result, while somebody waits for it */
    enum frt_status status;
    struct frt_error why;
    struct gallery_index *index; /* a reference */
};

struct gallery_loads {
    struct frt_gallery *gallery;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing;
    struct gallery_load places[MAX_LOADS];
};

static int64_t now_ms(void)
{
    return frt_now_ns() / 1000000;
}

/* -------------------------------------------------------------- the loading */

static bool note_progress(void *arg, uint64_t have)
{
    struct gallery_load *load = arg;
    (void)pthread_mutex_lock(&load->loads->lock);
    if (load->base_ms == 0) {
        load->base = have;
        load->base_ms = now_ms();
    }
    load->have = have;
    const bool go_on = !load->loads->closing;
    (void)pthread_mutex_unlock(&load->loads->lock);
    return go_on;
}

static void *load_apart(void *arg)
{
    struct gallery_load *load = arg;
    struct gallery_loads *loads = load->loads;
    struct gallery_index *index = NULL;
    struct frt_error why = {0};
    const enum frt_status status =
        gallery_index_load(loads->gallery, load->entry, load->seq, note_progress, load, &index, &why);
    (void)pthread_mutex_lock(&loads->lock);
    struct gallery_entry *entry = load->entry;
    load->entry = NULL;
    load->status = status;
    load->why = why;
    if (load->waiters > 0) {
        load->index = index;
        index = NULL;
    }
    load->state = ENDING;
    (void)pthread_cond_broadcast(&loads->changed);
    (void)pthread_mutex_unlock(&loads->lock);
    gallery_index_release(index);
    gallery_entry_release(entry);
    /* nothing is left to do but to end: whoever joins now does not wait */
    (void)pthread_mutex_lock(&loads->lock);
    load->state = OVER;
    (void)pthread_cond_broadcast(&loads->changed);
    (void)pthread_mutex_unlock(&loads->lock);
    return NULL;
}

/* ----------------------------------------------------------------- with the lock */

static void wait_locked(struct gallery_loads *loads, int64_t until_ms)
{
    const int64_t tick = now_ms() + TICK_MS, at = until_ms < tick ? until_ms : tick;
    const struct timespec end = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
    (void)pthread_cond_timedwait(&loads->changed, &loads->lock, &end);
}

static struct gallery_load *under_way_locked(struct gallery_loads *loads, const struct gallery_entry *entry)
{
    for (size_t i = 0; i < MAX_LOADS; i++) {
        if (loads->places[i].state == LOADING && loads->places[i].entry == entry)
            return &loads->places[i];
    }
    return NULL;
}

static struct gallery_load *free_place_locked(struct gallery_loads *loads)
{
    for (size_t i = 0; i < MAX_LOADS; i++) {
        struct gallery_load *load = &loads->places[i];
        if (load->state == OVER && load->waiters == 0) {
            (void)pthread_join(load->thread, NULL);
            load->state = FREE;
        }
        if (load->state == FREE)
            return load;
    }
    return NULL;
}

static enum frt_status start_locked(struct gallery_loads *loads, struct gallery_load *load,
                                    struct gallery_entry *entry, const struct gallery_want *want,
                                    struct frt_error *err)
{
    *load = (struct gallery_load){
        .loads = loads, .entry = entry, .state = LOADING, .seq = want->seq, .faces = want->faces};
    if (pthread_create(&load->thread, NULL, load_apart, load) != 0) {
        load->state = FREE;
        return frt_fail_nomem(err, "a thread");
    }
    /* relaxed: the caller holds one */
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    return FRT_OK;
}

/* The load of this entry, begun if there is none. */
static enum frt_status join_locked(struct gallery_loads *loads, struct gallery_entry *entry,
                                   const struct gallery_want *want, int64_t give_up_ms,
                                   struct gallery_load **out, struct frt_error *err)
{
    for (;;) {
        struct gallery_load *load = under_way_locked(loads, entry);
        enum frt_status status = FRT_OK;
        if (load == NULL && loads->closing)
            return frt_fail(err, FRT_EUNAVAILABLE, "the gallery is being closed");
        if (load == NULL) {
            load = free_place_locked(loads);
            if (load != NULL)
                status = start_locked(loads, load, entry, want, err);
        }
        if (load != NULL) {
            *out = load;
            return status;
        }
        if (now_ms() >= give_up_ms)
            return frt_fail(err, FRT_EOVERLOADED, "%d indexes are being loaded; try again later", MAX_LOADS);
        wait_locked(loads, give_up_ms);
    }
}

/* Milliseconds until it has all faces, from the progress so far; -1 = not known yet. */
static int64_t left_ms(const struct gallery_load *load)
{
    const int64_t elapsed = load->base_ms != 0 ? now_ms() - load->base_ms : 0;
    if (elapsed < MEASURED_MS || load->have <= load->base)
        return -1;
    return load->have >= load->faces ? 0
                                     : (int64_t)((double)elapsed * (double)(load->faces - load->have) /
                                                 (double)(load->have - load->base));
}

/* May it be done by then? An estimate is off by a third at times, mostly at the beginning; without one, it may.
 */
static bool in_time(const struct gallery_load *load, int64_t give_up_ms)
{
    return now_ms() < give_up_ms && now_ms() + left_ms(load) * 2 / 3 <= give_up_ms;
}

static enum frt_status not_ready_locked(const struct gallery_load *load, struct frt_error *err)
{
    const int64_t left = left_ms(load);
    const uint32_t seconds = left < 0 ? UNMEASURED_S : (uint32_t)(left / 1000 + 1);
    const uint64_t have = load->have < load->faces ? load->have : load->faces;
    enum frt_status status =
        frt_fail(err, FRT_EINDEX_NOT_READY,
                 "the collection's index is being loaded: %llu of %llu faces so far; ask again in %u s",
                 (unsigned long long)have, (unsigned long long)load->faces, seconds);
    if (err != NULL)
        err->retry_after_s = seconds;
    return status;
}

/* ------------------------------------------------------------------- calls */

enum frt_status gallery_load_await(struct gallery_loads *loads, struct gallery_entry *entry,
                                   const struct gallery_want *want, struct gallery_index **out,
                                   struct frt_error *err)
{
    struct gallery_load *load = NULL;
    struct gallery_index *left = NULL;
    const int64_t start = now_ms();
    /* the last tenth is for the search itself, and for an answer that still finds somebody */
    const int64_t give_up = start + (want->deadline_ms - start) * 9 / 10;
    bool cancelled = false;
    (void)pthread_mutex_lock(&loads->lock);
    enum frt_status status = join_locked(loads, entry, want, give_up, &load, err);
    if (status == FRT_OK && load != NULL) {
        load->waiters++;
        while (load->state == LOADING && in_time(load, give_up) && !cancelled) {
            wait_locked(loads, give_up);
            cancelled = want->cancelled != NULL && want->cancelled(want->cancelled_arg);
        }
        if (load->state == LOADING) {
            status =
                cancelled ? frt_fail(err, FRT_ECANCELLED, "the caller gave up") : not_ready_locked(load, err);
        } else {
            status = load->status;
            if (status != FRT_OK && err != NULL)
                *err = load->why;
            *out = load->index;
            if (load->index != NULL) /* relaxed: the place holds one */
                atomic_fetch_add_explicit(&load->index->refs, 1, memory_order_relaxed);
        }
        load->waiters--;
        if (load->waiters == 0) {
            left = load->index;
            load->index = NULL;
            (void)pthread_cond_broadcast(&loads->changed); /* the place may be free */
        }
    }
    (void)pthread_mutex_unlock(&loads->lock);
    gallery_index_release(left);
    return status;
}

enum frt_status gallery_loads_new(struct frt_gallery *gallery, struct gallery_loads **out,
                                  struct frt_error *err)
{
    pthread_condattr_t monotonic;
    struct gallery_loads *loads = frt_alloc_zero(1, sizeof *loads);
    if (loads == NULL)
        return frt_fail_nomem(err, "a gallery");
    loads->gallery = gallery;
    (void)pthread_mutex_init(&loads->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&loads->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    *out = loads;
    return FRT_OK;
}

void gallery_loads_free(struct gallery_loads *loads)
{
    if (loads == NULL)
        return;
    (void)pthread_mutex_lock(&loads->lock);
    loads->closing = true;
    (void)pthread_mutex_unlock(&loads->lock);
    for (size_t i = 0; i < MAX_LOADS; i++) {
        (void)pthread_mutex_lock(&loads->lock);
        const bool begun = loads->places[i].state != FREE;
        (void)pthread_mutex_unlock(&loads->lock);
        if (begun)
            (void)pthread_join(loads->places[i].thread, NULL);
    }
    (void)pthread_cond_destroy(&loads->changed);
    (void)pthread_mutex_destroy(&loads->lock);
    frt_free(loads);
}

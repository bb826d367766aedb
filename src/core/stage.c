#include "core/stage.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "core/clock.h"
#include "core/mem.h"

enum { BULK_SHARE = 8 };

/* Somebody who waits; lives on his stack. */
struct ticket {
    struct ticket *next;
    pthread_cond_t granted_signal;
    bool granted;
};

struct queue {
    struct ticket *first, **end;
};

struct stage {
    uint32_t limit, busy, queued, grants; /* grants: since bulk's last one */
    uint64_t rejected;
    struct queue queues[FRT_PRIORITIES];
};

struct frt_stages {
    pthread_mutex_t lock; /* guards everything below */
    struct stage stages[FRT_STAGE_COUNT];
    uint32_t cores, cores_busy, queue;
    void (*free_core)(void *arg); /* set while nobody is inside */
    void *free_core_arg;
};

static bool computes(enum frt_stage stage)
{
    return stage != FRT_STAGE_STORE;
}

const char *frt_stage_name(enum frt_stage stage)
{
    static const char *const names[FRT_STAGE_COUNT] = {"image", "detect", "recognize", "store"};
    return names[stage];
}

enum frt_status frt_stages_new(const struct frt_stages_options *options, struct frt_stages **out,
                               struct frt_error *err)
{
    struct frt_stages *stages = frt_alloc_zero(1, sizeof *stages);
    if (stages == NULL)
        return frt_fail_nomem(err, "stages");
    (void)pthread_mutex_init(&stages->lock, NULL);
    for (int i = 0; i < FRT_STAGE_COUNT; i++) {
        assert(options->limits[i] > 0);
        stages->stages[i].limit = options->limits[i];
        for (int p = 0; p < FRT_PRIORITIES; p++)
            stages->stages[i].queues[p].end = &stages->stages[i].queues[p].first;
    }
    stages->cores = options->cores;
    stages->queue = options->queue;
    *out = stages;
    return FRT_OK;
}

void frt_stages_free(struct frt_stages *stages)
{
    if (stages == NULL)
        return;
    (void)pthread_mutex_destroy(&stages->lock);
    frt_free(stages);
}

static bool has_place(const struct frt_stages *stages, enum frt_stage stage)
{
    return stages->stages[stage].busy < stages->stages[stage].limit &&
           (!computes(stage) || stages->cores_busy < stages->cores);
}

static void take_place(struct frt_stages *stages, enum frt_stage stage)
{
    stages->stages[stage].busy++;
    stages->cores_busy += computes(stage);
}

/* Who is next in a stage; NULL when nobody waits. Takes him out of his queue. */
static struct ticket *next_of(struct stage *stage)
{
    struct queue *interactive = &stage->queues[FRT_PRIORITY_INTERACTIVE],
                 *bulk = &stage->queues[FRT_PRIORITY_BULK];
    bool bulk_turn = bulk->first != NULL && (interactive->first == NULL || stage->grants + 1 >= BULK_SHARE);
    struct queue *queue = bulk_turn ? bulk : interactive;
    struct ticket *ticket = queue->first;
    if (ticket == NULL)
        return NULL;
    stage->grants = bulk_turn ? 0 : stage->grants + 1;
    queue->first = ticket->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    stage->queued--;
    return ticket;
}

/* Places that are free go to those who wait: the latest stage first. */
static void grant_locked(struct frt_stages *stages)
{
    for (int i = FRT_STAGE_COUNT - 1; i >= 0; i--) {
        struct stage *stage = &stages->stages[i];
        while (stage->queued > 0 && has_place(stages, (enum frt_stage)i)) {
            struct ticket *ticket = next_of(stage);
            take_place(stages, (enum frt_stage)i);
            ticket->granted = true;
            (void)pthread_cond_signal(&ticket->granted_signal);
        }
    }
}

static void withdraw_locked(struct stage *stage, enum frt_priority priority, struct ticket *ticket)
{
    struct queue *queue = &stage->queues[priority];
    struct ticket **at = &queue->first;
    while (*at != ticket)
        at = &(*at)->next;
    *at = ticket->next;
    if (queue->end == &ticket->next)
        queue->end = at;
    stage->queued--;
}

/* FRT_OK: granted. The lock is let go while the caller's own function is asked. */
static enum frt_status wait_locked(struct frt_stages *stages, struct stage *stage, struct ticket *ticket,
                                   const struct frt_stage_wait *wait)
{
    enum frt_status status = FRT_OK;
    while (!ticket->granted && status == FRT_OK) {
        int64_t now = frt_now_ns(), until = now + (int64_t)FRT_STAGE_POLL_MS * 1000000;
        if (wait->deadline_ms != 0 && wait->deadline_ms * 1000000 < until)
            until = wait->deadline_ms * 1000000;
        struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = (long)(until % 1000000000)};
        if (pthread_cond_timedwait(&ticket->granted_signal, &stages->lock, &t) != ETIMEDOUT || ticket->granted)
            continue;
        if (wait->deadline_ms != 0 && frt_now_ns() / 1000000 >= wait->deadline_ms) {
            status = FRT_ETIMEOUT;
        } else if (wait->cancelled != NULL) {
            (void)pthread_mutex_unlock(&stages->lock);
            bool cancelled = wait->cancelled(wait->cancelled_arg);
            (void)pthread_mutex_lock(&stages->lock);
            status = cancelled && !ticket->granted ? FRT_ECANCELLED : FRT_OK;
        }
    }
    if (status != FRT_OK)
        withdraw_locked(stage, wait->priority, ticket);
    return status;
}

enum frt_status frt_stage_enter(struct frt_stages *stages, enum frt_stage which,
                                const struct frt_stage_wait *wait, struct frt_error *err)
{
    static const struct frt_stage_wait patient = {0};
    struct ticket ticket = {0};
    pthread_condattr_t attributes;
    enum frt_status status = FRT_OK;
    if (stages == NULL)
        return FRT_OK;
    if (wait == NULL)
        wait = &patient;
    struct stage *stage = &stages->stages[which];
    (void)pthread_mutex_lock(&stages->lock);
    if (stage->queued == 0 && has_place(stages, which)) {
        take_place(stages, which);
    } else if (stage->queued >= stages->queue) {
        stage->rejected++;
        status = FRT_EOVERLOADED;
    } else {
        (void)pthread_condattr_init(&attributes);
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&ticket.granted_signal, &attributes);
        (void)pthread_condattr_destroy(&attributes);
        *stage->queues[wait->priority].end = &ticket;
        stage->queues[wait->priority].end = &ticket.next;
        stage->queued++;
        status = wait_locked(stages, stage, &ticket, wait);
        (void)pthread_cond_destroy(&ticket.granted_signal);
    }
    (void)pthread_mutex_unlock(&stages->lock);
    switch (status) {
    case FRT_EOVERLOADED:
        return frt_fail(err, status, "the stage '%s' is full; try again later", frt_stage_name(which));
    case FRT_ETIMEOUT:
        return frt_fail(err, status, "the deadline passed before the stage '%s' had a place",
                        frt_stage_name(which));
    case FRT_ECANCELLED:
        return frt_fail(err, status, "the caller gave up");
    default:
        return status;
    }
}

void frt_stage_leave(struct frt_stages *stages, enum frt_stage which)
{
    if (stages == NULL)
        return;
    (void)pthread_mutex_lock(&stages->lock);
    assert(stages->stages[which].busy > 0);
    stages->stages[which].busy--;
    stages->cores_busy -= computes(which);
    grant_locked(stages);
    bool free_core = computes(which) && stages->cores_busy < stages->cores;
    void (*tell)(void *arg) = free_core ? stages->free_core : NULL;
    void *arg = stages->free_core_arg;
    (void)pthread_mutex_unlock(&stages->lock);
    if (tell != NULL)
        tell(arg);
}

struct frt_stage_stats frt_stage_stats_get(struct frt_stages *stages, enum frt_stage which)
{
    struct frt_stage_stats stats = {0};
    if (stages == NULL)
        return stats;
    (void)pthread_mutex_lock(&stages->lock);
    const struct stage *stage = &stages->stages[which];
    stats = (struct frt_stage_stats){stage->limit, stage->busy, stage->queued, stage->rejected};
    (void)pthread_mutex_unlock(&stages->lock);
    return stats;
}

void frt_stages_cores(struct frt_stages *stages, uint32_t *busy, uint32_t *cores)
{
    *busy = *cores = 0;
    if (stages == NULL)
        return;
    (void)pthread_mutex_lock(&stages->lock);
    *busy = stages->cores_busy;
    *cores = stages->cores;
    (void)pthread_mutex_unlock(&stages->lock);
}

void frt_stages_on_free_core(struct frt_stages *stages, void (*free_core)(void *arg), void *arg)
{
    if (stages == NULL)
        return;
    (void)pthread_mutex_lock(&stages->lock);
    stages->free_core = free_core;
    stages->free_core_arg = arg;
    (void)pthread_mutex_unlock(&stages->lock);
}

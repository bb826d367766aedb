/*
 * A fixed number of threads over one bounded queue, shared fairly.
 *
 *     submit ─┬─ refused at once: the queue is full, the client has his share of it, or his turn would come
 *             │  after his deadline
 *             └─ interactive │ bulk ── threads
 *
 * Interactive jobs come first, in order; bulk gets one turn in eight, so that it never starves, and at most
 * half of the queue, so that it never fills it. One client gets four fifths of the queue, so that there is room
 * for others however much he sends.
 *
 * First come, first served: as nobody is let in whose turn would come too late, there is nobody in the queue
 * for whom another order would be worth while.
 *
 * A job whose deadline has passed all the same when its turn comes is run with `late` set, so that it answers
 * without doing the costly part.
 *
 * Threading: internally locked. Jobs run on the pool's threads, outside the lock. Lock order: a leaf.
 */
#ifndef FRT_CORE_WORKER_POOL_H
#define FRT_CORE_WORKER_POOL_H

#include "core/status.h"

struct frt_worker_pool;

/* Why a job was refused (FRT_EOVERLOADED), and what to tell the client. */
struct frt_worker_refusal {
    bool own_share;    /* others would have been let in */
    uint32_t retry_ms; /* from when on it is worth while, from what jobs took lately */
};

struct frt_worker_job {
    void (*run)(void *arg, bool late);
    void *arg;
    int64_t deadline_ms;                /* on the monotonic clock; 0 = none */
    uint64_t client;                    /* whose it is; 0 = nobody's: it counts for no share */
    bool bulk;                          /* gives way to those who wait for their answer */
    struct frt_worker_refusal *refusal; /* out, when it is refused; may be NULL */
};

struct frt_worker_pool_stats {
    uint32_t limit;  /* threads */
    uint32_t busy;   /* running a job now */
    uint32_t queued; /* waiting */
    uint32_t queue_limit;
    uint64_t done, rejected, late;
    uint64_t rejected_share; /* of the rejected: over the client's share */
    double mean_ms;          /* what a job took lately */
};

/** Start `threads` (>= 1) workers with room for `queue` (>= 1) waiting jobs. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_worker_pool_new(uint32_t threads, uint32_t queue,
                                                  struct frt_worker_pool **out, struct frt_error *err);
/** Refuse new jobs, run those that wait, join the threads; asked for twice, the second does nothing. NULL is
 * fine. */
void frt_worker_pool_stop(struct frt_worker_pool *pool);
/** Stop and free: no other call may run. NULL is fine. */
void frt_worker_pool_free(struct frt_worker_pool *pool);
/** Errors: FRT_EOVERLOADED (see struct frt_worker_refusal), FRT_EUNAVAILABLE (the pool is being freed). Never
 * blocks. */
FRT_NODISCARD enum frt_status frt_worker_pool_submit(struct frt_worker_pool *pool, struct frt_worker_job job,
                                                     struct frt_error *err);
/** As frt_worker_pool_submit of such a job would, were it now, but nothing is submitted: so that a client can
 * be turned away before he has sent what he wants to have worked on. A refusal counts as one. */
FRT_NODISCARD enum frt_status frt_worker_pool_ask(struct frt_worker_pool *pool,
                                                  const struct frt_worker_job *job, struct frt_error *err);
struct frt_worker_pool_stats frt_worker_pool_stats_get(struct frt_worker_pool *pool);

#endif

/*
 * A fixed number of threads over one bounded queue.
 *
 * A full queue refuses at once; a job whose deadline has passed when its turn comes is run with
 * `late` set, so that it answers without doing the costly part.
 *
 * Threading: internally locked. Jobs run on the pool's threads, outside the lock. Lock order: a leaf.
 */
#ifndef FRT_CORE_WORKER_POOL_H
#define FRT_CORE_WORKER_POOL_H

#include "core/status.h"

struct frt_worker_pool;

struct frt_worker_job {
    void (*run)(void *arg, bool late);
    void *arg;
    int64_t deadline_ms; /* on the monotonic clock; 0 = none */
};

struct frt_worker_pool_stats {
    uint32_t limit;  /* threads */
    uint32_t busy;   /* running a job now */
    uint32_t queued; /* waiting */
    uint32_t queue_limit;
    uint64_t done, rejected, late;
};

/** Start `threads` (>= 1) workers with room for `queue` (>= 1) waiting jobs. Errors: FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_worker_pool_new(uint32_t threads, uint32_t queue,
                                                  struct frt_worker_pool **out, struct frt_error *err);
/** Refuse new jobs, run those that wait, join the threads; asked for twice, the second does nothing. NULL is
 * fine. */
void frt_worker_pool_stop(struct frt_worker_pool *pool);
/** Stop and free: no other call may run. NULL is fine. */
void frt_worker_pool_free(struct frt_worker_pool *pool);
/** Errors: FRT_EOVERLOADED (queue full), FRT_EUNAVAILABLE (the pool is being freed). Never blocks. */
FRT_NODISCARD enum frt_status frt_worker_pool_submit(struct frt_worker_pool *pool, struct frt_worker_job job,
                                                     struct frt_error *err);
struct frt_worker_pool_stats frt_worker_pool_stats_get(struct frt_worker_pool *pool);

#endif

#include "core/worker_pool.h"

#include <pthread.h>

#include "core/clock.h"
#include "core/mem.h"

enum { STACK_BYTES = 1 << 20 };

struct frt_worker_pool {
    pthread_mutex_t lock; /* guards everything below but the thread handles */
    pthread_cond_t work;
    struct frt_worker_job *ring; /* [stats.queue_limit] */
    uint32_t head;               /* oldest waiting job */
    bool stopping;
    struct frt_worker_pool_stats stats;
    pthread_t *threads;
    uint32_t n_threads;
};

static void *work(void *arg)
{
    struct frt_worker_pool *pool = arg;
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->stats.queued == 0 && !pool->stopping)
            (void)pthread_cond_wait(&pool->work, &pool->lock);
        if (pool->stats.queued == 0)
            break;
        struct frt_worker_job job = pool->ring[pool->head];
        pool->head = (pool->head + 1) % pool->stats.queue_limit;
        pool->stats.queued--;
        pool->stats.busy++;
        bool late = job.deadline_ms != 0 && frt_now_ns() / 1000000 >= job.deadline_ms;
        pool->stats.late += late;
        (void)pthread_mutex_unlock(&pool->lock);
        job.run(job.arg, late);
        (void)pthread_mutex_lock(&pool->lock);
        pool->stats.busy--;
        pool->stats.done++;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

enum frt_status frt_worker_pool_new(uint32_t threads, uint32_t queue, struct frt_worker_pool **out,
                                    struct frt_error *err)
{
    pthread_attr_t attributes;
    struct frt_worker_pool *pool = frt_alloc_zero(1, sizeof *pool);
    if (pool == NULL)
        return frt_fail_nomem(err, "a worker pool");
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    pool->ring = frt_alloc_zero(queue, sizeof *pool->ring);
    pool->threads = frt_alloc_zero(threads, sizeof *pool->threads);
    if (pool->ring == NULL || pool->threads == NULL) {
        frt_worker_pool_free(pool);
        return frt_fail_nomem(err, "a worker pool");
    }
    pool->stats.limit = threads;
    pool->stats.queue_limit = queue;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    while (pool->n_threads < threads &&
           pthread_create(&pool->threads[pool->n_threads], &attributes, work, pool) == 0)
        pool->n_threads++;
    (void)pthread_attr_destroy(&attributes);
    if (pool->n_threads < threads) {
        uint32_t started = pool->n_threads;
        frt_worker_pool_free(pool);
        return frt_fail(err, FRT_ENOMEM, "only %u of %u worker threads could be started; lower 'workers'",
                        started, threads);
    }
    *out = pool;
    return FRT_OK;
}

void frt_worker_pool_stop(struct frt_worker_pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->n_threads; i++)
        (void)pthread_join(pool->threads[i], NULL);
    pool->n_threads = 0;
}

void frt_worker_pool_free(struct frt_worker_pool *pool)
{
    if (pool == NULL)
        return;
    frt_worker_pool_stop(pool);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
    frt_free(pool->ring);
    frt_free(pool->threads);
    frt_free(pool);
}

enum frt_status frt_worker_pool_submit(struct frt_worker_pool *pool, struct frt_worker_job job,
                                       struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->stopping) {
        status = FRT_EUNAVAILABLE;
    } else if (pool->stats.queued == pool->stats.queue_limit) {
        pool->stats.rejected++;
        status = FRT_EOVERLOADED;
    } else {
        pool->ring[(pool->head + pool->stats.queued) % pool->stats.queue_limit] = job;
        pool->stats.queued++;
        (void)pthread_cond_signal(&pool->work);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (status == FRT_EOVERLOADED)
        return frt_fail(err, status, "all workers are busy and the queue is full; try again later");
    return status == FRT_OK ? FRT_OK : frt_fail(err, status, "the service is stopping");
}

struct frt_worker_pool_stats frt_worker_pool_stats_get(struct frt_worker_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct frt_worker_pool_stats stats = pool->stats;
    (void)pthread_mutex_unlock(&pool->lock);
    return stats;
}

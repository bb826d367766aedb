#include "core/worker_pool.h"

#include <pthread.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

enum { STACK_BYTES = 1 << 20, BULK_TURN = 8, MEAN_OVER = 16, NONE = -1 };

/* A waiting job; free ones are chained, too. */
struct place {
    struct frt_worker_job job;
    int32_t next;
};

struct queue {
    int32_t first, last;
};

/* How many a client has waiting. An open table of twice the queue's size, so that it never fills up. */
struct count {
    uint64_t client; /* 0 = free */
    uint32_t n;
};

struct frt_worker_pool {
    pthread_mutex_t lock; /* guards everything below but the thread handles */
    pthread_cond_t work;
    struct place *places; /* [stats.queue_limit] */
    int32_t free_place;
    struct queue interactive, bulk;
    uint32_t bulk_queued;
    uint32_t turns; /* since bulk's last one */
    struct count *counts;
    uint64_t count_mask;
    double mean_ns; /* of what a job took lately, late ones aside */
    bool stopping;
    struct frt_worker_pool_stats stats;
    pthread_t *threads;
    uint32_t n_threads;
};

/* ------------------------------------------------------------------ counts */

static struct count *count_of(struct frt_worker_pool *pool, uint64_t client)
{
    uint64_t i = client & pool->count_mask;
    while (pool->counts[i].client != 0 && pool->counts[i].client != client)
        i = (i + 1) & pool->count_mask;
    return &pool->counts[i];
}

static void count_more(struct frt_worker_pool *pool, uint64_t client)
{
    if (client == 0)
        return;
    struct count *count = count_of(pool, client);
    count->client = client;
    count->n++;
}

/* One that has nothing left goes, and those behind it that would not be found any more move up. */
static void count_less(struct frt_worker_pool *pool, uint64_t client)
{
    if (client == 0)
        return;
    struct count *count = count_of(pool, client);
    if (--count->n > 0)
        return;
    uint64_t hole = (uint64_t)(count - pool->counts), i = hole;
    for (;;) {
        i = (i + 1) & pool->count_mask;
        if (pool->counts[i].client == 0)
            break;
        const uint64_t home = pool->counts[i].client & pool->count_mask;
        if (((i - home) & pool->count_mask) >= ((i - hole) & pool->count_mask)) {
            pool->counts[hole] = pool->counts[i];
            hole = i;
        }
    }
    pool->counts[hole] = (struct count){0};
}

/* ------------------------------------------------------------------- queue */

static void push(struct frt_worker_pool *pool, const struct frt_worker_job *job)
{
    struct queue *queue = job->bulk ? &pool->bulk : &pool->interactive;
    const int32_t at = pool->free_place;
    pool->free_place = pool->places[at].next;
    pool->places[at] = (struct place){*job, NONE};
    if (queue->first == NONE)
        queue->first = at;
    else
        pool->places[queue->last].next = at;
    queue->last = at;
    pool->stats.queued++;
    pool->bulk_queued += job->bulk;
    count_more(pool, job->client);
}

static struct frt_worker_job pop(struct frt_worker_pool *pool)
{
    const bool bulk =
        pool->bulk.first != NONE && (pool->interactive.first == NONE || pool->turns + 1 >= BULK_TURN);
    struct queue *queue = bulk ? &pool->bulk : &pool->interactive;
    const int32_t at = queue->first;
    const struct frt_worker_job job = pool->places[at].job;
    queue->first = pool->places[at].next;
    pool->places[at].next = pool->free_place;
    pool->free_place = at;
    pool->turns = bulk ? 0 : pool->turns + 1;
    pool->stats.queued--;
    pool->bulk_queued -= bulk;
    count_less(pool, job.client);
    return job;
}

/* ----------------------------------------------------------------- threads */

static void *work(void *arg)
{
    struct frt_worker_pool *pool = arg;
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->stats.queued == 0 && !pool->stopping)
            (void)pthread_cond_wait(&pool->work, &pool->lock);
        if (pool->stats.queued == 0)
            break;
        struct frt_worker_job job = pop(pool);
        pool->stats.busy++;
        const int64_t start = frt_now_ns();
        bool late = job.deadline_ms != 0 && start / 1000000 >= job.deadline_ms;
        pool->stats.late += late;
        (void)pthread_mutex_unlock(&pool->lock);
        job.run(job.arg, late);
        const double took = (double)(frt_now_ns() - start);
        (void)pthread_mutex_lock(&pool->lock);
        if (!late)
            pool->mean_ns += pool->mean_ns == 0 ? took : (took - pool->mean_ns) / MEAN_OVER;
        pool->stats.busy--;
        pool->stats.done++;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static bool make_room(struct frt_worker_pool *pool, uint32_t queue)
{
    uint64_t counts = 4;
    while (counts < 2 * (uint64_t)queue)
        counts *= 2;
    pool->count_mask = counts - 1;
    pool->counts = frt_alloc_zero(counts, sizeof *pool->counts);
    pool->places = frt_alloc_zero(queue, sizeof *pool->places);
    if (pool->counts == NULL || pool->places == NULL)
        return false;
    for (uint32_t i = 0; i < queue; i++)
        pool->places[i].next = i + 1 < queue ? (int32_t)(i + 1) : NONE;
    pool->interactive = pool->bulk = (struct queue){NONE, NONE};
    return true;
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
    pool->threads = frt_alloc_zero(threads, sizeof *pool->threads);
    if (!make_room(pool, queue) || pool->threads == NULL) {
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
    frt_free(pool->places);
    frt_free(pool->counts);
    frt_free(pool->threads);
    frt_free(pool);
}

/* ------------------------------------------------------------------ submit */

/* Four fifths of the queue, and never so much that nothing is left for others, where that can be. */
static uint32_t share_of_one(uint32_t queue)
{
    const uint32_t share = queue - (queue + 4) / 5;
    return share > 0 ? share : 1;
}

static uint32_t share_of_bulk(uint32_t queue)
{
    return queue > 1 ? queue / 2 : 1;
}

enum refusal { LET_IN = 0, STOPPING, FULL, OWN_SHARE, BULK_SHARE, HOPELESS };

/* How long `before` jobs and those at work take until a thread is free, from what they took lately. */
static double wait_ns(const struct frt_worker_pool *pool, uint32_t before)
{
    if (pool->stats.busy < pool->stats.limit && before == 0)
        return 0;
    return pool->mean_ns * (double)(before + 1) / (double)pool->stats.limit;
}

static enum refusal judge(struct frt_worker_pool *pool, const struct frt_worker_job *job)
{
    const uint32_t limit = pool->stats.queue_limit;
    if (pool->stopping)
        return STOPPING;
    /* first: over his share, he is told so even where the rest is full */
    if (job->client != 0 && pool->stats.queued >= share_of_one(limit) &&
        count_of(pool, job->client)->n >= share_of_one(limit))
        return OWN_SHARE;
    if (pool->stats.queued >= limit)
        return FULL;
    if (job->bulk && pool->bulk_queued >= share_of_bulk(limit))
        return BULK_SHARE;
    if (job->deadline_ms != 0) {
        const double left_ns = (double)(job->deadline_ms * 1000000 - frt_now_ns());
        if (left_ns > 0 && wait_ns(pool, pool->stats.queued) > left_ns)
            return HOPELESS;
    }
    return LET_IN;
}

static enum frt_status answer(struct frt_worker_pool *pool, const struct frt_worker_job *job,
                              enum refusal refusal, struct frt_error *err)
{
    static const char *const texts[] = {
        [FULL] = "all workers are busy and the queue is full; try again later",
        [OWN_SHARE] = "this client has as many requests waiting as one may have; try again later",
        [BULK_SHARE] = "as much bulk work is waiting as may wait; try again later",
        [HOPELESS] = "what waits already would take until after this request's deadline; try again later"};
    if (refusal == STOPPING)
        return frt_fail(err, FRT_EUNAVAILABLE, "the service is stopping");
    pool->stats.rejected++;
    pool->stats.rejected_share += refusal == OWN_SHARE;
    if (job->refusal != NULL)
        *job->refusal = (struct frt_worker_refusal){
            .own_share = refusal == OWN_SHARE, .retry_ms = (uint32_t)(wait_ns(pool, pool->stats.queued) / 1e6)};
    return frt_fail(err, FRT_EOVERLOADED, "%s", texts[refusal]);
}

enum frt_status frt_worker_pool_submit(struct frt_worker_pool *pool, struct frt_worker_job job,
                                       struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    (void)pthread_mutex_lock(&pool->lock);
    const enum refusal refusal = judge(pool, &job);
    if (refusal == LET_IN) {
        push(pool, &job);
        (void)pthread_cond_signal(&pool->work);
    } else {
        status = answer(pool, &job, refusal, err);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return status;
}

enum frt_status frt_worker_pool_ask(struct frt_worker_pool *pool, const struct frt_worker_job *job,
                                    struct frt_error *err)
{
    (void)pthread_mutex_lock(&pool->lock);
    const enum refusal refusal = judge(pool, job);
    enum frt_status status = refusal == LET_IN ? FRT_OK : answer(pool, job, refusal, err);
    (void)pthread_mutex_unlock(&pool->lock);
    return status;
}

struct frt_worker_pool_stats frt_worker_pool_stats_get(struct frt_worker_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct frt_worker_pool_stats stats = pool->stats;
    stats.mean_ms = pool->mean_ns / 1e6;
    (void)pthread_mutex_unlock(&pool->lock);
    return stats;
}

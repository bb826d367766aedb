#include "engine/eval_each.h"

#include <pthread.h>
#include <stdatomic.h>

struct each {
    const struct frt_eval_each *plan;
    atomic_size_t next;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards what follows; held during the progress callback, never during work */
    size_t done;
    enum frt_status status; /* the first failure */
    struct frt_error error;
};

static void *work(void *arg)
{
    struct each *each = arg;
    const struct frt_eval_each *plan = each->plan;
    for (;;) {
        /* seq_cst throughout: one operation a photo */
        const size_t i = atomic_fetch_add(&each->next, 1);
        if (i >= plan->n || atomic_load(&each->stop))
            return NULL;
        struct frt_error err = {0};
        enum frt_status status;
        if (plan->cancelled != NULL && plan->cancelled(plan->cancelled_arg))
            status = frt_fail(&err, FRT_ECANCELLED, "evaluation cancelled");
        else
            status = plan->work(plan->arg, i, &err);
        (void)pthread_mutex_lock(&each->lock);
        if (status != FRT_OK && each->status == FRT_OK) {
            each->status = status;
            each->error = err;
            atomic_store(&each->stop, true);
        }
        each->done++;
        if (status == FRT_OK && plan->progress != NULL)
            plan->progress(plan->progress_arg, each->done, plan->n);
        (void)pthread_mutex_unlock(&each->lock);
    }
}

enum frt_status frt_eval_each(const struct frt_eval_each *plan, struct frt_error *err)
{
    struct each each = {.plan = plan};
    pthread_t others[FRT_EVAL_MAX_THREADS];
    uint32_t started = 0;
    if (plan->threads > FRT_EVAL_MAX_THREADS)
        return frt_fail(err, FRT_EINVAL, "%u threads; 1 to %d fit", plan->threads, FRT_EVAL_MAX_THREADS);
    if (pthread_mutex_init(&each.lock, NULL) != 0)
        return frt_fail_nomem(err, "lock");
    while (started + 1 < plan->threads && started + 1 < plan->n &&
           pthread_create(&others[started], NULL, work, &each) == 0)
        started++;
    (void)work(&each);
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(others[i], NULL);
    (void)pthread_mutex_destroy(&each.lock);
    if (each.status != FRT_OK && err != NULL)
        *err = each.error;
    return each.status;
}

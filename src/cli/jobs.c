#include "cli/jobs.h"

#include <pthread.h>

enum { MAX_THREADS = 256 };

/* `lock` guards what follows it. */
struct state {
    const struct cli_jobs_plan *plan;
    pthread_mutex_t lock;
    pthread_cond_t printed;
    size_t next;     /* input to take */
    size_t to_print; /* input whose turn it is */
    int exit_code;
    enum frt_status status;
    struct frt_error err;
    bool over;
};

static void finish(struct state *s, size_t i, int code, const struct frt_buf *out,
                   const struct frt_error *problem)
{
    struct frt_error err = {0};
    (void)pthread_mutex_lock(&s->lock);
    while (s->to_print != i && !s->over)
        (void)pthread_cond_wait(&s->printed, &s->lock);
    bool over = s->over;
    (void)pthread_mutex_unlock(&s->lock);
    if (over)
        return;
    /* our turn, and nobody else's until to_print moves: a slow reader of the output stops no other work */
    enum frt_status status = s->plan->print(s->plan->arg, i, out, problem, &err);
    (void)pthread_mutex_lock(&s->lock);
    if (status != FRT_OK && s->status == FRT_OK) {
        s->status = status;
        s->err = err;
        s->over = true;
    }
    if (s->exit_code == 0)
        s->exit_code = code;
    s->to_print++;
    (void)pthread_cond_broadcast(&s->printed);
    (void)pthread_mutex_unlock(&s->lock);
}

static void *work(void *arg)
{
    struct state *s = arg;
    struct frt_buf out;
    for (;;) {
        (void)pthread_mutex_lock(&s->lock);
        if (!s->over && s->next < s->plan->n && s->plan->stopped(s->plan->arg))
            s->over = true;
        bool done = s->over || s->next == s->plan->n;
        size_t i = done ? 0 : s->next++;
        if (s->over)
            (void)pthread_cond_broadcast(&s->printed);
        (void)pthread_mutex_unlock(&s->lock);
        if (done)
            return NULL;
        frt_buf_init(&out, s->plan->max_output_bytes);
        struct frt_error problem = {0};
        int code = s->plan->work(s->plan->arg, i, &out, &problem);
        finish(s, i, code, &out, &problem);
        frt_buf_deinit(&out);
    }
}

enum frt_status cli_jobs_run(const struct cli_jobs_plan *plan, int *exit_code, struct frt_error *err)
{
    struct state s = {.plan = plan};
    pthread_t threads[MAX_THREADS];
    size_t started = 0, wanted = plan->threads < plan->n ? plan->threads : plan->n;
    (void)pthread_mutex_init(&s.lock, NULL);
    (void)pthread_cond_init(&s.printed, NULL);
    /* this thread works, too: a machine that starts no more threads still gets the work done */
    while (started + 1 < wanted && started < MAX_THREADS &&
           pthread_create(&threads[started], NULL, work, &s) == 0)
        started++;
    (void)work(&s);
    for (size_t i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_cond_destroy(&s.printed);
    (void)pthread_mutex_destroy(&s.lock);
    if (s.status != FRT_OK) {
        if (err != NULL)
            *err = s.err;
        return s.status;
    }
    *exit_code = s.exit_code;
    return FRT_OK;
}

#include "engine/batch_tune.h"

#include <time.h>

#include "core/clock.h"
#include "core/mem.h"

enum { SIZES = 6, MOST_TURNS = 8, LEAST_TURNS = 3 };
static const uint32_t sizes[SIZES] = {1, 2, 4, 8, 16, FRT_TUNE_MOST};

static int64_t cpu_ns(void *arg)
{
    struct timespec t;
    (void)arg;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t wall_ns(void *arg)
{
    (void)arg;
    return frt_now_ns();
}

struct tuner {
    const struct frt_batch_tune_options *options;
    uint8_t *item; /* noise: the time of a net does not depend on what it sees */
    float *rows;
    double ms[SIZES]; /* least of an inference; 0 = none yet */
    double spent_ms;
};

static bool stopped(void *arg)
{
    const atomic_bool *stop = arg;
    return stop != NULL && atomic_load(stop);
}

static enum frt_status time_one(struct tuner *t, size_t size, double *ms, struct frt_error *err)
{
    const struct frt_batcher_options *work = &t->options->work;
    const uint8_t *items[FRT_TUNE_MOST];
    const struct frt_stage_wait wait = {.priority = FRT_PRIORITY_BULK,
                                        .cancelled = stopped,
                                        .cancelled_arg = (void *)(uintptr_t)t->options->stop};
    int64_t (*now_ns)(void *arg) = t->options->now_ns != NULL ? t->options->now_ns
                                   : t->options->device       ? wall_ns
                                                              : cpu_ns;
    double inference_ms = 0;
    for (size_t i = 0; i < size; i++)
        items[i] = t->item;
    if (stopped(wait.cancelled_arg))
        return frt_fail(err, FRT_ECANCELLED, "stopped");
    if (t->options->device && !work->on_device(work->arg))
        return frt_fail(err, FRT_EUNAVAILABLE, "the device has fallen");
    enum frt_status status = frt_stage_enter(work->stages, FRT_STAGE_RECOGNIZE, &wait, err);
    if (status != FRT_OK)
        return status;
    int64_t start = now_ns(work->arg);
    status = work->run(work->arg, items, size, t->rows, &inference_ms, err);
    *ms = (double)(now_ns(work->arg) - start) / 1e6;
    frt_stage_leave(work->stages, FRT_STAGE_RECOGNIZE);
    t->spent_ms += *ms;
    return status;
}

/* On a CPU what so many take alone; on a device, which gains more from company, twice what half as many took.
 */
static bool holds_too_long(const struct tuner *t, size_t i)
{
    if (i == 0)
        return false;
    return (t->options->device ? t->ms[i - 1] * sizes[i] / sizes[i - 1] : t->ms[0] * sizes[i]) >
           FRT_TUNE_RUN_MS;
}

/* One inference of each size. The first turn warms up: its times are used for leaving sizes out only. */
static enum frt_status take_turn(struct tuner *t, bool first, struct frt_error *err)
{
    for (size_t i = 0; i < SIZES && sizes[i] <= t->options->most; i++) {
        double ms = 0;
        if (holds_too_long(t, i))
            break;
        enum frt_status status = time_one(t, sizes[i], &ms, err);
        if (status == FRT_OK && first && i == 0) /* memory is taken and pages come in: once more */
            status = time_one(t, sizes[i], &ms, err);
        if (status != FRT_OK)
            return status;
        if (t->ms[i] <= 0 || ms < t->ms[i])
            t->ms[i] = ms;
    }
    return FRT_OK;
}

/* The smallest size within two hundredths of the best, if that is worth it. */
static void choose(const struct tuner *t, struct frt_batch_choice *out)
{
    double alone = t->ms[0], least = alone;
    size_t chosen = 0;
    for (size_t i = 1; i < SIZES && t->ms[i] > 0; i++)
        if (t->ms[i] / sizes[i] < least)
            least = t->ms[i] / sizes[i];
    while (t->ms[chosen] / sizes[chosen] > 1.02 * least)
        chosen++;
    if (t->ms[chosen] / sizes[chosen] > alone * (100 - FRT_TUNE_GAIN_PERCENT) / 100)
        chosen = 0;
    double best_ms = t->ms[chosen] / sizes[chosen];
    *out = (struct frt_batch_choice){.best = sizes[chosen],
                                     .window_us = (uint32_t)(1000 * sizes[chosen] * (alone - best_ms)),
                                     .alone_ms = alone,
                                     .best_ms = best_ms};
}

enum frt_status frt_batch_tune(const struct frt_batch_tune_options *options, struct frt_batch_choice *out,
                               struct frt_error *err)
{
    struct tuner t = {.options = options};
    enum frt_status status = FRT_OK;
    uint32_t noise = 1;
    double building_ms = 0;
    size_t largest = 0;
    int turns = 0;
    t.item = frt_alloc_array(options->work.item_bytes, 1);
    t.rows = frt_alloc_array(options->work.dim, FRT_TUNE_MOST * sizeof *t.rows);
    if (t.item == NULL || t.rows == NULL)
        status = frt_fail_nomem(err, "measuring batches");
    for (size_t i = 0; t.item != NULL && i < options->work.item_bytes; i++) {
        noise = noise * 1664525u + 1013904223u;
        t.item[i] = (uint8_t)(noise >> 24);
    }
    while (largest + 1 < SIZES && sizes[largest + 1] <= options->most)
        largest++;
    if (status == FRT_OK && options->largest_first) {
        status = time_one(&t, sizes[largest], &building_ms, err);
        t.spent_ms = 0;
    }
    while (status == FRT_OK && turns < MOST_TURNS && (turns == 0 || t.spent_ms < FRT_TUNE_MS)) {
        status = take_turn(&t, turns == 0, err);
        turns++;
    }
    if (status == FRT_OK && turns < LEAST_TURNS)
        status = frt_fail(err, FRT_ETIMEOUT, "%d turns in %.0f ms are too few to judge by", turns, t.spent_ms);
    if (status == FRT_OK)
        choose(&t, out);
    frt_free(t.item);
    frt_free(t.rows);
    return status;
}

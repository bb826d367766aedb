/*
 * Faces of several requests in one inference, over a run that is a function here: a row is made of its item's
 * first byte, an item that begins with BAD fails whatever it is in, and a gate holds inferences up. What waits
 * for what is arranged by holding the only core, never by timing; a wait that should not be ends in CTest's
 * timeout.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "engine/batch_tune.h"
#include "engine/batcher.h"

enum { DIM = 3, ITEM = 5, BAD = 255, MOST_RUNS = 4096 };
#define HOUR_US 3600000000u

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;     /* inferences wait at their beginning */
    unsigned inside; /* inferences that began */
    size_t n;
    uint8_t sizes[MOST_RUNS], firsts[MOST_RUNS]; /* faces; first byte of the first */
} runs;

static struct frt_stages *stages;
static struct frt_batcher *batcher;

static enum frt_status run(void *arg, const uint8_t *const *items, size_t n, float *out, double *inference_ms,
                           struct frt_error *err)
{
    (void)arg;
    (void)pthread_mutex_lock(&runs.lock);
    runs.inside++;
    if (runs.n < MOST_RUNS) {
        runs.sizes[runs.n] = (uint8_t)n;
        runs.firsts[runs.n++] = items[0][0];
    }
    (void)pthread_cond_broadcast(&runs.changed);
    while (runs.closed)
        (void)pthread_cond_wait(&runs.changed, &runs.lock);
    (void)pthread_mutex_unlock(&runs.lock);
    *inference_ms += 1;
    for (size_t i = 0; i < n; i++) {
        if (items[i][0] == BAD)
            return frt_fail(err, FRT_ERUNTIME, "item %zu of %zu is bad", i, n);
        for (size_t k = 0; k < DIM; k++)
            out[i * DIM + k] = (float)(items[i][0] * 10 + (int)k);
    }
    return FRT_OK;
}

static void gate(bool closed)
{
    (void)pthread_mutex_lock(&runs.lock);
    runs.closed = closed;
    (void)pthread_cond_broadcast(&runs.changed);
    (void)pthread_mutex_unlock(&runs.lock);
}

static void make(uint32_t cores, uint32_t queue)
{
    const struct frt_stages_options s = {.limits = {16, cores, cores, 4}, .cores = cores, .queue = 64};
    assert_int_equal(frt_stages_new(&s, &stages, NULL), FRT_OK);
    const struct frt_batcher_options b = {
        .stages = stages, .queue = queue, .dim = DIM, .item_bytes = ITEM, .run = run};
    assert_int_equal(frt_batcher_new(&b, &batcher, NULL), FRT_OK);
    (void)pthread_mutex_lock(&runs.lock);
    runs.n = 0;
    runs.inside = 0;
    (void)pthread_mutex_unlock(&runs.lock);
}

static void done(void)
{
    struct frt_batcher_stats stats = frt_batcher_stats_get(batcher);
    assert_int_equal(stats.waiting, 0);
    for (int i = 0; i < FRT_STAGE_COUNT; i++) {
        struct frt_stage_stats s = frt_stage_stats_get(stages, (enum frt_stage)i);
        assert_int_equal(s.busy, 0);
        assert_int_equal(s.queued, 0);
    }
    frt_batcher_free(batcher);
    frt_stages_free(stages);
}

static void hold_core(void)
{
    assert_int_equal(frt_stage_enter(stages, FRT_STAGE_DETECT, NULL, NULL), FRT_OK);
}

static void free_core(void)
{
    frt_stage_leave(stages, FRT_STAGE_DETECT);
}

/* --------------------------------------------------------------- callers */

struct caller {
    pthread_t thread;
    uint8_t items[40 * ITEM];
    size_t n;
    struct frt_stage_wait wait;
    atomic_bool gave_up;
    float out[40 * DIM];
    struct frt_batch_times times;
    enum frt_status status;
    struct frt_error err;
};

static bool gave_up(void *arg)
{
    return atomic_load(&((struct caller *)arg)->gave_up);
}

static void *call(void *arg)
{
    struct caller *c = arg;
    c->status = frt_batcher_run(batcher, c->items, c->n, &c->wait, c->out, &c->times, &c->err);
    return NULL;
}

/* n faces that begin with `first`, `first` + 1, … */
static void prepare(struct caller *c, uint8_t first, size_t n)
{
    memset(c, 0, sizeof *c);
    c->n = n;
    for (size_t i = 0; i < n; i++)
        c->items[i * ITEM] = (uint8_t)(first + i);
    c->wait.cancelled = gave_up;
    c->wait.cancelled_arg = c;
}

static void start(struct caller *c)
{
    assert_int_equal(pthread_create(&c->thread, NULL, call, c), 0);
}

static void assert_rows(const struct caller *c)
{
    assert_int_equal(c->status, FRT_OK);
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < DIM; k++)
            assert_int_equal((int)c->out[i * DIM + k], c->items[i * ITEM] * 10 + (int)k);
}

static void join(struct caller *c)
{
    assert_int_equal(pthread_join(c->thread, NULL), 0);
}

/* Until so many wait in the batcher and in the stage's queue. */
static void until_waiting(uint32_t in_batcher, uint32_t in_stage)
{
    while (frt_batcher_stats_get(batcher).waiting != in_batcher ||
           frt_stage_stats_get(stages, FRT_STAGE_RECOGNIZE).queued != in_stage)
        (void)usleep(200);
}

static void until_inside(unsigned n)
{
    (void)pthread_mutex_lock(&runs.lock);
    while (runs.inside < n)
        (void)pthread_cond_wait(&runs.changed, &runs.lock);
    (void)pthread_mutex_unlock(&runs.lock);
}

/* ----------------------------------------------------------------- tests */

static void who_is_alone_waits_for_nobody(void **state)
{
    (void)state;
    struct caller c;
    make(1, 8);
    frt_batcher_set(batcher, 8, HOUR_US);
    for (uint8_t i = 0; i < 3; i++) {
        prepare(&c, (uint8_t)(10 * i), 1);
        (void)call(&c);
        assert_rows(&c);
        assert_true(c.times.inference_ms > 0.99 && c.times.inference_ms < 1.01);
    }
    struct frt_batcher_stats stats = frt_batcher_stats_get(batcher);
    assert_int_equal(stats.count, 3);
    assert_int_equal(stats.items, 3);
    done();
}

static void faces_of_several_requests_share_an_inference(void **state)
{
    (void)state;
    struct caller c[3];
    make(1, 8);
    frt_batcher_set(batcher, 4, HOUR_US);
    hold_core();
    prepare(&c[0], 1, 1);
    prepare(&c[1], 20, 2);
    prepare(&c[2], 40, 1);
    start(&c[0]);
    until_waiting(1, 0); /* waits for company, not for a place */
    start(&c[1]);
    until_waiting(2, 0);
    start(&c[2]);
    until_waiting(2, 1); /* four faces: the first asks for the place */
    free_core();
    for (int i = 0; i < 3; i++) {
        join(&c[i]);
        assert_rows(&c[i]);
    }
    assert_int_equal(runs.n, 1);
    assert_int_equal(runs.sizes[0], 4);
    struct frt_batcher_stats stats = frt_batcher_stats_get(batcher);
    assert_int_equal(stats.count, 1);
    assert_int_equal(stats.items, 4);
    done();
}

static void a_core_that_comes_free_ends_the_wait_for_company(void **state)
{
    (void)state;
    struct caller c[2];
    make(1, 8);
    frt_batcher_set(batcher, 8, HOUR_US);
    hold_core();
    for (int i = 0; i < 2; i++) {
        prepare(&c[i], (uint8_t)(50 * i + 1), 1);
        start(&c[i]);
    }
    until_waiting(2, 0);
    free_core();
    for (int i = 0; i < 2; i++) {
        join(&c[i]);
        assert_rows(&c[i]);
    }
    assert_int_equal(runs.n, 1);
    assert_int_equal(runs.sizes[0], 2);
    done();
}

static void the_window_ends_the_wait_for_company(void **state)
{
    (void)state;
    struct caller c;
    make(1, 8);
    frt_batcher_set(batcher, 8, 1000);
    hold_core();
    prepare(&c, 7, 1);
    start(&c);
    until_waiting(0, 1); /* asks for a place with nobody beside him */
    free_core();
    join(&c);
    assert_rows(&c);
    done();
}

static void without_gain_there_are_no_batches(void **state)
{
    (void)state;
    struct caller c[3];
    make(1, 8);
    hold_core();
    for (int i = 0; i < 3; i++) {
        prepare(&c[i], (uint8_t)(50 * i), (size_t)i + 1);
        start(&c[i]);
    }
    until_waiting(0, 3);
    free_core();
    for (int i = 0; i < 3; i++) {
        join(&c[i]);
        assert_rows(&c[i]);
    }
    assert_int_equal(runs.n, 6);
    for (size_t i = 0; i < runs.n; i++)
        assert_int_equal(runs.sizes[i], 1);
    done();
}

static void many_faces_of_one_request_go_in_pieces(void **state)
{
    (void)state;
    struct caller c;
    make(1, 8);
    frt_batcher_set(batcher, 4, HOUR_US);
    prepare(&c, 1, 10);
    (void)call(&c);
    assert_rows(&c);
    assert_int_equal(runs.n, 3);
    assert_int_equal(runs.sizes[0], 4);
    assert_int_equal(runs.sizes[1], 4);
    assert_int_equal(runs.sizes[2], 2);
    done();
}

static void one_bad_request_does_not_spoil_the_others(void **state)
{
    (void)state;
    struct caller c[4];
    make(1, 8);
    frt_batcher_set(batcher, 4, HOUR_US);
    hold_core();
    for (int i = 0; i < 4; i++) {
        prepare(&c[i], i == 2 ? BAD : (uint8_t)(10 * i), 1);
        start(&c[i]);
        if (i < 3)
            until_waiting((uint32_t)i + 1, 0);
    }
    until_waiting(3, 1);
    free_core();
    for (int i = 0; i < 4; i++) {
        join(&c[i]);
        if (i == 2) {
            assert_int_equal(c[i].status, FRT_ERUNTIME);
            assert_string_equal(c[i].err.text, "item 0 of 1 is bad");
        } else {
            assert_rows(&c[i]);
        }
    }
    assert_int_equal(runs.n, 5); /* together, then each alone */
    struct frt_batcher_stats stats = frt_batcher_stats_get(batcher);
    assert_int_equal(stats.count, 3);
    assert_int_equal(stats.items, 3);
    done();
}

static void who_waits_may_run_late_or_give_up(void **state)
{
    (void)state;
    struct caller c[4];
    make(1, 8);
    frt_batcher_set(batcher, 8, HOUR_US);
    hold_core();
    for (int i = 0; i < 4; i++) {
        prepare(&c[i], (uint8_t)(10 * i), 1);
        if (i == 1)
            c[i].wait.deadline_ms = frt_now_ns() / 1000000 + 30;
        start(&c[i]);
        while (frt_batcher_stats_get(batcher).waiting + (i > 1) < (uint32_t)i + 1)
            (void)usleep(200);
        if (i == 1) { /* a follower whose deadline passes */
            join(&c[1]);
            assert_int_equal(c[1].status, FRT_ETIMEOUT);
        }
    }
    atomic_store(&c[2].gave_up, true); /* a follower who gives up */
    join(&c[2]);
    assert_int_equal(c[2].status, FRT_ECANCELLED);
    until_waiting(2, 0);
    free_core();
    join(&c[0]);
    join(&c[3]);
    assert_rows(&c[0]);
    assert_rows(&c[3]);
    assert_int_equal(runs.n, 1);
    assert_int_equal(runs.sizes[0], 2);
    done();
}

static void a_candidate_who_leaves_makes_the_next_one(void **state)
{
    (void)state;
    struct caller c[3];
    make(1, 8);
    frt_batcher_set(batcher, 8, 1000);
    hold_core();
    prepare(&c[0], 1, 1);
    c[0].wait.deadline_ms = frt_now_ns() / 1000000 + 60;
    start(&c[0]);
    until_waiting(0, 1);
    prepare(&c[1], 20, 1);
    start(&c[1]);
    join(&c[0]);
    assert_int_equal(c[0].status, FRT_ETIMEOUT);
    until_waiting(0, 1); /* the second asks now */
    prepare(&c[2], 40, 1);
    start(&c[2]);
    until_waiting(1, 1);
    atomic_store(&c[1].gave_up, true);
    join(&c[1]);
    assert_int_equal(c[1].status, FRT_ECANCELLED);
    free_core();
    join(&c[2]);
    assert_rows(&c[2]);
    assert_int_equal(runs.n, 1);
    /* late before the work: not even begun */
    prepare(&c[0], 1, 1);
    c[0].wait.deadline_ms = 1;
    (void)call(&c[0]);
    assert_int_equal(c[0].status, FRT_ETIMEOUT);
    assert_int_equal(runs.n, 1);
    done();
}

static void who_is_taken_along_stays_to_the_end(void **state)
{
    (void)state;
    struct caller c[2];
    make(1, 8);
    frt_batcher_set(batcher, 2, HOUR_US);
    gate(true);
    hold_core();
    for (int i = 0; i < 2; i++) {
        prepare(&c[i], (uint8_t)(100 * i), 1);
        start(&c[i]);
    }
    until_waiting(1, 1);
    free_core();
    until_inside(1);
    for (int i = 0; i < 2; i++)
        atomic_store(&c[i].gave_up, true);
    (void)usleep(2 * FRT_STAGE_POLL_MS * 1000); /* asked meanwhile, if at all */
    gate(false);
    for (int i = 0; i < 2; i++) {
        join(&c[i]);
        assert_rows(&c[i]);
    }
    done();
}

static void a_full_queue_refuses_at_once(void **state)
{
    (void)state;
    struct caller c[3];
    make(1, 2);
    frt_batcher_set(batcher, 8, HOUR_US);
    hold_core();
    for (int i = 0; i < 2; i++) {
        prepare(&c[i], (uint8_t)i, 1);
        start(&c[i]);
    }
    until_waiting(2, 0);
    prepare(&c[2], 9, 1);
    (void)call(&c[2]);
    assert_int_equal(c[2].status, FRT_EOVERLOADED);
    assert_int_equal(frt_batcher_stats_get(batcher).rejected, 1);
    free_core();
    for (int i = 0; i < 2; i++) {
        join(&c[i]);
        assert_rows(&c[i]);
    }
    done();
}

static void interactive_goes_before_bulk(void **state)
{
    (void)state;
    struct caller bulk, interactive;
    make(1, 8);
    frt_batcher_set(batcher, 2, 1);
    hold_core();
    prepare(&bulk, 1, 1);
    bulk.wait.priority = FRT_PRIORITY_BULK;
    start(&bulk);
    until_waiting(0, 1);
    prepare(&interactive, 2, 1);
    start(&interactive);
    until_waiting(0, 2);
    free_core();
    join(&bulk);
    join(&interactive);
    assert_rows(&bulk);
    assert_rows(&interactive);
    assert_int_equal(runs.n, 2);
    assert_int_equal(runs.firsts[0], 2);
    done();
}

static void *storm(void *arg)
{
    unsigned seed = *(unsigned *)arg, late = 0;
    struct caller *c = malloc(sizeof *c);
    assert_non_null(c);
    for (unsigned i = 0; i < 150; i++) {
        seed = seed * 1664525u + 1013904223u;
        prepare(c, (uint8_t)(seed >> 24 & 127), 1 + (seed >> 16) % 3);
        c->wait.priority = (seed >> 12) % 4 == 0 ? FRT_PRIORITY_BULK : FRT_PRIORITY_INTERACTIVE;
        if ((seed >> 8) % 16 == 0)
            c->items[0] = BAD;
        if ((seed >> 8) % 16 == 1)
            c->wait.deadline_ms = frt_now_ns() / 1000000 + 1;
        (void)call(c);
        if (c->status == FRT_ETIMEOUT && c->wait.deadline_ms != 0)
            late++;
        else if (c->items[0] == BAD)
            assert_int_equal(c->status, FRT_ERUNTIME);
        else
            assert_rows(c);
    }
    free(c);
    return NULL;
}

static void everybody_gets_his_own_in_a_storm(void **state)
{
    (void)state;
    pthread_t threads[8];
    unsigned seeds[8];
    make(2, 64);
    frt_batcher_set(batcher, 4, 300);
    for (unsigned i = 0; i < 8; i++) {
        seeds[i] = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, storm, &seeds[i]), 0);
    }
    for (unsigned i = 0; i < 50; i++) { /* a choice made while others run */
        frt_batcher_set(batcher, i % 5 + 1, 100 * (i % 5));
        (void)usleep(500);
    }
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    done();
}

static void lost_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    struct frt_batcher *none = NULL;
    const struct frt_batcher_options b = {.queue = 1, .dim = DIM, .item_bytes = ITEM, .run = run};
    frt_mem_fail_after(0);
    enum frt_status status = frt_batcher_new(&b, &none, NULL);
    frt_mem_fail_after(-1);
    assert_int_equal(status, FRT_ENOMEM);
    assert_null(none);
    frt_batcher_free(NULL);
    assert_int_equal(frt_batcher_stats_get(NULL).count, 0);
}

/* -------------------------------------------------------------- measuring */

static struct {
    double ms[FRT_TUNE_MOST + 1]; /* of an inference of so many */
    unsigned falls_after;         /* runs; 0 = never */
    size_t first;                 /* size of the first run */
    int64_t now_ns;
    unsigned n;
    uint32_t most_seen;
    double disturbance_ms; /* of every fifth inference */
} model;

static int64_t model_now(void *arg)
{
    (void)arg;
    return model.now_ns;
}

static enum frt_status model_run(void *arg, const uint8_t *const *items, size_t n, float *out,
                                 double *inference_ms, struct frt_error *err)
{
    (void)arg;
    (void)items;
    (void)out;
    (void)inference_ms;
    (void)err;
    if (model.n++ == 0)
        model.first = n;
    model.most_seen = n > model.most_seen ? (uint32_t)n : model.most_seen;
    model.now_ns += (int64_t)((model.ms[n] + (model.n % 5 == 0 ? model.disturbance_ms : 0)) * 1e6);
    return FRT_OK;
}

static enum frt_status tune(double one, double two, double four, double eight, struct frt_batch_choice *out)
{
    const struct frt_batch_tune_options options = {.work = {.dim = DIM, .item_bytes = ITEM, .run = model_run},
                                                   .most = FRT_TUNE_CPU_MOST,
                                                   .now_ns = model_now};
    memset(&model, 0, sizeof model);
    model.ms[1] = one;
    model.ms[2] = two;
    model.ms[4] = four;
    model.ms[8] = eight;
    model.disturbance_ms = 7;
    return frt_batch_tune(&options, out, NULL);
}

static void the_measurement_chooses(void **state)
{
    (void)state;
    struct frt_batch_choice choice;
    assert_int_equal(tune(4, 7, 12, 24, &choice), FRT_OK);
    assert_int_equal(choice.best, 4);                                  /* eight gain nothing over four */
    assert_true(choice.window_us >= 3999 && choice.window_us <= 4001); /* what four save */
    assert_true(choice.alone_ms > 3.99 && choice.alone_ms < 4.01 && choice.best_ms > 2.99 &&
                choice.best_ms < 3.01);
    assert_int_equal(tune(4, 6, 12, 32, &choice), FRT_OK);
    assert_int_equal(choice.best, 2);
    assert_int_equal(tune(4, 8.5, 18, 40, &choice), FRT_OK);
    assert_int_equal(choice.best, 1);
    assert_int_equal(choice.window_us, 0);
    assert_int_equal(tune(4, 7.7, 15.2, 30.0, &choice), FRT_OK); /* six hundredths: not worth it */
    assert_int_equal(choice.best, 1);
    assert_int_equal(tune(30, 40, 80, 150, &choice), FRT_OK); /* four would hold a core too long */
    assert_int_equal(choice.best, 2);
    assert_int_equal(model.most_seen, 2);
    assert_true(model.now_ns < (int64_t)2 * FRT_TUNE_MS * 1000000);
    assert_int_equal(tune(250, 500, 1000, 2000, &choice), FRT_ETIMEOUT); /* a large net */
    assert_true(model.n <= 4);
}

static void the_measurement_stops(void **state)
{
    (void)state;
    atomic_bool stop = true;
    struct frt_batch_choice choice = {.best = 99};
    const struct frt_batch_tune_options options = {.work = {.dim = DIM, .item_bytes = ITEM, .run = model_run},
                                                   .most = FRT_TUNE_CPU_MOST,
                                                   .now_ns = model_now,
                                                   .stop = &stop};
    assert_int_equal(frt_batch_tune(&options, &choice, NULL), FRT_ECANCELLED);
    for (long i = 0; i < 2; i++) {
        frt_mem_fail_after(i);
        enum frt_status status = frt_batch_tune(&options, &choice, NULL);
        frt_mem_fail_after(-1);
        assert_int_equal(status, FRT_ENOMEM);
    }
    assert_int_equal(choice.best, 99);
}

/* ------------------------------------------------------------- on a device */

static bool model_on_device(void *arg)
{
    (void)arg;
    return model.falls_after == 0 || model.n < model.falls_after;
}

/* Each inference costs `each` ms and `face` ms for each of its faces. */
static enum frt_status tune_device(double each, double face, uint32_t most, unsigned falls_after,
                                   bool largest_first, struct frt_batch_choice *out)
{
    const struct frt_batch_tune_options options = {
        .work = {.dim = DIM, .item_bytes = ITEM, .run = model_run, .on_device = model_on_device},
        .most = most,
        .now_ns = model_now,
        .device = true,
        .largest_first = largest_first};
    memset(&model, 0, sizeof model);
    model.falls_after = falls_after;
    for (size_t n = 1; n <= FRT_TUNE_MOST; n++)
        model.ms[n] = each + face * (double)n;
    return frt_batch_tune(&options, out, NULL);
}

static void the_measurement_of_a_device_chooses_more(void **state)
{
    (void)state;
    struct frt_batch_choice choice;
    assert_int_equal(tune_device(3, 0.1, FRT_TUNE_MOST, 0, false, &choice), FRT_OK);
    assert_int_equal(choice.best, 32); /* 0.19 ms a face for 3.1; 16 have 0.29 */
    assert_int_equal(model.first, 1);
    assert_int_equal(tune_device(3, 0.1, 13, 0, false, &choice), FRT_OK); /* memory for no more */
    assert_int_equal(choice.best, 8);
    assert_int_equal(model.most_seen, 8);
    assert_int_equal(tune_device(1, 5, FRT_TUNE_MOST, 0, false, &choice), FRT_OK); /* 16 hold it for 81 ms */
    assert_true(choice.best <= 8 && model.most_seen < 32);
    assert_int_equal(tune_device(3, 0.1, FRT_TUNE_MOST, 0, true, &choice), FRT_OK);
    assert_int_equal(model.first, 32);
    assert_int_equal(choice.best, 32);
}

static void a_device_that_falls_ends_its_measurement(void **state)
{
    (void)state;
    for (unsigned after = 1; after < 12; after++) {
        struct frt_batch_choice choice = {.best = 99};
        assert_int_equal(tune_device(3, 0.1, FRT_TUNE_MOST, after, false, &choice), FRT_EUNAVAILABLE);
        assert_int_equal(choice.best, 99);
        assert_int_equal(model.n, after); /* nothing more: the CPU would have done it */
    }
}

static atomic_bool on_device_now;

static bool is_on_device(void *arg)
{
    (void)arg;
    return atomic_load(&on_device_now);
}

/* What waits for a device goes to the CPU in the CPU's pieces as soon as the device has fallen, and so do the
 * pieces that a request has left. */
static void batches_follow_the_embedder(void **state)
{
    (void)state;
    enum { CALLERS = 32 };
    static struct caller callers[CALLERS];
    const struct frt_stages_options s = {.limits = {16, 1, 1, 4}, .cores = 1, .queue = 64};
    const struct frt_batcher_options b = {
        .queue = 64, .dim = DIM, .item_bytes = ITEM, .run = run, .on_device = is_on_device};
    struct frt_batcher_options options = b;
    assert_int_equal(frt_stages_new(&s, &stages, NULL), FRT_OK);
    options.stages = stages;
    assert_int_equal(frt_batcher_new(&options, &batcher, NULL), FRT_OK);
    frt_batcher_set(batcher, 4, HOUR_US);
    atomic_store(&on_device_now, true);
    assert_int_equal(frt_batcher_stats_get(batcher).best, 4); /* none of its own yet */
    frt_batcher_set_on_device(batcher, CALLERS, HOUR_US);
    assert_int_equal(frt_batcher_stats_get(batcher).best, CALLERS);
    for (int falls = 0; falls < 2; falls++) {
        size_t most = 0, total = 0;
        atomic_store(&on_device_now, true);
        runs.n = 0;
        hold_core();
        for (int i = 0; i < CALLERS; i++)
            prepare(&callers[i], (uint8_t)(i + 1), 1);
        for (int i = 0; i < CALLERS; i++)
            start(&callers[i]);
        until_waiting(CALLERS - 1, 1); /* a whole batch for the device */
        atomic_store(&on_device_now, falls == 0);
        free_core();
        for (int i = 0; i < CALLERS; i++)
            join(&callers[i]);
        for (int i = 0; i < CALLERS; i++)
            assert_rows(&callers[i]);
        for (size_t i = 0; i < runs.n; i++) {
            total += runs.sizes[i];
            most = runs.sizes[i] > most ? runs.sizes[i] : most;
        }
        assert_int_equal(total, CALLERS);
        assert_int_equal(most, falls == 0 ? CALLERS : 4);
    }
    done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_alone_waits_for_nobody),
        cmocka_unit_test(faces_of_several_requests_share_an_inference),
        cmocka_unit_test(a_core_that_comes_free_ends_the_wait_for_company),
        cmocka_unit_test(the_window_ends_the_wait_for_company),
        cmocka_unit_test(without_gain_there_are_no_batches),
        cmocka_unit_test(many_faces_of_one_request_go_in_pieces),
        cmocka_unit_test(one_bad_request_does_not_spoil_the_others),
        cmocka_unit_test(who_waits_may_run_late_or_give_up),
        cmocka_unit_test(a_candidate_who_leaves_makes_the_next_one),
        cmocka_unit_test(who_is_taken_along_stays_to_the_end),
        cmocka_unit_test(a_full_queue_refuses_at_once),
        cmocka_unit_test(interactive_goes_before_bulk),
        cmocka_unit_test(everybody_gets_his_own_in_a_storm),
        cmocka_unit_test(lost_memory_leaves_nothing_behind),
        cmocka_unit_test(the_measurement_chooses),
        cmocka_unit_test(the_measurement_stops),
        cmocka_unit_test(the_measurement_of_a_device_chooses_more),
        cmocka_unit_test(a_device_that_falls_ends_its_measurement),
        cmocka_unit_test(batches_follow_the_embedder),
    };
    (void)pthread_mutex_init(&runs.lock, NULL);
    (void)pthread_cond_init(&runs.changed, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

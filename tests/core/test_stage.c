/*
 * Stages: limits, one budget of cores, who is next, bounds of waiting, and that nobody is forgotten.
 * Threads meet at what the stages themselves tell (how many wait), not at times.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/stage.h"

static struct frt_stages *stages_of(uint32_t cores, uint32_t limit, uint32_t queue)
{
    struct frt_error err = {0};
    struct frt_stages *stages = NULL;
    const struct frt_stages_options options = {
        .limits = {limit, limit, limit, limit}, .cores = cores, .queue = queue};
    assert_int_equal(frt_stages_new(&options, &stages, &err), FRT_OK);
    return stages;
}

/* Somebody who waits, on a thread of his own; notes when his turn came. */
struct waiter {
    struct frt_stages *stages;
    enum frt_stage stage;
    struct frt_stage_wait wait;
    atomic_uint *turns;
    unsigned turn;
    enum frt_status status;
    pthread_t thread;
};

static void *wait_and_leave(void *arg)
{
    struct waiter *w = arg;
    struct frt_error err = {0};
    w->status = frt_stage_enter(w->stages, w->stage, &w->wait, &err);
    if (w->status == FRT_OK) {
        w->turn = atomic_fetch_add(w->turns, 1);
        frt_stage_leave(w->stages, w->stage);
    }
    return NULL;
}

static void begin_waiting(struct waiter *w)
{
    const uint32_t before = frt_stage_stats_get(w->stages, w->stage).queued;
    assert_int_equal(pthread_create(&w->thread, NULL, wait_and_leave, w), 0);
    while (frt_stage_stats_get(w->stages, w->stage).queued == before)
        (void)sched_yield();
}

static void must_enter(struct frt_stages *stages, enum frt_stage stage)
{
    assert_int_equal(frt_stage_enter(stages, stage, NULL, NULL), FRT_OK);
}

static void places_and_cores_are_limited(void **state)
{
    (void)state;
    struct frt_stages *stages = stages_of(3, 2, 8);
    atomic_uint turns = 0;
    must_enter(stages, FRT_STAGE_IMAGE);
    must_enter(stages, FRT_STAGE_IMAGE);
    struct waiter third = {.stages = stages, .stage = FRT_STAGE_IMAGE, .turns = &turns};
    begin_waiting(&third); /* the stage's limit */
    must_enter(stages, FRT_STAGE_DETECT);
    struct waiter fourth = {.stages = stages, .stage = FRT_STAGE_RECOGNIZE, .turns = &turns};
    begin_waiting(&fourth);              /* a place is free, a core is not */
    must_enter(stages, FRT_STAGE_STORE); /* takes no core */
    must_enter(stages, FRT_STAGE_STORE);
    assert_int_equal(frt_stage_stats_get(stages, FRT_STAGE_IMAGE).busy, 2);
    assert_int_equal(frt_stage_stats_get(stages, FRT_STAGE_STORE).busy, 2);
    assert_int_equal(frt_stage_stats_get(stages, FRT_STAGE_RECOGNIZE).queued, 1);
    assert_int_equal(atomic_load(&turns), 0);
    frt_stage_leave(stages, FRT_STAGE_DETECT); /* a core, but no place in image */
    (void)pthread_join(fourth.thread, NULL);
    assert_int_equal(fourth.status, FRT_OK);
    assert_int_equal(frt_stage_stats_get(stages, FRT_STAGE_IMAGE).queued, 1);
    frt_stage_leave(stages, FRT_STAGE_IMAGE);
    (void)pthread_join(third.thread, NULL);
    assert_int_equal(third.status, FRT_OK);
    frt_stage_leave(stages, FRT_STAGE_IMAGE);
    frt_stage_leave(stages, FRT_STAGE_STORE);
    frt_stage_leave(stages, FRT_STAGE_STORE);
    for (int i = 0; i < FRT_STAGE_COUNT; i++) {
        const struct frt_stage_stats s = frt_stage_stats_get(stages, (enum frt_stage)i);
        assert_int_equal(s.busy + s.queued, 0);
        assert_int_equal(s.limit, 2);
    }
    frt_stages_free(stages);
}

static void a_core_goes_to_the_latest_stage_first(void **state)
{
    static const enum frt_stage order[] = {FRT_STAGE_IMAGE, FRT_STAGE_RECOGNIZE, FRT_STAGE_DETECT};
    (void)state;
    struct frt_stages *stages = stages_of(1, 4, 8);
    atomic_uint turns = 0;
    struct waiter w[3];
    must_enter(stages, FRT_STAGE_DETECT);
    for (int i = 0; i < 3; i++) {
        w[i] = (struct waiter){.stages = stages, .stage = order[i], .turns = &turns};
        begin_waiting(&w[i]);
    }
    frt_stage_leave(stages, FRT_STAGE_DETECT);
    for (int i = 0; i < 3; i++)
        (void)pthread_join(w[i].thread, NULL);
    assert_int_equal(w[1].turn, 0);
    assert_int_equal(w[2].turn, 1);
    assert_int_equal(w[0].turn, 2);
    frt_stages_free(stages);
}

static void bulk_gives_way_but_never_starves(void **state)
{
    enum { BULK = 3, INTERACTIVE = 20, ALL = BULK + INTERACTIVE };
    (void)state;
    struct frt_stages *stages = stages_of(1, 1, 64);
    atomic_uint turns = 0;
    struct waiter w[ALL];
    must_enter(stages, FRT_STAGE_DETECT);
    for (int i = 0; i < ALL; i++) {
        w[i] = (struct waiter){.stages = stages,
                               .stage = FRT_STAGE_DETECT,
                               .turns = &turns,
                               .wait.priority = i < BULK ? FRT_PRIORITY_BULK : FRT_PRIORITY_INTERACTIVE};
        begin_waiting(&w[i]);
    }
    frt_stage_leave(stages, FRT_STAGE_DETECT);
    for (int i = 0; i < ALL; i++)
        (void)pthread_join(w[i].thread, NULL);
    for (int i = 0; i < BULK; i++) /* one turn in eight while others wait */
        assert_int_equal(w[i].turn, i < 2 ? 8 * i + 7 : ALL - 1);
    for (int i = BULK + 1; i < ALL; i++) /* first come, first served */
        assert_true(w[i].turn > w[i - 1].turn);
    frt_stages_free(stages);
}

static bool yes(void *arg)
{
    atomic_fetch_add((atomic_uint *)arg, 1);
    return true;
}

static void waiting_is_bounded(void **state)
{
    (void)state;
    struct frt_stages *stages = stages_of(1, 1, 2);
    struct frt_error err = {0};
    atomic_uint turns = 0, asked = 0;
    struct waiter w[2];
    must_enter(stages, FRT_STAGE_DETECT);
    struct frt_stage_wait wait = {.deadline_ms = frt_now_ns() / 1000000 + 30};
    assert_int_equal(frt_stage_enter(stages, FRT_STAGE_DETECT, &wait, &err), FRT_ETIMEOUT);
    wait = (struct frt_stage_wait){.cancelled = yes, .cancelled_arg = &asked};
    assert_int_equal(frt_stage_enter(stages, FRT_STAGE_DETECT, &wait, &err), FRT_ECANCELLED);
    assert_int_equal(atomic_load(&asked), 1);
    assert_int_equal(frt_stage_stats_get(stages, FRT_STAGE_DETECT).queued, 0); /* both have left the queue */
    for (int i = 0; i < 2; i++) {
        w[i] = (struct waiter){.stages = stages, .stage = FRT_STAGE_DETECT, .turns = &turns};
        begin_waiting(&w[i]);
    }
    assert_int_equal(frt_stage_enter(stages, FRT_STAGE_DETECT, NULL, &err), FRT_EOVERLOADED);
    assert_int_equal(frt_stage_stats_get(stages, FRT_STAGE_DETECT).rejected, 1);
    frt_stage_leave(stages, FRT_STAGE_DETECT);
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].status, FRT_OK);
    }
    frt_stages_free(stages);
}

/* --------------------------------------------------------------- all at once */

enum { THREADS = 8, EACH = 400, CORES = 2, LIMIT = 2 };

struct crowd {
    struct frt_stages *stages;
    atomic_int in_stage[FRT_STAGE_COUNT], computing;
    atomic_uint entered, gave_up;
};

static bool now_and_then(void *arg)
{
    (void)arg;
    return true;
}

static void *go_through(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 0; i < EACH; i++) {
        const enum frt_stage stage = (enum frt_stage)(i % FRT_STAGE_COUNT);
        struct frt_stage_wait wait = {.priority = i % 3 == 0 ? FRT_PRIORITY_BULK : FRT_PRIORITY_INTERACTIVE};
        if (i % 5 == 0) /* some have no time at all */
            wait.deadline_ms = frt_now_ns() / 1000000;
        if (i % 7 == 0)
            wait.cancelled = now_and_then;
        struct frt_error err = {0};
        enum frt_status status = frt_stage_enter(crowd->stages, stage, &wait, &err);
        if (status != FRT_OK) {
            (void)atomic_fetch_add(&crowd->gave_up, 1);
            continue;
        }
        const int here = atomic_fetch_add(&crowd->in_stage[stage], 1);
        const int computing = stage == FRT_STAGE_STORE ? 0 : atomic_fetch_add(&crowd->computing, 1);
        (void)sched_yield();
        if (here >= LIMIT || computing >= CORES) /* cmocka's asserts are for the main thread */
            (void)atomic_fetch_add(&crowd->entered, 1000000);
        (void)atomic_fetch_sub(&crowd->in_stage[stage], 1);
        if (stage != FRT_STAGE_STORE)
            (void)atomic_fetch_sub(&crowd->computing, 1);
        (void)atomic_fetch_add(&crowd->entered, 1);
        frt_stage_leave(crowd->stages, stage);
    }
    return NULL;
}

static void nobody_is_forgotten_and_no_limit_is_passed(void **state)
{
    (void)state;
    struct crowd crowd = {.stages = stages_of(CORES, LIMIT, THREADS)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, go_through, &crowd), 0);
    for (int i = 0; i < THREADS; i++) /* a wake-up that is lost hangs here, until the test's time is over */
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crowd.entered) + atomic_load(&crowd.gave_up), THREADS * EACH);
    assert_true(atomic_load(&crowd.entered) > THREADS * EACH / 2);
    for (int i = 0; i < FRT_STAGE_COUNT; i++) {
        const struct frt_stage_stats s = frt_stage_stats_get(crowd.stages, (enum frt_stage)i);
        assert_int_equal(s.busy + s.queued, 0);
    }
    must_enter(crowd.stages, FRT_STAGE_IMAGE); /* and there is room again */
    must_enter(crowd.stages, FRT_STAGE_IMAGE);
    frt_stage_leave(crowd.stages, FRT_STAGE_IMAGE);
    frt_stage_leave(crowd.stages, FRT_STAGE_IMAGE);
    frt_stages_free(crowd.stages);
}

static void without_stages_everybody_is_let_in(void **state)
{
    (void)state;
    must_enter(NULL, FRT_STAGE_DETECT);
    frt_stage_leave(NULL, FRT_STAGE_DETECT);
    assert_int_equal(frt_stage_stats_get(NULL, FRT_STAGE_DETECT).limit, 0);
    frt_stages_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_and_cores_are_limited),
        cmocka_unit_test(a_core_goes_to_the_latest_stage_first),
        cmocka_unit_test(bulk_gives_way_but_never_starves),
        cmocka_unit_test(waiting_is_bounded),
        cmocka_unit_test(nobody_is_forgotten_and_no_limit_is_passed),
        cmocka_unit_test(without_stages_everybody_is_let_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

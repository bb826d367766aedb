/*
 * The pool: its queue is bounded, freeing it runs what waits, a late job is told so, the numbers add up.
 * Nothing here waits for a time to pass: threads meet at gates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/worker_pool.h"

/* Jobs stand before the gate until it opens; `lock` guards what follows it. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    unsigned waiting, run, late;
    unsigned order[64]; /* of the jobs, by their numbers */
};

struct numbered {
    struct gate *gate;
    unsigned number;
};

static void gate_init(struct gate *gate)
{
    memset(gate, 0, sizeof *gate);
    assert_int_equal(pthread_mutex_init(&gate->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&gate->changed, NULL), 0);
}

static void gate_deinit(struct gate *gate)
{
    (void)pthread_cond_destroy(&gate->changed);
    (void)pthread_mutex_destroy(&gate->lock);
}

static void wait_at_gate(void *arg, bool late)
{
    struct gate *gate = arg;
    (void)pthread_mutex_lock(&gate->lock);
    gate->waiting++;
    gate->late += late;
    (void)pthread_cond_broadcast(&gate->changed);
    while (!gate->open)
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    gate->waiting--;
    gate->run++;
    (void)pthread_mutex_unlock(&gate->lock);
}

static void note_number(void *arg, bool late)
{
    struct numbered *job = arg;
    (void)pthread_mutex_lock(&job->gate->lock);
    job->gate->order[job->gate->run++] = job->number;
    job->gate->late += late;
    (void)pthread_mutex_unlock(&job->gate->lock);
}

static void wait_for_jobs_at_gate(struct gate *gate, unsigned n)
{
    (void)pthread_mutex_lock(&gate->lock);
    while (gate->waiting < n)
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    (void)pthread_mutex_unlock(&gate->lock);
}

static void gate_open(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->open = true;
    (void)pthread_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

static void a_full_queue_refuses_and_the_numbers_say_so(void **state)
{
    (void)state;
    struct frt_worker_pool *pool = NULL;
    struct frt_error err = {0};
    struct gate gate;
    gate_init(&gate);
    assert_int_equal(frt_worker_pool_new(2, 3, &pool, &err), FRT_OK);
    struct frt_worker_job job = {.run = wait_at_gate, .arg = &gate};
    for (int i = 0; i < 2; i++)
        assert_int_equal(frt_worker_pool_submit(pool, job, &err), FRT_OK);
    wait_for_jobs_at_gate(&gate, 2); /* both workers have one, the queue is empty */
    for (int i = 0; i < 3; i++)
        assert_int_equal(frt_worker_pool_submit(pool, job, &err), FRT_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(frt_worker_pool_submit(pool, job, &err), FRT_EOVERLOADED);
        assert_int_equal(err.status, FRT_EOVERLOADED);
    }
    struct frt_worker_pool_stats s = frt_worker_pool_stats_get(pool);
    assert_int_equal(s.limit, 2);
    assert_int_equal(s.queue_limit, 3);
    assert_int_equal(s.busy, 2);
    assert_int_equal(s.queued, 3);
    assert_int_equal(s.rejected, 4);
    assert_int_equal(s.done, 0);
    gate_open(&gate);
    frt_worker_pool_free(pool);
    assert_int_equal(gate.run, 5);
    assert_int_equal(gate.late, 0);
    gate_deinit(&gate);
}

static void freeing_runs_what_waits_in_order(void **state)
{
    (void)state;
    struct frt_worker_pool *pool = NULL;
    struct gate gate, notes;
    struct numbered jobs[40];
    gate_init(&gate);
    gate_init(&notes);
    /* a queue of 40 in a ring of 40, begun in its middle, so that it goes around */
    assert_int_equal(frt_worker_pool_new(1, 40, &pool, NULL), FRT_OK);
    for (unsigned i = 0; i < 17; i++) {
        struct numbered first = {.gate = &notes, .number = i};
        jobs[i] = first;
        assert_int_equal(
            frt_worker_pool_submit(pool, (struct frt_worker_job){.run = note_number, .arg = &jobs[i]}, NULL),
            FRT_OK);
    }
    while (frt_worker_pool_stats_get(pool).done < 17)
        (void)sched_yield();
    notes.run = 0;
    assert_int_equal(
        frt_worker_pool_submit(pool, (struct frt_worker_job){.run = wait_at_gate, .arg = &gate}, NULL), FRT_OK);
    wait_for_jobs_at_gate(&gate, 1);
    for (unsigned i = 0; i < 40; i++) {
        jobs[i] = (struct numbered){.gate = &notes, .number = i};
        assert_int_equal(
            frt_worker_pool_submit(pool, (struct frt_worker_job){.run = note_number, .arg = &jobs[i]}, NULL),
            FRT_OK);
    }
    gate_open(&gate);
    frt_worker_pool_free(pool);
    assert_int_equal(notes.run, 40);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(notes.order[i], i); /* one worker: first come, first served */
    gate_deinit(&gate);
    gate_deinit(&notes);
}

struct insistent {
    struct frt_worker_pool *pool;
    atomic_bool started;
    enum frt_status last;
};

static void nothing(void *arg, bool late)
{
    (void)arg;
    (void)late;
}

/* Submits until the pool is being freed. */
static void submit_until_refused(void *arg, bool late)
{
    struct insistent *me = arg;
    (void)late;
    atomic_store(&me->started, true);
    do {
        me->last = frt_worker_pool_submit(me->pool, (struct frt_worker_job){.run = nothing}, NULL);
        (void)sched_yield();
    } while (me->last == FRT_OK || me->last == FRT_EOVERLOADED);
}

static void a_pool_that_is_freed_takes_no_new_jobs(void **state)
{
    (void)state;
    struct insistent job = {.last = FRT_OK};
    assert_int_equal(frt_worker_pool_new(1, 2, &job.pool, NULL), FRT_OK);
    assert_int_equal(frt_worker_pool_submit(
                         job.pool, (struct frt_worker_job){.run = submit_until_refused, .arg = &job}, NULL),
                     FRT_OK);
    while (!atomic_load(&job.started))
        (void)sched_yield();
    frt_worker_pool_free(job.pool);
    assert_int_equal(job.last, FRT_EUNAVAILABLE);
}

static void a_job_past_its_deadline_is_told(void **state)
{
    (void)state;
    struct frt_worker_pool *pool = NULL;
    struct gate gate;
    struct numbered jobs[3];
    int64_t now_ms = frt_now_ns() / 1000000;
    const int64_t deadlines[3] = {now_ms - 1, now_ms + 3600000, 0}; /* past, far, none */
    gate_init(&gate);
    assert_int_equal(frt_worker_pool_new(1, 3, &pool, NULL), FRT_OK);
    for (unsigned i = 0; i < 3; i++) {
        jobs[i] = (struct numbered){.gate = &gate, .number = i};
        struct frt_worker_job job = {.run = note_number, .arg = &jobs[i], .deadline_ms = deadlines[i]};
        assert_int_equal(frt_worker_pool_submit(pool, job, NULL), FRT_OK);
    }
    while (frt_worker_pool_stats_get(pool).done < 3)
        (void)sched_yield();
    assert_int_equal(frt_worker_pool_stats_get(pool).late, 1);
    frt_worker_pool_free(pool);
    assert_int_equal(gate.run, 3); /* told, not dropped: it must answer */
    assert_int_equal(gate.late, 1);
    gate_deinit(&gate);
}

static void one_client_leaves_room_for_others(void **state)
{
    (void)state;
    struct frt_worker_pool *pool = NULL;
    struct frt_error err = {0};
    struct gate gate;
    struct frt_worker_refusal refusal = {0};
    gate_init(&gate);
    assert_int_equal(frt_worker_pool_new(1, 10, &pool, &err), FRT_OK);
    struct frt_worker_job greedy = {.run = wait_at_gate, .arg = &gate, .client = 7, .refusal = &refusal};
    struct frt_worker_job other = greedy;
    assert_int_equal(frt_worker_pool_submit(pool, greedy, &err), FRT_OK);
    wait_for_jobs_at_gate(&gate, 1); /* what is worked on counts no more */
    for (int i = 0; i < 8; i++) {
        assert_int_equal(frt_worker_pool_ask(pool, &greedy, &err), FRT_OK);
        assert_int_equal(frt_worker_pool_submit(pool, greedy, &err), FRT_OK);
    }
    assert_int_equal(frt_worker_pool_submit(pool, greedy, &err), FRT_EOVERLOADED);
    assert_true(refusal.own_share);
    refusal.own_share = false;
    assert_int_equal(frt_worker_pool_ask(pool, &greedy, &err), FRT_EOVERLOADED);
    assert_true(refusal.own_share);
    for (uint64_t i = 0; i < 2; i++) {
        other.client = 7 + 32 * (i + 1); /* beside him in the table */
        assert_int_equal(frt_worker_pool_submit(pool, other, &err), FRT_OK);
    }
    assert_int_equal(frt_worker_pool_submit(pool, other, &err), FRT_EOVERLOADED);
    assert_false(refusal.own_share); /* full for everybody */
    assert_int_equal(frt_worker_pool_submit(pool, greedy, &err), FRT_EOVERLOADED);
    assert_true(refusal.own_share);
    struct frt_worker_pool_stats s = frt_worker_pool_stats_get(pool);
    assert_int_equal(s.rejected, 4);
    assert_int_equal(s.rejected_share, 3);
    gate_open(&gate);
    while (frt_worker_pool_stats_get(pool).done < 11)
        (void)sched_yield();
    assert_int_equal(frt_worker_pool_submit(pool, greedy, &err), FRT_OK); /* his share is free again */
    frt_worker_pool_free(pool);
    gate_deinit(&gate);
}

static void bulk_gives_way_but_never_starves(void **state)
{
    (void)state;
    struct frt_worker_pool *pool = NULL;
    struct gate gate, notes;
    struct numbered jobs[30];
    struct frt_worker_refusal refusal = {0};
    gate_init(&gate);
    gate_init(&notes);
    assert_int_equal(frt_worker_pool_new(1, 30, &pool, NULL), FRT_OK);
    assert_int_equal(
        frt_worker_pool_submit(pool, (struct frt_worker_job){.run = wait_at_gate, .arg = &gate}, NULL), FRT_OK);
    wait_for_jobs_at_gate(&gate, 1);
    for (unsigned i = 0; i < 30; i++)
        jobs[i] = (struct numbered){.gate = &notes, .number = i};
    for (unsigned i = 0; i < 15; i++) { /* 0 to 14: bulk, half of the queue */
        struct frt_worker_job job = {.run = note_number, .arg = &jobs[i], .bulk = true, .refusal = &refusal};
        assert_int_equal(frt_worker_pool_submit(pool, job, NULL), FRT_OK);
    }
    assert_int_equal(
        frt_worker_pool_submit(
            pool,
            (struct frt_worker_job){.run = note_number, .arg = &jobs[0], .bulk = true, .refusal = &refusal},
            NULL),
        FRT_EOVERLOADED);
    assert_false(refusal.own_share);
    for (unsigned i = 15; i < 30; i++) { /* interactive: later, and first */
        struct frt_worker_job job = {.run = note_number, .arg = &jobs[i]};
        assert_int_equal(frt_worker_pool_submit(pool, job, NULL), FRT_OK);
    }
    gate_open(&gate);
    frt_worker_pool_free(pool);
    assert_int_equal(notes.run, 30);
    unsigned bulk = 0, interactive = 15;
    for (unsigned i = 0; i < 30; i++) { /* each in its order; bulk one turn in eight while both wait */
        if (notes.order[i] < 15)
            assert_int_equal(notes.order[i], bulk++);
        else
            assert_int_equal(notes.order[i], interactive++);
        if (i < 16)
            assert_int_equal(bulk, (i + 2) / 8); /* the gate's own turn is counted */
    }
    gate_deinit(&gate);
    gate_deinit(&notes);
}

static void nap(void *arg, bool late)
{
    const struct timespec t = {.tv_nsec = 20000000};
    (void)arg;
    (void)late;
    (void)nanosleep(&t, NULL);
}

static void who_would_come_too_late_is_not_let_in(void **state)
{
    (void)state;
    struct frt_worker_pool *pool = NULL;
    struct frt_error err = {0};
    struct gate gate;
    struct frt_worker_refusal refusal = {0};
    gate_init(&gate);
    assert_int_equal(frt_worker_pool_new(1, 1000, &pool, NULL), FRT_OK);
    assert_int_equal(frt_worker_pool_submit(pool, (struct frt_worker_job){.run = nap}, NULL), FRT_OK);
    while (frt_worker_pool_stats_get(pool).done < 1)
        (void)sched_yield();
    const double mean_ms = frt_worker_pool_stats_get(pool).mean_ms; /* at least the 20 ms of the nap */
    assert_true(mean_ms >= 20);
    struct frt_worker_job job = {.run = wait_at_gate, .arg = &gate};
    for (int i = 0; i < 500; i++)
        assert_int_equal(frt_worker_pool_submit(pool, job, NULL), FRT_OK);
    job.refusal = &refusal;
    job.deadline_ms = frt_now_ns() / 1000000 + 5000; /* 500 at 20 ms and more: not before 10 s */
    assert_int_equal(frt_worker_pool_submit(pool, job, &err), FRT_EOVERLOADED);
    assert_false(refusal.own_share);
    assert_true(refusal.retry_ms >= 499 * 20);
    job.deadline_ms = frt_now_ns() / 1000000 + (int64_t)(mean_ms * 1000) + 60000;
    assert_int_equal(frt_worker_pool_submit(pool, job, &err), FRT_OK);
    gate_open(&gate);
    frt_worker_pool_free(pool);
    gate_deinit(&gate);
}

/* Shares are exact whatever comes and goes. */
static void shares_of_many_clients(void **state)
{
    enum { QUEUE = 20, STEPS = 3000 };
    (void)state;
    uint64_t seed = 9;
    for (int step = 0; step < STEPS / QUEUE; step++) {
        struct frt_worker_pool *pool = NULL;
        struct gate gate;
        unsigned waiting[8] = {0}, queued = 0;
        gate_init(&gate);
        assert_int_equal(frt_worker_pool_new(1, QUEUE, &pool, NULL), FRT_OK);
        struct frt_worker_job job = {.run = wait_at_gate, .arg = &gate};
        assert_int_equal(frt_worker_pool_submit(pool, job, NULL), FRT_OK);
        wait_for_jobs_at_gate(&gate, 1);
        for (int i = 0; i < 2 * QUEUE; i++) {
            struct frt_worker_refusal refusal = {0};
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
            const unsigned who = seed >> 60 < 12 ? 3 : (unsigned)(seed >> 40) % 8;
            job.client = 1 + 64 * who; /* all at one place of the table */
            job.refusal = &refusal;
            const bool fits = queued < QUEUE && waiting[who] < 16;
            assert_int_equal(frt_worker_pool_submit(pool, job, NULL), fits ? FRT_OK : FRT_EOVERLOADED);
            assert_int_equal(refusal.own_share, waiting[who] >= 16);
            waiting[who] += fits;
            queued += fits;
        }
        gate_open(&gate);
        frt_worker_pool_free(pool);
        assert_int_equal(gate.run, queued + 1);
        gate_deinit(&gate);
    }
}

enum { SUBMITTERS = 4, EACH = 2000 };

struct submitter {
    struct frt_worker_pool *pool;
    atomic_uint *count;
    unsigned taken, refused;
};

static void count_one(void *arg, bool late)
{
    (void)late;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static void *submit_many(void *arg)
{
    struct submitter *me = arg;
    for (int i = 0; i < EACH; i++) {
        struct frt_worker_job job = {.run = count_one, .arg = me->count};
        if (frt_worker_pool_submit(me->pool, job, NULL) == FRT_OK)
            me->taken++;
        else
            me->refused++;
    }
    return NULL;
}

static void every_job_that_was_taken_runs_once(void **state)
{
    (void)state;
    struct frt_worker_pool *pool = NULL;
    atomic_uint count = 0;
    struct submitter submitters[SUBMITTERS];
    pthread_t threads[SUBMITTERS];
    unsigned taken = 0, refused = 0;
    assert_int_equal(frt_worker_pool_new(3, 8, &pool, NULL), FRT_OK);
    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i] = (struct submitter){.pool = pool, .count = &count};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &submitters[i]), 0);
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        taken += submitters[i].taken;
        refused += submitters[i].refused;
    }
    assert_int_equal(frt_worker_pool_stats_get(pool).rejected, refused);
    frt_worker_pool_free(pool);
    assert_int_equal(taken + refused, SUBMITTERS * EACH);
    assert_int_equal(atomic_load(&count), taken);
}

static void lost_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    struct frt_worker_pool *pool = NULL;
    struct frt_error err = {0};
    int64_t needed = 0;
    for (enum frt_status status = FRT_ENOMEM; status != FRT_OK; needed++) {
        frt_mem_fail_after(needed);
        status = frt_worker_pool_new(1, 1, &pool, &err);
        frt_mem_fail_after(-1);
        if (status != FRT_OK) {
            assert_int_equal(status, FRT_ENOMEM);
            assert_null(pool);
            assert_true(needed < 10);
        }
    }
    assert_true(needed > 1);
    frt_worker_pool_free(pool);
    frt_worker_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_refuses_and_the_numbers_say_so),
        cmocka_unit_test(freeing_runs_what_waits_in_order),
        cmocka_unit_test(a_pool_that_is_freed_takes_no_new_jobs),
        cmocka_unit_test(a_job_past_its_deadline_is_told),
        cmocka_unit_test(one_client_leaves_room_for_others),
        cmocka_unit_test(bulk_gives_way_but_never_starves),
        cmocka_unit_test(who_would_come_too_late_is_not_let_in),
        cmocka_unit_test(shares_of_many_clients),
        cmocka_unit_test(every_job_that_was_taken_runs_once),
        cmocka_unit_test(lost_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

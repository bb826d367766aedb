/* The cache with many callers: one makes, the others wait; failures, deadlines, removals under way. */
#include "cache/counted_value.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"

enum { CALLERS = 8 };

/* A value in the making: the maker stands at the gate until the test opens it. */
struct work {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    uint32_t at_gate;
    uint32_t made;
    enum frt_status answers[4]; /* of the first, second… maker; then FRT_OK */
};

static void work_init(struct work *work)
{
    *work = (struct work){.open = false};
    assert_int_equal(pthread_mutex_init(&work->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&work->changed, NULL), 0);
}

static void work_deinit(struct work *work)
{
    (void)pthread_mutex_destroy(&work->lock);
    (void)pthread_cond_destroy(&work->changed);
}

static enum frt_status make(void *arg, void **value, size_t *bytes, struct frt_error *err)
{
    struct work *work = arg;
    (void)pthread_mutex_lock(&work->lock);
    work->at_gate++;
    (void)pthread_cond_broadcast(&work->changed);
    while (!work->open)
        (void)pthread_cond_wait(&work->changed, &work->lock);
    const uint32_t number = work->made++;
    const enum frt_status status =
        number < sizeof work->answers / sizeof *work->answers ? work->answers[number] : FRT_OK;
    (void)pthread_mutex_unlock(&work->lock);
    if (status != FRT_OK)
        return frt_fail(err, status, "maker %u failed", number);
    *value = value_new(number);
    *bytes = 10;
    return FRT_OK;
}

static void work_await(struct work *work, uint32_t at_gate)
{
    (void)pthread_mutex_lock(&work->lock);
    while (work->at_gate < at_gate)
        (void)pthread_cond_wait(&work->changed, &work->lock);
    (void)pthread_mutex_unlock(&work->lock);
}

static void work_open(struct work *work)
{
    (void)pthread_mutex_lock(&work->lock);
    work->open = true;
    (void)pthread_cond_broadcast(&work->changed);
    (void)pthread_mutex_unlock(&work->lock);
}

struct caller {
    pthread_t thread;
    struct frt_cache *cache;
    struct work *work;
    uint64_t key;
    struct frt_cache_wait wait;
    enum frt_status status;
    enum frt_cache_source source;
    uint64_t number;
    struct frt_error err;
    atomic_uint asked; /* how often `cancelled` was */
    atomic_bool cancel, begun;
};

static void *call(void *arg)
{
    struct caller *c = arg;
    const struct frt_cache_key key = key_of(c->key);
    struct frt_cache_loan loan = {0};
    atomic_store(&c->begun, true);
    c->status = frt_cache_fetch(c->cache, &key, &c->wait, make, c->work, &loan, &c->source, &c->err);
    if (c->status == FRT_OK)
        c->number = number_in(&loan);
    else if (loan.value != NULL)
        abort();
    frt_cache_return(c->cache, &loan);
    return NULL;
}

static bool ask(void *arg)
{
    struct caller *c = arg;
    atomic_fetch_add(&c->asked, 1);
    return atomic_load(&c->cancel);
}

static void caller_start(struct caller *c, struct frt_cache *cache, struct work *work, uint64_t key)
{
    c->cache = cache;
    c->work = work;
    c->key = key;
    assert_int_equal(pthread_create(&c->thread, NULL, call, c), 0);
}

static void join_all(struct caller *callers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
}

/* Those who are asked whether they still want it do wait. */
static void await_waiting(struct caller *c)
{
    while (atomic_load(&c->asked) == 0)
        (void)usleep(1000);
}

/* First the maker, then CALLERS - 1 who wait; all of them do before this returns. */
static void start_all(struct caller *callers, struct frt_cache *cache, struct work *work)
{
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i].wait = (struct frt_cache_wait){.cancelled = ask, .cancelled_arg = &callers[i]};
        caller_start(&callers[i], cache, work, 1);
        if (i == 0)
            work_await(work, 1);
    }
    for (size_t i = 1; i < CALLERS; i++)
        await_waiting(&callers[i]);
}

static void many_callers_one_maker(void **state)
{
    (void)state;
    struct caller callers[CALLERS] = {0};
    struct work work;
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = 5, .ttl_ms = 60000});
    work_init(&work);
    start_all(callers, cache, &work);
    assert_int_equal(work.at_gate, 1);
    work_open(&work);
    join_all(callers, CALLERS);
    assert_int_equal(work.made, 1);
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(callers[i].status, FRT_OK);
        assert_int_equal(callers[i].source, i == 0 ? FRT_CACHE_MADE : FRT_CACHE_SHARED);
        assert_int_equal(callers[i].number, 0);
    }
    const struct frt_cache_stats s = frt_cache_stats_get(cache);
    assert_int_equal(s.misses, 1);
    assert_int_equal(s.shared, CALLERS - 1);
    assert_int_equal(s.entries, 1);
    frt_cache_free(cache);
    assert_int_equal(values_alive, 0);
    work_deinit(&work);
}

/* Nothing is kept, and still nobody works twice at the same time. */
static void work_in_flight_is_shared_without_a_place(void **state)
{
    (void)state;
    struct caller callers[CALLERS] = {0};
    struct work work;
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = 0});
    work_init(&work);
    start_all(callers, cache, &work);
    work_open(&work);
    join_all(callers, CALLERS);
    assert_int_equal(work.made, 1);
    assert_int_equal(frt_cache_stats_get(cache).shared, CALLERS - 1);
    assert_int_equal(values_alive, 0);
    frt_cache_free(cache);
    work_deinit(&work);
}

static void what_the_input_is_to_blame_for_is_told_to_all(void **state)
{
    (void)state;
    struct caller callers[CALLERS] = {0};
    struct work work;
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = 5, .ttl_ms = 60000});
    work_init(&work);
    work.answers[0] = FRT_EBAD_IMAGE;
    start_all(callers, cache, &work);
    work_open(&work);
    join_all(callers, CALLERS);
    assert_int_equal(work.made, 1);
    for (size_t i = 0; i < CALLERS; i++) {
        assert_int_equal(callers[i].status, FRT_EBAD_IMAGE);
        assert_string_equal(callers[i].err.text, "maker 0 failed");
    }
    struct frt_cache_stats s = frt_cache_stats_get(cache);
    assert_int_equal(s.entries, 0);
    assert_int_equal(s.misses + s.shared, CALLERS);
    /* a failure is not remembered */
    struct caller again = {.wait = {0}};
    caller_start(&again, cache, &work, 1);
    join_all(&again, 1);
    assert_int_equal(again.status, FRT_OK);
    assert_int_equal(again.source, FRT_CACHE_MADE);
    frt_cache_free(cache);
    work_deinit(&work);
}

static void what_the_maker_is_to_blame_for_is_his_own(void **state)
{
    static const enum frt_status own[] = {FRT_ETIMEOUT, FRT_ECANCELLED, FRT_EOVERLOADED, FRT_ENOMEM,
                                          FRT_EUNAVAILABLE};
    (void)state;
    for (size_t k = 0; k < sizeof own / sizeof *own; k++) {
        struct caller callers[CALLERS] = {0};
        struct work work;
        struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = 5, .ttl_ms = 60000});
        work_init(&work);
        work.answers[0] = work.answers[1] = own[k]; /* two makers, one after the other */
        start_all(callers, cache, &work);
        work_open(&work);
        join_all(callers, CALLERS);
        assert_int_equal(work.made, 3);
        assert_int_equal(callers[0].status, own[k]);
        size_t failed = 0, good = 0;
        for (size_t i = 0; i < CALLERS; i++) {
            failed += callers[i].status == own[k];
            good += callers[i].status == FRT_OK && callers[i].number == 2;
        }
        assert_int_equal(failed, 2);
        assert_int_equal(good, CALLERS - 2);
        const struct frt_cache_stats s = frt_cache_stats_get(cache);
        assert_int_equal(s.misses, 3);
        assert_int_equal(s.shared, CALLERS - 3);
        assert_int_equal(s.hits, 0);
        frt_cache_free(cache);
        assert_int_equal(values_alive, 0);
        work_deinit(&work);
    }
}

static void who_waits_may_give_up(void **state)
{
    (void)state;
    struct caller callers[4] = {0};
    struct work work;
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = 5, .ttl_ms = 60000});
    work_init(&work);
    caller_start(&callers[0], cache, &work, 1);
    work_await(&work, 1);
    callers[1].wait = (struct frt_cache_wait){.cancelled = ask, .cancelled_arg = &callers[1]};
    callers[2].wait.deadline_ms = frt_now_ns() / 1000000 + 20;
    callers[3].wait.deadline_ms = frt_now_ns() / 1000000 - 5; /* was over before */
    for (size_t i = 1; i < 4; i++)
        caller_start(&callers[i], cache, &work, 1);
    await_waiting(&callers[1]);
    atomic_store(&callers[1].cancel, true);
    join_all(callers + 1, 3); /* while the maker is still at it */
    assert_int_equal(callers[1].status, FRT_ECANCELLED);
    assert_int_equal(callers[2].status, FRT_ETIMEOUT);
    assert_int_equal(callers[3].status, FRT_ETIMEOUT);
    assert_int_equal(work.made, 0);
    work_open(&work);
    join_all(callers, 1);
    assert_int_equal(callers[0].status, FRT_OK);
    const struct frt_cache_stats s = frt_cache_stats_get(cache);
    assert_int_equal(s.misses, 1);
    assert_int_equal(s.shared, 3);
    assert_int_equal(s.entries, 1);
    frt_cache_free(cache);
    assert_int_equal(values_alive, 0);
    work_deinit(&work);
}

/* What is made of a state that was given up meanwhile is not kept, and nobody who comes after the removal gets
 * it. */
static void removed_under_way(bool clear)
{
    struct caller before = {.wait = {0}}, after = {.wait = {0}};
    struct work work;
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){.entries = 5, .ttl_ms = 60000});
    const struct frt_cache_key key = key_of(1);
    work_init(&work);
    caller_start(&before, cache, &work, 1);
    work_await(&work, 1);
    if (clear)
        frt_cache_clear(cache);
    else
        assert_false(frt_cache_remove(cache, &key));
    caller_start(&after, cache, &work, 1);
    work_await(&work, 2); /* he makes his own */
    work_open(&work);
    join_all(&before, 1);
    join_all(&after, 1);
    assert_int_equal(before.source, FRT_CACHE_MADE);
    assert_int_equal(after.source, FRT_CACHE_MADE);
    assert_int_equal(work.made, 2);
    struct frt_cache_loan loan = {0};
    assert_true(frt_cache_get(cache, &key, &loan));
    assert_int_equal(number_in(&loan), after.number);
    frt_cache_return(cache, &loan);
    assert_int_equal(values_alive, 1);
    frt_cache_free(cache);
    work_deinit(&work);
}

static void what_is_removed_under_way_is_not_kept(void **state)
{
    (void)state;
    removed_under_way(false);
    removed_under_way(true);
}

/* ------------------------------------------------------------------ storm */

enum { STORM_THREADS = 6, STORM_KEYS = 40, STORM_STEPS = 4000 };

struct storm {
    struct frt_cache *cache;
    struct still_clock *clock;
    uint64_t seed;
    _Atomic uint64_t *lookups;
};

struct storm_make {
    struct storm *storm;
    uint64_t key;
};

static enum frt_status storm_make(void *arg, void **value, size_t *bytes, struct frt_error *err)
{
    struct storm_make *m = arg;
    const uint64_t luck = ++m->storm->seed % 16;
    (void)sched_yield();
    if (luck < 2)
        return frt_fail(err, luck == 0 ? FRT_EBAD_IMAGE : FRT_ECANCELLED, "bad luck");
    *value = value_new(m->key);
    *bytes = 10 + luck;
    return FRT_OK;
}

static void *storm_run(void *arg)
{
    struct storm *s = arg;
    struct frt_cache_loan held = {0};
    for (uint32_t i = 0; i < STORM_STEPS; i++) {
        s->seed = s->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const uint64_t number = (s->seed >> 33) % STORM_KEYS;
        const struct frt_cache_key key = key_of(number);
        struct frt_cache_loan loan = {0};
        struct storm_make m = {s, number};
        switch ((s->seed >> 24) % 16) {
        case 0:
            (void)frt_cache_remove(s->cache, &key);
            break;
        case 1:
            frt_cache_put(s->cache, &key, value_new(number), 20);
            break;
        case 2:
            (void)frt_cache_resize(s->cache, &key, (size_t)(s->seed >> 40) % 60);
            break;
        case 3:
            if ((s->seed >> 50) % 32 == 0)
                frt_cache_clear(s->cache);
            (void)frt_cache_peek(s->cache, &key, &loan);
            break;
        case 4:
            clock_pass_ms(s->clock, 3);
            const struct frt_cache_stats stats = frt_cache_stats_get(s->cache);
            if (stats.entries > stats.capacity || stats.bytes > stats.capacity_bytes)
                abort();
            break;
        case 5:
        case 6:
            (void)frt_cache_get(s->cache, &key, &loan);
            atomic_fetch_add(s->lookups, 1);
            break;
        default:
            atomic_fetch_add(s->lookups, 1);
            if (frt_cache_fetch(s->cache, &key, NULL, storm_make, &m, &loan, NULL, NULL) == FRT_OK &&
                loan.value == NULL)
                abort();
        }
        if (loan.value != NULL && number_in(&loan) != number)
            abort();
        if (held.value != NULL)
            (void)number_in(&held); /* still alive, whatever the others did */
        if (i % 3 == 0) {
            frt_cache_return(s->cache, &held);
            held = loan;
        } else {
            frt_cache_return(s->cache, &loan);
        }
    }
    frt_cache_return(s->cache, &held);
    return NULL;
}

static void a_storm_leaves_exact_figures(void **state)
{
    (void)state;
    struct still_clock clock;
    _Atomic uint64_t lookups = 0;
    struct storm storms[STORM_THREADS];
    pthread_t threads[STORM_THREADS];
    clock_init(&clock);
    struct frt_cache *cache = cache_of(&(struct frt_cache_options){
        .entries = 15, .bytes = 300, .ttl_ms = 5, .sliding = true, .clock = &clock.base});
    for (size_t i = 0; i < STORM_THREADS; i++) {
        storms[i] = (struct storm){cache, &clock, i * 77 + 1, &lookups};
        assert_int_equal(pthread_create(&threads[i], NULL, storm_run, &storms[i]), 0);
    }
    for (size_t i = 0; i < STORM_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    const struct frt_cache_stats s = frt_cache_stats_get(cache);
    assert_int_equal(s.hits + s.misses + s.shared, lookups);
    assert_true(s.hits > 0 && s.misses > 0 && s.evictions > 0 && s.expirations > 0);
    assert_int_equal(values_alive, s.entries);
    frt_cache_free(cache);
    assert_int_equal(values_alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_callers_one_maker),
        cmocka_unit_test(work_in_flight_is_shared_without_a_place),
        cmocka_unit_test(what_the_input_is_to_blame_for_is_told_to_all),
        cmocka_unit_test(what_the_maker_is_to_blame_for_is_his_own),
        cmocka_unit_test(who_waits_may_give_up),
        cmocka_unit_test(what_is_removed_under_way_is_not_kept),
        cmocka_unit_test(a_storm_leaves_exact_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

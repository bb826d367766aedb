/* The policies that bench_cache compares do what their papers say: against the plainest programs of them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policies/policy.h"
#include "policies/traces.h"

enum { N = 24000, MOST = 512 };
static uint32_t keys[N];

/* A queue, the oldest first. */
struct queue {
    struct {
        uint32_t key;
        uint32_t mark;
    } list[MOST];
    size_t n;
};

static size_t find(const struct queue *q, uint32_t key)
{
    size_t i = 0;
    while (i < q->n && q->list[i].key != key)
        i++;
    return i;
}

static void take(struct queue *q, size_t i)
{
    q->n--;
    memmove(&q->list[i], &q->list[i + 1], (q->n - i) * sizeof *q->list);
}

static void push(struct queue *q, uint32_t key, uint32_t mark)
{
    assert_true(q->n < MOST);
    q->list[q->n].key = key;
    q->list[q->n++].mark = mark;
}

static uint32_t plain_lru(uint32_t capacity)
{
    struct queue q = {.n = 0};
    uint32_t hits = 0;
    for (size_t i = 0; i < N; i++) {
        const size_t at = find(&q, keys[i]);
        hits += at < q.n;
        if (at < q.n)
            take(&q, at);
        else if (q.n == capacity)
            take(&q, 0);
        push(&q, keys[i], 0);
    }
    return hits;
}

static uint32_t plain_sieve(uint32_t capacity)
{
    struct queue q = {.n = 0};
    size_t hand = 0;
    uint32_t hits = 0;
    for (size_t i = 0; i < N; i++) {
        const size_t at = find(&q, keys[i]);
        if (at < q.n) {
            hits++;
            q.list[at].mark = 1;
            continue;
        }
        if (q.n == capacity) {
            while (q.list[hand].mark != 0) {
                q.list[hand].mark = 0;
                hand = hand + 1 == q.n ? 0 : hand + 1;
            }
            take(&q, hand);
            hand = hand == q.n ? 0 : hand; /* behind the newest: from the oldest on */
        }
        push(&q, keys[i], 0);
    }
    return hits;
}

static void plain_s3_evict(struct queue *small, struct queue *all, struct queue *ghost, uint32_t capacity,
                           uint32_t on_trial, uint32_t worth)
{
    for (;;) {
        const bool from_small = small->n > on_trial || all->n == 0;
        struct queue *q = from_small ? small : all;
        const uint32_t key = q->list[0].key, mark = q->list[0].mark;
        take(q, 0);
        if (from_small && mark >= worth) {
            push(all, key, 0);
        } else if (from_small) {
            push(ghost, key, 0);
            if (ghost->n > capacity - capacity / 10)
                take(ghost, 0);
            return;
        } else if (mark > 0) {
            push(all, key, mark - 1);
        } else {
            return;
        }
    }
}

static uint32_t plain_s3fifo(uint32_t capacity, uint32_t on_trial, uint32_t worth)
{
    static struct queue small, all, ghost;
    uint32_t hits = 0;
    small.n = all.n = ghost.n = 0;
    for (size_t i = 0; i < N; i++) {
        struct queue *q = find(&small, keys[i]) < small.n ? &small : &all;
        const size_t at = find(q, keys[i]);
        if (at < q->n) {
            hits++;
            q->list[at].mark += q->list[at].mark < 3;
            continue;
        }
        const bool known = find(&ghost, keys[i]) < ghost.n;
        if (known)
            take(&ghost, find(&ghost, keys[i]));
        if (small.n + all.n == capacity)
            plain_s3_evict(&small, &all, &ghost, capacity, on_trial, worth);
        push(known ? &all : &small, keys[i], 0);
    }
    return hits;
}

static uint32_t hits_of(enum policy_kind kind, uint32_t capacity, uint32_t n_keys)
{
    struct policy *policy = policy_new(kind, capacity, n_keys);
    uint32_t hits = 0;
    assert_non_null(policy);
    for (size_t i = 0; i < N; i++) {
        hits += policy_access(policy, keys[i]);
        if (i % 5000 == 0)
            assert_true(policy_resident(policy) <= capacity);
    }
    assert_int_equal(policy_resident(policy), capacity);
    policy_free(policy);
    return hits;
}

static void they_hit_as_often_as_plain_ones(void **state)
{
    static const uint32_t capacities[] = {50, 200};
    (void)state;
    for (int kind = TRACE_ZIPF; kind < TRACE_COUNT; kind++) {
        const uint32_t n_keys = trace_make((enum trace_kind)kind, 7, keys, N);
        for (size_t c = 0; c < 2; c++) {
            assert_int_equal(hits_of(POLICY_LRU, capacities[c], n_keys), plain_lru(capacities[c]));
            assert_int_equal(hits_of(POLICY_SIEVE, capacities[c], n_keys), plain_sieve(capacities[c]));
            assert_int_equal(hits_of(POLICY_S3FIFO, capacities[c], n_keys),
                             plain_s3fifo(capacities[c], capacities[c] / 10, 2));
            assert_int_equal(hits_of(POLICY_S3FIFO_30, capacities[c], n_keys),
                             plain_s3fifo(capacities[c], capacities[c] * 3 / 10, 1));
        }
    }
}

/* No plain program of this one: it hits more than LRU where popularity stands still, and scans do not wash out
 * what is popular. */
static void tinylfu_keeps_what_is_asked_for(void **state)
{
    (void)state;
    const uint32_t n_keys = trace_make(TRACE_SCANS, 7, keys, N);
    assert_true(hits_of(POLICY_WTINYLFU, 200, n_keys) > plain_lru(200) * 5 / 4);
}

struct run {
    struct policy *policy;
    size_t first;
};

static void *run(void *arg)
{
    const struct run *r = arg;
    for (size_t i = 0; i < N; i++)
        (void)policy_access(r->policy, keys[(r->first + i) % N]);
    return NULL;
}

static void threads_keep_the_bound(void **state)
{
    (void)state;
    const uint32_t n_keys = trace_make(TRACE_DRIFT, 7, keys, N);
    for (int kind = POLICY_LRU; kind < POLICY_COUNT; kind++) {
        struct policy *policy = policy_new((enum policy_kind)kind, 100, n_keys);
        struct run runs[3];
        pthread_t threads[3];
        assert_non_null(policy);
        for (size_t i = 0; i < 3; i++) {
            runs[i] = (struct run){policy, i * 1000};
            assert_int_equal(pthread_create(&threads[i], NULL, run, &runs[i]), 0);
        }
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(policy_resident(policy), 100);
        policy_free(policy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_hit_as_often_as_plain_ones),
        cmocka_unit_test(tinylfu_keeps_what_is_asked_for),
        cmocka_unit_test(threads_keep_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Percentiles against a sorted list, the window against a clock that the test moves, recorders that race. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/histogram.h"

static int64_t now_ns;

static int64_t test_now(const struct frt_clock *clock)
{
    (void)clock;
    return now_ns;
}

static const struct frt_clock test_clock = {test_now, test_now};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double random_unit(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return (*seed >> 8) / 16777216.0;
}

static void percentiles_within_a_thirty_second(void **state)
{
    enum { N = 5000 };
    static double values[N];
    static struct frt_window window;
    (void)state;
    for (int shape = 0; shape < 4; shape++) {
        uint32_t seed = 11;
        double sum = 0;
        memset(&window, 0, sizeof window);
        frt_window_init(&window, &test_clock);
        for (int i = 0; i < N; i++) {
            double u = random_unit(&seed);
            values[i] = shape == 0   ? u * 10
                        : shape == 1 ? exp(u * 14 - 7)
                        : shape == 2 ? (i % 100 == 0 ? 900 : 1.25)
                                     : 0.001 * (i % 30);
            sum += values[i];
            frt_window_record(&window, values[i]);
        }
        qsort(values, N, sizeof *values, by_value);
        struct frt_summary s = frt_window_summary(&window);
        const double shares[] = {0.50, 0.95, 0.99}, got[] = {s.p50_ms, s.p95_ms, s.p99_ms};
        assert_int_equal(s.count, N);
        for (int p = 0; p < 3; p++) {
            double exact = values[(int)ceil(shares[p] * N) - 1];
            assert_true(fabs(got[p] - exact) <= exact / 32 + 0.001);
        }
        assert_true(fabs(s.max_ms - values[N - 1]) <= 0.001);
        assert_true(fabs(s.avg_ms - sum / N) <= 0.001);
    }
}

static void odd_values(void **state)
{
    static struct frt_window window;
    const double odd[] = {0, -5, (double)NAN, 1e-9, 1e12, (double)INFINITY};
    (void)state;
    frt_window_init(&window, &test_clock);
    assert_int_equal(frt_window_summary(&window).count, 0);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        frt_window_record(&window, odd[i]);
    struct frt_summary s = frt_window_summary(&window);
    assert_int_equal(s.count, 6);
    assert_float_equal(s.p50_ms, 0, 0);
    assert_true(s.max_ms > 2e6 && s.max_ms < 2.2e6); /* the largest bucket: 2^31 µs */
}

static void a_minute_passes(void **state)
{
    static struct frt_window window;
    (void)state;
    now_ns = INT64_C(1000) * 1000000000;
    frt_window_init(&window, &test_clock);
    for (int second = 0; second < 200; second++) {
        frt_window_record(&window, second);
        struct frt_summary s = frt_window_summary(&window);
        /* six slots of ten seconds: between 50 and 60 seconds are remembered */
        uint64_t expected = second < 60 ? (uint64_t)second + 1 : 50 + (uint64_t)second % 10 + 1;
        assert_int_equal(s.count, expected);
        assert_float_equal(s.max_ms, second, 0.001);
        now_ns += 1000000000;
    }
    now_ns += INT64_C(61) * 1000000000;
    assert_int_equal(frt_window_summary(&window).count, 0);
    static struct frt_totals all;
    frt_window_add_all(&window, &all);
    assert_int_equal(all.count, 200); /* since the start: everything */
    assert_int_equal(frt_totals_below(&all, 1e6), 200);
    assert_in_range(frt_totals_below(&all, 100), 95, 101);
    assert_int_equal(all.sum_us, 199000 * 100);
    now_ns += INT64_C(100000) * 1000000000; /* a slot's old content never comes back */
    frt_window_record(&window, 5);
    assert_int_equal(frt_window_summary(&window).count, 1);
}

static void *record_many(void *arg)
{
    for (int i = 0; i < 20000; i++)
        frt_window_record(arg, i % 100);
    return NULL;
}

static void recorders_race(void **state)
{
    static struct frt_window window;
    pthread_t threads[4];
    (void)state;
    frt_window_init(&window, &test_clock);
    frt_window_record(&window, 0); /* the slot is in use: nothing may be lost to its clearing */
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, record_many, &window), 0);
    for (int i = 0; i < 50; i++)
        (void)frt_window_summary(&window);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(frt_window_summary(&window).count, 80001);
    struct frt_totals all = {0};
    frt_window_add_all(&window, &all);
    assert_int_equal(all.count, 80001);
    assert_int_equal(all.sum_us, 4 * UINT64_C(200) * 4950 * 1000);
}

/* What came between two readings. */
static void between_two_readings(void **state)
{
    static struct frt_window window;
    static struct frt_totals first, second;
    (void)state;
    frt_window_init(&window, &test_clock);
    for (int i = 0; i < 100; i++)
        frt_window_record(&window, 500);
    frt_window_add_all(&window, &first);
    struct frt_summary none = frt_totals_summary(&first, &first);
    assert_int_equal(none.count, 0);
    assert_float_equal(none.p99_ms, 0, 0);
    for (int i = 1; i <= 100; i++)
        frt_window_record(&window, i);
    frt_window_add_all(&window, &second);
    struct frt_summary s = frt_totals_summary(&second, &first);
    assert_int_equal(s.count, 100);
    assert_float_equal(s.avg_ms, 50.5, 0.001);
    assert_true(s.p50_ms >= 50 && s.p50_ms <= 50 * 33.0 / 32);
    assert_true(s.p99_ms >= 99 && s.p99_ms <= 99 * 33.0 / 32);
    assert_true(s.max_ms >= 100 && s.max_ms <= 100 * 33.0 / 32);
    s = frt_totals_summary(&second, NULL);
    assert_int_equal(s.count, 200);
    assert_float_equal(s.max_ms, 500, 0.001);
}

static void *tell_shard(void *arg)
{
    *(unsigned *)arg = frt_metrics_shard();
    return NULL;
}

static void threads_take_turns(void **state)
{
    unsigned shards[FRT_METRICS_SHARDS], seen = 0;
    (void)state;
    assert_int_equal(frt_metrics_shard(), frt_metrics_shard());
    for (int i = 0; i < FRT_METRICS_SHARDS; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, tell_shard, &shards[i]), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(shards[i] < FRT_METRICS_SHARDS);
        seen |= 1U << shards[i];
    }
    assert_int_equal(seen, (1U << FRT_METRICS_SHARDS) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_within_a_thirty_second),
        cmocka_unit_test(odd_values),
        cmocka_unit_test(a_minute_passes),
        cmocka_unit_test(recorders_race),
        cmocka_unit_test(between_two_readings),
        cmocka_unit_test(threads_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

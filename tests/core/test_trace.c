/* The recorder: nesting, waits, bounds, and nothing at all without one. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/trace.h"

static void without_a_recorder(void **state)
{
    (void)state;
    assert_null(frt_trace_attached());
    int span = frt_trace_begin("decode");
    assert_int_equal(span, FRT_TRACE_NOT_RECORDED);
    frt_trace_end(span, "hit");
    assert_int_equal(frt_trace_begin_wait("queue"), FRT_TRACE_NOT_RECORDED);
    frt_trace_add(NULL, "queue", true, 0, 1000000);
}

static void spans_nest(void **state)
{
    (void)state;
    struct frt_trace t;
    int64_t start = frt_now_ns();
    frt_trace_init(&t, start);
    assert_null(frt_trace_attach(&t));
    int outer = frt_trace_begin("embedding-cache");
    int inner = frt_trace_begin("decode");
    frt_trace_end(inner, NULL);
    int second = frt_trace_begin("detect");
    int forgotten = frt_trace_begin("inference"); /* an early return */
    (void)forgotten;
    frt_trace_end(second, NULL);
    frt_trace_end(outer, "miss");
    int after = frt_trace_begin("write");
    frt_trace_end(after, NULL);
    assert_ptr_equal(frt_trace_attach(NULL), &t);
    assert_int_equal(t.n, 5);
    const unsigned depths[] = {0, 1, 1, 2, 0};
    for (uint32_t i = 0; i < t.n; i++) {
        assert_int_equal(t.spans[i].depth, depths[i]);
        assert_true(t.spans[i].start_ns >= start);
        assert_true(i == 3 || t.spans[i].end_ns >= t.spans[i].start_ns);
        assert_true(i == 0 || t.spans[i].start_ns >= t.spans[i - 1].start_ns);
    }
    assert_true(t.spans[1].end_ns <= t.spans[2].start_ns && t.spans[2].end_ns <= t.spans[0].end_ns);
    assert_string_equal(t.spans[0].note, "miss");
    assert_null(t.spans[1].note);
}

static void short_waits_leave_nothing(void **state)
{
    (void)state;
    struct frt_trace t;
    frt_trace_init(&t, 0);
    frt_trace_add(&t, "queue", true, 0, FRT_TRACE_WAIT_NS - 1);
    assert_int_equal(t.n, 0);
    frt_trace_add(&t, "queue", true, 0, FRT_TRACE_WAIT_NS);
    frt_trace_add(&t, "receive", false, 0, 1);
    assert_int_equal(t.n, 2);
    assert_true(t.spans[0].wait);
    (void)frt_trace_attach(&t);
    int span = frt_trace_begin_wait("detect-wait");
    int64_t until = frt_now_ns() + 2 * FRT_TRACE_WAIT_NS;
    while (frt_now_ns() < until)
        ;
    frt_trace_end(span, NULL);
    (void)frt_trace_attach(NULL);
    assert_int_equal(t.n, 3);
    assert_int_equal(t.depth, 0);
}

static void room_is_bounded(void **state)
{
    (void)state;
    struct frt_trace t;
    frt_trace_init(&t, 0);
    (void)frt_trace_attach(&t);
    for (int i = 0; i < FRT_TRACE_SPANS + 7; i++)
        frt_trace_end(frt_trace_begin("align"), NULL);
    for (int i = 0; i < 3; i++)
        (void)frt_trace_begin("deeper");
    (void)frt_trace_attach(NULL);
    assert_int_equal(t.n, FRT_TRACE_SPANS);
    assert_int_equal(t.left_out, 10);
    assert_int_equal(t.depth, 0);
    frt_trace_init(&t, 0);
    (void)frt_trace_attach(&t);
    for (int i = 0; i < 2 * FRT_TRACE_DEPTH; i++)
        (void)frt_trace_begin("deeper");
    (void)frt_trace_attach(NULL);
    assert_int_equal(t.spans[t.n - 1].depth, FRT_TRACE_DEPTH);
}

static char here;

static void *elsewhere(void *arg)
{
    (void)arg;
    return frt_trace_begin("other") == FRT_TRACE_NOT_RECORDED ? &here : NULL;
}

static void other_threads_are_not_recorded(void **state)
{
    (void)state;
    struct frt_trace t;
    pthread_t thread;
    void *good = NULL;
    frt_trace_init(&t, 0);
    (void)frt_trace_attach(&t);
    assert_int_equal(pthread_create(&thread, NULL, elsewhere, NULL), 0);
    assert_int_equal(pthread_join(thread, &good), 0);
    (void)frt_trace_attach(NULL);
    assert_non_null(good);
    assert_int_equal(t.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_recorder),
        cmocka_unit_test(spans_nest),
        cmocka_unit_test(short_waits_leave_nothing),
        cmocka_unit_test(room_is_bounded),
        cmocka_unit_test(other_threads_are_not_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

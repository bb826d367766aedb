/* Many inputs, several at once: each is done once, printed in order, and the first failure is the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sched.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "cli/jobs.h"

enum { N = 500, NEVER = N + 1 };

struct trial {
    atomic_uint done[N];
    atomic_bool stop;
    size_t fail_at, also_at; /* inputs that fail, with exit codes 3 and 4 */
    size_t print_fails_at, stop_at;
    size_t printed; /* in order so far */
    size_t problems;
};

static int work(void *arg, size_t i, struct frt_buf *out, struct frt_error *problem)
{
    struct trial *t = arg;
    atomic_fetch_add(&t->done[i], 1);
    for (size_t k = 0; k < (i * 7919) % 13; k++) /* some take longer than others */
        (void)sched_yield();
    if (i == t->stop_at)
        atomic_store(&t->stop, true);
    if (i == t->fail_at || i == t->also_at)
        return (int)frt_status_exit(
            frt_fail(problem, i == t->fail_at ? FRT_EBAD_IMAGE : FRT_ENO_FACE, "number %zu", i));
    frt_buf_printf(out, "%zu", i);
    return 0;
}

static enum frt_status print(void *arg, size_t i, const struct frt_buf *out, const struct frt_error *problem,
                             struct frt_error *err)
{
    struct trial *t = arg;
    char number[32];
    assert_int_equal(i, t->printed);
    t->printed++;
    if (i == t->print_fails_at)
        return frt_fail(err, FRT_EIO, "the disk is full");
    if (i == t->fail_at || i == t->also_at) {
        assert_int_equal(out->size, 0);
        (void)snprintf(number, sizeof number, "number %zu", i);
        assert_string_equal(problem->text, number);
        t->problems++;
    } else {
        assert_string_equal(problem->text, "");
        (void)snprintf(number, sizeof number, "%zu", i);
        assert_string_equal(out->data, number);
    }
    return FRT_OK;
}

static bool stopped(void *arg)
{
    struct trial *t = arg;
    return atomic_load(&t->stop);
}

static struct cli_jobs_plan plan_of(struct trial *t, uint32_t threads)
{
    *t = (struct trial){.fail_at = NEVER, .also_at = NEVER, .print_fails_at = NEVER, .stop_at = NEVER};
    return (struct cli_jobs_plan){.n = N,
                                  .threads = threads,
                                  .max_output_bytes = 1024,
                                  .arg = t,
                                  .work = work,
                                  .print = print,
                                  .stopped = stopped};
}

static const uint32_t thread_counts[] = {1, 2, 7, 64, 256};
enum { N_COUNTS = sizeof thread_counts / sizeof *thread_counts };

static void each_is_done_once_and_in_order(void **state)
{
    (void)state;
    static struct trial t;
    for (size_t c = 0; c < N_COUNTS; c++) {
        struct cli_jobs_plan plan = plan_of(&t, thread_counts[c]);
        int code = -1;
        assert_int_equal(cli_jobs_run(&plan, &code, NULL), FRT_OK);
        assert_int_equal(code, 0);
        assert_int_equal(t.printed, N);
        for (size_t i = 0; i < N; i++)
            assert_int_equal(atomic_load(&t.done[i]), 1);
        plan = plan_of(&t, thread_counts[c]);
        plan.n = 0;
        assert_int_equal(cli_jobs_run(&plan, &code, NULL), FRT_OK);
        assert_int_equal(t.printed, 0);
    }
}

static void the_first_failure_in_the_order_of_the_inputs_decides(void **state)
{
    (void)state;
    static struct trial t;
    for (size_t c = 0; c < N_COUNTS; c++) {
        struct cli_jobs_plan plan = plan_of(&t, thread_counts[c]);
        int code = -1;
        t.fail_at = 400;
        t.also_at = 401;
        assert_int_equal(cli_jobs_run(&plan, &code, NULL), FRT_OK);
        assert_int_equal(code, FRT_EXIT_BAD_INPUT);
        assert_int_equal(t.printed, N); /* the rest goes on */
        assert_int_equal(t.problems, 2);
        plan = plan_of(&t, thread_counts[c]);
        t.fail_at = 401;
        t.also_at = 400;
        assert_int_equal(cli_jobs_run(&plan, &code, NULL), FRT_OK);
        assert_int_equal(code, FRT_EXIT_NO_FACE);
    }
}

static void output_that_fails_ends_the_run(void **state)
{
    (void)state;
    static struct trial t;
    for (size_t c = 0; c < N_COUNTS; c++) {
        struct cli_jobs_plan plan = plan_of(&t, thread_counts[c]);
        struct frt_error err = {0};
        int code = -1;
        t.print_fails_at = 100;
        assert_int_equal(cli_jobs_run(&plan, &code, &err), FRT_EIO);
        assert_string_equal(err.text, "the disk is full");
        assert_int_equal(t.printed, 101); /* nothing is printed after it */
        assert_int_equal(code, -1);
    }
}

static void an_interrupt_ends_the_run(void **state)
{
    (void)state;
    static struct trial t;
    for (size_t c = 0; c < N_COUNTS; c++) {
        struct cli_jobs_plan plan = plan_of(&t, thread_counts[c]);
        size_t done = 0;
        int code = -1;
        t.stop_at = 100;
        assert_int_equal(cli_jobs_run(&plan, &code, NULL), FRT_OK);
        for (size_t i = 0; i < N; i++)
            done += atomic_load(&t.done[i]);
        assert_true(done <= 101 + (size_t)thread_counts[c]);
        assert_true(t.printed <= done);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_done_once_and_in_order),
        cmocka_unit_test(the_first_failure_in_the_order_of_the_inputs_decides),
        cmocka_unit_test(output_that_fails_ends_the_run),
        cmocka_unit_test(an_interrupt_ends_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

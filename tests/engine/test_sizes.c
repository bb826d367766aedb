/* How much is done at once: defaults by cores, what settings say, and that threads never outnumber cores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "engine/context.h"
#include "engine/sizes.h"
#include "infer/infer_fake.h"

static struct frt_sizes decided(uint32_t cores, uint32_t threads)
{
    struct frt_config config;
    struct frt_sizes sizes;
    frt_config_init(&config);
    config.cores = cores;
    config.threads = threads;
    frt_sizes_decide(&config, &sizes);
    assert_int_equal(sizes.stages.cores, cores);
    return sizes;
}

static void defaults_follow_the_cores(void **state)
{
    (void)state;
    static const struct {
        uint32_t cores, workers, few, threads;
    } rows[] = {{1, 4, 1, 1},  {2, 8, 2, 2},    {3, 12, 3, 3},   {4, 16, 4, 4},     {7, 28, 7, 7},
                {8, 32, 8, 7}, {16, 32, 8, 13}, {64, 32, 8, 49}, {1000, 32, 8, 751}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct frt_sizes sizes = decided(rows[i].cores, 0);
        assert_int_equal(sizes.workers, rows[i].workers);
        assert_int_equal(sizes.stages.detect, rows[i].few);
        assert_int_equal(sizes.stages.recognize, rows[i].few);
        assert_int_equal(sizes.stages.image, 16);
        assert_int_equal(sizes.stages.store, 20);
        assert_int_equal(sizes.threads, rows[i].threads);
    }
}

static void settings_win(void **state)
{
    (void)state;
    struct frt_config config;
    struct frt_sizes sizes;
    char text[128];
    frt_config_init(&config);
    char *list[] = {(char[]){"MAX_WORKERS=5"},
                    (char[]){"DETECTION_WORKERS=3"},
                    (char[]){"RECOGNITION_WORKERS=4"},
                    (char[]){"FRT_IMAGE_WORKERS=6"},
                    (char[]){"FRT_CORES=4096"},
                    (char[]){"OMP_NUM_THREADS=2"},
                    NULL};
    assert_int_equal(frt_config_load_env(&config, list, NULL), FRT_EINVAL);
    list[4] = (char[]){"FRT_CORES=1024"};
    assert_int_equal(frt_config_load_env(&config, list, NULL), FRT_OK);
    frt_sizes_decide(&config, &sizes);
    assert_int_equal(sizes.workers, 5);
    assert_int_equal(sizes.stages.detect, 3);
    assert_int_equal(sizes.stages.recognize, 4);
    assert_int_equal(sizes.stages.image, 6);
    assert_int_equal(sizes.threads, 2);
    assert_true(sizes.found.usable >= 1);
    if (sizes.found.usable < 1024)
        assert_non_null(strstr(frt_sizes_cores_text(&sizes, text, sizeof text), "1024: as set; "));
}

/* Whatever the cores and the threads of one inference: with `busy` callers at work of which some are wide,
 * callers and pool together are at most the cores. */
static void threads_never_outnumber_cores(void **state)
{
    (void)state;
    for (uint32_t cores = 1; cores <= 40; cores += cores < 10 ? 1 : 7) {
        for (uint32_t asked = 0; asked <= cores + 1; asked++) {
            const struct frt_stage_limits limits = {.cores = cores, .detect = cores, .recognize = cores};
            const struct frt_context_options options = {.threads = asked, .stages = &limits};
            struct frt_backend *backend = NULL;
            struct frt_context *context = NULL;
            bool was_wide = false;
            assert_int_equal(frt_backend_fake_new(NULL, 0, &backend, NULL), FRT_OK);
            assert_int_equal(frt_context_new_over(backend, &options, &context, NULL), FRT_OK);
            assert_true(context->threads >= 1 && context->threads <= cores);
            for (uint32_t busy = 1; busy <= cores; busy++) {
                assert_int_equal(frt_stage_enter(context->stages, FRT_STAGE_DETECT, NULL, NULL), FRT_OK);
                frt_context_settle_width(context);
                bool wide = frt_infer_width_get() == FRT_INFER_WIDE;
                assert_true(!wide || busy + context->threads - 1 <= cores);
                assert_true(busy == 1 || was_wide || !wide); /* once narrow, more callers stay so */
                assert_true(busy > 1 || wide);               /* who is alone is wide */
                was_wide = wide;
            }
            for (uint32_t i = 0; i < cores; i++)
                frt_stage_leave(context->stages, FRT_STAGE_DETECT);
            frt_context_free(context);
        }
    }
    frt_infer_width_set(FRT_INFER_WIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_follow_the_cores),
        cmocka_unit_test(settings_win),
        cmocka_unit_test(threads_never_outnumber_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Readings over a library that stands in for NVML (the first argument), and those of the machine's own GPU when
 * it has one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json_read.h"
#include "metrics/metrics.h"

static const char *library;

static void setting(const char *word)
{
    assert_int_equal(word == NULL ? unsetenv("FRT_FAKE_NVML") : setenv("FRT_FAKE_NVML", word, 1), 0);
}

static void a_reading(void **state)
{
    (void)state;
    struct frt_gpu_reading r;
    setting(NULL);
    struct frt_gpu *gpu = frt_gpu_open(library, 0);
    assert_non_null(gpu);
    assert_true(frt_gpu_read(gpu, &r));
    assert_string_equal(r.name, "Fake \"GPU\" 9000");
    assert_int_equal(r.memory_used_bytes, 3000);
    assert_int_equal(r.memory_total_bytes, 8000);
    assert_float_equal(r.utilization_percent, 42, 0);
    setting("mig");
    assert_true(frt_gpu_read(gpu, &r));
    assert_float_equal(r.utilization_percent, 0, 0);
    setting("gone");
    assert_false(frt_gpu_read(gpu, &r));
    frt_gpu_close(gpu);
}

static void none(void **state)
{
    (void)state;
    setting("none");
    assert_null(frt_gpu_open(library, 0));
    assert_null(frt_gpu_open("libfrt-there-is-no-such-library.so", 0));
    assert_null(frt_gpu_open("libm.so.6", 0)); /* a library, but another one */
    frt_gpu_close(NULL);
}

static void in_the_metrics(void **state)
{
    (void)state;
    struct frt_metrics *m = NULL;
    struct frt_json *json = NULL;
    struct frt_buf out;
    setting(NULL);
    assert_int_equal(frt_metrics_new(&frt_clock_system, &m, NULL), FRT_OK);
    struct frt_gpu *gpu = frt_gpu_open(library, 0);
    atomic_store(&m->gpu, gpu);
    frt_buf_init(&out, 1 << 20);
    frt_metrics_json(m, &out);
    assert_int_equal(frt_json_parse(out.data, out.size, &json, NULL), FRT_OK);
    const struct frt_json_value *g = frt_json_get(frt_json_root(json), "gpu");
    assert_string_equal(frt_json_text(frt_json_get(g, "name")), "Fake \"GPU\" 9000");
    assert_float_equal(frt_json_double(frt_json_get(g, "memory_used_bytes"), 0), 3000, 0);
    assert_float_equal(frt_json_double(frt_json_get(g, "memory_total_bytes"), 0), 8000, 0);
    assert_true(frt_json_is_null(frt_json_get(g, "memory_limit_bytes")));
    assert_float_equal(frt_json_double(frt_json_get(g, "utilization_percent"), 0), 42, 0);
    frt_json_free(json);
    frt_buf_clear(&out);
    frt_metrics_prometheus(m, false, &out);
    assert_non_null(strstr(out.data, "\nfrt_gpu_memory_used_bytes 3000\n"));
    assert_non_null(strstr(out.data, "\nfrt_gpu_utilization_ratio 0.4"));
    frt_buf_clear(&out);
    setting("gone"); /* the driver went away: said as if there were none */
    frt_metrics_json(m, &out);
    assert_non_null(strstr(out.data, "\"gpu\":null"));
    frt_buf_deinit(&out);
    frt_gpu_close(gpu);
    frt_metrics_free(m);
}

static void of_this_machine(void **state)
{
    (void)state;
    struct frt_gpu_reading r;
    struct frt_gpu *gpu = frt_gpu_open(NULL, 0);
    if (gpu == NULL) {
        (void)printf("no GPU here: its own library was not asked\n");
        return;
    }
    assert_true(frt_gpu_read(gpu, &r));
    (void)printf("%s: %llu of %llu bytes, %g %%\n", r.name, (unsigned long long)r.memory_used_bytes,
                 (unsigned long long)r.memory_total_bytes, r.utilization_percent);
    assert_true(strlen(r.name) > 3 && r.memory_total_bytes > 1 << 20 &&
                r.memory_used_bytes <= r.memory_total_bytes);
    assert_true(r.utilization_percent >= 0 && r.utilization_percent <= 100);
    frt_gpu_close(gpu);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reading),
        cmocka_unit_test(none),
        cmocka_unit_test(in_the_metrics),
        cmocka_unit_test(of_this_machine),
    };
    if (argc != 2)
        return 77;
    library = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Variables of the older service that mean nothing here: each is explained once, with what to use instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "core/config.h"
#include "core/config_older.h"

struct said {
    size_t n;
    char names[16][64];
    const char *meanings[16];
};

static void say(void *arg, const char *name, const char *meaning)
{
    struct said *said = arg;
    assert_true(said->n < 16);
    assert_true(strlen(name) < sizeof said->names[0]);
    memcpy(said->names[said->n], name, strlen(name) + 1);
    said->meanings[said->n++] = meaning;
}

static void each_is_explained_once(void **state)
{
    (void)state;
    struct said said = {0};
    char *list[] = {(char[]){"PATH=/bin"},
                    (char[]){"MKL_NUM_THREADS=4"},
                    (char[]){"TF_NUM_INTEROP_THREADS=2"},
                    (char[]){"TF_SOMETHING_NEW=1"},
                    (char[]){"OPENBLAS_NUM_THREADS="},
                    (char[]){"OMP_NUM_THREADS=1"},
                    (char[]){"TF_NUM_INTRAOP_THREADS=8"},
                    (char[]){"XTF_A=1"},
                    (char[]){"MKL_NUM_THREADS_OTHER=1"},
                    (char[]){"NOVALUE"},
                    NULL};
    frt_config_older_explain(list, say, &said);
    assert_int_equal(said.n, 5);
    assert_string_equal(said.names[0], "MKL_NUM_THREADS");
    assert_non_null(strstr(said.meanings[0], "OMP_NUM_THREADS"));
    assert_string_equal(said.names[1], "TF_NUM_INTEROP_THREADS");
    assert_non_null(strstr(said.meanings[1], "DETECTION_WORKERS"));
    assert_string_equal(said.names[2], "TF_SOMETHING_NEW");
    assert_non_null(strstr(said.meanings[2], "changes nothing"));
    assert_string_equal(said.names[3], "OPENBLAS_NUM_THREADS"); /* set, if to nothing */
    assert_string_equal(said.names[4], "TF_NUM_INTRAOP_THREADS");
    assert_non_null(strstr(said.meanings[4], "OMP_NUM_THREADS"));
    frt_config_older_explain(NULL, say, &said);
    assert_int_equal(said.n, 5);
}

static void they_are_accepted_and_set_nothing(void **state)
{
    (void)state;
    struct frt_config config, untouched;
    char *list[] = {(char[]){"MKL_NUM_THREADS=4"}, (char[]){"TF_NUM_INTRAOP_THREADS=nonsense"},
                    (char[]){"TF_FORCE_GPU_ALLOW_GROWTH=true"}, NULL};
    char *threads[] = {(char[]){"OMP_NUM_THREADS=3"}, NULL};
    frt_config_init(&config);
    frt_config_init(&untouched);
    assert_int_equal(frt_config_load_env(&config, list, NULL), FRT_OK);
    assert_memory_equal(&config, &untouched, sizeof config);
    assert_int_equal(frt_config_load_env(&config, threads, NULL), FRT_OK);
    assert_int_equal(config.threads, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_explained_once),
        cmocka_unit_test(they_are_accepted_and_set_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

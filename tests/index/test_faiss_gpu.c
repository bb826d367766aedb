/*
 * The FAISS engine with a copy of its lists on a GPU: same answers as without one, whatever the device does.
 * With a stand-in for FAISS's GPU half (faiss_gpu/).
 *
 *     test_faiss_gpu PLUGIN     PLUGIN: frt_faiss.so with the stand-in; FRT_PLUGIN_DIR names its folder
 */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "faiss_gpu/faiss_gpu_standin.h"
#include "index/faiss_engine.h"
#include "index/gpu_search.h"
#include "index/index.h"

enum { DIM = 24, N = 4000, K = 12, QUERIES = 20 };

static long (*standin)(int what, long value);
static const struct frt_faiss_module *module;
static float vectors[N][DIM];
static uint64_t keys[N];
static uint32_t groups[N];

static float draw(void)
{
    static uint64_t seed = 88172645463325252u;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (float)(int32_t)(seed >> 32) / 2147483648.0f;
}

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) {
        float square = 0;
        for (int d = 0; d < DIM; d++) {
            vectors[i][d] = draw();
            square += vectors[i][d] * vectors[i][d];
        }
        for (int d = 0; d < DIM; d++)
            vectors[i][d] /= sqrtf(square);
        keys[i] = (uint64_t)i + 1;
        groups[i] = (uint32_t)i;
    }
    return 0;
}

static int well(void **state)
{
    (void)state;
    for (int i = 0; i < STANDIN_COUNT; i++) {
        if (i != STANDIN_LIVE && i != STANDIN_TEMP_BYTES)
            (void)standin(i, 0);
    }
    return 0;
}

/* All vectors, in lists; from: vectors from which on they are copied. */
static struct frt_index *make(uint64_t from)
{
    const struct frt_index_options options = {.engine = FRT_INDEX_FAISS, .dim = DIM, .threads = 1};
    struct frt_index *index = NULL;
    frt_gpu_search_configure(&(struct frt_gpu_search_settings){.from = from});
    assert_int_equal(frt_index_new(&options, &index, NULL), FRT_OK);
    assert_int_equal(frt_index_add(index, N, keys, groups, vectors[0], NULL), FRT_OK);
    while (frt_index_wants_maintenance(index))
        assert_int_equal(frt_index_maintain(index, NULL, NULL, NULL), FRT_OK);
    assert_string_equal(frt_index_stats_get(index).kind, "ivf");
    return index;
}

static void expect_same(struct frt_index *a, struct frt_index *b, uint32_t k, bool exhaustive)
{
    static struct frt_index_hit hits[2][QUERIES * 1200];
    size_t n[2][QUERIES];
    float queries[QUERIES][DIM];
    for (int q = 0; q < QUERIES; q++)
        memcpy(queries[q], vectors[q * 97 % N], sizeof queries[q]);
    const struct frt_index_query query = {
        .vectors = queries[0], .n = QUERIES, .k = k, .min_score = -1, .exhaustive = exhaustive};
    assert_int_equal(frt_index_search(a, &query, hits[0], n[0], NULL), FRT_OK);
    assert_int_equal(frt_index_search(b, &query, hits[1], n[1], NULL), FRT_OK);
    for (size_t q = 0; q < QUERIES; q++) {
        assert_int_equal(n[0][q], n[1][q]);
        assert_true(n[0][q] > 0);
        for (size_t i = 0; i < n[0][q]; i++) {
            assert_int_equal(hits[0][q * k + i].key, hits[1][q * k + i].key);
            assert_true(hits[0][q * k + i].score == hits[1][q * k + i].score);
        }
    }
}

static struct frt_faiss_gpu_figures figures(void)
{
    struct frt_faiss_gpu_figures f;
    module->gpu_figures(&f);
    return f;
}

static void a_copy_answers_as_the_processor(void **state)
{
    struct frt_index *here = make(UINT64_MAX), *there = make(1);
    const struct frt_faiss_gpu_figures before = figures();
    (void)state;
    assert_int_equal(before.resident, 1);
    assert_true(before.bytes >= N * DIM * sizeof(float));
    assert_int_equal(standin(STANDIN_TEMP_BYTES, -1), 512 << 20);
    expect_same(here, there, K, false);
    expect_same(here, there, K, true);
    assert_true(figures().searches >= before.searches + 2);
    assert_int_equal(figures().fallbacks, before.fallbacks);
    frt_index_free(here);
    frt_index_free(there);
    assert_int_equal(standin(STANDIN_LIVE, -1), 0);
    assert_int_equal(figures().resident, 0);
    assert_int_equal(figures().bytes, 0);
}

static void small_lists_are_not_copied(void **state)
{
    struct frt_index *index = make(N + 1);
    (void)state;
    assert_int_equal(standin(STANDIN_LIVE, -1), 0);
    frt_index_free(index);
}

static void removed_rows_are_passed_over(void **state)
{
    struct frt_index *here = make(UINT64_MAX), *there = make(1);
    const uint64_t uncertain = figures().uncertain;
    (void)state;
    for (size_t i = 0; i < N; i += 3) {
        assert_int_equal(frt_index_remove(here, 1, &keys[i], NULL, NULL), FRT_OK);
        assert_int_equal(frt_index_remove(there, 1, &keys[i], NULL, NULL), FRT_OK);
    }
    const long searches = standin(STANDIN_SEARCHES, -1);
    expect_same(here, there, K, true);
    assert_true(standin(STANDIN_SEARCHES, -1) > searches);
    /* so many that what is asked for beside is not enough */
    for (size_t i = 0; i < N; i++) {
        if (i % 20 == 0)
            continue;
        assert_int_equal(frt_index_remove(here, 1, &keys[i], NULL, NULL), FRT_OK);
        assert_int_equal(frt_index_remove(there, 1, &keys[i], NULL, NULL), FRT_OK);
    }
    expect_same(here, there, K, true);
    assert_true(figures().uncertain > uncertain);
    frt_index_free(here);
    frt_index_free(there);
}

static void what_the_kernels_lack_is_the_processors(void **state)
{
    struct frt_index *here = make(UINT64_MAX), *there = make(1);
    const long searches = standin(STANDIN_SEARCHES, -1);
    (void)state;
    assert_int_equal(frt_index_remove(here, 1, &keys[7], NULL, NULL), FRT_OK);
    assert_int_equal(frt_index_remove(there, 1, &keys[7], NULL, NULL), FRT_OK);
    expect_same(here, there, 1100, true); /* twice as many and a few, as rows were removed: over 2,048 */
    assert_int_equal(standin(STANDIN_SEARCHES, -1), searches);
    assert_int_equal(figures().resident, 1);
    frt_index_free(here);
    frt_index_free(there);
}

static void a_search_that_fails_gives_the_copy_up(void **state)
{
    struct frt_index *here = make(UINT64_MAX), *there = make(1);
    const struct frt_faiss_gpu_figures before = figures();
    (void)state;
    (void)standin(STANDIN_SEARCH_FAILS, 1);
    expect_same(here, there, K, false);
    expect_same(here, there, K, false);
    assert_int_equal(figures().fallbacks, before.fallbacks + 1);
    assert_int_equal(figures().failures, before.failures + 1);
    assert_int_equal(figures().resident, 0);
    assert_int_equal(standin(STANDIN_LIVE, -1), 0);
    assert_string_equal(figures().trouble, "the stand-in was told to fail a search");
    frt_index_free(here);
    frt_index_free(there);
}

static void no_copy_no_device(void **state)
{
    struct frt_index *here = make(UINT64_MAX);
    (void)state;
    for (int fault = STANDIN_NO_DEVICE; fault <= STANDIN_CLONE_FAILS; fault++) {
        const uint64_t failures = figures().failures;
        (void)standin(fault, 1);
        struct frt_index *there = make(1);
        assert_true(figures().failures > failures);
        assert_int_equal(figures().resident, 0);
        expect_same(here, there, K, false);
        frt_index_free(there);
        (void)standin(fault, 0);
    }
    frt_index_free(here);
}

struct pair {
    struct frt_index *here, *there;
};

static void *search_both(void *arg)
{
    const struct pair *pair = arg;
    struct frt_index_hit hits[2][K];
    size_t n[2];
    const struct frt_index_query query = {.vectors = vectors[5], .n = 1, .k = K, .min_score = -1};
    if (frt_index_search(pair->here, &query, hits[0], &n[0], NULL) != FRT_OK ||
        frt_index_search(pair->there, &query, hits[1], &n[1], NULL) != FRT_OK || n[0] != n[1])
        return arg;
    for (size_t i = 0; i < n[0]; i++) {
        if (hits[0][i].key != hits[1][i].key)
            return arg;
    }
    return NULL;
}

static void a_busy_device_is_not_waited_for(void **state)
{
    enum { THREADS = 4 };
    struct pair pair = {make(UINT64_MAX), make(1)};
    const uint64_t fallbacks = figures().fallbacks;
    pthread_t threads[THREADS];
    void *wrong = NULL;
    (void)state;
    (void)standin(STANDIN_DELAY_MS, 1000);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, search_both, &pair), 0);
    for (int i = 0; i < THREADS; i++) {
        void *out = NULL;
        assert_int_equal(pthread_join(threads[i], &out), 0);
        wrong = out != NULL ? out : wrong;
    }
    assert_null(wrong);
    assert_int_equal(standin(STANDIN_TOGETHER, -1), 1);
    assert_true(figures().fallbacks > fallbacks);
    (void)standin(STANDIN_DELAY_MS, 0);
    frt_index_free(pair.here);
    frt_index_free(pair.there);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_copy_answers_as_the_processor, well),
        cmocka_unit_test_setup(small_lists_are_not_copied, well),
        cmocka_unit_test_setup(removed_rows_are_passed_over, well),
        cmocka_unit_test_setup(what_the_kernels_lack_is_the_processors, well),
        cmocka_unit_test_setup(a_search_that_fails_gives_the_copy_up, well),
        cmocka_unit_test_setup(no_copy_no_device, well),
        cmocka_unit_test_setup(a_busy_device_is_not_waited_for, well),
    };
    struct frt_error err = {0};
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
    if (library == NULL || frt_faiss_load(&module, &err) != FRT_OK) {
        printf("%s\n", library == NULL ? dlerror() : err.text);
        return 1;
    }
    *(void **)&standin = dlsym(library, "frt_faiss_standin"); /* POSIX's way around the cast ISO C forbids */
    if (standin == NULL || dlsym(library, FRT_FAISS_SYMBOL) != (const void *)module) {
        printf("%s is not the plug-in that was loaded\n", argv[1]);
        return 1;
    }
    return cmocka_run_group_tests(tests, set_up, NULL);
}

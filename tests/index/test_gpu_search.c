/*
 * Searches on a GPU, from the index's side: hits and scores are those of an exhaustive search by the processor,
 * whatever the device has, lacks or does. argv[1]: the plug-in, the stand-in of these tests or libfrt_cuda.so
 * (77 where that finds no device); argv[2]: one of another interface.
 */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/mem.h"
#include "emulator/emulator_faults.h"
#include "index/gpu_search.h"
#include "index/index.h"

enum { DIM = 96, MAX = 12000, FROM = 2000 };

static const char *plugin, *other_plugin;
static frt_emulator_set_fn *inject; /* NULL: not the stand-in */
static frt_emulator_get_fn *reading;

static uint64_t seed = 88172645463325252u;

static uint64_t random_bits(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void random_unit(float *v)
{
    double sum = 0;
    for (int d = 0; d < DIM; d++) {
        v[d] = 0;
        for (int i = 0; i < 4; i++)
            v[d] += (float)(int32_t)(random_bits() >> 32) / 2147483648.0f;
        sum += (double)v[d] * (double)v[d];
    }
    for (int d = 0; d < DIM; d++)
        v[d] = (float)((double)v[d] / sqrt(sum));
}

static struct {
    uint64_t keys[MAX];
    uint32_t groups[MAX];
    float vectors[MAX][DIM];
} faces;

static void make_faces(void)
{
    for (uint32_t i = 0; i < MAX; i++) {
        faces.keys[i] = 5 + (uint64_t)i * 2;
        faces.groups[i] = i / 2;
        random_unit(faces.vectors[i]);
    }
}

static void configure(struct frt_gpu_search_settings settings)
{
    if (settings.plugin[0] == '\0')
        (void)snprintf(settings.plugin, sizeof settings.plugin, "%s", plugin);
    if (settings.scratch_bytes == 0)
        settings.scratch_bytes = 80 << 20;
    settings.from = settings.from == 0 ? FROM : settings.from;
    settings.slab_rows = 1024;
    settings.interval_ms = 5;
    settings.retry_ms = settings.retry_ms == 0 ? 20 : settings.retry_ms;
    settings.timeout_ms = settings.timeout_ms == 0 ? 20000 : settings.timeout_ms;
    frt_gpu_search_configure(&settings);
}

static struct frt_index *open_index(void)
{
    struct frt_index *index = NULL;
    struct frt_error err = {0};
    const struct frt_index_options options = {
        .engine = FRT_INDEX_CUDA, .dim = DIM, .threads = 2, .ivf_from = UINT64_MAX};
    if (frt_index_new(&options, &index, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return index;
}

static void add(struct frt_index *index, uint32_t first, uint32_t n)
{
    assert_int_equal(
        frt_index_add(index, n, faces.keys + first, faces.groups + first, faces.vectors[first], NULL), FRT_OK);
}

static void take_away(struct frt_index *index, uint32_t i)
{
    size_t removed = 0;
    assert_int_equal(frt_index_remove(index, 1, &faces.keys[i], &removed, NULL), FRT_OK);
    assert_int_equal(removed, 1);
}

static struct frt_gpu_search_stats stats(void)
{
    struct frt_gpu_search_stats s;
    frt_gpu_search_stats_get(&s);
    return s;
}

/* The same queries with the device's help and exhaustively without: the same hits. */
static void check(struct frt_index *index, uint32_t n, uint32_t k, float min_score)
{
    float(*queries)[DIM] = malloc(n * sizeof *queries);
    struct frt_index_hit *hits = malloc((size_t)2 * n * k * sizeof *hits), *exact = hits + (size_t)n * k;
    size_t n_hits[512];
    for (uint32_t q = 0; q < n; q++) {
        float noise[DIM];
        const float *near = faces.vectors[random_bits() % MAX];
        double sum = 0;
        random_unit(noise);
        for (int d = 0; d < DIM; d++) {
            queries[q][d] = near[d] + 0.7f * noise[d];
            sum += (double)queries[q][d] * (double)queries[q][d];
        }
        for (int d = 0; d < DIM; d++)
            queries[q][d] = (float)((double)queries[q][d] / sqrt(sum));
    }
    struct frt_index_query query = {.vectors = queries[0], .n = n, .k = k, .min_score = min_score};
    assert_int_equal(frt_index_search(index, &query, hits, n_hits, NULL), FRT_OK);
    query.exhaustive = true;
    assert_int_equal(frt_index_search(index, &query, exact, n_hits + n, NULL), FRT_OK);
    for (uint32_t q = 0; q < n; q++) {
        assert_int_equal(n_hits[q], n_hits[n + q]);
        for (size_t i = 0; i < n_hits[q]; i++) {
            const struct frt_index_hit *a = &hits[(size_t)q * k + i], *b = &exact[(size_t)q * k + i];
            assert_int_equal(a->key, b->key);
            assert_int_equal(a->group, b->group);
            assert_true(fabsf(a->score - b->score) <= 1e-3f);
        }
    }
    free(queries);
    free(hits);
}

static void check_all(struct frt_index *index)
{
    check(index, 1, 1, -1);
    check(index, 1, 10, -1);
    check(index, 3, 10, -1);
    check(index, 1, 5, 0.45f);
    check(index, 20, 5, 0.45f);
}

/* Searches until the device has taken part in one, or (want false) until it has taken part in none. */
static void await_device(struct frt_index *index, bool want)
{
    for (int i = 0; i < 3000; i++) {
        const uint64_t before = stats().searches;
        check(index, 1, 3, -1);
        if ((stats().searches > before) == want)
            return;
        (void)usleep(5000);
    }
    fail_msg("the device %s", want ? "never took part" : "still takes part");
}

/* Until the uploader has nothing more to bring. */
static void await_uploads(void)
{
    uint64_t before = UINT64_MAX;
    for (int i = 0; i < 200; i++) {
        const uint64_t now = stats().uploaded_bytes;
        if (now == before && now > 0)
            return;
        before = now;
        (void)usleep(60000);
    }
    fail_msg("uploads never end");
}

/* ------------------------------------------------------------------- tests */

static void answers_are_the_processors(void **state)
{
    (void)state;
    configure((struct frt_gpu_search_settings){.from = 0});
    struct frt_index *index = open_index();
    assert_string_equal(frt_index_stats_get(index).engine, "cuda");
    check(index, 1, 3, -1); /* empty */
    add(index, 0, 1000);
    check_all(index); /* too few for a mirror */
    assert_int_equal(stats().resident, 0);
    add(index, 1000, 5000);
    await_device(index, true);
    assert_int_equal(stats().resident, 1);
    assert_int_equal(stats().state, FRT_GPU_UP);
    check_all(index);
    check(index, 1, 1000, -1);
    check(index, 2, 1000, -1);
    check(index, 1, 1001, -1); /* the processor's */
    check(index, 70, 3, -1);
    /* what comes and goes, before the mirror knows and after */
    for (uint32_t round = 0; round < 6; round++) {
        add(index, 6000 + round * 700, 700);
        for (uint32_t i = 0; i < 120; i++)
            take_away(index, round * 900 + i * 7);
        check_all(index);
        await_uploads();
        check_all(index);
    }
    const struct frt_gpu_search_stats s = stats();
    assert_true(s.searches > 30);
    assert_int_equal(s.fallbacks, 0);
    assert_int_equal(s.failures, 0);
    assert_true(s.bytes > 0 && s.bytes <= s.limit_bytes);
    frt_index_free(index);
    assert_int_equal(stats().bytes, 0);
    assert_int_equal(stats().state, FRT_GPU_UNUSED);
}

static void maintenance_replaces_what_is_on_the_device(void **state)
{
    (void)state;
    configure((struct frt_gpu_search_settings){.from = 0});
    struct frt_index *index = open_index();
    add(index, 0, 9000);
    await_device(index, true);
    for (uint32_t i = 0; i < 9000; i += 2)
        take_away(index, i);
    check_all(index);
    assert_true(frt_index_wants_maintenance(index));
    assert_int_equal(frt_index_maintain(index, NULL, NULL, NULL), FRT_OK);
    check_all(index);
    await_device(index, true);
    await_uploads();
    check_all(index);
    add(index, 9000, 3000);
    check_all(index);
    await_uploads();
    await_device(index, true);
    check_all(index);
    frt_index_free(index);
}

static void snapshots_are_mirrored(void **state)
{
    (void)state;
    char path[] = "/tmp/frt-gpu-search-XXXXXX";
    const int fd = mkstemp(path);
    struct frt_index_tag tag = {.collection_key = 3};
    const struct frt_index_options options = {
        .engine = FRT_INDEX_CUDA, .dim = DIM, .threads = 2, .ivf_from = UINT64_MAX};
    assert_true(fd >= 0);
    (void)close(fd);
    configure((struct frt_gpu_search_settings){.from = 0});
    struct frt_index *index = open_index();
    add(index, 0, 5001);
    assert_int_equal(frt_index_save(index, path, &tag, NULL), FRT_OK);
    frt_index_free(index);
    index = NULL;
    assert_int_equal(frt_index_load(&options, path, &tag, &index, NULL), FRT_OK);
    check_all(index);
    await_device(index, true);
    take_away(index, 17);
    add(index, 5001, 100);
    check_all(index);
    frt_index_free(index);
    (void)unlink(path);
}

/* Hundreds of equal faces: no score tells who is among the best, so nothing is certain, and the processor
 * decides. */
static void equal_faces_come_in_order_of_key(void **state)
{
    (void)state;
    configure((struct frt_gpu_search_settings){.from = 0});
    struct frt_index *index = open_index();
    add(index, 0, 3000);
    const uint64_t uncertain = stats().uncertain;
    struct frt_index_hit hits[20];
    size_t n_hits[2];
    float queries[2][DIM];
    memcpy(queries[0], faces.vectors[3500], sizeof queries[0]);
    memcpy(queries[1], faces.vectors[12], sizeof queries[1]);
    for (uint32_t i = 0; i < 4000; i++) { /* keys from above downwards */
        const uint64_t key = 1000000 - i;
        assert_int_equal(frt_index_add(index, 1, &key, &faces.groups[i], faces.vectors[3500], NULL), FRT_OK);
    }
    await_device(index, true);
    await_uploads();
    for (uint32_t n = 1; n <= 2; n++) {
        const struct frt_index_query query = {.vectors = queries[0], .n = n, .k = 10, .min_score = -1};
        assert_int_equal(frt_index_search(index, &query, hits, n_hits, NULL), FRT_OK);
        assert_int_equal(n_hits[0], 10);
        for (size_t i = 0; i < 10; i++)
            assert_int_equal(hits[i].key, 1000000 - 3999 + i);
        if (n == 2)
            assert_int_equal(hits[10].key, faces.keys[12]);
    }
    assert_true(stats().uncertain >= uncertain + 2);
    frt_index_free(index);
}

struct crowd {
    struct frt_index *index;
    atomic_bool over;
    atomic_uint searches;
};

static void *search_on(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t bits = (uint64_t)(uintptr_t)&bits;
    while (!atomic_load(&crowd->over)) {
        struct frt_index_hit hits[2 * 4];
        size_t n_hits[2];
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        const uint32_t at = (uint32_t)(bits >> 33) % 1000; /* these stay */
        const struct frt_index_query query = {
            .vectors = faces.vectors[at], .n = 1 + at % 2, .k = 4, .min_score = -1};
        if (frt_index_search(crowd->index, &query, hits, n_hits, NULL) != FRT_OK || n_hits[0] != 4 ||
            hits[0].key != faces.keys[at] || fabsf(hits[0].score - 1) > 0.01f)
            return arg;
        (void)atomic_fetch_add(&crowd->searches, 1);
    }
    return NULL;
}

static void await_searches(struct crowd *crowd, unsigned n)
{
    const unsigned until = atomic_load(&crowd->searches) + n;
    for (int i = 0; i < 4000 && atomic_load(&crowd->searches) < until; i++)
        (void)usleep(5000);
    assert_true(atomic_load(&crowd->searches) >= until);
}

/* Writers, searches, and a device that fails in every way meanwhile: nobody notices. */
static void nobody_notices_what_the_device_does(void **state)
{
    (void)state;
    configure((struct frt_gpu_search_settings){.timeout_ms = inject != NULL ? 3000 : 0});
    struct crowd crowd = {.index = open_index()};
    pthread_t threads[3];
    add(crowd.index, 0, 4000);
    await_device(crowd.index, true);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, search_on, &crowd), 0);
    static const int ways[] = {EMULATOR_FAIL_LAUNCH, EMULATOR_FAIL_COPY, EMULATOR_FAIL_MALLOC,
                               EMULATOR_WRONG_ANSWERS, EMULATOR_WRONG_ANSWERS};
    for (uint32_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        if (inject != NULL)
            inject(ways[w], w == 4 ? 2 : 1);
        for (uint32_t i = 0; i < 10; i++) {
            add(crowd.index, 4000 + w * 1000 + i * 100, 100);
            take_away(crowd.index, 1000 + w * 300 + i);
        }
        await_searches(&crowd, 10);
        if (inject != NULL)
            inject(ways[w], 0);
        await_searches(&crowd, 10);
    }
    atomic_store(&crowd.over, true);
    for (int i = 0; i < 3; i++) {
        void *bad = NULL;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    await_device(crowd.index, true); /* it comes back */
    await_uploads();
    check_all(crowd.index);
    frt_index_free(crowd.index);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    configure((struct frt_gpu_search_settings){.from = 0});
    struct frt_index *index = open_index();
    struct frt_index_hit hits[3 * 5], exact[3 * 5];
    size_t n_hits[3], n_exact[3];
    struct frt_index_query query = {
        .vectors = faces.vectors[7], .n = 3, .k = 5, .min_score = -1, .exhaustive = true};
    add(index, 0, 2500);
    assert_int_equal(frt_index_search(index, &query, exact, n_exact, NULL), FRT_OK);
    query.exhaustive = false;
    await_device(index, true);
    await_uploads();
    unsigned failures = 0, n = 0;
    for (; n < 60; n++) {
        frt_mem_fail_after((int64_t)n);
        const enum frt_status status = frt_index_search(index, &query, hits, n_hits, NULL);
        frt_mem_fail_after(-1);
        assert_true(status == FRT_OK || status == FRT_ENOMEM);
        failures += status != FRT_OK;
        for (size_t i = 0; status == FRT_OK && i < 15; i++)
            assert_int_equal(hits[i].key, exact[i].key);
    }
    assert_true(failures > 5 && failures < n);
    await_device(index, true);
    frt_index_free(index);
}

/* ------------------------------------------------- only with the stand-in */

static void each_failure_falls_back(void **state)
{
    (void)state;
    if (inject == NULL)
        skip();
    static const struct {
        int fault;
        long value;
    } faults[] = {{EMULATOR_FAIL_LAUNCH, 1}, {EMULATOR_FAIL_LAUNCH, 2},   {EMULATOR_FAIL_COPY, 1},
                  {EMULATOR_FAIL_COPY, 3},   {EMULATOR_WRONG_ANSWERS, 1}, {EMULATOR_WRONG_ANSWERS, 2}};
    configure((struct frt_gpu_search_settings){.retry_ms = 30});
    struct frt_index *index = open_index();
    add(index, 0, 3000);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        await_device(index, true);
        await_uploads();
        const struct frt_gpu_search_stats before = stats();
        inject(faults[i].fault, faults[i].value);
        check(index, 2, 5, -1); /* the very search that meets the failure is right */
        assert_int_equal(stats().fallbacks, before.fallbacks + 1);
        assert_int_equal(stats().failures, before.failures + 1);
        assert_true(stats().trouble[0] != '\0');
        check_all(index);
        inject(faults[i].fault, 0);
    }
    await_device(index, true);
    assert_int_equal(stats().state, FRT_GPU_UP);
    frt_index_free(index);
    assert_int_equal(reading(EMULATOR_USED_BYTES), 0);
}

static void a_device_that_hangs_is_given_up(void **state)
{
    (void)state;
    if (inject == NULL)
        skip();
    configure((struct frt_gpu_search_settings){.timeout_ms = 300, .retry_ms = 30});
    struct frt_index *index = open_index();
    add(index, 0, 3000);
    await_device(index, true);
    await_uploads();
    const struct frt_gpu_search_stats before = stats();
    inject(EMULATOR_DELAY_MS, 2000);
    for (int i = 0; i < 4; i++)
        check(index, 1, 5, -1);
    assert_true(stats().fallbacks >= before.fallbacks + 3);
    assert_int_equal(stats().failures, before.failures + 1);
    inject(EMULATOR_DELAY_MS, 0);
    await_device(index, true);
    check_all(index);
    frt_index_free(index);
    /* what the device was still at work with is freed when it has come to rest and is opened again */
    char name[96];
    for (int i = 0; i < 500 && reading(EMULATOR_USED_BYTES) > 0; i++) {
        (void)usleep(20000);
        assert_int_equal(frt_gpu_search_probe(name, NULL), FRT_OK);
    }
    assert_int_equal(reading(EMULATOR_USED_BYTES), 0);
}

static void a_full_device_is_left_alone(void **state)
{
    (void)state;
    if (inject == NULL)
        skip();
    configure((struct frt_gpu_search_settings){.from = 0});
    struct frt_index *index = open_index();
    add(index, 0, 3000);
    /* scratch fits, slabs do not */
    inject(EMULATOR_MEMORY, 75 << 20);
    for (int i = 0; i < 50; i++) {
        check(index, 1, 3, -1);
        (void)usleep(2000);
    }
    assert_int_equal(stats().resident, 0);
    inject(EMULATOR_MEMORY, 0);
    frt_index_free(index);
    assert_int_equal(reading(EMULATOR_USED_BYTES), 0);
}

static void mirrors_share_the_limit(void **state)
{
    (void)state;
    /* room for two of three: 3 slabs each of 1,024 · 100 bytes */
    configure((struct frt_gpu_search_settings){.memory_bytes = 8 * 1024 * 100, .idle_ms = 1});
    struct frt_index *index[3];
    for (int i = 0; i < 3; i++) {
        index[i] = open_index();
        add(index[i], (uint32_t)i * 4000, 3000);
        await_device(index[i], true);
        await_uploads();
        assert_true(stats().bytes <= stats().limit_bytes);
    }
    assert_int_equal(stats().resident, 2);
    const uint64_t evictions = stats().evictions;
    assert_true(evictions >= 1);
    /* the first had been used longest ago: it went, and comes back when it is used again */
    await_device(index[2], true);
    await_device(index[0], true);
    assert_true(stats().evictions > evictions);
    for (int i = 0; i < 3; i++)
        check_all(index[i]);
    /* one that grows beyond the limit is the processor's, all of it */
    add(index[0], 3000, 9000);
    for (int i = 0; i < 50; i++) {
        check(index[0], 1, 3, -1);
        (void)usleep(2000);
    }
    assert_true(stats().bytes <= stats().limit_bytes);
    for (int i = 0; i < 3; i++)
        frt_index_free(index[i]);
}

static void a_plugin_that_does_not_fit_is_said(void **state)
{
    (void)state;
    static const char *const wrong[] = {"/nonexistent/libfrt_cuda.so", NULL, "/proc/self/maps"};
    static const char *const said[] = {"there is no plug-in", "of another version", "could not be loaded"};
    for (size_t i = 0; i < 3; i++) {
        struct frt_gpu_search_settings settings = {.from = 0};
        if (wrong[i] == NULL && other_plugin == NULL)
            continue;
        (void)snprintf(settings.plugin, sizeof settings.plugin, "%s",
                       wrong[i] == NULL ? other_plugin : wrong[i]);
        configure(settings);
        char name[96];
        struct frt_error err = {0};
        assert_int_equal(frt_gpu_search_probe(name, &err), FRT_EUNAVAILABLE);
        assert_non_null(strstr(err.text, said[i]));
        struct frt_index *index = open_index();
        add(index, 0, 3000);
        for (int t = 0; t < 500 && stats().state != FRT_GPU_ABSENT; t++) {
            check(index, 1, 3, -1);
            (void)usleep(5000);
        }
        assert_int_equal(stats().state, FRT_GPU_ABSENT);
        assert_non_null(strstr(stats().trouble, said[i]));
        check_all(index);
        frt_index_free(index);
    }
}

static void no_device_is_tried_again(void **state)
{
    (void)state;
    if (inject == NULL)
        skip();
    char name[96];
    struct frt_error err = {0};
    inject(EMULATOR_NO_DEVICE, 1);
    configure((struct frt_gpu_search_settings){.from = 0});
    assert_int_equal(frt_gpu_search_probe(name, &err), FRT_EUNAVAILABLE);
    assert_non_null(strstr(err.text, "no CUDA-capable device"));
    struct frt_index *index = open_index();
    add(index, 0, 3000);
    for (int t = 0; t < 500 && stats().state != FRT_GPU_DOWN; t++) {
        check(index, 1, 3, -1);
        (void)usleep(5000);
    }
    assert_int_equal(stats().state, FRT_GPU_DOWN);
    inject(EMULATOR_NO_DEVICE, 0);
    await_device(index, true);
    frt_index_free(index);
    assert_int_equal(frt_gpu_search_probe(name, &err), FRT_OK);
    assert_string_equal(name, "stand-in");
}

static int usual(void **state)
{
    (void)state;
    for (int i = 0; inject != NULL && i < EMULATOR_USED_BYTES; i++)
        inject(i, 0);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup(f, usual)

static const struct CMUnitTest tests[] = {
    TEST(answers_are_the_processors),
    TEST(maintenance_replaces_what_is_on_the_device),
    TEST(snapshots_are_mirrored),
    TEST(equal_faces_come_in_order_of_key),
    TEST(nobody_notices_what_the_device_does),
    TEST(every_allocation_may_fail),
    TEST(each_failure_falls_back),
    TEST(a_device_that_hangs_is_given_up),
    TEST(a_full_device_is_left_alone),
    TEST(mirrors_share_the_limit),
    TEST(a_plugin_that_does_not_fit_is_said),
    TEST(no_device_is_tried_again),
};

int main(int argc, char **argv)
{
    char name[96];
    struct frt_error err = {0};
    if (argc < 2)
        return 2;
    plugin = argv[1];
    other_plugin = argc > 2 ? argv[2] : NULL;
    void *library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library == NULL ? NULL : dlsym(library, "frt_emulator_set");
    memcpy(&inject, &symbol, sizeof inject);
    symbol = library == NULL ? NULL : dlsym(library, "frt_emulator_get");
    memcpy(&reading, &symbol, sizeof reading);
    frt_log_configure(FRT_LOG_ERROR, false, 2);
    configure((struct frt_gpu_search_settings){.from = 0});
    if (frt_gpu_search_probe(name, &err) != FRT_OK) {
        printf("SKIP: %s\n", err.text);
        return inject != NULL ? 1 : 77;
    }
    printf("device: %s\n", name);
    make_faces();
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/*
 * Contract of gpu_plugin.h: what a plug-in finds is what an exact scan in whole numbers (i8) or double (f16)
 * finds: the same positions, scores within 1e-5. argv[1]: the plug-in, the stand-in of these tests or
 * libfrt_cuda.so, which needs a device (exit 77 where there is none).
 */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emulator/emulator_faults.h"
#include "index/gpu_plugin.h"

static const struct frt_gpu_module *module;
static struct frt_gpu_device *device;
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

/* ------------------------------------------------------------------- model */

struct model {
    enum frt_gpu_format format;
    uint32_t dim, row_bytes, n;
    unsigned char *rows;
    float *values; /* [n][dim], as the device sees them, without the scale */
    float *scales;
};

static uint16_t half_of(float x) /* exact for small whole numbers and their halves, which is all that is used */
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x == 0)
        return 0;
    return (uint16_t)((bits >> 16 & 0x8000) | ((bits >> 13) - (112u << 10)) % (1u << 15));
}

static void set_row(struct model *m, uint32_t i, const float *values, float scale)
{
    unsigned char *row = m->rows + (size_t)i * m->row_bytes;
    memset(row, 0, m->row_bytes);
    m->scales[i] = scale;
    for (uint32_t d = 0; d < m->dim; d++) {
        m->values[(size_t)i * m->dim + d] = values[d];
        if (m->format == FRT_GPU_I8) {
            row[d] = (unsigned char)(int8_t)values[d];
        } else {
            const uint16_t h = half_of(values[d]);
            memcpy(row + d * 2, &h, sizeof h);
        }
    }
}

static void random_row(float *values, uint32_t dim)
{
    for (uint32_t d = 0; d < dim; d++)
        values[d] = (float)((int)(random_bits() >> 40 & 127) - 63);
}

static float scale_for(const float *values, uint32_t dim)
{
    double sum = 0;
    for (uint32_t d = 0; d < dim; d++)
        sum += (double)values[d] * (double)values[d];
    return sum > 0 ? (float)(1 / sqrt(sum)) : 0;
}

static void model_make(struct model *m, enum frt_gpu_format format, uint32_t dim, uint32_t n)
{
    float *values = malloc(dim * sizeof *values);
    m->format = format;
    m->dim = dim;
    m->n = n;
    m->row_bytes = ((format == FRT_GPU_I8 ? dim : dim * 2) + 15) / 16 * 16;
    m->rows = malloc((size_t)n * m->row_bytes);
    m->values = malloc((size_t)n * dim * sizeof *m->values);
    m->scales = malloc(n * sizeof *m->scales);
    for (uint32_t i = 0; i < n; i++) {
        random_row(values, dim);
        set_row(m, i, values, scale_for(values, dim));
    }
    free(values);
}

static void model_free(struct model *m)
{
    free(m->rows);
    free(m->values);
    free(m->scales);
}

static struct frt_gpu_corpus *corpus_of(const struct model *m, uint32_t slab_rows)
{
    struct frt_gpu_corpus *corpus = NULL;
    struct frt_gpu_why why = {""};
    const struct frt_gpu_layout layout = {m->format, m->row_bytes, slab_rows, m->n / slab_rows + 2};
    if (module->corpus_new(device, &layout, &corpus, &why) != FRT_GPU_OK ||
        module->reserve(corpus, m->n, &why) != FRT_GPU_OK)
        fail_msg("%s", why.text);
    return corpus;
}

static void upload(struct frt_gpu_corpus *corpus, const struct model *m, uint32_t first, uint32_t n)
{
    struct frt_gpu_why why = {""};
    if (module->append(corpus, first, n, m->rows + (size_t)first * m->row_bytes, m->scales + first, &why) !=
        FRT_GPU_OK)
        fail_msg("%s", why.text);
}

/* --------------------------------------------------------------- reference */

struct best {
    double score;
    uint32_t position;
};

static int best_first(const void *a, const void *b)
{
    const struct best *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->position < y->position ? -1 : x->position > y->position;
}

struct asked {
    uint32_t n, planes, k, n_positions;
    float floor;
};

/* Queries near rows of the model, made of whole numbers; in two planes they have 16 bits. */
static void check_search(const struct model *m, struct frt_gpu_corpus *corpus, struct asked a)
{
    const size_t row_bytes = m->row_bytes;
    unsigned char *queries = calloc((size_t)a.planes * a.n, row_bytes);
    float *values = malloc((size_t)a.n * m->dim * sizeof *values), *q_scales = malloc(a.n * sizeof *q_scales);
    float *floors = malloc(a.n * sizeof *floors), *scores = malloc((size_t)a.n * a.k * sizeof *scores);
    uint32_t *positions = malloc((size_t)a.n * a.k * sizeof *positions), *counts = malloc(a.n * sizeof *counts);
    struct best *all = malloc((m->n + 1) * sizeof *all);
    for (uint32_t q = 0; q < a.n; q++) {
        const float *near = m->values + (size_t)(random_bits() % m->n) * m->dim;
        floors[q] = a.floor;
        for (uint32_t d = 0; d < m->dim; d++) {
            float v = (float)((int)(near[d] * 0.7f) + (int)(random_bits() >> 40 & 63) - 31);
            if (a.planes == 2) {
                v = v * 256 + (float)((int)(random_bits() >> 40 & 255) - 128);
                const int hi = (int)floorf((v + 128) / 256), lo = (int)v - 256 * hi;
                queries[q * row_bytes + d] = (unsigned char)(int8_t)hi;
                queries[row_bytes * a.n + q * row_bytes + d] = (unsigned char)(int8_t)lo;
            } else if (m->format == FRT_GPU_I8) {
                queries[q * row_bytes + d] = (unsigned char)(int8_t)v;
            } else {
                const uint16_t h = half_of(v);
                memcpy(queries + q * row_bytes + d * 2, &h, sizeof h);
            }
            values[q * m->dim + d] = v;
        }
        q_scales[q] = scale_for(values + q * m->dim, m->dim);
    }
    memset(positions, 0xee, (size_t)a.n * a.k * sizeof *positions);
    memset(counts, 0xee, a.n * sizeof *counts);
    struct frt_gpu_search search = {.queries = queries,
                                    .q_scales = q_scales,
                                    .floors = floors,
                                    .n = a.n,
                                    .planes = a.planes,
                                    .k = a.k,
                                    .n_positions = a.n_positions,
                                    .timeout_ms = 60000,
                                    .positions = positions,
                                    .scores = scores,
                                    .counts = counts};
    struct frt_gpu_why why = {""};
    if (module->search(corpus, &search, &why) != FRT_GPU_OK)
        fail_msg("%s", why.text);
    for (uint32_t q = 0; q < a.n; q++) {
        uint32_t n = 0;
        if (a.n > 20 && q % 11 != 0 && q + 1 != a.n) /* of many a sample: places of all kinds in a fragment */
            continue;
        for (uint32_t i = 0; i < a.n_positions; i++) {
            double sum = 0;
            for (uint32_t d = 0; d < m->dim; d++)
                sum += (double)m->values[(size_t)i * m->dim + d] * (double)values[q * m->dim + d];
            const double score = sum * (double)m->scales[i] * (double)q_scales[q];
            if (score >= (double)a.floor)
                all[n++] = (struct best){score, i};
        }
        qsort(all, n, sizeof *all, best_first);
        const uint32_t wanted = n < a.k ? n : a.k;
        /* those at the floor or at the k-th score may differ by rounding */
        if (a.floor <= -2)
            assert_int_equal(counts[q], wanted);
        else
            assert_true(counts[q] + 3 >= wanted && counts[q] <= wanted + 3);
        for (uint32_t i = 0; i < counts[q]; i++) {
            const uint32_t at = positions[(size_t)q * a.k + i];
            assert_true(at < a.n_positions);
            double sum = 0;
            for (uint32_t d = 0; d < m->dim; d++)
                sum += (double)m->values[(size_t)at * m->dim + d] * (double)values[q * m->dim + d];
            const double score = sum * (double)m->scales[at] * (double)q_scales[q];
            assert_true(fabs(score - (double)scores[(size_t)q * a.k + i]) < 1e-5);
            for (uint32_t j = 0; j < i; j++)
                assert_int_not_equal(positions[(size_t)q * a.k + j], at);
            if (wanted == a.k)
                assert_true(score >= all[wanted - 1].score - 2e-6);
        }
        for (uint32_t i = 0; i < wanted; i++) { /* and whoever is clearly among the best is there */
            bool found = all[i].score < all[wanted - 1].score + 2e-6 && wanted == a.k;
            found = found || all[i].score < (double)a.floor + 2e-6;
            for (uint32_t j = 0; j < counts[q] && !found; j++)
                found = positions[(size_t)q * a.k + j] == all[i].position;
            assert_true(found);
        }
    }
    free(queries);
    free(values);
    free(q_scales);
    free(floors);
    free(scores);
    free(positions);
    free(counts);
    free(all);
}

/* ------------------------------------------------------------------- tests */

static void one_query_finds_the_best(void **state)
{
    (void)state;
    static const uint32_t dims[] = {8, 48, 100, 128, 192, 256, 520};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        for (int format = FRT_GPU_I8; format <= FRT_GPU_F16; format++) {
            struct model m;
            model_make(&m, (enum frt_gpu_format)format, dims[i], 5200);
            struct frt_gpu_corpus *corpus = corpus_of(&m, 1024);
            upload(corpus, &m, 0, m.n);
            check_search(&m, corpus, (struct asked){1, 1, 10, m.n, -2});
            check_search(&m, corpus, (struct asked){1, 1, 1, 4999, -2});
            if (format == FRT_GPU_I8)
                check_search(&m, corpus, (struct asked){1, 2, 50, m.n, -2});
            module->corpus_free(corpus);
            model_free(&m);
        }
    }
}

static void many_queries_find_the_best(void **state)
{
    (void)state;
    static const uint32_t dims[] = {8, 48, 100, 512};
    static const uint32_t together[] = {2, 17, 33, 70, 256};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        for (int format = FRT_GPU_I8; format <= FRT_GPU_F16; format++) {
            struct model m;
            model_make(&m, (enum frt_gpu_format)format, dims[i], 4400);
            struct frt_gpu_corpus *corpus = corpus_of(&m, 2048);
            upload(corpus, &m, 0, m.n);
            for (size_t t = 0; t < sizeof together / sizeof *together; t++) {
                if (together[t] < 30 || dims[i] == 48 + 52 * (uint32_t)format)
                    check_search(&m, corpus, (struct asked){together[t], 1, 7, m.n, -2});
            }
            module->corpus_free(corpus);
            model_free(&m);
        }
    }
}

static void k_and_floors_are_kept_to(void **state)
{
    (void)state;
    struct model m;
    model_make(&m, FRT_GPU_I8, 64, 9000);
    struct frt_gpu_corpus *corpus = corpus_of(&m, 4096);
    upload(corpus, &m, 0, m.n);
    for (uint32_t n = 1; n <= 4; n += 3) {
        check_search(&m, corpus, (struct asked){n, 1, 1, m.n, -2});
        check_search(&m, corpus, (struct asked){n, 1, 1000, m.n, -2});
        check_search(&m, corpus, (struct asked){n, 1, FRT_GPU_MAX_K, m.n, -2});
        check_search(&m, corpus, (struct asked){n, 1, FRT_GPU_MAX_K, 700, -2}); /* fewer than are asked for */
        check_search(&m, corpus, (struct asked){n, 1, 200, m.n, 0.3f});
        check_search(&m, corpus, (struct asked){n, 1, 200, m.n, 0.99f});
        check_search(&m, corpus, (struct asked){n, 1, 10, 0, -2});
    }
    module->corpus_free(corpus);
    model_free(&m);
}

static void what_is_buried_is_not_found(void **state)
{
    (void)state;
    struct model m;
    struct frt_gpu_why why;
    model_make(&m, FRT_GPU_I8, 48, 6000);
    struct frt_gpu_corpus *corpus = corpus_of(&m, 1024);
    /* nothing is there yet */
    for (uint32_t i = 0; i < m.n; i++)
        m.scales[i] = NAN;
    check_search(&m, corpus, (struct asked){1, 1, 10, m.n, -2});
    check_search(&m, corpus, (struct asked){3, 1, 10, m.n, -2});
    for (uint32_t i = 0; i < m.n; i++)
        m.scales[i] = scale_for(m.values + (size_t)i * m.dim, m.dim);
    upload(corpus, &m, 0, 2500); /* in two parts, across slabs */
    upload(corpus, &m, 2500, 3500);
    check_search(&m, corpus, (struct asked){1, 1, 10, m.n, -2});
    uint32_t gone[700];
    for (uint32_t i = 0; i < 700; i++) {
        gone[i] = (uint32_t)(random_bits() % m.n);
        m.scales[gone[i]] = NAN;
    }
    assert_int_equal(module->tombstone(corpus, gone, 700, &why), FRT_GPU_OK);
    check_search(&m, corpus, (struct asked){1, 1, 10, m.n, -2});
    check_search(&m, corpus, (struct asked){5, 1, 100, m.n, -2});
    for (uint32_t i = 900; i < 3900; i++)
        m.scales[i] = NAN;
    upload(corpus, &m, 900, 3000);
    check_search(&m, corpus, (struct asked){1, 1, 10, m.n, -2});
    check_search(&m, corpus, (struct asked){5, 1, 100, m.n, -2});
    /* a place may be used again */
    for (uint32_t i = 900; i < 1100; i++)
        m.scales[i] = scale_for(m.values + (size_t)i * m.dim, m.dim);
    upload(corpus, &m, 900, 200);
    check_search(&m, corpus, (struct asked){1, 1, 1000, m.n, -2});
    module->corpus_free(corpus);
    model_free(&m);
}

/* Every position is better than all before it: each round has more candidates than there is room for. */
static void an_awkward_order_is_no_matter(void **state)
{
    (void)state;
    struct model m;
    const uint32_t n = 150000;
    float values[16];
    model_make(&m, FRT_GPU_I8, 16, n);
    for (uint32_t i = 0; i < n; i++) {
        for (int d = 0; d < 16; d++)
            values[d] = d == 0 ? 100 : 0;
        set_row(&m, i, values, 0.009f * ((float)i + 1) / (float)n);
    }
    struct frt_gpu_corpus *corpus = corpus_of(&m, 65536);
    upload(corpus, &m, 0, n);
    check_search(&m, corpus, (struct asked){1, 1, 10, n, -2});
    check_search(&m, corpus, (struct asked){2, 1, 10, n, -2});
    module->corpus_free(corpus);
    model_free(&m);
}

static void equal_scores_come_by_position(void **state)
{
    (void)state;
    struct model m;
    float values[32], floors[] = {-2, -2};
    unsigned char queries[2 * 32];
    const float q_scales[] = {0.01f, 0.01f};
    uint32_t positions[2 * 37], counts[2];
    float scores[2 * 37];
    model_make(&m, FRT_GPU_I8, 32, 20000);
    random_row(values, 32);
    for (uint32_t i = 3; i < m.n; i += 2)
        set_row(&m, i, values, 0.01f);
    struct frt_gpu_corpus *corpus = corpus_of(&m, 8192);
    upload(corpus, &m, 0, m.n);
    for (int d = 0; d < 32; d++)
        queries[d] = queries[32 + d] = (unsigned char)(int8_t)values[d];
    for (uint32_t n = 1; n <= 2; n++) {
        struct frt_gpu_search search = {queries, q_scales, floors,    n,      1,     37,
                                        m.n,     60000,    positions, scores, counts};
        struct frt_gpu_why why = {""};
        assert_int_equal(module->search(corpus, &search, &why), FRT_GPU_OK);
        for (uint32_t q = 0; q < n; q++) {
            bool seen[37] = {false};
            assert_int_equal(counts[q], 37);
            for (int i = 0; i < 37; i++) {
                const uint32_t at = positions[q * 37 + (uint32_t)i];
                assert_true(at >= 3 && at <= 75 && at % 2 == 1 && !seen[at / 2 - 1]);
                seen[at / 2 - 1] = true;
            }
        }
    }
    module->corpus_free(corpus);
    model_free(&m);
}

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    struct frt_gpu_corpus *corpus = NULL;
    struct frt_gpu_why why;
    static const struct frt_gpu_layout bad[] = {{FRT_GPU_I8, 0, 1024, 1},      {FRT_GPU_I8, 24, 1024, 1},
                                                {FRT_GPU_I8, 16384, 1024, 1},  {FRT_GPU_I8, 64, 1000, 1},
                                                {FRT_GPU_I8, 64, 512, 1},      {FRT_GPU_I8, 64, 1024, 0},
                                                {FRT_GPU_I8, 64, 65536, 65536}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(module->corpus_new(device, &bad[i], &corpus, &why), FRT_GPU_REFUSED);
    const struct frt_gpu_layout good = {FRT_GPU_I8, 64, 1024, 2};
    assert_int_equal(module->corpus_new(device, &good, &corpus, &why), FRT_GPU_OK);
    assert_int_equal(module->reserve(corpus, 2049, &why), FRT_GPU_REFUSED);
    assert_int_equal(module->reserve(corpus, 1024, &why), FRT_GPU_OK);
    unsigned char row[64] = {1};
    const float one = 1;
    const uint32_t far = 1024;
    assert_int_equal(module->append(corpus, 1024, 1, row, &one, &why), FRT_GPU_REFUSED);
    assert_int_equal(module->tombstone(corpus, &far, 1, &why), FRT_GPU_REFUSED);
    uint32_t position, count = 77;
    float score, floor = -2;
    const struct frt_gpu_search searches[] = {
        {row, &one, &floor, 0, 1, 1, 10, 100, &position, &score, &count},
        {row, &one, &floor, 257, 1, 1, 10, 100, &position, &score, &count},
        {row, &one, &floor, 1, 1, 0, 10, 100, &position, &score, &count},
        {row, &one, &floor, 1, 1, 2049, 10, 100, &position, &score, &count},
        {row, &one, &floor, 1, 3, 1, 10, 100, &position, &score, &count},
        {row, &one, &floor, 2, 2, 1, 10, 100, &position, &score, &count},
        {row, &one, &floor, 1, 1, 1, 1025, 100, &position, &score, &count}};
    for (size_t i = 0; i < sizeof searches / sizeof *searches; i++) {
        struct frt_gpu_search s = searches[i];
        assert_int_equal(module->search(corpus, &s, &why), FRT_GPU_REFUSED);
    }
    assert_int_equal(count, 77);
    module->corpus_free(corpus);
}

static void made_up_rows_are_unit_and_alike(void **state)
{
    (void)state;
    for (int format = FRT_GPU_I8; format <= FRT_GPU_F16; format++) {
        const uint32_t row_bytes = format == FRT_GPU_I8 ? 64 : 128, n = 3000;
        const struct frt_gpu_layout layout = {(enum frt_gpu_format)format, row_bytes, 1024, 3};
        struct frt_gpu_corpus *corpus = NULL;
        struct frt_gpu_why why;
        unsigned char query[128] = {0};
        uint32_t positions[64], count = 0;
        float scores[64];
        const float q_scale = 1.0f / 8, floor = -2;
        assert_int_equal(module->corpus_new(device, &layout, &corpus, &why), FRT_GPU_OK);
        assert_int_equal(module->reserve(corpus, n, &why), FRT_GPU_OK);
        assert_int_equal(module->synthesize(corpus, 0, n, 5, &why), FRT_GPU_OK);
        for (uint32_t d = 0; d < 64; d++) {
            const uint16_t h = half_of(1);
            if (format == FRT_GPU_I8)
                query[d] = 1;
            else
                memcpy(query + d * 2, &h, sizeof h);
        }
        struct frt_gpu_search search = {query, &q_scale, &floor, 1, 1, 64, n, 60000, positions, scores, &count};
        assert_int_equal(module->search(corpus, &search, &why), FRT_GPU_OK);
        assert_int_equal(count, 64);
        float most = 0, least = 2;
        for (int i = 0; i < 64; i++) {
            most = fmaxf(most, scores[i]);
            least = fminf(least, scores[i]);
        }
        /* cosines of 3,000 random directions in 64 dimensions: deviation 0.125 */
        assert_true(most > 0.3f && most < 0.75f && least > 0.15f && least < 0.4f);
        module->corpus_free(corpus);
    }
}

struct crowd {
    const struct model *m;
    struct frt_gpu_corpus *corpus;
    uint32_t n;
};

static void *search_beside(void *arg)
{
    const struct crowd *crowd = arg;
    unsigned char query[48 * 2];
    const float scales[] = {0.01f, 0.01f}, floors[] = {-2, -2};
    uint32_t positions[2 * 5], counts[2];
    float scores[2 * 5];
    memset(query, 7, sizeof query);
    for (int i = 0; i < 12; i++) {
        struct frt_gpu_search s = {query, scales, floors,    crowd->n, 1,     5,
                                   6000,  60000,  positions, scores,   counts};
        struct frt_gpu_why why;
        const enum frt_gpu_result result = module->search(crowd->corpus, &s, &why);
        if (result != FRT_GPU_OK && result != FRT_GPU_BUSY)
            return arg;
    }
    return NULL;
}

static void searches_run_beside_an_append(void **state)
{
    (void)state;
    struct model m;
    pthread_t threads[4];
    struct frt_gpu_why why;
    model_make(&m, FRT_GPU_I8, 48, 6000);
    struct frt_gpu_corpus *corpus = corpus_of(&m, 1024);
    struct crowd crowds[4];
    for (uint32_t i = 0; i < 4; i++) {
        crowds[i] = (struct crowd){&m, corpus, 1 + i % 2};
        assert_int_equal(pthread_create(&threads[i], NULL, search_beside, &crowds[i]), 0);
    }
    for (uint32_t first = 0; first < 6000; first += 500) {
        upload(corpus, &m, first, 500);
        assert_int_equal(module->tombstone(corpus, &first, 1, &why), FRT_GPU_OK);
        m.scales[first] = NAN;
    }
    for (int i = 0; i < 4; i++) {
        void *bad = NULL;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    check_search(&m, corpus, (struct asked){2, 1, 10, m.n, -2});
    module->corpus_free(corpus);
    model_free(&m);
}

/* ------------------------------------------------- only with the stand-in */

static void little_block_memory_takes_smaller_groups(void **state)
{
    (void)state;
    if (inject == NULL)
        skip();
    struct frt_gpu_device *usual = device;
    static const long sizes[] = {101376, 60000, 40000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct frt_gpu_open options = {0, 40 << 20};
        struct frt_gpu_why why = {""};
        struct model m;
        inject(EMULATOR_SHARED, sizes[i]);
        assert_int_equal(module->open(&options, &device, &why), FRT_GPU_OK);
        model_make(&m, FRT_GPU_I8, 128, 6500);
        struct frt_gpu_corpus *corpus = corpus_of(&m, 1024);
        upload(corpus, &m, 0, m.n);
        check_search(&m, corpus, (struct asked){40, 1, 700, m.n, -2});
        module->corpus_free(corpus);
        model_free(&m);
        module->close(device);
    }
    inject(EMULATOR_SHARED, 0);
    device = usual;
}

static void failures_are_told(void **state)
{
    (void)state;
    if (inject == NULL)
        skip();
    struct frt_gpu_device *other = NULL;
    struct frt_gpu_corpus *corpus = NULL;
    struct frt_gpu_why why = {""};
    const struct frt_gpu_open options = {0, 64 << 20}, little = {0, 1 << 20}, far = {3, 64 << 20};
    const struct frt_gpu_layout layout = {FRT_GPU_I8, 64, 1024, 4};
    unsigned char rows[64 * 64] = {3};
    float scales[64], score, q_scale = 1, floor = -2;
    uint32_t position, count;
    const long used = reading(EMULATOR_USED_BYTES);
    for (int i = 0; i < 64; i++)
        scales[i] = 0.01f;
    assert_int_equal(module->open(&little, &other, &why), FRT_GPU_REFUSED);
    assert_int_equal(module->open(&far, &other, &why), FRT_GPU_NONE);
    inject(EMULATOR_NO_DEVICE, 1);
    assert_int_equal(module->open(&options, &other, &why), FRT_GPU_NONE);
    assert_non_null(strstr(why.text, "no CUDA-capable device"));
    inject(EMULATOR_NO_DEVICE, 0);
    inject(EMULATOR_FAIL_MALLOC, 1);
    assert_int_equal(module->open(&options, &other, &why), FRT_GPU_NO_MEMORY);
    inject(EMULATOR_FAIL_MALLOC, 0);
    assert_int_equal(reading(EMULATOR_USED_BYTES), used);

    assert_int_equal(module->open(&options, &other, &why), FRT_GPU_OK);
    for (long n = 1; n <= 2; n++) {
        inject(EMULATOR_FAIL_MALLOC, n);
        assert_int_equal(module->corpus_new(other, &layout, &corpus, &why), FRT_GPU_NO_MEMORY);
    }
    inject(EMULATOR_FAIL_MALLOC, 0);
    assert_int_equal(module->corpus_new(other, &layout, &corpus, &why), FRT_GPU_OK);
    inject(EMULATOR_FAIL_MALLOC, 2);
    assert_int_equal(module->reserve(corpus, 2048, &why), FRT_GPU_NO_MEMORY);
    inject(EMULATOR_FAIL_MALLOC, 0);
    /* full is not lost: it goes on */
    assert_int_equal(module->append(corpus, 0, 64, rows, scales, &why), FRT_GPU_OK);
    struct frt_gpu_search s = {rows, &q_scale, &floor, 1, 1, 1, 64, 200, &position, &score, &count};
    assert_int_equal(module->search(corpus, &s, &why), FRT_GPU_OK);
    /* late: that search is given up, and the lane comes back when the device does */
    inject(EMULATOR_DELAY_MS, 300);
    s.timeout_ms = 20;
    assert_int_equal(module->search(corpus, &s, &why), FRT_GPU_TIMEOUT);
    inject(EMULATOR_DELAY_MS, 0);
    s.timeout_ms = 20000;
    assert_int_equal(module->search(corpus, &s, &why), FRT_GPU_OK);
    /* lost: and from then on */
    inject(EMULATOR_FAIL_LAUNCH, 2);
    assert_int_equal(module->search(corpus, &s, &why), FRT_GPU_LOST);
    inject(EMULATOR_FAIL_LAUNCH, 0);
    assert_int_equal(module->search(corpus, &s, &why), FRT_GPU_LOST);
    assert_int_equal(module->append(corpus, 0, 64, rows, scales, &why), FRT_GPU_LOST);
    module->corpus_free(corpus);
    module->close(other);
    assert_int_equal(reading(EMULATOR_USED_BYTES), used);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(one_query_finds_the_best),
    cmocka_unit_test(many_queries_find_the_best),
    cmocka_unit_test(k_and_floors_are_kept_to),
    cmocka_unit_test(what_is_buried_is_not_found),
    cmocka_unit_test(an_awkward_order_is_no_matter),
    cmocka_unit_test(equal_scores_come_by_position),
    cmocka_unit_test(wrong_arguments_are_refused),
    cmocka_unit_test(made_up_rows_are_unit_and_alike),
    cmocka_unit_test(searches_run_beside_an_append),
    cmocka_unit_test(little_block_memory_takes_smaller_groups),
    cmocka_unit_test(failures_are_told),
};

int main(int argc, char **argv)
{
    const struct frt_gpu_open options = {0, 300u << 20};
    struct frt_gpu_why why = {""};
    if (argc < 2)
        return 2;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        printf("SKIP: %s\n", dlerror());
        return 77;
    }
    module = dlsym(library, FRT_GPU_SYMBOL);
    void *symbol = dlsym(library, "frt_emulator_set");
    memcpy(&inject, &symbol, sizeof inject);
    symbol = dlsym(library, "frt_emulator_get");
    memcpy(&reading, &symbol, sizeof reading);
    if (module == NULL || module->abi != FRT_GPU_ABI || module->bytes != sizeof *module)
        return 1;
    if (module->open(&options, &device, &why) != FRT_GPU_OK) {
        printf("SKIP: %s\n", why.text);
        return inject != NULL ? 1 : 77;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    module->close(device);
    return failed != 0;
}

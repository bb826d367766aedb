/*
 * Contract: what index.h promises, for every engine. The reference is a list of vectors and exact arithmetic in
 * double. An engine that this build does not have is named and left out.
 */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "index/gpu_search.h"
#include "index/index.h"

enum { DIM = 48, MAX = 6000 };

static enum frt_index_engine engine; /* under test */
static char folder[] = "/tmp/frt-index-XXXXXX";

static uint64_t seed = 88172645463325252u;

static uint64_t random_bits(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void unit(float *v)
{
    double sum = 0;
    for (int d = 0; d < DIM; d++)
        sum += (double)v[d] * (double)v[d];
    for (int d = 0; d < DIM; d++)
        v[d] = (float)((double)v[d] / sqrt(sum));
}

/* Roughly normal, so that the directions are even. */
static void random_unit(float *v)
{
    for (int d = 0; d < DIM; d++) {
        double sum = 0;
        for (int i = 0; i < 4; i++)
            sum += (double)(int32_t)(random_bits() >> 32) / 2147483648.0;
        v[d] = (float)sum;
    }
    unit(v);
}

/* A unit vector near another one: cosine about `near`. */
static void mate(const float *of, float *v, double near)
{
    random_unit(v);
    for (int d = 0; d < DIM; d++)
        v[d] = (float)(near * (double)of[d] + sqrt(1 - near * near) * (double)v[d]);
    unit(v);
}

/* --------------------------------------------------------------- reference */

struct model {
    size_t n;
    uint64_t key[MAX];
    uint32_t group[MAX];
    bool there[MAX];
    float vectors[MAX][DIM];
};
static struct model model;

static double cosine(const float *a, const float *b)
{
    double sum = 0;
    for (int d = 0; d < DIM; d++)
        sum += (double)a[d] * (double)b[d];
    return sum;
}

static struct frt_index *open_index(uint64_t ivf_from)
{
    struct frt_index *index = NULL;
    struct frt_error err = {0};
    const struct frt_index_options options = {.engine = engine, .dim = DIM, .threads = 2, .ivf_from = ivf_from};
    if (frt_index_new(&options, &index, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return index;
}

static void add(struct frt_index *index, size_t first, size_t n)
{
    struct frt_error err = {0};
    if (frt_index_add(index, n, model.key + first, model.group + first, model.vectors[first], &err) != FRT_OK)
        fail_msg("%s", err.text);
    for (size_t i = first; i < first + n; i++)
        model.there[i] = true;
}

static void take_away(struct frt_index *index, size_t i)
{
    size_t removed = 99;
    assert_int_equal(frt_index_remove(index, 1, &model.key[i], &removed, NULL), FRT_OK);
    assert_int_equal(removed, model.there[i] ? 1 : 0);
    model.there[i] = false;
}

/* A model of n vectors: people with three faces each. Keys grow by steps. */
static void make_model(size_t n)
{
    memset(&model, 0, sizeof model);
    model.n = n;
    for (size_t i = 0; i < n; i++) {
        model.key[i] = 10 + i * 3;
        model.group[i] = (uint32_t)(i / 3) + 7;
        if (i % 3 == 0)
            random_unit(model.vectors[i]);
        else
            mate(model.vectors[i - i % 3], model.vectors[i], 0.8);
    }
}

static size_t live(void)
{
    size_t n = 0;
    for (size_t i = 0; i < model.n; i++)
        n += model.there[i];
    return n;
}

static size_t place_of(uint64_t key)
{
    for (size_t i = 0; i < model.n; i++) {
        if (model.key[i] == key && model.there[i])
            return i;
    }
    fail_msg("key %llu was found and is not there", (unsigned long long)key);
    return 0;
}

static int descending(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x < y) - (x > y);
}

/* What may be between a score and the truth. */
static double tolerance(struct frt_index *index)
{
    return 5 * (double)frt_index_stats_get(index).score_error + 1e-5;
}

struct tally {
    size_t wanted, found;
};

/*
 * Hold the hits of one query against the reference: order, groups, scores, and nothing that is not there.
 * Counts how many of those that must be among the hits (better than the k-th by more than the tolerance) are.
 */
static void check_hits(struct frt_index *index, const float *query, uint32_t k, float min_score,
                       const struct frt_index_hit *hits, size_t n, struct tally *tally)
{
    static double truth[MAX];
    const double slack = tolerance(index);
    size_t n_truth = 0;
    for (size_t i = 0; i < model.n; i++) {
        if (model.there[i])
            truth[n_truth++] = cosine(query, model.vectors[i]);
    }
    qsort(truth, n_truth, sizeof *truth, descending);
    assert_true(n <= k);
    for (size_t i = 0; i < n; i++) {
        const size_t at = place_of(hits[i].key);
        assert_int_equal(hits[i].group, model.group[at]);
        assert_true(fabs((double)hits[i].score - cosine(query, model.vectors[at])) <= slack);
        assert_true(hits[i].score >= min_score || min_score <= -1);
        for (size_t j = 0; j < i; j++)
            assert_true(hits[j].key != hits[i].key);
        assert_true(i == 0 || hits[i - 1].score > hits[i].score ||
                    (hits[i - 1].score == hits[i].score && hits[i - 1].key < hits[i].key));
    }
    const double last = n_truth > k ? truth[k] : -2;
    for (size_t i = 0; i < model.n; i++) {
        const double score = cosine(query, model.vectors[i]);
        if (!model.there[i] || score <= last + 2 * slack || score < (double)min_score + slack)
            continue;
        bool there = false;
        for (size_t j = 0; j < n; j++)
            there = there || hits[j].key == model.key[i];
        tally->wanted++;
        tally->found += there;
    }
}

static struct tally check_searches(struct frt_index *index, size_t n_queries, uint32_t k, float min_score,
                                   bool exhaustive)
{
    static float queries[64][DIM];
    struct frt_index_hit *hits = calloc(64 * (size_t)k, sizeof *hits);
    size_t n_hits[64];
    struct tally tally = {0, 0};
    struct frt_error err = {0};
    assert_true(n_queries <= 64 && hits != NULL);
    for (size_t i = 0; i < n_queries; i++) {
        if (i % 2 == 0 && model.n > 0)
            mate(model.vectors[random_bits() % model.n], queries[i], 0.7);
        else
            random_unit(queries[i]);
    }
    const struct frt_index_query query = {.vectors = queries[0],
                                          .n = n_queries,
                                          .k = k,
                                          .min_score = min_score,
                                          .exhaustive = exhaustive,
                                          .one_thread = random_bits() % 2 == 0};
    if (frt_index_search(index, &query, hits, n_hits, &err) != FRT_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n_queries; i++) {
        if (min_score <= -1 && (exhaustive || strcmp(frt_index_stats_get(index).kind, "exact") == 0))
            assert_int_equal(n_hits[i], live() < k ? live() : k);
        check_hits(index, queries[i], k, min_score, hits + i * k, n_hits[i], &tally);
    }
    free(hits);
    return tally;
}

/* Exhaustive searches lose (nearly) nobody. */
static void check_exact(struct frt_index *index)
{
    static const uint32_t ks[] = {1, 5, 40};
    struct tally sum = {0, 0};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        for (int some = 0; some < 2; some++) {
            const struct tally t = check_searches(index, some ? 21 : 1, ks[i], some ? -1 : 0.3f, true);
            sum.wanted += t.wanted;
            sum.found += t.found;
        }
    }
    assert_true(live() == 0 || sum.wanted > 0);
    assert_true((double)sum.found >= 0.995 * (double)sum.wanted);
    assert_int_equal(frt_index_stats_get(index).vectors, live());
}

static void maintain(struct frt_index *index)
{
    struct frt_error err = {0};
    for (int i = 0; i < 8 && frt_index_wants_maintenance(index); i++) {
        if (frt_index_maintain(index, NULL, NULL, &err) != FRT_OK)
            fail_msg("%s", err.text);
    }
    assert_false(frt_index_wants_maintenance(index));
}

/* ------------------------------------------------------------------- tests */

static void an_empty_index_finds_nothing(void **state)
{
    (void)state;
    struct frt_index *index = open_index(0);
    make_model(0);
    check_exact(index);
    uint64_t key = 5;
    size_t removed = 99;
    assert_int_equal(frt_index_remove(index, 1, &key, &removed, NULL), FRT_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(frt_index_add(index, 0, NULL, NULL, NULL, NULL), FRT_OK);
    maintain(index);
    check_exact(index);
    frt_index_free(index);
    frt_index_free(NULL);
}

static void what_is_added_is_found_and_what_is_removed_is_not(void **state)
{
    (void)state;
    make_model(1500);
    struct frt_index *index = open_index(UINT64_MAX);
    for (size_t first = 0; first < 1500;) { /* one by one, and in larger and larger batches */
        size_t n = first < 40 ? 1 : first / 4;
        n = n > 1500 - first ? 1500 - first : n;
        add(index, first, n);
        first += n;
        if (first < 60)
            check_exact(index);
    }
    check_exact(index);
    assert_string_equal(frt_index_stats_get(index).kind, "exact");
    for (size_t i = 0; i < 1500; i += 7)
        take_away(index, i);
    take_away(index, 7); /* again */
    check_exact(index);
    for (size_t i = 0; i < 1500; i += 14) /* the same keys again, with other vectors */
        random_unit(model.vectors[i]);
    for (size_t i = 0; i < 1500; i += 14)
        add(index, i, 1);
    check_exact(index);
    maintain(index);
    check_exact(index);
    for (size_t i = 0; i < 1500; i++)
        take_away(index, i);
    check_exact(index);
    maintain(index);
    check_exact(index);
    add(index, 0, 10);
    check_exact(index);
    frt_index_free(index);
}

static void keys_in_any_order_and_of_any_size(void **state)
{
    (void)state;
    make_model(900);
    struct frt_index *index = open_index(0);
    for (size_t i = 0; i < 900; i++)
        model.key[i] = i % 2 == 0 ? UINT64_MAX - i * 5 : 1 + i;
    add(index, 0, 300);
    add(index, 600, 300);
    add(index, 300, 300);
    check_exact(index);
    for (size_t i = 0; i < 900; i += 2)
        take_away(index, i);
    check_exact(index);
    for (size_t i = 0; i < 900; i += 4)
        add(index, i, 1);
    check_exact(index);
    frt_index_free(index);
}

static void wrong_arguments_change_nothing(void **state)
{
    (void)state;
    make_model(64);
    struct frt_index *index = open_index(0);
    struct frt_error err = {0};
    add(index, 0, 32);
    uint64_t keys[4] = {1001, 1002, 1003, 1004};
    uint32_t groups[4] = {0};
    float vectors[4][DIM];
    memcpy(vectors, model.vectors[32], sizeof vectors);
    keys[3] = 0;
    assert_int_equal(frt_index_add(index, 4, keys, groups, vectors[0], &err), FRT_EINVAL);
    keys[3] = 1001; /* twice in one call */
    assert_int_equal(frt_index_add(index, 4, keys, groups, vectors[0], &err), FRT_EINVAL);
    keys[3] = model.key[5]; /* stands already */
    assert_int_equal(frt_index_add(index, 4, keys, groups, vectors[0], &err), FRT_EINVAL);
    keys[3] = 1004;
    static const float wrong[] = {NAN, INFINITY, -INFINITY, 3, 1e30f};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        vectors[2][1] = wrong[i];
        assert_int_equal(frt_index_add(index, 4, keys, groups, vectors[0], &err), FRT_EINVAL);
    }
    memset(vectors[2], 0, sizeof vectors[2]);
    assert_int_equal(frt_index_add(index, 4, keys, groups, vectors[0], &err), FRT_EINVAL);
    check_exact(index);
    assert_int_equal(frt_index_stats_get(index).vectors, 32);

    struct frt_index_hit hits[8] = {{.key = 77}};
    size_t n_hits[2] = {55, 66};
    struct frt_index_query query = {.vectors = model.vectors[0], .n = 1, .k = 4, .min_score = -1};
    struct frt_index_query bad = query;
    bad.k = 0;
    assert_int_equal(frt_index_search(index, &bad, hits, n_hits, &err), FRT_EINVAL);
    bad.k = FRT_INDEX_MAX_K + 1;
    assert_int_equal(frt_index_search(index, &bad, hits, n_hits, &err), FRT_EINVAL);
    bad = query;
    bad.n = 0;
    assert_int_equal(frt_index_search(index, &bad, hits, n_hits, &err), FRT_EINVAL);
    bad.n = FRT_INDEX_MAX_QUERIES + 1;
    assert_int_equal(frt_index_search(index, &bad, hits, n_hits, &err), FRT_EINVAL);
    bad = query;
    bad.min_score = NAN;
    assert_int_equal(frt_index_search(index, &bad, hits, n_hits, &err), FRT_EINVAL);
    bad = query;
    memset(vectors[2], 0, sizeof vectors[2]);
    bad.vectors = vectors[2];
    assert_int_equal(frt_index_search(index, &bad, hits, n_hits, &err), FRT_EINVAL);
    vectors[2][0] = NAN;
    assert_int_equal(frt_index_search(index, &bad, hits, n_hits, &err), FRT_EINVAL);
    assert_int_equal(hits[0].key, 77);
    assert_int_equal(n_hits[0], 55);
    frt_index_free(index);

    struct frt_index *none = NULL;
    const uint32_t dims[] = {0, 7, FRT_MAX_DIM + 1};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            frt_index_new(&(struct frt_index_options){.engine = engine, .dim = dims[i]}, &none, &err),
            FRT_EINVAL);
    assert_null(none);
}

/* Every fourth vector is the same one; keys mixed up. */
static void add_equal_ones(struct frt_index *index)
{
    for (size_t i = 0; i < 1200; i++) {
        model.key[i] = 1 + (i * 7919) % 1200;
        if (i % 4 == 0)
            memcpy(model.vectors[i], model.vectors[0], sizeof model.vectors[0]);
    }
    for (size_t i = 0; i < 1200; i += 100)
        add(index, i, 100);
}

static void check_ties(struct frt_index *index)
{
    uint64_t same[300];
    size_t n_same = 0;
    for (uint64_t key = 1; key <= 1200; key++) {
        const size_t at = place_of(key);
        if (at % 4 == 0)
            same[n_same++] = key;
    }
    assert_int_equal(n_same, 300);
    static const uint32_t ks[] = {1, 3, 17, 299, 300, 301, FRT_INDEX_MAX_K};
    struct frt_index_hit *hits = calloc(FRT_INDEX_MAX_K * 30, sizeof *hits);
    size_t n_hits[30];
    float queries[30][DIM];
    for (size_t q = 0; q < 30; q++)
        memcpy(queries[q], model.vectors[0], sizeof queries[q]);
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        for (size_t n = 1; n <= 30; n += 29) { /* many queries may take another way than one */
            const struct frt_index_query query = {
                .vectors = queries[0], .n = n, .k = ks[i], .min_score = -1, .exhaustive = true};
            assert_int_equal(frt_index_search(index, &query, hits, n_hits, NULL), FRT_OK);
            for (size_t q = 0; q < n; q++) {
                assert_int_equal(n_hits[q], ks[i] < 1200 ? ks[i] : 1200);
                for (size_t j = 0; j < n_hits[q] && j < 300; j++) {
                    assert_int_equal(hits[q * ks[i] + j].key, same[j]);
                    assert_true(hits[q * ks[i] + j].score == hits[0].score);
                }
            }
        }
    }
    free(hits);
}

/* Equal vectors score equally, however many queries there are, wherever in memory the vectors lie. */
static void ties_come_in_order_of_key(void **state)
{
    (void)state;
    make_model(1200);
    struct frt_index *index = open_index(UINT64_MAX);
    add_equal_ones(index);
    check_ties(index);
    frt_index_free(index);
}

static void ties_in_lists_come_in_order_of_key(void **state)
{
    (void)state;
    make_model(1200);
    struct frt_index *index = open_index(400);
    add_equal_ones(index);
    maintain(index);
    check_ties(index);
    frt_index_free(index);
}

static void lists_keep_answers_right(void **state)
{
    (void)state;
    make_model(4800);
    struct frt_index *index = open_index(1000);
    add(index, 0, 2400);
    check_exact(index);
    maintain(index);
    check_exact(index);
    const struct frt_index_stats first = frt_index_stats_get(index);
    if (engine == FRT_INDEX_FAISS) {
        assert_string_equal(first.kind, "ivf");
        assert_int_equal(first.lists, 240);
        assert_int_equal(first.probes, 24);
    }
    assert_true(first.built_loss >= 0 && first.built_loss <= 1);
    /* what comes later, and what goes, with lists in place */
    add(index, 2400, 1100);
    for (size_t i = 0; i < 3500; i += 5)
        take_away(index, i);
    check_exact(index);
    maintain(index);
    check_exact(index);
    add(index, 3500, 1300);
    for (size_t i = 0; i < 3500; i += 10)
        add(index, i, 1);
    check_exact(index);
    maintain(index);
    check_exact(index);
    /* searches through lists find what is clearly near: faces of the same person */
    struct tally sum = {0, 0};
    for (int i = 0; i < 6; i++) {
        const struct tally t = check_searches(index, 64, 10, 0.6f, false);
        sum.wanted += t.wanted;
        sum.found += t.found;
    }
    assert_true(sum.wanted > 100);
    assert_true((double)sum.found >= 0.75 * (double)sum.wanted);
    for (size_t i = 100; i < 4800; i++) /* nearly all go: back to few */
        take_away(index, i);
    check_exact(index);
    maintain(index);
    check_exact(index);
    assert_string_equal(frt_index_stats_get(index).kind, "exact");
    frt_index_free(index);
}

static bool stop_now(void *arg)
{
    int *left = arg;
    return (*left)-- <= 0;
}

static void maintenance_can_be_stopped_anywhere(void **state)
{
    (void)state;
    make_model(1300);
    struct frt_index *index = open_index(400);
    add(index, 0, 1300);
    for (int after = 0; after < 12; after++) {
        int left = after;
        assert_int_equal(frt_index_maintain(index, stop_now, &left, NULL), FRT_OK);
        (void)check_searches(index, 4, 5, -1, true);
    }
    maintain(index);
    check_exact(index);
    frt_index_free(index);
}

struct meanwhile {
    struct frt_index *index;
    size_t n_first, next, calls;
};

/* Asked whether to stop, somebody removes and adds. */
static bool write_meanwhile(void *arg)
{
    struct meanwhile *m = arg;
    if (m->calls++ < 60) {
        take_away(m->index, m->next);
        add(m->index, m->n_first + m->next, 1);
        m->next++;
    }
    return false;
}

static void writers_go_on_during_maintenance(void **state)
{
    (void)state;
    size_t calls = 0;
    for (int with_lists = 0; with_lists < 2; with_lists++) {
        make_model(2400);
        struct frt_index *index = open_index(with_lists ? 500 : UINT64_MAX);
        struct meanwhile m = {.index = index, .n_first = 2000};
        add(index, 0, 2000);
        for (size_t i = 1000; i < 1600; i++) /* so that there is something to do without lists, too */
            take_away(index, i);
        struct frt_error err = {0};
        if (frt_index_maintain(index, write_meanwhile, &m, &err) != FRT_OK)
            fail_msg("%s", err.text);
        calls += m.calls;
        check_exact(index);
        maintain(index);
        check_exact(index);
        frt_index_free(index);
    }
    assert_true(calls > 0); /* short work may not ask at all */
}

/* --------------------------------------------------------------- snapshots */

static struct frt_index_tag tag_of(uint64_t seq)
{
    return (struct frt_index_tag){.store_id = "0123456789abcde", .collection_key = 42, .seq = seq};
}

static enum frt_status load(const char *path, uint32_t dim, struct frt_index_tag *tag, struct frt_index **out,
                            struct frt_error *err)
{
    const struct frt_index_options options = {.engine = engine, .dim = dim, .threads = 1, .ivf_from = 1000};
    return frt_index_load(&options, path, tag, out, err);
}

static void snapshots_hold_everything(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 17, 700, 2500};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/whole", folder);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int with_lists = 0; with_lists < 2; with_lists++) {
            make_model(sizes[s]);
            struct frt_index *index = open_index(with_lists ? 500 : UINT64_MAX), *again = NULL;
            struct frt_error err = {0};
            struct frt_index_tag tag = tag_of(900 + s), asked = tag_of(0);
            if (sizes[s] > 0)
                add(index, 0, sizes[s] * 3 / 4 + 1);
            maintain(index);
            if (sizes[s] > 1)
                add(index, sizes[s] * 3 / 4 + 1, sizes[s] - sizes[s] * 3 / 4 - 1);
            for (size_t i = 0; i < sizes[s]; i += 11)
                take_away(index, i);
            if (frt_index_save(index, path, &tag, &err) != FRT_OK)
                fail_msg("%s", err.text);
            struct stat st;
            assert_int_equal(stat(path, &st), 0);
            assert_int_equal(st.st_mode & 077, 0); /* nobody else's business */
            if (load(path, DIM, &asked, &again, &err) != FRT_OK)
                fail_msg("%s", err.text);
            assert_int_equal(asked.seq, tag.seq);
            check_exact(again);
            for (size_t i = 0; i < sizes[s]; i += 11) /* and life goes on */
                add(again, i, 1);
            check_exact(again);
            if (sizes[s] > 0)
                assert_int_equal(frt_index_add(again, 1, model.key, model.group, model.vectors[0], &err),
                                 FRT_EINVAL);
            maintain(again);
            check_exact(again);
            frt_index_free(index);
            frt_index_free(again);
        }
    }
}

static void snapshots_of_others_are_refused(void **state)
{
    (void)state;
    char path[128], missing[128];
    struct frt_index *index = open_index(0), *again = NULL;
    struct frt_error err = {0};
    struct frt_index_tag tag = tag_of(3);
    (void)snprintf(path, sizeof path, "%s/other", folder);
    (void)snprintf(missing, sizeof missing, "%s/no/such/file", folder);
    make_model(40);
    add(index, 0, 40);
    assert_int_equal(frt_index_save(index, path, &tag, &err), FRT_OK);
    assert_int_equal(frt_index_save(index, missing, &tag, &err), FRT_EIO);
    tag.collection_key++;
    assert_int_equal(load(path, DIM, &tag, &again, &err), FRT_ESTORE_DAMAGED);
    tag = tag_of(3);
    tag.store_id[15] ^= 1;
    assert_int_equal(load(path, DIM, &tag, &again, &err), FRT_ESTORE_DAMAGED);
    tag = tag_of(77);
    assert_int_equal(load(path, DIM + 8, &tag, &again, &err), FRT_ESTORE_DAMAGED);
    assert_int_equal(load(missing, DIM, &tag, &again, &err), FRT_ENOTFOUND);
    assert_int_equal(tag.seq, 77); /* untouched */
    assert_null(again);
    frt_index_free(index);
}

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, size), size);
    assert_int_equal(close(file), 0);
}

static void damaged_snapshots_are_refused(void **state)
{
    (void)state;
    char path[128], broken[128];
    struct frt_error err = {0};
    struct frt_index_tag tag = tag_of(3);
    (void)snprintf(path, sizeof path, "%s/good", folder);
    (void)snprintf(broken, sizeof broken, "%s/broken", folder);
    make_model(700);
    struct frt_index *index = open_index(500), *again = NULL;
    add(index, 0, 600);
    maintain(index);
    add(index, 600, 100);
    assert_int_equal(frt_index_save(index, path, &tag, &err), FRT_OK);
    frt_index_free(index);
    const int file = open(path, O_RDONLY);
    struct stat st = {0};
    assert_true(file >= 0 && fstat(file, &st) == 0);
    const size_t size = (size_t)st.st_size;
    unsigned char *bytes = malloc(size + 64);
    assert_int_equal(read(file, bytes, size), size);
    (void)close(file);

    const size_t step = size / 300 | 1;
    size_t refused = 0, tried = 0;
    for (size_t at = 0; at < size; at += at < 256 ? 1 : step) {
        bytes[at] ^= (unsigned char)(1u << (at % 8));
        write_bytes(broken, bytes, size);
        bytes[at] ^= (unsigned char)(1u << (at % 8));
        tag = tag_of(0);
        const enum frt_status status = load(broken, DIM, &tag, &again, &err);
        tried++;
        if (status == FRT_OK) { /* a byte that says nothing: then everything must be as it was */
            assert_int_equal(tag.seq, 3);
            check_exact(again);
            frt_index_free(again);
            again = NULL;
        } else {
            assert_int_equal(status, FRT_ESTORE_DAMAGED);
            assert_non_null(strstr(err.text, "broken"));
            refused++;
        }
    }
    assert_true(tried > 300 && refused >= tried * 9 / 10);
    for (size_t cut = 0; cut < size; cut += cut < 128 ? 1 : step) { /* cut short */
        write_bytes(broken, bytes, cut);
        assert_int_equal(load(broken, DIM, &tag, &again, &err), FRT_ESTORE_DAMAGED);
    }
    memset(bytes + size, 0, 64); /* and too long */
    write_bytes(broken, bytes, size + 64);
    assert_int_equal(load(broken, DIM, &tag, &again, &err), FRT_ESTORE_DAMAGED);
    free(bytes);
    assert_null(again);
}

/* ------------------------------------------------------------- concurrency */

struct crowd {
    struct frt_index *index;
    atomic_bool done;
    atomic_size_t added;                         /* of the model's vectors, whose add has returned */
    atomic_size_t removing_below, removed_below; /* before and after remove is called */
    atomic_size_t searches, wrong;
};

/* Whoever was there before the search and after it must be found; whoever was gone before, must not. */
static void *searcher(void *arg)
{
    struct crowd *crowd = arg;
    struct frt_index_hit hits[8];
    size_t n, i = 0;
    while (!atomic_load(&crowd->done)) {
        const size_t added = atomic_load(&crowd->added), gone = atomic_load(&crowd->removed_below);
        i = (i + 37) % (added > 0 ? added : 1);
        const struct frt_index_query query = {.vectors = model.vectors[i],
                                              .n = 1,
                                              .k = 8,
                                              .min_score = 0.5f,
                                              .exhaustive = true,
                                              .one_thread = true};
        if (frt_index_search(crowd->index, &query, hits, &n, NULL) != FRT_OK) {
            atomic_fetch_add(&crowd->wrong, 1);
            continue;
        }
        bool self = false;
        for (size_t h = 0; h < n; h++) {
            self = self || hits[h].key == model.key[i];
            if (hits[h].key < 10 + gone * 3)
                atomic_fetch_add(&crowd->wrong, 1);
        }
        if (i < added && !self && i >= atomic_load(&crowd->removing_below))
            atomic_fetch_add(&crowd->wrong, 1);
        if (i < gone && self)
            atomic_fetch_add(&crowd->wrong, 1);
        atomic_fetch_add(&crowd->searches, 1);
    }
    return NULL;
}

static void *keeper(void *arg)
{
    struct crowd *crowd = arg;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/crowd", folder);
    struct frt_index_tag tag = tag_of(1);
    while (!atomic_load(&crowd->done)) {
        if (frt_index_maintain(crowd->index, NULL, NULL, NULL) != FRT_OK ||
            frt_index_save(crowd->index, path, &tag, NULL) != FRT_OK)
            atomic_fetch_add(&crowd->wrong, 1);
        (void)usleep(2000);
    }
    return NULL;
}

static void searches_run_beside_writers(void **state)
{
    (void)state;
    enum { N = 3000, SEARCHERS = 3 };
    static struct crowd crowd;
    pthread_t threads[SEARCHERS + 1];
    make_model(N);
    memset(&crowd, 0, sizeof crowd);
    crowd.index = open_index(600);
    for (int i = 0; i < SEARCHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, searcher, &crowd), 0);
    assert_int_equal(pthread_create(&threads[SEARCHERS], NULL, keeper, &crowd), 0);
    struct frt_error err = {0};
    for (size_t i = 0; i < N; i += 20) {
        if (frt_index_add(crowd.index, 20, model.key + i, model.group + i, model.vectors[i], &err) != FRT_OK)
            fail_msg("%s", err.text);
        atomic_store(&crowd.added, i + 20);
        if (i >= 400 && i % 40 == 0) { /* and the oldest goes */
            const size_t low = atomic_load(&crowd.removed_below);
            size_t removed = 0;
            atomic_store(&crowd.removing_below, low + 1);
            assert_int_equal(frt_index_remove(crowd.index, 1, &model.key[low], &removed, NULL), FRT_OK);
            assert_int_equal(removed, 1);
            atomic_store(&crowd.removed_below, low + 1);
        }
    }
    for (int i = 0; i < 500 && atomic_load(&crowd.searches) < 200; i++)
        (void)usleep(10000);
    atomic_store(&crowd.done, true);
    for (int i = 0; i <= SEARCHERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(atomic_load(&crowd.searches) > 0);
    assert_int_equal(atomic_load(&crowd.wrong), 0);
    for (size_t i = 0; i < N; i++)
        model.there[i] = i >= atomic_load(&crowd.removed_below);
    check_exact(crowd.index);
    maintain(crowd.index);
    check_exact(crowd.index);
    frt_index_free(crowd.index);
}

/* ----------------------------------------------------------------- torture */

/* Everything once; each allocation fails in turn: an error or success, never a crash or half a change. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/torture", folder);
    struct frt_index_tag tag = tag_of(1);
    size_t failures = 0;
    make_model(1250);
    for (int64_t fail = 0; fail < 4000; fail++) {
        struct frt_index *index = NULL, *again = NULL;
        struct frt_index_hit hits[5];
        size_t n_hits, before;
        bool bad = false;
        enum frt_status status;
        const struct frt_index_options options = {.engine = engine, .dim = DIM, .threads = 1, .ivf_from = 1000};
        frt_mem_fail_after(fail);
        status = frt_index_new(&options, &index, NULL);
        assert_true(status == FRT_OK || status == FRT_ENOMEM);
        bad = status != FRT_OK;
        for (size_t i = 0; index != NULL && i < 1250; i += 625) {
            before = (size_t)frt_index_stats_get(index).vectors;
            status = frt_index_add(index, 625, model.key + i, model.group + i, model.vectors[i], NULL);
            assert_true(status == FRT_OK || status == FRT_ENOMEM);
            assert_int_equal(frt_index_stats_get(index).vectors, before + (status == FRT_OK ? 625 : 0));
            bad = bad || status != FRT_OK;
        }
        if (index != NULL) {
            const struct frt_index_query query = {
                .vectors = model.vectors[3], .n = 1, .k = 5, .min_score = -1, .exhaustive = true};
            before = (size_t)frt_index_stats_get(index).vectors;
            status = frt_index_maintain(index, NULL, NULL, NULL);
            assert_true(status == FRT_OK || status == FRT_ENOMEM);
            bad = bad || status != FRT_OK;
            status = frt_index_search(index, &query, hits, &n_hits, NULL);
            assert_true(status == FRT_ENOMEM || (status == FRT_OK && (before == 0 || n_hits == 5)));
            bad = bad || status != FRT_OK;
            status = frt_index_remove(index, 1, model.key, NULL, NULL);
            assert_true(status == FRT_OK || status == FRT_ENOMEM);
            bad = bad || status != FRT_OK;
            status = frt_index_save(index, path, &tag, NULL);
            assert_true(status == FRT_OK || status == FRT_ENOMEM);
            bad = bad || status != FRT_OK;
            if (status == FRT_OK) {
                status = frt_index_load(&options, path, &tag, &again, NULL);
                assert_true(status == FRT_OK || status == FRT_ENOMEM);
                bad = bad || status != FRT_OK;
            }
        }
        const bool over = frt_mem_asked() <= fail;
        frt_mem_fail_after(-1);
        if (index != NULL && again != NULL)
            assert_int_equal(frt_index_stats_get(again).vectors, frt_index_stats_get(index).vectors);
        frt_index_free(index);
        frt_index_free(again);
        (void)unlink(path);
        failures += bad;
        if (over)
            break;
        if (fail > 60) /* thousands of alike ones: a sample */
            fail += 7;
    }
    assert_true(failures > 5);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_empty_index_finds_nothing),
    cmocka_unit_test(what_is_added_is_found_and_what_is_removed_is_not),
    cmocka_unit_test(keys_in_any_order_and_of_any_size),
    cmocka_unit_test(wrong_arguments_change_nothing),
    cmocka_unit_test(ties_come_in_order_of_key),
    cmocka_unit_test(ties_in_lists_come_in_order_of_key),
    cmocka_unit_test(lists_keep_answers_right),
    cmocka_unit_test(maintenance_can_be_stopped_anywhere),
    cmocka_unit_test(writers_go_on_during_maintenance),
    cmocka_unit_test(snapshots_hold_everything),
    cmocka_unit_test(snapshots_of_others_are_refused),
    cmocka_unit_test(damaged_snapshots_are_refused),
    cmocka_unit_test(searches_run_beside_writers),
    cmocka_unit_test(every_allocation_may_fail),
};

/* A stand-in for the device (argv[2]), so that nearly every search goes there. */
static void configure_gpu(const char *plugin)
{
    struct frt_gpu_search_settings settings = {.scratch_bytes = 80 << 20,
                                               .from = 1,
                                               .slab_rows = 1024,
                                               .interval_ms = 1,
                                               .retry_ms = 5,
                                               .timeout_ms = 20000};
    (void)snprintf(settings.plugin, sizeof settings.plugin, "%s", plugin);
    frt_gpu_search_configure(&settings);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"native", "faiss", "cuda"};
    int failed = 0, ran = 0;
    if (mkdtemp(folder) == NULL)
        return 1;
    if (argc > 2)
        configure_gpu(argv[2]);
    for (engine = FRT_INDEX_NATIVE; engine <= FRT_INDEX_CUDA; engine++) {
        struct frt_index *index = NULL;
        struct frt_error err = {0};
        if (argc > 1 && strcmp(argv[1], names[engine]) != 0)
            continue;
        const enum frt_status status =
            frt_index_new(&(struct frt_index_options){.engine = engine, .dim = DIM}, &index, &err);
        if (status == FRT_EUNAVAILABLE) {
            printf("SKIP engine %s: %s\n", names[engine], err.text);
            continue;
        }
        printf("engine %s\n", names[engine]);
        frt_index_free(index);
        ran++;
        failed += _cmocka_run_group_tests(names[engine], tests, sizeof tests / sizeof *tests, NULL, NULL);
    }
    static const char *const files[] = {"whole", "other", "good", "broken", "crowd", "torture"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
    return failed != 0 ? 1 : ran == 0 ? 77 : 0;
}

/* Non-maximum suppression against a naive version, its bound on candidates, and values that are no boxes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "vision/nms.h"

static float next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 16777216.0f;
}

static void overlap_of_boxes(void **state)
{
    (void)state;
    const struct frt_box a = {0, 0, 10, 10}, half = {5, 0, 10, 10}, away = {10, 0, 5, 5}, flat = {0, 0, 10, 0};
    assert_float_equal(frt_box_iou(&a, &a), 1, 1e-6);
    assert_float_equal(frt_box_iou(&a, &half), 50.0f / 150.0f, 1e-6);
    assert_float_equal(frt_box_iou(&a, &away), 0, 0);
    assert_float_equal(frt_box_iou(&a, &flat), 0, 0);
}

/* The same rule, written the slow way: pick the best that is left, strike out what overlaps it. */
static size_t naive(const struct frt_detection *items, size_t n, float iou, struct frt_detection *out)
{
    bool gone[512] = {false};
    size_t kept = 0;
    assert_true(n <= 512);
    for (;;) {
        size_t best = n;
        for (size_t i = 0; i < n; i++) {
            if (!gone[i] && (best == n || items[i].score > items[best].score))
                best = i;
        }
        if (best == n)
            return kept;
        out[kept++] = items[best];
        for (size_t i = 0; i < n; i++) {
            const struct frt_box *a = &items[best].box;
            const struct frt_box *b = &items[i].box;
            double w = fmin(a->x + a->width, b->x + b->width) - fmax(a->x, b->x);
            double h = fmin(a->y + a->height, b->y + b->height) - fmax(a->y, b->y);
            double both = w > 0 && h > 0 ? w * h : 0;
            double all = (double)a->width * (double)a->height + (double)b->width * (double)b->height - both;
            if (i == best || both / all > (double)iou)
                gone[i] = true;
        }
    }
}

static void agrees_with_the_naive_version(void **state)
{
    (void)state;
    static struct frt_detection items[512], expected[512], out[512];
    uint32_t seed = 1;
    for (int round = 0; round < 20; round++) {
        struct frt_candidates list;
        size_t n = 0;
        frt_candidates_init(&list);
        for (size_t i = 0; i < 512; i++) {
            items[i] = (struct frt_detection){.box = {next_random(&seed) * 200, next_random(&seed) * 200,
                                                      5 + next_random(&seed) * 60, 5 + next_random(&seed) * 60},
                                              .score = next_random(&seed)};
            frt_candidates_add(&list, &items[i]);
        }
        assert_int_equal(frt_nms(&list, 0.4f, out, 512, &n, NULL), FRT_OK);
        assert_int_equal(n, naive(items, 512, 0.4f, expected));
        for (size_t i = 0; i < n; i++)
            assert_memory_equal(&out[i].box, &expected[i].box, sizeof out[i].box);
        frt_candidates_deinit(&list);
    }
}

static void what_is_no_box_is_dropped(void **state)
{
    (void)state;
    static const struct frt_detection bad[] = {
        {.box = {NAN, 0, 1, 1}, .score = 1},
        {.box = {0, INFINITY, 1, 1}, .score = 1},
        {.box = {0, 0, NAN, 1}, .score = 1},
        {.box = {0, 0, 1, -1}, .score = 1},
        {.box = {0, 0, 0, 1}, .score = 1},
        {.box = {0, 0, 1e30f, 1}, .score = 1},
        {.box = {0, 0, 1, 1}, .score = NAN},
        {.box = {-1e30f, 0, 1, 1}, .score = 1},
        {.box = {0, 0, 1, 1}, .score = 1, .has_landmarks = true, .landmarks = {{0, NAN}}},
    };
    struct frt_candidates list;
    struct frt_detection out[4];
    size_t n = 77;
    frt_candidates_init(&list);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        frt_candidates_add(&list, &bad[i]);
    assert_int_equal(list.n, 0);
    frt_candidates_add(&list, &(struct frt_detection){.box = {1, 2, 3, 4}, .score = 7});
    assert_int_equal(frt_nms(&list, 0.4f, out, 4, &n, NULL), FRT_OK);
    assert_int_equal(n, 1);
    assert_true(out[0].score == 1.0f); /* clamped */
    frt_candidates_deinit(&list);
}

static void a_flood_keeps_the_best_and_ends_soon(void **state)
{
    (void)state;
    enum { FLOOD = 200000 };
    struct frt_candidates list;
    struct frt_detection *out = frt_alloc_array(FRT_NMS_MAX, sizeof *out);
    uint32_t seed = 5;
    size_t n = 0;
    assert_non_null(out);
    frt_candidates_init(&list);
    int64_t start = frt_now_ns();
    for (size_t i = 0; i < FLOOD; i++) {
        /* tiny boxes far apart: nothing suppresses anything, the worst case */
        frt_candidates_add(&list,
                           &(struct frt_detection){.box = {(float)(i % 1000) * 3, (float)(i / 1000) * 3, 1, 1},
                                                   .score = next_random(&seed) * 0.9f});
    }
    for (size_t i = 0; i < 10; i++)
        frt_candidates_add(&list,
                           &(struct frt_detection){.box = {-100 * (float)(i + 1), 0, 1, 1}, .score = 0.95f});
    assert_int_equal(list.n, FRT_NMS_MAX);
    assert_int_equal(frt_nms(&list, 0.4f, out, FRT_NMS_MAX, &n, NULL), FRT_OK);
    assert_int_equal(n, FRT_NMS_MAX);
    for (size_t i = 0; i < 10; i++)
        assert_true(out[i].score == 0.95f);
    for (size_t i = 1; i < n; i++)
        assert_true(out[i - 1].score >= out[i].score);
    /* 8192 of 200000 uniform scores below 0.9 are kept: the worst of them is about 0.9 · (1 − 0.04) */
    assert_true(out[n - 1].score > 0.85f);
    assert_true(frt_elapsed_ms(start) < 5000); /* seen: 0.1 s; unbounded it would be minutes */
    frt_candidates_deinit(&list);
    frt_free(out);
}

static void equal_scores_have_one_order(void **state)
{
    (void)state;
    struct frt_detection out[2][3];
    for (int round = 0; round < 2; round++) {
        struct frt_candidates list;
        size_t n = 0;
        frt_candidates_init(&list);
        for (int i = 0; i < 3; i++) {
            int k = round == 0 ? i : 2 - i;
            frt_candidates_add(&list,
                               &(struct frt_detection){.box = {(float)k * 20, 0, 10, 10}, .score = 0.5f});
        }
        assert_int_equal(frt_nms(&list, 0.4f, out[round], 3, &n, NULL), FRT_OK);
        assert_int_equal(n, 3);
        frt_candidates_deinit(&list);
    }
    for (int i = 0; i < 3; i++)
        assert_true(out[0][i].box.x == out[1][i].box.x);
}

static void capacity_and_memory_are_respected(void **state)
{
    (void)state;
    struct frt_candidates list;
    struct frt_detection out[2];
    size_t n = 0;
    frt_candidates_init(&list);
    for (int i = 0; i < 10; i++)
        frt_candidates_add(
            &list, &(struct frt_detection){.box = {(float)i * 20, 0, 10, 10}, .score = 0.05f * (float)i});
    assert_int_equal(frt_nms(&list, 0.4f, out, 2, &n, NULL), FRT_OK);
    assert_int_equal(n, 2);
    assert_true(out[0].box.x == 180.0f);
    frt_candidates_deinit(&list);

    struct frt_error err = {0};
    n = 77;
    frt_mem_fail_after(0);
    frt_candidates_add(&list, &(struct frt_detection){.box = {0, 0, 1, 1}, .score = 1});
    frt_mem_fail_after(-1);
    assert_int_equal(frt_nms(&list, 0.4f, out, 2, &n, &err), FRT_ENOMEM);
    assert_int_equal(n, 77);
    frt_candidates_deinit(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlap_of_boxes),
        cmocka_unit_test(agrees_with_the_naive_version),
        cmocka_unit_test(what_is_no_box_is_dropped),
        cmocka_unit_test(a_flood_keeps_the_best_and_ends_soon),
        cmocka_unit_test(equal_scores_have_one_order),
        cmocka_unit_test(capacity_and_memory_are_respected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

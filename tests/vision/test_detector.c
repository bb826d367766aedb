/* Detector families over fake nets: hand-computed tensors, a naive decoder over random ones, placement of
 * the photo, refusals, hostile outputs, memory running out. */
#include "canned_net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "vision/detector.h"
#include "vision/nms.h"

#define SIDE 64
#define MAX_FOUND 256

struct fixture {
    struct canned_net net;
    struct frt_model_spec spec;
    struct frt_detector *detector;
    struct frt_detection found[MAX_FOUND];
    size_t n;
};

static uint8_t pixels[SIDE * SIDE * 3];

/* A black 64×64 frame that stands for the part (10, 20) to (138, 148) of the photo. */
static struct frt_frame small_frame(void)
{
    return (struct frt_frame){.pixels = pixels,
                              .width_px = SIDE,
                              .height_px = SIDE,
                              .stride_bytes = (size_t)SIDE * 3,
                              .origin_x = 10,
                              .origin_y = 20,
                              .scale_x = 2,
                              .scale_y = 2,
                              .borrowed = true};
}

static void make_detector(struct fixture *f, const char *family)
{
    struct frt_error err = {0};
    (void)snprintf(f->spec.name, sizeof f->spec.name, "canned");
    (void)snprintf(f->spec.family, sizeof f->spec.family, "%s", family);
    canned_open(&f->net);
    if (frt_detector_new(&f->spec, f->net.session, &f->detector, &err) != FRT_OK)
        fail_msg("%s", err.text);
}

static void run_on(struct fixture *f, const struct frt_frame *frame)
{
    struct frt_error err = {0};
    double ms = 0;
    if (frt_detector_run(f->detector, frame, NULL, f->found, MAX_FOUND, &f->n, &ms, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_true(ms > 0);
}

static void finish(struct fixture *f)
{
    frt_detector_free(f->detector);
    canned_close(&f->net);
}

static void assert_box(const struct frt_detection *d, float x, float y, float width, float height)
{
    assert_float_equal(d->box.x, x, 1e-3);
    assert_float_equal(d->box.y, y, 1e-3);
    assert_float_equal(d->box.width, width, 1e-3);
    assert_float_equal(d->box.height, height, 1e-3);
}

static void set(float *row, const float *values, size_t n)
{
    memcpy(row, values, n * sizeof *row);
}

/* Outputs of a 64×64 SCRFD in the order and shape asked for. values[stride][kind] */
static void scrfd_outputs(struct fixture *f, bool batch, bool backwards, bool points, float *values[3][3])
{
    static const int64_t rows[3] = {128, 32, 8};
    static const int64_t channels[3] = {1, 4, 10};
    canned_init(&f->net, SIDE, SIDE);
    for (int i = 0; i < 9; i++) {
        int kind = backwards ? 2 - i / 3 : i / 3, stride = backwards ? 2 - i % 3 : i % 3;
        if (kind == 2 && !points)
            continue;
        values[stride][kind] = canned_output(&f->net, batch, rows[stride], channels[kind]);
    }
}

/* Stride 16, cell (1, 2), anchor 1: the anchor lies at (32, 16). */
static void put_scrfd_face(float *values[3][3], float score)
{
    static const float box[4] = {0.5f, 1, 1.5f, 2};
    static const float points[10] = {0.25f, 0.5f, 1, 0.5f, 0.5f, 1, 0.25f, 1.5f, 1, 1.5f};
    size_t row = (1 * 4 + 2) * 2 + 1;
    values[1][0][row] = score;
    set(values[1][1] + row * 4, box, 4);
    if (values[1][2] != NULL)
        set(values[1][2] + row * 10, points, 10);
}

/* Canvas box (24, 0, 32, 48) → photo: × 2 + (10, 20). */
static void assert_scrfd_face(const struct fixture *f, float score)
{
    assert_int_equal(f->n, 1);
    assert_box(&f->found[0], 58, 20, 64, 96);
    assert_float_equal(f->found[0].score, score, 1e-5);
}

static void scrfd_by_hand(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        struct fixture f = {0};
        float *values[3][3] = {{NULL}};
        const struct frt_frame frame = small_frame();
        scrfd_outputs(&f, variant & 1, variant & 2, true, values);
        put_scrfd_face(values, 0.9f);
        make_detector(&f, "scrfd");
        assert_int_equal(frt_detector_want_side_px(f.detector), SIDE);
        run_on(&f, &frame);
        assert_scrfd_face(&f, 0.9f);
        assert_true(f.found[0].has_landmarks);
        /* (32 + 0.25·16) · 2 + 10, (16 + 0.5·16) · 2 + 20 */
        assert_float_equal(f.found[0].landmarks[FRT_LANDMARK_LEFT_EYE].x, 82, 1e-3);
        assert_float_equal(f.found[0].landmarks[FRT_LANDMARK_LEFT_EYE].y, 68, 1e-3);
        assert_float_equal(f.found[0].landmarks[FRT_LANDMARK_MOUTH_RIGHT].x, 106, 1e-3);
        assert_float_equal(f.found[0].landmarks[FRT_LANDMARK_MOUTH_RIGHT].y, 100, 1e-3);
        finish(&f);
    }
}

static void scrfd_without_points_and_with_logits(void **state)
{
    (void)state;
    struct fixture f = {0};
    float *values[3][3] = {{NULL}};
    const struct frt_frame frame = small_frame();
    scrfd_outputs(&f, true, false, false, values);
    for (int i = 0; i < 128; i++)
        values[0][0][i] = -8;
    for (int i = 0; i < 32; i++)
        values[1][0][i] = -8;
    for (int i = 0; i < 8; i++)
        values[2][0][i] = -8;
    put_scrfd_face(values, 2);
    make_detector(&f, "scrfd");
    run_on(&f, &frame);
    assert_scrfd_face(&f, 1 / (1 + expf(-2)));
    assert_false(f.found[0].has_landmarks);
    finish(&f);
}

static void yunet_by_hand(void **state)
{
    (void)state;
    static const int64_t rows[3] = {64, 16, 4};
    static const int64_t channels[4] = {1, 1, 4, 10};
    static const float box[4] = {0.5f, 0.25f, 0.6931472f /* ln 2 */, 1.0986123f /* ln 3 */};
    static const float points[10] = {0, 0, 1, 0, 0.5f, 0.5f, 0, 1, 1, 1};
    struct fixture f = {0};
    float *values[4][3];
    const struct frt_frame frame = small_frame();
    canned_init(&f.net, -1, -1);
    for (int kind = 0; kind < 4; kind++) {
        for (int k = 0; k < 3; k++)
            values[kind][k] = canned_output(&f.net, true, rows[k], channels[kind]);
    }
    size_t row = 2 * 8 + 3; /* stride 8, row 2, column 3 */
    values[0][0][row] = 0.81f;
    values[1][0][row] = 1.5f; /* clamped to 1 */
    set(values[2][0] + row * 4, box, 4);
    set(values[3][0] + row * 10, points, 10);
    make_detector(&f, "yunet");
    assert_int_equal(frt_detector_want_side_px(f.detector), 640);
    run_on(&f, &frame);
    assert_int_equal(f.n, 1);
    assert_float_equal(f.found[0].score, 0.9, 1e-5);
    /* centre (3.5·8, 2.25·8) = (28, 18), size (16, 24): canvas (20, 6, 16, 24) */
    assert_box(&f.found[0], 50, 32, 32, 48);
    assert_float_equal(f.found[0].landmarks[FRT_LANDMARK_RIGHT_EYE].x, (4 * 8) * 2 + 10, 1e-3);
    assert_float_equal(f.found[0].landmarks[FRT_LANDMARK_RIGHT_EYE].y, (2 * 8) * 2 + 20, 1e-3);
    finish(&f);
}

static void ssd_by_hand(void **state)
{
    (void)state;
    static const float faces[3][4] = {
        {0.25f, 0.5f, 0.5f, 0.75f},  /* ymin, xmin, ymax, xmax */
        {0.26f, 0.5f, 0.51f, 0.75f}, /* overlaps the first */
        {0.5f, -0.5f, 2.0f, 0.25f},  /* reaches out: clipped */
    };
    struct fixture f = {0};
    const struct frt_frame frame = small_frame();
    canned_init(&f.net, SIDE, SIDE);
    float *scores = canned_output(&f.net, false, 1, 10);
    float *boxes = canned_output(&f.net, true, 10, 4);
    memcpy(boxes, faces, sizeof faces);
    scores[0] = 0.9f;
    scores[1] = 0.8f;
    scores[2] = 0.7f;
    make_detector(&f, "ssd_mobilenetv1");
    run_on(&f, &frame);
    assert_int_equal(f.n, 2);
    assert_box(&f.found[0], 32 * 2 + 10, 16 * 2 + 20, 32, 32);
    assert_box(&f.found[1], 10, 32 * 2 + 20, 32, 64);
    assert_false(f.found[0].has_landmarks);
    finish(&f);
}

static void rfb_by_hand(void **state)
{
    (void)state;
    static const float face[4] = {0.25f, 0.5f, 0.5f, 0.75f}; /* xmin, ymin, xmax, ymax */
    struct fixture f = {0};
    const struct frt_frame frame = small_frame();
    canned_init(&f.net, SIDE, SIDE);
    float *scores = canned_output(&f.net, true, 10, 2);
    float *boxes = canned_output(&f.net, true, 10, 4);
    set(boxes + 3 * 4, face, 4);
    scores[3 * 2] = 0.1f;
    scores[3 * 2 + 1] = 0.9f;
    scores[4 * 2] = 0.95f; /* sure of the background */
    make_detector(&f, "ultralight_rfb");
    run_on(&f, &frame);
    assert_int_equal(f.n, 1);
    assert_box(&f.found[0], 16 * 2 + 10, 32 * 2 + 20, 32, 32);
    finish(&f);
}

static void tiny_yolo_by_hand(void **state)
{
    (void)state;
    struct fixture f = {0};
    const struct frt_frame frame = small_frame();
    enum { CELLS = 4, CELL = 1 * 2 + 1 /* row 1, column 1 */, ANCHOR = 0 };
    canned_init(&f.net, SIDE, SIDE);
    float *grid = canned_output(&f.net, false, 25, CELLS);
    f.net.answers[0] = (struct canned_answer){{1, 25, 2, 2}, 4, grid};
    f.net.model.info.outputs[0] = (struct frt_tensor_info){"grid", {-1, 25, -1, -1}, 4, true};
    for (int a = 0; a < 5; a++) {
        for (int i = 0; i < CELLS; i++)
            grid[(a * 5 + 4) * CELLS + i] = -20;
    }
    float *cell = grid + (size_t)ANCHOR * 5 * CELLS + CELL;
    cell[0] = 0;          /* x: the cell's middle */
    cell[CELLS] = 1;      /* y: sigmoid(1) */
    cell[2 * CELLS] = -1; /* width: anchor / e */
    cell[3 * CELLS] = -0.5f;
    cell[4 * CELLS] = 3;
    make_detector(&f, "tiny_yolo2");
    run_on(&f, &frame);
    assert_int_equal(f.n, 1);
    assert_float_equal(f.found[0].score, 1 / (1 + expf(-3)), 1e-5);
    float width = 1.603231f * 32 * expf(-1), height = 2.094468f * 32 * expf(-0.5f);
    float x = 1.5f * 32, y = (1 + 1 / (1 + expf(-1))) * 32;
    assert_box(&f.found[0], (x - width / 2) * 2 + 10, (y - height / 2) * 2 + 20, width * 2, height * 2);
    finish(&f);
}

static void retinaface_by_hand(void **state)
{
    (void)state;
    enum { ROWS = 64 * 2 + 16 * 2 + 4 * 2, ROW = 128 + (1 * 4 + 2) * 2 }; /* stride 16, (1, 2), 64 px */
    static const float loc[4] = {1, -1, 0, 3.4657359f /* 5 ln 2 */};
    for (int logits = 0; logits < 2; logits++) {
        struct fixture f = {0};
        const struct frt_frame frame = small_frame();
        canned_init(&f.net, SIDE, SIDE);
        float *boxes = canned_output(&f.net, true, ROWS, 4);
        float *scores = canned_output(&f.net, true, ROWS, 2);
        float *points = canned_output(&f.net, true, ROWS, 10);
        for (size_t i = 0; i < ROWS; i++)
            scores[2 * i] = logits ? 5 : 1;
        set(boxes + (size_t)ROW * 4, loc, 4);
        scores[ROW * 2] = logits ? 0 : 0.1f;
        scores[ROW * 2 + 1] = logits ? 2 : 0.9f;
        points[(size_t)ROW * 10 + 2] = -2;
        make_detector(&f, "retinaface");
        run_on(&f, &frame);
        assert_int_equal(f.n, 1);
        const float score = logits ? 1 / (1 + expf(-2)) : 0.9f;
        assert_float_equal(f.found[0].score, score, 1e-5);
        /* prior (40, 24, 64): centre (46.4, 17.6), size (64, 128) */
        assert_box(&f.found[0], (46.4f - 32) * 2 + 10, (17.6f - 64) * 2 + 20, 128, 256);
        assert_float_equal(f.found[0].landmarks[FRT_LANDMARK_RIGHT_EYE].x, (40 - 2 * 0.1f * 64) * 2 + 10, 1e-3);
        finish(&f);
    }
}

/* Two outputs of the same shape: the graph's order says which is the size. */
static void centerface_by_hand(void **state)
{
    (void)state;
    enum { CELLS = SIDE / 4, N = CELLS * CELLS, AT = 5 * CELLS + 7 };
    struct fixture f = {0};
    const struct frt_frame frame = small_frame();
    canned_init(&f.net, SIDE, SIDE);
    float *score = canned_map(&f.net, 1, CELLS), *size = canned_map(&f.net, 2, CELLS);
    float *offset = canned_map(&f.net, 2, CELLS), *points = canned_map(&f.net, 10, CELLS);
    score[AT] = 0.8f;
    score[AT + 1] = 0.3f;                          /* below the threshold */
    size[AT] = 2.0794415f /* ln 8 */;              /* 32 px high */
    size[N + AT] = 1.3862944f /* ln 4 */;          /* 16 px wide */
    offset[AT] = 0.25f;                            /* down: centre y = (5 + 0.75) 4 = 23 */
    offset[N + AT] = -0.25f;                       /* left: centre x = (7 + 0.25) 4 = 29 */
    points[2 * FRT_LANDMARK_NOSE * N + AT] = 0.5f; /* y first */
    points[(2 * FRT_LANDMARK_NOSE + 1) * N + AT] = 0.25f;
    make_detector(&f, "centerface");
    run_on(&f, &frame);
    assert_int_equal(f.n, 1);
    assert_float_equal(f.found[0].score, 0.8f, 1e-6);
    assert_box(&f.found[0], (29 - 8) * 2 + 10, (23 - 16) * 2 + 20, 32, 64);
    assert_true(f.found[0].has_landmarks);
    assert_float_equal(f.found[0].landmarks[FRT_LANDMARK_NOSE].x, (21 + 0.25f * 16) * 2 + 10, 1e-3);
    assert_float_equal(f.found[0].landmarks[FRT_LANDMARK_NOSE].y, (7 + 0.5f * 32) * 2 + 20, 1e-3);
    finish(&f);
}

/* ------------------------------------------------- random, against naive */

static int best_first(const void *a, const void *b)
{
    float x = ((const struct frt_detection *)a)->score, y = ((const struct frt_detection *)b)->score;
    return (x < y) - (x > y);
}

static void assert_same(const struct fixture *f, struct frt_detection *all, size_t n, float iou)
{
    size_t kept = 0;
    qsort(all, n, sizeof *all, best_first);
    for (size_t i = 0; i < n; i++) {
        bool overlaps = false;
        for (size_t k = 0; k < kept; k++)
            overlaps = overlaps || frt_box_iou(&all[k].box, &all[i].box) > iou;
        if (!overlaps)
            all[kept++] = all[i];
    }
    size_t inside = 0;
    for (size_t i = 0; i < kept; i++) {
        float x = all[i].box.x + all[i].box.width / 2, y = all[i].box.y + all[i].box.height / 2;
        if (x >= 0 && y >= 0 && x <= SIDE && y <= SIDE)
            all[inside++] = all[i];
    }
    assert_int_equal(f->n, inside);
    for (size_t i = 0; i < inside; i++) {
        assert_float_equal(f->found[i].score, all[i].score, 1e-5);
        assert_box(&f->found[i], all[i].box.x * 2 + 10, all[i].box.y * 2 + 20, all[i].box.width * 2,
                   all[i].box.height * 2);
    }
}

static void scrfd_agrees_with_a_naive_decoder(void **state)
{
    (void)state;
    static const int strides[3] = {8, 16, 32};
    uint32_t seed = 9;
    for (int round = 0; round < 10; round++) {
        struct fixture f = {0};
        struct frt_detection all[168];
        size_t n = 0;
        float *values[3][3] = {{NULL}};
        const struct frt_frame frame = small_frame();
        scrfd_outputs(&f, true, round & 1, true, values);
        for (int k = 0; k < 3; k++) {
            int cells = SIDE / strides[k];
            for (int r = 0; r < cells; r++) {
                for (int c = 0; c < cells; c++) {
                    for (int a = 0; a < 2; a++) {
                        size_t row = (size_t)((r * cells + c) * 2 + a);
                        float score = canned_random(&seed), d[4];
                        values[k][0][row] = score;
                        for (int j = 0; j < 4; j++)
                            values[k][1][row * 4 + (size_t)j] = d[j] = canned_random(&seed) * 3 - 0.5f;
                        float x1 = (float)c - d[0], y1 = (float)r - d[1], x2 = (float)c + d[2],
                              y2 = (float)r + d[3];
                        float s = (float)strides[k];
                        if (score >= 0.5f && x2 > x1 && y2 > y1)
                            all[n++] = (struct frt_detection){
                                .box = {x1 * s, y1 * s, (x2 - x1) * s, (y2 - y1) * s}, .score = score};
                    }
                }
            }
        }
        make_detector(&f, "scrfd");
        run_on(&f, &frame);
        assert_same(&f, all, n, 0.4f);
        finish(&f);
    }
}

/* ---------------------------------------------------------- the placement */

static void the_photo_is_scaled_padded_and_normalised(void **state)
{
    (void)state;
    static uint8_t wide[100 * 40 * 3];
    struct fixture f = {0};
    float *values[3][3] = {{NULL}};
    for (size_t i = 0; i < sizeof wide; i += 3) {
        wide[i] = 200;
        wide[i + 1] = 100;
        wide[i + 2] = 50;
    }
    const struct frt_frame frame = {.pixels = wide,
                                    .width_px = 100,
                                    .height_px = 40,
                                    .stride_bytes = 300,
                                    .scale_x = 1,
                                    .scale_y = 1,
                                    .borrowed = true};
    scrfd_outputs(&f, true, false, true, values);
    put_scrfd_face(values, 0.9f);
    make_detector(&f, "scrfd");
    run_on(&f, &frame);
    /* 100×40 → 64×26 at the top left; below it black */
    const float *red = f.net.seen, *green = red + SIDE * SIDE, *blue = green + SIDE * SIDE;
    assert_float_equal(red[0], (200 - 127.5) / 128, 1e-3);
    assert_float_equal(green[SIDE - 1], (100 - 127.5) / 128, 1e-3);
    assert_float_equal(blue[25 * SIDE + 63], (50 - 127.5) / 128, 1e-3);
    assert_float_equal(red[26 * SIDE], -127.5 / 128, 1e-3);
    assert_float_equal(blue[63 * SIDE + 63], -127.5 / 128, 1e-3);
    /* canvas (24, 0, 32, 48) → × 100/64, × 40/26 */
    assert_int_equal(f.n, 1);
    assert_box(&f.found[0], 24 * 100 / 64.0f, 0, 32 * 100 / 64.0f, 48 * 40 / 26.0f);
    finish(&f);
}

static void the_spec_decides_on_colour_and_scale(void **state)
{
    (void)state;
    static uint8_t coloured[SIDE * SIDE * 3];
    struct fixture f = {0};
    float *values[3][3] = {{NULL}};
    for (size_t i = 0; i < sizeof coloured; i += 3)
        coloured[i] = 200;
    const struct frt_frame frame = {.pixels = coloured,
                                    .width_px = SIDE,
                                    .height_px = SIDE,
                                    .stride_bytes = (size_t)SIDE * 3,
                                    .scale_x = 1,
                                    .scale_y = 1,
                                    .borrowed = true};
    f.spec.input =
        (struct frt_model_input){.color = FRT_COLOR_BGR, .mean = {1, 2, 3}, .scale = {0.5f, 0.5f, 0.25f}};
    f.spec.min_confidence = 0.95f;
    scrfd_outputs(&f, true, false, true, values);
    put_scrfd_face(values, 0.9f);
    make_detector(&f, "scrfd");
    run_on(&f, &frame);
    assert_int_equal(f.n, 0);
    assert_float_equal(f.net.seen[0], -0.5, 1e-4);                           /* blue: (0 - 1) / 2 */
    assert_float_equal(f.net.seen[2 * SIDE * SIDE], (200 - 3) * 0.25, 1e-2); /* red, last */
    const struct frt_detector_params params = {.min_confidence = 0.8f};
    assert_int_equal(frt_detector_run(f.detector, &frame, &params, f.found, MAX_FOUND, &f.n, NULL, NULL),
                     FRT_OK);
    assert_int_equal(f.n, 1);
    finish(&f);
}

static void a_dynamic_canvas_fits_the_photo(void **state)
{
    (void)state;
    static const struct {
        uint32_t width, height, max;
        int64_t canvas_width, canvas_height;
    } cases[] = {
        {250, 250, 0, 256, 256},   /* never enlarged */
        {2000, 1000, 0, 640, 320}, /* 640 is the family's */
        {2000, 1500, 320, 320, 256}, {30, 20, 0, 64, 64}, {1, 3000, 0, 64, 640},
    };
    static const int64_t channels[4] = {1, 1, 4, 10};
    uint8_t *photo = frt_alloc_zero((size_t)3000 * 1500, 3);
    assert_non_null(photo);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f = {0};
        canned_init(&f.net, -1, -1);
        for (int kind = 0; kind < 4; kind++) {
            for (int k = 0; k < 3; k++) {
                int64_t stride = 8 << k;
                (void)canned_output(&f.net, true,
                                    cases[i].canvas_width / stride * (cases[i].canvas_height / stride),
                                    channels[kind]);
            }
        }
        f.net.answers[0].values[0] = 1; /* a face at the corner, so that there is no second look */
        f.net.answers[3].values[0] = 1;
        f.spec.max_input_px = cases[i].max;
        make_detector(&f, "yunet");
        const struct frt_frame frame = {.pixels = photo,
                                        .width_px = cases[i].width,
                                        .height_px = cases[i].height,
                                        .stride_bytes = (size_t)cases[i].width * 3,
                                        .scale_x = 1,
                                        .scale_y = 1};
        run_on(&f, &frame);
        assert_int_equal(f.n, 1);
        assert_int_equal(f.net.runs, 1);
        assert_int_equal(f.net.seen_dims[2], cases[i].canvas_height);
        assert_int_equal(f.net.seen_dims[3], cases[i].canvas_width);
        finish(&f);
    }
    frt_free(photo);
}

static void an_empty_first_look_is_followed_by_others(void **state)
{
    (void)state;
    static const float face[4] = {0.0f, 0.0f, 0.25f, 0.25f};
    for (int silent = 0; silent <= 3; silent++) {
        struct fixture f = {0};
        const struct frt_frame frame = small_frame();
        canned_init(&f.net, SIDE, SIDE);
        float *scores = canned_output(&f.net, false, 1, 10);
        float *boxes = canned_output(&f.net, true, 10, 4);
        set(boxes, face, 4);
        scores[0] = 0.9f;
        f.net.silent_runs = silent;
        make_detector(&f, "ssd_mobilenetv1");
        run_on(&f, &frame);
        assert_int_equal(f.net.runs, silent < 3 ? silent + 1 : 3);
        assert_int_equal(f.n, silent < 3);
        /* 16 px of the canvas are as many of the frame, twice as many at half size, 64/19 at 0.3 */
        static const float sides[3] = {16, 32, 16 * 64 / 19.0f};
        if (silent < 3)
            assert_box(&f.found[0], 10, 20, 2 * sides[silent], 2 * sides[silent]);
        finish(&f);
    }
}

static void faces_on_the_padding_are_dropped(void **state)
{
    (void)state;
    static uint8_t wide[64 * 16 * 3];
    static const float face[4] = {0.5f, 0.5f, 0.75f, 0.75f}; /* centre at y = 40 of 64; the photo ends at 16 */
    struct fixture f = {0};
    const struct frt_frame frame = {.pixels = wide,
                                    .width_px = 64,
                                    .height_px = 16,
                                    .stride_bytes = 192,
                                    .scale_x = 1,
                                    .scale_y = 1,
                                    .borrowed = true};
    canned_init(&f.net, SIDE, SIDE);
    float *scores = canned_output(&f.net, false, 1, 10);
    float *boxes = canned_output(&f.net, true, 10, 4);
    set(boxes, face, 4);
    scores[0] = 0.9f;
    make_detector(&f, "ssd_mobilenetv1");
    run_on(&f, &frame);
    assert_int_equal(f.n, 0);
    finish(&f);
}

/* --------------------------------------------------------------- refusals */

static void refused(const char *family, struct canned_net *net, uint32_t width, const char *found,
                    const char *fits)
{
    struct frt_model_spec spec = {.name = "my-detector"};
    struct frt_detector *detector = NULL;
    struct frt_error err = {0};
    (void)snprintf(spec.family, sizeof spec.family, "%s", family);
    spec.input.width_px = width;
    canned_open(net);
    assert_int_equal(frt_detector_new(&spec, net->session, &detector, &err), FRT_EBAD_MODEL);
    assert_null(detector);
    if (strstr(err.text, found) == NULL || strstr(err.text, fits) == NULL ||
        strstr(err.text, "my-detector") == NULL)
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", err.text, found, fits);
    canned_close(net);
}

static void what_does_not_fit_is_refused_with_what_would(void **state)
{
    (void)state;
    struct canned_net net;

    canned_init(&net, 640, 640);
    (void)canned_output(&net, true, 10, 4);
    refused("no_such", &net, 0, "\"no_such\"", "families: scrfd, yunet, ssd_mobilenetv1, tiny_yolo2");

    canned_init(&net, 640, 640);
    (void)canned_output(&net, true, 4420, 2);
    (void)canned_output(&net, true, 4420, 4);
    refused("scrfd", &net, 0, "[1,4420,2] [1,4420,4]", "9 (or 6) outputs");

    /* and says which family would take it */
    canned_init(&net, 640, 640);
    (void)canned_output(&net, true, 4420, 2);
    (void)canned_output(&net, true, 4420, 4);
    refused("yunet", &net, 0, "12 outputs", "fit family ultralight_rfb");

    canned_init(&net, 640, 640);
    (void)canned_output(&net, true, 10, 4);
    (void)canned_output(&net, true, 11, 1);
    refused("ssd_mobilenetv1", &net, 0, "[1,10,4] [1,11,1]", "boxes [1,rows,4]");

    canned_init(&net, 640, 640);
    (void)canned_output(&net, true, 10, 4);
    (void)canned_output(&net, true, 10, 1);
    net.model.info.outputs[1].is_float = false;
    refused("ssd_mobilenetv1", &net, 0, "[1,10,1] (not f32)", "boxes [1,rows,4]");

    canned_init(&net, 640, 640);
    (void)canned_output(&net, true, 10, 4);
    refused("tiny_yolo2", &net, 0, "[1,10,4]", "grid [1,25,height/32,width/32]");

    canned_init(&net, 640, 640);
    (void)canned_output(&net, true, 10, 4);
    refused("retinaface", &net, 0, "[1,10,4]", "[1,rows,10]");

    canned_init(&net, 650, 640);
    refused("scrfd", &net, 0, "height is 650", "multiples of 32");

    canned_init(&net, 640, 100000);
    refused("scrfd", &net, 0, "100000", "4096");

    canned_init(&net, 640, 640);
    refused("scrfd", &net, 320, "manifest says width 320", "the graph takes 640");

    canned_init(&net, -1, 640);
    refused("scrfd", &net, 0, "one side", "both or none");

    canned_init(&net, -1, -1);
    refused("ssd_mobilenetv1", &net, 0, "leaves its input's size open", "width and height in the manifest");

    canned_init(&net, 640, 640);
    net.model.info.inputs[0] = (struct frt_tensor_info){"input", {1, 640, 640, 3}, 4, true};
    refused("scrfd", &net, 0, "[1,640,640,3]", "[1,3,height,width]");
}

/* A graph that answers other shapes than it announced. */
static void answers_of_another_size_are_an_error(void **state)
{
    (void)state;
    struct fixture f = {0};
    float *values[3][3] = {{NULL}};
    struct frt_error err = {0};
    const struct frt_frame frame = small_frame();
    scrfd_outputs(&f, true, false, true, values);
    make_detector(&f, "scrfd");
    f.net.answers[1].dims[1] = 31;
    f.n = 77;
    assert_int_equal(frt_detector_run(f.detector, &frame, NULL, f.found, MAX_FOUND, &f.n, NULL, &err),
                     FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "stride 16"));
    assert_int_equal(f.n, 77);
    finish(&f);
}

static void hostile_values_give_no_hostile_faces(void **state)
{
    (void)state;
    static const float nasty[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-40f, 0, 1, -1, 89, -200};
    static const char *const families[] = {"scrfd",          "yunet",      "ssd_mobilenetv1",
                                           "ultralight_rfb", "tiny_yolo2", "retinaface"};
    uint32_t seed = 3;
    for (size_t k = 0; k < sizeof families / sizeof families[0]; k++) {
        for (int round = 0; round < 40; round++) {
            struct fixture f = {0};
            const struct frt_frame frame = small_frame();
            canned_init(&f.net, SIDE, SIDE);
            if (k == 0) {
                float *values[3][3];
                scrfd_outputs(&f, true, false, true, values);
            } else if (k == 1) {
                for (int i = 0; i < 12; i++)
                    (void)canned_output(&f.net, true, 64 >> (2 * (i % 3)), i < 6 ? 1 : i < 9 ? 4 : 10);
            } else if (k == 4) {
                (void)canned_output(&f.net, false, 25, 4);
                f.net.answers[0].n_dims = f.net.model.info.outputs[0].n_dims = 4;
                memcpy(f.net.answers[0].dims, (int64_t[]){1, 25, 2, 2}, 4 * sizeof(int64_t));
                memcpy(f.net.model.info.outputs[0].dims, f.net.answers[0].dims, 4 * sizeof(int64_t));
            } else {
                (void)canned_output(&f.net, true, 168, 4);
                (void)canned_output(&f.net, true, 168, k == 2 ? 1 : 2);
                if (k == 5)
                    (void)canned_output(&f.net, true, 168, 10);
            }
            for (uint32_t i = 0; i < f.net.model.info.n_outputs; i++) {
                struct frt_tensor shape = {.n_dims = f.net.answers[i].n_dims};
                memcpy(shape.dims, f.net.answers[i].dims, sizeof shape.dims);
                for (size_t j = 0; j < frt_tensor_size(&shape); j++) {
                    float r = canned_random(&seed);
                    f.net.answers[i].values[j] =
                        r < 0.3f ? nasty[(size_t)(r / 0.3f * 11)] : canned_random(&seed) * 4 - 1;
                }
            }
            make_detector(&f, families[k]);
            run_on(&f, &frame);
            for (size_t i = 0; i < f.n; i++) {
                const struct frt_detection *d = &f.found[i];
                assert_true(isfinite(d->box.x) && isfinite(d->box.y) && d->box.width > 0 && d->box.height > 0);
                assert_true(isfinite(d->box.width) && isfinite(d->box.height));
                assert_true(d->score >= 0 && d->score <= 1);
                for (int j = 0; d->has_landmarks && j < FRT_LANDMARK_COUNT; j++)
                    assert_true(isfinite(d->landmarks[j].x) && isfinite(d->landmarks[j].y));
            }
            finish(&f);
        }
    }
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    bool done = false;
    for (int64_t after = 0; !done && after < 100; after++) {
        struct fixture f = {0};
        float *values[3][3] = {{NULL}};
        struct frt_error err = {0};
        const struct frt_frame frame = small_frame();
        scrfd_outputs(&f, true, false, true, values);
        put_scrfd_face(values, 0.9f);
        canned_open(&f.net);
        (void)snprintf(f.spec.family, sizeof f.spec.family, "scrfd");
        frt_mem_fail_after(after);
        enum frt_status status = frt_detector_new(&f.spec, f.net.session, &f.detector, &err);
        if (status == FRT_OK)
            status = frt_detector_run(f.detector, &frame, NULL, f.found, MAX_FOUND, &f.n, NULL, &err);
        frt_mem_fail_after(-1);
        done = status == FRT_OK;
        if (done)
            assert_scrfd_face(&f, 0.9f);
        else
            assert_int_equal(status, FRT_ENOMEM);
        finish(&f);
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scrfd_by_hand),
        cmocka_unit_test(scrfd_without_points_and_with_logits),
        cmocka_unit_test(yunet_by_hand),
        cmocka_unit_test(ssd_by_hand),
        cmocka_unit_test(rfb_by_hand),
        cmocka_unit_test(tiny_yolo_by_hand),
        cmocka_unit_test(retinaface_by_hand),
        cmocka_unit_test(centerface_by_hand),
        cmocka_unit_test(scrfd_agrees_with_a_naive_decoder),
        cmocka_unit_test(the_photo_is_scaled_padded_and_normalised),
        cmocka_unit_test(the_spec_decides_on_colour_and_scale),
        cmocka_unit_test(a_dynamic_canvas_fits_the_photo),
        cmocka_unit_test(an_empty_first_look_is_followed_by_others),
        cmocka_unit_test(faces_on_the_padding_are_dropped),
        cmocka_unit_test(what_does_not_fit_is_refused_with_what_would),
        cmocka_unit_test(answers_of_another_size_are_an_error),
        cmocka_unit_test(hostile_values_give_no_hostile_faces),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

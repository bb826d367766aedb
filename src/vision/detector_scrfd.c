/*
 * SCRFD (Guo et al. 2021, "Sample and Computation Redistribution for Efficient Face Detection").
 *
 * Three strides of 8, 16 and 32 px, two anchors a cell, each at the cell's top left corner (c·s, r·s).
 * Outputs, in any order and with or without a batch dimension, told apart by their last dimension and
 * their number of rows = cells × anchors, which differs from stride to stride:
 *
 *     score [rows,1]    probability, or logit (seen from values outside 0..1)
 *     box   [rows,4]    distances to left, top, right, bottom edge, in strides
 *     points[rows,10]   five landmarks as offsets from the anchor, in strides; may be missing
 */
#include <math.h>

#include "vision/detector_family.h"

#define N_STRIDES 3
#define MAX_ANCHORS 2
static const uint32_t strides[N_STRIDES] = {8, 16, 32};

static bool scrfd_match(struct frt_detector *detector)
{
    uint32_t n[FRT_OUTPUT_KINDS];
    return frt_outputs_sort(detector, n) && n[FRT_OUTPUT_SCORE] == N_STRIDES &&
           n[FRT_OUTPUT_BOX] == N_STRIDES && (n[FRT_OUTPUT_POINTS] == N_STRIDES || n[FRT_OUTPUT_POINTS] == 0);
}

struct level {
    uint32_t stride, anchors;
    size_t columns, rows;
    const float *scores, *boxes, *points; /* points may be NULL */
};

/* Scores outside 0..1 give logits away: background is strongly negative there. */
static bool are_logits(const struct level *level)
{
    size_t n = level->columns * level->rows * level->anchors;
    for (size_t i = 0; i < n; i++) {
        if (level->scores[i] < 0.0f || level->scores[i] > 1.0f)
            return true;
    }
    return false;
}

static bool find_level(const struct frt_detector_decode *decode, uint32_t stride, struct level *level)
{
    *level = (struct level){.stride = stride,
                            .columns = decode->canvas_width_px / stride,
                            .rows = decode->canvas_height_px / stride};
    for (level->anchors = MAX_ANCHORS; level->anchors > 0; level->anchors--) {
        size_t n = level->columns * level->rows * level->anchors;
        level->scores = frt_output_find(decode, FRT_OUTPUT_SCORE, n, 1);
        level->boxes = frt_output_find(decode, FRT_OUTPUT_BOX, n, 4);
        level->points = frt_output_find(decode, FRT_OUTPUT_POINTS, n, 10);
        if (level->scores != NULL && level->boxes != NULL)
            return true;
    }
    return false;
}

static void add_anchor(const struct frt_detector_decode *decode, const struct level *level, size_t i,
                       float score)
{
    size_t cell = i / level->anchors;
    float s = (float)level->stride;
    float x = (float)(cell % level->columns) * s, y = (float)(cell / level->columns) * s;
    const float *d = level->boxes + 4 * i;
    struct frt_detection found = {.box = {x - d[0] * s, y - d[1] * s, (d[0] + d[2]) * s, (d[1] + d[3]) * s},
                                  .score = score};
    if (level->points != NULL) {
        const float *p = level->points + 10 * i;
        found.has_landmarks = true;
        for (size_t k = 0; k < FRT_LANDMARK_COUNT; k++)
            found.landmarks[k] = (struct frt_point){x + p[2 * k] * s, y + p[2 * k + 1] * s};
    }
    frt_candidates_add(decode->candidates, &found);
}

static enum frt_status scrfd_decode(const struct frt_detector_decode *decode, struct frt_error *err)
{
    struct level levels[N_STRIDES];
    bool logits = false;
    for (size_t k = 0; k < N_STRIDES; k++) {
        if (!find_level(decode, strides[k], &levels[k]))
            return frt_fail(
                err, FRT_EBAD_MODEL,
                "detector %s: no outputs for stride %u of a %ux%u input; scrfd expects %zu or %zu rows",
                decode->detector->spec->name, (unsigned)strides[k], (unsigned)decode->canvas_width_px,
                (unsigned)decode->canvas_height_px, levels[k].columns * levels[k].rows,
                levels[k].columns * levels[k].rows * MAX_ANCHORS);
        logits = logits || are_logits(&levels[k]);
    }
    for (size_t k = 0; k < N_STRIDES; k++) {
        size_t n = levels[k].columns * levels[k].rows * levels[k].anchors;
        for (size_t i = 0; i < n; i++) {
            float score = logits ? 1.0f / (1.0f + expf(-levels[k].scores[i])) : levels[k].scores[i];
            if (score >= decode->min_confidence)
                add_anchor(decode, &levels[k], i, score);
        }
    }
    return FRT_OK;
}

const struct frt_detector_family frt_detector_scrfd = {
    .name = "scrfd",
    .fits = "9 (or 6) outputs: 3 of [rows,1], 3 of [rows,4] and 3 (or none) of [rows,10]",
    .multiple_px = 32,
    .max_input_px = 640,
    .max_upscale = 1,
    .looks = {0.4f},
    .pad = 0,
    .min_confidence = 0.5f,
    .nms_iou = 0.4f,
    .input = {.color = FRT_COLOR_RGB,
              .mean = {127.5f, 127.5f, 127.5f},
              .scale = {1 / 128.0f, 1 / 128.0f, 1 / 128.0f}},
    .match = scrfd_match,
    .decode = scrfd_decode,
};

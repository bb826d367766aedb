/*
 * YuNet (Wu, Peng, Yu 2023, "YuNet: a tiny millisecond-level face detector").
 *
 * Three strides of 8, 16 and 32 px, one anchor a cell. Outputs in any order, told apart by their last
 * dimension and their number of rows (= cells):
 *
 *     cls [rows,1], obj [rows,1]   score = sqrt(cls · obj), so which is which does not matter
 *     box [rows,4]                 cx = (c + b0)s, cy = (r + b1)s, w = exp(b2)s, h = exp(b3)s
 *     points [rows,10]             ((c + kx)s, (r + ky)s)
 */
#include <math.h>

#include "vision/detector_family.h"

#define N_STRIDES 3
static const uint32_t strides[N_STRIDES] = {8, 16, 32};

static bool yunet_match(struct frt_detector *detector)
{
    uint32_t n[FRT_OUTPUT_KINDS];
    return frt_outputs_sort(detector, n) && n[FRT_OUTPUT_SCORE] == 2 * N_STRIDES &&
           n[FRT_OUTPUT_BOX] == N_STRIDES && n[FRT_OUTPUT_POINTS] == N_STRIDES;
}

/* Both score outputs of a stride. */
static bool find_scores(const struct frt_detector_decode *decode, size_t rows, const float *scores[2])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < decode->outputs->n && n < 2; i++) {
        const struct frt_tensor *tensor = &decode->outputs->tensors[i];
        if (decode->detector->output_kind[i] == FRT_OUTPUT_SCORE && tensor->data != NULL &&
            frt_tensor_size(tensor) == rows)
            scores[n++] = tensor->data;
    }
    return n == 2;
}

static float unit(float value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

static enum frt_status yunet_decode(const struct frt_detector_decode *decode, struct frt_error *err)
{
    const float least = decode->min_confidence * decode->min_confidence;
    for (size_t k = 0; k < N_STRIDES; k++) {
        const float s = (float)strides[k];
        size_t columns = decode->canvas_width_px / strides[k], rows = decode->canvas_height_px / strides[k];
        size_t n = columns * rows;
        const float *scores[2] = {NULL, NULL};
        const float *boxes = frt_output_find(decode, FRT_OUTPUT_BOX, n, 4);
        const float *points = frt_output_find(decode, FRT_OUTPUT_POINTS, n, 10);
        if (boxes == NULL || points == NULL || !find_scores(decode, n, scores))
            return frt_fail(err, FRT_EBAD_MODEL,
                            "detector %s: no outputs for stride %u of a %ux%u input; yunet expects %zu rows",
                            decode->detector->spec->name, (unsigned)strides[k],
                            (unsigned)decode->canvas_width_px, (unsigned)decode->canvas_height_px, n);
        for (size_t i = 0; i < n; i++) {
            float product = unit(scores[0][i]) * unit(scores[1][i]);
            if (!(product >= least))
                continue;
            const float *b = boxes + 4 * i;
            const float *p = points + 10 * i;
            float x = (float)(i % columns), y = (float)(i / columns);
            float width = expf(b[2]) * s, height = expf(b[3]) * s;
            struct frt_detection found = {
                .box = {(x + b[0]) * s - width / 2, (y + b[1]) * s - height / 2, width, height},
                .score = sqrtf(product),
                .has_landmarks = true};
            for (size_t j = 0; j < FRT_LANDMARK_COUNT; j++)
                found.landmarks[j] = (struct frt_point){(x + p[2 * j]) * s, (y + p[2 * j + 1]) * s};
            frt_candidates_add(decode->candidates, &found);
        }
    }
    return FRT_OK;
}

const struct frt_detector_family frt_detector_yunet = {
    .name = "yunet",
    .fits = "12 outputs: 6 of [rows,1], 3 of [rows,4] and 3 of [rows,10]",
    .multiple_px = 32,
    .max_input_px = 640,
    .max_upscale = 1,
    .looks = {0.4f},
    .pad = 0,
    .min_confidence = 0.6f,
    .nms_iou = 0.3f,
    .input = {.color = FRT_COLOR_BGR, .scale = {1, 1, 1}},
    .match = yunet_match,
    .decode = yunet_decode,
};

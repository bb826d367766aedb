/*
 * face-api's tiny face detector: a YOLO v2 head of one class on separable convolutions.
 *
 * One stride of 32 px, five anchors a cell, output "grid" [1, 25, H/32, W/32]: per anchor x, y, w, h
 * and score, undecoded. Box centre = (cell + sigmoid(x, y)) · 32, size = anchor · exp(w, h) · 32, score =
 * sigmoid. No landmarks. The smallest anchor is 51 px wide, so a small photo is enlarged to
 * max_input_px.
 */
#include <math.h>

#include "vision/detector_family.h"

enum { KIND_GRID, STRIDE = 32, N_ANCHORS = 5, N_VALUES = 5 };

/* width and height in cells; Source: face-api, tinyFaceDetector/const.ts */
static const float anchors[N_ANCHORS][2] = {
    {1.603231f, 2.094468f}, {6.041143f, 7.080126f}, {2.882459f, 3.518061f},
    {4.266906f, 5.178857f}, {9.041765f, 10.66308f},
};

static bool tiny_match(struct frt_detector *detector)
{
    const struct frt_session_info *info = &detector->session->info;
    const struct frt_tensor_info *grid = &info->outputs[0];
    if (info->n_outputs != 1 || !grid->is_float || grid->n_dims != 4 || grid->dims[1] != N_ANCHORS * N_VALUES)
        return false;
    if (detector->canvas_width_px != 0 && grid->dims[2] > 0 && grid->dims[3] > 0 &&
        (grid->dims[2] * STRIDE != detector->canvas_height_px ||
         grid->dims[3] * STRIDE != detector->canvas_width_px))
        return false;
    detector->output_kind[0] = KIND_GRID;
    return true;
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static enum frt_status tiny_decode(const struct frt_detector_decode *decode, struct frt_error *err)
{
    const size_t columns = decode->canvas_width_px / STRIDE, rows = decode->canvas_height_px / STRIDE;
    const size_t cells = columns * rows;
    const float *grid = frt_output_find(decode, KIND_GRID, cells, N_ANCHORS * N_VALUES);
    if (grid == NULL)
        return frt_fail(
            err, FRT_EBAD_MODEL,
            "detector %s: the grid does not have %zux%zu cells for a %ux%u input; tiny_yolo2 has one "
            "cell per %d px",
            decode->detector->spec->name, columns, rows, (unsigned)decode->canvas_width_px,
            (unsigned)decode->canvas_height_px, STRIDE);
    for (size_t a = 0; a < N_ANCHORS; a++) {
        const float *plane[N_VALUES];
        for (size_t k = 0; k < N_VALUES; k++)
            plane[k] = grid + (a * N_VALUES + k) * cells;
        for (size_t i = 0; i < cells; i++) {
            float score = sigmoid(plane[4][i]);
            if (!(score >= decode->min_confidence))
                continue;
            float x = ((float)(i % columns) + sigmoid(plane[0][i])) * STRIDE;
            float y = ((float)(i / columns) + sigmoid(plane[1][i])) * STRIDE;
            float width = expf(plane[2][i]) * anchors[a][0] * STRIDE;
            float height = expf(plane[3][i]) * anchors[a][1] * STRIDE;
            const struct frt_detection found = {.box = {x - width / 2, y - height / 2, width, height},
                                                .score = score};
            frt_candidates_add(decode->candidates, &found);
        }
    }
    return FRT_OK;
}

const struct frt_detector_family frt_detector_tiny_yolo2 = {
    .name = "tiny_yolo2",
    .fits = "1 output: grid [1,25,height/32,width/32]",
    .multiple_px = STRIDE,
    .max_input_px = 416,
    .max_upscale = 0,
    .looks = {0.5f, 0.3f},
    .pad = 0,
    .min_confidence = 0.5f,
    .nms_iou = 0.4f,
    .input = {.color = FRT_COLOR_RGB,
              .mean = {117.001f, 114.697f, 97.404f},
              .scale = {1 / 255.0f, 1 / 255.0f, 1 / 255.0f}},
    .match = tiny_match,
    .decode = tiny_decode,
};

/*
 * CenterFace (Xu, Yan, Sun, Yang, Li 2019, "CenterFace: Joint Face Detection and Alignment Using Face as
 * Point").
 *
 * One map a quarter of the canvas in width and height. Outputs, four dimensions each, told apart by their
 * number of channels; of the two with two channels the first in the graph is the size:
 *
 *     heatmap [1,1,h,w]    score, a probability
 *     size    [1,2,h,w]    height = 4·exp(s0), width = 4·exp(s1)
 *     offset  [1,2,h,w]    the centre: ((column + o1 + 0.5)·4, (row + o0 + 0.5)·4)
 *     points  [1,10,h,w]   five landmarks, y before x, in parts of the box from its top left corner
 *
 * The published code moves a corner that lies outside the photo to its edge before it adds the landmarks; here
 * they stay where the net saw them. No model of this family was at hand: the decoder follows the published code
 * (Star-Clouds/CenterFace, centerface.py), and its test is computed by hand.
 */
#include <math.h>

#include "vision/detector_family.h"

enum { KIND_SCORE, KIND_SIZE, KIND_OFFSET, KIND_POINTS, KINDS };
static const uint32_t channels_of[KINDS] = {1, 2, 2, 10};
static const uint32_t stride = 4;

static bool centerface_match(struct frt_detector *detector)
{
    const struct frt_session_info *info = &detector->session->info;
    uint32_t seen = 0;
    if (info->n_outputs != KINDS)
        return false;
    for (uint32_t i = 0; i < KINDS; i++) {
        const struct frt_tensor_info *output = &info->outputs[i];
        if (!output->is_float || output->n_dims != 4)
            return false;
        uint8_t kind = 0;
        while (kind < KINDS && (output->dims[1] != (int64_t)channels_of[kind] || (seen & 1u << kind) != 0))
            kind++;
        if (kind == KINDS)
            return false;
        detector->output_kind[i] = kind;
        seen |= 1u << kind;
    }
    return true;
}

static enum frt_status centerface_decode(const struct frt_detector_decode *decode, struct frt_error *err)
{
    const size_t columns = decode->canvas_width_px / stride, rows = decode->canvas_height_px / stride;
    const size_t n = columns * rows;
    const float *maps[KINDS];
    for (uint32_t k = 0; k < KINDS; k++) {
        maps[k] = frt_output_find(decode, (uint8_t)k, n, channels_of[k]);
        if (maps[k] == NULL)
            return frt_fail(err, FRT_EBAD_MODEL,
                            "detector %s: a %ux%u input has maps of %zux%zu; the outputs have others",
                            decode->detector->spec->name, (unsigned)decode->canvas_width_px,
                            (unsigned)decode->canvas_height_px, columns, rows);
    }
    for (size_t i = 0; i < n; i++) {
        const float score = maps[KIND_SCORE][i];
        if (!(score >= decode->min_confidence))
            continue;
        const float s = (float)stride;
        const float height = expf(maps[KIND_SIZE][i]) * s, width = expf(maps[KIND_SIZE][n + i]) * s;
        const float x = ((float)(i % columns) + maps[KIND_OFFSET][n + i] + 0.5f) * s - width / 2;
        const float y = ((float)(i / columns) + maps[KIND_OFFSET][i] + 0.5f) * s - height / 2;
        struct frt_detection found = {.box = {x, y, width, height}, .score = score, .has_landmarks = true};
        for (size_t j = 0; j < FRT_LANDMARK_COUNT; j++)
            found.landmarks[j] = (struct frt_point){x + maps[KIND_POINTS][(2 * j + 1) * n + i] * width,
                                                    y + maps[KIND_POINTS][2 * j * n + i] * height};
        frt_candidates_add(decode->candidates, &found);
    }
    return FRT_OK;
}

const struct frt_detector_family frt_detector_centerface = {
    .name = "centerface",
    .fits = "4 outputs: [1,1,h/4,w/4], size and offset [1,2,h/4,w/4], and [1,10,h/4,w/4]",
    .multiple_px = 32,
    .max_input_px = 640,
    .max_upscale = 1,
    .looks = {0.4f},
    .pad = 0,
    .min_confidence = 0.5f,
    .nms_iou = 0.3f,
    .input = {.color = FRT_COLOR_RGB, .scale = {1, 1, 1}},
    .match = centerface_match,
    .decode = centerface_decode,
};

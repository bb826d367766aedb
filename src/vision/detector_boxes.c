/*
 * Detectors whose graph decodes its boxes itself: corner coordinates in 0..1 of the canvas and scores,
 * no landmarks.
 *
 *   ssd_mobilenetv1   boxes [1,A,4] as ymin,xmin,ymax,xmax; scores [1,A] (or [1,A,1]) probabilities.
 *                     face-api's SSD (MobileNetV1, 512×512, the photo padded with black at the right
 *                     or the bottom). As there, boxes are clipped to the canvas.
 *   ultralight_rfb    boxes [1,A,4] as xmin,ymin,xmax,ymax; scores [1,A,2] background, face. Linzaer's
 *                     Ultra-Light-Fast-Generic-Face-Detector-1MB, which stretches the photo over its
 *                     canvas; kept in proportion here.
 */
#include <math.h>

#include "vision/detector_family.h"

enum { KIND_BOX, KIND_SCORE };

/* rows of a [1,A,n] or [A,n] shape; -1 = open, 0 = another shape */
static int64_t shape_rows(const struct frt_tensor_info *info, int64_t channels)
{
    if (!info->is_float || frt_output_channels(info->dims, info->n_dims) != channels)
        return 0;
    return info->dims[info->n_dims - 2];
}

static bool match_columns(struct frt_detector *detector, int64_t score_channels)
{
    const struct frt_session_info *info = &detector->session->info;
    int64_t rows[2] = {0, 0};
    if (info->n_outputs != 2)
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        const struct frt_tensor_info *output = &info->outputs[i];
        int64_t boxes = shape_rows(output, 4), scores = shape_rows(output, score_channels);
        if (scores == 0 && score_channels == 1 && output->is_float && output->n_dims == 2 &&
            (output->dims[0] == 1 || output->dims[0] == -1))
            scores = output->dims[1];
        uint8_t kind = boxes != 0 ? KIND_BOX : KIND_SCORE;
        detector->output_kind[i] = kind;
        rows[kind] = boxes != 0 ? boxes : scores;
    }
    return rows[KIND_BOX] != 0 && rows[KIND_SCORE] != 0 &&
           (rows[KIND_BOX] == rows[KIND_SCORE] || rows[KIND_BOX] < 0 || rows[KIND_SCORE] < 0);
}

static bool ssd_match(struct frt_detector *detector)
{
    return match_columns(detector, 1);
}

static bool rfb_match(struct frt_detector *detector)
{
    return match_columns(detector, 2);
}

static float unit(float value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

struct layout {
    size_t score_channels, score_at; /* scores[row * score_channels + score_at] */
    size_t x0, y0, x1, y1;           /* places in a box's row */
};

static enum frt_status decode_corners(const struct frt_detector_decode *decode, const struct layout *layout,
                                      struct frt_error *err)
{
    size_t rows = 0;
    for (uint32_t i = 0; i < decode->outputs->n; i++) {
        if (decode->detector->output_kind[i] == KIND_BOX)
            rows = frt_tensor_size(&decode->outputs->tensors[i]) / 4;
    }
    const float *boxes = frt_output_find(decode, KIND_BOX, rows, 4);
    const float *scores = frt_output_find(decode, KIND_SCORE, rows, layout->score_channels);
    if (rows == 0 || boxes == NULL || scores == NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "detector %s: %zu boxes and a different number of scores",
                        decode->detector->spec->name, rows);
    const float width = (float)decode->canvas_width_px, height = (float)decode->canvas_height_px;
    for (size_t i = 0; i < rows; i++) {
        float score = scores[i * layout->score_channels + layout->score_at];
        if (!(score >= decode->min_confidence))
            continue;
        const float *b = boxes + 4 * i;
        if (!isfinite(b[0]) || !isfinite(b[1]) || !isfinite(b[2]) || !isfinite(b[3]))
            continue; /* clipping would make a plausible box of it */
        float x0 = unit(b[layout->x0]) * width, x1 = unit(b[layout->x1]) * width;
        float y0 = unit(b[layout->y0]) * height, y1 = unit(b[layout->y1]) * height;
        const struct frt_detection found = {.box = {x0, y0, x1 - x0, y1 - y0}, .score = score};
        frt_candidates_add(decode->candidates, &found);
    }
    return FRT_OK;
}

static enum frt_status ssd_decode(const struct frt_detector_decode *decode, struct frt_error *err)
{
    static const struct layout layout = {
        .score_channels = 1, .score_at = 0, .y0 = 0, .x0 = 1, .y1 = 2, .x1 = 3};
    return decode_corners(decode, &layout, err);
}

static enum frt_status rfb_decode(const struct frt_detector_decode *decode, struct frt_error *err)
{
    static const struct layout layout = {
        .score_channels = 2, .score_at = 1, .x0 = 0, .y0 = 1, .x1 = 2, .y1 = 3};
    return decode_corners(decode, &layout, err);
}

const struct frt_detector_family frt_detector_ssd_mobilenetv1 = {
    .name = "ssd_mobilenetv1",
    .fits = "2 outputs: boxes [1,rows,4] and scores [1,rows]",
    .multiple_px = 1,
    .max_input_px = 0,
    .max_upscale = 1,
    .looks = {0.5f, 0.3f},
    .pad = 0,
    .min_confidence = 0.5f,
    .nms_iou = 0.5f,
    .input = {.color = FRT_COLOR_RGB,
              .mean = {127.5f, 127.5f, 127.5f},
              .scale = {1 / 127.5f, 1 / 127.5f, 1 / 127.5f}},
    .match = ssd_match,
    .decode = ssd_decode,
};

const struct frt_detector_family frt_detector_ultralight_rfb = {
    .name = "ultralight_rfb",
    .fits = "2 outputs: boxes [1,rows,4] and scores [1,rows,2]",
    .multiple_px = 1,
    .max_input_px = 0,
    .max_upscale = 1,
    .looks = {0.5f, 0.3f},
    .pad = 127,
    .min_confidence = 0.7f,
    .nms_iou = 0.3f,
    .input = {.color = FRT_COLOR_RGB, .mean = {127, 127, 127}, .scale = {1 / 128.0f, 1 / 128.0f, 1 / 128.0f}},
    .match = rfb_match,
    .decode = rfb_decode,
};

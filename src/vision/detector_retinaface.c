/*
 * RetinaFace with MobileNet-0.25 (Deng et al. 2019), as exported from the biubug6 PyTorch port.
 *
 * Priors: at stride 8 squares of 16 and 32 px, at 16 of 64 and 128, at 32 of 256 and 512, centred in
 * their cells, rows in the order stride, row, column, size. With variances 0.1 and 0.2:
 *
 *     loc    [rows,4]    cx = px + l0·0.1·size, cy likewise, w = size · exp(l2·0.2), h likewise
 *     conf   [rows,2]    background, face; probabilities, or logits (rows then do not sum to one)
 *     points [rows,10]   px + p·0.1·size
 */
#include <math.h>

#include "vision/detector_family.h"

enum { KIND_BOX, KIND_SCORE, KIND_POINTS };

#define N_STRIDES 3
#define N_SIZES 2
static const uint32_t strides[N_STRIDES] = {8, 16, 32};
static const float sizes_px[N_STRIDES][N_SIZES] = {{16, 32}, {64, 128}, {256, 512}};
static const float center_variance = 0.1f, size_variance = 0.2f;

static bool retinaface_match(struct frt_detector *detector)
{
    const struct frt_session_info *info = &detector->session->info;
    uint32_t seen = 0;
    if (info->n_outputs != 3)
        return false;
    for (uint32_t i = 0; i < 3; i++) {
        const struct frt_tensor_info *output = &info->outputs[i];
        int64_t channels = frt_output_channels(output->dims, output->n_dims);
        uint8_t kind = channels == 4 ? KIND_BOX : channels == 2 ? KIND_SCORE : KIND_POINTS;
        if (!output->is_float || (kind == KIND_POINTS && channels != 10))
            return false;
        detector->output_kind[i] = kind;
        seen |= 1u << kind;
    }
    return seen == 7;
}

static size_t cells(uint32_t side_px, uint32_t stride)
{
    return ((size_t)side_px + stride - 1) / stride;
}

static float face_score(const float *row, bool logits)
{
    return logits ? 1.0f / (1.0f + expf(row[0] - row[1])) : row[1];
}

struct prior {
    float x, y, size;
};

static void add_prior(const struct frt_detector_decode *decode, const struct prior *prior, const float *l,
                      const float *p, float score)
{
    float width = prior->size * expf(l[2] * size_variance), height = prior->size * expf(l[3] * size_variance);
    float x = prior->x + l[0] * center_variance * prior->size,
          y = prior->y + l[1] * center_variance * prior->size;
    struct frt_detection found = {
        .box = {x - width / 2, y - height / 2, width, height}, .score = score, .has_landmarks = true};
    for (size_t k = 0; k < FRT_LANDMARK_COUNT; k++)
        found.landmarks[k] = (struct frt_point){prior->x + p[2 * k] * center_variance * prior->size,
                                                prior->y + p[2 * k + 1] * center_variance * prior->size};
    frt_candidates_add(decode->candidates, &found);
}

static enum frt_status retinaface_decode(const struct frt_detector_decode *decode, struct frt_error *err)
{
    size_t rows = 0;
    for (size_t k = 0; k < N_STRIDES; k++)
        rows +=
            cells(decode->canvas_width_px, strides[k]) * cells(decode->canvas_height_px, strides[k]) * N_SIZES;
    const float *boxes = frt_output_find(decode, KIND_BOX, rows, 4);
    const float *scores = frt_output_find(decode, KIND_SCORE, rows, 2);
    const float *points = frt_output_find(decode, KIND_POINTS, rows, 10);
    if (boxes == NULL || scores == NULL || points == NULL)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "detector %s: a %ux%u input has %zu priors; the outputs have others",
                        decode->detector->spec->name, (unsigned)decode->canvas_width_px,
                        (unsigned)decode->canvas_height_px, rows);
    bool logits = false;
    for (size_t i = 0; i < rows && !logits; i++)
        logits = fabsf(scores[2 * i] + scores[2 * i + 1] - 1.0f) > 0.01f;

    size_t i = 0;
    for (size_t k = 0; k < N_STRIDES; k++) {
        size_t columns = cells(decode->canvas_width_px, strides[k]);
        size_t lines = cells(decode->canvas_height_px, strides[k]);
        for (size_t cell = 0; cell < columns * lines; cell++) {
            for (size_t j = 0; j < N_SIZES; j++, i++) {
                float score = face_score(scores + 2 * i, logits);
                if (!(score >= decode->min_confidence))
                    continue;
                const struct prior prior = {((float)(cell % columns) + 0.5f) * (float)strides[k],
                                            ((float)(cell / columns) + 0.5f) * (float)strides[k],
                                            sizes_px[k][j]};
                add_prior(decode, &prior, boxes + 4 * i, points + 10 * i, score);
            }
        }
    }
    return FRT_OK;
}

const struct frt_detector_family frt_detector_retinaface = {
    .name = "retinaface",
    .fits = "3 outputs: [1,rows,4], [1,rows,2] and [1,rows,10]",
    .multiple_px = 32,
    .max_input_px = 640,
    .max_upscale = 1,
    .looks = {0.4f},
    .pad = 114,
    .min_confidence = 0.6f,
    .nms_iou = 0.4f,
    .input = {.color = FRT_COLOR_BGR, .mean = {104, 117, 123}, .scale = {1, 1, 1}},
    .match = retinaface_match,
    .decode = retinaface_decode,
};

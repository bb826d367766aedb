#include "vision/face_crop.h"

#include <math.h>
#include <string.h>

#include "infer/infer.h"
#include "simd/resample.h"
#include "vision/align.h"

#define MAX_INPUT_PX 1024

struct rect {
    double x, y, w, h; /* frame pixels */
};

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

static uint32_t fit(double value, uint32_t most)
{
    return value < 1 ? 1 : value > (double)most ? most : (uint32_t)value;
}

static void plan_box(const struct rect *r, double width, double height, uint32_t out_w, uint32_t out_h,
                     struct frt_face_crop *out)
{
    double x0 = clamp(r->x, 0, width), y0 = clamp(r->y, 0, height);
    double w = clamp(r->x + r->w, 0, width) - x0, h = clamp(r->y + r->h, 0, height) - y0;
    double scale = fmin((double)out_w / w, (double)out_h / h);
    out->dst_w = fit(floor(w * scale + 0.5), out_w);
    out->dst_h = fit(floor(h * scale + 0.5), out_h);
    out->dst_x = (out_w - out->dst_w) / 2;
    out->dst_y = (out_h - out->dst_h) / 2;
    out->src_x = x0;
    out->src_y = y0;
    out->src_w = w;
    out->src_h = h;
}

static void plan_square(const struct rect *r, struct frt_face_crop *out)
{
    double side = fmax(r->w, r->h);
    out->src_x = r->x + r->w / 2 - side / 2;
    out->src_y = r->y + r->h / 2 - side / 2;
    out->src_w = side;
    out->src_h = side;
}

static void plan_shifted(const struct rect *r, double width, double height, struct frt_face_crop *out)
{
    double shrink = fmin(1, fmin(width / r->w, height / r->h));
    double w = r->w * shrink, h = r->h * shrink;
    out->src_x = clamp(r->x + r->w / 2 - w / 2, 0, width - w);
    out->src_y = clamp(r->y + r->h / 2 - h / 2, 0, height - h);
    out->src_w = w;
    out->src_h = h;
}

enum frt_status frt_face_crop_plan(enum frt_crop_kind kind, const struct frt_frame *frame,
                                   const struct frt_box *box, double scale, uint32_t width_px,
                                   uint32_t height_px, struct frt_face_crop *out, struct frt_error *err)
{
    double width = (double)frame->width_px, height = (double)frame->height_px;
    struct rect r = {.w = (double)box->width * scale / frame->scale_x,
                     .h = (double)box->height * scale / frame->scale_y};
    r.x = ((double)box->x + (double)box->width / 2 - frame->origin_x) / frame->scale_x - r.w / 2;
    r.y = ((double)box->y + (double)box->height / 2 - frame->origin_y) / frame->scale_y - r.h / 2;
    if (!isfinite(r.x) || !isfinite(r.y) || !isfinite(r.w) || !isfinite(r.h) || r.w <= 0 || r.h <= 0)
        return frt_fail(err, FRT_EINVAL, "a face's box is not finite or empty");
    if (r.x >= width || r.y >= height || r.x + r.w <= 0 || r.y + r.h <= 0)
        return frt_fail(err, FRT_EINVAL, "a face's box lies outside the frame of %ux%u pixels",
                        (unsigned)frame->width_px, (unsigned)frame->height_px);

    struct frt_face_crop crop = {.dst_w = width_px, .dst_h = height_px};
    switch (kind) {
    case FRT_CROP_BOX:
        plan_box(&r, width, height, width_px, height_px, &crop);
        break;
    case FRT_CROP_SQUARE:
        plan_square(&r, &crop);
        break;
    case FRT_CROP_SHIFTED:
        plan_shifted(&r, width, height, &crop);
        break;
    }
    *out = crop;
    return FRT_OK;
}

static struct frt_plane_target target_of(const struct frt_model_input *input, float *data)
{
    struct frt_plane_target target = {
        .width_px = input->width_px, .height_px = input->height_px, .bgr = input->color == FRT_COLOR_BGR};
    target.data = data;
    memcpy(target.mean, input->mean, sizeof target.mean);
    memcpy(target.scale, input->scale, sizeof target.scale);
    return target;
}

void frt_face_crop_fill_chip(const uint8_t *chip, const struct frt_model_input *input, float *data)
{
    const struct frt_plane_target target = target_of(input, data);
    frt_chip_to_planes(chip, &target);
}

void frt_face_crop_fill(const struct frt_face_crop *crop, const struct frt_frame *frame,
                        const struct frt_model_input *input, float *data)
{
    const struct frt_pixels pixels = {frame->pixels, frame->width_px, frame->height_px, frame->stride_bytes};
    const struct frt_plane_target target = target_of(input, data);
    if (crop->dst_w != input->width_px || crop->dst_h != input->height_px)
        frt_planes_fill(&target, 0);
    frt_resample_to_planes(&pixels, crop->src_x, crop->src_y, crop->src_w, crop->src_h, &target, crop->dst_x,
                           crop->dst_y, crop->dst_w, crop->dst_h, 0);
}

enum frt_status frt_face_crop_align(const struct frt_frame *frame,
                                    const struct frt_point landmarks[FRT_LANDMARK_COUNT], uint32_t width_px,
                                    uint32_t height_px, uint8_t *chip, struct frt_error *err)
{
    const struct frt_align_template *template = frt_align_template_find("arcface112");
    const struct frt_pixels pixels = {frame->pixels, frame->width_px, frame->height_px, frame->stride_bytes};
    const float across = (float)width_px / (float)template->width_px;
    const float down = (float)height_px / (float)template->height_px;
    struct frt_point points[FRT_LANDMARK_COUNT];
    double to_chip[6], m[6];

    for (size_t i = 0; i < FRT_LANDMARK_COUNT; i++)
        points[i] = (struct frt_point){template->points[i].x * across, template->points[i].y * down};
    enum frt_status status = frt_align_fit(landmarks, points, FRT_LANDMARK_COUNT, to_chip, err);
    if (status == FRT_OK)
        status = frt_align_invert(to_chip, m, err);
    if (status != FRT_OK)
        return status;
    m[2] -= frame->origin_x;
    m[5] -= frame->origin_y;
    for (int i = 0; i < 3; i++) {
        m[i] /= frame->scale_x;
        m[3 + i] /= frame->scale_y;
    }
    frt_warp_to_chip(&pixels, m, chip, width_px, height_px);
    return FRT_OK;
}

enum frt_status frt_face_crop_check_input(const struct frt_model_spec *spec, const struct frt_session *session,
                                          struct frt_model_input *out, struct frt_error *err)
{
    const struct frt_session_info *info = &session->info;
    const struct frt_tensor_info *tensor = &info->inputs[0];
    struct frt_model_input input = spec->input;
    char shape[96];
    frt_tensor_shape_text(tensor->dims, tensor->n_dims, shape, sizeof shape);
    if (info->n_inputs != 1 || !tensor->is_float || tensor->n_dims != 4 || tensor->dims[1] != 3 ||
        (tensor->dims[0] != 1 && tensor->dims[0] != -1))
        return frt_fail(err, FRT_EBAD_MODEL,
                        "model %s: found %u inputs, the first %s; one f32 [1,3,height,width] fits", spec->name,
                        (unsigned)info->n_inputs, shape);
    if (tensor->dims[2] > 0 && tensor->dims[2] <= MAX_INPUT_PX && input.height_px == 0)
        input.height_px = (uint32_t)tensor->dims[2];
    if (tensor->dims[3] > 0 && tensor->dims[3] <= MAX_INPUT_PX && input.width_px == 0)
        input.width_px = (uint32_t)tensor->dims[3];
    if (input.width_px == 0 || input.height_px == 0 || input.width_px > MAX_INPUT_PX ||
        input.height_px > MAX_INPUT_PX || (tensor->dims[2] >= 0 && tensor->dims[2] != input.height_px) ||
        (tensor->dims[3] >= 0 && tensor->dims[3] != input.width_px))
        return frt_fail(
            err, FRT_EBAD_MODEL,
            "model %s: the graph takes %s, the manifest says %ux%u px; equal sides of 1 to %d px fit",
            spec->name, shape, (unsigned)input.width_px, (unsigned)input.height_px, MAX_INPUT_PX);
    *out = input;
    return FRT_OK;
}

/*
 * face-api's 68-point net ("landmarks68"): a 112×112 crop of the box between black bars, 136 numbers
 * out: x, y of each point in 0..1 of the input. The bars are taken off again with the integers by which
 * they were put on, so a point comes back to where it was seen whatever the rounding.
 */
#include "vision/landmarks.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "vision/face_crop.h"

#define N_VALUES (2 * FRT_LANDMARKS_DENSE)

struct frt_landmarker {
    const struct frt_model_spec *spec;
    const struct frt_session *session;
    struct frt_model_input input;
    double crop_scale;
};

static bool has_values(const struct frt_tensor_info *output)
{
    return output->is_float && output->n_dims >= 1 && output->dims[output->n_dims - 1] == N_VALUES;
}

enum frt_status frt_landmarker_new(const struct frt_model_spec *spec, const struct frt_session *session,
                                   struct frt_landmarker **out, struct frt_error *err)
{
    struct frt_model_input input;
    if (strcmp(spec->family, "landmarks68") != 0)
        return frt_fail(err, FRT_EBAD_MODEL, "landmarks model %s: no family \"%s\"; families: landmarks68",
                        spec->name, spec->family);
    enum frt_status status = frt_face_crop_check_input(spec, session, &input, err);
    if (status != FRT_OK)
        return status;
    if (session->info.n_outputs != 1 || !has_values(&session->info.outputs[0])) {
        char shape[96];
        frt_tensor_shape_text(session->info.outputs[0].dims, session->info.outputs[0].n_dims, shape,
                              sizeof shape);
        return frt_fail(err, FRT_EBAD_MODEL,
                        "landmarks model %s: found %u outputs, the first %s; landmarks68 expects one [1,%d]",
                        spec->name, (unsigned)session->info.n_outputs, shape, N_VALUES);
    }
    struct frt_landmarker *landmarker = frt_alloc_zero(1, sizeof *landmarker);
    if (landmarker == NULL)
        return frt_fail_nomem(err, "a landmarks model");
    landmarker->spec = spec;
    landmarker->session = session;
    landmarker->input = input;
    landmarker->crop_scale = spec->crop_scale > 0 ? (double)spec->crop_scale : 1;
    *out = landmarker;
    return FRT_OK;
}

void frt_landmarker_free(struct frt_landmarker *landmarker)
{
    frt_free(landmarker);
}

static enum frt_status place_points(const struct frt_landmarker *landmarker, const float *values,
                                    const struct frt_face_crop *crop, const struct frt_frame *frame,
                                    struct frt_point points[FRT_LANDMARKS_DENSE], struct frt_error *err)
{
    for (size_t i = 0; i < N_VALUES; i++) {
        if (!isfinite(values[i]))
            return frt_fail(err, FRT_ERUNTIME, "landmarks model %s answered with a value that is not finite",
                            landmarker->spec->name);
    }
    double step_x = crop->src_w / (double)crop->dst_w, step_y = crop->src_h / (double)crop->dst_h;
    for (size_t i = 0; i < FRT_LANDMARKS_DENSE; i++) {
        double u = (double)values[2 * i] * (double)landmarker->input.width_px - (double)crop->dst_x;
        double v = (double)values[2 * i + 1] * (double)landmarker->input.height_px - (double)crop->dst_y;
        points[i].x = (float)(frame->origin_x + (crop->src_x + u * step_x) * frame->scale_x);
        points[i].y = (float)(frame->origin_y + (crop->src_y + v * step_y) * frame->scale_y);
    }
    return FRT_OK;
}

enum frt_status frt_landmarker_run(const struct frt_landmarker *landmarker, const struct frt_frame *frame,
                                   const struct frt_box *box, struct frt_point points[FRT_LANDMARKS_DENSE],
                                   double *inference_ms, struct frt_error *err)
{
    const struct frt_model_input *input = &landmarker->input;
    struct frt_face_crop crop;
    struct frt_outputs outputs = {0};
    float *data = NULL;
    enum frt_status status = frt_face_crop_plan(FRT_CROP_BOX, frame, box, landmarker->crop_scale,
                                                input->width_px, input->height_px, &crop, err);
    if (status != FRT_OK)
        return status;
    data = frt_alloc_aligned(64, (size_t)3 * input->width_px * input->height_px * sizeof *data);
    if (data == NULL)
        return frt_fail_nomem(err, "a face crop");
    frt_face_crop_fill(&crop, frame, input, data);
    const struct frt_tensor tensor = {
        .data = data, .dims = {1, 3, (int64_t)input->height_px, (int64_t)input->width_px}, .n_dims = 4};
    status = frt_session_run(landmarker->session, &tensor, 1, &outputs, err);
    if (status != FRT_OK)
        goto done;
    if (inference_ms != NULL)
        *inference_ms += outputs.run_ms;
    if (outputs.tensors[0].data == NULL || frt_tensor_size(&outputs.tensors[0]) != N_VALUES) {
        status = frt_fail(err, FRT_EBAD_MODEL, "landmarks model %s answered with %zu values; %d are right",
                          landmarker->spec->name, frt_tensor_size(&outputs.tensors[0]), N_VALUES);
        goto done;
    }
    status = place_points(landmarker, outputs.tensors[0].data, &crop, frame, points, err);
done:
    frt_outputs_release(&outputs);
    frt_free(data);
    return status;
}

static struct frt_point mean_of(const struct frt_point *points, size_t n)
{
    struct frt_point sum = {0, 0};
    for (size_t i = 0; i < n; i++) {
        sum.x += points[i].x;
        sum.y += points[i].y;
    }
    return (struct frt_point){sum.x / (float)n, sum.y / (float)n};
}

/* iBUG 300-W order: 36..41 and 42..47 outline the eyes, 30 is the nose tip, 48 and 54 the outer mouth
 * corners. */
void frt_landmarks_reduce(const struct frt_point dense[FRT_LANDMARKS_DENSE],
                          struct frt_point five[FRT_LANDMARK_COUNT])
{
    five[FRT_LANDMARK_LEFT_EYE] = mean_of(dense + 36, 6);
    five[FRT_LANDMARK_RIGHT_EYE] = mean_of(dense + 42, 6);
    five[FRT_LANDMARK_NOSE] = dense[30];
    five[FRT_LANDMARK_MOUTH_LEFT] = dense[48];
    five[FRT_LANDMARK_MOUTH_RIGHT] = dense[54];
}

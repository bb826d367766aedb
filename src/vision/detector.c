#include "vision/detector.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "simd/resample.h"
#include "vision/detector_family.h"

#define MIN_CANVAS_PX 64   /* smallest canvas of a dynamic graph */
#define MAX_CANVAS_PX 4096 /* 201 MB of input; a larger graph is refused */
#define FITS_TEXT_MAX 384

static const struct frt_detector_family *const families[] = {
    &frt_detector_scrfd,      &frt_detector_yunet,          &frt_detector_ssd_mobilenetv1,
    &frt_detector_tiny_yolo2, &frt_detector_ultralight_rfb, &frt_detector_retinaface,
    &frt_detector_centerface,
};
#define N_FAMILIES (sizeof families / sizeof families[0])

const struct frt_detector_family *const *frt_detector_families(size_t *n)
{
    *n = N_FAMILIES;
    return families;
}

bool frt_outputs_sort(struct frt_detector *detector, uint32_t counts[FRT_OUTPUT_KINDS])
{
    static const int64_t channels_of[FRT_OUTPUT_KINDS] = {1, 4, 10};
    const struct frt_session_info *info = &detector->session->info;
    memset(counts, 0, FRT_OUTPUT_KINDS * sizeof *counts);
    for (uint32_t i = 0; i < info->n_outputs; i++) {
        int64_t channels = frt_output_channels(info->outputs[i].dims, info->outputs[i].n_dims);
        uint8_t kind = 0;
        while (kind < FRT_OUTPUT_KINDS && channels != channels_of[kind])
            kind++;
        if (kind == FRT_OUTPUT_KINDS || !info->outputs[i].is_float)
            return false;
        detector->output_kind[i] = kind;
        counts[kind]++;
    }
    return true;
}

int64_t frt_output_channels(const int64_t *dims, uint32_t n_dims)
{
    if (n_dims == 2)
        return dims[1];
    return n_dims == 3 && (dims[0] == 1 || dims[0] == -1) ? dims[2] : 0;
}

const float *frt_output_find(const struct frt_detector_decode *decode, uint8_t kind, size_t rows,
                             size_t channels)
{
    for (uint32_t i = 0; i < decode->outputs->n; i++) {
        const struct frt_tensor *tensor = &decode->outputs->tensors[i];
        if (decode->detector->output_kind[i] == kind && tensor->data != NULL &&
            frt_tensor_size(tensor) == rows * channels)
            return tensor->data;
    }
    return NULL;
}

/* ------------------------------------------------------------- refusals */

static void append_shapes(struct frt_buf *text, const struct frt_tensor_info *tensors, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        char shape[64];
        frt_tensor_shape_text(tensors[i].dims, tensors[i].n_dims, shape, sizeof shape);
        frt_buf_printf(text, "%s%s%s", i == 0 ? "" : " ", shape, tensors[i].is_float ? "" : " (not f32)");
    }
}

static void append_families(struct frt_buf *text)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        frt_buf_printf(text, "%s%s", i == 0 ? "" : ", ", families[i]->name);
}

static enum frt_status refuse_family(const struct frt_model_spec *spec, struct frt_error *err)
{
    struct frt_buf text;
    frt_buf_init(&text, FITS_TEXT_MAX);
    append_families(&text);
    enum frt_status status = frt_fail(err, FRT_EBAD_MODEL, "detector %s: no family \"%s\"; families: %s",
                                      spec->name, spec->family, text.data != NULL ? text.data : "");
    frt_buf_deinit(&text);
    return status;
}

static enum frt_status refuse_shapes(const struct frt_detector *detector, struct frt_error *err)
{
    struct frt_buf text;
    const struct frt_detector_family *other = NULL;
    frt_buf_init(&text, FITS_TEXT_MAX);
    append_shapes(&text, detector->session->info.outputs, detector->session->info.n_outputs);
    for (size_t i = 0; i < N_FAMILIES && other == NULL; i++) {
        struct frt_detector probe = *detector;
        if (families[i] != detector->family && families[i]->match(&probe))
            other = families[i];
    }
    enum frt_status status =
        frt_fail(err, FRT_EBAD_MODEL, "detector %s: found outputs %s; %s expects %s%s%s", detector->spec->name,
                 text.data != NULL ? text.data : "?", detector->family->name, detector->family->fits,
                 other != NULL ? "; these outputs fit family " : "", other != NULL ? other->name : "");
    frt_buf_deinit(&text);
    return status;
}

/* ------------------------------------------------------------- creation */

/* One side of the canvas: the graph's when fixed, else the spec's, else 0 (dynamic). */
static enum frt_status canvas_side(const struct frt_detector *detector, int64_t graph, uint32_t spec,
                                   const char *what, uint32_t *out, struct frt_error *err)
{
    uint32_t multiple = detector->family->multiple_px;
    uint32_t side = graph > 0 && graph <= MAX_CANVAS_PX ? (uint32_t)graph : 0;
    if (graph == 0 || graph > MAX_CANVAS_PX)
        return frt_fail(err, FRT_EBAD_MODEL, "detector %s: the input's %s is %lld px; 1 to %d fit",
                        detector->spec->name, what, (long long)graph, MAX_CANVAS_PX);
    if (side != 0 && spec != 0 && spec != side)
        return frt_fail(err, FRT_EBAD_MODEL, "detector %s: the manifest says %s %u px, the graph takes %u px",
                        detector->spec->name, what, (unsigned)spec, (unsigned)side);
    if (side == 0)
        side = spec;
    if (side % multiple != 0 || side > MAX_CANVAS_PX)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "detector %s: the input's %s is %u px; multiples of %u up to %d fit %s",
                        detector->spec->name, what, (unsigned)side, (unsigned)multiple, MAX_CANVAS_PX,
                        detector->family->name);
    *out = side;
    return FRT_OK;
}

static enum frt_status check_input(struct frt_detector *detector, struct frt_error *err)
{
    const struct frt_session_info *info = &detector->session->info;
    const struct frt_tensor_info *input = &info->inputs[0];
    if (info->n_inputs != 1 || input->n_dims != 4 || !input->is_float || input->dims[1] != 3 ||
        (input->dims[0] != 1 && input->dims[0] != -1)) {
        struct frt_buf text;
        frt_buf_init(&text, FITS_TEXT_MAX);
        append_shapes(&text, info->inputs, info->n_inputs);
        enum frt_status status =
            frt_fail(err, FRT_EBAD_MODEL, "detector %s: found inputs %s; one f32 [1,3,height,width] would fit",
                     detector->spec->name, text.data != NULL ? text.data : "?");
        frt_buf_deinit(&text);
        return status;
    }
    enum frt_status status = canvas_side(detector, input->dims[2], detector->input.height_px, "height",
                                         &detector->canvas_height_px, err);
    if (status == FRT_OK)
        status = canvas_side(detector, input->dims[3], detector->input.width_px, "width",
                             &detector->canvas_width_px, err);
    if (status == FRT_OK && (detector->canvas_width_px == 0 || detector->canvas_height_px == 0)) {
        if (detector->max_input_px == 0)
            return frt_fail(err, FRT_EBAD_MODEL,
                            "detector %s: the graph leaves its input's size open; family %s needs "
                            "input width and height in the manifest",
                            detector->spec->name, detector->family->name);
        if (detector->canvas_width_px != detector->canvas_height_px)
            return frt_fail(
                err, FRT_EBAD_MODEL,
                "detector %s: one side of the input is fixed, the other open; both or none would fit",
                detector->spec->name);
    }
    return status;
}

static bool has_scale(const struct frt_model_input *input)
{
    return input->scale[0] != 0 || input->scale[1] != 0 || input->scale[2] != 0;
}

static uint32_t clamp_side(uint32_t side)
{
    return side < MIN_CANVAS_PX ? MIN_CANVAS_PX : side > MAX_CANVAS_PX ? MAX_CANVAS_PX : side;
}

enum frt_status frt_detector_new(const struct frt_model_spec *spec, const struct frt_session *session,
                                 struct frt_detector **out, struct frt_error *err)
{
    const struct frt_detector_family *family = NULL;
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (strcmp(families[i]->name, spec->family) == 0)
            family = families[i];
    }
    if (family == NULL)
        return refuse_family(spec, err);

    struct frt_detector *detector = frt_alloc_zero(1, sizeof *detector);
    if (detector == NULL)
        return frt_fail_nomem(err, "a detector");
    detector->family = family;
    detector->spec = spec;
    detector->session = session;
    detector->input = has_scale(&spec->input) ? spec->input : family->input;
    detector->input.width_px = spec->input.width_px;
    detector->input.height_px = spec->input.height_px;
    detector->min_confidence = spec->min_confidence > 0 ? spec->min_confidence : family->min_confidence;
    detector->nms_iou = spec->nms_iou > 0 ? spec->nms_iou : family->nms_iou;
    if (family->max_input_px > 0)
        detector->max_input_px = clamp_side(spec->max_input_px > 0 ? spec->max_input_px : family->max_input_px);
    memset(detector->output_kind, FRT_OUTPUT_NONE, sizeof detector->output_kind);

    enum frt_status status = check_input(detector, err);
    if (status == FRT_OK && !family->match(detector))
        status = refuse_shapes(detector, err);
    if (status == FRT_OK)
        *out = detector;
    else
        frt_detector_free(detector);
    return status;
}

void frt_detector_free(struct frt_detector *detector)
{
    frt_free(detector);
}

float frt_detector_min_confidence(const struct frt_detector *detector)
{
    return detector->min_confidence;
}

uint32_t frt_detector_want_side_px(const struct frt_detector *detector)
{
    if (detector->canvas_width_px == 0)
        return detector->max_input_px;
    return detector->canvas_width_px > detector->canvas_height_px ? detector->canvas_width_px
                                                                  : detector->canvas_height_px;
}

/* ------------------------------------------------------------------ run */

/* Where the photo lies on the canvas. */
struct placement {
    uint32_t canvas_width_px, canvas_height_px;
    uint32_t width_px, height_px; /* of the scaled photo, at the top left corner */
};

static uint32_t scaled(uint32_t side, double scale, uint32_t limit)
{
    double px = floor((double)side * scale + 0.5);
    return px < 1 ? 1 : px > (double)limit ? limit : (uint32_t)px;
}

static uint32_t round_up(uint32_t side, uint32_t multiple)
{
    return (side + multiple - 1) / multiple * multiple;
}

/* shrink: 1, or less to look again for faces too large for the net */
static struct placement place(const struct frt_detector *detector, const struct frt_frame *frame, double shrink)
{
    const struct frt_detector_family *family = detector->family;
    struct placement p = {.canvas_width_px = detector->canvas_width_px,
                          .canvas_height_px = detector->canvas_height_px};
    bool dynamic = p.canvas_width_px == 0;
    uint32_t limit_x = dynamic ? detector->max_input_px : p.canvas_width_px;
    uint32_t limit_y = dynamic ? detector->max_input_px : p.canvas_height_px;
    double scale = fmin((double)limit_x / (double)frame->width_px, (double)limit_y / (double)frame->height_px);
    if (family->max_upscale > 0 && scale > (double)family->max_upscale)
        scale = (double)family->max_upscale;
    scale *= shrink;
    p.width_px = scaled(frame->width_px, scale, limit_x);
    p.height_px = scaled(frame->height_px, scale, limit_y);
    if (dynamic) {
        p.canvas_width_px = round_up(clamp_side(p.width_px), family->multiple_px);
        p.canvas_height_px = round_up(clamp_side(p.height_px), family->multiple_px);
    }
    return p;
}

/* Canvas → full-size image, for one kept detection. */
static void to_full_size(struct frt_detection *d, double step_x, double step_y, const struct frt_frame *frame)
{
    d->box.x = (float)(frame->origin_x + (double)d->box.x * step_x);
    d->box.y = (float)(frame->origin_y + (double)d->box.y * step_y);
    d->box.width = (float)((double)d->box.width * step_x);
    d->box.height = (float)((double)d->box.height * step_y);
    for (size_t i = 0; d->has_landmarks && i < FRT_LANDMARK_COUNT; i++) {
        d->landmarks[i].x = (float)(frame->origin_x + (double)d->landmarks[i].x * step_x);
        d->landmarks[i].y = (float)(frame->origin_y + (double)d->landmarks[i].y * step_y);
    }
}

static float *make_canvas(const struct frt_detector *detector, const struct frt_frame *frame,
                          const struct placement *p)
{
    size_t values = (size_t)3 * p->canvas_width_px * p->canvas_height_px; /* sides <= MAX_CANVAS_PX */
    float *data = frt_alloc_aligned(64, values * sizeof *data);
    if (data == NULL)
        return NULL;
    const struct frt_pixels pixels = {frame->pixels, frame->width_px, frame->height_px, frame->stride_bytes};
    struct frt_plane_target target = {.data = data,
                                      .width_px = p->canvas_width_px,
                                      .height_px = p->canvas_height_px,
                                      .bgr = detector->input.color == FRT_COLOR_BGR};
    memcpy(target.mean, detector->input.mean, sizeof target.mean);
    memcpy(target.scale, detector->input.scale, sizeof target.scale);
    if (p->width_px != p->canvas_width_px || p->height_px != p->canvas_height_px)
        frt_planes_fill(&target, detector->family->pad);
    frt_resample_to_planes(&pixels, 0, 0, (double)frame->width_px, (double)frame->height_px, &target, 0, 0,
                           p->width_px, p->height_px, detector->family->pad);
    return data;
}

/* One look at the frame. *n is 0 when nothing was found. */
static enum frt_status look(const struct frt_detector *detector, const struct frt_frame *frame, double shrink,
                            const struct frt_detector_params *params, struct frt_detection *out,
                            size_t capacity, size_t *n, double *inference_ms, struct frt_error *err)
{
    const struct placement p = place(detector, frame, shrink);
    struct frt_candidates candidates;
    struct frt_outputs outputs = {0};
    size_t kept = 0;
    enum frt_status status;

    frt_candidates_init(&candidates);
    float *canvas = make_canvas(detector, frame, &p);
    if (canvas == NULL)
        return frt_fail_nomem(err, "the detector's input");
    const struct frt_tensor input = {
        .data = canvas, .dims = {1, 3, (int64_t)p.canvas_height_px, (int64_t)p.canvas_width_px}, .n_dims = 4};
    status = frt_session_run(detector->session, &input, 1, &outputs, err);
    if (status != FRT_OK)
        goto done;
    if (inference_ms != NULL)
        *inference_ms += outputs.run_ms;

    const struct frt_detector_decode decode = {
        .detector = detector,
        .outputs = &outputs,
        .canvas_width_px = p.canvas_width_px,
        .canvas_height_px = p.canvas_height_px,
        .min_confidence = params->min_confidence,
        .candidates = &candidates,
    };
    status = detector->family->decode(&decode, err);
    if (status == FRT_OK)
        status = frt_nms(&candidates, params->nms_iou, out, capacity, &kept, err);
    if (status != FRT_OK)
        goto done;

    /* A face whose middle lies on the padding is none. */
    size_t inside = 0;
    for (size_t i = 0; i < kept; i++) {
        float x = out[i].box.x + out[i].box.width / 2, y = out[i].box.y + out[i].box.height / 2;
        if (x < 0 || y < 0 || x > (float)p.width_px || y > (float)p.height_px)
            continue;
        out[inside] = out[i];
        to_full_size(&out[inside++], (double)frame->width_px / (double)p.width_px * frame->scale_x,
                     (double)frame->height_px / (double)p.height_px * frame->scale_y, frame);
    }
    *n = inside;
done:
    frt_outputs_release(&outputs);
    frt_candidates_deinit(&candidates);
    frt_free(canvas);
    return status;
}

enum frt_status frt_detector_run(const struct frt_detector *detector, const struct frt_frame *frame,
                                 const struct frt_detector_params *params, struct frt_detection *out,
                                 size_t capacity, size_t *n, double *inference_ms, struct frt_error *err)
{
    const float looks[] = {detector->family->looks[0], detector->family->looks[1]};
    struct frt_detector_params p = {.min_confidence = detector->min_confidence, .nms_iou = detector->nms_iou};
    size_t found = 0;
    if (frame->width_px == 0 || frame->height_px == 0 || frame->pixels == NULL)
        return frt_fail(err, FRT_EINVAL, "a frame of %ux%u pixels given; at least one is needed",
                        (unsigned)frame->width_px, (unsigned)frame->height_px);
    if (params != NULL && params->min_confidence > 0)
        p.min_confidence = params->min_confidence;
    if (params != NULL && params->nms_iou > 0)
        p.nms_iou = params->nms_iou;
    enum frt_status status = look(detector, frame, 1, &p, out, capacity, &found, inference_ms, err);
    /* Nets of this kind overlook a face that fills the photo: look again from further away. */
    for (size_t i = 0; i < sizeof looks / sizeof looks[0] && status == FRT_OK && found == 0 && looks[i] > 0;
         i++)
        status = look(detector, frame, (double)looks[i], &p, out, capacity, &found, inference_ms, err);
    if (status == FRT_OK)
        *n = found;
    return status;
}

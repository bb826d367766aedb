/*
 * A family here is little more than a chip size and a template; mean, scale, colour order, size of the
 * embedding and map come from the spec. What differs between graphs (names, batch size, extra outputs,
 * trailing dimensions of one) is found by shape when the embedder is made, and refused there with a text
 * if it fits nothing, so that running has few ways to fail.
 *
 *     chips ── planes (batch) ──[mirrored too, if flip_average]── run ── raw ── map ── L2 ── out
 */
#include "vision/embedder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "simd/resample.h"
#include "vision/align.h"

/* Chips in one run of a graph with a free batch: enough to feed the cores, little memory (8 chips of
 * 150² are 2 MB of input). */
enum { MAX_BATCH = 32, BATCH_IN_A_ROW = 8 /* of chips that lie in a row: the CPU's */ };

/* A family is a line here, and a template of align.c when it needs its own. */
static const struct frt_embedder_family families[] = {
    {"arcface", 112, 112, "arcface112"}, /* ArcFace, AdaFace, MobileFaceNet */
    {"sface", 112, 112, "arcface112"},
    {"facenet", 160, 160, "facenet160"},
    {"dlib_resnet", 150, 150, "dlib150"},
};
#define N_FAMILIES (sizeof families / sizeof *families)

const struct frt_embedder_family *frt_embedder_families(size_t *n)
{
    *n = N_FAMILIES;
    return families;
}

struct frt_embedder {
    const struct frt_session *session;
    const struct frt_align_template *template;
    struct frt_plane_target input; /* data NULL: size, order, mean and scale only */
    uint32_t output;               /* index of the embedding among the outputs */
    uint32_t dim;
    uint32_t batch; /* most chips in one run */
    bool flip_average;
    enum frt_embedding_map map;
    float *centre; /* f32[dim], owned; NULL = the map is plain L2. For the cap: the unit vector */
    double radius; /* of the cap */
};

/* "[1,3,112,112]", a free dimension as "?" */
static void shape_text(const struct frt_tensor_info *info, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < info->n_dims && used + 24 < size; i++) {
        char dim[24];
        const int n = info->dims[i] < 0 ? snprintf(dim, sizeof dim, "?")
                                        : snprintf(dim, sizeof dim, "%lld", (long long)info->dims[i]);
        out[used++] = i == 0 ? '[' : ',';
        memcpy(out + used, dim, (size_t)n + 1);
        used += (size_t)n;
    }
    if (used > 0) {
        out[used] = ']';
        out[used + 1] = '\0';
    }
}

static const struct frt_embedder_family *find_family(const char *name)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (strcmp(name, families[i].name) == 0)
            return &families[i];
    }
    return NULL;
}

static enum frt_status refuse_family(const struct frt_model_spec *spec, struct frt_error *err)
{
    char names[160] = "";
    for (size_t i = 0; i < N_FAMILIES; i++) {
        size_t used = strlen(names);
        (void)snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : ", ", families[i].name);
    }
    return frt_fail(err, FRT_EBAD_MODEL, "model %s: no embedder family \"%s\"; there are: %s", spec->name,
                    spec->family, names);
}

static bool fits(int64_t dim, uint32_t want)
{
    return dim == want || dim < 0;
}

static enum frt_status check_input(const struct frt_model_spec *spec, const struct frt_session *session,
                                   struct frt_embedder *e, struct frt_error *err)
{
    const struct frt_session_info *info = &session->info;
    const uint32_t w = e->template->width_px, h = e->template->height_px;
    if (info->n_inputs != 1)
        return frt_fail(err, FRT_EBAD_MODEL, "model %s: %u inputs; an embedder of family %s has one",
                        spec->name, info->n_inputs, spec->family);
    const struct frt_tensor_info *in = &info->inputs[0];
    char found[160];
    shape_text(in, found, sizeof found);
    if (!in->is_float || in->n_dims != 4 || !(in->dims[0] == 1 || in->dims[0] < 0) || !fits(in->dims[1], 3) ||
        !fits(in->dims[2], h) || !fits(in->dims[3], w))
        return frt_fail(err, FRT_EBAD_MODEL,
                        "model %s: input %s is %s%s; family %s with template %s wants f32 [1 or free,3,%u,%u]",
                        spec->name, in->name, in->is_float ? "" : "not f32, ", found, spec->family,
                        e->template->name, h, w);
    e->batch = in->dims[0] == 1 ? 1 : MAX_BATCH;
    return FRT_OK;
}

/* Floats in a row of an output [N,dim], [N,dim,1,1] or, for a graph of one chip, [dim]; 0 when it has no
 * such shape, -1 when it is free. */
static int64_t row_size(const struct frt_tensor_info *out, uint32_t batch)
{
    if (!out->is_float || out->n_dims == 0)
        return 0;
    if (out->n_dims == 1)
        return batch == 1 ? out->dims[0] : 0;
    if (!(out->dims[0] == 1 || out->dims[0] < 0))
        return 0;
    for (uint32_t i = 2; i < out->n_dims; i++) {
        if (out->dims[i] != 1 && out->dims[i] >= 0)
            return 0;
    }
    return out->dims[1];
}

static enum frt_status find_output(const struct frt_model_spec *spec, const struct frt_session *session,
                                   struct frt_embedder *e, struct frt_error *err)
{
    const struct frt_session_info *info = &session->info;
    char found[400] = "";
    int64_t best = 0;
    for (uint32_t i = 0; i < info->n_outputs; i++) {
        const int64_t size = row_size(&info->outputs[i], e->batch);
        /* without a size in the spec, the widest row is the embedding; its norm may be a second output */
        const bool better =
            spec->dim > 0 ? best != spec->dim && (size == spec->dim || (size < 0 && best == 0)) : size > best;
        if (better) {
            best = size;
            e->output = i;
        }
        char shape[160];
        shape_text(&info->outputs[i], shape, sizeof shape);
        const size_t used = strlen(found);
        (void)snprintf(found + used, sizeof found - used, "%s%.40s %s", i == 0 ? "" : ", ",
                       info->outputs[i].name, shape);
    }
    if (best == 0 || (spec->dim == 0 && best < 2))
        return spec->dim > 0
                   ? frt_fail(err, FRT_EBAD_MODEL,
                              "model %s: outputs are %s; the manifest says an embedding of %u floats, which "
                              "needs an output [N,%u]",
                              spec->name, found, spec->dim, spec->dim)
                   : frt_fail(err, FRT_EBAD_MODEL,
                              "model %s: outputs are %s; an embedder needs an output [N,dim]", spec->name,
                              found);
    e->dim = spec->dim > 0 ? spec->dim : (uint32_t)best;
    if (e->dim > FRT_MAX_DIM)
        return frt_fail(err, FRT_EBAD_MODEL, "model %s: embedding of %u floats; at most %u fit", spec->name,
                        e->dim, (unsigned)FRT_MAX_DIM);
    return FRT_OK;
}

static double length(const float *row, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)row[i] * (double)row[i];
    return sqrt(sum);
}

static enum frt_status copy_map(const struct frt_model_spec *spec, struct frt_embedder *e,
                                struct frt_error *err)
{
    if (spec->map == FRT_MAP_L2)
        return FRT_OK;
    if (spec->map != FRT_MAP_CENTER_L2 && spec->map != FRT_MAP_CAP)
        return frt_fail(err, FRT_EBAD_MODEL, "model %s: unknown embedding map %d", spec->name, (int)spec->map);
    if (spec->centre == NULL || spec->dim != e->dim)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "model %s: its map needs a centre, and the manifest has none of %u floats", spec->name,
                        e->dim);
    for (uint32_t i = 0; i < e->dim; i++) {
        if (!isfinite(spec->centre[i]))
            return frt_fail(err, FRT_EBAD_MODEL, "model %s: value %u of the centre is not finite", spec->name,
                            i);
    }
    e->centre = frt_alloc_array(e->dim, sizeof *e->centre);
    if (e->centre == NULL)
        return frt_fail_nomem(err, "embedder");
    memcpy(e->centre, spec->centre, e->dim * sizeof *e->centre);
    if (spec->map != FRT_MAP_CAP)
        return FRT_OK;
    e->radius = length(e->centre, e->dim);
    if (!isfinite(e->radius) || !(e->radius > 1e-6))
        return frt_fail(err, FRT_EBAD_MODEL, "model %s: the centre of a cap map must not be zero", spec->name);
    for (uint32_t i = 0; i < e->dim; i++)
        e->centre[i] = (float)((double)e->centre[i] / e->radius);
    return FRT_OK;
}

enum frt_status frt_embedder_new(const struct frt_model_spec *spec, const struct frt_session *session,
                                 struct frt_embedder **out, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    struct frt_embedder *e = NULL;
    const struct frt_embedder_family *family = find_family(spec->family);
    if (family == NULL)
        return refuse_family(spec, err);
    const char *name = spec->template_name[0] != '\0' ? spec->template_name : family->template_name;
    const struct frt_align_template *template = frt_align_template_find(name);
    if (template == NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "model %s: no alignment template \"%s\"; there are: %s",
                        spec->name, name, frt_align_template_names());
    if (template->width_px != family->width_px || template->height_px != family->height_px)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "model %s: template %s makes chips of %u×%u; family %s wants %u×%u", spec->name, name,
                        template->width_px, template->height_px, spec->family, family->width_px,
                        family->height_px);
    if ((spec->input.width_px != 0 && spec->input.width_px != template->width_px) ||
        (spec->input.height_px != 0 && spec->input.height_px != template->height_px))
        return frt_fail(err, FRT_EBAD_MODEL,
                        "model %s: the manifest says input %u×%u; template %s makes chips of %u×%u", spec->name,
                        spec->input.width_px, spec->input.height_px, name, template->width_px,
                        template->height_px);

    e = frt_alloc_zero(1, sizeof *e);
    if (e == NULL)
        return frt_fail_nomem(err, "embedder");
    e->session = session;
    e->template = template;
    e->flip_average = spec->flip_average;
    e->map = spec->map;
    e->input = (struct frt_plane_target){.width_px = template->width_px,
                                         .height_px = template->height_px,
                                         .bgr = spec->input.color == FRT_COLOR_BGR};
    memcpy(e->input.mean, spec->input.mean, sizeof e->input.mean);
    memcpy(e->input.scale, spec->input.scale, sizeof e->input.scale);
    status = check_input(spec, session, e, err);
    if (status == FRT_OK)
        status = find_output(spec, session, e, err);
    if (status == FRT_OK)
        status = copy_map(spec, e, err);
    if (status != FRT_OK)
        goto done;
    *out = e;
    e = NULL;
done:
    frt_embedder_free(e);
    return status;
}

void frt_embedder_free(struct frt_embedder *embedder)
{
    if (embedder == NULL)
        return;
    frt_free(embedder->centre);
    frt_free(embedder);
}

uint32_t frt_embedder_dim(const struct frt_embedder *embedder)
{
    return embedder->dim;
}

size_t frt_embedder_chip_bytes(const struct frt_embedder *embedder)
{
    return (size_t)embedder->template->width_px * embedder->template->height_px * 3;
}

/* Chip → upright full size. The fit is made towards the template and then inverted, as in training: least
 * squares the other way would give another scale for faces that the template fits badly. */
static enum frt_status chip_to_image(const struct frt_embedder *e, const struct frt_point *landmarks,
                                     double m[6], struct frt_error *err)
{
    double to_chip[6];
    enum frt_status status = frt_align_fit(landmarks, e->template->points, FRT_LANDMARK_COUNT, to_chip, err);
    if (status == FRT_OK)
        status = frt_align_invert(to_chip, m, err);
    return status;
}

enum frt_status frt_embedder_step(const struct frt_embedder *embedder,
                                  const struct frt_point landmarks[FRT_LANDMARK_COUNT], double *step,
                                  struct frt_error *err)
{
    double m[6];
    const enum frt_status status = chip_to_image(embedder, landmarks, m, err);
    if (status == FRT_OK)
        *step = hypot(m[0], m[3]);
    return status;
}

enum frt_status frt_embedder_region(const struct frt_embedder *embedder,
                                    const struct frt_point landmarks[FRT_LANDMARK_COUNT],
                                    struct frt_box *region, struct frt_error *err)
{
    double m[6], low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    const enum frt_status status = chip_to_image(embedder, landmarks, m, err);
    if (status != FRT_OK)
        return status;
    for (int corner = 0; corner < 4; corner++) {
        const double u = corner & 1 ? embedder->template->width_px : 0;
        const double v = corner & 2 ? embedder->template->height_px : 0;
        for (int axis = 0; axis < 2; axis++) {
            const double at = m[3 * axis] * u + m[3 * axis + 1] * v + m[3 * axis + 2];
            low[axis] = fmin(low[axis], at);
            high[axis] = fmax(high[axis], at);
        }
    }
    region->x = (float)low[0];
    region->y = (float)low[1];
    region->width = (float)(high[0] - low[0]);
    region->height = (float)(high[1] - low[1]);
    return FRT_OK;
}

enum frt_status frt_embedder_align(const struct frt_embedder *embedder, const struct frt_frame *frame,
                                   const struct frt_point landmarks[FRT_LANDMARK_COUNT], uint8_t *chip,
                                   struct frt_error *err)
{
    double m[6];
    const enum frt_status status = chip_to_image(embedder, landmarks, m, err);
    if (status != FRT_OK)
        return status;
    m[2] -= frame->origin_x;
    m[5] -= frame->origin_y;
    for (int i = 0; i < 3; i++) {
        m[i] /= frame->scale_x;
        m[3 + i] /= frame->scale_y;
    }
    const struct frt_pixels pixels = {.data = frame->pixels,
                                      .width_px = frame->width_px,
                                      .height_px = frame->height_px,
                                      .stride_bytes = frame->stride_bytes};
    frt_warp_to_chip(&pixels, m, chip, embedder->template->width_px, embedder->template->height_px);
    return FRT_OK;
}

/* Mirror `count` rows of `width` floats in place. */
static void mirror_rows(float *rows, size_t count, uint32_t width)
{
    for (size_t r = 0; r < count; r++, rows += width) {
        for (uint32_t i = 0, j = width - 1; i < j; i++, j--) {
            const float t = rows[i];
            rows[i] = rows[j];
            rows[j] = t;
        }
    }
}

/* Run one batch and add its raw embeddings onto sums f32[n][dim]. */
static enum frt_status run_batch(const struct frt_embedder *e, const float *planes, size_t n, float *sums,
                                 double *inference_ms, struct frt_error *err)
{
    const struct frt_tensor input = {
        .data = planes, .dims = {(int64_t)n, 3, e->input.height_px, e->input.width_px}, .n_dims = 4};
    struct frt_outputs outputs = {0};
    enum frt_status status = frt_session_run(e->session, &input, 1, &outputs, err);
    if (status != FRT_OK)
        return status;
    *inference_ms += outputs.run_ms;
    const struct frt_tensor *answer = &outputs.tensors[e->output];
    if (frt_tensor_size(answer) != n * e->dim) {
        status = frt_fail(err, FRT_ERUNTIME, "embedder answered %zu floats for %zu faces of %u",
                          frt_tensor_size(answer), n, e->dim);
        goto done;
    }
    for (size_t i = 0; i < n * e->dim; i++)
        sums[i] += answer->data[i];
done:
    frt_outputs_release(&outputs);
    return status;
}

/* FRT_MAP_CAP of model_spec.h, in place; `norm` is the row's. */
static void map_cap(const struct frt_embedder *e, float *row, double norm)
{
    double along = 0, across = 0;
    for (uint32_t i = 0; i < e->dim; i++)
        along += (double)row[i] * (double)e->centre[i];
    for (uint32_t i = 0; i < e->dim; i++) {
        const double t = (double)row[i] - along * (double)e->centre[i];
        across += t * t;
    }
    across = sqrt(across);
    /* |t| of z = x / sqrt(|x|), in radii; what is longer lies on the rim */
    const double reach = fmin(across / sqrt(norm) / e->radius, 1);
    const double scale = across > 0 ? reach / across : 0, height = sqrt(1 - reach * reach);
    for (uint32_t i = 0; i < e->dim; i++) {
        const double u = (double)e->centre[i];
        row[i] = (float)(((double)row[i] - along * u) * scale + height * u);
    }
}

/* The spec's map, in place. The row is a sum of `runs` answers. */
static enum frt_status map_row(const struct frt_embedder *e, float *row, uint32_t runs, struct frt_error *err)
{
    for (uint32_t i = 0; i < e->dim; i++) {
        row[i] /= (float)runs;
        if (e->map == FRT_MAP_CENTER_L2)
            row[i] -= e->centre[i];
    }
    double norm = length(row, e->dim);
    if (!isfinite(norm) || !(norm > 1e-12))
        return frt_fail(err, FRT_ERUNTIME, "embedder answered a vector that is %s",
                        isfinite(norm) ? "zero" : "not finite");
    if (e->map == FRT_MAP_CAP) {
        map_cap(e, row, norm);
        norm = length(row, e->dim); /* 1 but for rounding */
    }
    for (uint32_t i = 0; i < e->dim; i++)
        row[i] = (float)((double)row[i] / norm);
    return FRT_OK;
}

enum frt_status frt_embedder_finish(const struct frt_embedder *embedder, float *raw, struct frt_error *err)
{
    return map_row(embedder, raw, 1, err);
}

uint32_t frt_embedder_output(const struct frt_embedder *embedder)
{
    return embedder->output;
}

uint32_t frt_embedder_batch(const struct frt_embedder *embedder)
{
    return embedder->batch;
}

const char *frt_embedder_device(const struct frt_embedder *embedder)
{
    return frt_session_device(embedder->session);
}

/* `each` chip by its pointer; NULL: one after the other from `chips` on. */
static enum frt_status run(const struct frt_embedder *e, const uint8_t *const *each, const uint8_t *chips,
                           size_t n, float *out, double *inference_ms, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    float *planes = NULL, *rows = NULL;
    double spent_ms = 0;
    size_t total;
    if (n == 0)
        return FRT_OK;
    const size_t most = each == NULL && e->batch > BATCH_IN_A_ROW ? BATCH_IN_A_ROW : e->batch;
    const size_t batch = n < most ? n : most;
    const size_t chip_floats = frt_embedder_chip_bytes(e);
    if (!frt_mul_size(n, e->dim, &total))
        return frt_fail_nomem(err, "embeddings");
    planes = frt_alloc_array(batch * chip_floats, sizeof *planes);
    rows = frt_alloc_zero(total, sizeof *rows);
    if (planes == NULL || rows == NULL) {
        status = frt_fail_nomem(err, "embeddings");
        goto done;
    }
    for (size_t begin = 0, count; begin < n; begin += count) {
        count = n - begin < batch ? n - begin : batch;
        for (size_t i = 0; i < count; i++) {
            struct frt_plane_target target = e->input;
            target.data = planes + i * chip_floats;
            frt_chip_to_planes(each != NULL ? each[begin + i] : chips + (begin + i) * chip_floats, &target);
        }
        status = run_batch(e, planes, count, rows + begin * e->dim, &spent_ms, err);
        if (status == FRT_OK && e->flip_average) {
            mirror_rows(planes, count * 3 * e->input.height_px, e->input.width_px);
            status = run_batch(e, planes, count, rows + begin * e->dim, &spent_ms, err);
        }
        if (status != FRT_OK)
            goto done;
    }
    for (size_t i = 0; i < n && status == FRT_OK; i++)
        status = map_row(e, rows + i * e->dim, e->flip_average ? 2 : 1, err);
    if (status != FRT_OK)
        goto done;
    memcpy(out, rows, total * sizeof *out);
    *inference_ms += spent_ms;
done:
    frt_free(planes);
    frt_free(rows);
    return status;
}

enum frt_status frt_embedder_run(const struct frt_embedder *embedder, const uint8_t *chips, size_t n,
                                 float *out, double *inference_ms, struct frt_error *err)
{
    return run(embedder, NULL, chips, n, out, inference_ms, err);
}

enum frt_status frt_embedder_run_each(const struct frt_embedder *embedder, const uint8_t *const *chips,
                                      size_t n, float *out, double *inference_ms, struct frt_error *err)
{
    return run(embedder, chips, NULL, n, out, inference_ms, err);
}

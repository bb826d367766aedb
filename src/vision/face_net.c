/*
 * Families of one-crop nets:
 *
 *   family       role        crop                              output
 *   minifasnet   liveness    box × 2.7 or 4 (manifest), moved  3 classes, real_index (1) = real
 *                            inside the photo, stretched
 *   antispoof    liveness    square, box × 1.4                 one probability of "real"
 *   liveness     liveness    square, box × 1.4                 2 classes, real_index (0) = real
 *   age_gender   age_gender  box between black bars            years; 2 classes, labels or male, female
 *   expression   expression  box between black bars            7 classes, by labels
 *   lightqnet    quality     aligned (arcface112, stretched)   one score of 0..1
 *
 * Class outputs may be probabilities or logits: rows that are not within 0..1 and do not sum to one go
 * through a softmax. Sources: minivision-ai Silent-Face-Anti-Spoofing (generate_patches.py);
 * @vladmandic/human (face/antispoof.ts, blazeface.ts); @vladmandic/face-api (NetInput.ts);
 * KaenChan/lightqnet (Chen, Yi & Lv 2021, "LightQNet").
 */
#include "vision/face_net.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "vision/face_crop.h"

#define MAX_CLASSES FRT_SPEC_MAX_LABELS
#define FAMILIES_TEXT_MAX 128

struct net_family {
    const char *name;
    enum frt_model_role role;
    enum frt_crop_kind crop;
    float crop_scale;    /* when the spec says nothing */
    uint32_t real_index; /* when the spec says nothing */
    uint32_t n_outputs;
    uint32_t n_values[2]; /* of each output, in this order of meaning */
    bool aligned;         /* by landmarks, in place of the crop of the box */
    const char *fits;
};

static const struct net_family families[] = {
    {"minifasnet", FRT_ROLE_LIVENESS, FRT_CROP_SHIFTED, 2.7f, 1, 1, {3, 0}, false, "one output [1,3]"},
    {"antispoof", FRT_ROLE_LIVENESS, FRT_CROP_SQUARE, 1.4f, 0, 1, {1, 0}, false, "one output [1,1]"},
    {"liveness", FRT_ROLE_LIVENESS, FRT_CROP_SQUARE, 1.4f, 0, 1, {2, 0}, false, "one output [1,2]"},
    {"age_gender", FRT_ROLE_AGE_GENDER, FRT_CROP_BOX, 1, 0, 2, {1, 2}, false, "two outputs, [1,1] and [1,2]"},
    {"expression", FRT_ROLE_EXPRESSION, FRT_CROP_BOX, 1, 0, 1, {7, 0}, false, "one output [1,7]"},
    {"lightqnet", FRT_ROLE_QUALITY, FRT_CROP_BOX, 1, 0, 1, {1, 0}, true, "one output [1,1]"},
};
#define N_FAMILIES (sizeof families / sizeof families[0])

struct frt_face_net {
    const struct net_family *family;
    const struct frt_model_spec *spec;
    const struct frt_session *session;
    struct frt_model_input input;
    double crop_scale;
    uint32_t real_index;
    uint32_t output_at[2];                                 /* place among the graph's outputs of each meaning */
    enum frt_expression expressions[FRT_EXPRESSION_COUNT]; /* class → expression */
    uint32_t male_index;
};

const char *frt_expression_name(enum frt_expression expression)
{
    static const char *const names[FRT_EXPRESSION_COUNT] = {"neutral", "happy",     "sad",      "angry",
                                                            "fearful", "disgusted", "surprised"};
    return (unsigned)expression < FRT_EXPRESSION_COUNT ? names[expression] : "unknown";
}

/* -------------------------------------------------------------- creation */

static const struct net_family *find_family(const struct frt_model_spec *spec)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (families[i].role == spec->role && strcmp(families[i].name, spec->family) == 0)
            return &families[i];
    }
    return NULL;
}

static enum frt_status refuse_family(const struct frt_model_spec *spec, struct frt_error *err)
{
    char names[FAMILIES_TEXT_MAX] = "";
    size_t used = 0;
    for (size_t i = 0; i < N_FAMILIES && used < sizeof names; i++) {
        if (families[i].role != spec->role)
            continue;
        int n = snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", families[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
    return frt_fail(err, FRT_EBAD_MODEL, "model %s: no family \"%s\" for its role; families: %s", spec->name,
                    spec->family, used > 0 ? names : "none");
}

static int64_t values_of(const struct frt_tensor_info *output)
{
    return output->is_float && output->n_dims >= 1 && output->n_dims <= 2 ? output->dims[output->n_dims - 1]
                                                                          : 0;
}

/* Which of the graph's outputs is which, by their sizes. */
static enum frt_status match_outputs(struct frt_face_net *net, struct frt_error *err)
{
    const struct frt_session_info *info = &net->session->info;
    const struct net_family *family = net->family;
    uint32_t matched = 0;
    for (uint32_t k = 0; k < family->n_outputs && info->n_outputs == family->n_outputs; k++) {
        for (uint32_t i = 0; i < info->n_outputs; i++) {
            if (values_of(&info->outputs[i]) == family->n_values[k]) {
                net->output_at[k] = i;
                matched++;
                break;
            }
        }
    }
    if (matched == family->n_outputs)
        return FRT_OK;
    char first[96];
    frt_tensor_shape_text(info->outputs[0].dims, info->outputs[0].n_dims, first, sizeof first);
    return frt_fail(err, FRT_EBAD_MODEL, "model %s: found %u outputs, the first %s; %s expects %s",
                    net->spec->name, (unsigned)info->n_outputs, first, family->name, family->fits);
}

static enum frt_status read_expression_labels(struct frt_face_net *net, struct frt_error *err)
{
    const struct frt_model_spec *spec = net->spec;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < FRT_EXPRESSION_COUNT; i++)
        net->expressions[i] = (enum frt_expression)i;
    if (spec->n_labels == 0)
        return FRT_OK;
    for (uint32_t i = 0; i < spec->n_labels && i < FRT_EXPRESSION_COUNT; i++) {
        for (uint32_t k = 0; k < FRT_EXPRESSION_COUNT; k++) {
            if (strcmp(spec->labels[i], frt_expression_name((enum frt_expression)k)) == 0) {
                net->expressions[i] = (enum frt_expression)k;
                seen |= 1u << k;
            }
        }
    }
    if (spec->n_labels != FRT_EXPRESSION_COUNT || seen != (1u << FRT_EXPRESSION_COUNT) - 1)
        return frt_fail(
            err, FRT_EBAD_MODEL,
            "model %s: its labels are not the seven expressions neutral, happy, sad, angry, fearful, "
            "disgusted, surprised",
            spec->name);
    return FRT_OK;
}

static enum frt_status read_labels(struct frt_face_net *net, struct frt_error *err)
{
    const struct frt_model_spec *spec = net->spec;
    net->real_index = spec->real_index;
    if (spec->role == FRT_ROLE_LIVENESS) {
        uint32_t n = net->family->n_values[0];
        bool labelled = false;
        for (uint32_t i = 0; i < spec->n_labels && i < n; i++) {
            if (strcmp(spec->labels[i], "real") == 0) {
                net->real_index = i;
                labelled = true;
            }
        }
        if (!labelled && spec->real_index == 0)
            net->real_index = net->family->real_index;
        if (net->real_index >= n)
            return frt_fail(err, FRT_EBAD_MODEL, "model %s: real_index is %u; 0 to %u fit", spec->name,
                            (unsigned)net->real_index, (unsigned)(n - 1));
    }
    if (spec->role == FRT_ROLE_AGE_GENDER && spec->n_labels == 2)
        net->male_index = strcmp(spec->labels[1], "male") == 0;
    return spec->role == FRT_ROLE_EXPRESSION ? read_expression_labels(net, err) : FRT_OK;
}

enum frt_status frt_face_net_new(const struct frt_model_spec *spec, const struct frt_session *session,
                                 struct frt_face_net **out, struct frt_error *err)
{
    const struct net_family *family = find_family(spec);
    struct frt_face_net *net = NULL;
    enum frt_status status;
    if (family == NULL)
        return refuse_family(spec, err);
    net = frt_alloc_zero(1, sizeof *net);
    if (net == NULL)
        return frt_fail_nomem(err, "a face net");
    net->family = family;
    net->spec = spec;
    net->session = session;
    net->crop_scale = (double)(spec->crop_scale > 0 ? spec->crop_scale : family->crop_scale);
    status = frt_face_crop_check_input(spec, session, &net->input, err);
    if (status == FRT_OK)
        status = match_outputs(net, err);
    if (status == FRT_OK)
        status = read_labels(net, err);
    if (status == FRT_OK)
        *out = net;
    else
        frt_face_net_free(net);
    return status;
}

void frt_face_net_free(struct frt_face_net *net)
{
    frt_free(net);
}

enum frt_model_role frt_face_net_role(const struct frt_face_net *net)
{
    return net->family->role;
}

double frt_face_net_step(const struct frt_face_net *net, const struct frt_box *box)
{
    double side = fmax((double)box->width, (double)box->height) * net->crop_scale;
    return side /
           (double)(net->input.width_px > net->input.height_px ? net->input.width_px : net->input.height_px);
}

double frt_face_net_margin(const struct frt_face_net *net)
{
    return net->crop_scale;
}

/* ------------------------------------------------------------------- run */

/* Probabilities of n classes. FRT_ERUNTIME for values that are not finite. */
static enum frt_status read_classes(const struct frt_face_net *net, const float *values, uint32_t n, float *out,
                                    struct frt_error *err)
{
    float most = -INFINITY, sum = 0;
    bool probabilities = true;
    for (uint32_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            return frt_fail(err, FRT_ERUNTIME, "model %s answered with a value that is not finite",
                            net->spec->name);
        most = fmaxf(most, values[i]);
        sum += values[i];
        probabilities = probabilities && values[i] >= 0 && values[i] <= 1;
    }
    if (probabilities && fabsf(sum - 1) <= 0.01f) {
        memcpy(out, values, n * sizeof *out);
        return FRT_OK;
    }
    sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = expf(values[i] - most);
        sum += out[i];
    }
    for (uint32_t i = 0; i < n; i++)
        out[i] /= sum;
    return FRT_OK;
}

static enum frt_status read_liveness(const struct frt_face_net *net, const float *values, struct frt_face *face,
                                     struct frt_error *err)
{
    float classes[MAX_CLASSES] = {0};
    uint32_t n = net->family->n_values[0];
    if (n == 1) {
        if (!isfinite(values[0]))
            return frt_fail(err, FRT_ERUNTIME, "model %s answered with a value that is not finite",
                            net->spec->name);
        classes[0] = values[0] < 0 ? 0 : values[0] > 1 ? 1 : values[0];
    } else {
        enum frt_status status = read_classes(net, values, n, classes, err);
        if (status != FRT_OK)
            return status;
    }
    face->liveness.spoof_confidence = 1 - classes[net->real_index];
    face->liveness.real = face->liveness.spoof_confidence < 0.5f;
    face->attributes |= FRT_ATTRIBUTE_LIVENESS;
    return FRT_OK;
}

static enum frt_status read_age_gender(const struct frt_face_net *net, const float *age, const float *gender,
                                       struct frt_face *face, struct frt_error *err)
{
    float classes[2] = {0};
    enum frt_status status = read_classes(net, gender, 2, classes, err);
    if (status == FRT_OK && !isfinite(age[0]))
        status =
            frt_fail(err, FRT_ERUNTIME, "model %s answered with an age that is not finite", net->spec->name);
    if (status != FRT_OK)
        return status;
    float male = classes[net->male_index];
    face->age = age[0] < 0 ? 0 : age[0];
    face->gender = male > 0.5f ? FRT_GENDER_MALE : FRT_GENDER_FEMALE;
    face->gender_probability = male > 0.5f ? male : 1 - male;
    face->attributes |= FRT_ATTRIBUTE_AGE | FRT_ATTRIBUTE_GENDER;
    return FRT_OK;
}

static enum frt_status read_expression(const struct frt_face_net *net, const float *values,
                                       struct frt_face *face, struct frt_error *err)
{
    float classes[FRT_EXPRESSION_COUNT] = {0};
    size_t best = 0;
    enum frt_status status = read_classes(net, values, FRT_EXPRESSION_COUNT, classes, err);
    if (status != FRT_OK)
        return status;
    for (size_t i = 1; i < FRT_EXPRESSION_COUNT; i++) {
        if (classes[i] > classes[best])
            best = i;
    }
    face->expression = net->expressions[best];
    face->expression_probability = classes[best];
    face->attributes |= FRT_ATTRIBUTE_EXPRESSION;
    return FRT_OK;
}

static enum frt_status read_quality(const struct frt_face_net *net, const float *values, struct frt_face *face,
                                    struct frt_error *err)
{
    if (!isfinite(values[0]))
        return frt_fail(err, FRT_ERUNTIME, "model %s answered with a value that is not finite",
                        net->spec->name);
    face->quality.score = values[0] < 0 ? 0 : values[0] > 1 ? 1 : values[0];
    face->attributes |= FRT_ATTRIBUTE_QUALITY;
    return FRT_OK;
}

/* The answer of meaning k; NULL when its size is not the family's. */
static const float *find_values(const struct frt_face_net *net, const struct frt_outputs *outputs, uint32_t k)
{
    const struct frt_tensor *tensor = &outputs->tensors[net->output_at[k]];
    return frt_tensor_size(tensor) == net->family->n_values[k] ? tensor->data : NULL;
}

static enum frt_status read_outputs(const struct frt_face_net *net, const struct frt_outputs *outputs,
                                    struct frt_face *face, struct frt_error *err)
{
    bool two = net->family->n_outputs == 2;
    const float *first = find_values(net, outputs, 0);
    const float *second = two ? find_values(net, outputs, 1) : NULL;
    if (first == NULL || (two && second == NULL))
        return frt_fail(err, FRT_EBAD_MODEL, "model %s answered otherwise than it announced; %s expects %s",
                        net->spec->name, net->family->name, net->family->fits);
    if (two)
        return read_age_gender(net, first, second, face, err);
    if (net->family->role == FRT_ROLE_QUALITY)
        return read_quality(net, first, face, err);
    return net->family->role == FRT_ROLE_LIVENESS ? read_liveness(net, first, face, err)
                                                  : read_expression(net, first, face, err);
}

/* The net's input, f32[3][height][width]. */
static enum frt_status fill_input(const struct frt_face_net *net, const struct frt_frame *frame,
                                  const struct frt_face *face, float *data, struct frt_error *err)
{
    const struct frt_model_input *input = &net->input;
    if (!net->family->aligned) {
        struct frt_face_crop crop;
        enum frt_status status = frt_face_crop_plan(net->family->crop, frame, &face->box, net->crop_scale,
                                                    input->width_px, input->height_px, &crop, err);
        if (status == FRT_OK)
            frt_face_crop_fill(&crop, frame, input, data);
        return status;
    }
    uint8_t *chip = frt_alloc_array((size_t)input->width_px * input->height_px, 3);
    if (chip == NULL)
        return frt_fail_nomem(err, "an aligned face");
    enum frt_status status =
        frt_face_crop_align(frame, face->landmarks, input->width_px, input->height_px, chip, err);
    if (status == FRT_OK)
        frt_face_crop_fill_chip(chip, input, data);
    frt_free(chip);
    return status;
}

enum frt_status frt_face_net_run(const struct frt_face_net *net, const struct frt_frame *frame,
                                 struct frt_face *face, double *inference_ms, struct frt_error *err)
{
    const struct frt_model_input *input = &net->input;
    struct frt_outputs outputs = {0};
    float *data = frt_alloc_aligned(64, (size_t)3 * input->width_px * input->height_px * sizeof *data);
    if (data == NULL)
        return frt_fail_nomem(err, "a face crop");
    enum frt_status status = fill_input(net, frame, face, data, err);
    const struct frt_tensor tensor = {
        .data = data, .dims = {1, 3, (int64_t)input->height_px, (int64_t)input->width_px}, .n_dims = 4};
    if (status == FRT_OK)
        status = frt_session_run(net->session, &tensor, 1, &outputs, err);
    if (status == FRT_OK) {
        if (inference_ms != NULL)
            *inference_ms += outputs.run_ms;
        status = read_outputs(net, &outputs, face, err);
    }
    frt_outputs_release(&outputs);
    frt_free(data);
    return status;
}

#include "engine/model_guess.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/graph_head.h"
#include "model/model_file.h"
#include "vision/detector_family.h"

static const size_t MAX_MODEL_BYTES = (size_t)1 << 30;

const char *frt_guess_sure_text(enum frt_guess_sure sure)
{
    static const char *const words[] = {"as you said", "certain", "likely", "unsure"};
    return words[(unsigned)sure <= FRT_GUESS_UNSURE ? sure : FRT_GUESS_UNSURE];
}

void frt_model_guess_note(struct frt_model_guess *guess, const char *key, enum frt_guess_sure sure,
                          const char *value, const char *fmt, ...)
{
    uint32_t i = 0;
    va_list args;
    while (i < guess->n && strcmp(guess->reasons[i].key, key) != 0)
        i++;
    if (i == FRT_GUESS_MAX_REASONS)
        return;
    guess->n = i == guess->n ? i + 1 : guess->n;
    struct frt_guess_reason *reason = &guess->reasons[i];
    reason->key = key;
    reason->sure = sure;
    (void)snprintf(reason->value, sizeof reason->value, "%s", value);
    va_start(args, fmt);
    (void)vsnprintf(reason->why, sizeof reason->why, fmt, args);
    va_end(args);
}

/* ------------------------------------------------------ role and family */

static bool role_asked(const struct frt_guess_said *said, enum frt_model_role role)
{
    return said->role == NULL || strcmp(said->role, frt_model_role_name(role)) == 0;
}

static void shapes_text(const struct frt_session_info *info, char *out, size_t room)
{
    char shape[64];
    size_t used = 0;
    for (uint32_t i = 0; i < info->n_inputs + info->n_outputs && used < room; i++) {
        const struct frt_tensor_info *t =
            i < info->n_inputs ? &info->inputs[i] : &info->outputs[i - info->n_inputs];
        frt_tensor_shape_text(t->dims, t->n_dims, shape, sizeof shape);
        int n = snprintf(out + used, room - used, "%s%s",
                         i == 0                ? ""
                         : i == info->n_inputs ? " to "
                                               : ", ",
                         shape);
        used += n > 0 ? (size_t)n : 0;
    }
}

static bool try_detector(struct frt_model_guess *g, const char *family)
{
    struct frt_detector *detector = NULL;
    struct frt_model_spec spec = g->spec;
    spec.role = FRT_ROLE_DETECTOR;
    (void)snprintf(spec.family, sizeof spec.family, "%s", family);
    if (frt_detector_new(&spec, g->session, &detector, NULL) != FRT_OK)
        return false;
    frt_detector_free(detector);
    return true;
}

static bool take_detector(struct frt_model_guess *g, const struct frt_guess_said *said)
{
    size_t n;
    const struct frt_detector_family *const *families = frt_detector_families(&n);
    const struct frt_session_info *info = &g->session->info;
    for (size_t i = 0; i < n; i++) {
        const struct frt_detector_family *f = families[i];
        struct frt_model_spec before = g->spec;
        if (said->family != NULL && strcmp(said->family, f->name) != 0)
            continue;
        /* a family that needs the size in the manifest takes the graph's */
        if (info->inputs[0].n_dims == 4 && info->inputs[0].dims[2] > 0 && info->inputs[0].dims[3] > 0) {
            g->spec.input.height_px = (uint32_t)info->inputs[0].dims[2];
            g->spec.input.width_px = (uint32_t)info->inputs[0].dims[3];
        }
        if (!try_detector(g, f->name)) {
            g->spec = before;
            continue;
        }
        g->spec.role = FRT_ROLE_DETECTOR;
        (void)snprintf(g->spec.family, sizeof g->spec.family, "%s", f->name);
        const uint32_t width = g->spec.input.width_px, height = g->spec.input.height_px;
        g->spec.input = f->input;
        g->spec.input.width_px = width;
        g->spec.input.height_px = height;
        g->spec.min_confidence = f->min_confidence;
        g->spec.nms_iou = f->nms_iou;
        g->spec.max_input_px = width == 0 ? f->max_input_px : 0;
        frt_model_guess_note(g, "role", FRT_GUESS_CERTAIN, "detector", "its outputs are boxes and scores");
        frt_model_guess_note(g, "family", FRT_GUESS_CERTAIN, f->name, "its outputs fit: %s", f->fits);
        return true;
    }
    return false;
}

/* A crop net by its family; the sizes and outputs are checked by the family itself. */
static bool try_face_net(struct frt_model_guess *g, enum frt_model_role role, const char *family)
{
    struct frt_face_net *net = NULL;
    struct frt_landmarker *landmarker = NULL;
    struct frt_model_spec spec = g->spec;
    spec.role = role;
    spec.input.scale[0] = spec.input.scale[1] = spec.input.scale[2] = 1;
    (void)snprintf(spec.family, sizeof spec.family, "%s", family);
    bool fits = role == FRT_ROLE_LANDMARKS ? frt_landmarker_new(&spec, g->session, &landmarker, NULL) == FRT_OK
                                           : frt_face_net_new(&spec, g->session, &net, NULL) == FRT_OK;
    frt_face_net_free(net);
    frt_landmarker_free(landmarker);
    if (fits) {
        g->spec.role = role;
        (void)snprintf(g->spec.family, sizeof g->spec.family, "%s", family);
    }
    return fits;
}

/* What the families of crop nets were published with. */
static const struct {
    enum frt_model_role role;
    const char *family;
    int64_t side_px; /* that gives it away; 0 = any */
    enum frt_color_order color;
    float mean, scale, crop_scale;
    uint32_t real_index;
    enum frt_guess_sure sure;
} crop_nets[] = {
    {FRT_ROLE_LIVENESS, "minifasnet", 80, FRT_COLOR_BGR, 0, 1, 2.7f, 1, FRT_GUESS_LIKELY},
    {FRT_ROLE_LIVENESS, "minifasnet", 0, FRT_COLOR_BGR, 0, 1, 2.7f, 1, FRT_GUESS_UNSURE},
    {FRT_ROLE_LIVENESS, "antispoof", 128, FRT_COLOR_RGB, 0, 1 / 255.0f, 1.4f, 0, FRT_GUESS_UNSURE},
    {FRT_ROLE_LIVENESS, "liveness", 32, FRT_COLOR_RGB, 0, 1 / 255.0f, 1.4f, 0, FRT_GUESS_UNSURE},
    {FRT_ROLE_LANDMARKS, "landmarks68", 0, FRT_COLOR_RGB, 0, 1 / 255.0f, 1, 0, FRT_GUESS_UNSURE},
    {FRT_ROLE_AGE_GENDER, "age_gender", 0, FRT_COLOR_RGB, 0, 1 / 255.0f, 1, 0, FRT_GUESS_UNSURE},
    {FRT_ROLE_EXPRESSION, "expression", 0, FRT_COLOR_RGB, 0, 1 / 255.0f, 1, 0, FRT_GUESS_UNSURE},
    {FRT_ROLE_QUALITY, "lightqnet", 96, FRT_COLOR_BGR, 128, 1 / 128.0f, 1, 0, FRT_GUESS_LIKELY},
};

/* "2.7_80x80_x.onnx", "fasnet_4_0.onnx" → 2.7, 4.0; 0 = the name says nothing. */
static float crop_in_name(const char *name)
{
    for (const char *c = name; c[0] != '\0' && c[1] != '\0' && c[2] != '\0'; c++) {
        bool starts = c == name || c[-1] == '_' || c[-1] == '-';
        if (starts && c[0] >= '1' && c[0] <= '9' && (c[1] == '.' || c[1] == '_') && c[2] >= '0' &&
            c[2] <= '9' && !(c[3] >= '0' && c[3] <= '9'))
            return (float)(c[0] - '0') + (float)(c[2] - '0') / 10;
    }
    return 0;
}

static void settle_liveness(struct frt_model_guess *g, const struct frt_guess_said *said, float published)
{
    char value[32];
    float named = crop_in_name(g->spec.file);
    g->spec.crop_scale = said->crop_scale > 0 ? said->crop_scale : named > 0 ? named : published;
    (void)snprintf(value, sizeof value, "%g", (double)g->spec.crop_scale);
    frt_model_guess_note(g, "crop_scale",
                         said->crop_scale > 0 ? FRT_GUESS_SAID
                         : named > 0          ? FRT_GUESS_LIKELY
                                              : FRT_GUESS_UNSURE,
                         value, "%s",
                         said->crop_scale > 0 ? ""
                         : named > 0          ? "the file's name says so"
                                     : "one of the scales published for the family; no photo here is known "
                                       "to be a fake, so it was not tried");
    (void)snprintf(value, sizeof value, "%u", g->spec.real_index);
    frt_model_guess_note(g, "real_index", FRT_GUESS_LIKELY, value, "published so for the family; not tried");
}

static bool take_crop_net(struct frt_model_guess *g, const struct frt_guess_said *said)
{
    const struct frt_session_info *info = &g->session->info;
    const int64_t side = info->inputs[0].n_dims == 4 ? info->inputs[0].dims[3] : 0;
    for (size_t i = 0; i < sizeof crop_nets / sizeof *crop_nets; i++) {
        const enum frt_model_role role = crop_nets[i].role;
        if (!role_asked(said, role) || (said->family != NULL && strcmp(said->family, crop_nets[i].family) != 0))
            continue;
        /* one or two numbers may mean anything: without a word from the user the size must fit, too */
        if (said->role == NULL && crop_nets[i].side_px != 0 && side != crop_nets[i].side_px)
            continue;
        if (!try_face_net(g, role, crop_nets[i].family))
            continue;
        g->spec.input.color = crop_nets[i].color;
        for (int c = 0; c < 3; c++) {
            g->spec.input.mean[c] = crop_nets[i].mean;
            g->spec.input.scale[c] = crop_nets[i].scale;
        }
        g->spec.real_index = crop_nets[i].real_index;
        frt_model_guess_note(g, "role", said->role != NULL ? FRT_GUESS_SAID : crop_nets[i].sure,
                             frt_model_role_name(role),
                             "by the number of its outputs and the size of its input");
        frt_model_guess_note(g, "family", crop_nets[i].sure, crop_nets[i].family, "its outputs fit");
        if (role == FRT_ROLE_LIVENESS)
            settle_liveness(g, said, crop_nets[i].crop_scale);
        return true;
    }
    return false;
}

static bool take_embedder(struct frt_model_guess *g, const struct frt_guess_said *said)
{
    size_t n;
    const struct frt_embedder_family *families = frt_embedder_families(&n);
    for (size_t i = 0; i < n; i++) {
        struct frt_embedder *embedder = NULL;
        struct frt_model_spec spec = g->spec;
        char value[32];
        if (said->family != NULL && strcmp(said->family, families[i].name) != 0)
            continue;
        spec.role = FRT_ROLE_EMBEDDER;
        (void)snprintf(spec.family, sizeof spec.family, "%s", families[i].name);
        (void)snprintf(spec.template_name, sizeof spec.template_name, "%s",
                       said->template_name != NULL ? said->template_name : families[i].template_name);
        spec.input.width_px = families[i].width_px;
        spec.input.height_px = families[i].height_px;
        if (frt_embedder_new(&spec, g->session, &embedder, NULL) != FRT_OK)
            continue;
        spec.dim = frt_embedder_dim(embedder);
        frt_embedder_free(embedder);
        if (spec.dim < 32)
            continue; /* a few numbers are no embedding */
        const bool free_size = g->session->info.inputs[0].dims[3] < 0;
        const float mean = families[i].width_px == 150 ? 117 : 127.5f;
        const float scale = families[i].width_px == 150   ? 1 / 256.0f
                            : families[i].width_px == 160 ? 1 / 128.0f
                                                          : 1 / 127.5f;
        for (int c = 0; c < 3; c++) {
            spec.input.mean[c] = mean;
            spec.input.scale[c] = scale;
        }
        spec.input.color = FRT_COLOR_RGB;
        spec.threshold = 0.35f;
        g->spec = spec;
        frt_model_guess_note(g, "role", FRT_GUESS_CERTAIN, "embedder", "a row of %u numbers for one picture",
                             spec.dim);
        frt_model_guess_note(g, "family", free_size ? FRT_GUESS_UNSURE : FRT_GUESS_CERTAIN, families[i].name,
                             free_size ? "the graph leaves its input's size open; %ux%u is the most usual"
                                       : "the graph takes pictures of %ux%u",
                             families[i].width_px, families[i].height_px);
        frt_model_guess_note(g, "template", said->template_name != NULL ? FRT_GUESS_SAID : FRT_GUESS_LIKELY,
                             spec.template_name, "nets of this input size are trained on faces aligned so");
        (void)snprintf(value, sizeof value, "%u", spec.dim);
        frt_model_guess_note(g, "dim", FRT_GUESS_CERTAIN, value, "the graph says so");
        return true;
    }
    return false;
}

static enum frt_status take_role(struct frt_model_guess *g, const struct frt_guess_said *said,
                                 struct frt_error *err)
{
    const struct frt_session_info *info = &g->session->info;
    char shapes[256];
    if (said->role != NULL) {
        bool known = false;
        for (unsigned r = 0; r < FRT_ROLE_COUNT; r++)
            known = known || strcmp(said->role, frt_model_role_name((enum frt_model_role)r)) == 0;
        if (!known)
            return frt_fail(err, FRT_EINVAL,
                            "--role %s: detector, landmarks, embedder, liveness, age_gender, "
                            "expression or quality would be right",
                            said->role);
    }
    if (role_asked(said, FRT_ROLE_DETECTOR) && take_detector(g, said))
        return FRT_OK;
    if (take_crop_net(g, said))
        return FRT_OK;
    if (role_asked(said, FRT_ROLE_EMBEDDER) && take_embedder(g, said))
        return FRT_OK;
    shapes_text(info, shapes, sizeof shapes);
    const struct frt_tensor_info *out = &info->outputs[0];
    if (said->role == NULL && info->n_outputs == 1 && out->n_dims >= 1 && out->n_dims <= 2 &&
        out->dims[out->n_dims - 1] == 1)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "%s: %s is one score for a face: say --role quality or --role liveness", g->spec.file,
                        shapes);
    return frt_fail(
        err, FRT_EBAD_MODEL, "%s: %s fits no family%s%s%s%s; docs/design/families.md says how one is added",
        g->spec.file, shapes, said->role != NULL ? " of role " : "", said->role != NULL ? said->role : "",
        said->family != NULL ? " named " : "", said->family != NULL ? said->family : "");
}

/* -------------------------------------------------------------- numbers */

static void channels_text(const float v[3], char *out, size_t room)
{
    if (v[0] == v[1] && v[1] == v[2])
        (void)snprintf(out, room, "%g", (double)v[0]);
    else
        (void)snprintf(out, room, "%g,%g,%g", (double)v[0], (double)v[1], (double)v[2]);
}

void frt_guess_scale_text(const struct frt_model_input *input, char *out, size_t room)
{
    char mean[48], scale[48];
    channels_text(input->mean, mean, sizeof mean);
    channels_text(input->scale, scale, sizeof scale);
    (void)snprintf(out, room, "(x - %s) * %s", mean, scale);
}

static void settle_input(struct frt_model_guess *g, const struct frt_graph_head *head,
                         const struct frt_guess_said *said)
{
    struct frt_model_input *in = &g->spec.input;
    char value[112];
    const enum frt_guess_sure convention =
        g->spec.role == FRT_ROLE_DETECTOR || g->spec.role == FRT_ROLE_EMBEDDER ||
                strcmp(g->spec.family, "minifasnet") == 0 || strcmp(g->spec.family, "lightqnet") == 0
            ? FRT_GUESS_LIKELY
            : FRT_GUESS_UNSURE;
    g->normalises = head->normalises;
    if (said->color != NULL)
        in->color = strcmp(said->color, "bgr") == 0 ? FRT_COLOR_BGR : FRT_COLOR_RGB;
    g->said_color = said->color != NULL;
    frt_model_guess_note(g, "color", g->said_color ? FRT_GUESS_SAID : convention,
                         in->color == FRT_COLOR_BGR ? "bgr" : "rgb", "%s",
                         g->said_color ? "" : "published so for the family; not tried");
    g->said_scale = said->has_scale;
    if (said->has_scale) {
        memcpy(in->mean, said->mean, sizeof in->mean);
        memcpy(in->scale, said->scale, sizeof in->scale);
    } else if (head->normalises && strcmp(g->spec.family, "yunet") != 0) {
        for (int c = 0; c < 3; c++) {
            in->mean[c] = 0;
            in->scale[c] = 1;
        }
    }
    frt_guess_scale_text(in, value, sizeof value);
    if (said->has_scale)
        frt_model_guess_note(g, "scale", FRT_GUESS_SAID, value, "%s", "");
    else if (head->normalises && head->scale != 0)
        frt_model_guess_note(g, "scale", FRT_GUESS_CERTAIN, value,
                             "the graph begins with %s: it does (x - %g) * %g itself", head->ops,
                             (double)head->mean, (double)head->scale);
    else if (head->normalises)
        frt_model_guess_note(g, "scale", FRT_GUESS_LIKELY, value,
                             "the graph begins with %s: it normalises by itself", head->ops);
    else
        frt_model_guess_note(g, "scale", convention, value,
                             "published so for the family; the graph begins with %s; not tried", head->ops);
}

static void settle_rest(struct frt_model_guess *g, const struct frt_guess_said *said)
{
    char value[32];
    if (g->spec.role == FRT_ROLE_DETECTOR) {
        if (said->min_confidence > 0)
            g->spec.min_confidence = said->min_confidence;
        (void)snprintf(value, sizeof value, "%g", (double)g->spec.min_confidence);
        frt_model_guess_note(g, "min_confidence", said->min_confidence > 0 ? FRT_GUESS_SAID : FRT_GUESS_LIKELY,
                             value, "%s", said->min_confidence > 0 ? "" : "usual for the family");
    }
    if (g->spec.role == FRT_ROLE_EMBEDDER) {
        g->said_threshold = said->has_threshold;
        if (said->has_threshold)
            g->spec.threshold = said->threshold;
        (void)snprintf(value, sizeof value, "%.2f", (double)g->spec.threshold);
        frt_model_guess_note(
            g, "threshold", said->has_threshold ? FRT_GUESS_SAID : FRT_GUESS_UNSURE, value, "%s",
            said->has_threshold ? "" : "not measured: run frt calibrate before you rely on it");
    }
}

static enum frt_status check_said(const struct frt_guess_said *said, struct frt_error *err)
{
    if (said->color != NULL && strcmp(said->color, "rgb") != 0 && strcmp(said->color, "bgr") != 0)
        return frt_fail(err, FRT_EINVAL, "--color %s: rgb or bgr would be right", said->color);
    for (int c = 0; said->has_scale && c < 3; c++)
        if (!isfinite(said->mean[c]) || !isfinite(said->scale[c]) || said->scale[c] == 0)
            return frt_fail(err, FRT_EINVAL,
                            "--mean and --scale: finite numbers, and a scale that is not 0, would be right");
    return FRT_OK;
}

/* Length without an ending. */
static size_t without(const char *text, size_t n, const char *ending)
{
    const size_t m = strlen(ending);
    return n > m && strncmp(text + n - m, ending, m) == 0 ? n - m : n;
}

enum frt_status frt_model_guess_look(const struct frt_context *context, const char *path,
                                     const struct frt_guess_said *said, struct frt_model_guess *out,
                                     struct frt_error *err)
{
    const char *slash = strrchr(path, '/'), *file = slash != NULL ? slash + 1 : path;
    const void *bytes = NULL;
    size_t size = 0;
    struct frt_graph_head head;
    *out = (struct frt_model_guess){0};
    enum frt_status status = check_said(said, err);
    if (status == FRT_OK && strlen(file) >= sizeof out->spec.file)
        status = frt_fail(err, FRT_EINVAL, "%s: the name is too long", path);
    if (status == FRT_OK)
        status = frt_model_file_map(path, MAX_MODEL_BYTES, &bytes, &size, err);
    if (status == FRT_OK) {
        status = frt_graph_head_look(bytes, size, &head, err);
        if (status != FRT_OK)
            status = frt_fail_within(err, status, "%s", path);
    }
    frt_model_file_unmap(bytes, size);
    if (status == FRT_OK)
        status = frt_session_open(context->backend, path, &out->session, err);
    if (status != FRT_OK)
        return status;
    (void)snprintf(out->spec.file, sizeof out->spec.file, "%s", file);
    size_t stem = without(file, without(file, strlen(file), ".onnx"), ".converted");
    const size_t most = FRT_SPEC_NAME_MAX - 1;
    if (said->name != NULL)
        (void)snprintf(out->spec.name, sizeof out->spec.name, "%s", said->name);
    else
        (void)snprintf(out->spec.name, sizeof out->spec.name, "%.*s", (int)(stem < most ? stem : most), file);
    (void)snprintf(out->spec.version, sizeof out->spec.version, "1");
    (void)snprintf(out->spec.licence, sizeof out->spec.licence, "%s",
                   said->licence != NULL ? said->licence : "");
    (void)snprintf(out->spec.provenance, sizeof out->spec.provenance, "imported from %.200s", file);
    status = take_role(out, said, err);
    if (status == FRT_OK) {
        settle_input(out, &head, said);
        settle_rest(out, said);
    } else {
        frt_model_guess_deinit(out);
    }
    return status;
}

void frt_model_guess_deinit(struct frt_model_guess *guess)
{
    frt_session_free(guess->session);
    *guess = (struct frt_model_guess){0};
}

#include "engine/pack_compile.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "engine/detection_drift.h"
#include "engine/input_recorder.h"
#include "engine/pack_replace.h"
#include "engine/threshold_basis.h"
#include "model/model_file.h"

enum {
    MAX_INPUTS = 96,
    MAX_INPUT_BYTES = 256 << 20, /* of a model */
    MAX_PHOTOS = 300,
    MAX_MODEL_BYTES = 1 << 30,
    PATH_ROOM = FRT_LOCATE_PATH_MAX + FRT_SPEC_PATH_MAX + 16
};

/* Faces that a detector found in each photo, before. */
struct found {
    const char *detector; /* of the manifest */
    struct frt_faces **faces;
};

struct compile {
    const struct frt_context *context;
    const struct frt_pack_compile_options *options;
    struct frt_compile_bounds bounds;
    struct frt_manifest *before; /* borrowed texts of the report are the new manifest's */
    struct frt_input_recorder *recorder;
    struct frt_context *recording; /* a context over the recorder */
    size_t n_photos;
    struct found found[FRT_PACK_MAX_MODELS];
    uint32_t n_found;
    struct frt_staged_folder folder;
    struct frt_pack_compile_report report;
};

/* ------------------------------------------------------------------ helpers */

static enum frt_status going_on(const struct compile *c, const char *doing, uint32_t done, uint32_t total,
                                struct frt_error *err)
{
    const struct frt_pack_compile_options *o = c->options;
    if (o->cancelled != NULL && o->cancelled(o->cancelled_arg))
        return frt_fail(err, FRT_ECANCELLED, "interrupted; nothing was changed");
    if (o->progress != NULL)
        o->progress(o->progress_arg, doing, done, total);
    return FRT_OK;
}

static void path_of(const char *folder, const struct frt_model_spec *spec, char out[PATH_ROOM])
{
    (void)snprintf(out, PATH_ROOM, "%s/%s", folder, spec->file);
}

/* Photo i of those that are used, spread evenly over those that were given. */
static const char *photo(const struct compile *c, size_t i)
{
    return c->options->photos[i * c->options->n_photos / c->n_photos];
}

static void fill_bounds(struct frt_compile_bounds *bounds, enum frt_precision precision)
{
    const struct frt_compile_bounds defaults = frt_compile_bounds_default(precision);
    double *const mine[] = {&bounds->max_relative, &bounds->min_cosine, &bounds->mean_cosine, &bounds->min_iou,
                            &bounds->max_boxes_apart};
    const double theirs[] = {defaults.max_relative, defaults.min_cosine, defaults.mean_cosine, defaults.min_iou,
                             defaults.max_boxes_apart};
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        if (*mine[i] == 0)
            *mine[i] = theirs[i];
}

/* ------------------------------------------------------------------- photos */

static uint32_t attributes_of(const struct frt_manifest *manifest)
{
    uint32_t bits = 0;
    if (frt_manifest_find(manifest, FRT_ROLE_LIVENESS, NULL) != NULL)
        bits |= FRT_ATTRIBUTE_LIVENESS;
    if (frt_manifest_find(manifest, FRT_ROLE_AGE_GENDER, NULL) != NULL)
        bits |= FRT_ATTRIBUTE_AGE | FRT_ATTRIBUTE_GENDER;
    if (frt_manifest_find(manifest, FRT_ROLE_EXPRESSION, NULL) != NULL)
        bits |= FRT_ATTRIBUTE_EXPRESSION;
    if (frt_manifest_find(manifest, FRT_ROLE_QUALITY, NULL) != NULL)
        bits |= FRT_ATTRIBUTE_QUALITY;
    return bits;
}

/* The faces of a photo; with the default detector everything else of the pack runs, too. */
static enum frt_status look_at(const struct compile *c, const struct frt_context *context,
                               const struct frt_pack *pack, size_t i, bool all, struct frt_faces **out,
                               struct frt_error *err)
{
    struct frt_image *image = NULL;
    const struct frt_detect_options options = {.attributes = all ? attributes_of(c->before) : 0,
                                               .cancelled = c->options->cancelled,
                                               .cancelled_arg = c->options->cancelled_arg};
    enum frt_status status = frt_image_open_file(context, photo(c, i), &image, err);
    if (status == FRT_OK)
        status = all && frt_pack_info_get(pack)->dim > 0 ? frt_embed(pack, image, &options, out, err)
                                                         : frt_detect(pack, image, &options, out, err);
    frt_image_free(image);
    if (status == FRT_EBAD_IMAGE || status == FRT_EUNSUPPORTED_IMAGE || status == FRT_EIMAGE_TOO_LARGE)
        return FRT_OK; /* a photo that cannot be read has no faces: *out stays NULL */
    if (status != FRT_OK && status != FRT_ECANCELLED)
        status = frt_fail_within(err, status, "%s", photo(c, i));
    return status;
}

static enum frt_status open_with(struct frt_context *context, const char *folder, const char *detector,
                                 bool as_published, struct frt_pack **out, struct frt_error *err)
{
    const struct frt_pack_options options = {
        .detector = detector, .skip_checksums = true, .as_published = as_published};
    return frt_pack_open(context, folder, &options, out, err);
}

/* One detector over all photos, recording what the models are fed with. */
static enum frt_status record(struct compile *c, const struct frt_model_spec *spec, bool all,
                              struct frt_error *err)
{
    struct found *found = &c->found[c->n_found];
    struct frt_pack *pack = NULL;
    found->detector = spec->name;
    found->faces = frt_alloc_zero(c->n_photos, sizeof(struct frt_faces *));
    if (found->faces == NULL)
        return frt_fail_nomem(err, "faces");
    c->n_found++;
    enum frt_status status = open_with(c->recording, c->options->pack, spec->name, true, &pack, err);
    for (size_t i = 0; status == FRT_OK && i < c->n_photos; i++) {
        status = going_on(c, "photos", (uint32_t)i, (uint32_t)c->n_photos, err);
        if (status == FRT_OK)
            status = look_at(c, c->recording, pack, i, all, &found->faces[i], err);
        if (status == FRT_OK && all && found->faces[i] != NULL)
            c->report.faces += frt_faces_count(found->faces[i]);
    }
    frt_pack_free(pack);
    return status;
}

static enum frt_status record_all(struct compile *c, struct frt_error *err)
{
    const struct frt_input_limits limits = {
        .inputs = c->options->max_inputs != 0 ? c->options->max_inputs : MAX_INPUTS, .bytes = MAX_INPUT_BYTES};
    const struct frt_model_spec *first = frt_manifest_find(c->before, FRT_ROLE_DETECTOR, NULL);
    if (first == NULL)
        return frt_fail(err, FRT_EBAD_MODEL, "%s: a pack without a detector", c->options->pack);
    c->n_photos = c->options->n_photos < MAX_PHOTOS ? c->options->n_photos : MAX_PHOTOS;
    c->report.photos = c->n_photos;
    enum frt_status status = frt_input_recorder_new(c->context->backend, &limits, &c->recorder, err);
    if (status == FRT_OK)
        status = frt_context_new_over(frt_input_recorder_backend(c->recorder),
                                      &(struct frt_context_options){.threads = 1}, &c->recording, err);
    if (status == FRT_OK)
        status = record(c, first, true, err);
    for (uint32_t i = 0; status == FRT_OK && i < c->before->n_models; i++)
        if (c->before->models[i].role == FRT_ROLE_DETECTOR && &c->before->models[i] != first)
            status = record(c, &c->before->models[i], false, err);
    if (status == FRT_OK && c->report.faces == 0)
        status = frt_fail(err, FRT_EINVAL,
                          "no face was found in the %zu photos: there is nothing to check a compiled pack with",
                          c->n_photos);
    return status;
}

/* ------------------------------------------------------------------- models */

/* Sessions over the original file and over the compiled bytes, compared and judged. */
static enum frt_status check_model(const struct compile *c, const struct frt_model_spec *spec, const char *path,
                                   const void *bytes, size_t size, const struct frt_compile_inputs *inputs,
                                   struct frt_model_drift *drift, struct frt_error *err)
{
    struct frt_session *original = NULL, *compiled = NULL;
    enum frt_status status = frt_session_open(c->context->backend, path, &original, err);
    if (status == FRT_OK)
        status = frt_session_open_bytes(c->context->backend, bytes, size, &compiled, err);
    if (status == FRT_OK)
        status = frt_model_drift_measure(spec, original, compiled, inputs, c->options->cancelled,
                                         c->options->cancelled_arg, drift, err);
    if (status == FRT_OK && frt_model_drift_judge(drift, &c->bounds, err) != FRT_OK)
        status =
            frt_fail_within(err, FRT_EBAD_MODEL, "model %s drifts too far: nothing was written", spec->name);
    frt_session_free(original);
    frt_session_free(compiled);
    return status;
}

/* Detectors and embedders are quantised; the small nets beside them are not worth what they would lose. A
 * detector's few weights are not stored in half either: a face of a few pixels has another box then (YuNet: an
 * overlap of 0.90). */
static enum frt_precision precision_of(const struct compile *c, const struct frt_model_spec *spec)
{
    const enum frt_precision wanted = c->options->precision;
    const bool detector = spec->role == FRT_ROLE_DETECTOR, embedder = spec->role == FRT_ROLE_EMBEDDER;
    const bool fits = wanted == FRT_PRECISION_INT8           ? detector || embedder
                      : wanted == FRT_PRECISION_FP16_STORAGE ? !detector
                                                             : true;
    return fits ? wanted : FRT_PRECISION_FP32;
}

static enum frt_status compile_bytes(const struct compile *c, const struct frt_model_spec *spec,
                                     const void *bytes, size_t size, const struct frt_compile_inputs *inputs,
                                     uint8_t **out, size_t *out_size, struct frt_compile_report *report,
                                     struct frt_error *err)
{
    const struct frt_quantise_task task = {.backend = c->context->backend,
                                           .spec = spec,
                                           .inputs = inputs,
                                           .bounds = c->bounds,
                                           .progress = c->options->progress,
                                           .progress_arg = c->options->progress_arg,
                                           .cancelled = c->options->cancelled,
                                           .cancelled_arg = c->options->cancelled_arg};
    const struct frt_compile_options options = {.precision = precision_of(c, spec),
                                                .batch = spec->role == FRT_ROLE_EMBEDDER ? c->options->batch
                                                                                         : FRT_BATCH_AS_IS,
                                                .quantise = c->options->quantise,
                                                .task = &task};
    return frt_compile_model(bytes, size, &options, out, out_size, report, err);
}

/* Into the manifest: where it came from, and that int8's embeddings are others. */
static enum frt_status describe(const struct compile *c, const struct frt_model_spec *from,
                                const struct frt_compile_report *report, const char *text,
                                struct frt_model_spec *to, struct frt_error *err)
{
    (void)snprintf(to->compiled_by, sizeof to->compiled_by, "frt %s, %s%s%s", frt_version(),
                   frt_precision_name(precision_of(c, from)), text[0] != '\0' ? ": " : "", text);
    memcpy(to->compiled_from, from->sha256, sizeof to->compiled_from);
    if (report->quantise.quantised == 0)
        return FRT_OK;
    const size_t n = strlen(to->version);
    if (n + sizeof FRT_INT8_SUFFIX > sizeof to->version)
        return frt_fail(err, FRT_EBAD_MODEL, "model %s: its version leaves no room for \"" FRT_INT8_SUFFIX "\"",
                        from->name);
    memcpy(to->version + n, FRT_INT8_SUFFIX, sizeof FRT_INT8_SUFFIX);
    return FRT_OK;
}

static enum frt_status write_model(const struct compile *c, const struct frt_model_spec *spec,
                                   const void *bytes, size_t size, struct frt_error *err)
{
    char path[PATH_ROOM], *slash;
    struct frt_staged_file staged = {0};
    path_of(c->folder.temporary, spec, path);
    slash = strrchr(path, '/');
    *slash = '\0';
    enum frt_status status = frt_model_folder_make(path, err);
    if (status == FRT_OK)
        status = frt_staged_file_write(path, slash + 1, bytes, size, &staged, err);
    if (status == FRT_OK)
        status = frt_staged_file_commit(&staged, err);
    frt_staged_file_deinit(&staged);
    return status;
}

/* The original's bytes, which must be the manifest's. */
static enum frt_status map_original(const struct compile *c, const struct frt_model_spec *spec, char *path,
                                    char digest[FRT_SHA256_HEX_SIZE], const void **bytes, size_t *size,
                                    struct frt_error *err)
{
    path_of(c->options->pack, spec, path);
    enum frt_status status = frt_model_file_map(path, MAX_MODEL_BYTES, bytes, size, err);
    if (status != FRT_OK)
        return status;
    frt_sha256_hex(*bytes, *size, digest);
    if (spec->sha256[0] != '\0' && strcmp(spec->sha256, digest) != 0) {
        frt_model_file_unmap(*bytes, *size);
        return frt_fail(err, FRT_EBAD_MODEL, "%s: SHA-256 is %s, the manifest says %s", path, digest,
                        spec->sha256);
    }
    return FRT_OK;
}

static enum frt_status compile_model(struct compile *c, uint32_t number, struct frt_error *err)
{
    struct frt_model_spec from = c->before->models[number];
    struct frt_model_spec *to = &c->report.manifest->models[number];
    struct frt_compiled_model *row = &c->report.models[number];
    struct frt_compile_report report = {0};
    char path[PATH_ROOM];
    const void *bytes = NULL;
    uint8_t *compiled = NULL;
    size_t size = 0, compiled_size = 0;
    enum frt_status status = map_original(c, &from, path, from.sha256, &bytes, &size, err);
    if (status != FRT_OK)
        return status;
    const struct frt_compile_inputs inputs = frt_input_recorder_get(c->recorder, path);
    *row = (struct frt_compiled_model){.name = to->name,
                                       .role = frt_model_role_name(to->role),
                                       .compiled = inputs.n > 0,
                                       .bytes_before = size,
                                       .bytes_after = size,
                                       .min_iou = 1,
                                       .mean_iou = 1};
    memcpy(to->sha256, from.sha256, sizeof to->sha256);
    if (row->compiled) {
        status = compile_bytes(c, &from, bytes, size, &inputs, &compiled, &compiled_size, &report, err);
        if (status == FRT_OK)
            status = check_model(c, &from, path, compiled, compiled_size, &inputs, &row->drift, err);
        if (status == FRT_OK) {
            row->bytes_after = compiled_size;
            frt_compile_report_text(&report, row->text);
            frt_sha256_hex(compiled, compiled_size, to->sha256);
            status = describe(c, &from, &report, row->text, to, err);
        }
        if (status == FRT_OK)
            status = write_model(c, to, compiled, compiled_size, err);
    } else {
        status = write_model(c, to, bytes, size, err);
    }
    frt_free(compiled);
    frt_model_file_unmap(bytes, size);
    frt_input_recorder_forget(c->recorder, path);
    return status;
}

/* ---------------------------------------------------------------- detectors */

static enum frt_status judge_boxes(const struct compile *c, const char *detector,
                                   const struct frt_box_drift *drift, struct frt_error *err)
{
    const uint32_t all = drift->boxes + drift->apart;
    if (drift->boxes > 0 && !(drift->min_iou >= c->bounds.min_iou))
        return frt_fail(err, FRT_EBAD_MODEL,
                        "detector %s drifts too far: a box overlaps the original's by %.3f; at least %.3f is "
                        "allowed; nothing was written",
                        detector, drift->min_iou, c->bounds.min_iou);
    if (drift->apart > c->bounds.max_boxes_apart * all)
        return frt_fail(err, FRT_EBAD_MODEL,
                        "detector %s drifts too far: %u of %u boxes are found by one of the two only; at most "
                        "%.1f %% are allowed; nothing was written",
                        detector, drift->apart, all, 100 * c->bounds.max_boxes_apart);
    return FRT_OK;
}

/* The new pack, opened as it will be, finds the same faces. */
static enum frt_status check_detector(struct compile *c, struct frt_context *context, const struct found *found,
                                      struct frt_error *err)
{
    struct frt_pack *pack = NULL;
    struct frt_box_drift drift = {.min_iou = 1};
    enum frt_status status = open_with(context, c->folder.temporary, found->detector, false, &pack, err);
    for (size_t i = 0; status == FRT_OK && i < c->n_photos; i++) {
        struct frt_faces *faces = NULL;
        status = going_on(c, "detectors", (uint32_t)i, (uint32_t)c->n_photos, err);
        if (status == FRT_OK)
            status = look_at(c, context, pack, i, false, &faces, err);
        if (status == FRT_OK && found->faces[i] != NULL && faces != NULL)
            status = frt_box_drift_add(found->faces[i], faces, &drift, err);
        frt_faces_free(faces);
    }
    frt_pack_free(pack);
    for (uint32_t i = 0; status == FRT_OK && i < c->report.n_models; i++) {
        struct frt_compiled_model *row = &c->report.models[i];
        if (strcmp(row->name, found->detector) != 0)
            continue;
        row->boxes = drift.boxes;
        row->boxes_apart = drift.apart;
        row->min_iou = drift.min_iou;
        row->mean_iou = drift.boxes > 0 ? drift.sum_iou / drift.boxes : 1;
    }
    return status == FRT_OK ? judge_boxes(c, found->detector, &drift, err) : status;
}

/* --------------------------------------------------------------- all of it */

/* Only what was compiled may be replaced by what is compiled. */
static enum frt_status check_target(const char *out, struct frt_error *err)
{
    struct frt_manifest *manifest = NULL;
    struct stat st;
    bool compiled = false;
    if (lstat(out, &st) != 0)
        return FRT_OK;
    if (frt_manifest_load(out, &manifest, NULL) == FRT_OK)
        for (uint32_t i = 0; i < manifest->n_models; i++)
            compiled = compiled || manifest->models[i].compiled_from[0] != '\0';
    frt_manifest_free(manifest);
    return compiled
               ? FRT_OK
               : frt_fail(err, FRT_EINVAL, "%s is there and is no compiled pack; name another folder", out);
}

static enum frt_status check_options(const struct frt_pack_compile_options *o, char out[FRT_LOCATE_PATH_MAX],
                                     struct frt_error *err)
{
    size_t n = strlen(o->pack);
    while (n > 1 && o->pack[n - 1] == '/')
        n--;
    const int length = o->out != NULL ? snprintf(out, FRT_LOCATE_PATH_MAX, "%s", o->out)
                                      : snprintf(out, FRT_LOCATE_PATH_MAX, "%.*s-compiled", (int)n, o->pack);
    if (length < 1 || length >= FRT_LOCATE_PATH_MAX || n >= FRT_LOCATE_PATH_MAX)
        return frt_fail(err, FRT_EINVAL, "a folder's name has no bytes, or too many");
    if (o->n_photos == 0)
        return frt_fail(err, FRT_EINVAL, "no photos: a compiled pack is checked on faces");
    if (o->batch != FRT_BATCH_AS_IS && o->batch != FRT_BATCH_DYNAMIC && o->batch != 1)
        return frt_fail(err, FRT_EINVAL,
                        "a batch of 1 or any: with a fixed one of more, every face alone would cost as many");
    if (o->precision == FRT_PRECISION_INT8 && o->quantise == NULL)
        return frt_fail(err, FRT_EINVAL, "int8 is not part of this build");
    return check_target(out, err);
}

/* The new manifest begins as the old one. */
static enum frt_status load_manifests(struct compile *c, struct frt_error *err)
{
    enum frt_status status = frt_manifest_load(c->options->pack, &c->before, err);
    if (status == FRT_OK)
        status = frt_manifest_load(c->options->pack, &c->report.manifest, err);
    if (status != FRT_OK)
        return status;
    c->report.n_models = c->before->n_models;
    for (uint32_t i = 0; i < c->before->n_models; i++)
        if (c->before->models[i].compiled_from[0] != '\0')
            return frt_fail(err, FRT_EINVAL, "%s is compiled already: compile the pack that it was made from",
                            c->options->pack);
    return FRT_OK;
}

/* A pack's id is that of its manifest's bytes. */
static enum frt_status save_manifest(struct compile *c, struct frt_error *err)
{
    struct frt_manifest *saved = NULL;
    enum frt_status status = frt_manifest_save(c->report.manifest, c->folder.temporary, err);
    if (status == FRT_OK)
        status = frt_manifest_load(c->folder.temporary, &saved, err);
    if (status == FRT_OK)
        memcpy(c->report.manifest->id, saved->id, sizeof saved->id);
    frt_manifest_free(saved);
    return status;
}

/* What 'frt calibrate --apply' measured with the original goes along: threshold_basis.h. */
static enum frt_status keep_thresholds(const struct compile *c, struct frt_error *err)
{
    char path[PATH_ROOM];
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct frt_staged_file staged = {0};
    (void)snprintf(path, sizeof path, "%s/" FRT_THRESHOLDS_FILE, c->options->pack);
    enum frt_status status = frt_model_file_read(path, FRT_TABLE_MAX_BYTES, &bytes, &size, err);
    if (status == FRT_ENOTFOUND)
        return FRT_OK;
    if (status == FRT_OK)
        status = frt_staged_file_write(c->folder.temporary, FRT_THRESHOLDS_FILE, bytes, size, &staged, err);
    if (status == FRT_OK)
        status = frt_staged_file_commit(&staged, err);
    frt_staged_file_deinit(&staged);
    frt_free(bytes);
    return status;
}

static enum frt_status compile_all(struct compile *c, struct frt_error *err)
{
    struct frt_context *plain = (struct frt_context *)(uintptr_t)c->context; /* packs borrow it */
    enum frt_status status = load_manifests(c, err);
    if (status == FRT_OK)
        status = record_all(c, err);
    if (status == FRT_OK)
        status = frt_staged_folder_make(c->report.out, &c->folder, err);
    for (uint32_t i = 0; status == FRT_OK && i < c->before->n_models; i++) {
        status = going_on(c, "models", i, c->before->n_models, err);
        if (status == FRT_OK)
            status = compile_model(c, i, err);
    }
    if (status == FRT_OK)
        status = save_manifest(c, err);
    if (status == FRT_OK)
        status = keep_thresholds(c, err);
    for (uint32_t i = 0; status == FRT_OK && i < c->n_found; i++)
        status = check_detector(c, plain, &c->found[i], err);
    if (status == FRT_OK)
        status = check_target(c->report.out, err);
    if (status == FRT_OK)
        status = frt_staged_folder_commit(&c->folder, err);
    return status;
}

static void compile_deinit(struct compile *c)
{
    for (uint32_t i = 0; i < c->n_found; i++) {
        for (size_t k = 0; k < c->n_photos; k++)
            frt_faces_free(c->found[i].faces[k]);
        frt_free(c->found[i].faces);
    }
    frt_context_free(c->recording);
    frt_input_recorder_free(c->recorder);
    frt_staged_folder_deinit(&c->folder);
    frt_manifest_free(c->before);
}

enum frt_status frt_pack_compile(const struct frt_context *context,
                                 const struct frt_pack_compile_options *options,
                                 struct frt_pack_compile_report *report, struct frt_error *err)
{
    struct compile *c = frt_alloc_zero(1, sizeof *c);
    if (c == NULL)
        return frt_fail_nomem(err, "a pack to compile");
    c->context = context;
    c->options = options;
    c->bounds = options->bounds;
    fill_bounds(&c->bounds, options->precision);
    enum frt_status status = check_options(options, c->report.out, err);
    if (status == FRT_OK)
        status = compile_all(c, err);
    compile_deinit(c);
    if (status == FRT_OK)
        *report = c->report;
    else
        frt_pack_compile_report_deinit(&c->report);
    frt_free(c);
    return status;
}

void frt_pack_compile_report_deinit(struct frt_pack_compile_report *report)
{
    frt_manifest_free(report->manifest);
    *report = (struct frt_pack_compile_report){0};
}

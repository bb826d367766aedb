/*
 * The default pack, model by model: a table of what is where in the two npm packages and what the
 * manifest says of it.
 *
 *     package.json ─ version          <source>.json + .bin ─ weights ─ graph ─ bytes ─ staged file
 *
 * All files are staged before the first is put in its place, the manifest last, so that a full disk or
 * a damaged package leaves the pack that stands as it was.
 *
 * Source of topologies, constants and crops: docs/design/default-pack.md.
 */
#include "model/import.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/import_nets.h"
#include "model/model_file.h"
#include "model/pack_files.h"
#include "model/recognition_centre.h"
#include "model/tfjs_graph.h"

enum { MAX_JSON_BYTES = 8 << 20 };

enum package { FACE_API, HUMAN, PACKAGE_COUNT };

static const struct {
    const char *name;
    const char *models; /* folder of the weights */
} packages[PACKAGE_COUNT] = {{"@vladmandic/face-api", "model"}, {"@vladmandic/human", "models"}};

/* Mean colour of dlib's training photos, used by the nets that came from there. */
#define DLIB_MEAN                                                                                              \
    {                                                                                                          \
        122.782F, 117.001F, 104.298F                                                                           \
    }
#define EACH(v)                                                                                                \
    {                                                                                                          \
        (v), (v), (v)                                                                                          \
    }

struct import_model {
    enum package package;
    const char *source;                        /* file name without ending */
    void (*build)(struct frt_import_net *net); /* NULL: a graph model, read as it is */
    const char *output;                        /* graph models: name to give the output */
    struct frt_model_spec spec;                /* version, provenance and sha256 are filled in */
};

static const struct import_model models[] = {
    {FACE_API,
     "ssd_mobilenetv1_model",
     frt_import_ssd,
     NULL,
     {.role = FRT_ROLE_DETECTOR,
      .name = "ssd_mobilenetv1",
      .family = "ssd_mobilenetv1",
      .file = "ssd_mobilenetv1.onnx",
      .is_default = true,
      .min_confidence = 0.5F,
      .nms_iou = 0.5F,
      .input = {512, 512, FRT_COLOR_RGB, EACH(127.5F), EACH(1 / 127.5F)}}},
    {FACE_API,
     "tiny_face_detector_model",
     frt_import_tiny_yolo,
     NULL,
     {.role = FRT_ROLE_DETECTOR,
      .name = "tiny_face_detector",
      .family = "tiny_yolo2",
      .file = "tiny_face_detector.onnx",
      .max_input_px = 416,
      .min_confidence = 0.5F,
      .nms_iou = 0.4F,
      .input = {0, 0, FRT_COLOR_RGB, {117.001F, 114.697F, 97.404F}, EACH(1 / 255.0F)}}},
    {FACE_API,
     "face_landmark_68_model",
     frt_import_landmarks,
     NULL,
     {.role = FRT_ROLE_LANDMARKS,
      .name = "face_landmark_68",
      .family = "landmarks68",
      .file = "face_landmark_68.onnx",
      .is_default = true,
      .input = {112, 112, FRT_COLOR_RGB, DLIB_MEAN, EACH(1 / 255.0F)}}},
    /* the net was trained with 1/256; the JavaScript divides by 255 (docs/design/default-pack.md) */
    {FACE_API,
     "face_recognition_model",
     frt_import_recognition,
     NULL,
     {.role = FRT_ROLE_EMBEDDER,
      .name = "face_recognition",
      .family = "dlib_resnet",
      .file = "face_recognition.onnx",
      .is_default = true,
      .template_name = "dlib150_tight", /* this, map and threshold: docs/design/alignment.md */
      .dim = FRT_RECOGNITION_CENTRE_DIM,
      .map = FRT_MAP_CAP,
      .threshold = 0.6F,
      .threshold_fmr = 0.0045F, /* lfw-dev, all photos against all; from there on to 1e-5: docs/eval.md */
      .threshold_decade = 0.085F,
      .input = {150, 150, FRT_COLOR_RGB, DLIB_MEAN, EACH(1 / 256.0F)}}},
    {FACE_API,
     "age_gender_model",
     frt_import_age_gender,
     NULL,
     {.role = FRT_ROLE_AGE_GENDER,
      .name = "age_gender",
      .family = "age_gender",
      .file = "age_gender.onnx",
      .is_default = true,
      .n_labels = 2,
      .labels = {"male", "female"},
      .input = {112, 112, FRT_COLOR_RGB, DLIB_MEAN, EACH(1 / 255.0F)}}},
    {FACE_API,
     "face_expression_model",
     frt_import_expression,
     NULL,
     {.role = FRT_ROLE_EXPRESSION,
      .name = "face_expression",
      .family = "expression",
      .file = "face_expression.onnx",
      .is_default = true,
      .n_labels = 7,
      .labels = {"neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"},
      .input = {112, 112, FRT_COLOR_RGB, DLIB_MEAN, EACH(1 / 255.0F)}}},
    {HUMAN,
     "antispoof",
     NULL,
     "real",
     {.role = FRT_ROLE_LIVENESS,
      .name = "antispoof",
      .family = "antispoof",
      .file = "antispoof.onnx",
      .is_default = true,
      .crop_scale = 1.4F,
      .n_labels = 1,
      .labels = {"real"},
      .input = {128, 128, FRT_COLOR_RGB, EACH(0), EACH(1 / 255.0F)}}},
    {HUMAN,
     "liveness",
     NULL,
     "live",
     {.role = FRT_ROLE_LIVENESS,
      .name = "liveness",
      .family = "liveness",
      .file = "liveness.onnx",
      .crop_scale = 1.4F,
      .n_labels = 2,
      .labels = {"real", "spoof"},
      .input = {32, 32, FRT_COLOR_RGB, EACH(0), EACH(1 / 255.0F)}}},
};
enum { N_MODELS = sizeof models / sizeof *models };

struct import {
    const char *dirs[PACKAGE_COUNT];
    char versions[PACKAGE_COUNT][24];
    struct frt_manifest *manifest;
    struct frt_staged_file staged[N_MODELS];
};

static enum frt_status json_load(const char *path, struct frt_json **out, struct frt_error *err)
{
    uint8_t *bytes = NULL;
    size_t size;
    enum frt_status status = frt_model_file_read(path, MAX_JSON_BYTES, &bytes, &size, err);
    if (status != FRT_OK)
        return status;
    status = frt_json_parse((const char *)bytes, size, out, err);
    if (status != FRT_OK)
        status = frt_fail_within(err, status == FRT_EBAD_REQUEST ? FRT_EBAD_MODEL : status, "%s", path);
    frt_free(bytes);
    return status;
}

/* Read <package>/package.json: is it the package we think, and which version? */
static enum frt_status package_check(struct import *import, enum package package, struct frt_error *err)
{
    char *path = NULL;
    struct frt_json *json = NULL;
    enum frt_status status = frt_model_path_join(import->dirs[package], "package.json", &path, err);
    if (status != FRT_OK)
        return status;
    status = json_load(path, &json, err);
    if (status == FRT_ENOTFOUND) {
        status = frt_fail(err, FRT_ENOTFOUND,
                          "%s: the npm package %s is not there; bring it with: npm ci --ignore-scripts",
                          import->dirs[package], packages[package].name);
        goto done;
    }
    if (status != FRT_OK)
        goto done;
    const char *name = frt_json_text(frt_json_get(frt_json_root(json), "name"));
    const char *version = frt_json_text(frt_json_get(frt_json_root(json), "version"));
    if (name == NULL || strcmp(name, packages[package].name) != 0) {
        status = frt_fail(err, FRT_EBAD_MODEL, "%s: this is the package %s; %s would be right", path,
                          name == NULL ? "(without a name)" : name, packages[package].name);
        goto done;
    }
    if (version == NULL || version[0] == '\0' || strlen(version) >= sizeof import->versions[package]) {
        status = frt_fail(err, FRT_EBAD_MODEL, "%s: no version of 1 to %zu bytes", path,
                          sizeof import->versions[package] - 1);
        goto done;
    }
    memcpy(import->versions[package], version, strlen(version) + 1);
done:
    frt_json_free(json);
    frt_free(path);
    return status;
}

/* Weights and, for a graph model, nodes → an ONNX file's bytes. */
static enum frt_status model_build(const struct import_model *model, const char *folder,
                                   const struct frt_json *json, uint8_t **bytes, size_t *size,
                                   struct frt_error *err)
{
    struct frt_tfjs_weights *weights = NULL;
    struct frt_onnx_graph *graph = NULL;
    const struct frt_json_value *root = frt_json_root(json);
    const struct frt_json_value *groups = model->build != NULL ? root : frt_json_get(root, "weightsManifest");
    enum frt_status status = frt_tfjs_weights_load(folder, groups, &weights, err);
    if (status != FRT_OK)
        goto done;
    status = frt_onnx_new(model->spec.name, &graph, err);
    if (status != FRT_OK)
        goto done;
    if (model->build != NULL)
        model->build(&(struct frt_import_net){graph, weights});
    else
        frt_tfjs_graph_convert(root, weights, model->output, graph);
    status = frt_onnx_serialise(graph, bytes, size, err);
done:
    frt_onnx_free(graph);
    frt_tfjs_weights_free(weights);
    return status;
}

static enum frt_status model_import(struct import *import, size_t index, const char *out_dir,
                                    struct frt_error *err)
{
    const struct import_model *model = &models[index];
    char *folder = NULL, *path = NULL, file[96];
    struct frt_json *json = NULL;
    uint8_t *bytes = NULL;
    size_t size;
    enum frt_status status =
        frt_model_path_join(import->dirs[model->package], packages[model->package].models, &folder, err);
    if (status != FRT_OK)
        goto done;
    (void)snprintf(file, sizeof file, "%s%s.json", model->source,
                   model->build != NULL ? "-weights_manifest" : "");
    status = frt_model_path_join(folder, file, &path, err);
    if (status == FRT_OK)
        status = json_load(path, &json, err);
    if (status == FRT_OK)
        status = model_build(model, folder, json, &bytes, &size, err);
    if (status != FRT_OK) {
        status = frt_fail_within(err, status, "%s", model->source);
        goto done;
    }
    status = frt_staged_file_write(out_dir, model->spec.file, bytes, size, &import->staged[index], err);
    if (status != FRT_OK)
        goto done;
    struct frt_model_spec *spec = &import->manifest->models[import->manifest->n_models++];
    *spec = model->spec;
    if (spec->map != FRT_MAP_L2) {
        spec->centre = frt_alloc_array(spec->dim, sizeof *spec->centre);
        if (spec->centre == NULL) {
            status = frt_fail_nomem(err, "a manifest");
            goto done;
        }
        memcpy(spec->centre, frt_recognition_centre, sizeof frt_recognition_centre);
    }
    (void)snprintf(spec->version, sizeof spec->version, "%s", import->versions[model->package]);
    (void)snprintf(spec->licence, sizeof spec->licence, "MIT");
    (void)snprintf(spec->provenance, sizeof spec->provenance, "npm %s %s, %s/%s", packages[model->package].name,
                   import->versions[model->package], packages[model->package].models, model->source);
    frt_sha256_hex(bytes, size, spec->sha256);
done:
    frt_free(bytes);
    frt_json_free(json);
    frt_free(path);
    frt_free(folder);
    return status;
}

enum frt_status frt_model_import(const struct frt_import_options *options, struct frt_error *err)
{
    struct import import = {.dirs = {options->face_api_dir, options->human_dir}};
    if (options->face_api_dir == NULL || options->human_dir == NULL || options->out_dir == NULL)
        return frt_fail(err, FRT_EINVAL,
                        "import: the two packages' folders and the pack's folder must be given");
    import.manifest = frt_alloc_zero(1, sizeof *import.manifest);
    if (import.manifest == NULL)
        return frt_fail_nomem(err, "a manifest");
    enum frt_status status = FRT_OK;
    for (int p = 0; p < PACKAGE_COUNT && status == FRT_OK; p++)
        status = package_check(&import, (enum package)p, err);
    if (status == FRT_OK)
        status = frt_model_folder_make(options->out_dir, err);
    for (size_t i = 0; i < N_MODELS && status == FRT_OK; i++) {
        if (options->cancelled != NULL && options->cancelled(options->cancelled_arg))
            status = frt_fail(err, FRT_ECANCELLED, "interrupted; the pack is as it was");
        else
            status = model_import(&import, i, options->out_dir, err);
        if (status == FRT_OK && options->progress != NULL)
            options->progress(options->progress_arg, models[i].spec.name, (uint32_t)i + 1, N_MODELS);
    }
    for (size_t i = 0; i < N_MODELS && status == FRT_OK; i++)
        status = frt_staged_file_commit(&import.staged[i], err);
    if (status == FRT_OK) {
        (void)snprintf(import.manifest->name, sizeof import.manifest->name, "default");
        (void)snprintf(import.manifest->version, sizeof import.manifest->version, "%s+%s",
                       import.versions[FACE_API], import.versions[HUMAN]);
        status = frt_manifest_save(import.manifest, options->out_dir, err);
    }
    for (size_t i = 0; i < N_MODELS; i++)
        frt_staged_file_deinit(&import.staged[i]);
    frt_manifest_free(import.manifest);
    return status;
}

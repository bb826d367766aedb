/*
 * Compiling a whole pack: YuNet and MobileFaceNet from FRT_TEST_ASSETS (default ../shared/assets), the sample
 * photos of the npm package. What comes out, what the manifest says of it, that embeddings meet the original's;
 * and that nothing is left behind where it is refused. Skipped (77) when models, photos or the runtime are not
 * there.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "engine/model_speed.h"
#include "engine/pack_compile.h"
#include "model/model_file.h"

enum { SKIPPED = 77, PHOTOS = 3 };

static struct frt_context *context;
static char place[64] = "/tmp/frt-compile-XXXXXX";
static char pack_path[96], out_path[96];
static char photos[PHOTOS][128];
static char *photo_list[PHOTOS];

/* Entries of the place that begin like the target, hidden ones too. */
static int count_left(void)
{
    int n = 0;
    DIR *folder = opendir(place);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        n += strstr(entry->d_name, "out") != NULL;
    closedir(folder);
    return n;
}

static void remove_out(void)
{
    char command[160];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", out_path);
    assert_int_equal(system(command), 0);
}

static struct frt_pack_compile_options options_of(enum frt_precision precision)
{
    return (struct frt_pack_compile_options){.pack = pack_path,
                                             .out = out_path,
                                             .precision = precision,
                                             .photos = photo_list,
                                             .n_photos = PHOTOS,
                                             .max_inputs = 8};
}

static const struct frt_compiled_model *row_of(const struct frt_pack_compile_report *report, const char *role)
{
    for (uint32_t i = 0; i < report->n_models; i++)
        if (strcmp(report->models[i].role, role) == 0)
            return &report->models[i];
    fail_msg("no %s", role);
    return NULL;
}

/* The largest face of the first photo. */
static float *embed(const char *folder, bool as_published, char model[160])
{
    struct frt_pack *pack = NULL;
    struct frt_image *image = NULL;
    struct frt_faces *faces = NULL;
    const struct frt_pack_options options = {.as_published = as_published};
    assert_int_equal(frt_pack_open(context, folder, &options, &pack, NULL), FRT_OK);
    assert_int_equal(frt_image_open_file(context, photos[0], &image, NULL), FRT_OK);
    assert_int_equal(frt_embed(pack, image, NULL, &faces, NULL), FRT_OK);
    assert_true(frt_faces_count(faces) > 0);
    const struct frt_pack_info *info = frt_pack_info_get(pack);
    float *copy = frt_alloc_array(info->dim, sizeof *copy);
    memcpy(copy, frt_faces_embedding(faces, 0), info->dim * sizeof *copy);
    (void)snprintf(model, 160, "%s %s", info->embedder_name, info->embedder_version);
    frt_faces_free(faces);
    frt_image_free(image);
    frt_pack_free(pack);
    return copy;
}

static void a_compiled_pack_answers_alike(void **state)
{
    (void)state;
    struct frt_pack_compile_options options = options_of(FRT_PRECISION_FP32);
    struct frt_pack_compile_report report;
    struct frt_manifest *before = NULL;
    struct frt_error err = {0};
    char digest[FRT_SHA256_HEX_SIZE], path[400], model[2][160];
    for (int i = 0; i < 2; i++) { /* the second time it replaces its own */
        if (frt_pack_compile(context, &options, &report, &err) != FRT_OK)
            fail_msg("%s", err.text);
        const struct frt_compiled_model *embedder = row_of(&report, "embedder"),
                                        *detector = row_of(&report, "detector");
        assert_true(report.faces > 0 && embedder->compiled && detector->compiled);
        assert_non_null(strstr(embedder->text, "prelu 34"));
        assert_true(embedder->drift.inputs > 1 && embedder->drift.max_relative < 1e-3);
        assert_true(embedder->drift.max_relative > 0); /* another graph: sums in another order */
        assert_true(embedder->drift.min_cosine > 0.9999);
        assert_true(detector->boxes > 0 && detector->boxes_apart == 0 && detector->min_iou > 0.99);
        assert_int_equal(frt_manifest_load(out_path, &before, NULL), FRT_OK);
        assert_string_equal(report.manifest->id, before->id); /* the new pack's, not the original's */
        frt_manifest_free(before);
        frt_pack_compile_report_deinit(&report);
        assert_int_equal(count_left(), 1);
    }
    assert_int_equal(frt_manifest_load(pack_path, &before, NULL), FRT_OK);
    assert_int_equal(frt_manifest_load(out_path, &report.manifest, NULL), FRT_OK);
    assert_int_equal(frt_manifest_verify(report.manifest, out_path, NULL), FRT_OK); /* all are pinned */
    for (uint32_t i = 0; i < before->n_models; i++) {
        const struct frt_model_spec *to = &report.manifest->models[i];
        (void)snprintf(path, sizeof path, "%s/%s", pack_path, before->models[i].file);
        assert_int_equal(frt_sha256_file(path, digest, NULL), FRT_OK);
        assert_string_equal(to->compiled_from, digest);
        assert_string_equal(to->version, before->models[i].version);
        assert_int_equal(strlen(to->sha256), 64);
        assert_ptr_equal(strstr(to->compiled_by, "frt " FRT_VERSION_STRING ", fp32"), to->compiled_by);
    }
    frt_manifest_free(before);
    frt_manifest_free(report.manifest);
    float *a = embed(pack_path, true, model[0]), *b = embed(out_path, false, model[1]), cosine = 0;
    assert_string_equal(model[0], model[1]); /* one gallery for both */
    assert_int_equal(frt_compare(a, b, 512, &cosine, NULL), FRT_OK);
    assert_true(cosine > 0.9999F);
    frt_free(a);
    frt_free(b);

    /* what is compiled is not compiled again, and its speed can be measured */
    options.pack = out_path;
    options.out = NULL;
    assert_int_equal(frt_pack_compile(context, &options, &report, &err), FRT_EINVAL);
    assert_non_null(strstr(err.text, "compiled already"));
    remove_out();
}

static void halves_are_half_as_large(void **state)
{
    (void)state;
    struct frt_pack_compile_options options = options_of(FRT_PRECISION_FP16_STORAGE);
    struct frt_pack_compile_report report;
    struct frt_error err = {0};
    if (frt_pack_compile(context, &options, &report, &err) != FRT_OK)
        fail_msg("%s", err.text);
    const struct frt_compiled_model *embedder = row_of(&report, "embedder");
    assert_true(embedder->bytes_after < embedder->bytes_before * 6 / 10);
    assert_true(embedder->drift.min_cosine > 0.999 && embedder->drift.min_cosine < 1);
    frt_pack_compile_report_deinit(&report);
    remove_out();
}

static void assert_refused(struct frt_pack_compile_options options, enum frt_status status, const char *says)
{
    struct frt_pack_compile_report report;
    struct frt_error err = {0};
    assert_int_equal(frt_pack_compile(context, &options, &report, &err), status);
    if (strstr(err.text, says) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, says);
}

static bool at_once(void *arg)
{
    int *left = arg;
    return (*left)-- <= 0;
}

static void what_is_refused_leaves_nothing(void **state)
{
    (void)state;
    struct frt_pack_compile_options options = options_of(FRT_PRECISION_FP32);
    options.bounds.max_relative = 1e-12;
    assert_refused(options, FRT_EBAD_MODEL, "drifts too far");
    assert_int_equal(count_left(), 0);

    options = options_of(FRT_PRECISION_INT8);
    assert_refused(options, FRT_EINVAL, "int8");
    options = options_of(FRT_PRECISION_FP32);
    options.batch = 4;
    assert_refused(options, FRT_EINVAL, "batch");
    options = options_of(FRT_PRECISION_FP32);
    options.n_photos = 0;
    assert_refused(options, FRT_EINVAL, "no photos");
    for (int steps = 0; steps < 8; steps++) { /* wherever it is interrupted */
        int left = steps;
        options = options_of(FRT_PRECISION_FP32);
        options.cancelled = at_once;
        options.cancelled_arg = &left;
        assert_refused(options, FRT_ECANCELLED, "");
    }
    assert_int_equal(count_left(), 0);

    /* a folder that is somebody else's, the pack itself among them */
    assert_int_equal(mkdir(out_path, 0755), 0);
    assert_refused(options_of(FRT_PRECISION_FP32), FRT_EINVAL, "no compiled pack");
    assert_int_equal(count_left(), 1);
    remove_out();
    options = options_of(FRT_PRECISION_FP32);
    options.out = pack_path;
    assert_refused(options, FRT_EINVAL, "no compiled pack");
}

/* A quantiser that does nothing but say that it did: the model is another from then on. */
static enum frt_status pretend(struct frt_onnx_model *model, const struct frt_quantise_task *task,
                               struct frt_quantise_report *report, struct frt_error *err)
{
    struct frt_outputs outputs;
    struct frt_session *session = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_true(task->inputs->n > 0);
    assert_true(task->spec->role == FRT_ROLE_EMBEDDER || task->spec->role == FRT_ROLE_DETECTOR);
    /* the inputs are what the model can be run with, one at a time */
    assert_int_equal(frt_onnx_model_pack(model, &bytes, &size, err), FRT_OK);
    assert_int_equal(frt_session_open_bytes(task->backend, bytes, size, &session, err), FRT_OK);
    for (uint32_t i = 0; i < task->inputs->n; i++) {
        assert_int_equal(task->inputs->tensors[i].dims[0], 1);
        assert_int_equal(frt_session_run(session, &task->inputs->tensors[i], 1, &outputs, err), FRT_OK);
        frt_outputs_release(&outputs);
    }
    frt_session_free(session);
    frt_free(bytes);
    if (task->spec->role == FRT_ROLE_EMBEDDER)
        report->quantised = 1;
    (void)snprintf(report->text, sizeof report->text, "pretended");
    return FRT_OK;
}

/* One that ruins the embedder: each other bias becomes its negative. */
static enum frt_status ruin(struct frt_onnx_model *model, const struct frt_quantise_task *task,
                            struct frt_quantise_report *report, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    if (task->spec->role != FRT_ROLE_EMBEDDER)
        return FRT_OK;
    for (uint32_t i = 0; status == FRT_OK && i < frt_onnx_model_nodes(model); i++) {
        struct frt_onnx_shape shape;
        const float *data;
        float ruined[4096];
        char name[64];
        if (strcmp(frt_onnx_model_op(model, i), "Conv") != 0 ||
            !frt_onnx_model_weights(model, frt_onnx_model_input(model, i, 2), &shape, &data))
            continue;
        for (int64_t k = 0; k < shape.dims[0]; k++)
            ruined[k] = k % 2 == 0 ? data[k] : -data[k];
        (void)snprintf(name, sizeof name, "ruined%u", i);
        status = frt_onnx_model_add_weights(model, name, &shape, ruined, err);
        if (status == FRT_OK)
            status = frt_onnx_model_set_input(model, i, 2, name, err);
    }
    report->quantised = 1;
    return status;
}

static void int8_is_another_model(void **state)
{
    (void)state;
    struct frt_pack_compile_options options = options_of(FRT_PRECISION_INT8);
    struct frt_pack_compile_report report;
    struct frt_manifest *before = NULL;
    struct frt_error err = {0};
    char version[80];
    options.quantise = pretend;
    if (frt_pack_compile(context, &options, &report, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(frt_manifest_load(pack_path, &before, NULL), FRT_OK);
    (void)snprintf(version, sizeof version, "%s" FRT_INT8_SUFFIX,
                   frt_manifest_find(before, FRT_ROLE_EMBEDDER, NULL)->version);
    assert_string_equal(frt_manifest_find(report.manifest, FRT_ROLE_EMBEDDER, NULL)->version, version);
    assert_non_null(strstr(frt_manifest_find(report.manifest, FRT_ROLE_EMBEDDER, NULL)->compiled_by,
                           ", int8: gemm 1, batchnorm 1"));
    frt_manifest_free(before);
    frt_pack_compile_report_deinit(&report);
    remove_out();
    options.quantise = ruin;
    options.bounds.max_relative = 1000; /* for the next bound to be the one */
    assert_refused(options, FRT_EBAD_MODEL, "cosine");
    assert_int_equal(count_left(), 0);
}

static void speed_is_measured(void **state)
{
    (void)state;
    struct frt_manifest *manifest = NULL;
    struct frt_model_speed speed = {0};
    char path[400];
    assert_int_equal(frt_manifest_load(pack_path, &manifest, NULL), FRT_OK);
    const struct frt_model_spec *spec = frt_manifest_find(manifest, FRT_ROLE_EMBEDDER, NULL);
    (void)snprintf(path, sizeof path, "%s/%s", pack_path, spec->file);
    assert_int_equal(frt_model_speed_measure(context, spec, path, &speed, NULL), FRT_OK);
    assert_true(speed.run_ms > 0 && speed.open_ms > 0 && speed.width_px == 112 && speed.height_px == 112);
    frt_manifest_free(manifest);
}

/* ------------------------------------------------------------------- set-up */

/* manifest.json and links to its models, in a folder of its own; false: something is not there. */
static bool make_pack(void)
{
    struct frt_manifest *manifest = NULL;
    uint8_t *text = NULL;
    size_t size = 0;
    bool good = true;
    char real[PATH_MAX];
    const char *assets = getenv("FRT_TEST_ASSETS");
    if (realpath(assets != NULL ? assets : "../shared/assets", real) == NULL)
        return false;
    (void)snprintf(pack_path, sizeof pack_path, "%s/pack", place);
    (void)snprintf(out_path, sizeof out_path, "%s/out", place);
    if (mkdir(pack_path, 0755) != 0 ||
        frt_model_file_read("share/packs/yunet-mobilefacenet.json", 1 << 20, &text, &size, NULL) != FRT_OK ||
        frt_manifest_parse(text, size, &manifest, NULL) != FRT_OK ||
        frt_manifest_save(manifest, pack_path, NULL) != FRT_OK)
        good = false;
    for (uint32_t i = 0; good && i < manifest->n_models; i++) {
        const struct frt_model_spec *spec = &manifest->models[i];
        char from[PATH_MAX + 300], to[400];
        (void)snprintf(from, sizeof from, "%s/models/%s/%s", real,
                       spec->role == FRT_ROLE_DETECTOR   ? "detect"
                       : spec->role == FRT_ROLE_EMBEDDER ? "recognize"
                                                         : "liveness",
                       spec->file);
        (void)snprintf(to, sizeof to, "%s/%s", pack_path, spec->file);
        good = access(from, R_OK) == 0 && symlink(from, to) == 0;
    }
    for (int i = 0; good && i < PHOTOS; i++) {
        (void)snprintf(photos[i], sizeof photos[i], "node_modules/@vladmandic/face-api/demo/sample%d.jpg",
                       i + 1);
        photo_list[i] = photos[i];
        good = access(photos[i], R_OK) == 0;
    }
    frt_manifest_free(manifest);
    frt_free(text);
    return good;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_compiled_pack_answers_alike),
        cmocka_unit_test(halves_are_half_as_large),
        cmocka_unit_test(what_is_refused_leaves_nothing),
        cmocka_unit_test(int8_is_another_model),
        cmocka_unit_test(speed_is_measured),
    };
    struct frt_error err = {0};
    char command[128];
    int failed = SKIPPED;
    if (mkdtemp(place) == NULL)
        return 1;
    if (frt_context_new(&(struct frt_context_options){.threads = 1}, &context, &err) != FRT_OK)
        print_message("SKIP: %s\n", err.text);
    else if (!make_pack())
        print_message("SKIP: models (FRT_TEST_ASSETS) or sample photos (npm) are not there\n");
    else
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_context_free(context);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", place);
    return system(command) == 0 ? failed : 1;
}

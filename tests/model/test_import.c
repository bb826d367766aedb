/* The import of the default pack from the npm packages: complete, the same bytes each time, and no
 * trace when it fails. SKIP when the packages are not installed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "model/import.h"
#include "model/model_file.h"
#include "model/pack_files.h"
#include "model/recognition_centre.h"
#include "model_test_util.h"

static const char face_api[] = "node_modules/@vladmandic/face-api";
static const char human[] = "node_modules/@vladmandic/human";

static const char *const wanted[] = {
    "ssd_mobilenetv1", "tiny_face_detector", "face_landmark_68", "face_recognition",
    "age_gender",      "face_expression",    "antispoof",        "liveness"};
enum { N_WANTED = sizeof wanted / sizeof *wanted };

static void count_progress(void *arg, const char *model, uint32_t done, uint32_t total)
{
    uint32_t *last = arg;
    assert_int_equal(total, N_WANTED);
    assert_int_equal(done, *last + 1);
    assert_string_equal(model, wanted[done - 1]);
    *last = done;
}

static enum frt_status import_to(const char *from_face_api, const char *from_human, const char *folder,
                                 struct frt_error *err)
{
    struct frt_import_options options = {
        .face_api_dir = from_face_api, .human_dir = from_human, .out_dir = folder};
    return frt_model_import(&options, err);
}

static struct frt_manifest *load(const char *folder)
{
    struct frt_error err;
    struct frt_manifest *manifest = NULL;
    if (frt_manifest_load(folder, &manifest, &err) != FRT_OK)
        fail_msg("%s", err.text);
    if (frt_manifest_verify(manifest, folder, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return manifest;
}

static void all_models_twice_the_same(void **state)
{
    struct frt_error err;
    uint32_t progress = 0;
    char folder[4200];
    (void)snprintf(folder, sizeof folder, "%s/made/deep", (const char *)*state);
    struct frt_import_options options = {.face_api_dir = face_api,
                                         .human_dir = human,
                                         .out_dir = folder,
                                         .progress = count_progress,
                                         .progress_arg = &progress};
    if (frt_model_import(&options, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(progress, N_WANTED);
    assert_int_equal(model_test_count_files(folder), N_WANTED + 1);
    struct frt_manifest *first = load(folder);
    assert_int_equal(first->n_models, N_WANTED);
    for (int i = 0; i < N_WANTED; i++) {
        assert_string_equal(first->models[i].name, wanted[i]);
        assert_int_equal(strlen(first->models[i].sha256), 64);
        assert_string_equal(first->models[i].licence, "MIT");
    }
    const struct frt_model_spec *embedder = frt_manifest_find(first, FRT_ROLE_EMBEDDER, NULL);
    assert_int_equal(embedder->map, FRT_MAP_CAP);
    assert_memory_equal(embedder->centre, frt_recognition_centre, sizeof frt_recognition_centre);
    for (int role = 0; role < FRT_ROLE_QUALITY; role++) /* it has no quality net */
        assert_true(frt_manifest_find(first, (enum frt_model_role)role, NULL)->is_default);

    if (import_to(face_api, human, folder, &err) != FRT_OK) /* over itself */
        fail_msg("%s", err.text);
    struct frt_manifest *second = load(folder);
    assert_string_equal(first->id, second->id); /* its checksums cover the files */
    assert_int_equal(model_test_count_files(folder), N_WANTED + 1);

    /* a disk that fills up at the second model: the pack that stands is whole, nothing lies beside it */
    model_test_limit_file_size((size_t)1 << 20);
    assert_int_equal(import_to(face_api, human, folder, &err), FRT_EIO);
    model_test_limit_file_size(0);
    assert_non_null(strstr(err.text, "cannot write"));
    assert_int_equal(model_test_count_files(folder), N_WANTED + 1);
    struct frt_manifest *third = load(folder);
    assert_string_equal(first->id, third->id);

    frt_manifest_free(first);
    frt_manifest_free(second);
    frt_manifest_free(third);
    for (int i = 0; i < N_WANTED; i++) {
        char path[4300];
        (void)snprintf(path, sizeof path, "%s/%s.onnx", folder, wanted[i]);
        assert_int_equal(unlink(path), 0);
    }
    char path[4300];
    (void)snprintf(path, sizeof path, "%s/manifest.json", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    (void)snprintf(folder, sizeof folder, "%s/made", (const char *)*state);
    assert_int_equal(rmdir(folder), 0);
}

static void a_disk_full_at_once_leaves_nothing(void **state)
{
    struct frt_error err;
    model_test_limit_file_size(4096);
    assert_int_equal(import_to(face_api, human, *state, &err), FRT_EIO);
    model_test_limit_file_size(0);
    assert_int_equal(model_test_count_files(*state), 0);
}

static void a_missing_package_is_named_with_its_cure(void **state)
{
    struct frt_error err;
    assert_int_equal(import_to(*state, human, *state, &err), FRT_ENOTFOUND);
    assert_non_null(strstr(err.text, "@vladmandic/face-api"));
    assert_non_null(strstr(err.text, "npm ci --ignore-scripts"));
    assert_int_equal(import_to(face_api, "no/such/folder", *state, &err), FRT_ENOTFOUND);
    assert_non_null(strstr(err.text, "@vladmandic/human"));
    assert_int_equal(import_to(human, face_api, *state, &err), FRT_EBAD_MODEL); /* swapped */
    assert_non_null(strstr(err.text, "@vladmandic/face-api would be right"));
    assert_int_equal(import_to(NULL, human, *state, &err), FRT_EINVAL);
    assert_int_equal(model_test_count_files(*state), 0);
}

static void an_output_folder_that_cannot_be_is_refused(void **state)
{
    struct frt_error err;
    char path[4200];
    model_test_write_file(*state, "file", "x", 1);
    (void)snprintf(path, sizeof path, "%s/file", (const char *)*state);
    assert_int_equal(import_to(face_api, human, path, &err), FRT_EIO);
    (void)snprintf(path, sizeof path, "%s/file/below", (const char *)*state);
    assert_int_equal(import_to(face_api, human, path, &err), FRT_EIO);
    assert_int_equal(import_to(face_api, human, "", &err), FRT_EINVAL);
}

/* A face-api package of our own: package.json and one net's files, then each damaged in turn. */
struct damage {
    const char *what;
    const char *json; /* replaces the first net's manifest; NULL = the real one */
    size_t bin_bytes; /* length its .bin is cut to; 0 = as it is */
    enum frt_status status;
    const char *says;
};

static void copy_file(const char *from, const char *folder, const char *name, size_t cut)
{
    uint8_t *bytes = NULL;
    size_t size;
    struct frt_error err;
    if (frt_model_file_read(from, (size_t)64 << 20, &bytes, &size, &err) != FRT_OK)
        fail_msg("%s", err.text);
    model_test_write_file(folder, name, bytes, cut > 0 && cut < size ? cut : size);
    frt_free(bytes);
}

static void damaged_weights_are_named(void **state)
{
    static const struct damage damages[] = {
        {"cut", NULL, 1000000, FRT_EBAD_MODEL, "ssd_mobilenetv1_model: weights MobilenetV1/Conv2d_"},
        {"no json", "{", 0, FRT_EBAD_MODEL, "ssd_mobilenetv1_model"},
        {"another net",
         "[{\"paths\":[\"a.bin\"],\"weights\":[{\"name\":\"MobilenetV1/Conv2d_0_pointwise/"
         "weights\",\"shape\":[3,3,4,32],"
         "\"dtype\":\"float32\",\"quantization\":{\"dtype\":\"uint8\",\"scale\":1,\"min\":0}}]}]",
         3 * 3 * 4 * 32, FRT_EBAD_MODEL,
         "Conv2d_0_pointwise/weights: shape [3,3,4,32]; the topology expects [3,3,3,32]"},
        {"a tensor is missing",
         "[{\"paths\":[\"a.bin\"],\"weights\":[{\"name\":\"x\",\"shape\":[250],\"dtype\":\"int32\"}]}]", 1000,
         FRT_EBAD_MODEL, "Conv2d_0_pointwise/weights: not there; the topology expects float32 [3,3,3,32]"},
        {"whole numbers",
         "[{\"paths\":[\"a.bin\"],\"weights\":[{\"name\":\"MobilenetV1/Conv2d_0_pointwise/"
         "weights\",\"shape\":[250],"
         "\"dtype\":\"int32\"}]}]",
         1000, FRT_EBAD_MODEL, "Conv2d_0_pointwise/weights: int32"},
    };
    char package[4200], model[4300], out[4200];
    (void)snprintf(package, sizeof package, "%s/package", (const char *)*state);
    (void)snprintf(model, sizeof model, "%s/model", package);
    (void)snprintf(out, sizeof out, "%s/out", (const char *)*state);
    assert_int_equal(mkdir(package, 0755), 0);
    assert_int_equal(mkdir(model, 0755), 0);
    copy_file("node_modules/@vladmandic/face-api/package.json", package, "package.json", 0);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct frt_error err = {0};
        const char *name = damages[i].json == NULL ? "ssd_mobilenetv1_model.bin" : "a.bin";
        if (damages[i].json != NULL)
            model_test_write_file(model, "ssd_mobilenetv1_model-weights_manifest.json", damages[i].json,
                                  strlen(damages[i].json));
        else
            copy_file("node_modules/@vladmandic/face-api/model/ssd_mobilenetv1_model-weights_manifest.json",
                      model, "ssd_mobilenetv1_model-weights_manifest.json", 0);
        copy_file("node_modules/@vladmandic/face-api/model/ssd_mobilenetv1_model.bin", model, name,
                  damages[i].bin_bytes);
        enum frt_status status = import_to(package, human, out, &err);
        if (status != damages[i].status || strstr(err.text, damages[i].says) == NULL)
            fail_msg("%s: status %d, \"%s\"; \"%s\" expected", damages[i].what, status, err.text,
                     damages[i].says);
        assert_int_equal(model_test_count_files(out), 0);
    }
    model_test_folder_empty(model);
    model_test_folder_empty(package);
    assert_int_equal(rmdir(model), 0);
    assert_int_equal(rmdir(package), 0);
    assert_int_equal(rmdir(out), 0);
}

int main(void)
{
    if (access("node_modules/@vladmandic/face-api/package.json", R_OK) != 0 ||
        access("node_modules/@vladmandic/human/package.json", R_OK) != 0) {
        (void)fprintf(stderr, "SKIP: the npm packages are not installed (npm ci --ignore-scripts)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_models_twice_the_same, model_test_folder_make,
                                        model_test_folder_remove),
        cmocka_unit_test_setup_teardown(a_disk_full_at_once_leaves_nothing, model_test_folder_make,
                                        model_test_folder_remove),
        cmocka_unit_test_setup_teardown(a_missing_package_is_named_with_its_cure, model_test_folder_make,
                                        model_test_folder_remove),
        cmocka_unit_test_setup_teardown(an_output_folder_that_cannot_be_is_refused, model_test_folder_make,
                                        model_test_folder_remove),
        cmocka_unit_test_setup_teardown(damaged_weights_are_named, model_test_folder_make,
                                        model_test_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Packs and decoders fit together: every model of the default pack and of the templates in share/packs is
 * taken by the family its manifest names. SKIP without the runtime; templates need FRT_TEST_ASSETS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "model/import.h"
#include "model/model_file.h"
#include "model/pack_files.h"
#include "model_test_util.h"
#include "vision/detector.h"
#include "vision/embedder.h"
#include "vision/face_net.h"
#include "vision/landmarks.h"

static struct frt_backend *backend;

/* Make the object that the role calls for, and free it. */
static enum frt_status take(const struct frt_model_spec *spec, const struct frt_session *session,
                            struct frt_error *err)
{
    struct frt_detector *detector = NULL;
    struct frt_landmarker *landmarker = NULL;
    struct frt_embedder *embedder = NULL;
    struct frt_face_net *net = NULL;
    enum frt_status status;
    if (spec->role == FRT_ROLE_DETECTOR)
        status = frt_detector_new(spec, session, &detector, err);
    else if (spec->role == FRT_ROLE_LANDMARKS)
        status = frt_landmarker_new(spec, session, &landmarker, err);
    else if (spec->role == FRT_ROLE_EMBEDDER)
        status = frt_embedder_new(spec, session, &embedder, err);
    else
        status = frt_face_net_new(spec, session, &net, err);
    frt_detector_free(detector);
    frt_landmarker_free(landmarker);
    frt_embedder_free(embedder);
    frt_face_net_free(net);
    return status;
}

static void model_fits(const struct frt_model_spec *spec, const char *path)
{
    struct frt_error err;
    struct frt_session *session = NULL;
    if (frt_session_open(backend, path, &session, &err) != FRT_OK)
        fail_msg("%s: %s", path, err.text);
    if (take(spec, session, &err) != FRT_OK)
        fail_msg("%s: %s", path, err.text);

    /* and the wrong family does not take it */
    struct frt_model_spec wrong = *spec;
    (void)snprintf(wrong.family, sizeof wrong.family, "no_such_family");
    assert_int_equal(take(&wrong, session, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "no_such_family"));
    frt_session_free(session);
}

static void default_pack_fits(void **state)
{
    struct frt_error err;
    struct frt_manifest *manifest = NULL;
    if (access("node_modules/@vladmandic/face-api/package.json", R_OK) != 0) {
        print_message("SKIP: the npm packages are not installed (npm ci --ignore-scripts)\n");
        skip();
    }
    struct frt_import_options options = {.face_api_dir = "node_modules/@vladmandic/face-api",
                                         .human_dir = "node_modules/@vladmandic/human",
                                         .out_dir = *state};
    if (frt_model_import(&options, &err) != FRT_OK || frt_manifest_load(*state, &manifest, &err) != FRT_OK)
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < manifest->n_models; i++) {
        char *path = NULL;
        assert_int_equal(frt_model_path_join(*state, manifest->models[i].file, &path, &err), FRT_OK);
        model_fits(&manifest->models[i], path);
        frt_free(path);
    }
    frt_manifest_free(manifest);
}

/* Where the asset folders keep models of a role. */
static const char *asset_folder(enum frt_model_role role)
{
    if (role == FRT_ROLE_QUALITY)
        return "quality";
    return role == FRT_ROLE_DETECTOR ? "detect" : (role == FRT_ROLE_EMBEDDER ? "recognize" : "liveness");
}

static void templates_fit(void **state)
{
    (void)state;
    static const char *const names[] = {"yunet-mobilefacenet", "yunet-insightface-y1", "yunet-mobileface-v2",
                                        "scrfd-mobilefacenet", "yunet-insightface-y1-quality"};
    const char *assets = getenv("FRT_TEST_ASSETS");
    assets = assets != NULL ? assets : "../shared/assets";
    if (access(assets, R_OK) != 0) {
        print_message("SKIP: %s is not there (FRT_TEST_ASSETS)\n", assets);
        skip();
    }
    for (size_t t = 0; t < sizeof names / sizeof *names; t++) {
        struct frt_error err;
        struct frt_manifest *manifest = NULL;
        uint8_t *text = NULL;
        size_t size;
        char path[4096];
        (void)snprintf(path, sizeof path, "share/packs/%s.json", names[t]);
        if (frt_model_file_read(path, (size_t)1 << 20, &text, &size, &err) != FRT_OK ||
            frt_manifest_parse(text, size, &manifest, &err) != FRT_OK)
            fail_msg("%s: %s", path, err.text);
        for (uint32_t i = 0; i < manifest->n_models; i++) {
            const struct frt_model_spec *spec = &manifest->models[i];
            (void)snprintf(path, sizeof path, "%s/models/%s/%s", assets, asset_folder(spec->role), spec->file);
            model_fits(spec, path);
        }
        frt_manifest_free(manifest);
        frt_free(text);
    }
}

int main(void)
{
    struct frt_error err;
    if (frt_backend_onnxruntime_new(NULL, &backend, &err) != FRT_OK) {
        (void)fprintf(stderr, "SKIP: %s\n", err.text);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(default_pack_fits, model_test_folder_make, model_test_folder_remove),
        cmocka_unit_test(templates_fit),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    frt_backend_free(backend);
    return failures;
}

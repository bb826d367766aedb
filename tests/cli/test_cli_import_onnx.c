/*
 * `frt models import FILE.onnx…`: every real model that lies at hand (FRT_TEST_ASSETS) is recognised with its
 * constants, a pack made of several works, what fits nothing is refused with a reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli_runner.h"
#include "core/json_read.h"
#include "core/mem.h"
#include "core/status.h"
#include "model/model_file.h"
#include "model/onnx_model.h"

enum { SKIP = 77, PATH_ROOM = 512 };

static const char samples[] = "node_modules/@vladmandic/face-api/demo";
static char photos[128], assets[256];

static const char *asset(const char *name)
{
    static char paths[12][PATH_ROOM];
    static unsigned next;
    char *path = paths[next++ % 12];
    (void)snprintf(path, PATH_ROOM, "%s/models/%s", assets, name);
    return path;
}

/* The models, and what is right for them (INDEX.md of the assets, share/packs). */
static const struct right {
    const char *file, *role, *family, *color, *scale, *more_key, *more;
} models[] = {
    {"detect/yunet_n_dynamic.onnx", "detector", "yunet", "bgr", "(x - 0) * 1", NULL, NULL},
    {"detect/scrfd_500m_bnkps.onnx", "detector", "scrfd", "rgb", "(x - 127.5) * 0.0078125", NULL, NULL},
    {"detect/scrfd_2.5g_bnkps.onnx", "detector", "scrfd", "rgb", "(x - 127.5) * 0.0078125", NULL, NULL},
    {"detect/RetinaFace_mobile320.onnx", "detector", "retinaface", "bgr", "(x - 104,117,123) * 1", NULL, NULL},
    {"detect/version-RFB-320.onnx", "detector", "ultralight_rfb", "rgb", "(x - 127) * 0.0078125", NULL, NULL},
    {"recognize/w600k_mbf_dequant_fp32.onnx", "embedder", "arcface", "rgb", "(x - 127.5) * 0.00784314", "dim",
     "512"},
    {"recognize/insightface_y1.converted.onnx", "embedder", "arcface", "rgb", "(x - 0) * 1", "dim", "128"},
    {"recognize/MobileFace_Identification_V2.converted.onnx", "embedder", "arcface", "rgb", "(x - 0) * 1",
     "dim", "256"},
    {"liveness/fasnet_2_7.onnx", "liveness", "minifasnet", "bgr", "(x - 0) * 1", "crop_scale", "2.7"},
    {"liveness/fasnet_4_0.onnx", "liveness", "minifasnet", "bgr", "(x - 0) * 1", "crop_scale", "4"},
    {"quality/lightqnet-dm100.converted.onnx", "quality", "lightqnet", "bgr", "(x - 128) * 0.0078125", NULL,
     NULL},
};
enum { N_MODELS = sizeof models / sizeof *models };

static const struct frt_json_value *guess_of(const struct frt_json_value *model, const char *key)
{
    for (const struct frt_json_value *g = frt_json_first(frt_json_get(model, "guesses")); g != NULL;
         g = frt_json_next(g))
        if (strcmp(frt_json_text(frt_json_get(g, "key")), key) == 0)
            return g;
    return NULL;
}

static void expect_guess(const struct frt_json_value *model, const char *key, const char *value)
{
    const char *found = frt_json_text(frt_json_get(guess_of(model, key), "value"));
    if (found == NULL || strcmp(found, value) != 0)
        fail_msg("%s: %s is %s, %s is right (%s)", frt_json_text(frt_json_get(model, "file")), key,
                 found != NULL ? found : "not there", value,
                 found != NULL ? frt_json_text(frt_json_get(guess_of(model, key), "why")) : "");
}

static void need_models(void)
{
    if (access(asset(models[0].file), R_OK) != 0 || access(samples, R_OK) != 0 ||
        access("data/packs/default/manifest.json", R_OK) != 0) {
        (void)printf("SKIP: %s, %s or data/packs/default is not there\n", asset(models[0].file), samples);
        skip();
    }
}

static void every_model_comes_out_right(void **state)
{
    const char *words[N_MODELS + 8] = {"models", "import", "--dry-run", "--json", "--photos", photos};
    struct frt_json *json = NULL;
    size_t n = 0;
    (void)state;
    need_models();
    for (size_t i = 0; i < N_MODELS; i++)
        words[6 + i] = asset(models[i].file);
    struct cli_result r = cli_run_words(NULL, words);
    cli_expect(&r, 0, NULL);
    assert_int_equal(frt_json_parse(r.out, r.out_size, &json, NULL), FRT_OK);
    assert_true(frt_json_is_null(frt_json_get(frt_json_root(json), "not_tried")));
    for (const struct frt_json_value *m = frt_json_first(frt_json_get(frt_json_root(json), "models"));
         m != NULL; m = frt_json_next(m), n++) {
        expect_guess(m, "role", models[n].role);
        expect_guess(m, "family", models[n].family);
        expect_guess(m, "color", models[n].color);
        expect_guess(m, "scale", models[n].scale);
        if (models[n].more_key != NULL)
            expect_guess(m, models[n].more_key, models[n].more);
        if (strcmp(models[n].role, "liveness") != 0 &&
            strcmp(models[n].role, "quality") != 0) /* nobody believed: all were tried */
            assert_non_null(strstr(frt_json_text(frt_json_get(guess_of(m, "color"), "why")), "tried on"));
    }
    frt_json_free(json);
    assert_int_equal(n, N_MODELS);
}

/* The same net with the first layer's weights for red and blue exchanged wants BGR, and that is found out. */
static void turned_colours_are_found(void **state)
{
    const char *turned = cli_work("turned.onnx");
    struct frt_onnx_model *model = NULL;
    struct frt_onnx_shape shape;
    const float *weights = NULL;
    float *copy = NULL;
    uint8_t *bytes = NULL, *packed = NULL;
    size_t size = 0, packed_size = 0;
    struct frt_json *json = NULL;
    uint32_t conv = 0;
    (void)state;
    need_models();
    assert_int_equal(frt_model_file_read(asset(models[5].file), SIZE_MAX, &bytes, &size, NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_parse(bytes, size, &model, NULL), FRT_OK);
    while (strcmp(frt_onnx_model_op(model, conv), "Conv") != 0)
        conv++;
    assert_true(frt_onnx_model_weights(model, frt_onnx_model_input(model, conv, 1), &shape, &weights));
    assert_int_equal(shape.n_dims, 4);
    assert_int_equal(shape.dims[1], 3);
    const size_t plane = (size_t)(shape.dims[2] * shape.dims[3]), filters = (size_t)shape.dims[0];
    copy = frt_alloc_array(filters * 3 * plane, sizeof *copy);
    assert_non_null(copy);
    for (size_t f = 0; f < filters; f++)
        for (size_t c = 0; c < 3; c++)
            memcpy(copy + (f * 3 + c) * plane, weights + (f * 3 + 2 - c) * plane, plane * sizeof *copy);
    assert_int_equal(frt_onnx_model_add_weights(model, "turned", &shape, copy, NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_set_input(model, conv, 1, "turned", NULL), FRT_OK);
    assert_int_equal(frt_onnx_model_pack(model, &packed, &packed_size, NULL), FRT_OK);
    cli_put(turned, packed, packed_size);
    frt_free(packed);
    frt_free(copy);
    frt_free(bytes);
    frt_onnx_model_free(model);

    struct cli_result r = CLI_RUN(NULL, "models", "import", "--dry-run", "--json", "--photos", photos, turned);
    cli_expect(&r, 0, NULL);
    assert_int_equal(frt_json_parse(r.out, r.out_size, &json, NULL), FRT_OK);
    const struct frt_json_value *m = frt_json_first(frt_json_get(frt_json_root(json), "models"));
    expect_guess(m, "color", "bgr");
    expect_guess(m, "scale", "(x - 127.5) * 0.00784314");
    assert_non_null(strstr(frt_json_text(frt_json_get(guess_of(m, "color"), "why")), "published otherwise"));
    frt_json_free(json);
}

/* A wrong word is followed, and shows: nothing of what the user says is overruled. */
static void what_is_said_counts(void **state)
{
    struct frt_json *json = NULL;
    (void)state;
    need_models();
    struct cli_result r =
        CLI_RUN(NULL, "models", "import", "--dry-run", "--json", "--photos", photos, "--scale", "0.00392",
                "--color", "bgr", "--threshold", "0.5", "--family", "sface", "--model-name", "mine",
                asset("recognize/MobileFace_Identification_V2.converted.onnx"));
    cli_expect(&r, 0, NULL);
    assert_int_equal(frt_json_parse(r.out, r.out_size, &json, NULL), FRT_OK);
    const struct frt_json_value *m = frt_json_first(frt_json_get(frt_json_root(json), "models"));
    assert_string_equal(frt_json_text(frt_json_get(m, "name")), "mine");
    expect_guess(m, "color", "bgr");
    expect_guess(m, "scale", "(x - 0) * 0.00392");
    expect_guess(m, "threshold", "0.50");
    expect_guess(m, "family", "sface");
    assert_string_equal(frt_json_text(frt_json_get(guess_of(m, "color"), "sure")), "as you said");
    frt_json_free(json);
}

static void a_pack_of_several(void **state)
{
    const char *pack = cli_work("made");
    char photo[PATH_ROOM];
    (void)state;
    need_models();
    (void)snprintf(photo, sizeof photo, "%s/sample1.jpg", photos);
    struct cli_result r =
        CLI_RUN(NULL, "models", "import", "--no-try", "--out", pack, "--licence", "mixed",
                asset(models[0].file), asset(models[5].file), asset(models[8].file), asset(models[9].file));
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "not tried"));
    r = CLI_RUN(NULL, "models", "verify", "--pack", pack);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "verify", "--pack", pack, photo, photo);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "detect", "--json", "--attributes", "liveness", "--pack", pack, photo);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "\"liveness\""));
    /* a further model; the first of its role stays the default one */
    r = CLI_RUN(NULL, "models", "import", "--no-try", "--out", pack, asset(models[1].file));
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "detect", "--json", "--detector", "scrfd_500m_bnkps", "--pack", pack, photo);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "models", "list", "--pack", pack);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "scrfd_500m_bnkps"));
    assert_non_null(strstr(r.out, "mixed  (default)"));
    /* again: refused, or replaced */
    r = CLI_RUN(NULL, "models", "import", "--no-try", "--out", pack, asset(models[1].file));
    cli_expect(&r, 1, "--force");
    r = CLI_RUN(NULL, "models", "import", "--no-try", "--out", pack, "--force", "--default",
                asset(models[1].file));
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "models", "verify", "--pack", pack);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "5 models"));
}

static void roles_that_are_said_count(void **state)
{
    (void)state;
    need_models();
    struct cli_result r = CLI_RUN(NULL, "models", "import", "--no-try", "--dry-run", "--role", "liveness",
                                  asset("quality/lightqnet-dm100.converted.onnx"));
    cli_expect(&r, 0, NULL); /* one score: what it says is known to whoever has the file */
    assert_non_null(strstr(r.out, "antispoof"));
    r = CLI_RUN(NULL, "models", "import", "--no-try", "--role", "quality", asset(models[8].file));
    cli_expect(&r, 6, "fits no family of role quality");
    r = CLI_RUN(NULL, "models", "import", "--no-try", "--role", "beauty", asset(models[0].file));
    cli_expect(&r, 2, "or quality would be right");
    r = CLI_RUN(NULL, "models", "import", "--no-try", "--role", "embedder", asset(models[0].file));
    cli_expect(&r, 6, "fits no family of role embedder");
    r = CLI_RUN(NULL, "models", "import", "--no-try", "--photos", "/nowhere", "--dry-run",
                asset(models[0].file));
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "models", "import", "--photos", "/nowhere", "--dry-run", asset(models[0].file));
    cli_expect(&r, 3, "/nowhere");
}

static void what_is_refused(void **state)
{
    const char *junk = cli_work("junk.onnx");
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "models", "import", "/nowhere.onnx");
    cli_expect(&r, 3, "/nowhere.onnx");
    cli_put(junk, "no model", 8);
    r = CLI_RUN(NULL, "models", "import", junk);
    cli_expect(&r, 6, "junk.onnx");
    r = CLI_RUN(NULL, "models", "import", "--color", "red", junk);
    cli_expect(&r, 2, "rgb or bgr");
    r = CLI_RUN(NULL, "models", "import", "--scale", "1,2", junk);
    cli_expect(&r, 2, "three with commas");
    r = CLI_RUN(NULL, "models", "import", "--scale", "0", junk);
    cli_expect(&r, 2, "not 0");
    r = CLI_RUN(NULL, "models", "import", "--color", "rgb", junk, junk);
    cli_expect(&r, 2, "one after the other");
}

int main(int argc, char **argv)
{
    const char *said = getenv("FRT_TEST_ASSETS");
    char *real = realpath(said != NULL ? said : "../shared/assets", NULL);
    char command[600];
    cli_runner_init(argc, argv);
    (void)snprintf(assets, sizeof assets, "%s", real != NULL ? real : "../shared/assets");
    free(real);
    /* three photos are enough, and a third of the time */
    (void)snprintf(photos, sizeof photos, "%s", cli_work("photos"));
    (void)mkdir(photos, 0755);
    (void)snprintf(command, sizeof command, "cp %s/sample[126].jpg '%s' 2>/dev/null", samples, photos);
    (void)!system(command);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turned_colours_are_found),  cmocka_unit_test(every_model_comes_out_right),
        cmocka_unit_test(what_is_said_counts),       cmocka_unit_test(a_pack_of_several),
        cmocka_unit_test(roles_that_are_said_count), cmocka_unit_test(what_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cli_runner_deinit();
    return failed;
}

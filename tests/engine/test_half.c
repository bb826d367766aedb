/*
 * Packs whose graphs compute in f16 (model/pass_compute_half.h) beside the same in f32, on photos of real
 * people: embeddings of the same aligned faces, and boxes.
 *
 * Two ways, as no device is needed for either: the graph itself on the CPU, whose runtime computes it in f32
 * and leaves out most of the roundings between layers; and the graph in f32 with each of those roundings in it
 * as arithmetic (x*8193 - (x*8193 - x) has eleven bits). What neither shows is a device that adds up in f16,
 * too.
 *
 * The default pack, and YuNet and MobileFaceNet from FRT_TEST_ASSETS (default ../shared/assets). Skipped (77)
 * when models, photos or the runtime are not there.
 */
#include <dirent.h>
#include <limits.h>
#include <math.h>
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
#include "engine/pack.h"
#include "model/model_file.h"
#include "model/onnx_model.h"

enum { SKIPPED = 77, PHOTOS = 12, MAX_DIM = 512 };

static struct frt_context *whole, *half;
static struct frt_backend_ops half_ops;
static unsigned half_graphs;
static enum frt_status (*open_bytes)(struct frt_backend *backend, const void *bytes, size_t size,
                                     struct frt_session **out, struct frt_error *err);
static char place[64] = "/tmp/frt-half-XXXXXX", assets[PATH_MAX], pack_path[96];
static char photos[PHOTOS][PATH_MAX + 300];
static size_t n_photos;

/* ------------------------------------------------- roundings as arithmetic */

static bool spell_roundings;

static float float_of(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const float magnitude =
        exponent == 0 ? ldexpf((float)mantissa, -24) : ldexpf((float)(mantissa + 1024), exponent - 25);
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

static void add_node(struct frt_onnx_model *model, uint32_t at, const char *op, const char *a, const char *b,
                     const char *to)
{
    const struct frt_onnx_insert node = {
        .op = op, .n_inputs = b != NULL ? 2 : 1, .inputs = {a, b}, .n_outputs = 1, .outputs = {to}};
    assert_int_equal(frt_onnx_model_insert(model, at, &node, NULL), FRT_OK);
}

/* to = from, rounded: three nodes. */
static void add_rounding(struct frt_onnx_model *model, uint32_t at, const char *from, const char *to)
{
    char wide[400], rest[400];
    (void)snprintf(wide, sizeof wide, "%s/wide", to);
    (void)snprintf(rest, sizeof rest, "%s/rest", to);
    add_node(model, at, "Mul", from, "frt_8193", wide);
    add_node(model, at + 1, "Sub", wide, from, rest);
    add_node(model, at + 2, "Sub", wide, rest, to);
}

static void widen_weights(struct frt_onnx_model *model)
{
    const char *name;
    for (uint32_t i = 0; frt_onnx_model_weights_name(model, i, &name);) {
        struct frt_onnx_tensor weights;
        char copy[400];
        if (!frt_onnx_model_tensor(model, name, &weights) || weights.type != FRT_ONNX_F16) {
            i++;
            continue;
        }
        const size_t n = frt_onnx_tensor_count(&weights);
        float *values = frt_alloc_array(n, sizeof *values);
        assert_non_null(values);
        for (size_t k = 0; k < n; k++)
            values[k] = float_of(((const uint16_t *)weights.data)[k]);
        const struct frt_onnx_tensor wide = {
            .type = FRT_ONNX_F32, .shape = weights.shape, .data = values, .bytes = n * sizeof *values};
        (void)snprintf(copy, sizeof copy, "%s", name);
        frt_onnx_model_remove_weights(model, copy);
        assert_int_equal(frt_onnx_model_add_tensor(model, copy, &wide, NULL), FRT_OK);
        frt_free(values);
    }
}

static bool ends_in_half(const char *name)
{
    const size_t n = strlen(name);
    return n > 9 && strcmp(name + n - 9, "/frt_half") == 0;
}

static void round_by_arithmetic(struct frt_onnx_model *model)
{
    const struct frt_onnx_shape one = {.n_dims = 1, .dims = {1}};
    const float factor = 8193;
    widen_weights(model);
    assert_int_equal(frt_onnx_model_add_weights(model, "frt_8193", &one, &factor, NULL), FRT_OK);
    for (uint32_t i = 0; i < frt_onnx_model_nodes(model); i++) {
        char from[400], to[400], raw[410];
        const bool is_cast = strcmp(frt_onnx_model_op(model, i), "Cast") == 0;
        (void)snprintf(from, sizeof from, "%s", frt_onnx_model_input(model, i, 0));
        (void)snprintf(to, sizeof to, "%s", frt_onnx_model_output(model, i, 0));
        if (is_cast && ends_in_half(to)) {
            frt_onnx_model_remove(model, i);
            add_rounding(model, i, from, to);
            i += 2;
        } else if (is_cast && ends_in_half(from)) {
            frt_onnx_model_remove(model, i);
            add_node(model, i, "Identity", from, NULL, to);
        } else if (ends_in_half(to)) {
            (void)snprintf(raw, sizeof raw, "%s/raw", to);
            assert_int_equal(frt_onnx_model_set_output(model, i, 0, raw, NULL), FRT_OK);
            add_rounding(model, i + 1, raw, to);
            i += 3;
        }
    }
}

static enum frt_status open_rounded(struct frt_backend *backend, const void *bytes, size_t size,
                                    struct frt_session **out, struct frt_error *err)
{
    struct frt_onnx_model *model = NULL;
    uint8_t *changed = NULL;
    size_t changed_size = 0;
    assert_int_equal(frt_onnx_model_parse(bytes, size, &model, NULL), FRT_OK);
    round_by_arithmetic(model);
    assert_int_equal(frt_onnx_model_pack(model, &changed, &changed_size, NULL), FRT_OK);
    frt_onnx_model_free(model);
    const enum frt_status status = open_bytes(backend, changed, changed_size, out, err);
    frt_free(changed);
    return status;
}

static enum frt_status count_and_open(struct frt_backend *backend, const void *bytes, size_t size,
                                      struct frt_session **out, struct frt_error *err)
{
    half_graphs++;
    return spell_roundings ? open_rounded(backend, bytes, size, out, err)
                           : open_bytes(backend, bytes, size, out, err);
}

static double cosine(const float *a, const float *b, size_t n)
{
    double aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < n; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static double box_apart(const struct frt_face *a, const struct frt_face *b)
{
    return fmax(fmax(fabs((double)a->box.x - (double)b->box.x), fabs((double)a->box.y - (double)b->box.y)),
                fmax(fabs((double)a->box.width - (double)b->box.width),
                     fabs((double)a->box.height - (double)b->box.height)));
}

static void compare(const char *folder, const char *name)
{
    const struct frt_decode_request all = {0};
    struct frt_pack *packs[2] = {NULL, NULL};
    double least = 1, sum = 0, px = 0;
    size_t n = 0, boxes = 0, alone = 0;
    half_graphs = 0;
    assert_int_equal(frt_pack_open(whole, folder, NULL, &packs[0], NULL), FRT_OK);
    assert_int_equal(frt_pack_open(half, folder, NULL, &packs[1], NULL), FRT_OK);
    assert_true(half_graphs >= 2); /* detector and embedder at least are in f16 */
    const uint32_t dim = packs[0]->info.dim;
    uint8_t *chip = frt_alloc_array(frt_embedder_chip_bytes(packs[0]->embedder), 1);
    assert_true(dim <= MAX_DIM && chip != NULL);
    for (size_t i = 0; i < n_photos; i++) {
        struct frt_image *image = NULL;
        struct frt_frame frame = {0};
        struct frt_faces *faces[2] = {NULL, NULL};
        assert_int_equal(frt_image_open_file(whole, photos[i], &image, NULL), FRT_OK);
        assert_int_equal(frt_image_decode(image, &all, &frame, NULL), FRT_OK);
        for (int k = 0; k < 2; k++)
            assert_int_equal(frt_detect(packs[k], image, NULL, &faces[k], NULL), FRT_OK);
        const size_t found = frt_faces_count(faces[0]);
        alone += found != frt_faces_count(faces[1]);
        for (size_t f = 0; f < found; f++) {
            float row[2][MAX_DIM];
            double ms = 0;
            const struct frt_face *face = frt_faces_get(faces[0], f);
            if (found == frt_faces_count(faces[1])) {
                px = fmax(px, box_apart(face, frt_faces_get(faces[1], f)) / (double)face->box.width);
                boxes++;
            }
            assert_int_equal(frt_embedder_align(packs[0]->embedder, &frame, face->landmarks, chip, NULL),
                             FRT_OK);
            for (int k = 0; k < 2; k++)
                assert_int_equal(frt_embedder_run(packs[k]->embedder, chip, 1, row[k], &ms, NULL), FRT_OK);
            const double c = cosine(row[0], row[1], dim);
            least = fmin(least, c);
            sum += c;
            n++;
        }
        frt_faces_free(faces[0]);
        frt_faces_free(faces[1]);
        frt_frame_deinit(&frame);
        frt_image_free(image);
    }
    assert_true(n >= n_photos / 2 && boxes > 0);
    print_message(
        "%s: %zu faces of %zu photos: 1 - cosine %.2e at most, %.2e on average; boxes %.4f of a face's width "
        "apart at most, photos with another number of faces: %zu\n",
        name, n, n_photos, 1 - least, 1 - sum / (double)n, px, alone);
    assert_true(least > 0.999 && sum / (double)n > 0.9995);
    assert_true(least < 1 - 1e-9); /* or it was the same graph */
    assert_true(px < 0.05);
    assert_true(alone <= n_photos / 12); /* a score may lie on the threshold */
    frt_free(chip);
    frt_pack_free(packs[0]);
    frt_pack_free(packs[1]);
}

static void compare_both(const char *folder, const char *name)
{
    char text[96];
    for (int k = 0; k < 2; k++) {
        spell_roundings = k == 1;
        (void)snprintf(text, sizeof text, "%s, %s", name, k == 1 ? "rounded by arithmetic" : "in f16");
        compare(folder, text);
    }
}

static void mobile_face_net(void **state)
{
    (void)state;
    compare_both(pack_path, "YuNet and MobileFaceNet");
}

static void default_pack(void **state)
{
    (void)state;
    if (access("data/packs/default/manifest.json", R_OK) != 0) {
        print_message("the default pack is not there\n");
        skip();
    }
    compare_both("data/packs/default", "default pack");
}

/* ------------------------------------------------------------------- set-up */

/* Every so many of the folders of people. */
static void find_photos(void)
{
    char folder[PATH_MAX + 64];
    (void)snprintf(folder, sizeof folder, "%s/faces/lfw-dev", assets);
    struct dirent **people = NULL;
    const int n = scandir(folder, &people, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = people[i]->d_name;
        if (n_photos < PHOTOS && name[0] != '.' && i % 61 == 0) {
            char *photo = photos[n_photos];
            (void)snprintf(photo, sizeof photos[0], "%s/%.100s/%.100s_0001.jpg", folder, name, name);
            n_photos += access(photo, R_OK) == 0;
        }
    }
    for (int i = 0; i < n; i++)
        free(people[i]);
    free(people);
}

static bool make_pack(void)
{
    struct frt_manifest *manifest = NULL;
    uint8_t *text = NULL;
    size_t size = 0;
    const char *asked = getenv("FRT_TEST_ASSETS");
    if (realpath(asked != NULL ? asked : "../shared/assets", assets) == NULL)
        return false;
    find_photos();
    (void)snprintf(pack_path, sizeof pack_path, "%s/pack", place);
    bool good =
        n_photos == PHOTOS && mkdir(pack_path, 0755) == 0 &&
        frt_model_file_read("share/packs/yunet-mobilefacenet.json", 1 << 20, &text, &size, NULL) == FRT_OK &&
        frt_manifest_parse(text, size, &manifest, NULL) == FRT_OK &&
        frt_manifest_save(manifest, pack_path, NULL) == FRT_OK;
    for (uint32_t i = 0; good && i < manifest->n_models; i++) {
        const struct frt_model_spec *spec = &manifest->models[i];
        char from[PATH_MAX + 300], to[400];
        (void)snprintf(from, sizeof from, "%s/models/%s/%s", assets,
                       spec->role == FRT_ROLE_DETECTOR   ? "detect"
                       : spec->role == FRT_ROLE_EMBEDDER ? "recognize"
                                                         : "liveness",
                       spec->file);
        (void)snprintf(to, sizeof to, "%s/%s", pack_path, spec->file);
        good = access(from, R_OK) == 0 && symlink(from, to) == 0;
    }
    frt_manifest_free(manifest);
    frt_free(text);
    return good;
}

static bool make_contexts(struct frt_error *err)
{
    const struct frt_onnxruntime_options runtime = {.threads = 1};
    struct frt_backend *backend = NULL;
    if (frt_backend_onnxruntime_new(&runtime, &backend, err) != FRT_OK ||
        frt_context_new_over(backend, NULL, &whole, err) != FRT_OK ||
        frt_backend_onnxruntime_new(&runtime, &backend, err) != FRT_OK)
        return false;
    half_ops = *backend->ops;
    open_bytes = half_ops.open_bytes;
    half_ops.open_bytes = count_and_open;
    half_ops.graph = FRT_GRAPH_HALF;
    backend->ops = &half_ops;
    return frt_context_new_over(backend, NULL, &half, err) == FRT_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mobile_face_net), cmocka_unit_test(default_pack)};
    struct frt_error err = {0};
    char command[128];
    int failed = SKIPPED;
    if (mkdtemp(place) == NULL)
        return 1;
    if (!make_contexts(&err))
        print_message("SKIP: %s\n", err.text);
    else if (!make_pack())
        print_message("SKIP: models or photos (FRT_TEST_ASSETS) are not there\n");
    else
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_context_free(half);
    frt_context_free(whole);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", place);
    return system(command) == 0 ? failed : 1;
}

/* The manifest: every key read and written back, every rule broken once, damage, lack of memory and of
 * disk, and the templates in share/packs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "model/model_file.h"
#include "model/pack_files.h"
#include "model_test_util.h"

static const char fixture_path[] = "tests/model/packs/manifest-v1.json";

static char *read_text(const char *path, size_t *size)
{
    struct frt_error err;
    uint8_t *bytes = NULL;
    if (frt_model_file_read(path, (size_t)1 << 20, &bytes, size, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return (char *)bytes;
}

static struct frt_manifest *parse(const char *text, size_t size)
{
    struct frt_error err;
    struct frt_manifest *manifest = NULL;
    if (frt_manifest_parse(text, size, &manifest, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return manifest;
}

static void every_key_is_read(void **state)
{
    (void)state;
    size_t size;
    char *text = read_text(fixture_path, &size);
    struct frt_manifest *m = parse(text, size);
    assert_string_equal(m->name, "every-key");
    assert_string_equal(m->version, "2026.11+1");
    assert_int_equal(m->n_models, 7);
    char id[FRT_SHA256_HEX_SIZE];
    frt_sha256_hex(text, size, id);
    assert_string_equal(m->id, id);

    const struct frt_model_spec *s = &m->models[0];
    assert_int_equal(s->role, FRT_ROLE_DETECTOR);
    assert_string_equal(s->name, "finder");
    assert_string_equal(s->version, "1");
    assert_string_equal(s->family, "ssd_mobilenetv1");
    assert_string_equal(s->file, "finder.onnx");
    assert_string_equal(s->sha256, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    assert_string_equal(s->licence, "MIT");
    assert_string_equal(s->provenance, "a fixture");
    assert_true(s->is_default);
    assert_int_equal(s->input.width_px, 512);
    assert_int_equal(s->input.height_px, 512);
    assert_int_equal(s->input.color, FRT_COLOR_RGB);
    assert_float_equal(s->input.mean[2], 127.5F, 0);
    assert_float_equal(s->input.scale[0], 1 / 127.5F, 0);
    assert_int_equal(s->max_input_px, 640);
    assert_float_equal(s->min_confidence, 0.5F, 0);
    assert_float_equal(s->nms_iou, 0.4F, 0);

    s = &m->models[1];
    assert_false(s->is_default);
    assert_string_equal(s->sha256, "");
    assert_int_equal(s->input.width_px, 0);
    assert_int_equal(s->input.color, FRT_COLOR_BGR);
    assert_float_equal(m->models[2].crop_scale, 1.25F, 0);

    s = &m->models[3];
    assert_string_equal(s->template_name, "dlib150");
    assert_int_equal(s->dim, 4);
    assert_int_equal(s->map, FRT_MAP_CENTER_L2);
    assert_float_equal(s->centre[0], -0.5F, 0);
    assert_float_equal(s->centre[3], 1.5F, 0);
    assert_true(s->flip_average);
    assert_float_equal(s->threshold, 0.375F, 0);

    s = &m->models[4];
    assert_int_equal(s->n_labels, 3);
    assert_string_equal(s->labels[1], "real");
    assert_int_equal(s->real_index, 1);
    assert_true(s->spoof_threshold == 0.4f);
    assert_int_equal(m->models[6].n_labels, 7);
    frt_manifest_free(m);
    frt_free(text);
}

static void written_and_read_back_is_the_same(void **state)
{
    (void)state;
    size_t size;
    char *text = read_text(fixture_path, &size);
    struct frt_manifest *m = parse(text, size);
    struct frt_buf first, second;
    frt_buf_init(&first, (size_t)1 << 20);
    frt_buf_init(&second, (size_t)1 << 20);
    assert_int_equal(frt_manifest_print(m, &first), FRT_OK);
    assert_non_null(strstr(first.data, "\"crop_scale\": 2.7,")); /* as short as it was */
    assert_non_null(strstr(first.data, "\"nms_iou\": 0.4\n"));
    struct frt_manifest *again = parse(first.data, first.size);
    assert_int_equal(frt_manifest_print(again, &second), FRT_OK);
    assert_string_equal(first.data, second.data);
    for (uint32_t i = 0; i < m->n_models; i++) { /* all fields but the pointer */
        struct frt_model_spec a = m->models[i], b = again->models[i];
        a.centre = b.centre = NULL;
        assert_memory_equal(&a, &b, sizeof a);
    }
    assert_memory_equal(m->models[3].centre, again->models[3].centre, 4 * sizeof(float));
    frt_buf_deinit(&first);
    frt_buf_deinit(&second);
    frt_manifest_free(m);
    frt_manifest_free(again);
    frt_free(text);
}

/* The other map with a centre. */
static void a_cap_is_read_and_written(void **state)
{
    (void)state;
    size_t size;
    char *text = read_text(fixture_path, &size);
    struct frt_manifest *m = parse(text, size);
    struct frt_buf out;
    frt_buf_init(&out, (size_t)1 << 20);
    m->models[3].map = FRT_MAP_CAP;
    assert_int_equal(frt_manifest_print(m, &out), FRT_OK);
    assert_non_null(strstr(out.data, "\"map\": \"cap\""));
    struct frt_manifest *again = parse(out.data, out.size);
    assert_int_equal(again->models[3].map, FRT_MAP_CAP);
    assert_memory_equal(m->models[3].centre, again->models[3].centre, 4 * sizeof(float));
    frt_manifest_free(again);
    frt_manifest_free(m);
    frt_buf_deinit(&out);
    frt_free(text);
}

/* One edit of the fixture each, and a part of the text that must answer it. */
static const struct {
    const char *from, *to, *says;
} breaks[] = {
    {"\"format\": \"frt-pack\"", "\"format\": \"zip\"", "\"format\" is not \"frt-pack\""},
    {"\"format_version\": 1", "\"format_version\": 3", "format_version"},
    {"\"name\": \"every-key\"", "\"name\": \"\"", "\"name\" is empty"},
    {"\"name\": \"every-key\"", "\"name\": 7", "\"name\" is no text"},
    {"\"name\": \"every-key\"", "\"nmae\": \"x\"", "did you mean \"name\"?"},
    {"\"name\": \"every-key\"", "\"name\": \"x\", \"name\": \"y\"", "stands twice"},
    {"\"version\": \"2026.11+1\",", "", "\"version\" is missing"},
    {"\"models\": [", "\"models\": [3,", "model 1: an object would be right"},
    {"\"role\": \"detector\", \"name\": \"finder\"", "\"role\": \"finder\", \"name\": \"finder\"",
     "one of detector, landmarks, embedder, liveness, age_gender, expression, quality"},
    {"\"name\": \"finder\"", "\"name\": \"other\"", "models 1 and 2 are both named \"other\""},
    {"\"name\": \"finder\"", "\"name\": \"a\\u0007b\"", "control character"},
    {"\"file\": \"finder.onnx\"", "\"file\": \"../finder.onnx\"", "leads out of the pack's folder"},
    {"\"file\": \"finder.onnx\"", "\"file\": \"/etc/passwd\"", "leads out of the pack's folder"},
    {"\"file\": \"finder.onnx\"", "\"file\": \"a/../../b\"", "leads out of the pack's folder"},
    {"\"file\": \"finder.onnx\"", "\"file\": \"a//b\"", "leads out of the pack's folder"},
    {"\"file\": \"finder.onnx\"", "\"file\": \"a/\"", "leads out of the pack's folder"},
    {"\"file\": \"finder.onnx\"", "\"file\": \".\"", "leads out of the pack's folder"},
    {"\"file\": \"finder.onnx\"", "\"file\": \"..\\\\x\"", "leads out of the pack's folder"},
    {"\"file\": \"finder.onnx\"", "\"file\": \"manifest.json\"", "the manifest itself"},
    {"\"sha256\": \"0123456789abcdef", "\"sha256\": \"0123456789ABCDEF", "64 digits of 0-9a-f"},
    {"\"sha256\": \"0123456789abcdef", "\"sha256\": \"", "64 digits of 0-9a-f"},
    {"\"sha256\": \"0123456789abcdef", "\"sha256\": \"0123456789abcdef0", "at most 64 fit"},
    {"\"default\": true", "\"default\": 1", "neither true nor false"},
    {"\"name\": \"other\"", "\"name\": \"other\", \"default\": true", "both the default detector"},
    {"\"width\": 512, \"height\": 512", "\"width\": 512", "both or neither"},
    {"\"width\": 512", "\"width\": 512.5", "whole number"},
    {"\"width\": 512", "\"width\": 99999", "from 0 to 16384"},
    {"\"color\": \"rgb\"", "\"color\": \"gbr\"", "one of rgb, bgr"},
    {"\"color\": \"rgb\"", "\"colour\": \"rgb\"", "did you mean \"color\"?"},
    {"\"mean\": [127.5, 127.5, 127.5]", "\"mean\": [127.5, 127.5]", "three numbers"},
    {"\"mean\": [127.5, 127.5, 127.5]", "\"mean\": [1, 2, 3, 4]", "three numbers"},
    {"\"mean\": [127.5, 127.5, 127.5]", "\"mean\": 127.5", "three numbers"},
    {"\"mean\": [127.5, 127.5, 127.5]", "\"mean\": [1, 2, 1e30]", "three numbers"},
    {"\"scale\": [0.5, 0.25, 0.125]", "\"scale\": [0.5, 0, 0.125]", "would erase a colour"},
    {"\"min_confidence\": 0.5, ", "", "\"min_confidence\" is missing"},
    {"\"min_confidence\": 0.5", "\"min_confidence\": 1.5", "from 0 to 1"},
    {"\"min_confidence\": 0.5", "\"min_confidense\": 0.5", "did you mean \"min_confidence\"?"},
    {"\"min_confidence\": 0.5", "\"zzzzzzzzzzzz\": 0.5", "unknown key \"zzzzzzzzzzzz\""},
    {"\"crop_scale\": 1.25", "\"nms_iou\": 0.5", "no key of the role landmarks"},
    {"\"template\": \"dlib150\", ", "", "\"template\" is missing"},
    {"\"dim\": 4", "\"dim\": 5", "would be right with 5 numbers, found 4"},
    {"\"dim\": 4", "\"dim\": 0", "from 1 to 4096"},
    {"\"map\": \"center_l2\"", "\"map\": \"l2\"", "stands without \"map\": \"center_l2\""},
    {"\"map\": \"center_l2\"", "\"map\": \"cosine\"", "one of l2, center_l2, cap"},
    {"\"centre\": [-0.5, 0.25, 0, 1.5]", "\"centre\": [-0.5, \"0\", 0, 1.5]", "number 1 of \"centre\""},
    {"\"threshold\": 0.375", "\"threshold\": -1.5", "from -1 to 1"},
    {"\"spoof_threshold\": 0.4", "\"spoof_threshold\": 1.4", "spoof_threshold"},
    {"\"real_index\": 1", "\"real_index\": 3", "\"real_index\" is 3, there are 3 labels"},
    {"\"labels\": [\"male\", \"female\"]", "\"labels\": []", "1 to 16 texts"},
    {"\"labels\": [\"male\", \"female\"]", "\"labels\": [\"a label of too many bytes\"]", "at most 23 fit"},
    {"\"labels\": [\"male\", \"female\"]", "\"labels\": [1]", "no text"},
    {"\"input\": {\"color\": \"bgr\"", "\"input\": {\"color\": \"bgr\", \"tint\": 3", "unknown key \"tint\""},
    {"\"crop_scale\": 1.25", "\"crop_scale\": 1.25, \"crop_scale\": 2", "stands twice"},
};

static void each_rule_is_enforced(void **state)
{
    (void)state;
    size_t size;
    char *text = read_text(fixture_path, &size);
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        struct frt_error err = {0};
        struct frt_manifest *manifest = NULL;
        const char *at = strstr(text, breaks[i].from);
        if (at == NULL)
            fail_msg("the fixture has no %s", breaks[i].from);
        struct frt_buf edited;
        frt_buf_init(&edited, (size_t)1 << 20);
        frt_buf_append(&edited, text, (size_t)(at - text));
        frt_buf_append_text(&edited, breaks[i].to);
        frt_buf_append_text(&edited, at + strlen(breaks[i].from));
        enum frt_status status = frt_manifest_parse(edited.data, edited.size, &manifest, &err);
        if (status != FRT_EBAD_MODEL || strstr(err.text, breaks[i].says) == NULL)
            fail_msg("%s: status %d, \"%s\"; \"%s\" expected", breaks[i].to, status, err.text, breaks[i].says);
        assert_null(manifest);
        frt_buf_deinit(&edited);
    }
    frt_free(text);
}

static void no_json_is_refused(void **state)
{
    (void)state;
    static const char no_models[] = "{\"format\":\"frt-pack\",\"format_version\":1,"
                                    "\"name\":\"a\",\"version\":\"1\",\"models\":[]}";
    static const char *const texts[] = {"", "{", "[]", "null", "{}", "\xff", no_models};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct frt_error err = {0};
        struct frt_manifest *manifest = NULL;
        assert_int_equal(frt_manifest_parse(texts[i], strlen(texts[i]), &manifest, &err), FRT_EBAD_MODEL);
        assert_non_null(strstr(err.text, "manifest"));
    }
}

/* Cut anywhere, the manifest is refused and nothing leaks (seen by the sanitizers). */
static void truncation_is_refused(void **state)
{
    (void)state;
    size_t size;
    char *text = read_text(fixture_path, &size);
    while (text[size - 1] == '\n')
        size--;
    for (size_t n = 0; n < size; n++) {
        struct frt_manifest *manifest = NULL;
        assert_int_not_equal(frt_manifest_parse(text, n, &manifest, NULL), FRT_OK);
        assert_null(manifest);
    }
    frt_free(text);
}

static void defaults_are_found(void **state)
{
    (void)state;
    size_t size;
    char *text = read_text(fixture_path, &size);
    struct frt_manifest *m = parse(text, size);
    assert_ptr_equal(frt_manifest_find(m, FRT_ROLE_DETECTOR, NULL), &m->models[0]);
    assert_ptr_equal(frt_manifest_find(m, FRT_ROLE_DETECTOR, "other"), &m->models[1]);
    assert_null(frt_manifest_find(m, FRT_ROLE_DETECTOR, "points"));
    assert_ptr_equal(frt_manifest_find(m, FRT_ROLE_EMBEDDER, NULL), &m->models[3]); /* unmarked: the first */
    m->models[0].is_default = false;
    m->models[1].is_default = true;
    assert_ptr_equal(frt_manifest_find(m, FRT_ROLE_DETECTOR, NULL), &m->models[1]);
    m->n_models = 1;
    assert_null(frt_manifest_find(m, FRT_ROLE_EMBEDDER, NULL));
    m->n_models = 7;
    assert_string_equal(frt_model_role_name(FRT_ROLE_AGE_GENDER), "age_gender");
    assert_string_equal(frt_model_role_name(FRT_ROLE_COUNT), "unknown");
    frt_manifest_free(m);
    frt_free(text);
}

static void saved_whole_or_not_at_all(void **state)
{
    const char *folder = *state;
    struct frt_error err;
    size_t size;
    char *text = read_text(fixture_path, &size);
    struct frt_manifest *m = parse(text, size), *loaded = NULL;
    if (frt_manifest_save(m, folder, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(model_test_count_files(folder), 1);
    if (frt_manifest_load(folder, &loaded, &err) != FRT_OK)
        fail_msg("%s", err.text);
    char id[FRT_SHA256_HEX_SIZE];
    memcpy(id, loaded->id, sizeof id);
    frt_manifest_free(loaded);

    /* the disk fills up in the middle */
    m->models[0].min_confidence = 0.625F;
    model_test_limit_file_size(1000);
    assert_int_equal(frt_manifest_save(m, folder, &err), FRT_EIO);
    model_test_limit_file_size(0);
    assert_non_null(strstr(err.text, "cannot write"));
    /* a spec that could not be read back */
    m->models[0].min_confidence = 7;
    assert_int_equal(frt_manifest_save(m, folder, &err), FRT_EBAD_MODEL);
    /* either way the one that stands is untouched, and nothing is left beside it */
    assert_int_equal(model_test_count_files(folder), 1);
    if (frt_manifest_load(folder, &loaded, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_string_equal(loaded->id, id);

    frt_manifest_free(loaded);
    frt_manifest_free(m);
    frt_free(text);
}

static void loading_says_which_file(void **state)
{
    const char *folder = *state;
    struct frt_error err;
    struct frt_manifest *manifest = NULL;
    assert_int_equal(frt_manifest_load(folder, &manifest, &err), FRT_ENOTFOUND);
    assert_non_null(strstr(err.text, "/manifest.json"));
    model_test_write_file(folder, "manifest.json", "{\"format\":1}", 12);
    assert_int_equal(frt_manifest_load(folder, &manifest, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "/manifest.json"));
}

static void pinned_files_are_compared(void **state)
{
    const char *folder = *state;
    struct frt_error err;
    size_t size;
    char *text = read_text(fixture_path, &size);
    struct frt_manifest *m = parse(text, size);
    assert_int_equal(frt_manifest_verify(m, folder, &err), FRT_ENOTFOUND);
    assert_non_null(strstr(err.text, "finder.onnx"));
    model_test_write_file(folder, "finder.onnx", "abc", 3);
    assert_int_equal(frt_manifest_verify(m, folder, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "finder.onnx"));
    /* FIPS 180-2's example for "abc" */
    memcpy(m->models[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 65);
    if (frt_manifest_verify(m, folder, &err) != FRT_OK)
        fail_msg("%s", err.text);
    frt_manifest_free(m);
    frt_free(text);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    size_t size;
    char *text = read_text(fixture_path, &size);
    struct frt_buf out;
    for (int64_t n = 0;; n++) {
        struct frt_manifest *manifest = NULL;
        struct frt_error err = {0};
        frt_buf_init(&out, (size_t)1 << 20);
        frt_mem_fail_after(n);
        enum frt_status status = frt_manifest_parse(text, size, &manifest, &err);
        if (status == FRT_OK)
            status = frt_manifest_print(manifest, &out);
        bool reached = frt_mem_asked() > n;
        frt_mem_fail_after(-1);
        frt_manifest_free(manifest);
        frt_buf_deinit(&out);
        if (!reached) {
            assert_int_equal(status, FRT_OK);
            assert_true(n > 100); /* the loop did fail allocations */
            break;
        }
        assert_int_not_equal(status, FRT_OK);
    }
    frt_free(text);
}

static void shipped_templates_load(void **state)
{
    (void)state;
    static const char *const names[] = {"yunet-mobilefacenet", "yunet-insightface-y1", "yunet-mobileface-v2",
                                        "scrfd-mobilefacenet", "yunet-insightface-y1-quality"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        size_t size;
        (void)snprintf(path, sizeof path, "share/packs/%s.json", names[i]);
        char *text = read_text(path, &size);
        struct frt_manifest *m = parse(text, size);
        assert_string_equal(m->name, names[i]);
        assert_non_null(frt_manifest_find(m, FRT_ROLE_DETECTOR, NULL));
        assert_non_null(frt_manifest_find(m, FRT_ROLE_EMBEDDER, NULL));
        frt_manifest_free(m);
        frt_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(written_and_read_back_is_the_same),
        cmocka_unit_test(a_cap_is_read_and_written),
        cmocka_unit_test(each_rule_is_enforced),
        cmocka_unit_test(no_json_is_refused),
        cmocka_unit_test(truncation_is_refused),
        cmocka_unit_test(defaults_are_found),
        cmocka_unit_test_setup_teardown(saved_whole_or_not_at_all, model_test_folder_make,
                                        model_test_folder_remove),
        cmocka_unit_test_setup_teardown(loading_says_which_file, model_test_folder_make,
                                        model_test_folder_remove),
        cmocka_unit_test_setup_teardown(pinned_files_are_compared, model_test_folder_make,
                                        model_test_folder_remove),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(shipped_templates_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

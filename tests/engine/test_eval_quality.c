/* Errors over discarded photos: worked out by hand on made-up photos, a measure that knows the bad ones and one
 * that knows nothing, reports, a run over real photos. The run is skipped where the pack or the photos are
 * absent. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/json_read.h"
#include "core/mem.h"
#include "engine/eval_quality.h"

enum { PEOPLE = 20, EACH = 5, N = PEOPLE * EACH, DIM = PEOPLE + 1 };

static void assert_near(double value, double wanted)
{
    if (!(fabs(value - wanted) < 1e-6))
        fail_msg("%.8f instead of %.8f", value, wanted);
}

/*
 * Twenty people of five photos: four that are all alike, and of the first ten people one bad one, orthogonal to
 * everything but a little like all other bad ones. Cosines: good to good of one person 1; bad to good of one
 * person 0; different people 0, bad to bad 0.5. Measure 0 is lowest for the bad ones, measure 1 for photos of
 * the other ten people, the rest are constant.
 */
static void make_photos(float *vectors, float *measured, uint32_t *person)
{
    for (size_t i = 0; i < (size_t)N * DIM; i++)
        vectors[i] = 0;
    for (size_t i = 0; i < N; i++) {
        const size_t who = i / EACH;
        const bool bad = who < 10 && i % EACH == 2;
        person[i] = (uint32_t)who;
        if (bad) {
            vectors[i * DIM + PEOPLE] = sqrtf(0.5f);
            vectors[i * DIM + (who + 10) % PEOPLE] =
                sqrtf(0.5f); /* so that bad to bad is 0.5, and to a stranger 0.71 */
        } else {
            vectors[i * DIM + who] = 1;
        }
        for (size_t m = 0; m < FRT_EVAL_QUALITY_MEASURES; m++)
            measured[m * N + i] = 0.5f;
        measured[i] = bad ? 0.1f + 0.001f * (float)who : 0.9f + 0.0001f * (float)i;
        measured[N + i] = who >= 10 && i % EACH == 2 ? 0.1f : 0.9f;
    }
}

static struct frt_eval_quality_report measured_report(double fmr)
{
    static float vectors[N * DIM], measured[FRT_EVAL_QUALITY_MEASURES * N];
    static uint32_t person[N];
    struct frt_eval_quality_report r = {.fmr = fmr};
    struct frt_error err;
    make_photos(vectors, measured, person);
    if (frt_eval_quality_embedded(vectors, N, DIM, measured, person, 7, &r, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return r;
}

static void rates_of_known_photos(void **state)
{
    (void)state;
    const struct frt_eval_quality_report r = measured_report(1e-3);
    assert_int_equal(r.n_photos, N);
    assert_int_equal(r.n_people, PEOPLE);
    assert_int_equal(r.n_several_people, PEOPLE);
    assert_int_equal(r.n_same, PEOPLE * 10);
    assert_int_equal(r.n_different, N * (N - 1) / 2 - PEOPLE * 10);
    /* 4,750 pairs of different people: at 0.001 four may pass; fifty are at 0.71 (a bad photo and the five of
     * the person it is like), so none does */
    assert_true(r.threshold > 0.7071f && r.threshold < 0.7073f);
    assert_near(r.fmr_found, 0);
    const struct frt_eval_quality_point *p = r.measures[0].points;
    /* a bad photo misses its four fellows: 10 · 4 of 200 */
    assert_int_equal(p[0].misses, 40);
    assert_near(p[0].fnmr, 0.2);
    /* 5 % are five of the ten bad photos: five people have six pairs left, none missed */
    assert_int_equal(p[3].photos, 95);
    assert_int_equal(p[3].pairs, 200 - 5 * 4);
    assert_int_equal(p[3].misses, 20);
    assert_near(p[3].change, 20.0 / 180 - 0.2);
    assert_int_equal(p[4].misses, 0); /* 10 %: all of them */
    assert_near(p[4].fnmr, 0);
    assert_near(r.measures[0].curve[0], 0.2);
    assert_near(r.measures[0].curve[5], 20.0 / 180);
    assert_near(r.measures[0].curve[10], 0);
    /* without the bad ones there is nobody who is like others: the threshold may fall, and nobody is missed
     * either */
    assert_near(p[4].fnmr_same_fmr, 0);
    /* what discards good photos makes it worse */
    assert_near(r.measures[1].points[4].fnmr, 40.0 / (200 - 10 * 4));
    assert_true(r.measures[1].points[4].change > 0);
    /* the sure gain is sure in the samples, too: the interval of the change lies below 0 */
    assert_true(p[4].change_interval.high < 0);
    assert_true(p[0].interval.low < 0.2 && p[0].interval.high > 0.2);
    assert_near(p[0].change_interval.low, 0);
    assert_near((double)r.score_quantiles[3], (double)(0.9f + 0.0001f * 49));
}

static void the_rate_asked_for_is_kept(void **state)
{
    (void)state;
    /* 0.02 of 4,750 are 95: the fifty at 0.71 pass, and the forty-five of the bad ones among themselves */
    const struct frt_eval_quality_report r = measured_report(0.02);
    assert_true(r.threshold < 0.5f);
    assert_near(r.fmr_found, 95.0 / 4750);
    assert_near(r.measures[0].points[0].fnmr, 0.2);
}

static void too_little_is_refused(void **state)
{
    (void)state;
    static float vectors[N * DIM], measured[FRT_EVAL_QUALITY_MEASURES * N];
    static uint32_t person[N];
    struct frt_eval_quality_report r = {.fmr = 1e-3};
    make_photos(vectors, measured, person);
    assert_int_equal(frt_eval_quality_embedded(vectors, 0, DIM, measured, person, 0, &r, NULL),
                     FRT_EBAD_REQUEST);
    assert_int_equal(frt_eval_quality_embedded(vectors, 1, DIM, measured, person, 0, &r, NULL),
                     FRT_EBAD_REQUEST);
    assert_int_equal(frt_eval_quality_embedded(vectors, EACH, DIM, measured, person, 0, &r, NULL),
                     FRT_EBAD_REQUEST);
}

static void failed_allocations_leave_nothing(void **state)
{
    (void)state;
    static float vectors[N * DIM], measured[FRT_EVAL_QUALITY_MEASURES * N];
    static uint32_t person[N];
    enum frt_status status = FRT_ENOMEM;
    int64_t n = 0;
    make_photos(vectors, measured, person);
    for (; status == FRT_ENOMEM && n < 100; n++) {
        struct frt_eval_quality_report r = {.fmr = 1e-3};
        frt_mem_fail_after(n);
        status = frt_eval_quality_embedded(vectors, N, DIM, measured, person, 0, &r, NULL);
        frt_mem_fail_after(-1);
    }
    assert_int_equal(status, FRT_OK);
    assert_true(n > 10);
}

static void reports_are_well_formed(void **state)
{
    (void)state;
    struct frt_eval_quality_report r = measured_report(1e-3);
    struct frt_json *json = NULL;
    struct frt_buf out;
    (void)snprintf(r.pack, sizeof r.pack, "a<b");
    frt_buf_init(&out, 1 << 20);
    frt_eval_quality_report_json(&r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_int_equal(frt_json_parse(out.data, out.size, &json, NULL), FRT_OK);
    const struct frt_json_value *measures = frt_json_get(frt_json_root(json), "measures");
    assert_int_equal(frt_json_count(measures), FRT_EVAL_QUALITY_MEASURES);
    const struct frt_json_value *first = frt_json_first(measures);
    assert_string_equal(frt_json_text(frt_json_get(first, "by")), "score");
    assert_int_equal(frt_json_count(frt_json_get(first, "discarded")), FRT_EVAL_QUALITY_POINTS);
    assert_near(frt_json_double(frt_json_get(frt_json_first(frt_json_get(first, "discarded")), "fnmr"), -1),
                0.2);
    frt_json_free(json);
    frt_buf_clear(&out);
    frt_eval_quality_report_svg(&r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_non_null(strstr(out.data, "a&lt;b"));
    assert_null(strstr(out.data, "nan"));
    frt_buf_clear(&out);
    frt_eval_quality_report_text(&r, &out);
    assert_non_null(strstr(out.data, "discarded by score:"));
    assert_non_null(strstr(out.data, "FNMR 0.2000"));
    frt_buf_deinit(&out);
}

/* Four people of LFW: three with two photos, and one with one. */
static void real_photos_are_measured(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int n;
    } people[] = {
        {"Abdel_Nasser_Assidi", 2}, {"Aaron_Tippin", 1}, {"Anders_Ebbeson", 2}, {"Christine_Gregoire", 2}};
    const char *pack_folder = getenv("FRT_TEST_PACK") != NULL ? getenv("FRT_TEST_PACK") : "data/packs/default";
    const char *assets = getenv("FRT_TEST_ASSETS") != NULL ? getenv("FRT_TEST_ASSETS") : "../shared/assets";
    char folder[] = "/tmp/frt_quality_XXXXXX", from[4200], to[4200], *real = realpath(assets, NULL);
    (void)snprintf(from, sizeof from, "%s/faces/lfw-dev/%s/%s_0001.jpg", assets, people[0].name,
                   people[0].name);
    (void)snprintf(to, sizeof to, "%s/manifest.json", pack_folder);
    if (real == NULL || access(from, R_OK) != 0 || access(to, R_OK) != 0) {
        free(real);
        (void)printf("SKIP: no photos in %s, or no pack in %s\n", assets, pack_folder);
        skip();
        return;
    }
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(to, sizeof to, "%s/%s", folder, people[i].name);
        assert_int_equal(mkdir(to, 0700), 0);
        for (int k = 1; k <= people[i].n; k++) {
            (void)snprintf(from, sizeof from, "%s/faces/lfw-dev/%s/%s_%04d.jpg", real, people[i].name,
                           people[i].name, k);
            (void)snprintf(to, sizeof to, "%s/%s/%d.jpg", folder, people[i].name, k);
            assert_int_equal(symlink(from, to), 0);
        }
    }
    struct frt_context *context = NULL;
    struct frt_pack *pack = NULL;
    struct frt_error err = {0};
    const struct frt_context_options one = {.threads = 1};
    if (frt_context_new(&one, &context, &err) != FRT_OK ||
        frt_pack_open(context, pack_folder, NULL, &pack, &err) != FRT_OK)
        fail_msg("%s", err.text);
    struct frt_eval_quality_report r = {0};
    struct frt_eval_quality_options options = {.folder = folder, .threads = 2};
    if (frt_eval_quality(context, pack, &options, &r, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(r.n_photos, 7);
    assert_int_equal(r.n_same, 3);
    assert_int_equal(r.n_different, 18);
    assert_true(r.score_quantiles[3] > 0.2f && r.score_quantiles[3] < 1);
    frt_eval_quality_report_deinit(&r);
    options.half = 2; /* the second and fourth by name: Abdel…, Christine… */
    assert_int_equal(frt_eval_quality(context, pack, &options, &r, &err), FRT_OK);
    assert_int_equal(r.n_people, 2);
    assert_int_equal(r.n_same, 2);
    frt_eval_quality_report_deinit(&r);
    options = (struct frt_eval_quality_options){.folder = "/nonexistent"};
    assert_int_equal(frt_eval_quality(context, pack, &options, &r, &err), FRT_ENOTFOUND);
    options.half = 3;
    assert_int_equal(frt_eval_quality(context, pack, &options, &r, &err), FRT_EINVAL);
    frt_pack_free(pack);
    frt_context_free(context);
    for (size_t i = 0; i < 4; i++) {
        for (int k = 1; k <= 2; k++) {
            (void)snprintf(to, sizeof to, "%s/%s/%d.jpg", folder, people[i].name, k);
            (void)unlink(to);
        }
        (void)snprintf(to, sizeof to, "%s/%s", folder, people[i].name);
        assert_int_equal(rmdir(to), 0);
    }
    assert_int_equal(rmdir(folder), 0);
    free(real);
}

/* The part of the score that is not sharpness: light and pose. */
static double pose_share(const struct frt_context *context, const struct frt_pack *pack, const char *assets,
                         const char *name)
{
    const struct frt_detect_options options = {.attributes = FRT_ATTRIBUTE_QUALITY, .max_faces = 1};
    struct frt_image *image = NULL;
    struct frt_faces *faces = NULL;
    struct frt_error err = {0};
    char path[4200];
    (void)snprintf(path, sizeof path, "%s/faces/pose-and-rotation/%s", assets, name);
    if (frt_image_open_file(context, path, &image, &err) != FRT_OK ||
        frt_detect(pack, image, &options, &faces, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(frt_faces_count(faces), 1);
    const struct frt_quality q = frt_faces_get(faces, 0)->quality;
    frt_faces_free(faces);
    frt_image_free(image);
    assert_true(q.sharpness > 0);
    return (double)q.score / (double)q.sharpness;
}

static void turned_heads_score_lower(void **state)
{
    (void)state;
    static const char *const turned[] = {"pose/left_face.jpeg", "pose/right_face.png", "pose/lower_face.jpeg"};
    const char *folder = getenv("FRT_TEST_PACK") != NULL ? getenv("FRT_TEST_PACK") : "data/packs/default";
    const char *assets = getenv("FRT_TEST_ASSETS") != NULL ? getenv("FRT_TEST_ASSETS") : "../shared/assets";
    char photo[4200], manifest[4200];
    (void)snprintf(photo, sizeof photo, "%s/faces/pose-and-rotation/rotate/rot_0.jpg", assets);
    (void)snprintf(manifest, sizeof manifest, "%s/manifest.json", folder);
    if (access(photo, R_OK) != 0 || access(manifest, R_OK) != 0) {
        (void)printf("SKIP: no photos in %s, or no pack in %s\n", assets, folder);
        skip();
    }
    struct frt_context *context = NULL;
    struct frt_pack *pack = NULL;
    struct frt_error err = {0};
    if (frt_context_new(NULL, &context, &err) != FRT_OK ||
        frt_pack_open(context, folder, NULL, &pack, &err) != FRT_OK)
        fail_msg("%s", err.text);
    /* seen: 0.95 from ahead; 0.44, 0.54, 0.59 */
    assert_true(pose_share(context, pack, assets, "rotate/rot_0.jpg") > 0.85);
    for (size_t i = 0; i < 3; i++)
        assert_true(pose_share(context, pack, assets, turned[i]) < 0.75);
    frt_pack_free(pack);
    frt_context_free(context);
}

/* A pack made of the assets' models with a manifest of share/packs. False: something is not there. */
static bool make_pack(const char *folder, const char *manifest, const char *real)
{
    static const char *const models[] = {"detect/yunet_n_dynamic.onnx",
                                         "recognize/insightface_y1.converted.onnx", "liveness/fasnet_2_7.onnx",
                                         "liveness/fasnet_4_0.onnx", "quality/lightqnet-dm100.converted.onnx"};
    char from[4200], to[4200], *here = realpath(manifest, NULL);
    bool made = here != NULL && mkdir(folder, 0700) == 0;
    (void)snprintf(to, sizeof to, "%s/manifest.json", folder);
    made = made && symlink(here, to) == 0;
    free(here); /* realpath's */
    for (size_t i = 0; made && i < sizeof models / sizeof *models; i++) {
        (void)snprintf(from, sizeof from, "%s/models/%s", real, models[i]);
        (void)snprintf(to, sizeof to, "%s%s", folder, strrchr(from, '/'));
        made = access(from, R_OK) == 0 && symlink(from, to) == 0;
    }
    return made;
}

static void remove_pack(const char *folder)
{
    static const char *const names[] = {
        "manifest.json",   "yunet_n_dynamic.onnx", "insightface_y1.converted.onnx",
        "fasnet_2_7.onnx", "fasnet_4_0.onnx",      "lightqnet-dm100.converted.onnx"};
    char path[4200];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static struct frt_quality quality_with(struct frt_context *context, const char *folder, const char *photo)
{
    const struct frt_detect_options options = {.attributes = FRT_ATTRIBUTE_QUALITY, .max_faces = 1};
    struct frt_pack *pack = NULL;
    struct frt_image *image = NULL;
    struct frt_faces *faces = NULL;
    struct frt_error err = {0};
    if (frt_pack_open(context, folder, NULL, &pack, &err) != FRT_OK ||
        frt_image_open_file(context, photo, &image, &err) != FRT_OK ||
        frt_detect(pack, image, &options, &faces, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(frt_faces_count(faces), 1);
    assert_int_equal(frt_faces_get(faces, 0)->attributes, FRT_ATTRIBUTE_QUALITY);
    const struct frt_quality q = frt_faces_get(faces, 0)->quality;
    frt_faces_free(faces);
    frt_image_free(image);
    frt_pack_free(pack);
    return q;
}

/* The score is the net's where the pack brings one; what is measured stays. */
static void the_packs_net_gives_the_score(void **state)
{
    (void)state;
    const char *assets = getenv("FRT_TEST_ASSETS") != NULL ? getenv("FRT_TEST_ASSETS") : "../shared/assets";
    char top[] = "/tmp/frt_quality_XXXXXX", with[64], without[64], photo[4200], *real = realpath(assets, NULL);
    assert_non_null(mkdtemp(top));
    (void)snprintf(with, sizeof with, "%s/with", top);
    (void)snprintf(without, sizeof without, "%s/without", top);
    (void)snprintf(photo, sizeof photo, "%s/faces/lfw-dev/Aaron_Tippin/Aaron_Tippin_0001.jpg", assets);
    const bool made = real != NULL && access(photo, R_OK) == 0 &&
                      make_pack(with, "share/packs/yunet-insightface-y1-quality.json", real) &&
                      make_pack(without, "share/packs/yunet-insightface-y1.json", real);
    free(real);
    if (made) {
        struct frt_context *context = NULL;
        assert_int_equal(frt_context_new(NULL, &context, NULL), FRT_OK);
        const struct frt_quality a = quality_with(context, with, photo),
                                 b = quality_with(context, without, photo);
        frt_context_free(context);
        /* seen: 0.61 and 0.50 */
        assert_true(a.score > 0.55f && a.score < 0.65f);
        assert_true(b.score > 0.45f && b.score < 0.55f);
        assert_true(a.sharpness == b.sharpness && a.brightness == b.brightness && a.yaw == b.yaw);
    }
    remove_pack(with);
    remove_pack(without);
    assert_int_equal(rmdir(top), 0);
    if (!made) {
        (void)printf("SKIP: no photos or models in %s\n", assets);
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_of_known_photos),    cmocka_unit_test(the_rate_asked_for_is_kept),
        cmocka_unit_test(too_little_is_refused),    cmocka_unit_test(failed_allocations_leave_nothing),
        cmocka_unit_test(reports_are_well_formed),  cmocka_unit_test(real_photos_are_measured),
        cmocka_unit_test(turned_heads_score_lower), cmocka_unit_test(the_packs_net_gives_the_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

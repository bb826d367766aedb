/*
 * Kept crops and migrations with real nets: the default pack, and another made of it (other mean and version,
 * so that its embeddings are others). Two openings of the database stand for a service and the command beside
 * it. Skipped (77) when the pack or the sample photos are not there.
 */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "engine/kept_crop.h"
#include "engine/migrate.h"
#include "simd/dot.h"

enum { MANIFEST_MAX = 64 * 1024, PHOTOS = 4, MAX_FACES = 64, MUTATIONS = 60 };
static const char *const photos[PHOTOS] = {
    "node_modules/@vladmandic/face-api/demo/sample1.jpg", "node_modules/@vladmandic/face-api/demo/sample2.jpg",
    "node_modules/@vladmandic/face-api/demo/sample3.jpg", "node_modules/@vladmandic/face-api/demo/sample4.jpg"};

static char folder[64];
static struct frt_context *context;
static struct frt_pack *pack, *other; /* the default one, and one whose embedder is another */

static void must(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK)
        fail_msg("%s: %s", frt_status_code(status), err->text);
}

static void replace(char *text, const char *behind, const char *from, const char *to)
{
    char *at = strstr(text, behind);
    assert_non_null(at);
    at = strstr(at, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

/* The default pack's files under another manifest. */
static void make_other(const char *where)
{
    static const char *const files[] = {
        "ssd_mobilenetv1.onnx",  "tiny_face_detector.onnx", "age_gender.onnx", "face_landmark_68.onnx",
        "face_recognition.onnx", "face_expression.onnx",    "antispoof.onnx",  "liveness.onnx"};
    static char text[MANIFEST_MAX];
    char from[2 * PATH_MAX], path[PATH_MAX], real[PATH_MAX];
    assert_int_equal(mkdir(where, 0700), 0);
    assert_non_null(realpath("data/packs/default", real));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", where, files[i]);
        (void)snprintf(from, sizeof from, "%s/%s", real, files[i]);
        assert_int_equal(symlink(from, path), 0);
    }
    FILE *f = fopen("data/packs/default/manifest.json", "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    assert_int_equal(fclose(f), 0);
    replace(text, "\"embedder\"", "\"version\": \"1.7.15\"", "\"version\": \"1.7.99\"");
    replace(text, "\"embedder\"", "122.782", "100.000");
    (void)snprintf(path, sizeof path, "%s/manifest.json", where);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static struct frt_gallery *open_gallery(const char *name, bool keep, bool background)
{
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s.db", folder, name);
    const struct frt_gallery_options options = {.path = path,
                                                .threads = 1,
                                                .background = background,
                                                .keep_crops = keep ? FRT_KEEP_CROPS_YES : FRT_KEEP_CROPS_NO,
                                                .key_file = ""};
    must(frt_gallery_open(&options, &gallery, &err), &err);
    return gallery;
}

/* All faces of a photo as one subject's; how many. */
static size_t enroll(struct frt_gallery *gallery, const struct frt_pack *with, size_t photo,
                     const char *subject)
{
    struct frt_image *image = NULL;
    struct frt_enrolled enrolled = {0};
    struct frt_error err = {0};
    must(frt_image_open_file(context, photos[photo], &image, &err), &err);
    const struct frt_image *const images[] = {image};
    const struct frt_enroll_options options = {.subject = subject, .on_multiple = FRT_MULTIPLE_ALL};
    must(frt_enroll(gallery, with, "people", images, 1, &options, &enrolled, &err), &err);
    const size_t n = enrolled.faces.n;
    frt_enrolled_deinit(&enrolled);
    frt_image_free(image);
    return n;
}

/* Who is the largest face of the photo? "" = unknown; the similarity. */
static enum frt_status who(struct frt_gallery *gallery, const struct frt_pack *with, size_t photo,
                           char name[64], float *similarity, struct frt_error *err)
{
    struct frt_image *image = NULL;
    struct frt_identified found = {0};
    must(frt_image_open_file(context, photos[photo], &image, err), err);
    const struct frt_identify_options options = {.score = FRT_SCORE_BEST};
    enum frt_status status = frt_identify(gallery, with, "people", image, &options, &found, err);
    name[0] = '\0';
    if (status == FRT_OK && found.n > 0 && found.faces[0].n_matches > 0) {
        (void)snprintf(name, 64, "%s", found.faces[0].matches[0].subject);
        *similarity = found.faces[0].matches[0].similarity;
    }
    frt_identified_deinit(&found);
    frt_image_free(image);
    return status;
}

static void expect_who(struct frt_gallery *gallery, const struct frt_pack *with, size_t photo,
                       const char *subject)
{
    struct frt_error err = {0};
    char name[64];
    float similarity = 0;
    must(who(gallery, with, photo, name, &similarity, &err), &err);
    assert_string_equal(name, subject);
    assert_true(similarity > 0.98f); /* the crop of the very photo */
}

static struct frt_migration_state state_of(struct frt_gallery *gallery)
{
    struct frt_migration_state s;
    struct frt_error err = {0};
    must(frt_migration_get(gallery, "people", &s, &err), &err);
    return s;
}

static struct frt_migrated embed_with(struct frt_gallery *gallery, const struct frt_pack *with)
{
    const struct frt_migrate_options options = {.threads = 2};
    struct frt_migrated done;
    struct frt_error err = {0};
    must(
        frt_migrate_embed(gallery, with, "people", frt_pack_model(with), with->info.dim, &options, &done, &err),
        &err);
    return done;
}

static struct frt_migrate_switched switch_to(struct frt_gallery *gallery, const char *model, const char *aside)
{
    struct frt_migrate_switched switched;
    struct frt_error err = {0};
    must(frt_migrate_switch(gallery, "people", model, aside, NAN, &switched, &err), &err);
    return switched;
}

/* -------------------------------------------------------------------- crops */

static void a_crop_is_as_good_as_the_photo(void **state)
{
    (void)state;
    const struct frt_pack *const packs[] = {pack, other};
    const struct frt_detect_options all = {.max_faces = MAX_FACES};
    const struct frt_kept_wait wait = {0};
    double sums[2] = {0, 0};
    size_t n = 0;
    for (size_t p = 0; p < PHOTOS; p++) {
        struct frt_image *image = NULL;
        struct frt_faces *faces[2] = {NULL, NULL};
        struct frt_error err = {0};
        must(frt_image_open_file(context, photos[p], &image, &err), &err);
        for (int k = 0; k < 2; k++)
            must(frt_embed(packs[k], image, &all, &faces[k], &err), &err);
        for (size_t i = 0; i < frt_faces_count(faces[0]); i++, n++) {
            uint8_t *crop = NULL;
            size_t size = 0;
            must(frt_kept_crop_cut(pack, image, frt_faces_get(faces[0], i), &wait, &crop, &size, &err), &err);
            assert_true(size < 100000);
            for (int k = 0; k < 2; k++) {
                float got[FRT_MAX_DIM];
                enum frt_kept_landmarks by;
                must(frt_kept_crop_embed(packs[k], crop, size, got, &by, &err), &err);
                assert_int_equal(by,
                                 FRT_KEPT_AS_THEY_WERE); /* the same detector and landmarks: nothing to find */
                sums[k] += (double)frt_dot_f32(got, frt_faces_embedding(faces[k], i), packs[k]->info.dim);
            }
            frt_free(crop);
        }
        for (int k = 0; k < 2; k++)
            frt_faces_free(faces[k]);
        frt_image_free(image);
    }
    assert_true(n >= PHOTOS);
    print_message("%zu faces, mean cosine %.5f and %.5f\n", n, sums[0] / (double)n, sums[1] / (double)n);
    assert_true(sums[0] / (double)n > 0.99 && sums[1] / (double)n > 0.99);
}

static void the_face_is_found_again(void **state)
{
    (void)state;
    const struct frt_detect_options one = {.max_faces = 1};
    const struct frt_kept_wait wait = {0};
    const struct frt_kept_choice look = {.quality = 95, .look_again = true};
    for (size_t p = 0; p < PHOTOS; p++) {
        struct frt_image *image = NULL;
        struct frt_faces *faces = NULL;
        struct frt_error err = {0};
        enum frt_kept_landmarks by;
        uint8_t *crop = NULL;
        size_t size = 0;
        float got[FRT_MAX_DIM];
        must(frt_image_open_file(context, photos[p], &image, &err), &err);
        must(frt_embed(pack, image, &one, &faces, &err), &err);
        must(frt_kept_crop_cut(pack, image, frt_faces_get(faces, 0), &wait, &crop, &size, &err), &err);
        must(frt_kept_crop_embed_as(pack, crop, size, &look, got, &by, &err), &err);
        assert_int_equal(by, FRT_KEPT_FOUND_AGAIN);
        assert_true(frt_dot_f32(got, frt_faces_embedding(faces, 0), pack->info.dim) > 0.97f);
        frt_free(crop);
        frt_faces_free(faces);
        frt_image_free(image);
    }
}

static void damaged_crops_are_refused(void **state)
{
    (void)state;
    const struct frt_detect_options one = {.max_faces = 1};
    const struct frt_kept_wait wait = {0};
    struct frt_image *image = NULL;
    struct frt_faces *faces = NULL;
    struct frt_error err = {0};
    uint8_t *crop = NULL;
    size_t size = 0;
    float got[FRT_MAX_DIM];
    unsigned seed = 7;
    must(frt_image_open_file(context, photos[0], &image, &err), &err);
    must(frt_embed(pack, image, &one, &faces, &err), &err);
    must(frt_kept_crop_cut(pack, image, frt_faces_get(faces, 0), &wait, &crop, &size, &err), &err);
    assert_int_equal(frt_kept_crop_embed(pack, crop, 20, got, NULL, &err), FRT_ESTORE_DAMAGED);
    assert_int_equal(frt_kept_crop_embed(pack, crop, 92, got, NULL, &err), FRT_ESTORE_DAMAGED);
    static const size_t bytes[] = {0, 4, 5, 6, 7, 93}; /* magic, version, encoding, side, JPEG's first */
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        crop[bytes[i]] ^= 0x5a;
        assert_int_equal(frt_kept_crop_embed(pack, crop, size, got, NULL, &err), FRT_ESTORE_DAMAGED);
        crop[bytes[i]] ^= 0x5a;
    }
    for (int i = 0; i < MUTATIONS; i++) { /* whatever comes: an answer, and nothing worse */
        const size_t at = (size_t)rand_r(&seed) % (i % 2 == 0 ? 92 : size);
        const uint8_t before = crop[at];
        crop[at] = (uint8_t)rand_r(&seed);
        (void)!frt_kept_crop_embed(other, crop, size, got, NULL, &err);
        crop[at] = before;
    }
    must(frt_kept_crop_embed(pack, crop, size, got, NULL, &err), &err);
    frt_free(crop);
    frt_faces_free(faces);
    frt_image_free(image);
}

/* ---------------------------------------------------------------- migrations */

static void there_and_back_beside_a_service(void **state)
{
    (void)state;
    static const char *const names[PHOTOS] = {"one", "two", "three", "four"};
    struct frt_gallery *service = open_gallery("there", true, true),
                       *tool = open_gallery("there", false, false);
    struct frt_error err = {0};
    struct frt_migrate_report report;
    char name[64];
    float similarity = 0;
    size_t faces = 0;
    must(frt_collection_put(service, "people", NULL, NULL, &err), &err);
    for (size_t i = 0; i < PHOTOS; i++)
        faces += enroll(service, pack, i, names[i]);
    for (size_t i = 0; i < PHOTOS; i++)
        expect_who(service, pack, i, names[i]); /* its index is in memory from here on */
    struct frt_migration_state s = state_of(tool);
    assert_int_equal(s.faces, faces);
    assert_int_equal(s.crops, faces);
    struct frt_migrated done = embed_with(tool, other);
    assert_int_equal(done.embedded, faces);
    assert_int_equal(done.failed, 0);
    done = embed_with(tool, other); /* nothing is done twice */
    assert_int_equal(done.embedded, 0);
    must(frt_migrate_compare(tool, "people", NAN, 0.9f, &report, &err), &err);
    assert_int_equal(report.faces, faces);
    assert_true(report.probes > 0 && report.agreement > 0.5 && report.agreement <= 1);
    assert_true(isnan(report.before.mates_above));
    for (size_t i = 0; i < PHOTOS; i++)
        expect_who(service, pack, i, names[i]); /* nobody has noticed */
    const struct frt_migrate_switched switched = switch_to(tool, frt_pack_model(other), NULL);
    assert_int_equal(switched.faces, faces);
    assert_int_equal(who(service, pack, 0, name, &similarity, &err), FRT_EMODEL_MISMATCH);
    assert_non_null(strstr(err.text, "frt migrate"));
    for (size_t i = 0; i < PHOTOS; i++)
        expect_who(service, other, i, names[i]); /* at once: the old index is nobody's any more */
    s = state_of(tool);
    assert_string_equal(s.former_model, frt_pack_model(pack));
    assert_int_equal(s.former, faces);
    /* enrolled since: the way back embeds it with the former pack */
    const size_t more = enroll(service, other, 1, "late");
    done = embed_with(tool, pack);
    assert_int_equal(done.embedded, more);
    (void)switch_to(tool, frt_pack_model(pack), NULL);
    for (size_t i = 0; i < PHOTOS; i++)
        if (i != 1)
            expect_who(service, pack, i, names[i]);
    must(who(service, pack, 1, name, &similarity, &err), &err);
    assert_true(strcmp(name, "two") == 0 || strcmp(name, "late") == 0);
    frt_gallery_close(tool);
    frt_gallery_close(service);
}

static void faces_without_a_crop_stay_somewhere(void **state)
{
    (void)state;
    struct frt_gallery *keeps = open_gallery("aside", true, false),
                       *does_not = open_gallery("aside", false, false);
    struct frt_migrate_missing missing[MAX_FACES];
    struct frt_migrate_switched switched;
    struct frt_collection_info info = {0};
    struct frt_error err = {0};
    size_t n = 0;
    must(frt_collection_put(keeps, "people", NULL, NULL, &err), &err);
    const size_t with = enroll(keeps, pack, 0, "one"), without = enroll(does_not, pack, 1, "two");
    struct frt_migrated done = embed_with(keeps, other);
    assert_int_equal(done.embedded, with);
    assert_int_equal(state_of(keeps).without_crop, without);
    must(frt_migrate_missing(keeps, "people", missing, MAX_FACES, &n, &err), &err);
    assert_int_equal(n, without);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(missing[i].subject, "two");
        assert_false(missing[i].crop);
    }
    assert_int_equal(frt_migrate_switch(keeps, "people", frt_pack_model(other), NULL, NAN, &switched, &err),
                     FRT_ECONFLICT);
    expect_who(keeps, pack, 1, "two");
    switched = switch_to(keeps, frt_pack_model(other), "people-old");
    assert_int_equal(switched.faces, with);
    assert_int_equal(switched.aside, without);
    must(frt_collection_get(keeps, "people-old", &info, &err), &err);
    assert_int_equal(info.faces, without);
    assert_string_equal(info.model, frt_pack_model(pack));
    frt_collection_info_deinit(&info);
    expect_who(keeps, other, 0, "one");
    frt_gallery_close(does_not);
    frt_gallery_close(keeps);
}

static bool at_once(void *arg)
{
    (void)arg;
    return true;
}

static void an_interrupt_loses_nothing(void **state)
{
    (void)state;
    struct frt_gallery *gallery = open_gallery("stopped", true, false);
    const struct frt_migrate_options stop = {.threads = 1, .cancelled = at_once};
    struct frt_migrated done;
    struct frt_error err = {0};
    must(frt_collection_put(gallery, "people", NULL, NULL, &err), &err);
    const size_t faces = enroll(gallery, pack, 0, "one");
    assert_int_equal(
        frt_migrate_embed(gallery, other, "people", frt_pack_model(other), other->info.dim, &stop, &done, &err),
        FRT_ECANCELLED);
    assert_int_equal(done.embedded, faces); /* a batch is finished and stays */
    assert_int_equal(state_of(gallery).missing, 0);
    expect_who(gallery, pack, 0, "one");
    done = embed_with(gallery, other);
    assert_int_equal(done.embedded, 0);
    (void)switch_to(gallery, frt_pack_model(other), NULL);
    expect_who(gallery, other, 0, "one");
    frt_gallery_close(gallery);
}

static void a_key_file_that_is_none_is_told_of(void **state)
{
    (void)state;
    char path[128], key[128];
    struct frt_gallery *gallery = NULL;
    struct frt_error err = {0};
    static const struct {
        const char *text;
        enum frt_status status;
    } files[] = {{"", FRT_EINVAL},
                 {"too short", FRT_EINVAL},
                 {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", FRT_OK},
                 {"  AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=  \n", FRT_OK}, /* the same */
                 {"100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", FRT_EINVAL}};
    (void)snprintf(path, sizeof path, "%s/keyed.db", folder);
    (void)snprintf(key, sizeof key, "%s/key", folder);
    const struct frt_gallery_options options = {.path = path, .threads = 1, .key_file = key};
    assert_int_equal(frt_gallery_open(&options, &gallery, &err), FRT_ENOTFOUND);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *f = fopen(key, "wb");
        assert_non_null(f);
        (void)fputs(files[i].text, f);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(chmod(key, 0600), 0);
        assert_int_equal(frt_gallery_open(&options, &gallery, &err), files[i].status);
        if (files[i].status == FRT_OK)
            frt_gallery_close(gallery);
        else if (files[i].text[0] != '\0')
            assert_null(strstr(err.text, files[i].text)); /* what it holds is not told */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_crop_is_as_good_as_the_photo),
                                       cmocka_unit_test(the_face_is_found_again),
                                       cmocka_unit_test(damaged_crops_are_refused),
                                       cmocka_unit_test(there_and_back_beside_a_service),
                                       cmocka_unit_test(faces_without_a_crop_stay_somewhere),
                                       cmocka_unit_test(an_interrupt_loses_nothing),
                                       cmocka_unit_test(a_key_file_that_is_none_is_told_of)};
    struct frt_error err = {0};
    char where[96], command[128];
    if (access("data/packs/default/manifest.json", R_OK) != 0 || access(photos[0], R_OK) != 0) {
        (void)puts("SKIP: data/packs/default or the sample photos are not there");
        return 77;
    }
    (void)snprintf(folder, sizeof folder, "/tmp/frt-test-migrate-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(where, sizeof where, "%s/other", folder);
    make_other(where);
    if (frt_context_new(&(struct frt_context_options){.threads = 1}, &context, &err) != FRT_OK ||
        frt_pack_open(context, "data/packs/default", NULL, &pack, &err) != FRT_OK ||
        frt_pack_open(context, where, NULL, &other, &err) != FRT_OK) {
        (void)printf("%s: %s\n", err.status == FRT_ERUNTIME ? "SKIP" : "failed", err.text);
        return err.status == FRT_ERUNTIME ? 77 : 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_pack_free(other);
    frt_pack_free(pack);
    frt_context_free(context);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? failed : 1;
}

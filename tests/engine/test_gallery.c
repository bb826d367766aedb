/* Galleries from end to end with made-up embeddings: real SQLite, real index, no models. */
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
#include "frt/gallery.h"
#include "simd/dot.h"
#include "store/store.h"

enum { DIM = 128 };
static const char model[] = "test 1";

struct place {
    char folder[64], path[96];
};

static uint64_t seed;

static float uniform(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (float)((z ^ z >> 31) >> 40) / 16777216.0f;
}

static float gauss(void)
{
    float sum = 0;
    for (int i = 0; i < 12; i++)
        sum += uniform();
    return sum - 6;
}

static void unit(float *v)
{
    const float norm = sqrtf(frt_dot_f32(v, v, DIM));
    for (int i = 0; i < DIM; i++)
        v[i] /= norm;
}

static void random_unit(float *v)
{
    for (int i = 0; i < DIM; i++)
        v[i] = gauss();
    unit(v);
}

/* A unit vector at the given cosine to `of`. */
static void at_cosine(const float *of, float cosine, float *out)
{
    float other[DIM];
    random_unit(other);
    const float along = frt_dot_f32(of, other, DIM);
    for (int i = 0; i < DIM; i++)
        other[i] -= along * of[i];
    unit(other);
    for (int i = 0; i < DIM; i++)
        out[i] = cosine * of[i] + sqrtf(1 - cosine * cosine) * other[i];
    unit(out);
}

static void must(enum frt_status status, const struct frt_error *err)
{
    if (status != FRT_OK)
        fail_msg("%s: %s", frt_status_code(status), err->text);
}

static int make_place(void **state)
{
    struct place *p = test_calloc(1, sizeof *p);
    (void)snprintf(p->folder, sizeof p->folder, "/tmp/frt-test-gallery-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(p->path, sizeof p->path, "%s/frt.db", p->folder);
    *state = p;
    return 0;
}

static int drop_place(void **state)
{
    struct place *p = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
    assert_int_equal(system(command), 0);
    test_free(p);
    return 0;
}

static struct frt_gallery *open_gallery(const struct place *p, bool read_only)
{
    struct frt_error err = {0};
    struct frt_gallery *gallery = NULL;
    const struct frt_gallery_options options = {.path = p->path, .read_only = read_only};
    must(frt_gallery_open(&options, &gallery, &err), &err);
    return gallery;
}

static enum frt_status enroll(struct frt_gallery *gallery, const char *subject, const float *embedding,
                              const struct frt_enroll_options *like, struct frt_error *err)
{
    struct frt_enrolled enrolled = {0};
    struct frt_enroll_options options = like != NULL ? *like : (struct frt_enroll_options){0};
    options.subject = subject;
    enum frt_status status =
        frt_enroll_embedding(gallery, "people", model, embedding, DIM, &options, &enrolled, err);
    if (status == FRT_OK)
        assert_int_equal(enrolled.faces.n, 1);
    frt_enrolled_deinit(&enrolled);
    return status;
}

static struct frt_identified identify(struct frt_gallery *gallery, const float *probe,
                                      const struct frt_identify_options *options)
{
    struct frt_error err = {0};
    struct frt_identified found = {0};
    must(frt_identify_embeddings(gallery, "people", model, probe, 1, DIM, 0.4f, options, &found, &err), &err);
    assert_int_equal(found.n, 1);
    return found;
}

static void expect_name(struct frt_gallery *gallery, const float *probe, const char *name)
{
    struct frt_identified found = identify(gallery, probe, NULL);
    if (name == NULL) {
        assert_false(found.faces[0].known);
        assert_int_equal(found.faces[0].n_matches, 0);
    } else {
        assert_true(found.faces[0].known);
        assert_string_equal(found.faces[0].matches[0].subject, name);
    }
    frt_identified_deinit(&found);
}

static void the_right_person_or_unknown(void **state)
{
    const struct place *p = *state;
    struct frt_gallery *gallery = open_gallery(p, false);
    struct frt_error err = {0};
    struct frt_collection_info info;
    float people[20][DIM], probe[DIM];
    bool created = false;
    assert_int_equal(enroll(gallery, "Ada", people[0], NULL, &err), FRT_EINVAL); /* zeros */
    must(frt_collection_put(gallery, "people", NULL, &created, &err), &err);
    assert_true(created);
    must(frt_collection_put(gallery, "people", NULL, &created, &err), &err);
    assert_false(created);
    random_unit(probe);
    expect_name(gallery, probe, NULL); /* nobody yet */
    for (int i = 0; i < 20; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "person %d", i);
        random_unit(people[i]);
        must(enroll(gallery, name, people[i], NULL, &err), &err);
        at_cosine(people[i], 0.7f, probe);
        expect_name(gallery, probe, name); /* found as soon as it is enrolled */
    }
    at_cosine(people[3], 0.3f, probe);
    expect_name(gallery, probe, NULL);

    struct frt_identified found = identify(gallery, probe, &(struct frt_identify_options){.candidates = true});
    assert_int_equal(found.faces[0].n_matches, 5);
    assert_false(found.faces[0].known);
    assert_string_equal(found.faces[0].matches[0].subject, "person 3");
    assert_false(found.faces[0].matches[0].match);
    assert_true(fabsf(found.faces[0].matches[0].similarity - frt_dot_f32(probe, people[3], DIM)) < 1e-6f);
    frt_identified_deinit(&found);

    must(frt_subject_rename(gallery, "people", "person 3", "Ada Lovelace", &err), &err);
    at_cosine(people[3], 0.7f, probe);
    expect_name(gallery, probe, "Ada Lovelace");
    assert_int_equal(frt_subject_rename(gallery, "people", "person 4", "Ada Lovelace", &err), FRT_ECONFLICT);
    uint64_t faces = 0;
    must(frt_subject_delete(gallery, "people", "Ada Lovelace", &faces, &err), &err);
    assert_int_equal(faces, 1);
    expect_name(gallery, probe, NULL);
    must(frt_collection_get(gallery, "people", &info, &err), &err);
    assert_int_equal(info.faces, 19);
    assert_int_equal(info.subjects, 19);
    assert_string_equal(info.model, model);
    assert_string_equal(info.index_kind, "exact");
    frt_collection_info_deinit(&info);

    /* another model never meets these */
    struct frt_identified other = {0};
    assert_int_equal(
        frt_identify_embeddings(gallery, "people", "other 1", probe, 1, DIM, 0.4f, NULL, &other, &err),
        FRT_EMODEL_MISMATCH);
    assert_int_equal(frt_identify_embeddings(gallery, "nobody", model, probe, 1, DIM, 0.4f, NULL, &other, &err),
                     FRT_ECOLLECTION_NOT_FOUND);
    frt_gallery_close(gallery);

    /* and all of it is there again, also for who may only read */
    gallery = open_gallery(p, true);
    at_cosine(people[7], 0.7f, probe);
    expect_name(gallery, probe, "person 7");
    assert_int_equal(enroll(gallery, "Eve", probe, NULL, &err), FRT_EUNAVAILABLE);
    frt_gallery_close(gallery);
}

static void several_faces_of_one_subject(void **state)
{
    struct frt_gallery *gallery = open_gallery(*state, false);
    struct frt_error err = {0};
    float centre[DIM], face[DIM], probe[DIM], other[DIM];
    must(frt_collection_put(gallery, "people", NULL, NULL, &err), &err);
    random_unit(centre);
    for (int i = 0; i < 60; i++) {
        at_cosine(centre, 0.8f, face);
        must(enroll(gallery, "Grace", face, NULL, &err), &err);
    }
    at_cosine(centre, 0.5f, other);
    must(enroll(gallery, "Hedy", other, NULL, &err), &err);
    at_cosine(centre, 0.9f, probe);
    /* sixty faces of one subject do not hide the second one */
    struct frt_identify_options options = {.candidates = true, .top_k = 2, .score = FRT_SCORE_BEST};
    struct frt_identified found = identify(gallery, probe, &options);
    assert_int_equal(found.faces[0].n_matches, 2);
    assert_string_equal(found.faces[0].matches[0].subject, "Grace");
    assert_string_equal(found.faces[0].matches[1].subject, "Hedy");
    const float best = found.faces[0].matches[0].similarity;
    frt_identified_deinit(&found);
    /* the mean of noisy faces is nearer than the best of them */
    options.score = FRT_SCORE_FUSED;
    found = identify(gallery, probe, &options);
    assert_string_equal(found.faces[0].matches[0].subject, "Grace");
    const float fused = found.faces[0].matches[0].similarity;
    assert_true(fused > best);
    frt_identified_deinit(&found);
    options.score = FRT_SCORE_DEFAULT; /* docs/eval.md: fused identifies better */
    found = identify(gallery, probe, &options);
    assert_true(found.faces[0].matches[0].similarity == fused);
    frt_identified_deinit(&found);
    options = (struct frt_identify_options){.candidates = true, .top_k = 30, .every_face = true};
    found = identify(gallery, probe, &options);
    assert_int_equal(found.faces[0].n_matches, 30);
    frt_identified_deinit(&found);
    frt_gallery_close(gallery);
}

static void duplicates_and_adaptive_thresholds(void **state)
{
    struct frt_gallery *gallery = open_gallery(*state, false);
    struct frt_error err = {0};
    float a[DIM], b[DIM], c[DIM];
    must(frt_collection_put(
             gallery, "people",
             &(struct frt_collection_settings){.which = FRT_COLLECTION_THRESHOLD, .threshold = 0.5f}, NULL,
             &err),
         &err);
    random_unit(a);
    at_cosine(a, 0.55f, b);
    const struct frt_enroll_options reject = {.on_duplicate = FRT_DUPLICATE_REJECT};
    must(enroll(gallery, "a", a, &reject, &err), &err);
    assert_int_equal(enroll(gallery, "a", a, &reject, &err), FRT_EDUPLICATE); /* the same photo */
    assert_int_equal(enroll(gallery, "b", b, &reject, &err), FRT_EDUPLICATE); /* another's face */
    must(enroll(gallery, "a", b, &reject, &err), &err);                       /* another photo of the same */
    must(frt_collection_delete(gallery, "people", NULL, &err), &err);

    /* the older rules: distance 0.2 is cosine 0.6, 0.3 is 0.4 */
    must(frt_collection_put(gallery, "people", NULL, NULL, &err), &err);
    const struct frt_enroll_options older = {.older_rules = true};
    struct frt_gallery_faces faces;
    must(enroll(gallery, "a", a, &older, &err), &err);
    assert_int_equal(enroll(gallery, "a", b, &older, &err), FRT_ECONFLICT);
    at_cosine(a, 0.65f, c);
    assert_int_equal(enroll(gallery, "c", c, &older, &err), FRT_EDUPLICATE);
    must(enroll(gallery, "b", b, &older, &err), &err); /* at 0.225: both take that */
    must(frt_face_list(gallery, "people", NULL, &faces, &err), &err);
    assert_int_equal(faces.n, 2);
    const float cosine = frt_dot_f32(a, b, DIM);
    assert_true(fabsf(faces.faces[0].threshold - cosine) < 1e-5f);
    assert_true(fabsf(faces.faces[1].threshold - cosine) < 1e-5f);
    frt_gallery_faces_deinit(&faces);
    random_unit(c);
    must(enroll(gallery, "c", c, &older, &err), &err); /* far from both */
    must(frt_face_list(gallery, "people", &(struct frt_face_list_options){.subject = "c"}, &faces, &err), &err);
    assert_true(fabsf(faces.faces[0].threshold - 0.4f) < 1e-5f);
    frt_gallery_faces_deinit(&faces);
    frt_gallery_close(gallery);
}

static void a_snapshot_is_used_and_a_damaged_one_is_not(void **state)
{
    const struct place *p = *state;
    struct frt_gallery *gallery = open_gallery(p, false);
    struct frt_error err = {0};
    struct frt_importer *importer = NULL;
    enum { MANY = 6000 };
    float *all = test_malloc((size_t)MANY * DIM * sizeof *all);
    char line[DIM * 20];
    float probe[DIM];
    must(frt_collection_put(gallery, "people", NULL, NULL, &err), &err);
    must(frt_import_begin(gallery, "people", model, DIM, &importer, &err), &err);
    for (int i = 0; i < MANY; i++) {
        random_unit(all + i * DIM);
        int n = snprintf(line, sizeof line, "{\"subject\":\"s%d\",\"embedding\":[", i);
        for (int j = 0; j < DIM; j++)
            n += snprintf(line + n, sizeof line - (size_t)n, "%s%.7g", j > 0 ? "," : "",
                          (double)all[i * DIM + j]);
        n += snprintf(line + n, sizeof line - (size_t)n, "]}\n");
        /* lines may be cut anywhere */
        must(frt_import_feed(importer, line, (size_t)n / 3, &err), &err);
        must(frt_import_feed(importer, line + n / 3, (size_t)n - (size_t)n / 3, &err), &err);
    }
    static const char bad[] = "no json\n{\"subject\":\"x\"}\n\n{\"subject\":\"\",\"embedding\":[1]}\n";
    must(frt_import_feed(importer, bad, sizeof bad - 1, &err), &err);
    must(frt_import_finish(importer, &err), &err);
    struct frt_import_report report = frt_import_report_get(importer);
    assert_int_equal(report.imported, MANY);
    assert_int_equal(report.n_rejected, 3);
    assert_int_equal(report.rejected[0].line, MANY + 1);
    assert_int_equal(report.rejected[2].line, MANY + 4);
    frt_importer_free(importer);
    at_cosine(all + 77 * DIM, 0.7f, probe);
    expect_name(gallery, probe, "s77");
    frt_gallery_close(gallery); /* saves */

    char snapshot[160];
    struct stat st;
    (void)snprintf(snapshot, sizeof snapshot, "%s.index/1.frtx", p->path);
    assert_int_equal(stat(snapshot, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    gallery = open_gallery(p, false);
    must(frt_subject_delete(gallery, "people", "s77", NULL, &err), &err);
    expect_name(gallery, probe, NULL); /* the snapshot knows s77; the store's tail says that it is gone */
    frt_gallery_close(gallery);

    FILE *file = fopen(snapshot, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, st.st_size / 2, SEEK_SET), 0);
    const int c = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    assert_int_not_equal(fputc(c ^ 1, file), EOF);
    assert_int_equal(fclose(file), 0);
    gallery = open_gallery(p, false);
    at_cosine(all + 4999 * DIM, 0.7f, probe);
    expect_name(gallery, probe, "s4999");

    /* export and import again are the same people */
    uint64_t cursor = 0;
    size_t size = 0, total = 0;
    must(frt_collection_put(gallery, "copy", NULL, NULL, &err), &err);
    must(frt_import_begin(gallery, "copy", model, DIM, &importer, &err), &err);
    for (;;) {
        char *text = NULL;
        must(frt_export_page(gallery, "people", &cursor, 0, &text, &size, &err), &err);
        if (size > 0)
            must(frt_import_feed(importer, text, size, &err), &err);
        frt_export_free(text);
        total += size;
        if (size == 0)
            break;
    }
    must(frt_import_finish(importer, &err), &err);
    assert_int_equal(frt_import_report_get(importer).imported, MANY - 1);
    frt_importer_free(importer);
    assert_true(total > MANY * DIM);

    struct frt_job job;
    must(frt_rebuild(gallery, "copy", &job, &err), &err);
    for (int i = 0; i < 2000 && (job.state == FRT_JOB_QUEUED || job.state == FRT_JOB_RUNNING); i++) {
        (void)usleep(10000);
        must(frt_job_get(gallery, job.id, &job, &err), &err);
    }
    assert_int_equal(job.state, FRT_JOB_DONE);
    assert_int_equal(job.done, MANY - 1);
    struct frt_identified found = {0};
    must(frt_identify_embeddings(gallery, "copy", model, probe, 1, DIM, 0.4f, NULL, &found, &err), &err);
    assert_string_equal(found.faces[0].matches[0].subject, "s4999");
    frt_identified_deinit(&found);
    struct frt_collection_removed removed;
    must(frt_collection_delete(gallery, "people", &removed, &err), &err);
    assert_int_equal(removed.faces, MANY - 1);
    assert_true(removed.snapshot);
    assert_int_equal(stat(snapshot, &st), -1);
    frt_gallery_close(gallery);
    test_free(all);
}

/* Deletions that nobody remembers must neither bring faces back nor cut a load short. */
static void forgotten_deletions_do_no_harm(void **state)
{
    enum { MANY = 2500 };
    const struct place *p = *state;
    struct frt_gallery *gallery = open_gallery(p, false);
    struct frt_error err = {0};
    struct frt_importer *importer = NULL;
    float *all = test_malloc((size_t)MANY * DIM * sizeof *all);
    char line[DIM * 20];
    float probe[DIM];
    must(frt_collection_put(gallery, "people", NULL, NULL, &err), &err);
    must(frt_import_begin(gallery, "people", model, DIM, &importer, &err), &err);
    for (int i = 0; i < MANY; i++) {
        random_unit(all + i * DIM);
        int n = snprintf(line, sizeof line, "{\"subject\":\"s%d\",\"embedding\":[", i);
        for (int j = 0; j < DIM; j++)
            n += snprintf(line + n, sizeof line - (size_t)n, "%s%.7g", j > 0 ? "," : "",
                          (double)all[i * DIM + j]);
        n += snprintf(line + n, sizeof line - (size_t)n, "]}\n");
        must(frt_import_feed(importer, line, (size_t)n, &err), &err);
    }
    must(frt_import_finish(importer, &err), &err);
    frt_importer_free(importer);
    at_cosine(all + 3 * DIM, 0.7f, probe);
    expect_name(gallery, probe, "s3"); /* the index is loaded */
    struct frt_gallery *other = open_gallery(p, false);
    must(frt_subject_delete(other, "people", "s3", NULL, &err), &err);
    frt_gallery_close(other);
    struct frt_store *store = NULL;
    struct frt_store_page *page = NULL;
    struct frt_store_collection row;
    must(frt_store_open(&(struct frt_store_options){.path = p->path}, &store, &err), &err);
    must(frt_store_collection_get(store, "people", &page, &row, &err), &err);
    must(frt_store_changes_forget(store, row.key, row.seq, &err), &err);
    frt_store_page_free(page);
    frt_store_close(store);
    expect_name(gallery, probe, NULL); /* it starts anew rather than miss the deletion */
    for (int i = 0; i < MANY; i += 499) {
        char name[16];
        (void)snprintf(name, sizeof name, "s%d", i);
        at_cosine(all + i * DIM, 0.7f, probe);
        expect_name(gallery, probe, name);
    }
    frt_gallery_close(gallery);
    test_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_right_person_or_unknown, make_place, drop_place),
        cmocka_unit_test_setup_teardown(several_faces_of_one_subject, make_place, drop_place),
        cmocka_unit_test_setup_teardown(duplicates_and_adaptive_thresholds, make_place, drop_place),
        cmocka_unit_test_setup_teardown(forgotten_deletions_do_no_harm, make_place, drop_place),
        cmocka_unit_test_setup_teardown(a_snapshot_is_used_and_a_damaged_one_is_not, make_place, drop_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

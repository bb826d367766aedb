/* Folders of the older service: imported, searched, exported, and refused where they are damaged. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/gallery_faiss.h"
#include "index/faiss_files.h"

enum { DIM = 16, N = 1300 };

static char folder[] = "/tmp/frt-older-XXXXXX";
static float vectors[N][DIM];
static struct frt_gallery *gallery;
static const struct frt_faiss_import_options options = {.model = "older 1"};

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_list(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void write_index(const char *name, size_t n)
{
    struct frt_faiss_writer *writer = NULL;
    assert_int_equal(frt_faiss_writer_open(in_folder(name), DIM, &writer, NULL), FRT_OK);
    assert_int_equal(frt_faiss_writer_add(writer, n, vectors[0], NULL), FRT_OK);
    assert_int_equal(frt_faiss_writer_finish(writer, NULL), FRT_OK);
    frt_faiss_writer_free(writer);
}

static void open_gallery(void)
{
    struct frt_error err = {0};
    if (frt_gallery_open(&(struct frt_gallery_options){.path = in_folder("frt.db")}, &gallery, &err) != FRT_OK)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    static uint64_t seed = 88172645463325252u;
    (void)state;
    for (int i = 0; i < N * DIM; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        vectors[i / DIM][i % DIM] = (float)(int32_t)(seed >> 32) / 1073741824.0f; /* not unit vectors */
    }
    (void)snprintf(folder, sizeof folder, "%s", "/tmp/frt-older-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    open_gallery();
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    frt_gallery_close(gallery);
    (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

/* "people": N faces "p0".."p1299", thresholds 0.2 + i / 10000, none for every fourth. */
static void make_people(void)
{
    FILE *file = fopen(in_folder("people.json"), "wb");
    assert_non_null(file);
    for (int i = 0; i < N; i++) {
        if (i % 4 == 3)
            (void)fprintf(file, "%s\n {\"id\": \"p%d\"}", i == 0 ? "[" : ",", i);
        else
            (void)fprintf(file, "%s{\"id\":\"p%d\",\"collection_name\":\"people\",\"at_threshold\":%.4f}",
                          i == 0 ? "[" : ",", i, 0.2 + i / 10000.0);
    }
    (void)fputs("]\n", file);
    assert_int_equal(fclose(file), 0);
    write_index("people.index", N);
}

static void a_folder_is_imported_and_found_again(void **state)
{
    (void)state;
    struct frt_faiss_import_report report;
    struct frt_error err = {0};
    make_people();
    if (frt_gallery_import_faiss(gallery, folder, &options, &report, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(report.collections, 1);
    assert_int_equal(report.faces, N);
    assert_int_equal(report.imported, N);
    assert_int_equal(report.already + report.n_rejected, 0);
    frt_faiss_import_report_deinit(&report);

    struct frt_collection_info info;
    assert_int_equal(frt_collection_get(gallery, "people", &info, &err), FRT_OK);
    assert_int_equal(info.faces, N);
    assert_int_equal(info.subjects, N);
    assert_int_equal(info.dim, DIM);
    assert_string_equal(info.model, "older 1");
    frt_collection_info_deinit(&info);
    static const int some[] = {0, 1, 499, 500, 501, 1299};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        char id[16];
        float unit[DIM];
        double sum = 0;
        struct frt_gallery_faces faces = {0};
        struct frt_identified who = {0};
        (void)snprintf(id, sizeof id, "p%d", some[i]);
        assert_int_equal(frt_face_get(gallery, "people", id, true, &faces, &err), FRT_OK);
        assert_string_equal(faces.faces[0].subject, id);
        for (int d = 0; d < DIM; d++)
            sum += (double)vectors[some[i]][d] * (double)vectors[some[i]][d];
        for (int d = 0; d < DIM; d++) {
            unit[d] = (float)((double)vectors[some[i]][d] / sqrt(sum));
            assert_true(fabsf(unit[d] - faces.faces[0].embedding[d]) < 1e-5f);
        }
        if (some[i] % 4 == 3)
            assert_true(isnan(faces.faces[0].threshold));
        else
            assert_true(fabs((double)faces.faces[0].threshold - (1 - 2 * (0.2 + some[i] / 10000.0))) < 1e-5);
        frt_gallery_faces_deinit(&faces);
        assert_int_equal(frt_identify_embeddings(gallery, "people", "older 1", unit, 1, DIM, 0.5f,
                                                 &(struct frt_identify_options){0}, &who, &err),
                         FRT_OK);
        assert_int_equal(who.n, 1);
        assert_true(who.faces[0].known);
        assert_string_equal(who.faces[0].matches[0].subject, id);
        frt_identified_deinit(&who);
    }

    /* again: nothing is there twice */
    assert_int_equal(frt_gallery_import_faiss(gallery, folder, &options, &report, &err), FRT_OK);
    assert_int_equal(report.imported, 0);
    assert_int_equal(report.already, N);
    frt_faiss_import_report_deinit(&report);
    /* another model's vectors do not join them */
    assert_int_equal(frt_gallery_import_faiss(gallery, folder,
                                              &(struct frt_faiss_import_options){.model = "other 2"}, &report,
                                              &err),
                     FRT_EMODEL_MISMATCH);
    frt_faiss_import_report_deinit(&report);
}

static void what_is_exported_can_be_imported(void **state)
{
    (void)state;
    struct frt_faiss_import_report report;
    struct frt_error err = {0};
    uint64_t faces = 0;
    make_people();
    assert_int_equal(frt_gallery_import_faiss(gallery, folder, &options, &report, &err), FRT_OK);
    frt_faiss_import_report_deinit(&report);
    /* a second face of p7 */
    float unit[DIM] = {1};
    struct frt_enrolled enrolled = {0};
    assert_int_equal(frt_enroll_embedding(gallery, "people", "older 1", unit, DIM,
                                          &(struct frt_enroll_options){.subject = "p7", .face_id = "second"},
                                          &enrolled, &err),
                     FRT_OK);
    frt_enrolled_deinit(&enrolled);
    assert_int_equal(unlink(in_folder("people.index")), 0);
    assert_int_equal(unlink(in_folder("people.json")), 0);
    if (frt_gallery_export_faiss(gallery, "people", folder, &faces, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(faces, N + 1);
    frt_gallery_close(gallery);
    gallery = NULL;
    assert_int_equal(rename(in_folder("frt.db"), in_folder("before.db")), 0);
    (void)unlink(in_folder("frt.db-wal"));
    (void)unlink(in_folder("frt.db-shm"));
    open_gallery();
    if (frt_gallery_import_faiss(gallery, folder, &options, &report, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(report.imported, N + 1);
    assert_int_equal(report.n_rejected, 0);
    frt_faiss_import_report_deinit(&report);
    struct frt_gallery_faces one = {0};
    assert_int_equal(frt_face_get(gallery, "people", "p7#second", true, &one, &err), FRT_OK);
    assert_true(one.faces[0].embedding[0] == 1);
    assert_true(fabsf(one.faces[0].threshold - 0.4f) < 1e-6f); /* 0.3 as a distance */
    frt_gallery_faces_deinit(&one);
    assert_int_equal(frt_face_get(gallery, "people", "p9", false, &one, &err), FRT_OK);
    assert_true(fabs((double)one.faces[0].threshold - (1 - 2 * 0.2009)) < 1e-5);
    frt_gallery_faces_deinit(&one);

    assert_int_equal(frt_gallery_export_faiss(gallery, "nobody", folder, &faces, &err),
                     FRT_ECOLLECTION_NOT_FOUND);
    assert_int_equal(frt_collection_put(gallery, "empty", NULL, NULL, &err), FRT_OK);
    assert_int_equal(frt_gallery_export_faiss(gallery, "empty", folder, &faces, &err), FRT_EINVAL);
    assert_int_equal(frt_gallery_export_faiss(gallery, "people", "/no/such/folder", &faces, &err), FRT_EIO);
}

static enum frt_status import_text(const char *list, size_t n, struct frt_faiss_import_report *report,
                                   struct frt_error *err)
{
    write_index("x.index", n);
    write_list("x.json", list);
    return frt_gallery_import_faiss(gallery, folder, &options, report, err);
}

static void bad_faces_are_told_of_and_the_others_go_on(void **state)
{
    (void)state;
    struct frt_faiss_import_report report;
    struct frt_error err = {0};
    const float kept = vectors[5][3], zeros[DIM] = {0};
    float before[DIM];
    vectors[5][3] = NAN;
    memcpy(before, vectors[6], sizeof before);
    memcpy(vectors[6], zeros, sizeof zeros);
    const enum frt_status status = import_text(
        " [ {\"id\":\"a\"} , {}, {\"id\":7}, {\"id\":\"d\",\"collection_name\":\"y\"},"
        "{\"id\":\"e\",\"at_threshold\":2}, {\"id\":\"f\"}, {\"id\":\"g\"}, {\"id\":\"h/h\"}, {\"id\":\"a\"},"
        "{\"id\":\"j \\\"]}{ \\u00e9\",\"more\":[{\"x\":\"}\"}],\"at_threshold\":null}]",
        10, &report, &err);
    vectors[5][3] = kept;
    memcpy(vectors[6], before, sizeof before);
    if (status != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(report.faces, 10);
    assert_int_equal(report.imported, 2); /* a and j */
    assert_int_equal(report.already, 1);  /* a again */
    assert_int_equal(report.n_rejected, 7);
    assert_int_equal(report.n_listed, 7);
    static const uint64_t places[] = {1, 2, 3, 4, 5, 6, 7};
    for (size_t i = 0; i < 7; i++) {
        bool there = false;
        for (size_t j = 0; j < 7; j++)
            there = there || report.rejected[j].position == places[i];
        assert_true(there);
        assert_string_equal(report.rejected[i].collection, "x");
        assert_true(strlen(report.rejected[i].text) > 10);
    }
    frt_faiss_import_report_deinit(&report);
}

static void damaged_lists_are_refused(void **state)
{
    static const char *const lists[] = {"",
                                        "{}",
                                        "[",
                                        "[{\"id\":\"a\"}",
                                        "[{\"id\":\"a\"},]",
                                        "[{\"id\":\"a\"} {\"id\":\"b\"}]",
                                        "[{\"id\":\"a\"}]",
                                        "[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}]",
                                        "[\"a\",\"b\"]",
                                        "[[],[]]",
                                        "[{\"id\":\"a\"},{\"id\":\"b\"}] x",
                                        "[{\"id\":\"a\"},{\"id\":\"b",
                                        "nonsense"};
    (void)state;
    struct frt_faiss_import_report report;
    struct frt_error err = {0};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (import_text(lists[i], 2, &report, &err) != FRT_EBAD_REQUEST)
            fail_msg("'%s' was taken", lists[i]);
        assert_non_null(strstr(err.text, "x.json"));
        frt_faiss_import_report_deinit(&report);
    }
    char *huge = malloc(200000);
    memset(huge, ' ', 199999);
    memcpy(huge, "[{\"id\":\"a\"", 10);
    huge[199999] = '\0';
    assert_int_equal(import_text(huge, 2, &report, &err), FRT_EBAD_REQUEST);
    free(huge);
    frt_faiss_import_report_deinit(&report);
    assert_int_equal(unlink(in_folder("x.json")), 0);
    assert_int_equal(frt_gallery_import_faiss(gallery, folder, &options, &report, &err), FRT_ENOTFOUND);
    frt_faiss_import_report_deinit(&report);
    assert_int_equal(frt_gallery_import_faiss(gallery, "/no/such/folder", &options, &report, &err),
                     FRT_ENOTFOUND);
    frt_faiss_import_report_deinit(&report);
    assert_int_equal(
        frt_gallery_import_faiss(gallery, folder, &(struct frt_faiss_import_options){0}, &report, &err),
        FRT_EINVAL);
    frt_faiss_import_report_deinit(&report);
    assert_int_equal(
        frt_gallery_import_faiss(gallery, folder,
                                 &(struct frt_faiss_import_options){.model = "m 1", .collection = "other"},
                                 &report, &err),
        FRT_ENOTFOUND);
    frt_faiss_import_report_deinit(&report);
}

static bool at_most_once(void *arg, const char *collection, uint64_t done, uint64_t total)
{
    int *calls = arg;
    assert_string_equal(collection, "people");
    assert_true(done > 0 && done <= total && total == N);
    return ++*calls < 2;
}

static void an_import_can_be_cancelled_and_run_again(void **state)
{
    (void)state;
    int calls = 0;
    struct frt_faiss_import_report report;
    struct frt_error err = {0};
    const struct frt_faiss_import_options cancelled = {
        .model = "older 1", .progress = at_most_once, .arg = &calls};
    make_people();
    assert_int_equal(frt_gallery_import_faiss(gallery, folder, &cancelled, &report, &err), FRT_ECANCELLED);
    const uint64_t first = report.imported;
    assert_true(first > 0 && first < N);
    frt_faiss_import_report_deinit(&report);
    assert_int_equal(frt_gallery_import_faiss(gallery, folder, &options, &report, &err), FRT_OK);
    assert_int_equal(report.already, first);
    assert_int_equal(report.imported, N - first);
    frt_faiss_import_report_deinit(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_is_imported_and_found_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_exported_can_be_imported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_faces_are_told_of_and_the_others_go_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_lists_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_import_can_be_cancelled_and_run_again, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

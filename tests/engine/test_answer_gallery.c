/* The JSON of galleries: what is known is there, what is not is absent, and all of it is JSON. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/json_read.h"
#include "engine/answer_gallery.h"

static struct frt_buf buf;
static struct frt_json *json;

static struct frt_json_writer begin(void)
{
    struct frt_json_writer w;
    frt_buf_clear(&buf);
    frt_json_writer_init(&w, &buf, false);
    return w;
}

static const struct frt_json_value *parsed(void)
{
    struct frt_error err = {0};
    frt_json_free(json);
    json = NULL;
    assert_int_equal(frt_buf_status(&buf), FRT_OK);
    if (frt_json_parse(buf.data, buf.size, &json, &err) != FRT_OK)
        fail_msg("%s: %s", err.text, buf.data);
    return frt_json_root(json);
}

static void times(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } known[] = {{0, "1970-01-01T00:00:00.000Z"},
                 {1795464900123, "2026-11-23T20:15:00.123Z"},
                 {-1, "1969-12-31T23:59:59.999Z"},
                 {-1000, "1969-12-31T23:59:59.000Z"}};
    char text[FRT_TIME_TEXT_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        frt_time_text(known[i].ms, text);
        assert_string_equal(text, known[i].text);
    }
    frt_time_text(INT64_MAX, text); /* no overflow, no long text */
    frt_time_text(INT64_MIN, text);
}

static void collections(void **state)
{
    static char metadata[] = "{\"site\":[1,\"a\"]}";
    struct frt_collection_info list[2] = {{.name = "staff",
                                           .model = "sface 2021 dec",
                                           .dim = 128,
                                           .threshold = 0.4f,
                                           .target_fpir = (double)NAN,
                                           .metadata = metadata,
                                           .faces = 7,
                                           .index_engine = "native",
                                           .index_kind = "flat",
                                           .recall_estimate = (double)NAN,
                                           .recall_low = (double)NAN},
                                          {.name = "empty",
                                           .threshold = NAN,
                                           .target_fpir = 0.01,
                                           .recall_estimate = (double)NAN,
                                           .recall_low = (double)NAN}};
    (void)state;
    struct frt_json_writer w = begin();
    frt_json_object(&w);
    frt_answer_collections(&w, list, 2, NULL);
    frt_json_key(&w, "index");
    frt_json_object(&w);
    frt_answer_index_metrics(&w, list, 2);
    frt_json_end(&w);
    frt_json_end(&w);
    const struct frt_json_value *root = parsed(), *first = frt_json_first(frt_json_get(root, "collections"));
    assert_string_equal(frt_json_text(frt_json_get(frt_json_get(first, "model"), "name")), "sface 2021");
    assert_string_equal(frt_json_text(frt_json_get(frt_json_get(first, "model"), "version")), "dec");
    assert_float_equal(frt_json_double(frt_json_get(first, "threshold"), 0), 0.4, 1e-6);
    assert_null(frt_json_get(first, "target_fpir"));
    assert_int_equal(frt_json_count(frt_json_get(frt_json_get(first, "metadata"), "site")), 2);
    assert_string_equal(frt_json_text(frt_json_get(frt_json_get(first, "index"), "kind")), "flat");
    const struct frt_json_value *second = frt_json_next(first);
    assert_null(frt_json_get(second, "model"));
    assert_null(frt_json_get(second, "threshold"));
    assert_null(frt_json_get(second, "index"));
    assert_true(frt_json_is_object(frt_json_get(second, "metadata")));
    const struct frt_json_value *index = frt_json_get(root, "index");
    assert_int_equal(frt_json_count(index), 1);
    assert_true(frt_json_is_null(frt_json_get(frt_json_get(index, "staff"), "recall_estimate")));
}

static void enrolled_and_identified(void **state)
{
    static char id[] = "f1", subject[] = "O\"Neil \xc3\xa9", meta[] = "{}", text[] = "no face found",
                dup[] = "f0";
    static float embedding[2] = {0.6f, 0.8f};
    struct frt_gallery_face face = {.face_id = id,
                                    .subject = subject,
                                    .metadata = meta,
                                    .quality = NAN,
                                    .threshold = NAN,
                                    .seq = 9,
                                    .embedding = embedding,
                                    .dim = 2};
    struct frt_enroll_rejection rejected[] = {
        {.image = 1, .status = FRT_ENO_FACE, .text = text},
        {.image = 2, .status = FRT_EDUPLICATE, .face_id = dup, .similarity = 0.75f}};
    struct frt_enrolled enrolled = {.faces = {&face, 1}, .rejected = rejected, .n_rejected = 2};
    (void)state;
    struct frt_json_writer w = begin();
    frt_json_object(&w);
    frt_answer_enrolled(&w, &enrolled);
    frt_json_end(&w);
    const struct frt_json_value *root = parsed(), *f = frt_json_first(frt_json_get(root, "faces"));
    assert_string_equal(frt_json_text(frt_json_get(f, "subject")), subject);
    assert_int_equal(frt_json_count(frt_json_get(f, "embedding")), 2);
    assert_null(frt_json_get(f, "box"));
    assert_null(frt_json_get(f, "quality"));
    const struct frt_json_value *r = frt_json_first(frt_json_get(root, "rejected"));
    assert_string_equal(frt_json_text(frt_json_get(r, "code")), "no_face");
    assert_null(frt_json_get(r, "face_id"));
    assert_string_equal(frt_json_text(frt_json_get(frt_json_next(r), "code")), "duplicate_of");
    assert_string_equal(frt_json_text(frt_json_get(frt_json_next(r), "face_id")), "f0");

    struct frt_match matches[] = {{id, subject, meta, 0.9f, 0.05f, 0.4f, true, 0.00123456},
                                  {id, subject, NULL, 0.1f, 0.45f, 0.4f, false, 0}};
    struct frt_identified_face who[] = {{.known = true, .matches = matches, .n_matches = 2}, {.known = false}};
    struct frt_identified identified = {.faces = who, .n = 2, .total_ms = 3};
    for (int candidates = 0; candidates < 2; candidates++) {
        w = begin();
        frt_json_object(&w);
        frt_answer_identified(&w, &identified, candidates == 1);
        frt_json_end(&w);
        f = frt_json_first(frt_json_get(parsed(), "faces"));
        assert_string_equal(frt_json_text(frt_json_get(f, "decision")), "match");
        const struct frt_json_value *m = frt_json_first(frt_json_get(f, "matches"));
        assert_int_equal(frt_json_get(m, "match") != NULL, candidates);
        assert_float_equal(frt_json_double(frt_json_get(m, "false_match_probability"), 0), 0.00123, 1e-9);
        assert_null(frt_json_get(frt_json_next(m), "false_match_probability"));
        assert_string_equal(frt_json_text(frt_json_get(frt_json_next(f), "decision")), "unknown");
        assert_int_equal(frt_json_count(frt_json_get(frt_json_next(f), "matches")), 0);
    }
}

static void jobs_and_imports(void **state)
{
    struct frt_job job = {.id = "j1", .state = FRT_JOB_FAILED, .eta_seconds = (double)NAN};
    struct frt_import_rejection rejected[] = {{3, FRT_EBAD_REQUEST, "line 3 is no JSON"}};
    struct frt_import_report report = {
        .lines = 5, .imported = 2, .n_rejected = 3, .rejected = rejected, .n_listed = 1};
    (void)state;
    job.error.status = FRT_EIO;
    struct frt_json_writer w = begin();
    frt_answer_job(&w, &job);
    const struct frt_json_value *root = parsed();
    assert_string_equal(frt_json_text(frt_json_get(root, "state")), "failed");
    assert_true(frt_json_is_null(frt_json_get(root, "eta_seconds")));
    assert_string_equal(frt_json_text(frt_json_get(frt_json_get(root, "error"), "code")), "io_error");
    w = begin();
    frt_json_object(&w);
    frt_answer_import(&w, &report);
    frt_json_end(&w);
    root = parsed();
    assert_int_equal((int)frt_json_double(frt_json_get(root, "imported"), 0), 2);
    assert_int_equal((int)frt_json_double(frt_json_get(root, "rejected_total"), 0), 3);
    assert_int_equal(
        (int)frt_json_double(frt_json_get(frt_json_first(frt_json_get(root, "rejected")), "line"), 0), 3);
    assert_string_equal(frt_job_state_name((enum frt_job_state)77), "failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times),
        cmocka_unit_test(collections),
        cmocka_unit_test(enrolled_and_identified),
        cmocka_unit_test(jobs_and_imports),
    };
    frt_buf_init(&buf, 1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    frt_json_free(json);
    frt_buf_deinit(&buf);
    return failed;
}

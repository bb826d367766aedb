/* Threshold tables: read, written, refused; which one a pack gets; what searches make of it. */
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

#include "core/mem.h"
#include "engine/built_in_tables.h"
#include "engine/threshold_basis.h"

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(FRT_TABLE_MAX_BYTES);
    assert_non_null(file);
    assert_non_null(text);
    *size = fread(text, 1, FRT_TABLE_MAX_BYTES, file);
    assert_int_equal(fclose(file), 0);
    return text;
}

static struct frt_threshold_table parsed(const char *text, size_t size)
{
    struct frt_threshold_table table;
    struct frt_error err;
    if (frt_threshold_table_parse(text, size, &table, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return table;
}

/* ------------------------------------------------------------------ format */

static void a_file_of_version_1_is_read(void **state)
{
    (void)state;
    size_t size = 0;
    char *text = read_file(FRT_TEST_FIXTURES "/thresholds-v1.json", &size);
    struct frt_threshold_table table = parsed(text, size);
    assert_string_equal(table.embedder, "w600k_mbf");
    assert_int_equal(table.dim, 512);
    assert_string_equal(table.measured_on, "lfw-dev");
    assert_true(table.photos == 1794 && table.people == 890);
    assert_int_equal(table.n_curves, 4);
    assert_true(table.n_rows > 10 && fabs((double)table.rows[6].threshold - 0.244) < 0.001);
    /* what is written reads back as the same text */
    struct frt_buf first, second;
    frt_buf_init(&first, FRT_TABLE_MAX_BYTES);
    frt_buf_init(&second, FRT_TABLE_MAX_BYTES);
    frt_threshold_table_print(&table, true, false, &first);
    assert_int_equal(frt_buf_status(&first), FRT_OK);
    table = parsed(first.data, first.size);
    frt_threshold_table_print(&table, true, false, &second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    frt_buf_deinit(&first);
    frt_buf_deinit(&second);
    free(text);
}

#define HEAD                                                                                                   \
    "{\"format\":\"frt-thresholds\",\"format_version\":1,\"embedder\":{\"name\":\"e\",\"version\":\"1\","      \
    "\"dim\":4},"                                                                                              \
    "\"measured\":{\"on\":\"x\",\"date\":\"2026-01-01\",\"photos\":9,\"people\":3},"
#define CURVE(points) "\"curves\":[{\"enrolled\":1,\"people\":3,\"comparisons\":100,\"points\":" points "}]}"

static void what_is_no_table_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "{}",
        "[1]",
        "{\"format\":\"frt-thresholds\",\"format_version\":2}",
        HEAD "\"curves\":[]}",
        HEAD CURVE("[]"),
        HEAD CURVE("[[0.1]]"),
        HEAD CURVE("[[0.1,2]]"),
        HEAD CURVE("[[0.1,0]]"),
        HEAD CURVE("[[0.1,0.5],[0.1,0.4]]"),
        HEAD CURVE("[[0.1,0.5],[0.2,0.5]]"),
        HEAD CURVE("[[1.5,0.5]]"),
        HEAD CURVE("[[0.1,0.5]],\"tail\":{\"scale\":0,\"shape\":0}"),
        HEAD CURVE("[[0.1,0.5]],\"tail\":{\"scale\":0.1,\"shape\":-1}"),
        HEAD CURVE("[[0.1,0.5]],\"tail\":{\"scale\":0.1}"),
        HEAD "\"verification\":[{}]," CURVE("[[0.1,0.5]]"),
        "{\"format\":\"frt-thresholds\",\"format_version\":1,\"embedder\":{\"name\":\"\",\"version\":\"1\","
        "\"dim\":4},"
        "\"measured\":{\"on\":\"x\",\"date\":\"2026-01-01\",\"photos\":9,\"people\":3}," CURVE("[[0.1,0.5]]")};
    struct frt_threshold_table table;
    struct frt_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (frt_threshold_table_parse(wrong[i], strlen(wrong[i]), &table, &err) == FRT_OK)
            fail_msg("taken: %s", wrong[i]);
    (void)parsed(HEAD CURVE("[[0.1,0.5]]"), strlen(HEAD CURVE("[[0.1,0.5]]")));
    /* and without memory nothing is left behind */
    const char *good = HEAD CURVE("[[0.1,0.5],[0.2,0.25]]");
    for (int64_t n = 0;; n++) {
        frt_mem_fail_after(n);
        const enum frt_status status = frt_threshold_table_parse(good, strlen(good), &table, &err);
        frt_mem_fail_after(-1);
        if (status == FRT_OK)
            break;
        assert_true(status == FRT_ENOMEM || status == FRT_EBAD_REQUEST); /* the JSON reader cannot tell */
    }
}

/* -------------------------------------------------------------- evaluation */

/* Two curves, of 1 and 3 photos, of which each tenth of a cosine takes nine tenths of the comparisons. */
static struct frt_threshold_table made(void)
{
    struct frt_threshold_table t = {.embedder = "e", .version = "1", .dim = 4, .n_curves = 2};
    for (size_t i = 0; i < 2; i++) {
        const float up = i == 0 ? 0 : 0.04f;
        t.curves[i] = (struct frt_rate_curve){.enrolled = i == 0 ? 1 : 3,
                                              .points = {{0.1f + up, 1}, {0.3f + up, 1e-2}, {0.5f + up, 1e-4}},
                                              .n_points = 3,
                                              .tail = {0.5 + (double)up, 1e-4, 0.1 / log(10), 0}};
    }
    return t;
}

static void rates_and_thresholds(void **state)
{
    (void)state;
    const struct frt_threshold_table t = made();
    bool beyond = true;
    assert_float_equal(frt_table_threshold(&t, 1, 1e-3, &beyond), 0.4, 1e-5);
    assert_false(beyond);
    assert_float_equal(frt_table_threshold(&t, 1, 1e-5, &beyond), 0.6, 1e-5); /* the tail goes on as it was */
    assert_true(beyond);
    assert_float_equal(frt_table_threshold(&t, 1, 1e-30, NULL), 0.99, 1e-6); /* never out of reach */
    assert_float_equal(frt_table_threshold(&t, 2, 1e-3, NULL), 0.42, 1e-5);  /* between the curves */
    assert_float_equal(frt_table_threshold(&t, 9, 1e-3, NULL), 0.44, 1e-5);
    assert_float_equal(frt_table_threshold(&t, 0.5, 1e-3, NULL), 0.4, 1e-5);
    for (double k = 1; k < 4; k += 0.5)
        for (double rate = 0.5; rate > 1e-7; rate /= 3)
            assert_true(fabs(log(frt_table_rate(&t, k, frt_table_threshold(&t, k, rate, NULL)) / rate)) < 0.25);
    assert_true(frt_table_rate(&t, 1, -1) == 1 && frt_table_rate(&t, 1, 0.05f) == 1);
    /* from one comparison to a gallery and back; small rates are multiplied */
    assert_true(fabs(frt_gallery_rate(100, frt_rate_for_gallery(100, 0.37)) - 0.37) < 1e-12);
    assert_true(fabs(frt_rate_for_gallery(1e6, 0.01) * 1e6 - 0.01005) < 1e-6);
    assert_true(fabs(frt_gallery_rate(0, 0.25) - 0.25) < 1e-12 && frt_gallery_rate(10, 1) == 1);
}

static void rules_say_where_they_come_from(void **state)
{
    (void)state;
    struct frt_threshold_basis basis = {
        .manifest = {.threshold = 0.35f}, .match = FRT_TABLE_BY_NAME, .table = made()};
    const struct frt_threshold_table own = made();
    const struct frt_gallery_size few = {1, 1}, many = {100, 1};
    struct frt_threshold_rule r = frt_threshold_rule_make(&basis, NULL, NAN, 1e-3, &many);
    assert_true(r.source == FRT_THRESHOLD_PACK && r.extrapolated && !r.raised);
    assert_float_equal(r.threshold, 0.6, 1e-3);
    assert_true(fabs(frt_false_match_probability(&r, r.threshold) / 1e-3 - 1) < 0.01);
    r = frt_threshold_rule_make(&basis, NULL, NAN, NAN, &many); /* 0.01 when nobody says */
    assert_float_equal(r.threshold, 0.5, 1e-3);
    r = frt_threshold_rule_make(&basis, NULL, NAN, 0.05, &few); /* never below that for two photos */
    assert_true(r.raised && r.threshold == 0.35f);
    r = frt_threshold_rule_make(&basis, &own, NAN, 1e-3, &many);
    assert_true(r.source == FRT_THRESHOLD_COLLECTION && r.table == &own);
    r = frt_threshold_rule_make(&basis, &own, 0.2f, 1e-3, &many);
    assert_true(r.source == FRT_THRESHOLD_SET && r.threshold == 0.2f && r.table == &own);
    basis.match = FRT_TABLE_NONE;
    r = frt_threshold_rule_make(&basis, NULL, NAN, 1e-3, &many);
    assert_true(r.source == FRT_THRESHOLD_PAIRS && r.threshold == 0.35f &&
                isnan(frt_false_match_probability(&r, 0.5f)));
    basis.manifest = (struct frt_threshold_curve){0.35f, 1e-3f, 0.1f};
    r = frt_threshold_rule_make(&basis, NULL, NAN, 1e-2, &many);
    assert_true(r.source == FRT_THRESHOLD_MANIFEST);
    assert_float_equal(r.threshold, 0.45, 1e-5);
    r = frt_threshold_rule_make(NULL, NULL, NAN, 1e-2, &many);
    assert_true(isnan(r.threshold));
    /* as it grows, it rises */
    basis.match = FRT_TABLE_BY_FILE;
    float last = 0;
    for (double n = 1; n < 1e9; n *= 3) {
        const struct frt_gallery_size size = {n, 1.7};
        const float now = frt_threshold_rule_make(&basis, NULL, NAN, 1e-3, &size).threshold;
        assert_true(now >= last && now <= 0.99f);
        last = now;
    }
}

/* ----------------------------------------------------------------- finding */

static char folder[] = "/tmp/frt_thresholds_XXXXXX";

static void put(const char *name, const char *text, size_t size)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static const char manifest[] =
    "{\"format\":\"frt-pack\",\"format_version\":2,\"name\":\"p\",\"version\":\"1\",\"models\":[{\"role\":"
    "\"embedder\","
    "\"name\":\"%s\",\"version\":\"%s\",\"family\":\"arcface\",\"file\":\"a.onnx\",%s\"input\":{\"color\":"
    "\"rgb\",\"mean\":"
    "[0,0,0],\"scale\":[1,1,1]},\"template\":\"arcface112\",\"dim\":%d,\"threshold\":0.2}]}";

static enum frt_status load(const char *name, const char *version, const char *more, int dim,
                            struct frt_threshold_basis *out, struct frt_error *err)
{
    char text[2048];
    (void)snprintf(text, sizeof text, manifest, name, version, more, dim);
    put("manifest.json", text, strlen(text));
    return frt_threshold_basis_of_pack(folder, out, err);
}

static void a_pack_gets_its_table(void **state)
{
    (void)state;
    struct frt_threshold_basis basis;
    struct frt_error err = {0};
    char path[200];
    size_t size = 0;
    assert_non_null(mkdtemp(folder));
    /* every table that is compiled in can be read, and is found by name and by file */
    assert_non_null(frt_built_in_tables[0].text);
    for (size_t i = 0; frt_built_in_tables[i].text != NULL; i++) {
        const struct frt_threshold_table t =
            parsed((const char *)frt_built_in_tables[i].text, *frt_built_in_tables[i].size);
        char more[100];
        assert_int_equal(strlen(t.sha256), 64);
        assert_int_equal(strlen(t.date), 10);
        assert_true(t.people >= 800 && t.n_curves == 4 && t.n_rows > 10);
        assert_int_equal(load(t.embedder, t.version, "", (int)t.dim, &basis, &err), FRT_OK);
        assert_int_equal(basis.match, FRT_TABLE_BY_NAME);
        assert_string_equal(basis.table.embedder, t.embedder);
        (void)snprintf(more, sizeof more, "\"sha256\":\"%s\",", t.sha256);
        assert_int_equal(load("renamed", "9", more, (int)t.dim, &basis, &err), FRT_OK);
        assert_int_equal(basis.match, FRT_TABLE_BY_FILE);
        assert_int_equal(load(t.embedder, "another", "", (int)t.dim, &basis, &err), FRT_OK);
        assert_int_equal(basis.match, FRT_TABLE_NONE);
        /* compiled: by the original's file, or by its version; another suffix, or nothing of a compilation, is
         * not */
        char from[120], int8[80];
        (void)snprintf(from, sizeof from, "\"compiled_from\":\"%s\",", t.sha256);
        assert_int_equal(load("renamed", "9+int8", from, (int)t.dim, &basis, &err), FRT_OK);
        assert_int_equal(basis.match, FRT_TABLE_BY_ORIGINAL);
        (void)snprintf(from, sizeof from, "\"compiled_from\":\"%064d\",", 7);
        (void)snprintf(int8, sizeof int8, "%s+int8", t.version);
        assert_int_equal(load(t.embedder, int8, from, (int)t.dim, &basis, &err), FRT_OK);
        assert_int_equal(basis.match, FRT_TABLE_BY_ORIGINAL);
        assert_int_equal(load(t.embedder, int8, "", (int)t.dim, &basis, &err), FRT_OK);
        assert_int_equal(basis.match, FRT_TABLE_NONE);
        (void)snprintf(int8, sizeof int8, "%s+other", t.version);
        assert_int_equal(load(t.embedder, int8, from, (int)t.dim, &basis, &err), FRT_OK);
        assert_int_equal(basis.match, FRT_TABLE_NONE);
        assert_int_equal(load(t.embedder, t.version, more, (int)t.dim + 1, &basis, &err), FRT_OK);
        assert_int_equal(basis.match, FRT_TABLE_NONE);
    }
    /* one beside the manifest comes first; a damaged one, or one of another embedder, is told of */
    char *text = read_file(FRT_TEST_FIXTURES "/thresholds-v1.json", &size);
    put("thresholds.json", text, size);
    assert_int_equal(load("w600k_mbf", "1", "", 512, &basis, &err), FRT_OK);
    assert_true(basis.beside && basis.match == FRT_TABLE_BY_NAME);
    assert_int_equal(load("other", "1", "", 512, &basis, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "w600k_mbf"));
    put("thresholds.json", text, size / 2);
    assert_int_equal(load("w600k_mbf", "1", "", 512, &basis, &err), FRT_EBAD_MODEL);
    assert_non_null(strstr(err.text, "thresholds.json"));
    free(text);
    (void)snprintf(path, sizeof path, "%s/thresholds.json", folder);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/manifest.json", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_version_1_is_read), cmocka_unit_test(what_is_no_table_is_refused),
        cmocka_unit_test(rates_and_thresholds),        cmocka_unit_test(rules_say_where_they_come_from),
        cmocka_unit_test(a_pack_gets_its_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

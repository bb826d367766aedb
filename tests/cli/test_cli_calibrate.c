/*
 * frt calibrate as a person would use it: on a collection of made-up people, whose searches then go by it; on
 * real photos of real people (skipped where models and photos are absent); refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli_runner.h"
#include "core/buf.h"
#include "core/json_read.h"
#include "engine/score_statistics.h"

enum { DIM = 32, PEOPLE = 120, PHOTOS = 3, REAL_PEOPLE = 150 };

static const char *database;

/* ------------------------------------------------------------------ people */

static double normal(uint64_t *state)
{
    const double a = ((double)(frt_seeded_next(state) >> 11) + 0.5) / 9007199254740992.0;
    const double b = (double)(frt_seeded_next(state) >> 11) / 9007199254740992.0;
    return sqrt(-2 * log(a)) * cos(2 * 3.14159265358979323846 * b);
}

/* NDJSON of people, PHOTOS embeddings each. */
static void write_people(const char *path, uint64_t seed, const char *prefix, int people)
{
    struct frt_buf text;
    frt_buf_init(&text, 16 << 20);
    for (int p = 0; p < people; p++) {
        double own[DIM];
        for (int d = 0; d < DIM; d++)
            own[d] = normal(&seed);
        for (int k = 0; k < PHOTOS; k++) {
            double x[DIM], length = 0;
            for (int d = 0; d < DIM; d++) {
                x[d] = own[d] + 0.4 * normal(&seed);
                length += x[d] * x[d];
            }
            frt_buf_printf(&text, "{\"subject\":\"%s%d\",\"embedding\":[", prefix, p);
            for (int d = 0; d < DIM; d++)
                frt_buf_printf(&text, "%s%.7g", d == 0 ? "" : ",", x[d] / sqrt(length));
            frt_buf_append_text(&text, "]}\n");
        }
    }
    assert_int_equal(frt_buf_status(&text), FRT_OK);
    cli_put(path, text.data, text.size);
    frt_buf_deinit(&text);
}

static void import_people(uint64_t seed, const char *prefix, int people)
{
    const char *path = cli_work("people.ndjson");
    write_people(path, seed, prefix, people);
    struct cli_result r = CLI_RUN(NULL, "import", "ndjson", "made", path, "--model", "made 1", "--dim", "32",
                                  "--database", database, "--quiet");
    cli_expect(&r, 0, NULL);
}

static struct frt_json *parsed(const char *text)
{
    struct frt_json *json = NULL;
    struct frt_error err;
    if (frt_json_parse(text, strlen(text), &json, &err) != FRT_OK)
        fail_msg("%s in %.200s", err.text, text);
    return json;
}

static double number(const struct frt_json_value *object, const char *key)
{
    return frt_json_double(frt_json_get(object, key), (double)NAN);
}

/* The threshold that searches go by, and its source. */
static double shown(char source[32])
{
    struct cli_result r = CLI_RUN(NULL, "collections", "show", "made", "--json", "--database", database);
    cli_expect(&r, 0, NULL);
    struct frt_json *json = parsed(r.out);
    const struct frt_json_value *rule = frt_json_get(frt_json_root(json), "search_threshold");
    const double value = number(rule, "value");
    const char *from = frt_json_text(frt_json_get(rule, "source"));
    (void)snprintf(source, 32, "%s", from != NULL ? from : "");
    frt_json_free(json);
    return value;
}

/* ------------------------------------------------------------- collections */

static void a_collection_keeps_what_was_measured(void **state)
{
    char source[32];
    (void)state;
    import_people(11, "p", PEOPLE);
    struct cli_result r = CLI_RUN(NULL, "calibrate", "--collection", "made", "--fpir", "0.02", "--fmr", "1e-3",
                                  "--json", "--samples", "50", "--database", database);
    cli_expect(&r, 0, NULL);
    assert_null(strchr(r.out, '\n') + 1 < r.out + r.out_size ? r.out : NULL); /* one line */
    struct frt_json *json = parsed(r.out);
    const struct frt_json_value *root = frt_json_root(json), *recommended = frt_json_get(root, "recommended"),
                                *fpir = frt_json_get(recommended, "fpir");
    assert_true(number(root, "people") == PEOPLE && number(root, "photos") == PEOPLE * PHOTOS);
    assert_true(number(root, "same_pairs") == PEOPLE * PHOTOS * (PHOTOS - 1) / 2);
    assert_true(number(fpir, "people") == PEOPLE && number(fpir, "threshold") > 0.3);
    assert_true(number(fpir, "low") <= number(fpir, "threshold") &&
                number(fpir, "threshold") <= number(fpir, "high"));
    assert_true(number(frt_json_get(recommended, "fmr"), "fmr") == 1e-3);
    assert_string_equal(frt_json_text(frt_json_get(frt_json_get(root, "table"), "format")), "frt-thresholds");
    const double threshold = number(fpir, "threshold");
    frt_json_free(json);
    (void)shown(source); /* looking changed nothing */
    assert_string_equal(source, "");

    r = CLI_RUN(NULL, "calibrate", "--collection", "made", "--fpir", "0.02", "--samples", "50", "--apply",
                "--database", database);
    cli_expect(&r, 0, NULL);
    assert_non_null(
        strstr(r.out, "for one false alarm in 50 strangers, in a gallery of 120 people with 3 photos each"));
    assert_non_null(strstr(r.out, "kept in the collection"));
    assert_null(strstr(r.out, "\xe2\xa0\x80")); /* no braille into a pipe */
    assert_float_equal(shown(source), threshold, 0.01);
    assert_string_equal(source, "collection");
    r = CLI_RUN(NULL, "collections", "show", "made", "--database", database);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "one stranger in 50 is named; for 120 people with 3.0 photos each"));
    assert_non_null(strstr(r.out, ", its own"));
    /* it grows, and the threshold with it; a target of its own takes it back to where it was */
    const double before = shown(source);
    import_people(12, "q", 4 * PEOPLE);
    const double after = shown(source);
    assert_true(after > before + 0.01);
    r = CLI_RUN(NULL, "collections", "set", "made", "--target-fpir", "0.1", "--database", database);
    cli_expect(&r, 0, NULL);
    assert_float_equal(shown(source), before, 0.01); /* five times the people, five times the strangers */
    r = CLI_RUN(NULL, "collections", "set", "made", "--threshold", "0.77", "--database", database);
    cli_expect(&r, 0, NULL);
    assert_float_equal(shown(source), 0.77, 1e-6);
    assert_string_equal(source, "set");
}

static void plots_and_tables_are_files(void **state)
{
    (void)state;
    const char *det = cli_work("det.svg"), *scores = cli_work("scores.svg"), *table = cli_work("table.json");
    struct cli_result r =
        CLI_RUN(NULL, "calibrate", "--collection", "made", "--det", det, "--scores", scores, "--table", table,
                "--samples", "20", "--photos", "300", "--database", database);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "300 photos of 100 people, drawn"));
    char *text = cli_get(det, NULL);
    assert_non_null(text);
    assert_true(strncmp(text, "<svg", 4) == 0 && strstr(text, "</svg>") != NULL && strstr(text, "nan") == NULL);
    free(text);
    text = cli_get(scores, NULL);
    assert_non_null(text);
    assert_true(strncmp(text, "<svg", 4) == 0 && strstr(text, "nan") == NULL);
    free(text);
    text = cli_get(table, NULL);
    assert_non_null(text);
    struct frt_json *json = parsed(text);
    assert_true(number(frt_json_root(json), "format_version") == 1);
    assert_true(frt_json_count(frt_json_get(frt_json_root(json), "curves")) >= 2);
    frt_json_free(json);
    free(text);
    r = CLI_RUN(NULL, "calibrate", "--collection", "made", "--table", table, "--database", database);
    cli_expect(&r, 1, "exists");
}

static void what_cannot_be_told_is_refused(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "calibrate", "--collection", "made", "--fpir", "1e-6", "--people",
                                  "100000000", "--samples", "20", "--apply", "--database", database);
    assert_int_equal(r.code, 1);
    assert_non_null(strstr(r.out, "no threshold"));
    assert_null(strstr(r.out, "kept in"));
    r = CLI_RUN(NULL, "calibrate");
    cli_expect(&r, 2, "FOLDER of photos or --collection");
    r = CLI_RUN(NULL, "calibrate", "folder", "--collection", "made", "--database", database);
    cli_expect(&r, 2, "not both");
    r = CLI_RUN(NULL, "calibrate", "--collection", "nobody", "--database", database);
    cli_expect(&r, 3, "nobody");
    r = CLI_RUN(NULL, "calibrate", "--collection", "made", "--fpir", "2", "--database", database);
    cli_expect(&r, 2, "fpir");
    r = CLI_RUN(NULL, "collections", "create", "few", "--database", database);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "calibrate", "--collection", "few", "--database", database);
    cli_expect(&r, 3, "no faces");
}

/* ------------------------------------------------------------- real photos */

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The first REAL_PEOPLE folders of `from`, linked into `to`. */
static void link_people(const char *from, const char *to)
{
    struct dirent **names = NULL;
    char source[2048], target[2048];
    const int n = scandir(from, &names, visible, alphasort);
    assert_true(n > REAL_PEOPLE);
    assert_int_equal(mkdir(to, 0700), 0);
    for (int i = 0; i < n; i++) {
        (void)snprintf(source, sizeof source, "%s/%s", from, names[i]->d_name);
        (void)snprintf(target, sizeof target, "%s/%s", to, names[i]->d_name);
        if (i < REAL_PEOPLE)
            assert_int_equal(symlink(source, target), 0);
        free(names[i]);
    }
    free(names);
}

/* A pack of the models there are, with a manifest of share/packs. */
static bool link_pack(const char *assets, const char *to)
{
    static const char *const files[] = {"detect/yunet_n_dynamic.onnx",
                                        "recognize/MobileFace_Identification_V2.converted.onnx",
                                        "liveness/fasnet_2_7.onnx", "liveness/fasnet_4_0.onnx"};
    char source[2048], target[2048];
    size_t size = 0;
    char *manifest = cli_get("share/packs/yunet-mobileface-v2.json", &size);
    assert_non_null(manifest);
    assert_int_equal(mkdir(to, 0700), 0);
    (void)snprintf(target, sizeof target, "%s/manifest.json", to);
    cli_put(target, manifest, size);
    free(manifest);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(source, sizeof source, "%s/models/%s", assets, files[i]);
        (void)snprintf(target, sizeof target, "%s/%s", to, strrchr(files[i], '/') + 1);
        if (access(source, R_OK) != 0)
            return false;
        assert_int_equal(symlink(source, target), 0);
    }
    return true;
}

/* Among real people, what half of them say holds for the other half; and the table beside the pack is what it
 * goes by. */
static void real_people_agree(void **state)
{
    (void)state;
    const char *named = getenv("FRT_TEST_ASSETS") != NULL ? getenv("FRT_TEST_ASSETS") : "../shared/assets";
    char *assets = realpath(named, NULL), photos[2048];
    (void)snprintf(photos, sizeof photos, "%s/faces/lfw-dev", assets != NULL ? assets : "");
    const char *folder = cli_work("lfw"), *pack = cli_work("pack");
    if (assets == NULL || access(photos, R_OK) != 0 || !link_pack(assets, pack)) {
        (void)printf("SKIP: no photos or models in %s\n", named);
        free(assets);
        skip();
    }
    link_people(photos, folder);
    free(assets);
    struct cli_result r = CLI_RUN(NULL, "calibrate", folder, "--pack", pack, "--halves", "--fpir", "0.01",
                                  "--people", "50", "--samples", "100", "--json", "--apply");
    if (r.code == 7) {
        (void)printf("SKIP: no inference runtime\n");
        skip();
    }
    cli_expect(&r, 0, NULL);
    struct frt_json *json = parsed(r.out);
    const struct frt_json_value *root = frt_json_root(json),
                                *fpir = frt_json_get(frt_json_get(root, "recommended"), "fpir");
    size_t agree = 0, n = 0;
    for (const struct frt_json_value *h = frt_json_first(frt_json_get(root, "halves")); h != NULL;
         h = frt_json_next(h)) {
        agree += frt_json_truth(frt_json_get(h, "agree"), false) ? 1 : 0;
        n++;
    }
    print_message("on real people %zu of %zu intervals of two halves overlap\n", agree, n);
    assert_true(n >= 8 && agree * 10 >= n * 8);
    assert_true(number(fpir, "threshold") > 0.3 &&
                number(fpir, "threshold") < 0.6); /* 0.42 among all of lfw-dev */
    assert_true(number(fpir, "measured_fpir") <= 0.0101);
    frt_json_free(json);
    r = CLI_RUN(NULL, "calibrate", folder, "--pack", pack, "--apply");
    cli_expect(&r, 1, "thresholds.json");
}

/* ------------------------------------------------------------------ running */

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collection_keeps_what_was_measured),
        cmocka_unit_test(plots_and_tables_are_files),
        cmocka_unit_test(what_cannot_be_told_is_refused),
        cmocka_unit_test(real_people_agree),
    };
    static char path[1024];
    cli_runner_init(argc, argv);
    (void)snprintf(path, sizeof path, "%s", cli_work("calibrate.db"));
    database = path;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cli_runner_deinit();
    return failed;
}

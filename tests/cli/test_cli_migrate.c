/*
 * frt migrate as a person would use it: kept crops, sealed; a look, a comparison, kills, the switch, the way
 * back, faces without a crop. Skipped where the pack or the sample photos are absent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli_runner.h"
#include "core/json_read.h"

#define SAMPLES "node_modules/@vladmandic/face-api/demo/"
enum { MANIFEST_MAX = 64 * 1024, KILLS = 3 };

static char other[256]; /* the default pack's files, with an embedder of another version and mean */

static void replace(char *text, const char *behind, const char *from, const char *to)
{
    char *at = strstr(text, behind);
    assert_non_null(at);
    at = strstr(at, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

static void make_other(void)
{
    static const char *const files[] = {
        "ssd_mobilenetv1.onnx",  "tiny_face_detector.onnx", "age_gender.onnx", "face_landmark_68.onnx",
        "face_recognition.onnx", "face_expression.onnx",    "antispoof.onnx",  "liveness.onnx"};
    char real[PATH_MAX], from[2 * PATH_MAX], to[512];
    size_t size = 0;
    (void)snprintf(other, sizeof other, "%s", cli_work("other"));
    assert_int_equal(mkdir(other, 0700), 0);
    assert_non_null(realpath("data/packs/default", real));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(from, sizeof from, "%s/%s", real, files[i]);
        (void)snprintf(to, sizeof to, "%s/%s", other, files[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    char *text = cli_get("data/packs/default/manifest.json", &size);
    assert_non_null(text);
    replace(text, "\"embedder\"", "\"version\": \"1.7.15\"", "\"version\": \"1.7.99\"");
    replace(text, "\"embedder\"", "122.782", "100.000");
    (void)snprintf(to, sizeof to, "%s/manifest.json", other);
    cli_put(to, text, size);
    free(text);
}

static double number(const char *text, const char *key)
{
    struct frt_json *json = NULL;
    if (frt_json_parse(text, strcspn(text, "\n"), &json, NULL) != FRT_OK)
        fail_msg("no JSON: %.200s", text);
    const struct frt_json_value *value = frt_json_get(frt_json_root(json), key);
    const double n =
        frt_json_is_bool(value) ? (double)frt_json_truth(value, false) : frt_json_double(value, (double)NAN);
    frt_json_free(json);
    return n;
}

static void expect_number(const struct cli_result *r, const char *key, double wanted)
{
    if (number(r->out, key) != wanted)
        fail_msg("%s is %g, not %g: %s", key, number(r->out, key), wanted, r->out);
}

static void enroll(const struct cli_setting *how, const char *subject, const char *photo)
{
    struct cli_result r =
        CLI_RUN(how, "enroll", "staff", photo, "--subject", subject, "--on-multiple", "largest", "--quiet");
    cli_expect(&r, 0, NULL);
}

static void from_look_to_way_back(void **state)
{
    (void)state;
    static char key[300], keep_env[] = "FRT_KEEP_CROPS=1", key_env[320], wal[300];
    (void)snprintf(key, sizeof key, "%s", cli_work("key"));
    (void)snprintf(key_env, sizeof key_env, "FRT_KEY_FILE=%s", key);
    (void)snprintf(wal, sizeof wal, "%s-wal", cli_work("staff.db"));
    (void)setenv("FRT_DATABASE", cli_work("staff.db"), 1);
    const char hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    cli_put(key, hex, sizeof hex - 1);
    assert_int_equal(chmod(key, 0600), 0);
    const struct cli_setting keeps = {.env = {keep_env, key_env}}, keyed = {.env = {key_env}};
    enroll(&keeps, "ann", SAMPLES "sample1.jpg");
    enroll(&keeps, "bob", SAMPLES "sample2.jpg");
    enroll(&keeps, "cid", SAMPLES "sample3.jpg");
    /* a look changes nothing */
    struct cli_result r = CLI_RUN(&keyed, "migrate", "staff", "--pack", other, "--dry-run", "--json");
    cli_expect(&r, 0, NULL);
    expect_number(&r, "faces", 3);
    expect_number(&r, "crops", 3);
    expect_number(&r, "missing", 3);
    expect_number(&r, "without_crop", 0);
    expect_number(&r, "embedded", 0);
    /* without the key there is nothing to embed; with another nothing opens */
    r = CLI_RUN(NULL, "migrate", "staff", "--pack", other, "--json");
    cli_expect(&r, 0, NULL);
    expect_number(&r, "failed", 3);
    expect_number(&r, "missing", 3);
    cli_put(cli_work("wrong"), "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", 65);
    static char wrong_env[320];
    (void)snprintf(wrong_env, sizeof wrong_env, "FRT_KEY_FILE=%s", cli_work("wrong"));
    const struct cli_setting wrong = {.env = {wrong_env}};
    r = CLI_RUN(&wrong, "migrate", "staff", "--pack", other);
    cli_expect(&r, 2, "another key");
    assert_null(strstr(r.err, "f0010203"));
    /* whenever it is killed, searches go on, and the next call goes on */
    for (int i = 0; i < KILLS; i++) {
        const struct cli_setting killed = {.env = {key_env}, .when_exists = wal, .signal = SIGKILL};
        (void)CLI_RUN(&killed, "migrate", "staff", "--pack", other, "--commit");
        r = CLI_RUN(NULL, "search", "staff", SAMPLES "sample1.jpg");
        if (strstr(r.err, "1.7.99") != NULL)
            break; /* it had been faster */
        cli_expect(&r, 0, NULL);
        assert_non_null(strstr(r.out, "ann"));
    }
    r = CLI_RUN(&keyed, "migrate", "staff", "--pack", other, "--json");
    if (r.code == 0) {
        expect_number(&r, "missing", 0);
        expect_number(&r, "switched", 0);
        r = CLI_RUN(&keyed, "migrate", "staff", "--pack", other, "--commit", "--json");
        cli_expect(&r, 0, NULL);
        expect_number(&r, "embedded", 0); /* it was there already */
        expect_number(&r, "switched", 1);
    }
    r = CLI_RUN(NULL, "search", "staff", SAMPLES "sample2.jpg", "--pack", other);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "bob"));
    r = CLI_RUN(NULL, "search", "staff", SAMPLES "sample2.jpg");
    cli_expect(&r, 6, "frt migrate");
    r = CLI_RUN(NULL, "migrate", "staff", "--pack", other, "--commit");
    cli_expect(&r, 1, "already");
    /* enrolled since, without a crop */
    r = CLI_RUN(NULL, "enroll", "staff", SAMPLES "sample4.jpg", "--subject", "dan", "--on-multiple", "largest",
                "--quiet", "--pack", other);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "migrate", "staff", "--rollback");
    cli_expect(&r, 1, "--set-aside");
    assert_non_null(strstr(r.out, "dan"));
    r = CLI_RUN(NULL, "migrate", "staff", "--rollback", "--set-aside", "staff-new", "--json");
    cli_expect(&r, 0, NULL);
    expect_number(&r, "set_aside", 1);
    r = CLI_RUN(NULL, "search", "staff", SAMPLES "sample3.jpg");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "cid"));
    r = CLI_RUN(NULL, "search", "staff-new", SAMPLES "sample4.jpg", "--pack", other);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "dan"));
    r = CLI_RUN(NULL, "migrate", "staff", "--forget-old", "--json");
    cli_expect(&r, 0, NULL);
    expect_number(&r, "forgotten", 3);
    r = CLI_RUN(NULL, "migrate", "staff", "--rollback");
    cli_expect(&r, 1, "no way back");
    r = CLI_RUN(NULL, "migrate", "staff", "--commit", "--rollback");
    cli_expect(&r, 2, "exclude each other");
    r = CLI_RUN(NULL, "migrate", "nobody", "--pack", other);
    cli_expect(&r, 3, "nobody");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(from_look_to_way_back)};
    cli_runner_init(argc, argv);
    if (access("data/packs/default/manifest.json", R_OK) != 0 || access(SAMPLES "sample1.jpg", R_OK) != 0) {
        (void)puts("SKIP: data/packs/default or the sample photos are not there");
        cli_runner_deinit();
        return 77;
    }
    make_other();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cli_runner_deinit();
    return failed;
}

/* frt trace without a service: what it draws, its files, and how it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli_runner.h"
#include "core/json_read.h"

static const char photo[] = "node_modules/@vladmandic/face-api/demo/sample1.jpg";
static const char manifest[] = "data/packs/default/manifest.json";

static void a_photo(void **state)
{
    (void)state;
    static const char *const steps[] = {"\ndecode ", "\ndetect ", "\n  inference ", "\nalign ", "\nembed "};
    static const struct cli_setting plain = {.env = {"LC_ALL=C"}};
    struct cli_result r = CLI_RUN(&plain, "trace", photo);
    cli_expect(&r, 0, NULL);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (strstr(r.out, steps[i]) == NULL)
            fail_msg("no row %s in\n%s", steps[i], r.out);
    assert_null(strstr(r.out, "█"));
    static const struct cli_setting utf8 = {.env = {"LC_ALL=C.UTF-8"}};
    r = CLI_RUN(&utf8, "trace", "--warm", photo);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "█"));
    assert_null(strstr(r.out, "\033"));
}

static void as_json_and_svg(void **state)
{
    (void)state;
    struct frt_json *json = NULL;
    const char *out = cli_work("trace.svg");
    struct cli_result r = CLI_RUN(NULL, "trace", "--json", "--svg", out, photo);
    cli_expect(&r, 0, NULL);
    assert_int_equal(frt_json_parse(r.out, r.out_size, &json, NULL), FRT_OK);
    const struct frt_json_value *root = frt_json_root(json);
    assert_string_equal(frt_json_text(frt_json_get(root, "file")), photo);
    assert_true(frt_json_double(frt_json_get(root, "total_ms"), 0) > 0);
    assert_true(frt_json_count(frt_json_get(root, "trace")) >= 5);
    frt_json_free(json);
    size_t size = 0;
    char *svg = cli_get(out, &size);
    assert_non_null(svg);
    assert_true(strncmp(svg, "<svg ", 5) == 0);
    assert_string_equal(svg + size - 7, "</svg>\n");
    free(svg);
    r = CLI_RUN(NULL, "trace", "--svg", out, photo);
    cli_expect(&r, 1, "--force");
    r = CLI_RUN(NULL, "trace", "--svg", out, "--force", photo);
    cli_expect(&r, 0, NULL);
}

static void a_search(void **state)
{
    (void)state;
    const char *database = cli_work("trace.db");
    struct cli_result r = CLI_RUN(NULL, "enroll", "people", photo, "--subject", "Anna", "--on-multiple",
                                  "largest", "--database", database, "--quiet");
    assert_int_equal(r.code, 0);
    r = CLI_RUN(NULL, "trace", "--collection", "people", "--database", database, photo);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, " in people, "));
    assert_non_null(strstr(r.out, "\nstore-read "));
    assert_non_null(strstr(r.out, "\nindex (loaded) "));
    assert_non_null(strstr(r.out, "\nsearch "));
    r = CLI_RUN(NULL, "trace", "--warm", "--collection", "people", "--database", database, photo);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "\nindex (hit) "));
    r = CLI_RUN(NULL, "trace", "--collection", "nobody", "--database", database, photo);
    cli_expect(&r, 3, "nobody");
}

static void how_it_fails(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "trace", cli_work("absent.jpg"));
    cli_expect(&r, 3, "absent.jpg");
    cli_put(cli_work("text.jpg"), "no image", 8);
    r = CLI_RUN(NULL, "trace", cli_work("text.jpg"));
    cli_expect(&r, 3, "frt trace: ");
    r = CLI_RUN(NULL, "trace", "--url", "http://127.0.0.1:1", photo);
    cli_expect(&r, 7, "no service at 127.0.0.1:1");
    r = CLI_RUN(NULL, "trace", "--url", "ftp://127.0.0.1", photo);
    cli_expect(&r, 2, "http://HOST[:PORT] is right");
    r = CLI_RUN(NULL, "trace", "--key-file", "x", photo);
    cli_expect(&r, 2, "--url names it");
    r = CLI_RUN(NULL, "trace", "--url", "http://127.0.0.1:1", "--collection", "a/b", photo);
    cli_expect(&r, 2, "cannot be a collection's name");
    r = CLI_RUN(NULL, "trace");
    cli_expect(&r, 2, "PHOTO");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_photo),
        cmocka_unit_test(as_json_and_svg),
        cmocka_unit_test(a_search),
        cmocka_unit_test(how_it_fails),
    };
    const char *const needed[] = {photo, manifest};
    for (size_t i = 0; i < 2; i++) {
        if (access(needed[i], R_OK) != 0) {
            (void)printf("SKIP: %s is not there (make pack)\n", needed[i]);
            return 77;
        }
    }
    cli_runner_init(argc, argv);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cli_runner_deinit();
    return failed;
}

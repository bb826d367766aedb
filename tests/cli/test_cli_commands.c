/* The program without photos and models: usage, help, settings, broken machines, output that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli_runner.h"
#include "cli/cli_table.h"
#include "core/json_read.h"

static void help_in_every_way(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "--help");
    cli_expect(&r, 0, NULL);
    char *all = strdup(r.out);
    r = CLI_RUN(NULL, "help");
    assert_string_equal(r.out, all);
    free(all);
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        char first[32];
        size_t n = strcspn(c->name, " ");
        (void)snprintf(first, sizeof first, "%.*s", (int)n, c->name);
        const char *second = c->name[n] == ' ' ? c->name + n + 1 : NULL;
        const char *const by_help[] = {"help", first, second, NULL};
        const char *const by_option[] = {first, second != NULL ? second : "--help", "--help", NULL};
        r = cli_run_words(NULL, by_help);
        cli_expect(&r, 0, NULL);
        char *text = strdup(r.out);
        r = cli_run_words(NULL, by_option);
        cli_expect(&r, 0, NULL);
        assert_string_equal(r.out, text);
        free(text);
        assert_non_null(strstr(r.out, c->summary));
    }
    r = CLI_RUN(NULL, "models", "--help");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "models import"));
    assert_null(strstr(r.out, "detect"));
    r = CLI_RUN(NULL, "help", "detct");
    cli_expect(&r, 2, "did you mean 'detect'?");
}

static void versions_are_named(void **state)
{
    (void)state;
    struct frt_json *json = NULL;
    struct cli_result r = CLI_RUN(NULL, "--version");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "frt " FRT_VERSION_STRING "\n"));
    r = CLI_RUN(NULL, "version", "--json");
    cli_expect(&r, 0, NULL);
    assert_int_equal(frt_json_parse(r.out, r.out_size, &json, NULL), FRT_OK);
    const struct frt_json_value *root = frt_json_root(json);
    assert_string_equal(frt_json_text(frt_json_get(root, "version")), FRT_VERSION_STRING);
    assert_non_null(frt_json_text(frt_json_get(root, "compiler")));
    assert_non_null(frt_json_text(frt_json_get(root, "simd")));
    assert_non_null(frt_json_get(root, "runtime"));
    frt_json_free(json);
}

static void output_that_cannot_be_written(void **state)
{
    (void)state;
    const struct cli_setting full = {.output = "/dev/full"}, closed = {.output = ""}, gone = {.output = "|"};
    static const char *const commands[][3] = {
        {"--help", NULL}, {"version", NULL}, {"man", NULL}, {"completion", "bash", NULL}, {"doctor", NULL}};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct cli_result r = cli_run_words(&full, commands[i]);
        cli_expect(&r, 1, "standard output: No space left on device");
        r = cli_run_words(&closed, commands[i]);
        cli_expect(&r, 1, "standard output: Bad file descriptor");
        r = cli_run_words(&gone, commands[i]);
        cli_expect(&r, 128 + SIGPIPE, NULL); /* without a word, as in any pipeline */
    }
}

static void settings_that_are_wrong(void **state)
{
    (void)state;
    static const char text[] = "queue = 3\nquee = 4\n";
    cli_put(cli_work("frt.conf"), text, sizeof text - 1);
    struct cli_result r = CLI_RUN(NULL, "serve", "--config", cli_work("frt.conf"));
    cli_expect(&r, 2, "frt.conf:2: unknown setting 'quee'; did you mean 'queue'?");
    const struct cli_setting variable = {.env = {"FRT_QUEE=4"}};
    r = CLI_RUN(&variable, "serve");
    cli_expect(&r, 2, "unknown variable FRT_QUEE; did you mean FRT_QUEUE?");
    r = CLI_RUN(NULL, "serve", "--quee", "4");
    cli_expect(&r, 2, "unknown option '--quee'; did you mean '--queue'?");
    const struct cli_setting older = {.env = {"MAX_WORKERS=many"}};
    r = CLI_RUN(&older, "doctor");
    cli_expect(&r, 2, "MAX_WORKERS: workers is 'many'");
    r = CLI_RUN(NULL, "serve", "--config", cli_work("none.conf"));
    cli_expect(&r, 2, "No such file or directory");
    r = CLI_RUN(&variable, "version"); /* takes no settings, so none can be wrong */
    assert_int_equal(r.code, 0);
}

static void options_that_are_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *words[6];
        const char *says;
    } wrong[] = {
        {{"detect", "--jobs", "0", "x"}, "a whole number from 1 to 256 is right"},
        {{"detect", "--max-faces", "1001", "x"}, "a whole number from 1 to 1000 is right"},
        {{"detect", "--min-confidence", "2", "x"}, "a number from 0 to 1 is right"},
        {{"detect", "--attributes", "beauty", "x"}, "beauty"},
        {{"detect", "--threads", "0", "x"}, "a whole number from 1 to 1024 is right"},
        {{"embed", "--encoding", "hex", "x"}, "array or base64 is right"},
        {{"verify", "--threshold", "1.5", "x", "y"}, "a number from -1 to 1 is right"},
        {{"verify", "-", "-"}, "named twice"},
        {{"detect", ""}, "'' is no file name"},
        {{"eval", "pairs"}, "--images FOLDER is needed"},
        {{"eval", "pairs", "--images", ".", "--out=x", "--roc=x"}, "the same file"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *words[7] = {0};
        memcpy(words, wrong[i].words, sizeof wrong[i].words);
        struct cli_result r = cli_run_words(NULL, words);
        cli_expect(&r, 2, wrong[i].says);
    }
    struct cli_result r = CLI_RUN(NULL, "detect", "-", "-");
    cli_expect(&r, 3, "named twice");
}

/* Every FAIL line is followed by what to do. */
static void a_broken_machine_is_diagnosed(void **state)
{
    (void)state;
    struct frt_json *json = NULL;
    const struct cli_setting broken = {.env = {"FRT_RUNTIME=/nonexistent/lib.so", "FRT_PACK=/nonexistent",
                                               "FRT_DATA_DIR=/nonexistent", "FRT_LISTEN=nonsense"}};
    struct cli_result r = CLI_RUN(&broken, "doctor");
    cli_expect(&r, 7, NULL);
    size_t failures = 0;
    for (const char *p = r.out; (p = strstr(p, "FAIL")) != NULL; failures++) {
        p = strchr(p, '\n');
        assert_non_null(p);
        p++;
        assert_non_null(strstr(p, "->"));
        assert_true((size_t)(strstr(p, "->") - p) < strcspn(p, "\n"));
    }
    assert_int_equal(failures, 4);
    r = CLI_RUN(&broken, "doctor", "--json");
    cli_expect(&r, 7, NULL);
    assert_int_equal(frt_json_parse(r.out, r.out_size, &json, NULL), FRT_OK);
    failures = 0;
    const struct frt_json_value *checks = frt_json_get(frt_json_root(json), "checks");
    assert_true(frt_json_count(checks) >= 7);
    for (const struct frt_json_value *c = frt_json_first(checks); c != NULL; c = frt_json_next(c)) {
        const char *verdict = frt_json_text(frt_json_get(c, "verdict"));
        assert_non_null(frt_json_text(frt_json_get(c, "name")));
        assert_non_null(frt_json_text(frt_json_get(c, "found")));
        assert_non_null(verdict);
        if (strcmp(verdict, "ok") != 0)
            assert_non_null(frt_json_text(frt_json_get(c, "mend")));
        failures += strcmp(verdict, "fail") == 0;
    }
    assert_int_equal(failures, 4);
    frt_json_free(json);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    const struct cli_setting no_runtime = {.env = {"FRT_RUNTIME=/nonexistent/lib.so"}};
    struct cli_result r = CLI_RUN(&no_runtime, "detect", "x.jpg");
    cli_expect(&r, 7, "/nonexistent/lib.so");
    r = CLI_RUN(NULL, "models", "list", "--pack", "/nonexistent");
    cli_expect(&r, 6, "/nonexistent/manifest.json: No such file or directory");
    r = CLI_RUN(NULL, "models", "verify", "--pack", "/nonexistent", "--json");
    cli_expect(&r, 6, "/nonexistent/manifest.json");
    assert_non_null(strstr(r.out, "{\"ok\":false,\"error\":{\"code\":"));
    r = CLI_RUN(NULL, "models", "import", "--from", "/nonexistent", "--to", cli_work("pack"));
    cli_expect(&r, 3, "npm");
    assert_int_not_equal(access(cli_work("pack"), F_OK), 0);
}

/* A port of loopback that is taken until the descriptor is closed. */
static int take_port(char listen_text[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(listen_text, 64, "127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    return fd;
}

static void addresses_of_the_service(void **state)
{
    (void)state;
    char taken[64];
    int fd = take_port(taken);
    struct cli_result r = CLI_RUN(NULL, "serve", "--listen", taken);
    if (strstr(r.err, "ONNX Runtime not found") == NULL)
        cli_expect(&r, 7, "is in use");
    r = CLI_RUN(NULL, "doctor", "--listen", taken);
    assert_non_null(strstr(r.out, "warn  port"));
    (void)close(fd);
    r = CLI_RUN(NULL, "doctor", "--listen", taken);
    assert_non_null(strstr(r.out, "ok    port"));
    static const char *const bad[] = {
        "nonsense", "127.0.0.1",     "127.0.0.1:", "127.0.0.1:99999", ":80",
        "::1:80",   "0.0.0.0:18080", "[::]:18080", "192.0.2.1:18080", "example.org:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = CLI_RUN(NULL, "doctor", "--listen", bad[i]);
        assert_int_equal(r.code, 7);
        if (strstr(r.out, "FAIL  port") == NULL)
            fail_msg("doctor finds nothing wrong with '%s'", bad[i]);
    }
}

static void an_interrupted_import_leaves_nothing(void **state)
{
    (void)state;
    if (access("node_modules/@vladmandic/face-api/package.json", R_OK) != 0 ||
        access("node_modules/@vladmandic/human/package.json", R_OK) != 0) {
        (void)printf("SKIP: node_modules lacks the packages of the default pack (npm ci --ignore-scripts)\n");
        skip();
    }
    const struct cli_setting interrupt = {.signal = SIGINT, .when_said = "imported 1 of"};
    struct cli_result r = CLI_RUN(&interrupt, "models", "import", "--to", cli_work("pack"));
    cli_expect(&r, 130, "interrupted");
    assert_int_equal(cli_count(cli_work("pack"), NULL), 0);
    struct cli_result bad = CLI_RUN(NULL, "models", "import", "--to", "/proc/frt");
    cli_expect(&bad, 1, "/proc/frt");
}

int main(int argc, char **argv)
{
    cli_runner_init(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_in_every_way),
        cmocka_unit_test(versions_are_named),
        cmocka_unit_test(output_that_cannot_be_written),
        cmocka_unit_test(settings_that_are_wrong),
        cmocka_unit_test(options_that_are_wrong),
        cmocka_unit_test(a_broken_machine_is_diagnosed),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(addresses_of_the_service),
        cmocka_unit_test(an_interrupted_import_leaves_nothing),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cli_runner_deinit();
    return failed;
}

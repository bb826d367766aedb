/* Command lines: every form of option, what stands for what, and what is refused in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include <cmocka.h>

#include "cli/cli_parse.h"

enum { MAX_WORDS = 80 };

/* A line of words parted by single blanks. The run borrows the words: they live until the next call. */
static enum frt_status parse(const char *line, struct cli_run *run, bool *help, struct frt_error *err)
{
    static char copy[4096];
    static char *argv[MAX_WORDS + 1];
    int argc = 0;
    assert_true(strlen(line) < sizeof copy);
    memcpy(copy, line, strlen(line) + 1);
    for (char *word = copy; word != NULL && argc < MAX_WORDS;) {
        char *blank = strchr(word, ' ');
        if (blank != NULL)
            *blank++ = '\0';
        argv[argc++] = word;
        word = blank;
    }
    argv[argc] = NULL;
    memset(run, 0, sizeof *run);
    memset(err, 0, sizeof *err);
    return cli_parse(argc, argv, run, help, err);
}

static void good(const char *line, struct cli_run *run)
{
    struct frt_error err;
    bool help = false;
    if (parse(line, run, &help, &err) != FRT_OK)
        fail_msg("'%s' was refused: %s", line, err.text);
    assert_false(help);
    assert_non_null(run->command);
}

static void refused(const char *line, const char *piece)
{
    struct cli_run run;
    struct frt_error err;
    bool help = false;
    if (parse(line, &run, &help, &err) == FRT_OK)
        fail_msg("'%s' was taken", line);
    if (strstr(err.text, piece) == NULL)
        fail_msg("'%s': '%s' does not say '%s'", line, err.text, piece);
}

static void commands_and_subcommands(void **state)
{
    (void)state;
    struct cli_run run;
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        char line[256];
        /* as few as it takes, as many as it takes (of those that take any number: three), one too many */
        size_t most = c->max_arguments < 3 ? c->max_arguments : 3;
        for (size_t n = c->min_arguments; n <= most; n++) {
            (void)snprintf(line, sizeof line, "frt %s%.*s", c->name, (int)(2 * n), " a b c");
            good(line, &run);
            assert_ptr_equal(run.command, c);
            assert_int_equal(run.n_arguments, n);
        }
        (void)snprintf(line, sizeof line, "frt %s%.*s", c->name, (int)(2 * (most + 1)), " a b c d");
        if (c->max_arguments <= 3)
            refused(line, "is one too many");
    }
    good("frt --version", &run);
    assert_string_equal(run.command->name, "version");
    good("frt --version --json", &run);
    assert_true(cli_has(&run, "json"));
}

static void every_form_of_an_option(void **state)
{
    (void)state;
    struct cli_run run;
    static const char *const forms[] = {"frt detect --jobs 4 -q a b",    "frt detect --jobs=4 --quiet a b",
                                        "frt detect -j 4 a -q b",        "frt detect -j4 a b -q",
                                        "frt detect a b -qj4",           "frt detect a -qj 4 b",
                                        "frt detect -j 9 -j 4 -q -- a b"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        long long jobs = 0;
        good(forms[i], &run);
        assert_int_equal(cli_whole(&run, "jobs", 1, 256, 1, &jobs, NULL), FRT_OK);
        assert_int_equal(jobs, 4);
        assert_true(cli_has(&run, "quiet"));
        assert_false(cli_has(&run, "json"));
        assert_int_equal(run.n_arguments, 2);
        assert_string_equal(run.arguments[0], "a");
        assert_string_equal(run.arguments[1], "b");
    }
    good("frt detect --draw= a", &run);
    assert_string_equal(cli_text(&run, "draw"), "");
    good("frt detect --draw=a=b a", &run);
    assert_string_equal(cli_text(&run, "draw"), "a=b");
    good("frt verify a b --threshold -0.5", &run); /* a value may begin with a dash */
    double threshold = 0;
    assert_int_equal(cli_number(&run, "threshold", -1, 1, 0, &threshold, NULL), FRT_OK);
    assert_true(threshold == -0.5);
}

static void dashes_that_are_no_options(void **state)
{
    (void)state;
    struct cli_run run;
    good("frt detect - -- -j --quiet --", &run);
    assert_int_equal(run.n_arguments, 4);
    assert_string_equal(run.arguments[0], "-");
    assert_string_equal(run.arguments[1], "-j");
    assert_string_equal(run.arguments[2], "--quiet");
    assert_string_equal(run.arguments[3], "--");
    assert_int_equal(run.n_options, 0);
}

static void help_wins_over_mistakes(void **state)
{
    (void)state;
    static const char *const lines[] = {"frt detect --help", "frt detect -h", "frt detect -qh",
                                        "frt detect a --help", "frt models import --to x --help"};
    struct cli_run run;
    struct frt_error err;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bool help = false;
        assert_int_equal(parse(lines[i], &run, &help, &err), FRT_OK);
        assert_true(help);
        assert_non_null(run.command);
    }
    bool help = false;
    assert_int_equal(parse("frt --help", &run, &help, &err), FRT_OK);
    assert_true(help && run.command == NULL && run.group == NULL);
    help = false;
    assert_int_equal(parse("frt models --help", &run, &help, &err), FRT_OK);
    assert_true(help && run.command == NULL);
    assert_string_equal(run.group, "models");
    /* behind "--" it is the name of a file */
    good("frt detect -- --help", &run);
}

static void what_is_refused_and_how(void **state)
{
    (void)state;
    refused("frt", "no command given");
    refused("frt detct a", "unknown command 'detct'; did you mean 'detect'?");
    refused("frt xyzzy", "unknown command 'xyzzy'; 'frt --help' lists the commands");
    refused("frt --json detect a", "stands where the command belongs");
    refused("frt models", "'models' needs a subcommand: list, import, pull, verify");
    refused("frt models lst", "did you mean 'models list'?");
    refused("frt models xyzzy", "'frt models --help' lists the commands");
    refused("frt eval", "'eval' needs a subcommand: pairs");
    refused("frt detect", "needs PHOTO");
    refused("frt verify a", "needs REFERENCE PHOTO");
    refused("frt version a", "takes no arguments; 'a' is one too many");
    refused("frt detect --max-fces 3 a", "unknown option '--max-fces'; did you mean '--max-faces'?");
    refused("frt detect --xyzzy a", "unknown option '--xyzzy'; 'frt detect --help' lists the options");
    refused("frt detect --j 3 a", "unknown option '--j'");
    refused("frt detect -Z a", "unknown option '-Z'");
    refused("frt detect -qZ a", "unknown option '-Z'");
    refused("frt detect --listen x a", "unknown option '--listen'"); /* a setting, not of this command */
    refused("frt detect --quiet=yes a", "takes no value");
    refused("frt detect a --jobs", "option '--jobs' needs a value: N");
    refused("frt detect a -j", "option '-j' needs a value: N");
    refused("frt serve --queue", "option '--queue' needs a value: N");
    refused("frt serve --quee 3", "did you mean '--queue'?");
    refused("frt serve --queue 0", "--queue: queue is '0'");
    refused("frt serve --queue=0", "--queue: queue is '0'");
    refused("frt serve --redis redis://:sesame@h", "--redis: a password on the command line can be read");
    refused("frt serve --redis=rediss://u:sesame@h", "FRT_REDIS");
    refused("frt serve --config=", "'--config' needs a value");
}

static void more_options_than_fit(void **state)
{
    (void)state;
    char line[4096] = "frt detect a";
    for (int i = 0; i <= CLI_MAX_OPTIONS; i++)
        (void)strcat(line, " -q");
    refused(line, "more than 64 options");
    (void)snprintf(line, sizeof line, "frt serve");
    for (int i = 0; i < 35; i++)
        (void)strcat(line, " --queue 5");
    struct cli_run run;
    good(line, &run);
    assert_int_equal(run.config.queue, 5);
}

static void numbers_and_their_ranges(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "257", "1.5", "x", "", "1e2", "99999999999999999999", "0x10", "4k"};
    struct cli_run run;
    struct frt_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[128];
        long long jobs = 0;
        (void)snprintf(line, sizeof line, "frt detect a --jobs=%s", bad[i]);
        good(line, &run);
        assert_int_equal(cli_whole(&run, "jobs", 1, 256, 1, &jobs, &err), FRT_EINVAL);
        assert_non_null(strstr(err.text, "a whole number from 1 to 256 is right"));
        assert_int_equal(jobs, 0);
    }
    static const char *const wrong[] = {"-0.1", "1.01", "nan", "inf", "x", "", "0,5", "0.5x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char line[128];
        double value = 7;
        (void)snprintf(line, sizeof line, "frt detect a --min-confidence=%s", wrong[i]);
        good(line, &run);
        assert_int_equal(cli_number(&run, "min-confidence", 0, 1, 0, &value, &err), FRT_EINVAL);
        assert_non_null(strstr(err.text, "a number from 0 to 1 is right"));
        assert_true(value == 7);
    }
}

/* ---------------------------------------------------------------- settings */

static void flags_win_over_environment_over_file(void **state)
{
    (void)state;
    char path[] = "/tmp/frt_test_cli_XXXXXX", line[256];
    struct cli_run run;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] = "queue = 11\nworkers = 12\nconnections = 13\n";
    assert_int_equal(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    (void)close(fd);
    assert_int_equal(setenv("FRT_WORKERS", "22", 1), 0);
    assert_int_equal(setenv("FRT_CONNECTIONS", "23", 1), 0);
    static const char *const forms[] = {"--config %s", "--config=%s", "-c %s", "-c%s"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char option[128];
        (void)snprintf(option, sizeof option, "%.*s%s", (int)strcspn(forms[i], "%"), forms[i], path);
        /* the flag stands before the file's name, and wins all the same */
        (void)snprintf(line, sizeof line, "frt serve --connections 33 %s", option);
        good(line, &run);
        assert_int_equal(run.config.queue, 11);
        assert_int_equal(run.config.workers, 22);
        assert_int_equal(run.config.connections, 33);
    }
    assert_int_equal(setenv("FRT_CONFIG", path, 1), 0);
    good("frt doctor", &run);
    assert_int_equal(run.config.queue, 11);
    refused("frt serve --config /nonexistent/frt.conf", "settings file /nonexistent/frt.conf: No such file");
    /* the word behind another option is its value, whatever it looks like */
    good("frt serve --pack --config", &run);
    assert_string_equal(run.config.pack, "--config");
    (void)unsetenv("FRT_WORKERS");
    (void)unsetenv("FRT_CONNECTIONS");
    (void)unsetenv("FRT_CONFIG");
    (void)unlink(path);
}

static void every_setting_is_a_flag(void **state)
{
    (void)state;
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        struct cli_run run;
        char line[256], flag[64];
        const char *value = keys[i].kind == FRT_CONFIG_TEXT    ? "other"
                            : keys[i].kind == FRT_CONFIG_LEVEL ? "debug"
                            : keys[i].kind == FRT_CONFIG_TRUTH ? "true"
                                                               : NULL;
        char number[32];
        if (value == NULL) {
            (void)snprintf(number, sizeof number, "%llu", (unsigned long long)keys[i].high);
            value = number;
        }
        (void)snprintf(flag, sizeof flag, "%s", keys[i].key);
        for (char *p = flag; *p != '\0'; p++)
            *p = *p == '_' ? '-' : *p;
        struct frt_config wanted;
        frt_config_init(&wanted);
        assert_int_equal(frt_config_set(&wanted, keys[i].key, value, "test", NULL), FRT_OK);
        static const char parting[] = {' ', '='};
        for (size_t k = 0; k < 2; k++) {
            (void)snprintf(line, sizeof line, "frt serve --%s%c%s", flag, parting[k], value);
            good(line, &run);
            assert_memory_equal(&run.config, &wanted, sizeof wanted);
        }
    }
}

int main(void)
{
    /* the settings of whoever runs the tests are not what is tested */
    size_t n = 0;
    const struct frt_config_key *keys = frt_config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        (void)unsetenv(keys[i].env);
        if (keys[i].env_old != NULL)
            (void)unsetenv(keys[i].env_old);
    }
    (void)unsetenv("FRT_CONFIG");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_and_subcommands),   cmocka_unit_test(every_form_of_an_option),
        cmocka_unit_test(dashes_that_are_no_options), cmocka_unit_test(help_wins_over_mistakes),
        cmocka_unit_test(what_is_refused_and_how),    cmocka_unit_test(more_options_than_fit),
        cmocka_unit_test(numbers_and_their_ranges),   cmocka_unit_test(flags_win_over_environment_over_file),
        cmocka_unit_test(every_setting_is_a_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

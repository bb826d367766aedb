/* The table of commands: complete, without doubles, and what --help, the man page and completion make of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <ctype.h>

#include <cmocka.h>

#include "cli/cli_help.h"
#include "core/config.h"
#include "core/status.h"

#define DOCUMENT "docs/cli.md"

enum { MAX_TEXT = 1 << 20 };

static void assert_sentence(const char *what, const char *text)
{
    size_t n = strlen(text);
    if (n < 8 || !(isupper((unsigned char)text[0]) || text[0] == '\'') || text[n - 1] == ' ' ||
        strstr(text, "  ") != NULL)
        fail_msg("%s: '%s' is no sentence", what, text);
}

static void commands_are_whole_and_named_once(void **state)
{
    (void)state;
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        assert_non_null(c->run);
        assert_non_null(c->arguments);
        assert_true(islower((unsigned char)c->summary[0]));
        assert_true(c->summary[strlen(c->summary) - 1] != '.');
        assert_sentence(c->name, c->description);
        assert_true(c->see_also != NULL && c->see_also[0] != '\0');
        assert_int_equal(c->max_arguments == 0, c->arguments[0] == '\0');
        assert_true(c->min_arguments <= c->max_arguments);
        for (const struct cli_command *d = cli_commands; d < c; d++)
            assert_string_not_equal(c->name, d->name);
        /* a group's commands stand together: completion is made so */
        size_t n = strcspn(c->name, " ");
        for (const struct cli_command *d = cli_commands; c->name[n] == ' ' && d + 1 < c; d++)
            if (strncmp(d->name, c->name, n + 1) == 0)
                assert_int_equal(strncmp(d[1].name, c->name, n + 1), 0);
    }
}

static void examples_begin_with_commands_and_explain(void **state)
{
    (void)state;
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        char call[64];
        (void)snprintf(call, sizeof call, "frt %s", c->name);
        assert_non_null(c->examples);
        assert_non_null(strstr(c->examples, call));
        assert_int_not_equal(c->examples[0], ' ');
        assert_non_null(strstr(c->examples, "\n  "));
        assert_int_equal(c->examples[strlen(c->examples) - 1], '\n');
    }
}

/* Of every option: help with a default, words where completion needs them, no name or letter twice. */
static void options_are_whole_and_named_once(void **state)
{
    (void)state;
    size_t n_keys = 0;
    const struct frt_config_key *keys = frt_config_keys(&n_keys);
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        const struct cli_option *seen[64];
        size_t n = 0;
        for (const struct cli_option *const *g = c->groups; g != NULL && *g != NULL; g++) {
            for (const struct cli_option *o = *g; o->name != NULL; o++) {
                assert_sentence(o->name, o->help);
                assert_int_equal(o->help[strlen(o->help) - 1], '.');
                if (o->value != NULL && strstr(o->help, "efault") == NULL)
                    fail_msg("frt %s --%s: the help does not name the default", c->name, o->name);
                assert_int_equal(o->words != NULL, o->complete == CLI_COMPLETE_WORDS);
                assert_true(strcmp(o->name, "help") != 0 && o->letter != 'h');
                for (size_t i = 0; i < n; i++) {
                    assert_string_not_equal(o->name, seen[i]->name);
                    assert_true(o->letter == 0 || o->letter != seen[i]->letter);
                }
                for (size_t k = 0; c->takes_config && k < n_keys; k++)
                    assert_string_not_equal(o->name, keys[k].key);
                assert_true(n < 64);
                seen[n++] = o;
            }
        }
    }
}

static void an_option_means_the_same_everywhere(void **state)
{
    (void)state;
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
        for (const struct cli_option *const *g = c->groups; g != NULL && *g != NULL; g++)
            for (const struct cli_option *o = *g; o->name != NULL; o++)
                for (const struct cli_command *d = cli_commands; d < c; d++)
                    for (const struct cli_option *const *h = d->groups; h != NULL && *h != NULL; h++)
                        for (const struct cli_option *p = *h; p->name != NULL; p++)
                            if (strcmp(o->name, p->name) == 0) {
                                assert_int_equal(o->letter, p->letter);
                                assert_int_equal(o->value != NULL, p->value != NULL);
                            }
}

static void assert_contains(const char *where, const char *text, const char *piece)
{
    if (strstr(text, piece) == NULL)
        fail_msg("%s lacks '%s'", where, piece);
}

static void help_names_everything_and_fits_the_terminal(void **state)
{
    (void)state;
    size_t n_keys = 0;
    const struct frt_config_key *keys = frt_config_keys(&n_keys);
    static const char *const sections[] = {"\nUsage:\n",    "\nDescription:\n", "\nOptions:\n",
                                           "\nExamples:\n", "\nExit status:\n", "\nEnvironment:\n",
                                           "\nFiles:\n",    "\nSee also:\n"};
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        struct frt_buf out;
        char piece[128];
        frt_buf_init(&out, MAX_TEXT);
        cli_help_command(c, &out);
        assert_int_equal(frt_buf_status(&out), FRT_OK);
        for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
            assert_contains(c->name, out.data, sections[i]);
        for (const struct cli_option *const *g = c->groups; g != NULL && *g != NULL; g++)
            for (const struct cli_option *o = *g; o->name != NULL; o++) {
                (void)snprintf(piece, sizeof piece, "--%s%s%s\n", o->name, o->value == NULL ? "" : " ",
                               o->value == NULL ? "" : o->value);
                assert_contains(c->name, out.data, piece);
            }
        for (size_t i = 0; c->takes_config && i < n_keys; i++)
            assert_contains(c->name, out.data, keys[i].env);
        const char *examples = strstr(out.data, "\nExamples:"), *status = strstr(out.data, "\nExit status:");
        for (const char *line = out.data; *line != '\0'; line += strcspn(line, "\n") + 1) {
            size_t shown = 0;
            for (size_t i = 0; line[i] != '\n'; i++)
                shown += ((unsigned char)line[i] & 0xC0) != 0x80;
            if (shown > 80 && !(line > examples && line < status)) /* commands to copy stay whole */
                fail_msg("frt %s --help: %zu columns: %.*s", c->name, shown, (int)strcspn(line, "\n"), line);
        }
        frt_buf_deinit(&out);
    }
}

static void the_manual_and_completion_name_everything(void **state)
{
    (void)state;
    struct frt_buf man, bash, all;
    frt_buf_init(&man, MAX_TEXT);
    frt_buf_init(&bash, MAX_TEXT);
    frt_buf_init(&all, MAX_TEXT);
    cli_help_man(&man);
    cli_help_bash(&bash);
    cli_help_all(NULL, &all);
    assert_int_equal(frt_buf_status(&man), FRT_OK);
    assert_int_equal(frt_buf_status(&bash), FRT_OK);
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        char piece[128];
        (void)snprintf(piece, sizeof piece, ".SS \"frt %s\"\n", c->name);
        assert_contains("the manual", man.data, piece);
        (void)snprintf(piece, sizeof piece, "    '%s')\n", c->name);
        assert_contains("completion", bash.data, piece);
        (void)snprintf(piece, sizeof piece, "    %-18s %s\n", c->name, c->summary);
        assert_contains("frt --help", all.data, piece);
        for (const struct cli_option *const *g = c->groups; g != NULL && *g != NULL; g++)
            for (const struct cli_option *o = *g; o->name != NULL; o++) {
                (void)snprintf(piece, sizeof piece, " --%s", o->name);
                assert_contains("completion", bash.data, piece);
            }
    }
    frt_buf_deinit(&man);
    frt_buf_deinit(&bash);
    frt_buf_deinit(&all);
}

static void every_exit_code_of_the_statuses_is_documented(void **state)
{
    (void)state;
    for (int s = 0; s < FRT_STATUS_COUNT; s++) {
        char code[16];
        bool found = false;
        (void)snprintf(code, sizeof code, "%d\t", (int)frt_status_exit((enum frt_status)s));
        for (size_t i = 0; cli_exit_codes[i] != NULL; i++)
            found = found || strncmp(cli_exit_codes[i], code, strlen(code)) == 0;
        assert_true(found);
    }
}

/* ----------------------------------------------------------------- document */

static void append_row(struct frt_buf *out, const struct cli_option *o)
{
    frt_buf_append_text(out, "| ");
    if (o->letter != 0)
        frt_buf_printf(out, "`-%c`, ", o->letter);
    frt_buf_printf(out, "`--%s%s%s` | %s |\n", o->name, o->value == NULL ? "" : " ",
                   o->value == NULL ? "" : o->value, o->help);
}

/* A heading, the line to type and a row an option for every command, a row for every exit code: all made from
 * the table. Where the page differs, what belongs there is printed. */
static void the_page_says_what_the_table_says(void **state)
{
    (void)state;
    static char page[1 << 17];
    struct frt_buf wanted;
    FILE *file = fopen(DOCUMENT, "re");
    assert_non_null(file);
    size_t size = fread(page, 1, sizeof page - 1, file), missing = 0;
    (void)fclose(file);
    assert_true(size > 0 && size < sizeof page - 1);
    page[size] = '\0';
    frt_buf_init(&wanted, MAX_TEXT);
    for (const struct cli_command *c = cli_commands; c->name != NULL; c++) {
        frt_buf_clear(&wanted);
        frt_buf_printf(&wanted, "### frt %s\n\n    frt %s%s%s%s\n\n", c->name, c->name,
                       c->groups != NULL || c->takes_config ? " [OPTION]…" : "",
                       c->arguments[0] == '\0' ? "" : " ", c->arguments);
        if (c->groups != NULL)
            frt_buf_append_text(&wanted, "| option | meaning |\n| --- | --- |\n");
        for (const struct cli_option *const *g = c->groups; g != NULL && *g != NULL; g++)
            for (const struct cli_option *o = *g; o->name != NULL; o++)
                append_row(&wanted, o);
        assert_int_equal(frt_buf_status(&wanted), FRT_OK);
        if (strstr(page, wanted.data) == NULL) {
            missing++;
            (void)fprintf(stderr, "%s\n", wanted.data);
        }
    }
    frt_buf_clear(&wanted);
    for (size_t i = 0; cli_exit_codes[i] != NULL; i++) {
        int n = (int)strcspn(cli_exit_codes[i], "\t");
        frt_buf_printf(&wanted, "| %.*s | %s |\n", n, cli_exit_codes[i], cli_exit_codes[i] + n + 1);
    }
    if (strstr(page, wanted.data) == NULL) {
        missing++;
        (void)fprintf(stderr, "%s\n", wanted.data);
    }
    frt_buf_deinit(&wanted);
    if (missing > 0)
        fail_msg("%s lacks the %zu pieces above", DOCUMENT, missing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_whole_and_named_once),
        cmocka_unit_test(examples_begin_with_commands_and_explain),
        cmocka_unit_test(options_are_whole_and_named_once),
        cmocka_unit_test(an_option_means_the_same_everywhere),
        cmocka_unit_test(help_names_everything_and_fits_the_terminal),
        cmocka_unit_test(the_manual_and_completion_name_everything),
        cmocka_unit_test(every_exit_code_of_the_statuses_is_documented),
        cmocka_unit_test(the_page_says_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Command lines, parsed by the table: `frt COMMAND [SUBCOMMAND] [OPTION…] [ARGUMENT…]`.
 *
 * --name value, --name=value, -x value, -xvalue, -qf for -q -f; "--" ends the options; "-" is an argument
 * (standard input). Options may stand after arguments; of an option given twice the last value counts.
 * Unknown commands and options are refused with a suggestion.
 *
 * Threading: one owner.
 */
#ifndef FRT_CLI_CLI_PARSE_H
#define FRT_CLI_CLI_PARSE_H

#include "cli/cli.h"
#include "cli/cli_table.h"
#include "core/config.h"

enum { CLI_MAX_OPTIONS = 64 };

struct cli_run {
    const struct cli_command *command;
    const char *group; /* "models": help for a group of commands was asked for; else NULL */
    const struct frt_cli_hooks *hooks;
    struct {
        const struct cli_option *option;
        const char *value; /* NULL for a flag */
    } options[CLI_MAX_OPTIONS];
    size_t n_options;
    struct {
        const struct frt_config_key *key;
        const char *value;
        const char *word; /* as typed, "--queue=0" */
    } settings[CLI_MAX_OPTIONS];
    size_t n_settings;
    char **arguments; /* borrowed from argv, reordered to the front */
    size_t n_arguments;
    struct frt_config config; /* defaults, file, environment and flags applied, for takes_config */
};

/**
 * Parse argv (argv[0] is the program).
 *
 * run  filled; run->command NULL when help for all commands or for run->group was asked for (see *help).
 * help  set when --help or -h was given.
 * Errors: FRT_EINVAL with the text for the user; for a settings file and what stands in it those of
 *         frt_config_load_file.
 */
FRT_NODISCARD enum frt_status cli_parse(int argc, char **argv, struct cli_run *run, bool *help,
                                        struct frt_error *err);

/** "models", "import" → the command; `second` may be NULL. NULL when there is none. */
const struct cli_command *cli_find_command(const char *first, const char *second);
/** Is the word the first of several commands ("models")? */
bool cli_is_group(const char *word);
/** frt_fail for words that name no command: with a suggestion, or the subcommands of a group. */
FRT_NODISCARD enum frt_status cli_unknown_command(const char *first, const char *second, struct frt_error *err);

/** Was the option given? */
bool cli_has(const struct cli_run *run, const char *name);
/** Its last value; NULL when absent. */
const char *cli_text(const struct cli_run *run, const char *name);
/** A whole number in [low, high]; `fallback` when absent. Errors: FRT_EINVAL. */
FRT_NODISCARD enum frt_status cli_whole(const struct cli_run *run, const char *name, long long low,
                                        long long high, long long fallback, long long *out,
                                        struct frt_error *err);
/** A number in [low, high]; `fallback` when absent. Errors: FRT_EINVAL. */
FRT_NODISCARD enum frt_status cli_number(const struct cli_run *run, const char *name, double low, double high,
                                         double fallback, double *out, struct frt_error *err);
/** Which of the words (NULL ends) the value is, from 0; `fallback` when absent. Errors: FRT_EINVAL. */
FRT_NODISCARD enum frt_status cli_choice(const struct cli_run *run, const char *name, const char *const *words,
                                         int fallback, int *out, struct frt_error *err);

#endif

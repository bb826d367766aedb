/*
 * The one table of the command line: commands, arguments, options, examples. Parsing (cli_parse.c),
 * --help, the man page and bash completion (cli_help.c) all read it.
 *
 * Threading: constant.
 */
#ifndef FRT_CLI_CLI_TABLE_H
#define FRT_CLI_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct cli_run; /* cli_parse.h */

/** What completion offers for a value or argument. */
enum cli_complete {
    CLI_COMPLETE_NONE = 0,
    CLI_COMPLETE_FILE,
    CLI_COMPLETE_FOLDER,
    CLI_COMPLETE_WORDS,
    CLI_COMPLETE_COMMANDS /* arguments only */
};

struct cli_option {
    const char *name;  /* "max-faces": --max-faces */
    const char *value; /* metavariable, "N"; NULL = a flag */
    const char *help;  /* what it does, its range, "Default: …" when it has a value */
    const char *words; /* CLI_COMPLETE_WORDS: space-separated */
    enum cli_complete complete;
    char letter; /* 'j': -j; 0 = none */
    bool list;   /* the value is a list of the words, comma-separated */
};

struct cli_command {
    const char *name;                       /* "models import" for a subcommand */
    const char *arguments;                  /* "PHOTO|FOLDER|-…" as shown; "" = none */
    const char *summary;                    /* one line, no full stop */
    const char *description;                /* paragraphs separated by \n\n */
    const char *examples;                   /* "command\n  what it does\n" pairs */
    const char *see_also;                   /* "frt embed, frt verify" */
    const struct cli_option *const *groups; /* option groups, each ended by a {0} entry; NULL ends */
    int (*run)(struct cli_run *run);
    size_t min_arguments, max_arguments; /* max 0 with arguments "" */
    enum cli_complete complete;          /* of the arguments */
    bool takes_config;                   /* every configuration key is an option, too */
};

/** All commands; ended by a NULL name. Subcommands of a group stand together. */
extern const struct cli_command cli_commands[];

/** Lines "code<TAB>meaning" of the exit status section. NULL-terminated. */
extern const char *const cli_exit_codes[];

/** Lines "VARIABLE<TAB>meaning" of the environment section. NULL-terminated. */
extern const char *const cli_environment[];

/** Lines "path<TAB>meaning" of the files section. NULL-terminated. */
extern const char *const cli_files[];

#endif

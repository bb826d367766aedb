/*
 * Runs the program as a person or a script would: arguments, environment, standard streams, signals.
 * Output is kept in files of a folder of its own, removed at the end. Threading: one owner.
 */
#ifndef TESTS_CLI_CLI_RUNNER_H
#define TESTS_CLI_CLI_RUNNER_H

#include <stdbool.h>
#include <stddef.h>

struct cli_setting {
    const char *input;       /* file for standard input; NULL = /dev/null */
    const char *output;      /* file for standard output; NULL = kept; "" = closed; "|" = a pipe nobody reads */
    const char *when_exists; /* the signal is sent once this file is there, */
    const char *when_said;   /* or once this text stands on standard error */
    int signal;              /* 0 = none */
    const char *env[8];      /* "NAME=value", or "NAME" to unset it; the first NULL ends */
};

struct cli_result {
    int code;  /* exit status, 128 + signal when one ended it */
    char *out; /* NUL-terminated, owned by the runner until the next call */
    char *err;
    size_t out_size;
};

/** argv of the test: the program's path. Ends the test program with 77 when it is not there. */
void cli_runner_init(int argc, char **argv);
void cli_runner_deinit(void);
/** A path in the runner's folder; static storage, eight at a time. */
const char *cli_work(const char *name);
/** Run; words up to the first NULL. setting NULL = nothing special. */
struct cli_result cli_run_words(const struct cli_setting *setting, const char *const *words);
#define CLI_RUN(setting, ...) cli_run_words((setting), (const char *const[]){__VA_ARGS__, NULL})

/** fail_msg unless the run ended with `code` and standard error holds `piece` (NULL: is empty). */
void cli_expect(const struct cli_result *result, int code, const char *piece);
/** Write a file. */
void cli_put(const char *path, const void *bytes, size_t size);
/** A file whole; NULL when it is not there. Owned by the caller: free. */
char *cli_get(const char *path, size_t *size);
/** Names in a folder for which `matches` says true (NULL: all but "." and ".."). */
size_t cli_count(const char *folder, bool (*matches)(const char *name));

#endif

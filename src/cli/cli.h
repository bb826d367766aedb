/*
 * The command line. One table of commands and options (cli_table.c) drives parsing, --help, the man
 * page and bash completion. Threading: one owner (the main thread).
 */
#ifndef FRT_CLI_CLI_H
#define FRT_CLI_CLI_H

#include "core/config.h"
#include "core/status.h"

/** What the command line calls and does not link to: chosen by main.c. */
struct frt_cli_hooks {
    /* Run the service until SIGTERM or SIGINT; returns when it has stopped cleanly. */
    enum frt_status (*serve)(const struct frt_config *config, struct frt_error *err);
};

/** Run `frt`; returns the exit code (enum frt_exit). */
int frt_cli_main(int argc, char **argv, const struct frt_cli_hooks *hooks);

#endif

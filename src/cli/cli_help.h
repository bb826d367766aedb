/* The table as --help, as a manual page and as bash completion. Threading: pure functions over a buffer. */
#ifndef FRT_CLI_CLI_HELP_H
#define FRT_CLI_CLI_HELP_H

#include "cli/cli_table.h"
#include "core/buf.h"
#include "core/config.h"

/** `frt --help`: all commands; of one group ("models") when it is not NULL. */
void cli_help_all(const char *group, struct frt_buf *out);
/** `frt COMMAND --help`. */
void cli_help_command(const struct cli_command *command, struct frt_buf *out);
/** frt(1) in man(7) roff. */
void cli_help_man(struct frt_buf *out);
/** Completion script for bash 4 and later. */
void cli_help_bash(struct frt_buf *out);

/** The last sentence of a setting's help: "Default: 64; 1 to 100000. Environment: FRT_QUEUE." */
void cli_help_setting(const struct frt_config_key *key, struct frt_buf *out);

#endif

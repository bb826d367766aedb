/* The commands: one function each, in a file of its own (cmd_<name>.c). Each returns an exit code. */
#ifndef FRT_CLI_COMMANDS_H
#define FRT_CLI_COMMANDS_H

struct cli_run;

int cli_detect(struct cli_run *run);
int cli_embed(struct cli_run *run);
int cli_verify(struct cli_run *run);
int cli_models_list(struct cli_run *run);
int cli_models_import(struct cli_run *run);
int cli_models_verify(struct cli_run *run);
int cli_eval_pairs(struct cli_run *run);
int cli_serve(struct cli_run *run);
int cli_doctor(struct cli_run *run);
int cli_completion_bash(struct cli_run *run);
int cli_man(struct cli_run *run);
int cli_version(struct cli_run *run);
int cli_help(struct cli_run *run);

#endif

#include "cli/cli.h"

#include <signal.h>
#include <string.h>

#include "cli/cli_help.h"
#include "cli/cli_parse.h"
#include "cli/output.h"

enum { MAX_HELP_BYTES = 1 << 20 };

static int show_help(const struct cli_run *run)
{
    struct frt_buf out;
    frt_buf_init(&out, MAX_HELP_BYTES);
    if (run->command == NULL)
        cli_help_all(&out);
    else
        cli_help_command(run->command, &out);
    return cli_print_and_free(run, &out);
}

int frt_cli_main(int argc, char **argv, const struct frt_cli_hooks *hooks)
{
    struct cli_run run = {.hooks = hooks};
    struct frt_error err = {0};
    bool help = false;
    /* A reader that goes away (`frt … | head`) is an error of a write, not the end of the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    enum frt_status status = cli_parse(argc, argv, &run, &help, &err);
    if (status != FRT_OK) {
        (void)cli_complain(&run, &err);
        return FRT_EXIT_USAGE;
    }
    if (help)
        return show_help(&run);
    return run.command->run(&run);
}

#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_help.h"
#include "cli/cli_parse.h"
#include "cli/commands.h"
#include "cli/output.h"

enum { MAX_HELP_BYTES = 1 << 20 };

/*
 * A standard stream that the caller closed (`frt … >&-`) would leave its number to the next file that is
 * opened, and output would go into that file. The number is taken by /dev/null, opened the wrong way round,
 * so that reading or writing fails as it does on a closed stream.
 */
static void keep_standard_streams(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", modes[fd]) != fd)
            _exit(FRT_EXIT_FAILURE); /* no /dev/null, and nowhere to say so */
}

static int show_help(const struct cli_run *run, const struct cli_command *command, const char *group)
{
    struct frt_buf out;
    frt_buf_init(&out, MAX_HELP_BYTES);
    if (command != NULL)
        cli_help_command(command, &out);
    else
        cli_help_all(group, &out);
    return cli_print_and_free(run, &out);
}

int cli_help(struct cli_run *run)
{
    const char *first = run->n_arguments > 0 ? run->arguments[0] : NULL;
    const char *second = run->n_arguments > 1 ? run->arguments[1] : NULL;
    struct frt_error err;
    if (first == NULL || (second == NULL && cli_is_group(first)))
        return show_help(run, NULL, first);
    const struct cli_command *command = cli_find_command(first, second);
    if (command != NULL)
        return show_help(run, command, NULL);
    return cli_unknown_command(first, second, &err) == FRT_OK ? FRT_EXIT_OK : cli_complain(run, &err);
}

static int run_command(int argc, char **argv, const struct frt_cli_hooks *hooks)
{
    struct cli_run run = {.hooks = hooks};
    struct frt_error err = {0};
    bool help = false;
    enum frt_status status = cli_parse(argc, argv, &run, &help, &err);
    if (status != FRT_OK) {
        (void)cli_complain(&run, &err);
        return FRT_EXIT_USAGE;
    }
    if (help)
        return show_help(&run, run.command, run.group);
    return run.command->run(&run);
}

int frt_cli_main(int argc, char **argv, const struct frt_cli_hooks *hooks)
{
    keep_standard_streams();
    /* A reader that goes away (`frt … | head`) is first an error of a write, so that files in the making
     * are finished or removed; then the process ends as others do. */
    (void)signal(SIGPIPE, SIG_IGN);
    /* What a service tells of its health is no news to who typed a command; `serve` sets it as it is told. */
    frt_log_configure(FRT_LOG_WARN, false, STDERR_FILENO);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file over the limit (ulimit -f) is an error of a write, too */
    int code = run_command(argc, argv, hooks);
    if (cli_reader_gone()) {
        (void)signal(SIGPIPE, SIG_DFL);
        (void)raise(SIGPIPE);
        code = 128 + SIGPIPE; /* when the signal is blocked */
    }
    return code;
}

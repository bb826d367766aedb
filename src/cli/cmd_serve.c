/* frt serve: hands the settings to the service that main.c chose. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/output.h"

/* What to type next, for a person at a terminal; a port that the system picks (0) stands in the log only. */
static void hint(const struct frt_config *config)
{
    char line[2 * FRT_CONFIG_TEXT_MAX + 256];
    const char *colon = strrchr(config->listen, ':');
    if (isatty(STDERR_FILENO) != 1 || colon == NULL || strcmp(colon, ":0") == 0)
        return;
    int n = snprintf(line, sizeof line,
                     "frt serve: http://%s (Ctrl-C stops it). Once it is ready, try:\n"
                     "    curl -F image=@photo.jpg http://%s/v1/detect\n",
                     config->listen, config->listen);
    if (n > 0 && (size_t)n < sizeof line)
        (void)!write(STDERR_FILENO, line, (size_t)n);
}

int cli_serve(struct cli_run *run)
{
    struct frt_error err = {0};
    frt_log_configure(run->config.log_level, run->config.log_json, STDERR_FILENO);
    if (run->config.log_level != FRT_LOG_OFF)
        hint(&run->config);
    enum frt_status status = run->hooks->serve(&run->config, &err);
    if (status == FRT_OK)
        return FRT_EXIT_OK;
    if (status == FRT_ENOTFOUND)
        err.status = FRT_EBAD_MODEL; /* the one thing that can be missing is the pack */
    return cli_complain(run, &err);
}

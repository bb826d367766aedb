/* frt serve: hands the settings to the service that main.c chose. */
#include "cli/commands.h"
#include "cli/output.h"

int cli_serve(struct cli_run *run)
{
    struct frt_error err = {0};
    frt_log_configure(run->config.log_level, run->config.log_json, 2);
    enum frt_status status = run->hooks->serve(&run->config, &err);
    if (status == FRT_OK)
        return FRT_EXIT_OK;
    if (status == FRT_ENOTFOUND)
        err.status = FRT_EBAD_MODEL; /* the one thing that can be missing is the pack */
    return cli_complain(run, &err);
}

/* The program: picks the adapters, nothing else. */
#include "cli/cli.h"
#include "http/serve.h"

int main(int argc, char **argv)
{
    static const struct frt_cli_hooks hooks = {.serve = frt_http_serve};
    return frt_cli_main(argc, argv, &hooks);
}

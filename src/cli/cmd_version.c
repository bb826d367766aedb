/* frt version, frt man, frt completion bash: what the program says of itself. */
#include <string.h>

#include "cli/cli_help.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "core/json_write.h"
#include "engine/context.h"
#include "simd/cpu.h"

enum { MAX_OUTPUT_BYTES = 1 << 20 };

int cli_version(struct cli_run *run)
{
    struct frt_context_options one = {.threads = 1};
    struct frt_context *context = NULL;
    struct frt_error err = {0};
    struct frt_buf out;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    const char *runtime = NULL;
    if (frt_context_new(&one, &context, &err) == FRT_OK)
        runtime = context->backend->ops->version(context->backend);
    const char *simd = frt_simd_tier_name(frt_simd_tier_active());
    if (cli_has(run, "json")) {
        struct frt_json_writer w;
        frt_json_writer_init(&w, &out, false);
        frt_json_object(&w);
        frt_json_key(&w, "version");
        frt_json_string(&w, frt_version());
        frt_json_key(&w, "runtime");
        frt_json_string(&w, runtime);
        frt_json_key(&w, "compiler");
        frt_json_string(&w, __VERSION__);
        frt_json_key(&w, "simd");
        frt_json_string(&w, simd);
        frt_json_end(&w);
        frt_buf_append_char(&out, '\n');
    } else {
        frt_buf_printf(&out, "frt %s\nONNX Runtime %s\ncompiled with %s; uses %s\n", frt_version(),
                       runtime == NULL ? "not found (frt doctor tells more)" : runtime, __VERSION__, simd);
    }
    frt_context_free(context);
    return cli_print_and_free(run, &out);
}

static int print_rendered(struct cli_run *run, void (*render)(struct frt_buf *))
{
    struct frt_buf out;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    render(&out);
    return cli_print_and_free(run, &out);
}

int cli_man(struct cli_run *run)
{
    return print_rendered(run, cli_help_man);
}

int cli_completion_bash(struct cli_run *run)
{
    return print_rendered(run, cli_help_bash);
}

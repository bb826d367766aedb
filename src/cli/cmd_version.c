/* frt version, frt man, frt completion bash: what the program says of itself. */
#include <string.h>

#include "cli/cli_help.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "core/json_write.h"
#include "engine/context.h"
#include "engine/devices.h"
#include "simd/cpu.h"

enum { MAX_OUTPUT_BYTES = 1 << 20 };

static void list_device(void *arg, const char *name, bool usable, const char *why)
{
    (void)why;
    if (usable)
        frt_buf_printf(arg, " %s", name);
}

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
    struct frt_buf devices; /* "cpu webgpu" */
    frt_buf_init(&devices, MAX_OUTPUT_BYTES);
    frt_buf_append_text(&devices, "cpu");
    if (runtime != NULL)
        frt_devices_each(NULL, list_device, &devices);
    const char *simd = frt_simd_tier_name(frt_simd_tier_active());
    if (cli_has(run, "json")) {
        struct frt_json_writer w;
        frt_json_writer_init(&w, &out, false);
        frt_json_object(&w);
        frt_json_key(&w, "version");
        frt_json_string(&w, frt_version());
        frt_json_key(&w, "runtime");
        frt_json_string(&w, runtime);
        frt_json_key(&w, "devices");
        frt_json_array(&w);
        for (char *rest = NULL, *word = devices.data == NULL ? NULL : strtok_r(devices.data, " ", &rest);
             word != NULL; word = strtok_r(NULL, " ", &rest))
            frt_json_string(&w, word);
        frt_json_end(&w);
        frt_json_key(&w, "compiler");
        frt_json_string(&w, __VERSION__);
        frt_json_key(&w, "simd");
        frt_json_string(&w, simd);
        frt_json_end(&w);
        frt_buf_append_char(&out, '\n');
    } else {
        frt_buf_printf(&out, "frt %s\nONNX Runtime %s, devices: %s\ncompiled with %s; uses %s\n", frt_version(),
                       runtime == NULL ? "not found (frt doctor tells more)" : runtime,
                       devices.data == NULL ? "cpu" : devices.data, __VERSION__, simd);
    }
    frt_buf_deinit(&devices);
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

/* frt eval pairs. */
#include <string.h>

#include "cli/commands.h"
#include "cli/files.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "engine/eval_pairs.h"

enum { MAX_OUTPUT_BYTES = 64 << 20 };

static void on_photo(void *arg, size_t done, size_t total)
{
    cli_progress_update(arg, done, total);
}

static enum frt_status save(const struct cli_run *run, const char *option, const struct frt_eval_report *report,
                            void (*render)(const struct frt_eval_report *, struct frt_buf *),
                            struct frt_error *err)
{
    const char *path = cli_text(run, option);
    struct frt_buf text;
    if (path == NULL)
        return FRT_OK;
    frt_buf_init(&text, MAX_OUTPUT_BYTES);
    render(report, &text);
    enum frt_status status = frt_buf_status(&text);
    if (status == FRT_OK)
        status = cli_file_write(path, text.data, text.size, cli_has(run, "force"), err);
    else
        status = frt_fail(err, status, "the report does not fit in memory");
    frt_buf_deinit(&text);
    return status;
}

/* Everything that can be refused before hours of work. */
static enum frt_status check_options(const struct cli_run *run, uint32_t *jobs, struct frt_error *err)
{
    const char *out = cli_text(run, "out"), *roc = cli_text(run, "roc");
    enum frt_status status = cli_jobs(run, jobs, err);
    if (cli_text(run, "images") == NULL)
        return frt_fail(err, FRT_EINVAL, "--images FOLDER is needed; see 'frt eval pairs --help'");
    if (out != NULL && roc != NULL && strcmp(out, roc) == 0)
        return frt_fail(err, FRT_EINVAL, "--out and --roc name the same file");
    if (status == FRT_OK && out != NULL)
        status = cli_file_check(out, cli_has(run, "force"), err);
    if (status == FRT_OK && roc != NULL)
        status = cli_file_check(roc, cli_has(run, "force"), err);
    return status;
}

/* The report's indented JSON on one line, as --json promises. */
static void one_line(struct frt_buf *json)
{
    bool in_string = false;
    size_t kept = 0;
    for (size_t i = 0; i < json->size; i++) {
        char c = json->data[i];
        bool escaped = in_string && c == '\\';
        if (c == '"')
            in_string = !in_string;
        if (in_string || (c != '\n' && c != ' '))
            json->data[kept++] = c;
        if (escaped)
            json->data[kept++] = json->data[++i];
    }
    json->size = kept;
    frt_buf_append_char(json, '\n');
}

int cli_eval_pairs(struct cli_run *run)
{
    struct cli_models models = {0};
    struct cli_progress progress;
    struct frt_eval_report report = {0};
    struct frt_error err = {0};
    struct frt_buf out;
    uint32_t jobs = 1;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    cli_catch_interrupts();
    enum frt_status status = check_options(run, &jobs, &err);
    if (status == FRT_OK)
        status = cli_models_open(run, 1, &models, &err);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    cli_progress_init(&progress, "photos", cli_has(run, "quiet") || cli_has(run, "json"));
    struct frt_eval_options options = {.folder = cli_text(run, "images"),
                                       .pairs = cli_text(run, "pairs"),
                                       .threads = jobs,
                                       .progress = on_photo,
                                       .progress_arg = &progress,
                                       .cancelled = cli_interrupted};
    status = frt_eval_pairs(models.context, models.pack, &options, &report, &err);
    cli_progress_deinit(&progress);
    if (status == FRT_OK)
        status = save(run, "out", &report, frt_eval_report_json, &err);
    if (status == FRT_OK)
        status = save(run, "roc", &report, frt_eval_report_svg, &err);
    int code = FRT_EXIT_OK;
    if (status == FRT_OK) {
        if (cli_has(run, "json")) {
            frt_eval_report_json(&report, &out);
            if (frt_buf_status(&out) == FRT_OK)
                one_line(&out);
        } else {
            frt_eval_report_text(&report, &out);
        }
        code = cli_print_and_free(run, &out);
    } else {
        code = cli_complain(run, &err);
    }
    frt_eval_report_deinit(&report);
    cli_models_close(&models);
    return code;
}

/* frt models compile: a faster copy of a pack, checked on faces. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "engine/pack_compile.h"
#include "model/quantize.h"

enum { MAX_OUTPUT_BYTES = 1 << 20 };
/* Where the default pack's npm package keeps its sample photos, seen from the source tree. */
static const char sample_photos[] = "node_modules/@vladmandic/face-api/demo";

/* The bar's word is what is being done: it changes on the way. */
struct reporter {
    struct cli_progress progress;
    bool quiet;
};

static void on_progress(void *arg, const char *doing, uint32_t done, uint32_t total)
{
    struct reporter *reporter = arg;
    if (reporter->progress.what == NULL || strcmp(reporter->progress.what, doing) != 0) {
        cli_progress_deinit(&reporter->progress);
        cli_progress_init(&reporter->progress, doing, reporter->quiet);
    }
    cli_progress_update(&reporter->progress, done, total);
}

static enum frt_status read_options(const struct cli_run *run, struct frt_pack_compile_options *options,
                                    struct frt_error *err)
{
    const char *precision = cli_text(run, "precision"), *batch = cli_text(run, "batch");
    enum frt_status status = FRT_OK;
    long long inputs = 0;
    if (precision != NULL && !frt_precision_parse(precision, &options->precision))
        return frt_fail(err, FRT_EINVAL, "--precision %s: fp32, fp16-storage or int8", precision);
    if (batch != NULL && strcmp(batch, "dynamic") != 0 && strcmp(batch, "1") != 0)
        return frt_fail(
            err, FRT_EINVAL,
            "--batch %s: 1 or dynamic; with a fixed batch of more, every face alone would cost as many", batch);
    if (batch != NULL)
        options->batch = strcmp(batch, "1") == 0 ? 1 : FRT_BATCH_DYNAMIC;
    status = cli_whole(run, "inputs", 1, 2000, 0, &inputs, err);
    options->max_inputs = (uint32_t)inputs;
    options->out = cli_text(run, "out");
    return status;
}

/* --photos, or the sample photos where they are. */
static enum frt_status find_photos(const struct cli_run *run, struct cli_inputs *out, struct frt_error *err)
{
    const char *said = cli_text(run, "photos");
    char *folder = (char *)(uintptr_t)(said != NULL ? said : sample_photos);
    struct stat st;
    if (said == NULL && stat(sample_photos, &st) != 0)
        return frt_fail(
            err, FRT_EINVAL,
            "photos of faces are needed to check the new pack with: give a folder with --photos (the "
            "sample photos, %s, are not here)",
            sample_photos);
    return cli_inputs_collect(&folder, 1, out, err);
}

/* ----------------------------------------------------------------- printing */

static void print_text(const struct frt_pack_compile_report *r, struct frt_buf *out)
{
    frt_buf_printf(out, "compiled pack written to %s (%s)\nchecked on %zu faces in %zu photos\n\n", r->out,
                   r->manifest->id, r->faces, r->photos);
    frt_buf_printf(out, "%-11s %-24s %17s %17s %10s  %s\n", "role", "name", "size", "time", "difference",
                   "what was done");
    for (uint32_t i = 0; i < r->n_models; i++) {
        const struct frt_compiled_model *m = &r->models[i];
        char size[40], ms[48] = "-", difference[24] = "-";
        (void)snprintf(size, sizeof size, "%.1f > %.1f MB", (double)m->bytes_before / 1e6,
                       (double)m->bytes_after / 1e6);
        if (m->compiled) {
            (void)snprintf(ms, sizeof ms, "%.2f > %.2f ms", m->drift.before_ms, m->drift.after_ms);
            (void)snprintf(difference, sizeof difference, "%.1e", m->drift.max_relative);
        }
        frt_buf_printf(out, "%-11s %-24s %17s %17s %10s  %s\n", m->role, m->name, size, ms, difference,
                       !m->compiled         ? "copied: no face of the photos reached it"
                       : m->text[0] != '\0' ? m->text
                                            : "nothing to do");
    }
    for (uint32_t i = 0; i < r->n_models; i++) {
        const struct frt_compiled_model *m = &r->models[i];
        if (m->compiled && strcmp(m->role, "embedder") == 0)
            frt_buf_printf(out, "\n%s: embeddings have cosine %.6f to the original's on average, %.6f at least",
                           m->name, m->drift.mean_cosine, m->drift.min_cosine);
        if (m->compiled && strcmp(m->role, "detector") == 0)
            frt_buf_printf(out,
                           "\n%s: %u boxes overlap the original's by %.4f on average, %.4f at least; %u apart",
                           m->name, m->boxes, m->mean_iou, m->min_iou, m->boxes_apart);
    }
    frt_buf_append_char(out, '\n');
}

static void number(struct frt_json_writer *w, const char *key, double value)
{
    frt_json_key(w, key);
    frt_json_number(w, value);
}

static void print_model(const struct frt_compiled_model *m, struct frt_json_writer *w)
{
    frt_json_object(w);
    cli_member_text(w, "role", m->role);
    cli_member_text(w, "name", m->name);
    frt_json_key(w, "compiled");
    frt_json_bool(w, m->compiled);
    cli_member_text(w, "done", m->text);
    cli_member_whole(w, "bytes_before", m->bytes_before);
    cli_member_whole(w, "bytes", m->bytes_after);
    if (m->compiled) {
        cli_member_whole(w, "inputs", m->drift.inputs);
        number(w, "before_ms", m->drift.before_ms);
        number(w, "ms", m->drift.after_ms);
        number(w, "max_relative_difference", m->drift.max_relative);
    }
    if (m->compiled && strcmp(m->role, "embedder") == 0) {
        number(w, "min_cosine", m->drift.min_cosine);
        number(w, "mean_cosine", m->drift.mean_cosine);
    }
    if (m->compiled && strcmp(m->role, "detector") == 0) {
        cli_member_whole(w, "boxes", m->boxes);
        cli_member_whole(w, "boxes_apart", m->boxes_apart);
        number(w, "min_iou", m->min_iou);
        number(w, "mean_iou", m->mean_iou);
    }
    frt_json_end(w);
}

static void print_json(const struct frt_pack_compile_report *r, struct frt_buf *out)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    cli_member_text(&w, "folder", r->out);
    cli_member_text(&w, "id", r->manifest->id);
    cli_member_whole(&w, "photos", r->photos);
    cli_member_whole(&w, "faces", r->faces);
    frt_json_key(&w, "models");
    frt_json_array(&w);
    for (uint32_t i = 0; i < r->n_models; i++)
        print_model(&r->models[i], &w);
    frt_json_end(&w);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* ---------------------------------------------------------------- the command */

int cli_models_compile(struct cli_run *run)
{
    char folder[FRT_LOCATE_PATH_MAX];
    struct cli_inputs photos = {0};
    struct frt_context *context = NULL;
    struct frt_pack_compile_report report = {0};
    struct frt_pack_compile_options options = {.quantise = frt_quantise, .cancelled = cli_interrupted};
    struct reporter reporter = {.quiet = cli_has(run, "quiet") || cli_has(run, "json")};
    struct frt_error err = {0};
    struct frt_buf out;
    const struct frt_context_options one_core = {.threads = 1};
    enum frt_status status = read_options(run, &options, &err);
    if (status == FRT_OK && run->n_arguments > 0 &&
        (size_t)snprintf(folder, sizeof folder, "%s", run->arguments[0]) >= sizeof folder)
        status = frt_fail(&err, FRT_EINVAL, "the pack's folder has too long a name");
    if (status == FRT_OK && run->n_arguments == 0)
        status = frt_pack_locate(folder, &err);
    if (status == FRT_OK)
        status = find_photos(run, &photos, &err);
    if (status == FRT_OK)
        status = frt_context_new(&one_core, &context, &err);
    cli_progress_init(&reporter.progress, NULL, reporter.quiet);
    if (status == FRT_OK) {
        options.pack = folder;
        options.photos = photos.paths;
        options.n_photos = photos.n;
        options.progress = on_progress;
        options.progress_arg = &reporter;
        cli_catch_interrupts();
        status = frt_pack_compile(context, &options, &report, &err);
    }
    cli_progress_deinit(&reporter.progress);
    frt_context_free(context);
    cli_inputs_deinit(&photos);
    if (status == FRT_ENOTFOUND)
        err.status = FRT_EBAD_MODEL; /* a missing pack, not a missing photo */
    if (status != FRT_OK)
        return cli_complain(run, &err);
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (cli_has(run, "json"))
        print_json(&report, &out);
    else
        print_text(&report, &out);
    frt_pack_compile_report_deinit(&report);
    return cli_print_and_free(run, &out);
}

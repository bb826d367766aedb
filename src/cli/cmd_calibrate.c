/* frt calibrate: measure, keep what was found, say what came out. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "engine/calibrate.h"
#include "engine/threshold_basis.h"

enum { MAX_OUTPUT_BYTES = 16 << 20, PATH_SIZE = 4096 };

struct job {
    const struct cli_run *run;
    struct frt_calibrate_options options;
    const char *folder, *collection;
    char pack_table[PATH_SIZE]; /* what --apply writes; "" = nothing */
    struct frt_calibration found;
};

static void on_photo(void *arg, size_t done, size_t total)
{
    cli_progress_update(arg, done, total);
}

/* ----------------------------------------------------------------- options */

static enum frt_status read_options(struct job *job, struct frt_error *err)
{
    const struct cli_run *run = job->run;
    long long people = 0, enrolled = 0, samples = 0, photos = 0, seed = 0;
    double fmr = 0, fpir = 0;
    job->folder = run->n_arguments > 0 ? run->arguments[0] : NULL;
    job->collection = cli_text(run, "collection");
    if ((job->folder == NULL) == (job->collection == NULL))
        return frt_fail(err, FRT_EINVAL, "a FOLDER of photos or --collection NAME is needed, and not both");
    enum frt_status status = cli_number(run, "fmr", 1e-12, 0.5, 0, &fmr, err);
    if (status == FRT_OK)
        status = cli_number(run, "fpir", 1e-9, 0.5, 0, &fpir, err);
    if (status == FRT_OK)
        status = cli_whole(run, "people", 1, 1000000000, 0, &people, err);
    if (status == FRT_OK)
        status = cli_whole(run, "enrolled", 1, 5, 0, &enrolled, err);
    if (status == FRT_OK)
        status = cli_whole(run, "samples", 20, 10000, 0, &samples, err);
    if (status == FRT_OK)
        status = cli_whole(run, "photos", 100, 50000, 0, &photos, err);
    if (status == FRT_OK)
        status = cli_whole(run, "seed", 0, 1000000000, 0, &seed, err);
    job->options = (struct frt_calibrate_options){.seed = (uint64_t)seed,
                                                  .samples = (uint32_t)samples,
                                                  .max_photos = (uint64_t)photos,
                                                  .fmr = fmr,
                                                  .fpir = fpir,
                                                  .people = (uint64_t)people,
                                                  .enrolled = (double)enrolled,
                                                  .halves = cli_has(run, "halves"),
                                                  .cancelled = cli_interrupted};
    return status;
}

/* Everything that can be refused before hours of work. */
static enum frt_status check_files(struct job *job, struct frt_error *err)
{
    static const char *const names[] = {"table", "out", "det", "scores"};
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && status == FRT_OK; i++) {
        const char *path = cli_text(job->run, names[i]);
        for (size_t k = 0; k < i && path != NULL; k++)
            if (cli_text(job->run, names[k]) != NULL && strcmp(cli_text(job->run, names[k]), path) == 0)
                return frt_fail(err, FRT_EINVAL, "--%s and --%s name the same file", names[k], names[i]);
        if (path != NULL)
            status = cli_file_check(path, cli_has(job->run, "force"), err);
    }
    if (status != FRT_OK || !cli_has(job->run, "apply") || job->folder == NULL)
        return status;
    char located[FRT_LOCATE_PATH_MAX];
    const char *pack = cli_text(job->run, "pack");
    if (pack == NULL) {
        status = frt_pack_locate(located, err);
        pack = located;
    }
    if (status != FRT_OK)
        return status;
    const int n = snprintf(job->pack_table, sizeof job->pack_table, "%s/%s", pack, FRT_THRESHOLDS_FILE);
    if (n < 0 || (size_t)n >= sizeof job->pack_table)
        return frt_fail(err, FRT_EINVAL, "the pack's path is too long");
    return cli_file_check(job->pack_table, cli_has(job->run, "force"), err);
}

/* --------------------------------------------------------------- measuring */

static enum frt_status measure_folder(struct job *job, struct frt_error *err)
{
    struct cli_models models = {0};
    struct cli_progress progress;
    uint32_t jobs = 1;
    enum frt_status status = cli_jobs(job->run, &jobs, err);
    if (status == FRT_OK)
        status = cli_models_open(job->run, 1, &models, err);
    if (status != FRT_OK)
        return status;
    cli_progress_init(&progress, "photos", cli_has(job->run, "quiet") || cli_has(job->run, "json"));
    const struct frt_eval_embed_options embed = {.folder = job->folder,
                                                 .threads = jobs,
                                                 .progress = on_photo,
                                                 .progress_arg = &progress,
                                                 .cancelled = cli_interrupted};
    status = frt_calibrate_folder(models.context, models.pack, &embed, &job->options, &job->found, err);
    cli_progress_deinit(&progress);
    cli_models_close(&models);
    return status;
}

/* A collection and, with --apply, what it keeps. */
static enum frt_status measure_collection(struct job *job, struct frt_error *err)
{
    struct frt_gallery *gallery = NULL;
    const bool apply = cli_has(job->run, "apply");
    enum frt_status status =
        cli_gallery_open(job->run, apply ? CLI_GALLERY_CHANGE : CLI_GALLERY_LOOK, &gallery, err);
    if (status == FRT_OK)
        status = frt_calibrate_collection(gallery, job->collection, &job->options, &job->found, err);
    if (status == FRT_OK && apply && !job->found.for_fpir.refused) {
        struct frt_buf table;
        frt_buf_init(&table, FRT_TABLE_MAX_BYTES);
        frt_threshold_table_print(&job->found.table, false, false, &table);
        status = frt_buf_status(&table);
        if (status != FRT_OK)
            status = frt_fail(err, status, "the table does not fit in memory");
        struct frt_collection_settings settings = {.which = FRT_COLLECTION_CALIBRATION,
                                                   .calibration = table.data};
        if (job->options.fpir > 0) {
            settings.which |= FRT_COLLECTION_TARGET_FPIR;
            settings.target_fpir = job->options.fpir;
        }
        if (status == FRT_OK)
            status = frt_collection_patch(gallery, job->collection, &settings, err);
        frt_buf_deinit(&table);
    }
    frt_gallery_close(gallery);
    return status;
}

/* ---------------------------------------------------------------- delivery */

static void table_json(const struct frt_calibration *calibration, struct frt_buf *out)
{
    frt_threshold_table_print(&calibration->table, true, true, out);
    frt_buf_append_char(out, '\n');
}

static enum frt_status save(const struct job *job, const char *path,
                            void (*render)(const struct frt_calibration *calibration, struct frt_buf *out),
                            struct frt_error *err)
{
    struct frt_buf text;
    if (path == NULL || path[0] == '\0')
        return FRT_OK;
    frt_buf_init(&text, MAX_OUTPUT_BYTES);
    render(&job->found, &text);
    enum frt_status status = frt_buf_status(&text);
    if (status == FRT_OK)
        status = cli_file_write(path, text.data, text.size, cli_has(job->run, "force"), err);
    else
        status = frt_fail(err, status, "the report does not fit in memory");
    frt_buf_deinit(&text);
    return status;
}

static unsigned terminal_columns(void)
{
    struct winsize size = {0};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void say_applied(const struct job *job, struct frt_buf *out)
{
    if (job->pack_table[0] != '\0') {
        frt_buf_append_text(out, "\nkept as ");
        cli_append_name(out, job->pack_table);
        frt_buf_append_text(out, ": searches with this pack go by it from their next start\n");
    } else if (cli_has(job->run, "apply") && !job->found.for_fpir.refused) {
        frt_buf_append_text(out, "\nkept in the collection: its searches go by it\n");
    }
}

static int deliver(const struct job *job)
{
    struct frt_error err = {0};
    struct frt_buf out;
    enum frt_status status = save(job, job->pack_table, table_json, &err);
    if (status == FRT_OK)
        status = save(job, cli_text(job->run, "table"), table_json, &err);
    if (status == FRT_OK)
        status = save(job, cli_text(job->run, "out"), frt_calibration_json, &err);
    if (status == FRT_OK)
        status = save(job, cli_text(job->run, "det"), frt_calibration_det_svg, &err);
    if (status == FRT_OK)
        status = save(job, cli_text(job->run, "scores"), frt_calibration_scores_svg, &err);
    if (status != FRT_OK)
        return cli_complain(job->run, &err);
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (cli_has(job->run, "json")) {
        frt_calibration_json(&job->found, &out);
        if (frt_buf_status(&out) == FRT_OK)
            cli_one_line(&out);
    } else {
        frt_calibration_text(&job->found, isatty(STDOUT_FILENO) == 1 && cli_utf8(), terminal_columns(), &out);
        say_applied(job, &out);
    }
    return cli_print_and_free(job->run, &out);
}

int cli_calibrate(struct cli_run *run)
{
    struct job job = {.run = run};
    struct frt_error err = {0};
    cli_catch_interrupts();
    enum frt_status status = read_options(&job, &err);
    if (status == FRT_OK)
        status = check_files(&job, &err);
    if (status == FRT_OK)
        status = job.folder != NULL ? measure_folder(&job, &err) : measure_collection(&job, &err);
    int code = status == FRT_OK ? deliver(&job) : cli_complain(run, &err);
    /* what was asked for could not be told */
    if (code == FRT_EXIT_OK && ((job.options.fmr > 0 && isnan(job.found.for_fmr.threshold)) ||
                                (job.options.fpir > 0 && job.found.for_fpir.refused)))
        code = FRT_EXIT_FAILURE;
    frt_calibration_deinit(&job.found);
    return code;
}

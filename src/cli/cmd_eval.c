/* frt eval pairs, identify, detect, liveness, quality: measure, write the report, say what came out. */
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/enroll_list.h"
#include "cli/files.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "core/mem.h"
#include "engine/eval_detect.h"
#include "engine/eval_identify.h"
#include "engine/eval_liveness.h"
#include "engine/eval_pairs.h"
#include "engine/eval_quality.h"

enum { MAX_OUTPUT_BYTES = 64 << 20 };

static void on_photo(void *arg, size_t done, size_t total)
{
    cli_progress_update(arg, done, total);
}

/* A report of either kind, and its renderings. */
struct report {
    const void *data;
    void (*json)(const void *data, struct frt_buf *out);
    void (*svg)(const void *data, struct frt_buf *out);
    void (*text)(const void *data, struct frt_buf *out);
};

static enum frt_status save(const struct cli_run *run, const char *option, const void *data,
                            void (*render)(const void *data, struct frt_buf *out), struct frt_error *err)
{
    const char *path = cli_text(run, option);
    struct frt_buf text;
    if (path == NULL)
        return FRT_OK;
    frt_buf_init(&text, MAX_OUTPUT_BYTES);
    render(data, &text);
    enum frt_status status = frt_buf_status(&text);
    if (status == FRT_OK)
        status = cli_file_write(path, text.data, text.size, cli_has(run, "force"), err);
    else
        status = frt_fail(err, status, "the report does not fit in memory");
    frt_buf_deinit(&text);
    return status;
}

/* Everything that can be refused before hours of work. */
static enum frt_status check_files(const struct cli_run *run, const char *plot_option, struct frt_error *err)
{
    const char *out = cli_text(run, "out"), *plot = cli_text(run, plot_option);
    enum frt_status status = FRT_OK;
    if (out != NULL && plot != NULL && strcmp(out, plot) == 0)
        return frt_fail(err, FRT_EINVAL, "--out and --%s name the same file", plot_option);
    if (out != NULL)
        status = cli_file_check(out, cli_has(run, "force"), err);
    if (status == FRT_OK && plot != NULL)
        status = cli_file_check(plot, cli_has(run, "force"), err);
    return status;
}

/* Write what --out and the plot's option ask for, and print; returns the exit code. */
static int deliver(const struct cli_run *run, const char *plot_option, const struct report *report)
{
    struct frt_error err = {0};
    struct frt_buf out;
    enum frt_status status = save(run, "out", report->data, report->json, &err);
    if (status == FRT_OK)
        status = save(run, plot_option, report->data, report->svg, &err);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    if (cli_has(run, "json")) {
        report->json(report->data, &out);
        if (frt_buf_status(&out) == FRT_OK)
            cli_one_line(&out);
    } else {
        report->text(report->data, &out);
    }
    return cli_print_and_free(run, &out);
}

/* ------------------------------------------------------------------- pairs */

static void pairs_json(const void *data, struct frt_buf *out)
{
    frt_eval_report_json(data, out);
}

static void pairs_svg(const void *data, struct frt_buf *out)
{
    frt_eval_report_svg(data, out);
}

static void pairs_text(const void *data, struct frt_buf *out)
{
    frt_eval_report_text(data, out);
}

int cli_eval_pairs(struct cli_run *run)
{
    struct cli_models models = {0};
    struct cli_progress progress;
    struct frt_eval_report measured = {0};
    struct frt_error err = {0};
    uint32_t jobs = 1;
    cli_catch_interrupts();
    enum frt_status status = cli_jobs(run, &jobs, &err);
    if (cli_text(run, "images") == NULL)
        status = frt_fail(&err, FRT_EINVAL, "--images FOLDER is needed; see 'frt eval pairs --help'");
    if (status == FRT_OK)
        status = check_files(run, "roc", &err);
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
    status = frt_eval_pairs(models.context, models.pack, &options, &measured, &err);
    cli_progress_deinit(&progress);
    const struct report report = {&measured, pairs_json, pairs_svg, pairs_text};
    const int code = status == FRT_OK ? deliver(run, "roc", &report) : cli_complain(run, &err);
    frt_eval_report_deinit(&measured);
    cli_models_close(&models);
    return code;
}

/* ---------------------------------------------------------------- identify */

static void identify_json(const void *data, struct frt_buf *out)
{
    frt_eval_identify_report_json(data, out);
}

static void identify_svg(const void *data, struct frt_buf *out)
{
    frt_eval_identify_report_svg(data, out);
}

static void identify_text(const void *data, struct frt_buf *out)
{
    frt_eval_identify_report_text(data, out);
}

int cli_eval_identify(struct cli_run *run)
{
    struct cli_models models = {0};
    struct cli_progress progress;
    struct frt_eval_identify_report measured = {0};
    struct frt_error err = {0};
    uint32_t jobs = 1;
    long long splits = 0, seed = 0;
    cli_catch_interrupts();
    enum frt_status status = cli_jobs(run, &jobs, &err);
    if (status == FRT_OK)
        status = cli_whole(run, "splits", 1, 1000, 0, &splits, &err);
    if (status == FRT_OK)
        status = cli_whole(run, "seed", 0, 1000000000, 0, &seed, &err);
    if (status == FRT_OK)
        status = check_files(run, "plot", &err);
    if (status == FRT_OK)
        status = cli_models_open(run, 1, &models, &err);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    cli_progress_init(&progress, "photos", cli_has(run, "quiet") || cli_has(run, "json"));
    struct frt_eval_identify_options options = {.folder = run->arguments[0],
                                                .splits = (uint32_t)splits,
                                                .seed = (uint64_t)seed,
                                                .threads = jobs,
                                                .progress = on_photo,
                                                .progress_arg = &progress,
                                                .cancelled = cli_interrupted};
    status = frt_eval_identify(models.context, models.pack, &options, &measured, &err);
    cli_progress_deinit(&progress);
    const struct report report = {&measured, identify_json, identify_svg, identify_text};
    const int code = status == FRT_OK ? deliver(run, "plot", &report) : cli_complain(run, &err);
    frt_eval_identify_report_deinit(&measured);
    cli_models_close(&models);
    return code;
}

/* ------------------------------------------------------------------ detect */

static void detect_json(const void *data, struct frt_buf *out)
{
    frt_eval_detect_report_json(data, out);
}

static void detect_svg(const void *data, struct frt_buf *out)
{
    frt_eval_detect_report_svg(data, out);
}

static void detect_text(const void *data, struct frt_buf *out)
{
    frt_eval_detect_report_text(data, out);
}

/* Every --boxes that was given: sets come in several files. */
static size_t label_files(const struct cli_run *run, const char *files[CLI_MAX_OPTIONS])
{
    size_t n = 0;
    for (size_t i = 0; i < run->n_options; i++)
        if (strcmp(run->options[i].option->name, "boxes") == 0)
            files[n++] = run->options[i].value;
    return n;
}

int cli_eval_detect(struct cli_run *run)
{
    struct cli_models models = {0};
    struct cli_progress progress;
    struct frt_eval_detect_report measured = {0};
    struct frt_error err = {0};
    const char *files[CLI_MAX_OPTIONS];
    const size_t n_files = label_files(run, files);
    double confidence = 0, size = 0;
    long long seed = 0;
    uint32_t jobs = 1;
    cli_catch_interrupts();
    enum frt_status status = cli_jobs(run, &jobs, &err);
    if (status == FRT_OK)
        status = cli_number(run, "min-confidence", 0, 1, 0, &confidence, &err);
    if (status == FRT_OK)
        status = cli_number(run, "min-size", 0, 100000, 0, &size, &err);
    if (status == FRT_OK)
        status = cli_whole(run, "seed", 0, 1000000000, 0, &seed, &err);
    if (status == FRT_OK && n_files == 0)
        status = frt_fail(&err, FRT_EINVAL, "--boxes FILE is needed; see 'frt eval detect --help'");
    if (status == FRT_OK)
        status = check_files(run, "plot", &err);
    if (status == FRT_OK)
        status = cli_models_open(run, 1, &models, &err);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    cli_progress_init(&progress, "photos", cli_has(run, "quiet") || cli_has(run, "json"));
    struct frt_eval_detect_options options = {.folder = run->arguments[0],
                                              .labels = files,
                                              .n_labels = n_files,
                                              .min_confidence = (float)confidence,
                                              .min_size_px = (float)size,
                                              .seed = (uint64_t)seed,
                                              .threads = jobs,
                                              .progress = on_photo,
                                              .progress_arg = &progress,
                                              .cancelled = cli_interrupted};
    status = frt_eval_detect(models.context, models.pack, &options, &measured, &err);
    cli_progress_deinit(&progress);
    const struct report report = {&measured, detect_json, detect_svg, detect_text};
    const int code = status == FRT_OK ? deliver(run, "plot", &report) : cli_complain(run, &err);
    frt_eval_detect_report_deinit(&measured);
    cli_models_close(&models);
    return code;
}

/* ---------------------------------------------------------------- liveness */

static void liveness_json(const void *data, struct frt_buf *out)
{
    frt_eval_liveness_report_json(data, out);
}

static void liveness_svg(const void *data, struct frt_buf *out)
{
    frt_eval_liveness_report_svg(data, out);
}

static void liveness_text(const void *data, struct frt_buf *out)
{
    frt_eval_liveness_report_text(data, out);
}

/* Photos of FOLDER/real and FOLDER/fake[/TYPE], or of a map: the list of who is in which photo, where "who" is
 * real or fake, and the id the type. */
struct live_photos {
    struct cli_enroll_list list;
    struct frt_eval_liveness_sample *samples; /* [list.n], owned */
    char **attacks;                           /* [list.n], owned each; NULL = live */
};

static void live_photos_deinit(struct live_photos *photos)
{
    for (size_t i = 0; photos->attacks != NULL && i < photos->list.n; i++)
        frt_free(photos->attacks[i]);
    frt_free(photos->attacks);
    frt_free(photos->samples);
    cli_enroll_list_deinit(&photos->list);
}

/* 1: live, 0: an attack, -1: neither word. */
static int is_live(const char *label)
{
    static const char *const live[] = {"real", "live", "bonafide"}, *const attack[] = {"fake", "spoof",
                                                                                       "attack"};
    for (size_t i = 0; i < 3; i++) {
        if (strcasecmp(label, live[i]) == 0)
            return 1;
        if (strcasecmp(label, attack[i]) == 0)
            return 0;
    }
    return -1;
}

/* The type of an attack: the map's, else the folder between FOLDER/fake and the photo, else the label. */
static char *attack_of(const struct cli_enroll_item *item, const char *folder)
{
    if (item->face_id != NULL && item->face_id[0] != '\0')
        return frt_strdup(item->face_id);
    if (folder != NULL) {
        const char *type = item->path + strlen(folder);
        type += strspn(type, "/");
        type += strlen(item->subject);
        type += strspn(type, "/");
        const char *end = strchr(type, '/');
        if (end != NULL)
            return frt_strndup(type, (size_t)(end - type));
    }
    return frt_strdup(item->subject);
}

static enum frt_status collect_live_photos(const char *argument, struct live_photos *out, struct frt_error *err)
{
    struct stat info;
    const bool folder = stat(argument, &info) == 0 && S_ISDIR(info.st_mode);
    enum frt_status status = folder ? cli_enroll_list_folder(argument, &out->list, err)
                                    : cli_enroll_list_csv(argument, &out->list, err);
    if (status != FRT_OK)
        return status;
    out->samples = frt_alloc_zero(out->list.n + 1, sizeof *out->samples);
    out->attacks = frt_alloc_zero(out->list.n + 1, sizeof *out->attacks);
    if (out->samples == NULL || out->attacks == NULL)
        return frt_fail_nomem(err, "the list of photos");
    for (size_t i = 0; i < out->list.n; i++) {
        const struct cli_enroll_item *item = &out->list.items[i];
        const int live = is_live(item->subject);
        if (live < 0)
            return frt_fail(err, FRT_EBAD_REQUEST,
                            "%.300s is of '%.60s'; real (live, bonafide) or fake (spoof, attack) is right",
                            item->path, item->subject);
        if (live == 0 && (out->attacks[i] = attack_of(item, folder ? argument : NULL)) == NULL)
            return frt_fail_nomem(err, "the list of photos");
        out->samples[i] = (struct frt_eval_liveness_sample){.file = item->path, .attack = out->attacks[i]};
    }
    return FRT_OK;
}

int cli_eval_liveness(struct cli_run *run)
{
    struct cli_models models = {0};
    struct cli_progress progress;
    struct live_photos photos = {0};
    struct frt_eval_liveness_report measured = {0};
    struct frt_error err = {0};
    double threshold = 0;
    uint32_t jobs = 1;
    cli_catch_interrupts();
    enum frt_status status = cli_jobs(run, &jobs, &err);
    if (status == FRT_OK)
        status = cli_number(run, "threshold", 0, 1, 0, &threshold, &err);
    if (status == FRT_OK)
        status = check_files(run, "plot", &err);
    if (status == FRT_OK)
        status = collect_live_photos(run->arguments[0], &photos, &err);
    if (status == FRT_OK)
        status = cli_models_open(run, 1, &models, &err);
    if (status == FRT_OK) {
        cli_progress_init(&progress, "photos", cli_has(run, "quiet") || cli_has(run, "json"));
        const struct frt_eval_liveness_options options = {.samples = photos.samples,
                                                          .n = photos.list.n,
                                                          .threshold = (float)threshold,
                                                          .threads = jobs,
                                                          .progress = on_photo,
                                                          .progress_arg = &progress,
                                                          .cancelled = cli_interrupted};
        status = frt_eval_liveness(models.context, models.pack, &options, &measured, &err);
        cli_progress_deinit(&progress);
    }
    const struct report report = {&measured, liveness_json, liveness_svg, liveness_text};
    const int code = status == FRT_OK ? deliver(run, "plot", &report) : cli_complain(run, &err);
    frt_eval_liveness_report_deinit(&measured);
    live_photos_deinit(&photos);
    cli_models_close(&models);
    return code;
}

/* ----------------------------------------------------------------- quality */

static void quality_json(const void *data, struct frt_buf *out)
{
    frt_eval_quality_report_json(data, out);
}

static void quality_svg(const void *data, struct frt_buf *out)
{
    frt_eval_quality_report_svg(data, out);
}

static void quality_text(const void *data, struct frt_buf *out)
{
    frt_eval_quality_report_text(data, out);
}

int cli_eval_quality(struct cli_run *run)
{
    struct cli_models models = {0};
    struct cli_progress progress;
    struct frt_eval_quality_report measured = {0};
    struct frt_error err = {0};
    double fmr = 0;
    long long half = 0, seed = 0;
    uint32_t jobs = 1;
    cli_catch_interrupts();
    enum frt_status status = cli_jobs(run, &jobs, &err);
    if (status == FRT_OK)
        status = cli_number(run, "fmr", 1e-9, 0.5, 1e-3, &fmr, &err);
    if (status == FRT_OK)
        status = cli_whole(run, "half", 1, 2, 0, &half, &err);
    if (status == FRT_OK)
        status = cli_whole(run, "seed", 0, 1000000000, 0, &seed, &err);
    if (status == FRT_OK)
        status = check_files(run, "plot", &err);
    if (status == FRT_OK)
        status = cli_models_open(run, 1, &models, &err);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    cli_progress_init(&progress, "photos", cli_has(run, "quiet") || cli_has(run, "json"));
    const struct frt_eval_quality_options options = {.folder = run->arguments[0],
                                                     .fmr = fmr,
                                                     .half = (uint32_t)half,
                                                     .seed = (uint64_t)seed,
                                                     .threads = jobs,
                                                     .progress = on_photo,
                                                     .progress_arg = &progress,
                                                     .cancelled = cli_interrupted};
    status = frt_eval_quality(models.context, models.pack, &options, &measured, &err);
    cli_progress_deinit(&progress);
    const struct report report = {&measured, quality_json, quality_svg, quality_text};
    const int code = status == FRT_OK ? deliver(run, "plot", &report) : cli_complain(run, &err);
    frt_eval_quality_report_deinit(&measured);
    cli_models_close(&models);
    return code;
}

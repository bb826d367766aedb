/* frt search: who is in these photos? */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli_gallery.h"
#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/jobs.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "core/mem.h"
#include "engine/answer_gallery.h"

enum { MAX_OUTPUT_BYTES = 64 << 20 };

struct job {
    const struct cli_run *run;
    const char *collection;
    struct cli_inputs inputs;
    struct cli_models models;
    struct frt_gallery *gallery;
    struct frt_identify_options options;
    struct cli_progress progress;
    bool json, colours;
    atomic_size_t n_done, n_failed, n_unknown;
};

/* ------------------------------------------------------------------- answers */

/* How often a stranger is as similar to anybody here. */
static void likelihood(struct frt_buf *out, const struct frt_match *m)
{
    if (m->false_match_probability > 0)
        frt_buf_printf(out, "  strangers as similar: %.2g %%", 100 * m->false_match_probability);
}

static void further_match(struct frt_buf *out, const struct frt_match *m)
{
    frt_buf_append_text(out, "    ");
    cli_append_name(out, m->subject);
    frt_buf_printf(out, "  similarity %.4f (threshold %.4f)%s", (double)m->similarity, (double)m->threshold,
                   m->match ? "" : ", no match");
    likelihood(out, m);
    frt_buf_append_char(out, '\n');
}

/* The answer, then what else is like it. */
static void face_lines(const struct job *job, struct frt_buf *out, const char *path,
                       const struct frt_identified_face *f)
{
    const struct frt_box *box = &f->face.box;
    frt_buf_append_text(out, !job->colours ? "" : f->known ? "\033[1;32m" : "\033[1;31m");
    cli_append_name(out, f->known ? f->matches[0].subject : "unknown");
    frt_buf_append_text(out, job->colours ? "\033[0m" : "");
    if (f->known)
        frt_buf_printf(out, "  similarity %.4f (threshold %.4f)", (double)f->matches[0].similarity,
                       (double)f->matches[0].threshold);
    if (f->known)
        likelihood(out, &f->matches[0]);
    frt_buf_append_text(out, "  ");
    cli_append_name(out, path);
    frt_buf_printf(out, "  face at %.0f,%.0f %.0f x %.0f\n", (double)box->x, (double)box->y, (double)box->width,
                   (double)box->height);
    for (size_t i = f->known ? 1 : 0; i < f->n_matches; i++)
        further_match(out, &f->matches[i]);
}

static void text_answer(const struct job *job, const char *path, const struct frt_identified *found,
                        struct frt_buf *out)
{
    for (size_t i = 0; i < found->n; i++)
        face_lines(job, out, path, &found->faces[i]);
    if (found->n == 0) {
        frt_buf_append_text(out, "no face  ");
        cli_append_name(out, path);
        frt_buf_append_char(out, '\n');
    }
}

static void json_answer(const struct job *job, const char *path, const struct frt_identified *found,
                        const struct frt_error *problem, struct frt_buf *out)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    cli_member_text(&w, "file", path);
    if (problem != NULL) {
        frt_json_key(&w, "error");
        cli_json_error(&w, problem);
    } else {
        frt_answer_identified(&w, found, job->options.candidates);
    }
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* ----------------------------------------------------------------- one photo */

static int photo(void *arg, size_t i, struct frt_buf *out, struct frt_error *problem)
{
    struct job *job = arg;
    const char *path = job->inputs.paths[i];
    struct frt_error err = {0};
    struct frt_image *image = NULL;
    struct frt_identified found = {0};
    char *bytes = NULL;
    enum frt_status status = cli_photo_open(job->models.context, path, &bytes, &image, &err);
    bool named = status != FRT_OK; /* what cannot be opened is named by its error */
    if (status == FRT_OK)
        status =
            frt_identify(job->gallery, job->models.pack, job->collection, image, &job->options, &found, &err);
    int code = (int)frt_status_exit(status);
    if (status == FRT_OK) {
        for (size_t k = 0; k < found.n; k++)
            atomic_fetch_add(&job->n_unknown, found.faces[k].known ? 0 : 1);
        if (job->json)
            json_answer(job, path, &found, NULL, out);
        else
            text_answer(job, path, &found, out);
        code = found.n == 0 ? FRT_EXIT_NO_FACE : FRT_EXIT_OK;
        frt_identified_deinit(&found);
    } else if (status != FRT_ECANCELLED) {
        atomic_fetch_add(&job->n_failed, 1);
        if (!named)
            err.status = frt_fail_within(&err, status, "%s", path);
        if (job->json)
            json_answer(job, path, NULL, &err, out);
        *problem = err;
    }
    frt_image_free(image);
    frt_free(bytes);
    return code;
}

static enum frt_status print_photo(void *arg, size_t i, const struct frt_buf *out,
                                   const struct frt_error *problem, struct frt_error *err)
{
    struct job *job = arg;
    (void)i;
    cli_progress_clear(&job->progress);
    enum frt_status status = cli_print(out, err);
    if (status == FRT_OK && problem->text[0] != '\0')
        (void)cli_complain(job->run, problem);
    cli_progress_update(&job->progress, atomic_fetch_add(&job->n_done, 1) + 1, job->inputs.n);
    return status;
}

/* -------------------------------------------------------------- the command */

static enum frt_status read_options(struct job *job, struct frt_error *err)
{
    static const char *const scores[] = {"best", "fused", NULL};
    const struct cli_run *run = job->run;
    long long top_k = 0, max_faces = 0;
    double threshold = 0, min_confidence = 0;
    int score = -1;
    enum frt_status status = cli_whole(run, "top-k", 1, 1000, 0, &top_k, err);
    if (status == FRT_OK)
        status = cli_whole(run, "max-faces", 1, 1000, 0, &max_faces, err);
    if (status == FRT_OK)
        status = cli_number(run, "threshold", -1, 1, 0, &threshold, err);
    if (status == FRT_OK)
        status = cli_number(run, "min-confidence", 0, 1, 0, &min_confidence, err);
    if (status == FRT_OK)
        status = cli_choice(run, "score", scores, -1, &score, err);
    if (status != FRT_OK)
        return status;
    job->options = (struct frt_identify_options){.top_k = (uint32_t)top_k,
                                                 .threshold = (float)threshold,
                                                 .threshold_set = cli_has(run, "threshold"),
                                                 .every_face = cli_has(run, "every-face"),
                                                 .require_live = cli_has(run, "require-live"),
                                                 .candidates = cli_has(run, "candidates"),
                                                 .probability = cli_has(run, "probability"),
                                                 .score = score == 0   ? FRT_SCORE_BEST
                                                          : score == 1 ? FRT_SCORE_FUSED
                                                                       : FRT_SCORE_DEFAULT,
                                                 .max_faces = (uint32_t)max_faces,
                                                 .min_confidence = (float)min_confidence,
                                                 .cancelled = cli_interrupted};
    return FRT_OK;
}

static enum frt_status prepare(struct job *job, uint32_t *threads, struct frt_error *err)
{
    struct frt_collection_info info;
    const struct cli_run *run = job->run;
    enum frt_status status = read_options(job, err);
    if (status == FRT_OK)
        status = cli_jobs(run, threads, err);
    if (status == FRT_OK)
        status = cli_inputs_collect(run->arguments + 1, run->n_arguments - 1, &job->inputs, err);
    if (status == FRT_OK)
        status = cli_gallery_open(run, CLI_GALLERY_SEARCH, &job->gallery, err);
    /* a wrong name is told once, not for every photo */
    if (status == FRT_OK)
        status = frt_collection_get(job->gallery, job->collection, &info, err);
    if (status == FRT_OK) {
        frt_collection_info_deinit(&info);
        status = cli_models_open(run, *threads > 1 && job->inputs.n > 1 ? 1 : 0, &job->models, err);
    }
    return status;
}

static int worked(struct job *job, uint32_t threads)
{
    struct frt_error err = {0};
    int code = FRT_EXIT_OK;
    struct cli_jobs_plan plan = {.n = job->inputs.n,
                                 .threads = threads,
                                 .max_output_bytes = MAX_OUTPUT_BYTES,
                                 .arg = job,
                                 .work = photo,
                                 .print = print_photo,
                                 .stopped = cli_interrupted};
    cli_progress_init(&job->progress, "photos", cli_has(job->run, "quiet") || job->json || job->inputs.n < 2);
    enum frt_status status = cli_jobs_run(&plan, &code, &err);
    cli_progress_deinit(&job->progress);
    if (status != FRT_OK)
        return cli_complain(job->run, &err);
    if (cli_interrupted(NULL))
        return FRT_EXIT_INTERRUPTED;
    /* a photo that could not be judged weighs more than a face that nobody knows */
    if (code == FRT_EXIT_OK && job->n_unknown > 0)
        code = FRT_EXIT_UNKNOWN;
    if (job->n_failed > 0 && job->inputs.n > 1 && !job->json) {
        err.status =
            frt_fail(&err, FRT_EBAD_REQUEST, "%zu of %zu photos failed", (size_t)job->n_failed, job->inputs.n);
        (void)cli_complain(job->run, &err);
    }
    return code;
}

int cli_search(struct cli_run *run)
{
    struct job job = {
        .run = run, .collection = run->arguments[0], .json = cli_has(run, "json"), .colours = cli_colours()};
    struct frt_error err = {0};
    uint32_t threads = 1;
    cli_catch_interrupts();
    int code = prepare(&job, &threads, &err) == FRT_OK ? worked(&job, threads) : cli_complain(run, &err);
    frt_gallery_close(job.gallery);
    cli_models_close(&job.models);
    cli_inputs_deinit(&job.inputs);
    return code;
}

/* frt detect, frt embed: one walk over photos, two endings. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/draw.h"
#include "cli/inputs.h"
#include "cli/jobs.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "core/clock.h"
#include "core/mem.h"
#include "engine/answer.h"

enum { MAX_OUTPUT_BYTES = 256 << 20, SHOWN_NUMBERS = 6 };

struct job {
    const struct cli_run *run;
    struct cli_inputs inputs;
    struct cli_models models;
    struct frt_detect_options options;
    bool embed, json, colours;
    enum frt_embedding_encoding encoding;
    struct cli_draw_target draw;
    struct cli_progress progress;
    atomic_size_t n_done, n_faces, n_failed; /* relaxed is enough, but they are not hot */
};

/* ------------------------------------------------------------ text output */

static void face_line(struct frt_buf *out, size_t i, const struct frt_face *f, const float *embedding,
                      size_t dim)
{
    frt_buf_printf(out, "  %3zu  %5.0f,%-5.0f %4.0f x %-4.0f  %.3f", i + 1, (double)f->box.x, (double)f->box.y,
                   (double)f->box.width, (double)f->box.height, (double)f->confidence);
    if (f->attributes & FRT_ATTRIBUTE_QUALITY)
        frt_buf_printf(out, "  quality %.2f (sharpness %.2f, brightness %.2f, yaw %.0f, pitch %.0f, roll %.0f)",
                       (double)f->quality.score, (double)f->quality.sharpness, (double)f->quality.brightness,
                       (double)f->quality.yaw, (double)f->quality.pitch, (double)f->quality.roll);
    if (f->attributes & FRT_ATTRIBUTE_LIVENESS)
        frt_buf_printf(out, "  %s %.2f", f->liveness.real ? "real, spoof" : "SPOOF",
                       (double)f->liveness.spoof_confidence);
    if (f->attributes & FRT_ATTRIBUTE_AGE)
        frt_buf_printf(out, "  age %.0f", (double)f->age);
    if (f->attributes & FRT_ATTRIBUTE_GENDER)
        frt_buf_printf(out, "  %s %.2f", f->gender == FRT_GENDER_FEMALE ? "female" : "male",
                       (double)f->gender_probability);
    if (f->attributes & FRT_ATTRIBUTE_EXPRESSION)
        frt_buf_printf(out, "  %s %.2f", frt_expression_name(f->expression), (double)f->expression_probability);
    frt_buf_append_char(out, '\n');
    if (embedding != NULL) {
        frt_buf_append_text(out, "       [");
        for (size_t k = 0; k < dim && k < SHOWN_NUMBERS; k++)
            frt_buf_printf(out, "%s%.4f", k == 0 ? "" : ", ", (double)embedding[k]);
        frt_buf_printf(out, ", … %zu numbers]\n", dim);
    }
}

static void text_answer(const struct job *job, const char *path, const struct frt_image_info *info,
                        const struct frt_faces *faces, struct frt_buf *out)
{
    size_t n = frt_faces_count(faces), dim = frt_pack_info_get(job->models.pack)->dim;
    struct frt_timing timing = frt_faces_timing(faces);
    frt_buf_append_text(out, job->colours ? "\033[1m" : "");
    cli_append_name(out, path);
    frt_buf_printf(out, "%s  %u x %u  %zu face%s  %.0f ms\n", job->colours ? "\033[0m" : "", info->width_px,
                   info->height_px, n, n == 1 ? "" : "s", timing.total_ms);
    if (n > 0)
        frt_buf_append_text(out, "    #  position    size         confidence\n");
    for (size_t i = 0; i < n; i++)
        face_line(out, i, frt_faces_get(faces, i), frt_faces_embedding(faces, i), dim);
}

static void json_answer(const struct job *job, const char *path, const struct frt_image_info *info,
                        const struct frt_faces *faces, struct frt_buf *out)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    frt_json_key(&w, "file");
    frt_json_string(&w, path);
    frt_answer_faces(&w, faces, info, job->embed ? job->models.pack : NULL, job->encoding);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

static void json_error(const char *path, const struct frt_error *err, struct frt_buf *out)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    frt_json_key(&w, "file");
    frt_json_string(&w, path);
    frt_json_key(&w, "error");
    cli_json_error(&w, err);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* --------------------------------------------------------------- one photo */

static int photo(void *arg, size_t i, struct frt_buf *out, struct frt_error *problem)
{
    struct job *job = arg;
    const char *path = job->inputs.paths[i];
    struct frt_error err = {0};
    struct frt_image *image = NULL;
    struct frt_faces *faces = NULL;
    char *bytes = NULL;
    enum frt_status status = cli_photo_open(job->models.context, path, &bytes, &image, &err);
    bool named = status != FRT_OK; /* what cannot be opened is named by its error */
    if (status == FRT_OK)
        status = job->embed ? frt_embed(job->models.pack, image, &job->options, &faces, &err)
                            : frt_detect(job->models.pack, image, &job->options, &faces, &err);
    if (status == FRT_OK && job->draw.path != NULL)
        status = cli_draw(&job->draw, path, image, faces, &err);
    if (status == FRT_OK) {
        struct frt_image_info info = frt_image_info_get(image);
        atomic_fetch_add(&job->n_faces, frt_faces_count(faces));
        if (job->json)
            json_answer(job, path, &info, faces, out);
        else
            text_answer(job, path, &info, faces, out);
    } else if (status != FRT_ECANCELLED) {
        atomic_fetch_add(&job->n_failed, 1);
        if (!named)
            status = frt_fail_within(&err, status, "%s", path);
        if (job->json)
            json_error(path, &err, out);
        *problem = err;
    }
    frt_faces_free(faces);
    frt_image_free(image);
    frt_free(bytes);
    return (int)frt_status_exit(status);
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
    const struct cli_run *run = job->run;
    long long max_faces = 0;
    double min_confidence = 0, min_size = 0;
    const char *attributes = cli_text(run, "attributes"), *encoding = cli_text(run, "encoding");
    enum frt_status status = cli_whole(run, "max-faces", 1, 1000, 0, &max_faces, err);
    if (status == FRT_OK)
        status = cli_number(run, "min-confidence", 0, 1, 0, &min_confidence, err);
    if (status == FRT_OK)
        status = cli_number(run, "min-size", 0, 100000, 0, &min_size, err);
    if (status == FRT_OK && attributes != NULL &&
        frt_attributes_parse(attributes, &job->options.attributes, err) != FRT_OK)
        status = FRT_EINVAL;
    if (status == FRT_OK && encoding != NULL && strcmp(encoding, "array") != 0 &&
        strcmp(encoding, "base64") != 0)
        status = frt_fail(err, FRT_EINVAL, "--encoding is '%s'; array or base64 is right", encoding);
    if (status != FRT_OK) {
        err->status = FRT_EINVAL;
        return status;
    }
    job->options.max_faces = (uint32_t)max_faces;
    job->options.min_confidence = (float)min_confidence;
    job->options.min_size_px = (float)min_size;
    job->options.cancelled = cli_interrupted;
    job->encoding =
        encoding != NULL && strcmp(encoding, "base64") == 0 ? FRT_ENCODING_BASE64 : FRT_ENCODING_ARRAY;
    job->json = cli_has(run, "json");
    job->colours = cli_colours();
    return FRT_OK;
}

static enum frt_status prepare(struct job *job, uint32_t *threads, struct frt_error *err)
{
    enum frt_status status = read_options(job, err);
    if (status == FRT_OK)
        status = cli_jobs(job->run, threads, err);
    if (status == FRT_OK)
        status = cli_inputs_collect(job->run->arguments, job->run->n_arguments, &job->inputs, err);
    if (status == FRT_OK && cli_text(job->run, "draw") != NULL)
        status = cli_draw_target_init(&job->draw, cli_text(job->run, "draw"), job->inputs.several,
                                      cli_has(job->run, "force"), job->inputs.paths, job->inputs.n, err);
    /* several photos at once keep the cores busy with one thread each; a single one takes all */
    if (status == FRT_OK)
        status = cli_models_open(job->run, *threads > 1 && job->inputs.n > 1 ? 1 : 0, &job->models, err);
    return status;
}

static int faces_command(struct cli_run *run, bool embed)
{
    struct job job = {.run = run, .embed = embed};
    struct frt_error err = {0};
    uint32_t threads = 1;
    int code = FRT_EXIT_OK;
    cli_catch_interrupts();
    enum frt_status status = prepare(&job, &threads, &err);
    cli_progress_init(&job.progress, "photos", cli_has(run, "quiet") || job.json || job.inputs.n < 2);
    if (status == FRT_OK) {
        struct cli_jobs_plan plan = {.n = job.inputs.n,
                                     .threads = threads,
                                     .max_output_bytes = MAX_OUTPUT_BYTES,
                                     .arg = &job,
                                     .work = photo,
                                     .print = print_photo,
                                     .stopped = cli_interrupted};
        status = cli_jobs_run(&plan, &code, &err);
    }
    cli_progress_deinit(&job.progress);
    if (status != FRT_OK)
        code = cli_complain(run, &err);
    else if (cli_interrupted(NULL))
        code = FRT_EXIT_INTERRUPTED;
    else if (code == FRT_EXIT_OK && job.n_faces == 0)
        code = FRT_EXIT_NO_FACE;
    else if (job.n_failed > 0 && job.inputs.n > 1 && !job.json) {
        err.status = FRT_EBAD_REQUEST;
        (void)snprintf(err.text, sizeof err.text, "%zu of %zu photos failed", (size_t)job.n_failed,
                       job.inputs.n);
        (void)cli_complain(run, &err);
    }
    cli_draw_target_deinit(&job.draw);
    cli_models_close(&job.models);
    cli_inputs_deinit(&job.inputs);
    return code;
}

int cli_detect(struct cli_run *run)
{
    return faces_command(run, false);
}

int cli_embed(struct cli_run *run)
{
    return faces_command(run, true);
}

/* frt verify: the same person? */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "core/mem.h"
#include "engine/answer.h"
#include "engine/faces.h"

enum { MAX_OUTPUT_BYTES = 1 << 20 };

struct probe {
    struct frt_image *image;
    char *bytes;             /* what the image reads, when it came from a pipe */
    struct frt_faces *faces; /* exactly one face, its embedding included */
};

static void probe_deinit(struct probe *p)
{
    frt_faces_free(p->faces);
    frt_image_free(p->image);
    frt_free(p->bytes);
    *p = (struct probe){0};
}

static enum frt_status probe_init(struct probe *p, const struct cli_models *models, const char *path,
                                  const struct frt_detect_options *options, struct frt_error *err)
{
    *p = (struct probe){0};
    enum frt_status status = cli_photo_open(models->context, path, &p->bytes, &p->image, err);
    if (status != FRT_OK)
        return status;
    status = frt_embed(models->pack, p->image, options, &p->faces, err);
    if (status == FRT_OK && frt_faces_count(p->faces) == 0)
        status = frt_fail(err, FRT_ENO_FACE, "no face found");
    if (status == FRT_OK) /* with --require-live; otherwise nobody has looked */
        status = frt_face_check_live(frt_faces_get(p->faces, 0), err);
    if (status != FRT_OK) {
        probe_deinit(p);
        return frt_fail_within(err, status, "%s", path);
    }
    return FRT_OK;
}

static void json_line(struct frt_buf *out, const char *reference, const char *path, const struct probe *a,
                      const struct probe *b, const struct frt_verdict *verdict)
{
    struct frt_json_writer w;
    struct frt_timing t = frt_faces_timing(b->faces);
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    frt_json_key(&w, "file1");
    frt_json_string(&w, reference);
    frt_json_key(&w, "file2");
    frt_json_string(&w, path);
    frt_answer_verdict(&w, verdict);
    frt_json_key(&w, "faces");
    frt_json_array(&w);
    frt_answer_face(&w, frt_faces_get(a->faces, 0), NULL, 0, FRT_ENCODING_ARRAY);
    frt_answer_face(&w, frt_faces_get(b->faces, 0), NULL, 0, FRT_ENCODING_ARRAY);
    frt_json_end(&w);
    frt_answer_timing(&w, &t);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

static void json_problem(struct frt_buf *out, const char *reference, const char *path,
                         const struct frt_error *problem)
{
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, false);
    frt_json_object(&w);
    frt_json_key(&w, "file1");
    frt_json_string(&w, reference);
    if (path != NULL) {
        frt_json_key(&w, "file2");
        frt_json_string(&w, path);
    }
    frt_json_key(&w, "error");
    cli_json_error(&w, problem);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* A photo that could not be judged, on standard error and in the JSON; returns its exit code.
 * path  NULL: the reference. */
static int report(const struct cli_run *run, const char *path, const struct frt_error *problem)
{
    struct frt_buf out;
    struct frt_error err;
    int code = problem->status == FRT_ECANCELLED ? FRT_EXIT_INTERRUPTED : cli_complain(run, problem);
    if (!cli_has(run, "json") || problem->status == FRT_ECANCELLED || cli_output_failed())
        return code;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    json_problem(&out, run->arguments[0], path, problem);
    if (cli_print(&out, &err) != FRT_OK)
        code = cli_complain(run, &err);
    frt_buf_deinit(&out);
    return code;
}

static void text_line(struct frt_buf *out, const char *path, const struct probe *b, const struct frt_verdict *v)
{
    const struct frt_box *box = &frt_faces_get(b->faces, 0)->box;
    bool colours = cli_colours();
    frt_buf_printf(out, "%s%s%s  similarity %.4f (threshold %.4f)  ",
                   !colours      ? ""
                   : v->verified ? "\033[1;32m"
                                 : "\033[1;31m",
                   v->verified ? "same person" : "NOT the same", colours ? "\033[0m" : "",
                   (double)v->similarity, (double)v->threshold);
    cli_append_name(out, path);
    frt_buf_printf(out, "  face at %.0f,%.0f %.0f x %.0f\n", (double)box->x, (double)box->y, (double)box->width,
                   (double)box->height);
}

static enum frt_status compare_one(const struct cli_run *run, const struct cli_models *models,
                                   const struct frt_detect_options *options, const struct probe *reference,
                                   const char *path, double threshold, bool *verified, struct frt_error *err)
{
    struct probe other;
    struct frt_verdict verdict = {0};
    enum frt_status status = probe_init(&other, models, path, options, err);
    if (status != FRT_OK)
        return status;
    struct frt_buf out;
    frt_buf_init(&out, MAX_OUTPUT_BYTES);
    status = frt_verify(models->pack, frt_faces_embedding(reference->faces, 0),
                        frt_faces_embedding(other.faces, 0), (float)threshold, &verdict, err);
    if (status == FRT_OK) {
        if (cli_has(run, "json"))
            json_line(&out, run->arguments[0], path, reference, &other, &verdict);
        else
            text_line(&out, path, &other, &verdict);
        status = cli_print(&out, err);
        *verified = verdict.verified;
    }
    frt_buf_deinit(&out);
    probe_deinit(&other);
    return status;
}

/* What the whole command answers, after one more photo. */
static int worse(int so_far, int now)
{
    /* a photo that could not be judged weighs more than one that does not match */
    return so_far == FRT_EXIT_OK || (so_far == FRT_EXIT_NOT_VERIFIED && now != FRT_EXIT_OK) ? now : so_far;
}

int cli_verify(struct cli_run *run)
{
    struct cli_models models = {0};
    struct probe reference = {0};
    struct frt_error err = {0};
    double threshold = NAN, min_confidence = 0;
    int code = FRT_EXIT_OK;
    cli_catch_interrupts();
    enum frt_status status = cli_number(run, "threshold", -1, 1, (double)NAN, &threshold, &err);
    if (status == FRT_OK)
        status = cli_number(run, "min-confidence", 0, 1, 0, &min_confidence, &err);
    for (size_t i = 0, streams = 0; status == FRT_OK && i < run->n_arguments; i++)
        if (strcmp(run->arguments[i], "-") == 0 && ++streams > 1)
            status = frt_fail(&err, FRT_EINVAL, "'-' (standard input) is named twice");
    struct frt_detect_options options = {
        .max_faces = 1,
        .attributes = cli_has(run, "require-live") ? (uint32_t)FRT_ATTRIBUTE_LIVENESS : 0u,
        .min_confidence = (float)min_confidence,
        .cancelled = cli_interrupted};
    if (status == FRT_OK)
        status = cli_models_open(run, 0, &models, &err);
    if (status != FRT_OK)
        return cli_complain(run, &err);
    status = probe_init(&reference, &models, run->arguments[0], &options, &err);
    if (status != FRT_OK)
        code = report(run, NULL, &err);
    for (size_t i = 1; status == FRT_OK && i < run->n_arguments; i++) {
        bool verified = false;
        enum frt_status one =
            compare_one(run, &models, &options, &reference, run->arguments[i], threshold, &verified, &err);
        if (one == FRT_OK)
            code = worse(code, verified ? FRT_EXIT_OK : FRT_EXIT_NOT_VERIFIED);
        else
            code = worse(code, report(run, run->arguments[i], &err));
        if (one == FRT_ECANCELLED || cli_output_failed())
            break;
    }
    probe_deinit(&reference);
    cli_models_close(&models);
    return code;
}

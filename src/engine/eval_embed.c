#include "engine/eval_embed.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "engine/faces.h"

/* What the threads share. Each photo's slots are written by the one thread that took its number; the
 * rest is read only or under the lock. */
struct run {
    const struct frt_context *context;
    const struct frt_pack *pack;
    const struct frt_eval_embed_options *options;
    uint32_t dim;
    float *vectors; /* f32[n][dim] */
    bool *seen;     /* has a vector */
    struct frt_face *faces;
    char **causes;        /* why not; owned */
    pthread_mutex_t lock; /* guards what follows; never held during work */
    size_t decoded, several;
    struct frt_timing sum;
};

static size_t choose_face(const struct frt_faces *faces, const struct frt_image_info *info,
                          enum frt_eval_face rule)
{
    size_t best = 0; /* the largest comes first */
    double nearest = INFINITY;
    for (size_t i = 0; rule == FRT_EVAL_FACE_CENTRAL && i < frt_faces_count(faces); i++) {
        const struct frt_box b = frt_faces_get(faces, i)->box;
        const double distance = hypot((double)b.x + (double)b.width / 2 - info->width_px / 2.0,
                                      (double)b.y + (double)b.height / 2 - info->height_px / 2.0);
        if (distance < nearest) {
            nearest = distance;
            best = i;
        }
    }
    return best;
}

/* Embed photo i. A photo that cannot be read or has no face gives a cause and FRT_OK: the run goes on. */
static enum frt_status embed_photo(struct run *run, size_t i, char cause[FRT_ERROR_TEXT_MAX],
                                   struct frt_timing *timing, size_t *n_faces, struct frt_error *err)
{
    enum frt_status status;
    struct frt_image *image = NULL;
    struct frt_faces *faces = NULL;
    char path[4096];
    const struct frt_detect_options detect = {.min_confidence = run->options->min_confidence,
                                              .attributes = run->options->attributes};

    const int length = snprintf(path, sizeof path, "%s/%s", run->options->folder, run->options->files[i]);
    if (length < 0 || (size_t)length >= sizeof path)
        return frt_fail(err, FRT_EINVAL, "a path is longer than %zu bytes", sizeof path - 1);
    status = frt_image_open_file(run->context, path, &image, err);
    if (status == FRT_OK)
        status = frt_embed(run->pack, image, &detect, &faces, err);
    if (status == FRT_EBAD_IMAGE || status == FRT_EUNSUPPORTED_IMAGE || status == FRT_EIMAGE_TOO_LARGE) {
        (void)snprintf(cause, FRT_ERROR_TEXT_MAX, "%s", err->text);
        status = FRT_OK;
        goto done;
    }
    if (status != FRT_OK)
        goto done;
    *timing = frt_faces_timing(faces);
    *n_faces = frt_faces_count(faces);
    if (*n_faces == 0) {
        (void)snprintf(cause, FRT_ERROR_TEXT_MAX, "%s", frt_status_title(FRT_ENO_FACE));
        goto done;
    }
    const struct frt_image_info info = frt_image_info_get(image);
    const size_t chosen = choose_face(faces, &info, run->options->face);
    const float *embedding = frt_faces_embedding(faces, chosen);
    run->faces[i] = *frt_faces_get(faces, chosen);
    memcpy(run->vectors + i * run->dim, embedding, run->dim * sizeof *embedding);
    run->seen[i] = true;
done:
    frt_faces_free(faces);
    frt_image_free(image);
    return status;
}

static enum frt_status work(void *arg, size_t i, struct frt_error *err)
{
    struct run *run = arg;
    struct frt_timing timing = {0};
    char cause[FRT_ERROR_TEXT_MAX] = "";
    size_t n_faces = 0;
    enum frt_status status = embed_photo(run, i, cause, &timing, &n_faces, err);
    if (status == FRT_OK && cause[0] != '\0') {
        run->causes[i] = frt_strdup(cause);
        if (run->causes[i] == NULL)
            status = frt_fail_nomem(err, "failures");
    }
    (void)pthread_mutex_lock(&run->lock);
    run->several += n_faces > 1;
    run->decoded += timing.total_ms > 0;
    frt_timing_add(&run->sum, &timing);
    (void)pthread_mutex_unlock(&run->lock);
    return status;
}

static enum frt_status run_threads(struct run *run, uint32_t threads, struct frt_error *err)
{
    const struct frt_eval_embed_options *o = run->options;
    const struct frt_eval_each each = {.n = o->n,
                                       .threads = threads,
                                       .work = work,
                                       .arg = run,
                                       .progress = o->progress,
                                       .progress_arg = o->progress_arg,
                                       .cancelled = o->cancelled,
                                       .cancelled_arg = o->cancelled_arg};
    if (pthread_mutex_init(&run->lock, NULL) != 0)
        return frt_fail_nomem(err, "lock");
    enum frt_status status = frt_eval_each(&each, err);
    (void)pthread_mutex_destroy(&run->lock);
    return status;
}

/* The causes become the list of failures. */
static enum frt_status list_failures(struct run *run, struct frt_eval_embeddings *out, struct frt_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < run->options->n; i++)
        n += run->causes[i] != NULL;
    if (n == 0)
        return FRT_OK;
    out->failures = frt_alloc_zero(n, sizeof *out->failures);
    if (out->failures == NULL)
        return frt_fail_nomem(err, "failures");
    for (size_t i = 0; i < run->options->n; i++) {
        if (run->causes[i] == NULL)
            continue;
        struct frt_eval_failure *failure = &out->failures[out->n_failures++];
        failure->file = frt_strdup(run->options->files[i]);
        failure->cause = run->causes[i];
        run->causes[i] = NULL;
        if (failure->file == NULL)
            return frt_fail_nomem(err, "failures");
    }
    return FRT_OK;
}

enum frt_status frt_eval_embed(const struct frt_context *context, const struct frt_pack *pack,
                               const struct frt_eval_embed_options *options, struct frt_eval_embeddings *out,
                               struct frt_error *err)
{
    const struct frt_pack_info *info = frt_pack_info_get(pack);
    struct run run = {.context = context, .pack = pack, .options = options, .dim = info->dim};
    struct frt_eval_embeddings made = {.n = options->n, .dim = info->dim};
    const int64_t start = frt_now_ns();
    enum frt_status status;
    size_t total = 0;

    if (options->threads > FRT_EVAL_MAX_THREADS ||
        (options->face != FRT_EVAL_FACE_CENTRAL && options->face != FRT_EVAL_FACE_LARGEST))
        return frt_fail(err, FRT_EINVAL, "%u threads or face rule %d; 1 to %d threads fit", options->threads,
                        (int)options->face, FRT_EVAL_MAX_THREADS);
    if (run.dim == 0)
        return frt_fail(err, FRT_EBAD_MODEL, "pack %s has no embedder", info->name);
    run.seen = frt_alloc_zero(options->n, sizeof *run.seen);
    run.causes = frt_alloc_zero(options->n, sizeof *run.causes);
    run.faces = frt_alloc_zero(options->n, sizeof *run.faces);
    if (frt_mul_size(options->n, run.dim, &total))
        run.vectors = frt_alloc_array(total, sizeof *run.vectors);
    if (run.seen == NULL || run.causes == NULL || run.faces == NULL || run.vectors == NULL) {
        status = frt_fail_nomem(err, "evaluation");
        goto done;
    }
    made.threads = options->threads > 0 ? options->threads : 1;
    status = run_threads(&run, made.threads, err);
    if (status == FRT_OK)
        status = list_failures(&run, &made, err);
    if (status != FRT_OK)
        goto done;
    made.wall_ms = frt_elapsed_ms(start);
    made.mean = frt_timing_mean(&run.sum, run.decoded);
    made.n_several = run.several;
    made.vectors = run.vectors;
    made.seen = run.seen;
    made.faces = run.faces;
    run.vectors = NULL;
    run.seen = NULL;
    run.faces = NULL;
    *out = made;
    made = (struct frt_eval_embeddings){0};
done:
    for (size_t i = 0; run.causes != NULL && i < options->n; i++)
        frt_free(run.causes[i]);
    frt_free(run.causes);
    frt_free(run.seen);
    frt_free(run.faces);
    frt_free(run.vectors);
    frt_eval_embeddings_deinit(&made);
    return status;
}

void frt_eval_failures_free(struct frt_eval_failure *failures, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        frt_free(failures[i].file);
        frt_free(failures[i].cause);
    }
    frt_free(failures);
}

void frt_eval_embeddings_deinit(struct frt_eval_embeddings *embeddings)
{
    frt_eval_failures_free(embeddings->failures, embeddings->n_failures);
    frt_free(embeddings->vectors);
    frt_free(embeddings->seen);
    frt_free(embeddings->faces);
    *embeddings = (struct frt_eval_embeddings){0};
}

#include "engine/eval_pairs.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "engine/faces.h"
#include "simd/dot.h"

enum { MAX_THREADS = 256, MAX_PAIRS_FILE = 64 << 20, HISTOGRAM_BINS = 20001, MAX_ROC_POINTS = 400 };

static const double points_far[2] = {1e-2, 1e-3};
static const double all_points_far[FRT_EVAL_MAX_POINTS] = {1e-2, 1e-3, 1e-4, 1e-5};

/* What the threads share. Each photo's slots are written by the one thread that took its number; the
 * rest is read only, or atomic, or under the lock. */
struct run {
    const struct frt_context *context;
    const struct frt_pack *pack;
    const struct frt_eval_options *options;
    const struct frt_eval_protocol *protocol;
    uint32_t dim;
    float *embeddings; /* f32[n_photos][dim] */
    bool *seen;        /* has an embedding */
    char **causes;     /* why not; owned */
    atomic_size_t next;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards what follows; held during the progress callback, never during work */
    size_t done, decoded, several;
    struct frt_timing sum;
    enum frt_status status; /* the first failure that ends the run */
    struct frt_error error;
};

/* ----------------------------------------------------------------- files */

/* Path of a photo below the folder, without it; false when no such file stands there. */
static bool find_photo(const char *folder, const struct frt_eval_photo *photo, char *relative, size_t size)
{
    static const char *const endings[] = {"jpg", "jpeg", "png", "webp"};
    char path[4096];
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        (void)snprintf(relative, size, "%s/%s_%04u.%s", photo->name, photo->name, photo->number, endings[i]);
        const int n = snprintf(path, sizeof path, "%s/%s", folder, relative);
        if (n > 0 && (size_t)n < sizeof path && access(path, R_OK) == 0)
            return true;
    }
    (void)snprintf(relative, size, "%s/%s_%04u.%s", photo->name, photo->name, photo->number, endings[0]);
    return false;
}

static enum frt_status check_photos(const char *folder, const struct frt_eval_protocol *protocol,
                                    struct frt_error *err)
{
    char relative[512], first[512] = "";
    size_t missing = 0;
    struct stat info;
    if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode))
        return frt_fail(err, FRT_ENOTFOUND, "no folder \"%s\"", folder);
    for (size_t i = 0; i < protocol->n_photos; i++) {
        if (!find_photo(folder, &protocol->photos[i], relative, sizeof relative) && missing++ == 0)
            memcpy(first, relative, sizeof first);
    }
    if (missing > 0)
        return frt_fail(err, FRT_ENOTFOUND,
                        "%zu of %zu photos that the pairs file names are not in the folder, e.g. %s", missing,
                        protocol->n_photos, first);
    return FRT_OK;
}

static enum frt_status read_text(const char *path, char **out, size_t *size, struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    char *text = NULL;
    struct stat info;
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return frt_fail(err, FRT_ENOTFOUND, "pairs file \"%s\" cannot be opened", path);
    if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > MAX_PAIRS_FILE) {
        status = frt_fail(err, FRT_EBAD_REQUEST, "pairs file \"%s\" is no file of at most %d MiB", path,
                          MAX_PAIRS_FILE >> 20);
        goto done;
    }
    text = frt_alloc((size_t)info.st_size + 1);
    if (text == NULL) {
        status = frt_fail_nomem(err, "pairs file");
        goto done;
    }
    *size = fread(text, 1, (size_t)info.st_size, file);
    if (ferror(file)) {
        status = frt_fail(err, FRT_EIO, "pairs file \"%s\" cannot be read", path);
        goto done;
    }
    *out = text;
    text = NULL;
done:
    frt_free(text);
    (void)fclose(file);
    return status;
}

/* ---------------------------------------------------------------- photos */

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
    char relative[512], path[4096];
    const struct frt_detect_options detect = {.min_confidence = run->options->min_confidence};

    if (!find_photo(run->options->folder, &run->protocol->photos[i], relative, sizeof relative))
        return frt_fail(err, FRT_ENOTFOUND, "photo %s went away", relative);
    (void)snprintf(path, sizeof path, "%s/%s", run->options->folder, relative);
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
    const float *embedding = frt_faces_embedding(faces, choose_face(faces, &info, run->options->face));
    memcpy(run->embeddings + i * run->dim, embedding, run->dim * sizeof *embedding);
    run->seen[i] = true;
done:
    frt_faces_free(faces);
    frt_image_free(image);
    return status;
}

static void *work(void *arg)
{
    struct run *run = arg;
    const struct frt_eval_options *o = run->options;
    for (;;) {
        /* seq_cst throughout: one operation a photo */
        const size_t i = atomic_fetch_add(&run->next, 1);
        if (i >= run->protocol->n_photos || atomic_load(&run->stop))
            return NULL;
        struct frt_error err = {0};
        struct frt_timing timing = {0};
        char cause[FRT_ERROR_TEXT_MAX] = "";
        size_t n_faces = 0;
        enum frt_status status = FRT_OK;
        if (o->cancelled != NULL && o->cancelled(o->cancelled_arg))
            status = frt_fail(&err, FRT_ECANCELLED, "evaluation cancelled");
        else
            status = embed_photo(run, i, cause, &timing, &n_faces, &err);
        if (status == FRT_OK && cause[0] != '\0') {
            run->causes[i] = frt_strdup(cause);
            if (run->causes[i] == NULL)
                status = frt_fail_nomem(&err, "failures");
        }
        (void)pthread_mutex_lock(&run->lock);
        if (status != FRT_OK && run->status == FRT_OK) {
            run->status = status;
            run->error = err;
            atomic_store(&run->stop, true);
        }
        run->done++;
        run->several += n_faces > 1;
        run->decoded += timing.total_ms > 0;
        frt_timing_add(&run->sum, &timing);
        if (status == FRT_OK && o->progress != NULL)
            o->progress(o->progress_arg, run->done, run->protocol->n_photos);
        (void)pthread_mutex_unlock(&run->lock);
    }
}

static enum frt_status run_threads(struct run *run, uint32_t threads, struct frt_error *err)
{
    pthread_t others[MAX_THREADS];
    uint32_t started = 0;
    if (pthread_mutex_init(&run->lock, NULL) != 0)
        return frt_fail_nomem(err, "lock");
    /* this thread works too; fewer threads than asked for are no failure */
    while (started + 1 < threads && pthread_create(&others[started], NULL, work, run) == 0)
        started++;
    (void)work(run);
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(others[i], NULL);
    (void)pthread_mutex_destroy(&run->lock);
    if (run->status != FRT_OK && err != NULL)
        *err = run->error;
    return run->status;
}

/* --------------------------------------------------------------- numbers */

static void score_pairs(const struct run *run, struct frt_eval_report *report)
{
    for (size_t i = 0; i < run->protocol->n_pairs; i++) {
        const struct frt_eval_pair *pair = &run->protocol->pairs[i];
        struct frt_scored_pair *scored = &report->scores[i];
        *scored = (struct frt_scored_pair){.score = -1, .same = pair->same, .fold = pair->fold};
        if (run->seen[pair->photo[0]] && run->seen[pair->photo[1]])
            scored->score = frt_dot_f32(run->embeddings + (size_t)pair->photo[0] * run->dim,
                                        run->embeddings + (size_t)pair->photo[1] * run->dim, run->dim);
        else
            report->n_failed_pairs++;
        report->n_same += pair->same;
    }
    report->n_pairs = run->protocol->n_pairs;
    report->n_different = report->n_pairs - report->n_same;
    frt_eval_sort(report->scores, report->n_pairs);
}

static void rates_at(const struct frt_scored_pair *pairs, size_t n, float threshold, double *far, double *tar)
{
    size_t same = 0, different = 0, hits = 0, wrong = 0;
    for (size_t i = 0; i < n; i++) {
        const bool accepted = pairs[i].score >= threshold;
        same += pairs[i].same;
        different += !pairs[i].same;
        hits += accepted && pairs[i].same;
        wrong += accepted && !pairs[i].same;
    }
    *far = different > 0 ? (double)wrong / (double)different : NAN;
    *tar = same > 0 ? (double)hits / (double)same : NAN;
}

static void measure_pairs(const struct frt_eval_protocol *protocol, struct frt_eval_report *r)
{
    double sum = 0, squares = 0;
    r->n_folds = protocol->n_folds;
    for (uint32_t f = 0; f < r->n_folds; f++) {
        struct frt_eval_fold *fold = &r->folds[f];
        *fold = (struct frt_eval_fold){0};
        for (size_t i = 0; i < r->n_pairs; i++) {
            fold->n_same += r->scores[i].fold == f && r->scores[i].same;
            fold->n_different += r->scores[i].fold == f && !r->scores[i].same;
        }
        fold->threshold = frt_eval_best_threshold(r->scores, r->n_pairs, r->n_folds > 1 ? f : UINT32_MAX);
        fold->accuracy = frt_eval_accuracy(r->scores, r->n_pairs, f, fold->threshold);
        sum += fold->accuracy;
        squares += fold->accuracy * fold->accuracy;
    }
    const double n = r->n_folds;
    r->accuracy = sum / n;
    r->accuracy_std_error =
        r->n_folds > 1 ? sqrt(fmax(0, squares / n - r->accuracy * r->accuracy) / (n - 1)) : NAN;
    r->accuracy_at_default = frt_eval_accuracy(r->scores, r->n_pairs, UINT32_MAX, r->default_threshold);
    rates_at(r->scores, r->n_pairs, r->default_threshold, &r->far_at_default, &r->tar_at_default);
    for (size_t i = 0; i < 2; i++)
        r->points[i] = frt_eval_tar_at(r->scores, r->n_pairs, points_far[i]);
    r->eer = frt_eval_eer(r->scores, r->n_pairs);
    r->auc = frt_eval_auc(r->scores, r->n_pairs);
}

struct histogram {
    uint64_t same[HISTOGRAM_BINS], different[HISTOGRAM_BINS]; /* bin b: scores about -1 + b · 1e-4 */
};

static float bin_floor(size_t bin)
{
    return (float)(((double)bin - 0.5) * 1e-4 - 1);
}

static void count_all(const struct run *run, struct histogram *h, struct frt_eval_report *r)
{
    const struct frt_eval_protocol *p = run->protocol;
    for (size_t i = 0; i < p->n_photos; i++) {
        for (size_t k = i + 1; run->seen[i] && k < p->n_photos; k++) {
            if (!run->seen[k])
                continue;
            const float score =
                frt_dot_f32(run->embeddings + i * run->dim, run->embeddings + k * run->dim, run->dim);
            const long bin = lround(((double)score + 1) * 1e4);
            const size_t at = bin < 0 ? 0 : bin >= HISTOGRAM_BINS ? HISTOGRAM_BINS - 1 : (size_t)bin;
            if (strcmp(p->photos[i].name, p->photos[k].name) == 0) {
                h->same[at]++;
                r->all_same++;
            } else {
                h->different[at]++;
                r->all_different++;
            }
        }
    }
}

/* Points of a curve given from low FAR to high, at most MAX_ROC_POINTS of them: those where FAR or TAR has
 * moved enough to be seen on a logarithmic plot. */
static void add_roc_point(struct frt_eval_roc_point *roc, size_t *n, float threshold, double far, double tar)
{
    if (*n > 0 && far < 1) {
        const struct frt_eval_roc_point *last = &roc[*n - 1];
        if (far <= last->far * 1.05 && tar <= last->tar + 0.004)
            return;
    }
    if (*n < MAX_ROC_POINTS)
        roc[(*n)++] = (struct frt_eval_roc_point){threshold, far, tar};
}

static enum frt_status measure_all(const struct run *run, struct frt_eval_report *r, struct frt_error *err)
{
    if (run->protocol->n_photos > FRT_EVAL_MAX_ALL)
        return FRT_OK;
    struct histogram *h = frt_alloc_zero(1, sizeof *h);
    r->all_roc = frt_alloc_array(MAX_ROC_POINTS, sizeof *r->all_roc);
    if (h == NULL || r->all_roc == NULL) {
        frt_free(h);
        return frt_fail_nomem(err, "score histogram");
    }
    count_all(run, h, r);
    uint64_t same = 0, different = 0;
    for (uint32_t i = 0; i < FRT_EVAL_MAX_POINTS; i++) {
        const uint64_t allowed = (uint64_t)(all_points_far[i] * (double)r->all_different + 1e-9);
        if (allowed >= 10)
            r->all_points[r->n_all_points++] =
                (struct frt_eval_point){.far = all_points_far[i], .threshold = 1};
    }
    for (size_t bin = HISTOGRAM_BINS; bin-- > 0;) {
        same += h->same[bin];
        different += h->different[bin];
        const double far = r->all_different > 0 ? (double)different / (double)r->all_different : 0;
        const double tar = r->all_same > 0 ? (double)same / (double)r->all_same : 0;
        for (uint32_t i = 0; i < r->n_all_points; i++) {
            if (far <= r->all_points[i].far) {
                r->all_points[i].far_found = far;
                r->all_points[i].tar = tar;
                r->all_points[i].threshold = bin_floor(bin);
            }
        }
        if (bin_floor(bin) >= r->default_threshold) {
            r->all_far_at_default = far;
            r->all_tar_at_default = tar;
        }
        if (r->all_same > 0 && r->all_different > 0 && (h->same[bin] > 0 || h->different[bin] > 0))
            add_roc_point(r->all_roc, &r->n_all_roc, bin_floor(bin), far, tar);
    }
    frt_free(h);
    return FRT_OK;
}

static enum frt_status list_failures(struct run *run, struct frt_eval_report *r, struct frt_error *err)
{
    const struct frt_eval_protocol *p = run->protocol;
    char relative[512];
    size_t n = 0;
    for (size_t i = 0; i < p->n_photos; i++) {
        n += run->causes[i] != NULL;
        r->n_people += i == 0 || strcmp(p->photos[i].name, p->photos[i - 1].name) != 0;
    }
    r->n_photos = p->n_photos;
    if (n == 0)
        return FRT_OK;
    r->failures = frt_alloc_zero(n, sizeof *r->failures);
    if (r->failures == NULL)
        return frt_fail_nomem(err, "failures");
    for (size_t i = 0; i < p->n_photos; i++) {
        if (run->causes[i] == NULL)
            continue;
        struct frt_eval_failure *failure = &r->failures[r->n_failures++];
        (void)find_photo(run->options->folder, &p->photos[i], relative, sizeof relative);
        failure->file = frt_strdup(relative);
        failure->cause = run->causes[i];
        run->causes[i] = NULL;
        if (failure->file == NULL)
            return frt_fail_nomem(err, "failures");
    }
    return FRT_OK;
}

static struct frt_timing mean_timing(const struct frt_timing *sum, size_t n)
{
    const double d = n > 0 ? (double)n : 1;
    return (struct frt_timing){.decode_ms = sum->decode_ms / d,
                               .detect_ms = sum->detect_ms / d,
                               .align_ms = sum->align_ms / d,
                               .embed_ms = sum->embed_ms / d,
                               .attribute_ms = sum->attribute_ms / d,
                               .inference_ms = sum->inference_ms / d,
                               .total_ms = sum->total_ms / d};
}

static void name_pack(const struct frt_pack_info *info, struct frt_eval_report *r)
{
    r->default_threshold = info->default_threshold;
    r->dim = info->dim;
    (void)snprintf(r->pack, sizeof r->pack, "%s", info->name);
    (void)snprintf(r->pack_id, sizeof r->pack_id, "%s", info->id);
    (void)snprintf(r->embedder, sizeof r->embedder, "%s",
                   info->embedder_name != NULL ? info->embedder_name : "");
}

enum frt_status frt_eval_pairs(const struct frt_context *context, const struct frt_pack *pack,
                               const struct frt_eval_options *options, struct frt_eval_report *out,
                               struct frt_error *err)
{
    enum frt_status status;
    char *text = NULL, path[4096];
    size_t size = 0, total = 0;
    struct frt_eval_protocol protocol = {0};
    struct frt_eval_report report = {0};
    struct run run = {.context = context, .pack = pack, .options = options, .protocol = &protocol};
    const int64_t start = frt_now_ns();

    if (options->folder == NULL || strlen(options->folder) + 512 > sizeof path)
        return frt_fail(err, FRT_EINVAL, "evaluation needs a folder of photos, its path at most %zu bytes",
                        sizeof path - 512);
    if (options->threads > MAX_THREADS ||
        (options->face != FRT_EVAL_FACE_CENTRAL && options->face != FRT_EVAL_FACE_LARGEST))
        return frt_fail(err, FRT_EINVAL, "%u threads or face rule %d; 1 to %d threads fit", options->threads,
                        (int)options->face, MAX_THREADS);
    name_pack(frt_pack_info_get(pack), &report);
    run.dim = report.dim;
    if (run.dim == 0)
        return frt_fail(err, FRT_EBAD_MODEL, "pack %s has no embedder", report.pack);
    (void)snprintf(path, sizeof path, "%s/pairs.txt", options->folder);
    status = read_text(options->pairs != NULL ? options->pairs : path, &text, &size, err);
    if (status == FRT_OK)
        status = frt_eval_protocol_parse(text, size, &protocol, err);
    if (status == FRT_OK)
        status = check_photos(options->folder, &protocol, err);
    if (status != FRT_OK)
        goto done;

    run.seen = frt_alloc_zero(protocol.n_photos, sizeof *run.seen);
    run.causes = frt_alloc_zero(protocol.n_photos, sizeof *run.causes);
    report.scores = frt_alloc_zero(protocol.n_pairs, sizeof *report.scores);
    if (frt_mul_size(protocol.n_photos, run.dim, &total))
        run.embeddings = frt_alloc_array(total, sizeof *run.embeddings);
    if (run.seen == NULL || run.causes == NULL || report.scores == NULL || run.embeddings == NULL) {
        status = frt_fail_nomem(err, "evaluation");
        goto done;
    }
    report.threads = options->threads > 0 ? options->threads : 1;
    status = run_threads(&run, report.threads, err);
    if (status != FRT_OK)
        goto done;
    report.wall_ms = frt_elapsed_ms(start);
    report.mean = mean_timing(&run.sum, run.decoded);
    report.n_several_faces = run.several;
    score_pairs(&run, &report);
    measure_pairs(&protocol, &report);
    status = measure_all(&run, &report, err);
    if (status == FRT_OK)
        status = list_failures(&run, &report, err);
    if (status != FRT_OK)
        goto done;
    *out = report;
    report = (struct frt_eval_report){0};
done:
    for (size_t i = 0; run.causes != NULL && i < protocol.n_photos; i++)
        frt_free(run.causes[i]);
    frt_free(run.causes);
    frt_free(run.seen);
    frt_free(run.embeddings);
    frt_free(text);
    frt_eval_protocol_deinit(&protocol);
    frt_eval_report_deinit(&report);
    return status;
}

void frt_eval_report_deinit(struct frt_eval_report *report)
{
    for (size_t i = 0; i < report->n_failures; i++) {
        frt_free(report->failures[i].file);
        frt_free(report->failures[i].cause);
    }
    frt_free(report->failures);
    frt_free(report->scores);
    frt_free(report->all_roc);
    *report = (struct frt_eval_report){0};
}

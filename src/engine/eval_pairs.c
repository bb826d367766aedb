#include "engine/eval_pairs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "simd/dot.h"

enum { MAX_PAIRS_FILE = 64 << 20, HISTOGRAM_BINS = 20001, MAX_ROC_POINTS = 400 };

static const double points_far[2] = {1e-2, 1e-3};
static const double all_points_far[FRT_EVAL_MAX_POINTS] = {1e-2, 1e-3, 1e-4, 1e-5};

struct run {
    const struct frt_eval_protocol *protocol;
    struct frt_eval_embeddings embeddings; /* of the protocol's photos, in their order */
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

/* The files of the protocol's photos. files  out: [n_photos], each owned. */
static enum frt_status find_photos(const char *folder, const struct frt_eval_protocol *protocol, char **files,
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
        files[i] = frt_strdup(relative);
        if (files[i] == NULL)
            return frt_fail_nomem(err, "files");
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

/* --------------------------------------------------------------- numbers */

static void score_pairs(const struct run *run, struct frt_eval_report *report)
{
    const struct frt_eval_embeddings *e = &run->embeddings;
    for (size_t i = 0; i < run->protocol->n_pairs; i++) {
        const struct frt_eval_pair *pair = &run->protocol->pairs[i];
        struct frt_scored_pair *scored = &report->scores[i];
        *scored = (struct frt_scored_pair){.score = -1, .same = pair->same, .fold = pair->fold};
        if (e->seen[pair->photo[0]] && e->seen[pair->photo[1]])
            scored->score = frt_dot_f32(e->vectors + (size_t)pair->photo[0] * e->dim,
                                        e->vectors + (size_t)pair->photo[1] * e->dim, e->dim);
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
    const struct frt_eval_embeddings *e = &run->embeddings;
    for (size_t i = 0; i < p->n_photos; i++) {
        for (size_t k = i + 1; e->seen[i] && k < p->n_photos; k++) {
            if (!e->seen[k])
                continue;
            const float score = frt_dot_f32(e->vectors + i * e->dim, e->vectors + k * e->dim, e->dim);
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

/* What the report takes over from the embeddings. */
static void take_embedding_figures(struct run *run, struct frt_eval_report *r)
{
    const struct frt_eval_protocol *p = run->protocol;
    struct frt_eval_embeddings *e = &run->embeddings;
    for (size_t i = 0; i < p->n_photos; i++)
        r->n_people += i == 0 || strcmp(p->photos[i].name, p->photos[i - 1].name) != 0;
    r->n_photos = p->n_photos;
    r->failures = e->failures;
    r->n_failures = e->n_failures;
    e->failures = NULL;
    e->n_failures = 0;
    r->n_several_faces = e->n_several;
    r->mean = e->mean;
    r->wall_ms = e->wall_ms;
    r->threads = e->threads;
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
    size_t size = 0;
    char **files = NULL;
    struct frt_eval_protocol protocol = {0};
    struct frt_eval_report report = {0};
    struct run run = {.protocol = &protocol};

    if (options->folder == NULL || strlen(options->folder) + 512 > sizeof path)
        return frt_fail(err, FRT_EINVAL, "evaluation needs a folder of photos, its path at most %zu bytes",
                        sizeof path - 512);
    name_pack(frt_pack_info_get(pack), &report);
    (void)snprintf(path, sizeof path, "%s/pairs.txt", options->folder);
    status = read_text(options->pairs != NULL ? options->pairs : path, &text, &size, err);
    if (status == FRT_OK)
        status = frt_eval_protocol_parse(text, size, &protocol, err);
    if (status != FRT_OK)
        goto done;
    files = frt_alloc_zero(protocol.n_photos, sizeof *files);
    report.scores = frt_alloc_zero(protocol.n_pairs, sizeof *report.scores);
    if (files == NULL || report.scores == NULL) {
        status = frt_fail_nomem(err, "evaluation");
        goto done;
    }
    status = find_photos(options->folder, &protocol, files, err);
    if (status != FRT_OK)
        goto done;
    const struct frt_eval_embed_options embed = {.folder = options->folder,
                                                 .files = (const char *const *)files,
                                                 .n = protocol.n_photos,
                                                 .threads = options->threads,
                                                 .face = options->face,
                                                 .min_confidence = options->min_confidence,
                                                 .progress = options->progress,
                                                 .progress_arg = options->progress_arg,
                                                 .cancelled = options->cancelled,
                                                 .cancelled_arg = options->cancelled_arg};
    status = frt_eval_embed(context, pack, &embed, &run.embeddings, err);
    if (status != FRT_OK)
        goto done;
    score_pairs(&run, &report);
    measure_pairs(&protocol, &report);
    take_embedding_figures(&run, &report);
    status = measure_all(&run, &report, err);
    if (status != FRT_OK)
        goto done;
    *out = report;
    report = (struct frt_eval_report){0};
done:
    for (size_t i = 0; files != NULL && i < protocol.n_photos; i++)
        frt_free(files[i]);
    frt_free(files);
    frt_eval_embeddings_deinit(&run.embeddings);
    frt_free(text);
    frt_eval_protocol_deinit(&protocol);
    frt_eval_report_deinit(&report);
    return status;
}

void frt_eval_report_deinit(struct frt_eval_report *report)
{
    frt_eval_failures_free(report->failures, report->n_failures);
    frt_free(report->scores);
    frt_free(report->all_roc);
    *report = (struct frt_eval_report){0};
}

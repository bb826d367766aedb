#include "engine/eval_identify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "engine/eval_people.h"
#include "engine/score_statistics.h"
#include "simd/dot.h"

enum {
    DEFAULT_SPLITS = 20,
    MAX_SPLITS = 1000,
    MAX_CURVE_POINTS = 400,
    N_ENROLLED = FRT_EVAL_IDENTIFY_RESULTS / 2
};
static const uint32_t enrolled_counts[N_ENROLLED] = {1, 2, 3, 5};
static const double points_fpir[FRT_EVAL_IDENTIFY_POINTS] = {1e-2, 1e-3};

/* --------------------------------------------------------------- one split */

struct person {
    size_t first, n; /* photos */
};

/* Scratch and results of one k. Arrays are as long as there are photos, people, or photos times splits. */
struct run {
    const float *vectors;
    const bool *seen;
    size_t n_photos;
    uint32_t dim;
    struct person *people;
    size_t n_people;
    size_t *order;          /* [n_photos]: a person's photos, shuffled; [n_people]: people, shuffled */
    size_t *mixed;          /* [n_photos] */
    size_t *face, *owner;   /* [n_photos]: the gallery's faces and whose they are; an owner's stand together */
    float *templates;       /* f32[n_people][dim] */
    size_t *template_owner; /* [n_people] */
    size_t *probe;          /* [n_photos] */
    size_t *probe_owner;    /* [n_photos]; n_people = nobody's */
    size_t n_faces, n_templates, n_probes;
    struct frt_eval_search *mated[2], *non_mated[2]; /* [0] best, [1] fused */
    size_t n_mated, n_non_mated;
    double gallery_people, gallery_faces; /* sums over the splits */
};

/* Shuffle a person's photos into run->mixed; its first are to be enrolled. */
static void mix_photos(struct run *run, const struct person *p, uint64_t *state)
{
    for (size_t i = 0; i < p->n; i++)
        run->mixed[i] = p->first + i;
    frt_seeded_shuffle(run->mixed, p->n, state);
}

/* Enroll the first n of the mixed photos. */
static void enroll(struct run *run, size_t who, size_t n)
{
    const size_t before = run->n_faces;
    float *sum = run->templates + run->n_templates * run->dim;
    for (size_t i = 0; i < n; i++) {
        if (!run->seen[run->mixed[i]])
            continue;
        const float *v = run->vectors + run->mixed[i] * run->dim;
        for (uint32_t d = 0; d < run->dim; d++)
            sum[d] = run->n_faces == before ? v[d] : sum[d] + v[d];
        run->face[run->n_faces] = run->mixed[i];
        run->owner[run->n_faces++] = who;
    }
    if (run->n_faces == before)
        return; /* no photo of this person shows a face: not in the gallery */
    const float length = sqrtf(frt_dot_f32(sum, sum, run->dim));
    for (uint32_t d = 0; d < run->dim && length > 0; d++)
        sum[d] /= length;
    run->template_owner[run->n_templates++] = who;
}

static void add_probes(struct run *run, size_t who, size_t from, size_t to)
{
    for (size_t i = from; i < to && i < from + FRT_EVAL_IDENTIFY_PROBES; i++) {
        run->probe[run->n_probes] = run->mixed[i];
        run->probe_owner[run->n_probes++] = who;
    }
}

/* Who is enrolled and who is looked for. */
static void draw_split(struct run *run, uint32_t k, uint64_t *state)
{
    size_t n_others = 0;
    run->n_faces = run->n_templates = run->n_probes = 0;
    for (size_t who = 0; who < run->n_people; who++) {
        const struct person *p = &run->people[who];
        if (p->n <= k) {
            run->order[n_others++] = who;
            continue;
        }
        mix_photos(run, p, state);
        enroll(run, who, k);
        add_probes(run, who, k, p->n);
    }
    frt_seeded_shuffle(run->order, n_others, state);
    for (size_t i = 0; i < n_others; i++) {
        const struct person *p = &run->people[run->order[i]];
        mix_photos(run, p, state);
        if (i < n_others / 2)
            enroll(run, run->order[i], p->n < k ? p->n : k);
        else
            add_probes(run, run->n_people, 0, p->n);
    }
    run->gallery_people += (double)run->n_templates;
    run->gallery_faces += (double)run->n_faces;
}

static struct frt_eval_search search(const struct run *run, const float *query, size_t who, uint32_t split,
                                     bool fused)
{
    struct frt_eval_search result = {.score = -1, .split = split};
    const size_t n = fused ? run->n_templates : run->n_faces;
    for (size_t i = 0; query != NULL && i < n; i++) {
        const float *v = fused ? run->templates + i * run->dim : run->vectors + run->face[i] * run->dim;
        const float score = frt_dot_f32(query, v, run->dim);
        if (score > result.score) {
            result.score = score;
            result.right = (fused ? run->template_owner : run->owner)[i] == who;
        }
    }
    return result;
}

static void search_split(struct run *run, uint32_t split)
{
    for (size_t i = 0; i < run->n_probes; i++) {
        const bool mated = run->probe_owner[i] < run->n_people;
        const float *query = run->seen[run->probe[i]] ? run->vectors + run->probe[i] * run->dim : NULL;
        for (int way = 0; way < 2; way++) {
            const struct frt_eval_search found = search(run, query, run->probe_owner[i], split, way == 1);
            if (mated)
                run->mated[way][run->n_mated] = found;
            else
                run->non_mated[way][run->n_non_mated] = found;
        }
        run->n_mated += mated;
        run->n_non_mated += !mated;
    }
}

/* ----------------------------------------------------------------- results */

static int by_score(const void *a, const void *b)
{
    const float x = ((const struct frt_eval_search *)a)->score, y = ((const struct frt_eval_search *)b)->score;
    return (x < y) - (x > y);
}

/* FNIR over FPIR at the scores of the non-mated searches, as many points as a plot can show. `mated` loses the
 * order of its splits. */
static enum frt_status make_curve(struct frt_eval_search *mated, size_t n_mated,
                                  const struct frt_eval_search *non_mated, size_t n_non_mated,
                                  struct frt_eval_identify_result *out, struct frt_error *err)
{
    size_t at = 0, found = 0;
    out->curve = frt_alloc_array(MAX_CURVE_POINTS, sizeof *out->curve);
    if (out->curve == NULL)
        return frt_fail_nomem(err, "a curve");
    qsort(mated, n_mated, sizeof *mated, by_score);
    for (size_t i = 0; i < n_non_mated && out->n_curve < MAX_CURVE_POINTS; i++) {
        if (i + 1 < n_non_mated && non_mated[i + 1].score == non_mated[i].score)
            continue;
        for (; at < n_mated && mated[at].score >= non_mated[i].score; at++)
            found += mated[at].right;
        const struct frt_eval_identify_curve_point point = {.threshold = non_mated[i].score,
                                                            .fpir = (double)(i + 1) / (double)n_non_mated,
                                                            .fnir = 1 - (double)found / (double)n_mated};
        const struct frt_eval_identify_curve_point *last =
            out->n_curve > 0 ? &out->curve[out->n_curve - 1] : NULL;
        if (last == NULL || point.fpir > last->fpir * 1.03 || i + 1 == n_non_mated)
            out->curve[out->n_curve++] = point;
    }
    return FRT_OK;
}

static enum frt_status measure(struct run *run, uint32_t k, size_t mated_people, bool fused,
                               struct frt_eval_identify_report *report, struct frt_error *err)
{
    struct frt_eval_identify_result *r = &report->results[report->n_results++];
    struct frt_eval_search *mated = run->mated[fused], *non_mated = run->non_mated[fused];
    *r = (struct frt_eval_identify_result){.enrolled = k,
                                           .fused = fused,
                                           .mated_people = mated_people,
                                           .n_mated = run->n_mated,
                                           .n_non_mated = run->n_non_mated,
                                           .mean_gallery_people = run->gallery_people / report->splits,
                                           .mean_gallery_faces = run->gallery_faces / report->splits,
                                           .rank1 = frt_eval_rank1(mated, run->n_mated)};
    for (size_t i = 0; i < FRT_EVAL_IDENTIFY_POINTS; i++)
        r->points[i] =
            frt_eval_fnir_at(mated, run->n_mated, non_mated, run->n_non_mated, report->splits, points_fpir[i]);
    r->fpir_at_default = frt_eval_fpir(non_mated, run->n_non_mated, report->default_threshold);
    r->fnir_at_default = frt_eval_fnir(mated, run->n_mated, report->default_threshold);
    return make_curve(mated, run->n_mated, non_mated, run->n_non_mated, r, err);
}

static enum frt_status run_init(struct run *run, const uint32_t *person, size_t splits, struct frt_error *err)
{
    size_t total = 0;
    const size_t n = run->n_photos, people = (size_t)person[n - 1] + 1;
    run->n_people = people;
    run->people = frt_alloc_zero(people, sizeof *run->people);
    run->order = frt_alloc_array(n, sizeof *run->order);
    run->mixed = frt_alloc_array(n, sizeof *run->mixed);
    run->face = frt_alloc_array(n, sizeof *run->face);
    run->owner = frt_alloc_array(n, sizeof *run->owner);
    run->template_owner = frt_alloc_array(people, sizeof *run->template_owner);
    run->probe = frt_alloc_array(n, sizeof *run->probe);
    run->probe_owner = frt_alloc_array(n, sizeof *run->probe_owner);
    if (frt_mul_size(people, run->dim, &total))
        run->templates = frt_alloc_array(total, sizeof *run->templates);
    bool good = run->people != NULL && run->order != NULL && run->mixed != NULL && run->face != NULL &&
                run->owner != NULL && run->template_owner != NULL && run->probe != NULL &&
                run->probe_owner != NULL && run->templates != NULL && frt_mul_size(n, splits, &total);
    for (int way = 0; good && way < 2; way++) {
        run->mated[way] = frt_alloc_array(total, sizeof **run->mated);
        run->non_mated[way] = frt_alloc_array(total, sizeof **run->non_mated);
        good = run->mated[way] != NULL && run->non_mated[way] != NULL;
    }
    if (!good)
        return frt_fail_nomem(err, "evaluation");
    for (size_t i = 0; i < n; i++) {
        struct person *p = &run->people[person[i]];
        if (p->n++ == 0)
            p->first = i;
    }
    return FRT_OK;
}

static void run_deinit(struct run *run)
{
    frt_free(run->people);
    frt_free(run->order);
    frt_free(run->mixed);
    frt_free(run->face);
    frt_free(run->owner);
    frt_free(run->templates);
    frt_free(run->template_owner);
    frt_free(run->probe);
    frt_free(run->probe_owner);
    for (int way = 0; way < 2; way++) {
        frt_free(run->mated[way]);
        frt_free(run->non_mated[way]);
    }
}

enum frt_status frt_eval_identify_embedded(const float *vectors, const bool *seen, const uint32_t *person,
                                           size_t n, bool (*cancelled)(void *arg), void *cancelled_arg,
                                           struct frt_eval_identify_report *report, struct frt_error *err)
{
    struct run run = {.vectors = vectors, .seen = seen, .n_photos = n, .dim = report->dim};
    enum frt_status status;
    if (n == 0)
        return frt_fail(err, FRT_EBAD_REQUEST, "there are no photos");
    status = run_init(&run, person, report->splits, err);
    if (status != FRT_OK)
        goto done;
    report->n_photos = n;
    report->n_people = run.n_people;
    report->n_several_people = 0;
    for (size_t i = 0; i < run.n_people; i++)
        report->n_several_people += run.people[i].n > 1;
    for (size_t c = 0; c < N_ENROLLED; c++) {
        const uint32_t k = enrolled_counts[c];
        uint64_t state = report->seed + k;
        size_t mated_people = 0;
        for (size_t i = 0; i < run.n_people; i++)
            mated_people += run.people[i].n > k;
        if (mated_people < FRT_EVAL_IDENTIFY_MIN_MATED || run.n_people < mated_people + 2)
            continue;
        run.n_mated = run.n_non_mated = 0;
        run.gallery_people = run.gallery_faces = 0;
        for (uint32_t s = 0; s < report->splits; s++) {
            if (cancelled != NULL && cancelled(cancelled_arg)) {
                status = frt_fail(err, FRT_ECANCELLED, "evaluation cancelled");
                goto done;
            }
            draw_split(&run, k, &state);
            search_split(&run, s);
        }
        for (int way = 0; way < 2 && status == FRT_OK; way++)
            status = measure(&run, k, mated_people, way == 1, report, err);
        if (status != FRT_OK)
            goto done;
    }
    if (report->n_results == 0)
        status = frt_fail(err, FRT_EBAD_REQUEST,
                          "%zu of %zu people have two photos or more; at least %d, and at least 2 others, are "
                          "right",
                          report->n_several_people, run.n_people, FRT_EVAL_IDENTIFY_MIN_MATED);
done:
    run_deinit(&run);
    return status;
}

/* ------------------------------------------------------------------ report */

static void name_pack(const struct frt_pack_info *info, struct frt_eval_identify_report *r)
{
    r->default_threshold = info->default_threshold;
    r->dim = info->dim;
    (void)snprintf(r->pack, sizeof r->pack, "%s", info->name);
    (void)snprintf(r->pack_id, sizeof r->pack_id, "%s", info->id);
    (void)snprintf(r->embedder, sizeof r->embedder, "%s",
                   info->embedder_name != NULL ? info->embedder_name : "");
}

enum frt_status frt_eval_identify(const struct frt_context *context, const struct frt_pack *pack,
                                  const struct frt_eval_identify_options *options,
                                  struct frt_eval_identify_report *out, struct frt_error *err)
{
    struct frt_eval_identify_report report = {.splits = options->splits > 0 ? options->splits : DEFAULT_SPLITS,
                                              .seed = options->seed};
    struct frt_eval_embeddings embeddings = {0};
    struct frt_eval_people photos = {0};
    enum frt_status status;
    if (options->folder == NULL || report.splits > MAX_SPLITS)
        return frt_fail(err, FRT_EINVAL, "no folder of photos, or %u splits; 1 to %d are right", report.splits,
                        MAX_SPLITS);
    name_pack(frt_pack_info_get(pack), &report);
    status = frt_eval_people_list(options->folder, &photos, err);
    if (status != FRT_OK)
        goto done;
    const struct frt_eval_embed_options embed = {.folder = options->folder,
                                                 .files = (const char *const *)photos.files,
                                                 .n = photos.n,
                                                 .threads = options->threads,
                                                 .face = options->face,
                                                 .min_confidence = options->min_confidence,
                                                 .progress = options->progress,
                                                 .progress_arg = options->progress_arg,
                                                 .cancelled = options->cancelled,
                                                 .cancelled_arg = options->cancelled_arg};
    status = frt_eval_embed(context, pack, &embed, &embeddings, err);
    if (status == FRT_OK)
        status = frt_eval_identify_embedded(embeddings.vectors, embeddings.seen, photos.person, photos.n,
                                            options->cancelled, options->cancelled_arg, &report, err);
    if (status != FRT_OK)
        goto done;
    report.failures = embeddings.failures;
    report.n_failures = embeddings.n_failures;
    embeddings.failures = NULL;
    embeddings.n_failures = 0;
    report.n_several_faces = embeddings.n_several;
    report.mean = embeddings.mean;
    report.wall_ms = embeddings.wall_ms;
    report.threads = embeddings.threads;
    *out = report;
    report = (struct frt_eval_identify_report){0};
done:
    frt_eval_embeddings_deinit(&embeddings);
    frt_eval_people_deinit(&photos);
    frt_eval_identify_report_deinit(&report);
    return status;
}

void frt_eval_identify_report_deinit(struct frt_eval_identify_report *report)
{
    for (size_t i = 0; i < report->n_results; i++)
        frt_free(report->results[i].curve);
    frt_eval_failures_free(report->failures, report->n_failures);
    *report = (struct frt_eval_identify_report){0};
}

#include "engine/eval_quality.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/splitmix.h"
#include "engine/eval_people.h"
#include "simd/dot.h"

enum { BINS = 20001, DRAWS = 1000 };
#define M FRT_EVAL_QUALITY_MEASURES
#define P FRT_EVAL_QUALITY_POINTS

static const char *const names[M] = {"score", "sharpness", "light", "pose", "confidence"};
static const double discards[P] = {0, 0.01, 0.02, 0.05, 0.1, 0.2};

struct pair { /* of one person */
    float score;
    uint32_t a, b;
};

/* Scores of different people in steps of 1e-4, apart by how many photos may be discarded with the pair left. */
struct counts {
    uint64_t of[M][P][BINS];
};

struct run {
    const float *vectors;
    const uint32_t *person;
    size_t n, n_people;
    uint32_t dim;
    uint32_t *rank[M]; /* [n]: photos by each measure, the worst is 0 */
    struct pair *same;
    size_t n_same, capacity;
    struct counts *counts;
    uint64_t *pairs, *misses; /* [P][n_people] of the measure under way */
    struct frt_eval_quality_report *report;
};

/* ------------------------------------------------------------------ ranks */

struct ranked {
    float value;
    uint32_t photo;
};

static int worst_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x->photo < y->photo ? -1 : 1;
}

static enum frt_status rank_photos(struct run *run, const float *measured, struct frt_error *err)
{
    static const double quantiles[5] = {0.01, 0.05, 0.25, 0.5, 0.95};
    struct ranked *order = frt_alloc_array(run->n, sizeof *order);
    if (order == NULL)
        return frt_fail_nomem(err, "evaluation");
    for (size_t m = 0; m < M; m++) {
        run->rank[m] = frt_alloc_array(run->n, sizeof *run->rank[m]);
        if (run->rank[m] == NULL) {
            frt_free(order);
            return frt_fail_nomem(err, "evaluation");
        }
        for (size_t i = 0; i < run->n; i++)
            order[i] = (struct ranked){measured[m * run->n + i], (uint32_t)i};
        qsort(order, run->n, sizeof *order, worst_first);
        for (size_t i = 0; i < run->n; i++)
            run->rank[m][order[i].photo] = (uint32_t)i;
        for (size_t q = 0; m == 0 && q < 5; q++)
            run->report->score_quantiles[q] = order[(size_t)(quantiles[q] * (double)(run->n - 1))].value;
    }
    frt_free(order);
    return FRT_OK;
}

static uint32_t discarded_photos(const struct run *run, double share)
{
    return (uint32_t)lround(share * (double)run->n);
}

/* ------------------------------------------------------------------ pairs */

static enum frt_status keep_pair(struct run *run, const struct pair *pair, struct frt_error *err)
{
    if (run->n_same == run->capacity) {
        const size_t capacity = run->capacity == 0 ? 4096 : run->capacity * 2;
        struct pair *more = frt_realloc(run->same, capacity * sizeof *more);
        if (more == NULL)
            return frt_fail_nomem(err, "pairs");
        run->same = more;
        run->capacity = capacity;
    }
    run->same[run->n_same++] = *pair;
    return FRT_OK;
}

/* How far one may discard before the pair loses a photo: the last of `discards` that leaves both. */
static size_t last_level(const uint32_t *rank, size_t a, size_t b, const uint32_t cut[P])
{
    const uint32_t lower = rank[a] < rank[b] ? rank[a] : rank[b];
    size_t level = 0;
    while (level + 1 < P && lower >= cut[level + 1])
        level++;
    return level;
}

static enum frt_status count_pairs(struct run *run, struct frt_error *err)
{
    uint32_t cut[P];
    for (size_t p = 0; p < P; p++)
        cut[p] = discarded_photos(run, discards[p]);
    for (size_t a = 0; a < run->n; a++) {
        for (size_t b = a + 1; b < run->n; b++) {
            const float score = frt_dot_f32(run->vectors + a * run->dim, run->vectors + b * run->dim, run->dim);
            if (run->person[a] == run->person[b]) {
                enum frt_status status = keep_pair(run, &(struct pair){score, (uint32_t)a, (uint32_t)b}, err);
                if (status != FRT_OK)
                    return status;
                continue;
            }
            const long bin = lround(((double)score + 1) * 1e4);
            const size_t at = bin < 0 ? 0 : bin >= BINS ? BINS - 1 : (size_t)bin;
            for (size_t m = 0; m < M; m++)
                run->counts->of[m][last_level(run->rank[m], a, b, cut)][at]++;
            run->report->n_different++;
        }
    }
    run->report->n_same = run->n_same;
    /* a pair that is left at one level is left at those before */
    for (size_t m = 0; m < M; m++)
        for (size_t p = P - 1; p-- > 0;)
            for (size_t i = 0; i < BINS; i++)
                run->counts->of[m][p][i] += run->counts->of[m][p + 1][i];
    return FRT_OK;
}

/* The lowest threshold, on the edge of a bin, at which at most this share passes. */
static float threshold_at(const uint64_t of[BINS], double fmr, double *found)
{
    uint64_t all = 0, passed = 0;
    for (size_t i = 0; i < BINS; i++)
        all += of[i];
    const uint64_t most = (uint64_t)floor(fmr * (double)all);
    size_t bin = BINS;
    while (bin > 0 && passed + of[bin - 1] <= most)
        passed += of[--bin];
    *found = all > 0 ? (double)passed / (double)all : NAN;
    return (float)(((double)bin - 0.5) * 1e-4 - 1);
}

static double miss_rate(const struct run *run, const uint32_t *rank, uint32_t cut, float threshold)
{
    uint64_t pairs = 0, misses = 0;
    for (size_t i = 0; i < run->n_same; i++) {
        const struct pair *pair = &run->same[i];
        if (rank[pair->a] < cut || rank[pair->b] < cut)
            continue;
        pairs++;
        misses += pair->score < threshold;
    }
    return pairs > 0 ? (double)misses / (double)pairs : NAN;
}

/* -------------------------------------------------------------- intervals */

/* Pairs and misses of each person at each point. */
static void tally(struct run *run, const uint32_t *rank)
{
    memset(run->pairs, 0, P * run->n_people * sizeof *run->pairs);
    memset(run->misses, 0, P * run->n_people * sizeof *run->misses);
    for (size_t i = 0; i < run->n_same; i++) {
        const struct pair *pair = &run->same[i];
        const uint32_t lower = rank[pair->a] < rank[pair->b] ? rank[pair->a] : rank[pair->b];
        for (size_t p = 0; p < P && lower >= discarded_photos(run, discards[p]); p++) {
            run->pairs[p * run->n_people + run->person[pair->a]]++;
            run->misses[p * run->n_people + run->person[pair->a]] += pair->score < run->report->threshold;
        }
    }
}

static enum frt_status draw_intervals(struct run *run, struct frt_eval_quality_measure *measure, uint64_t seed,
                                      struct frt_error *err)
{
    double *fnmr = frt_alloc_array(2 * P * DRAWS, sizeof *fnmr);
    uint32_t *drawn = frt_alloc_array(run->n_people, sizeof *drawn);
    size_t n[P] = {0};
    uint64_t state = seed;
    enum frt_status status = FRT_OK;
    if (fnmr == NULL || drawn == NULL) {
        status = frt_fail_nomem(err, "a bootstrap");
        goto done;
    }
    double *change = fnmr + P * DRAWS;
    for (size_t d = 0; d < DRAWS; d++) {
        double none = NAN;
        for (size_t i = 0; i < run->n_people; i++)
            drawn[i] = (uint32_t)(frt_splitmix_next(&state) % run->n_people);
        for (size_t p = 0; p < P; p++) {
            uint64_t pairs = 0, misses = 0;
            for (size_t i = 0; i < run->n_people; i++) {
                pairs += run->pairs[p * run->n_people + drawn[i]];
                misses += run->misses[p * run->n_people + drawn[i]];
            }
            if (pairs == 0)
                continue;
            const double rate = (double)misses / (double)pairs;
            if (p == 0)
                none = rate;
            fnmr[p * DRAWS + n[p]] = rate;
            change[p * DRAWS + n[p]++] = rate - none;
        }
    }
    for (size_t p = 0; p < P; p++) {
        measure->points[p].interval = frt_percentiles(fnmr + p * DRAWS, n[p]);
        measure->points[p].change_interval = frt_percentiles(change + p * DRAWS, n[p]);
    }
done:
    frt_free(fnmr);
    frt_free(drawn);
    return status;
}

/* ------------------------------------------------------------------ whole */

static enum frt_status measure(struct run *run, size_t m, uint64_t seed, struct frt_error *err)
{
    struct frt_eval_quality_measure *out = &run->report->measures[m];
    out->name = names[m];
    tally(run, run->rank[m]);
    for (size_t p = 0; p < P; p++) {
        struct frt_eval_quality_point *point = &out->points[p];
        const uint32_t cut = discarded_photos(run, discards[p]);
        double found;
        *point = (struct frt_eval_quality_point){.discarded = discards[p], .photos = run->n - cut};
        for (size_t i = 0; i < run->n_people; i++) {
            point->pairs += run->pairs[p * run->n_people + i];
            point->misses += run->misses[p * run->n_people + i];
        }
        point->fnmr = point->pairs > 0 ? (double)point->misses / (double)point->pairs : NAN;
        point->change = point->fnmr - out->points[0].fnmr;
        const float threshold = threshold_at(run->counts->of[m][p], run->report->fmr, &found);
        point->fnmr_same_fmr = miss_rate(run, run->rank[m], cut, threshold);
    }
    for (size_t i = 0; i < FRT_EVAL_QUALITY_CURVE; i++)
        out->curve[i] =
            miss_rate(run, run->rank[m], discarded_photos(run, (double)i / 100), run->report->threshold);
    return draw_intervals(run, out, seed, err);
}

enum frt_status frt_eval_quality_embedded(const float *vectors, size_t n, uint32_t dim, const float *measured,
                                          const uint32_t *person, uint64_t seed,
                                          struct frt_eval_quality_report *report, struct frt_error *err)
{
    struct run run = {.vectors = vectors,
                      .person = person,
                      .n = n,
                      .dim = dim,
                      .report = report,
                      .n_people = n > 0 ? (size_t)person[n - 1] + 1 : 0};
    enum frt_status status = FRT_OK;
    if (n > 0)
        status = rank_photos(&run, measured, err);
    run.counts = frt_alloc_zero(1, sizeof *run.counts);
    run.pairs = frt_alloc_array(P * run.n_people + 1, sizeof *run.pairs);
    run.misses = frt_alloc_array(P * run.n_people + 1, sizeof *run.misses);
    if (status == FRT_OK && (run.counts == NULL || run.pairs == NULL || run.misses == NULL))
        status = frt_fail_nomem(err, "evaluation");
    if (status == FRT_OK)
        status = count_pairs(&run, err);
    if (status == FRT_OK && (run.n_same == 0 || report->n_different == 0))
        status = frt_fail(err, FRT_EBAD_REQUEST,
                          "%zu photos with a face: two of one person, and of two people, are needed", n);
    if (status == FRT_OK) {
        report->threshold = threshold_at(run.counts->of[0][0], report->fmr, &report->fmr_found);
        report->n_photos = n;
        report->n_people = run.n_people;
        for (size_t i = 0, of_one = 0; i < n; i++) {
            of_one = i > 0 && person[i] == person[i - 1] ? of_one + 1 : 1;
            report->n_several_people += of_one == 2;
        }
    }
    for (size_t m = 0; status == FRT_OK && m < M; m++)
        status = measure(&run, m, seed, err);
    for (size_t m = 0; m < M; m++)
        frt_free(run.rank[m]);
    frt_free(run.same);
    frt_free(run.counts);
    frt_free(run.pairs);
    frt_free(run.misses);
    return status;
}

/* Those that have a face come first, and what is measured of them. n  out. */
static void pack_measured(struct frt_eval_embeddings *e, uint32_t *person, float *measured, size_t *n)
{
    size_t kept = 0;
    uint32_t last = UINT32_MAX, people = 0;
    for (size_t i = 0; i < e->n; i++) {
        if (!e->seen[i])
            continue;
        memmove(e->vectors + kept * e->dim, e->vectors + i * e->dim, e->dim * sizeof *e->vectors);
        e->faces[kept] = e->faces[i];
        people += person[i] != last;
        last = person[i];
        person[kept++] = people - 1;
    }
    const double turn = 3.14159265358979323846 / 180;
    for (size_t i = 0; i < kept; i++) {
        const struct frt_quality *q = &e->faces[i].quality;
        const double pose = cos(turn * (double)q->yaw) * cos(turn * (double)q->pitch);
        const float values[M] = {q->score, q->sharpness, -fabsf(q->brightness - 0.5F), (float)pose,
                                 e->faces[i].confidence};
        for (size_t m = 0; m < M; m++)
            measured[m * kept + i] = values[m];
    }
    *n = kept;
}

/* Every second person only. */
static void take_half(struct frt_eval_people *people, uint32_t half)
{
    size_t kept = 0;
    for (size_t i = 0; i < people->n; i++) {
        if (people->person[i] % 2 == half - 1) {
            people->files[kept] = people->files[i];
            people->person[kept++] = people->person[i];
        } else {
            frt_free(people->files[i]);
        }
    }
    people->n = kept;
}

static void name_pack(const struct frt_pack_info *info, struct frt_eval_quality_report *r)
{
    (void)snprintf(r->pack, sizeof r->pack, "%s", info->name);
    (void)snprintf(r->pack_id, sizeof r->pack_id, "%s", info->id);
    (void)snprintf(r->embedder, sizeof r->embedder, "%s",
                   info->embedder_name != NULL ? info->embedder_name : "");
}

static enum frt_status measure_folder(const struct frt_context *context, const struct frt_pack *pack,
                                      const struct frt_eval_quality_options *o, struct frt_eval_people *people,
                                      struct frt_eval_quality_report *report, struct frt_error *err)
{
    const struct frt_eval_embed_options embed = {.folder = o->folder,
                                                 .files = (const char *const *)people->files,
                                                 .n = people->n,
                                                 .threads = o->threads,
                                                 .attributes = FRT_ATTRIBUTE_QUALITY,
                                                 .progress = o->progress,
                                                 .progress_arg = o->progress_arg,
                                                 .cancelled = o->cancelled,
                                                 .cancelled_arg = o->cancelled_arg};
    struct frt_eval_embeddings e = {0};
    size_t n = 0;
    enum frt_status status = frt_eval_embed(context, pack, &embed, &e, err);
    if (status != FRT_OK)
        return status;
    float *measured = frt_alloc_array(M * people->n, sizeof *measured);
    if (measured == NULL) {
        status = frt_fail_nomem(err, "evaluation");
    } else {
        report->failures = e.failures;
        report->n_failures = e.n_failures;
        e.failures = NULL;
        e.n_failures = 0;
        report->mean = e.mean;
        report->wall_ms = e.wall_ms;
        report->threads = e.threads;
        pack_measured(&e, people->person, measured, &n);
        status = frt_eval_quality_embedded(e.vectors, n, e.dim, measured, people->person, o->seed, report, err);
    }
    frt_free(measured);
    frt_eval_embeddings_deinit(&e);
    return status;
}

enum frt_status frt_eval_quality(const struct frt_context *context, const struct frt_pack *pack,
                                 const struct frt_eval_quality_options *options,
                                 struct frt_eval_quality_report *out, struct frt_error *err)
{
    struct frt_eval_quality_report report = {.fmr = options->fmr > 0 ? options->fmr : 1e-3,
                                             .half = options->half};
    struct frt_eval_people people = {0};
    if (options->folder == NULL || !(report.fmr < 1) || options->half > 2)
        return frt_fail(err, FRT_EINVAL, "a folder, a false match rate under 1 and half 0, 1 or 2 are needed");
    name_pack(frt_pack_info_get(pack), &report);
    enum frt_status status = frt_eval_people_list(options->folder, &people, err);
    if (status == FRT_OK && options->half > 0)
        take_half(&people, options->half);
    if (status == FRT_OK && (people.n == 0 || people.n > FRT_EVAL_QUALITY_MAX_PHOTOS))
        status =
            frt_fail(err, FRT_EBAD_REQUEST, "%zu photos; 1 to %d fit", people.n, FRT_EVAL_QUALITY_MAX_PHOTOS);
    if (status == FRT_OK)
        status = measure_folder(context, pack, options, &people, &report, err);
    frt_eval_people_deinit(&people);
    if (status != FRT_OK) {
        frt_eval_quality_report_deinit(&report);
        return status;
    }
    *out = report;
    return FRT_OK;
}

void frt_eval_quality_report_deinit(struct frt_eval_quality_report *report)
{
    frt_eval_failures_free(report->failures, report->n_failures);
    *report = (struct frt_eval_quality_report){0};
}

#include "index/native_gpu.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "index/gpu_mirror.h"

enum {
    SPARE = 32,       /* candidates beyond four times the hits wanted */
    AGAIN_AT_MOST = 8 /* queries of a batch that are done again on the device, one by one */
};

/* Of float rounding on both sides, and of the device's fixed-point scores (2^-22); dot.h's contract at 4,096
 * dimensions is 1.3e-5. */
static const float rounding = 3e-5f;

/* What goes to the device and comes back; one block of memory. */
struct exchange {
    int8_t *queries;
    float *q_scales, *floors, *slacks, *scores;
    uint32_t *positions, *counts;
};

static uint32_t candidates_for(uint32_t k)
{
    const uint32_t wanted = 4 * k + SPARE;
    return wanted < FRT_GPU_MAX_K ? wanted : FRT_GPU_MAX_K;
}

/* A rotated query in 8 bits a component (planes 1), or in 16 as hi and lo (planes 2), 256 · hi + lo. Returns
 * the length of what rounding took away. planes lie `apart` bytes from each other. */
static float round_query(const float *q, uint32_t n, uint32_t planes, size_t apart, int8_t *out, float *scale)
{
    float most = 0;
    double lost = 0;
    for (uint32_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(q[i]));
    const float range = planes == 2 ? 127.0f * 256 : 127, step = most > 0 ? most / range : 1;
    for (uint32_t i = 0; i < n; i++) {
        long v = lrintf(q[i] / step);
        v = v > (long)range ? (long)range : v < -(long)range ? -(long)range : v;
        const double d = (double)q[i] - (double)v * (double)step;
        lost += d * d;
        if (planes == 2) {
            const long hi = (v + 128) >> 8; /* rounded down */
            out[i] = (int8_t)hi;
            out[apart + i] = (int8_t)(v - hi * 256);
        } else {
            out[i] = (int8_t)v;
        }
    }
    *scale = step;
    return (float)sqrt(lost);
}

/* Length of a row at most: a unit vector whose components are each off by half a step of at most 1 / 127. */
static float row_length(uint32_t dim)
{
    return 1 + sqrtf((float)dim) / 254;
}

static void *take(char **at, size_t bytes)
{
    void *out = *at;
    *at += (bytes + 63) / 64 * 64;
    return out;
}

/* Room for n queries of k candidates. Freed with frt_free. */
static void *exchange_new(const struct frt_encoder *encoder, size_t n, uint32_t planes, uint32_t k,
                          struct exchange *out)
{
    const size_t list = n * k * sizeof(uint32_t), each = n * sizeof(uint32_t) + 64;
    char *memory =
        frt_alloc_aligned(64, (size_t)planes * n * encoder->row_bytes + 2 * list + 4 * each + 7 * 64);
    char *at = memory;
    if (memory == NULL)
        return NULL;
    out->queries = take(&at, (size_t)planes * n * encoder->row_bytes);
    out->positions = take(&at, list);
    out->scores = take(&at, list);
    out->q_scales = take(&at, n * sizeof(float));
    out->floors = take(&at, n * sizeof(float));
    out->slacks = take(&at, n * sizeof(float));
    out->counts = take(&at, n * sizeof(uint32_t));
    return memory;
}

static int compare_bases(const struct frt_gpu_corpus_ref *corpus, uint32_t n_ranges, uint32_t position)
{
    uint32_t low = 0, high = n_ranges;
    while (low + 1 < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (corpus->ranges[middle]->base <= position)
            low = middle;
        else
            high = middle;
    }
    return (int)low;
}

/* Judge what came for query q by our own rows. *proven: nothing is missing. False: what came is not so. */
static bool judge(const struct frt_native_gpu *s, const struct frt_gpu_corpus_ref *corpus,
                  const struct frt_mirror_cover *cover, const struct exchange *x, size_t at, uint32_t q,
                  uint32_t k, bool *proven)
{
    const struct frt_encoder *encoder = &s->native->encoder;
    const uint32_t *positions = x->positions + at * k, wanted = s->query->k, n = x->counts[at];
    const float *scores = x->scores + at * k, slack = x->slacks[at];
    float cut = INFINITY;
    s->best[q].n = 0;
    if (n > k)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (positions[i] >= cover->n_positions)
            return false;
        const int r = compare_bases(corpus, cover->n_ranges, positions[i]);
        const uint32_t row = positions[i] - corpus->ranges[r]->base, v = cover->view_of[r];
        cut = fminf(cut, scores[i]);
        if (v == UINT32_MAX || row >= s->covered[v]) /* dead, or not yet there when we looked */
            continue;
        const struct frt_segment *segment = s->view->segments[v];
        if (frt_segment_is_removed(segment, row))
            continue;
        const float score =
            frt_encoder_score(encoder, &s->prepared[q], segment->rows + (size_t)row * encoder->row_bytes,
                              segment->row_scales[row]);
        if (!(fabsf(score - scores[i]) <= slack))
            return false;
        if (score >= s->query->min_score)
            (void)frt_best_offer(&s->best[q], wanted,
                                 (struct frt_index_hit){segment->keys[row], segment->groups[row], score});
    }
    *proven = n < k || s->query->min_score > cut + slack ||
              (s->best[q].n == wanted && s->best[q].hits[0].score > cut + slack);
    return true;
}

/* Let the device look for queries first..first + n, and judge what comes. False: it did not, or not rightly. */
static bool ask(struct frt_native_gpu *s, struct frt_gpu_corpus_ref *corpus,
                const struct frt_mirror_cover *cover, uint32_t first, uint32_t n, uint32_t k)
{
    const struct frt_encoder *encoder = &s->native->encoder;
    const uint32_t planes = n == 1 ? 2 : 1;
    struct exchange x;
    void *memory = exchange_new(encoder, n, planes, k, &x);
    if (memory == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const float lost = round_query(s->prepared[first + i].rotated, encoder->row_bytes, planes,
                                       (size_t)n * encoder->row_bytes,
                                       x.queries + (size_t)i * encoder->row_bytes, &x.q_scales[i]);
        x.slacks[i] = lost * row_length(encoder->dim) + rounding;
        x.floors[i] = s->query->min_score > -1 ? s->query->min_score - x.slacks[i] : -2;
    }
    struct frt_gpu_search search = {.queries = x.queries,
                                    .q_scales = x.q_scales,
                                    .floors = x.floors,
                                    .n = n,
                                    .planes = planes,
                                    .k = k,
                                    .n_positions = cover->n_positions,
                                    .positions = x.positions,
                                    .scores = x.scores,
                                    .counts = x.counts};
    bool done = frt_mirror_search(corpus, &search);
    for (uint32_t i = 0; i < n && done; i++) {
        if (!judge(s, corpus, cover, &x, i, first + i, k, &s->certain[first + i])) {
            frt_mirror_distrust(corpus, "the device answered what is not so");
            done = false;
        }
    }
    frt_free(memory);
    return done;
}

/* All queries together, then those that are not certain one by one with 16 bits and as many candidates as may
 * be. */
static bool ask_all(struct frt_native_gpu *s, struct frt_gpu_corpus_ref *corpus,
                    const struct frt_mirror_cover *cover)
{
    const uint32_t n = (uint32_t)s->query->n, k = candidates_for(s->query->k);
    uint32_t again = 0, uncertain = 0;
    if (!ask(s, corpus, cover, 0, n, k))
        return false;
    for (uint32_t q = 0; q < n; q++) {
        if (!s->certain[q] && (n > 1 || k < FRT_GPU_MAX_K) && again < AGAIN_AT_MOST) {
            again++;
            if (!ask(s, corpus, cover, q, 1, FRT_GPU_MAX_K))
                return false;
        }
        if (!s->certain[q]) {
            s->best[q].n = 0; /* the processor begins anew */
            uncertain++;
        }
    }
    frt_mirror_count(uncertain);
    return true;
}

bool frt_native_gpu_search(struct frt_native_gpu *s)
{
    struct frt_mirror *mirror = s->native->mirror;
    bool done = false;
    memset(s->covered, 0, s->view->n * sizeof *s->covered);
    for (size_t q = 0; q < s->query->n; q++)
        s->certain[q] = false;
    if (mirror == NULL || s->query->exhaustive || s->query->k > FRT_GPU_SEARCH_MAX_K || s->view->n == 0)
        return false;
    struct frt_gpu_corpus_ref *corpus = frt_mirror_begin(mirror);
    if (corpus == NULL)
        return false;
    /* acquire: the ranges below the count are whole */
    const uint32_t n_ranges = atomic_load_explicit(&corpus->n_ranges, memory_order_acquire);
    struct frt_mirror_cover cover = {s->view, s->counts, s->covered, NULL, n_ranges, 0};
    cover.view_of = frt_alloc_array((size_t)n_ranges + 1, sizeof *cover.view_of);
    if (cover.view_of != NULL && frt_mirror_cover(corpus, &cover))
        done = ask_all(s, corpus, &cover);
    if (!done) {
        memset(s->covered, 0, s->view->n * sizeof *s->covered);
        for (size_t q = 0; q < s->query->n; q++)
            s->best[q].n = 0;
    }
    frt_free(cover.view_of);
    frt_gpu_corpus_release(corpus);
    return done;
}

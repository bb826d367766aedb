#include "index/lists.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "simd/dot.h"

enum {
    MIN_LISTS = 64,
    MAX_LISTS = 4096,
    SAMPLE_PER_LIST = 32,
    ROUNDS = 6,
    MAX_CHECKS = 2000,
    MIN_PAIRS = 200, /* fewer pairs of one group say too little */
    SLICE = 256
};
static const double max_loss = 0.0025;
static const float poor_mate = 0.5f; /* cosine of a made-up mate */
static const float pair_least = 0.3f, pair_most = 0.97f;
/* Lists that are looked into are this share of all, or they are not worth having. */
static const double worth_share = 0.15;

void frt_lists_deinit(struct frt_lists *lists)
{
    frt_free(lists->centroids);
    frt_free(lists->list_of);
    *lists = (struct frt_lists){0};
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

struct training {
    const struct frt_native *native;
    const struct frt_place *places;
    const uint32_t *sample; /* places of the sample; NULL = all */
    uint32_t n;             /* of the sample or of all */
    const float *centroids;
    uint32_t n_lists;
    uint32_t *list_of; /* out, [n] */
    atomic_uint next;
    bool (*stop)(void *arg);
    void *stop_arg;
    atomic_bool stopped, failed;
};

static uint32_t nearest(const float *centroids, uint32_t n, uint32_t dim, const float *v, frt_dot_f32_fn *dot)
{
    uint32_t best = 0;
    float most = -2;
    for (uint32_t i = 0; i < n; i++) {
        const float score = dot(centroids + (size_t)i * dim, v, dim);
        if (score > most) {
            most = score;
            best = i;
        }
    }
    return best;
}

static void assign(void *arg, uint32_t worker)
{
    struct training *t = arg;
    const struct frt_encoder *encoder = &t->native->encoder;
    frt_dot_f32_fn *dot = frt_dot_f32_get(frt_simd_tier_active());
    float *v = frt_alloc_array(encoder->dim, sizeof *v);
    if (v == NULL) {
        if (worker == 0)
            atomic_store(&t->failed, true);
        return;
    }
    for (;;) {
        const uint32_t first = atomic_fetch_add_explicit(&t->next, SLICE, memory_order_relaxed);
        if (first >= t->n || atomic_load_explicit(&t->stopped, memory_order_relaxed))
            break;
        if (worker == 0 && t->stop != NULL && t->stop(t->stop_arg)) {
            atomic_store(&t->stopped, true);
            break;
        }
        for (uint32_t i = first; i < t->n && i < first + SLICE; i++) {
            const struct frt_place *p = &t->places[t->sample != NULL ? t->sample[i] : i];
            frt_segment_decode(p->segment, encoder, p->at, v);
            t->list_of[i] = nearest(t->centroids, t->n_lists, encoder->dim, v, dot);
        }
    }
    frt_free(v);
}

static enum frt_status assign_all(struct training *t, struct frt_error *err)
{
    atomic_store(&t->next, 0);
    assign(t, 0); /* on this thread alone: the others are for searches */
    if (atomic_load(&t->failed))
        return frt_fail_nomem(err, "lists");
    return atomic_load(&t->stopped) ? frt_fail(err, FRT_ECANCELLED, "the training of lists was stopped")
                                    : FRT_OK;
}

/* New centres: normalised sums; an empty list takes a vector of the sample at random. */
static void move_centres(const struct training *t, float *centroids, float *v, uint32_t *counts,
                         uint64_t *random)
{
    const struct frt_encoder *encoder = &t->native->encoder;
    const uint32_t dim = encoder->dim;
    if (t->n == 0)
        return;
    memset(centroids, 0, (size_t)t->n_lists * dim * sizeof *centroids);
    memset(counts, 0, t->n_lists * sizeof *counts);
    for (uint32_t i = 0; i < t->n; i++) {
        const struct frt_place *p = &t->places[t->sample[i]];
        float *centre = centroids + (size_t)t->list_of[i] * dim;
        frt_segment_decode(p->segment, encoder, p->at, v);
        for (uint32_t j = 0; j < dim; j++)
            centre[j] += v[j];
        counts[t->list_of[i]]++;
    }
    for (uint32_t l = 0; l < t->n_lists; l++) {
        float *centre = centroids + (size_t)l * dim;
        float norm = sqrtf(frt_dot_f32(centre, centre, dim));
        if (counts[l] == 0 || !(norm > 0)) {
            const struct frt_place *p = &t->places[t->sample[next_random(random) % t->n]];
            frt_segment_decode(p->segment, encoder, p->at, centre);
            norm = sqrtf(frt_dot_f32(centre, centre, dim));
        }
        for (uint32_t j = 0; j < dim; j++)
            centre[j] /= norm;
    }
}

/* ------------------------------------------------------------------- check */

struct member {
    uint32_t group, place;
};

static int by_group(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return x->group != y->group ? (x->group > y->group) - (x->group < y->group)
                                : (x->place > y->place) - (x->place < y->place);
}

static int ascending(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* How many lists come before `list` for a query. */
static uint32_t rank_of(const struct frt_lists *lists, uint32_t dim, const float *query, uint32_t list)
{
    const float own = frt_dot_f32(lists->centroids + (size_t)list * dim, query, dim);
    uint32_t before = 0;
    for (uint32_t i = 0; i < lists->n; i++)
        before += frt_dot_f32(lists->centroids + (size_t)i * dim, query, dim) > own;
    return before;
}

/* Ranks of the mates' lists for pairs of one group; how many. */
static size_t check_pairs(const struct frt_native *native, const struct frt_place *places, uint32_t n,
                          const struct frt_lists *lists, struct member *members, float *a, float *b,
                          uint32_t *ranks, uint64_t *random)
{
    const struct frt_encoder *e = &native->encoder;
    size_t found = 0;
    for (uint32_t i = 0; i < n; i++)
        members[i] = (struct member){places[i].segment->groups[places[i].at], i};
    qsort(members, n, sizeof *members, by_group);
    const uint32_t start = (uint32_t)(next_random(random) % n);
    for (uint32_t i = 0; i + 1 < n && found < MAX_CHECKS; i++) {
        const uint32_t at = (start + i) % n;
        if (at + 1 == n || members[at].group != members[at + 1].group)
            continue;
        const uint32_t x = members[at].place, y = members[at + 1].place;
        frt_segment_decode(places[x].segment, e, places[x].at, a);
        frt_segment_decode(places[y].segment, e, places[y].at, b);
        const float cosine = frt_dot_f32(a, b, e->dim);
        if (cosine >= pair_least && cosine <= pair_most)
            ranks[found++] = rank_of(lists, e->dim, a, lists->list_of[y]);
    }
    return found;
}

/* The same for vectors with noise at right angles. */
static size_t check_noise(const struct frt_native *native, const struct frt_place *places, uint32_t n,
                          const struct frt_lists *lists, float *a, float *noise, uint32_t *ranks,
                          uint64_t *random)
{
    const struct frt_encoder *e = &native->encoder;
    for (size_t c = 0; c < MAX_CHECKS; c++) {
        const uint32_t x = (uint32_t)(next_random(random) % n);
        frt_segment_decode(places[x].segment, e, places[x].at, a);
        for (uint32_t i = 0; i < e->dim; i++) {
            float sum = -2;
            for (int k = 0; k < 4; k++)
                sum += (float)(next_random(random) >> 40) / 16777216.0f;
            noise[i] = sum;
        }
        const float along = frt_dot_f32(a, noise, e->dim) / frt_dot_f32(a, a, e->dim);
        for (uint32_t i = 0; i < e->dim; i++)
            noise[i] -= along * a[i];
        const float length = sqrtf(frt_dot_f32(noise, noise, e->dim));
        const float across = sqrtf(1 - poor_mate * poor_mate);
        for (uint32_t i = 0; i < e->dim; i++)
            a[i] = poor_mate * a[i] + across * noise[i] / length;
        ranks[c] = rank_of(lists, e->dim, a, lists->list_of[x]);
    }
    return MAX_CHECKS;
}

static enum frt_status check(const struct frt_native *native, const struct frt_place *places, uint32_t n,
                             struct frt_lists *lists, struct frt_error *err)
{
    uint64_t random = n;
    struct member *members = frt_alloc_array(n, sizeof *members);
    float *a = frt_alloc_array(2 * (size_t)native->encoder.dim, sizeof *a);
    uint32_t *ranks = frt_alloc_array(MAX_CHECKS, sizeof *ranks);
    enum frt_status status = FRT_OK;
    if (members == NULL || a == NULL || ranks == NULL) {
        status = frt_fail_nomem(err, "lists");
        goto done;
    }
    float *b = a + native->encoder.dim;
    size_t checks = n == 0 ? 0 : check_pairs(native, places, n, lists, members, a, b, ranks, &random);
    if (checks < MIN_PAIRS && n > 0)
        checks = check_noise(native, places, n, lists, a, b, ranks, &random);
    qsort(ranks, checks, sizeof *ranks, ascending);
    const size_t lost = (size_t)(max_loss * (double)checks);
    lists->probes = ranks[checks - 1 - lost] + 1;
    lists->loss = (double)lost / (double)checks;
    if ((double)lists->probes > worth_share * (double)lists->n)
        lists->n = 0;
done:
    frt_free(members);
    frt_free(a);
    frt_free(ranks);
    return status;
}

/* ------------------------------------------------------------------- train */

enum frt_status frt_lists_train(const struct frt_native *native, const struct frt_place *places, uint32_t n,
                                bool (*stop)(void *arg), void *arg, struct frt_lists *out,
                                struct frt_error *err)
{
    const uint32_t dim = native->encoder.dim;
    struct frt_lists lists = {0};
    uint64_t random = UINT64_C(0x6b6d65616e73) + n;
    uint32_t wanted = (uint32_t)(2 * sqrt((double)n));
    uint32_t *sample = NULL, *counts = NULL;
    float *v = NULL;
    enum frt_status status = FRT_OK;
    wanted = wanted < MIN_LISTS ? MIN_LISTS : wanted > MAX_LISTS ? MAX_LISTS : wanted;
    const uint32_t n_sample = n < wanted * SAMPLE_PER_LIST ? n : wanted * SAMPLE_PER_LIST;
    if (n_sample == 0)
        return frt_fail(err, FRT_EINVAL, "lists of no vectors");
    lists.n = wanted;
    lists.centroids = frt_alloc_array((size_t)wanted * dim, sizeof *lists.centroids);
    lists.list_of = frt_alloc_array(n, sizeof *lists.list_of);
    sample = frt_alloc_array(n_sample, sizeof *sample);
    counts = frt_alloc_array(wanted, sizeof *counts);
    v = frt_alloc_array(dim, sizeof *v);
    if (lists.centroids == NULL || lists.list_of == NULL || sample == NULL || counts == NULL || v == NULL) {
        status = frt_fail_nomem(err, "lists");
        goto done;
    }
    for (uint32_t i = 0; i < n_sample; i++) /* one of each stretch: no vector twice, all ages alike */
        sample[i] = (uint32_t)((uint64_t)i * n / n_sample + next_random(&random) % (n / n_sample));
    for (uint32_t l = 0; l < wanted; l++) {
        const struct frt_place *p = &places[sample[(uint64_t)l * n_sample / wanted]];
        frt_segment_decode(p->segment, &native->encoder, p->at, lists.centroids + (size_t)l * dim);
    }
    struct training training = {.native = native,
                                .places = places,
                                .sample = sample,
                                .n = n_sample,
                                .centroids = lists.centroids,
                                .n_lists = wanted,
                                .list_of = lists.list_of,
                                .stop = stop,
                                .stop_arg = arg};
    for (int round = 0; round < ROUNDS && status == FRT_OK; round++) {
        status = assign_all(&training, err);
        if (status == FRT_OK)
            move_centres(&training, lists.centroids, v, counts, &random);
    }
    training.sample = NULL;
    training.n = n;
    if (status == FRT_OK)
        status = assign_all(&training, err);
    if (status == FRT_OK)
        status = check(native, places, n, &lists, err);
done:
    frt_free(sample);
    frt_free(counts);
    frt_free(v);
    if (status != FRT_OK) {
        frt_lists_deinit(&lists);
        return status;
    }
    *out = lists;
    return FRT_OK;
}

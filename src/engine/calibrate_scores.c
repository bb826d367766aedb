#include "engine/calibrate_scores.h"

#include <math.h>
#include <stdlib.h>

#include "core/mem.h"
#include "engine/score_statistics.h"
#include "simd/dot.h"

enum { LOOK_FOR_CANCEL = 64 /* rows */ };
static const double least_spread = 0.57735; /* 1 / √3: comparisons that do not depend on each other at all */

void frt_comparisons_deinit(struct frt_comparisons *comparisons)
{
    frt_free(comparisons->top);
    frt_free(comparisons->left);
    frt_free(comparisons->right);
    *comparisons = (struct frt_comparisons){0};
}

void frt_mates_deinit(struct frt_mates *mates)
{
    frt_free(mates->list);
    *mates = (struct frt_mates){0};
}

/* -------------------------------------------------------------- collecting */

static int highest_first(const void *left, const void *right)
{
    const struct frt_comparison *x = left, *y = right;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    return x->b != y->b ? (x->b < y->b ? -1 : 1) : (x->probe > y->probe) - (x->probe < y->probe);
}

static int lowest_first(const void *left, const void *right)
{
    const struct frt_mated *x = left, *y = right;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return (x->person > y->person) - (x->person < y->person);
}

static size_t bin_of(float score)
{
    const double at = ((double)score + 1) / 2 * FRT_SCORE_BINS;
    return at <= 0 ? 0 : at >= FRT_SCORE_BINS ? FRT_SCORE_BINS - 1 : (size_t)at;
}

/* The top in the making: twice as long as it is to become, thinned when full. */
struct collector {
    struct frt_comparisons *c;
    float cut; /* lower ones are not among the top */
};

static void thin(struct collector *to)
{
    qsort(to->c->top, to->c->n_top, sizeof *to->c->top, highest_first);
    if (to->c->n_top > FRT_TOP_MAX) {
        to->c->n_top = FRT_TOP_MAX;
        to->cut = to->c->top[FRT_TOP_MAX - 1].score;
    }
}

static void collect(struct collector *to, float score, uint32_t a, uint32_t b, uint32_t probe)
{
    struct frt_comparisons *c = to->c;
    c->n++;
    c->histogram[bin_of(score)]++;
    if (score < to->cut)
        return;
    c->top[c->n_top++] = (struct frt_comparison){score, a, b, probe};
    if (c->n_top == 2 * (size_t)FRT_TOP_MAX)
        thin(to);
}

static void collect_end(struct collector *to)
{
    thin(to);
    if (to->c->n_top == 0)
        return;
    struct frt_comparison *smaller = frt_realloc(to->c->top, to->c->n_top * sizeof *smaller);
    if (smaller != NULL) /* else the larger block stays */
        to->c->top = smaller;
}

static enum frt_status begin(const struct frt_labelled *labelled, bool pairs, struct collector *to,
                             struct frt_error *err)
{
    struct frt_comparisons *c = to->c;
    const size_t people = (size_t)labelled->person[labelled->n - 1] + 1;
    *c = (struct frt_comparisons){.n_people = people, .pairs = pairs};
    to->cut = -2;
    c->top = frt_alloc_array(2 * (size_t)FRT_TOP_MAX, sizeof *c->top);
    c->left = frt_alloc_zero(people, sizeof *c->left);
    c->right = frt_alloc_zero(people, sizeof *c->right);
    if (c->top == NULL || c->left == NULL || c->right == NULL)
        return frt_fail_nomem(err, "comparisons");
    for (size_t i = 0; i < labelled->n; i++) {
        c->left[labelled->person[i]]++;
        c->right[labelled->person[i]] += pairs;
    }
    return FRT_OK;
}

static enum frt_status look(const struct frt_labelled *labelled, size_t row, struct frt_error *err)
{
    if (row % LOOK_FOR_CANCEL == 0 && labelled->cancelled != NULL &&
        labelled->cancelled(labelled->cancelled_arg))
        return frt_fail(err, FRT_ECANCELLED, "calibration cancelled");
    return FRT_OK;
}

static void mates_end(struct frt_mates *mates)
{
    for (size_t i = 0; i < mates->n; i++)
        mates->histogram[bin_of(mates->list[i].score)]++;
    if (mates->n > 1)
        qsort(mates->list, mates->n, sizeof *mates->list, lowest_first);
}

enum frt_status frt_compare_pairs(const struct frt_labelled *labelled, struct frt_comparisons *different,
                                  struct frt_mates *same, struct frt_error *err)
{
    struct frt_comparisons found = {0};
    struct frt_mates mates = {0};
    struct collector to = {.c = &found};
    const uint32_t dim = labelled->dim;
    size_t n_same = 0;
    enum frt_status status = begin(labelled, true, &to, err);
    for (size_t p = 0; status == FRT_OK && p < found.n_people; p++)
        n_same += (size_t)found.left[p] * (found.left[p] - 1) / 2;
    if (status == FRT_OK && n_same > 0) {
        mates.list = frt_alloc_array(n_same, sizeof *mates.list);
        status = mates.list == NULL ? frt_fail_nomem(err, "pairs") : FRT_OK;
    }
    for (size_t i = 0; i < labelled->n && status == FRT_OK; i++) {
        const float *v = labelled->vectors + i * dim;
        for (size_t j = i + 1; j < labelled->n; j++) {
            const float score = frt_dot_f32(v, labelled->vectors + j * dim, dim);
            if (labelled->person[i] != labelled->person[j])
                collect(&to, score, labelled->person[i], labelled->person[j], 0);
            else if (mates.list != NULL)
                mates.list[mates.n++] = (struct frt_mated){.score = score, .person = labelled->person[i]};
        }
        status = look(labelled, i, err);
    }
    if (status != FRT_OK) {
        frt_comparisons_deinit(&found);
        frt_mates_deinit(&mates);
        return status;
    }
    collect_end(&to);
    mates_end(&mates);
    *different = found;
    *same = mates;
    return FRT_OK;
}

/* ---------------------------------------------------------------- searches */

/* The normalised mean of k of a person's photos, drawn, but for photo `but` (SIZE_MAX: none). */
static void make_template(const struct frt_labelled *labelled, size_t first, size_t n, size_t but, uint32_t k,
                          uint64_t *state, size_t *drawn, float *out)
{
    size_t count = 0;
    for (size_t i = first; i < first + n; i++)
        if (i != but)
            drawn[count++] = i;
    frt_seeded_shuffle(drawn, count, state);
    for (uint32_t d = 0; d < labelled->dim; d++)
        out[d] = 0;
    for (size_t i = 0; i < k; i++)
        for (uint32_t d = 0; d < labelled->dim; d++)
            out[d] += labelled->vectors[drawn[i] * labelled->dim + d];
    const float length = sqrtf(frt_dot_f32(out, out, labelled->dim));
    for (uint32_t d = 0; d < labelled->dim && length > 0; d++)
        out[d] /= length;
}

struct templates {
    float *vectors; /* f32[n + 1][dim]; the last is scratch */
    uint32_t *person;
    size_t n;
    size_t *first; /* [people]: first photo */
    size_t *drawn; /* scratch, as long as there are photos */
};

static void templates_deinit(struct templates *t)
{
    frt_free(t->vectors);
    frt_free(t->person);
    frt_free(t->first);
    frt_free(t->drawn);
}

static enum frt_status templates_init(const struct frt_labelled *labelled, uint32_t k,
                                      struct frt_comparisons *c, uint64_t *state, struct templates *t,
                                      struct frt_error *err)
{
    size_t total = 0, eligible = 0;
    for (size_t p = 0; p < c->n_people; p++)
        eligible += c->left[p] >= k;
    if (eligible < 2)
        return frt_fail(err, FRT_EBAD_REQUEST, "%zu people have %u photos or more; at least 2 are right",
                        eligible, k);
    if (frt_mul_size(eligible + 1, labelled->dim, &total))
        t->vectors = frt_alloc_array(total, sizeof *t->vectors);
    t->person = frt_alloc_array(eligible, sizeof *t->person);
    t->first = frt_alloc_array(c->n_people, sizeof *t->first);
    t->drawn = frt_alloc_array(labelled->n, sizeof *t->drawn);
    if (t->vectors == NULL || t->person == NULL || t->first == NULL || t->drawn == NULL)
        return frt_fail_nomem(err, "templates");
    for (size_t p = 0, first = 0; p < c->n_people; first += c->left[p++]) {
        t->first[p] = first;
        if (c->left[p] < k)
            continue;
        make_template(labelled, first, c->left[p], SIZE_MAX, k, state, t->drawn,
                      t->vectors + t->n * labelled->dim);
        t->person[t->n++] = (uint32_t)p;
        c->right[p] = 1;
    }
    return FRT_OK;
}

enum frt_status frt_compare_searches(const struct frt_labelled *labelled, uint32_t k, uint64_t *state,
                                     struct frt_comparisons *different, struct frt_mates *same,
                                     struct frt_error *err)
{
    struct frt_comparisons found = {0};
    struct frt_mates mates = {0};
    struct templates t = {0};
    struct collector to = {.c = &found};
    const uint32_t dim = labelled->dim;
    enum frt_status status = begin(labelled, false, &to, err);
    if (status == FRT_OK)
        status = templates_init(labelled, k, &found, state, &t, err);
    if (status == FRT_OK)
        mates.list = frt_alloc_array(labelled->n, sizeof *mates.list);
    if (status == FRT_OK && mates.list == NULL)
        status = frt_fail_nomem(err, "searches");
    for (size_t i = 0; mates.list != NULL && t.first != NULL && i < labelled->n && status == FRT_OK; i++) {
        const float *v = labelled->vectors + i * dim;
        const uint32_t person = labelled->person[i];
        const bool mated = found.left[person] > k;
        struct frt_mated m = {.person = person};
        if (mated) {
            make_template(labelled, t.first[person], found.left[person], i, k, state, t.drawn,
                          t.vectors + t.n * dim);
            m.score = frt_dot_f32(v, t.vectors + t.n * dim, dim);
        }
        for (size_t j = 0; j < t.n; j++) {
            if (t.person[j] == person)
                continue;
            const float score = frt_dot_f32(v, t.vectors + j * dim, dim);
            m.above += mated && score >= m.score;
            collect(&to, score, person, t.person[j], (uint32_t)i);
        }
        if (mated)
            mates.list[mates.n++] = m;
        status = look(labelled, i, err);
    }
    templates_deinit(&t);
    if (status != FRT_OK) {
        frt_comparisons_deinit(&found);
        frt_mates_deinit(&mates);
        return status;
    }
    collect_end(&to);
    mates_end(&mates);
    *different = found;
    *same = mates;
    return FRT_OK;
}

/* ------------------------------------------------------- what they estimate */

double frt_comparisons_total(const struct frt_comparisons *c, const double *weight)
{
    double left = 0, right = 0, own = 0;
    for (size_t p = 0; p < c->n_people; p++) {
        const double w = weight != NULL ? weight[p] : 1;
        left += w * c->left[p];
        right += w * c->right[p];
        own += w * w * c->left[p] * c->right[p];
    }
    return (left * right - own) / (c->pairs ? 2 : 1);
}

/* How many of the top are at or above the threshold. */
static size_t count_at(const struct frt_comparisons *c, float threshold)
{
    size_t low = 0, high = c->n_top;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (c->top[middle].score >= threshold)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

double frt_false_match_rate(const struct frt_comparisons *c, float threshold)
{
    const size_t n = count_at(c, threshold);
    return c->n == 0 || (n == c->n_top && n < c->n) ? (double)NAN : (double)n / (double)c->n;
}

float frt_threshold_for_rate(const struct frt_comparisons *c, double rate)
{
    const double allowed = floor(rate * (double)c->n + 1e-9);
    if (!(allowed >= 1) || allowed >= (double)c->n_top)
        return NAN;
    const size_t at = (size_t)allowed;
    const float low = c->top[at].score, high = c->top[at - 1].score;
    return fmaxf(low + (high - low) / 2, nextafterf(low, 2));
}

void frt_thresholds_for_rates(const struct frt_comparisons *c, const double *weight, const double *rates,
                              size_t n, double *out)
{
    const double total = frt_comparisons_total(c, weight);
    double sum = 0;
    size_t at = 0;
    /* rates descend, thresholds rise: from the highest score down, the last rate is reached first */
    for (size_t i = 0; i < n; i++)
        out[i] = c->n_top > 0 ? (double)c->top[c->n_top - 1].score : (double)NAN;
    size_t next = n;
    for (; at < c->n_top && next > 0; at++) {
        const struct frt_comparison *x = &c->top[at];
        sum += weight != NULL ? weight[x->a] * weight[x->b] : 1;
        for (; next > 0 && sum > rates[next - 1] * total; next--)
            out[next - 1] = (double)x->score;
    }
}

struct couple {
    uint32_t a, b; /* a < b */
};

static int by_couple(const void *left, const void *right)
{
    const struct couple *x = left, *y = right;
    return x->a != y->a ? (x->a < y->a ? -1 : 1) : (x->b > y->b) - (x->b < y->b);
}

/* Comparisons of two people, as many as there are. */
static double met(const struct frt_comparisons *c, uint32_t a, uint32_t b)
{
    return c->pairs ? (double)c->left[a] * c->left[b]
                    : (double)c->left[a] * c->right[b] + (double)c->left[b] * c->right[a];
}

/* Sum over all couples of people of the square of how often they meet. */
static double squares_of_met(const struct frt_comparisons *c)
{
    double ll = 0, rr = 0, lr = 0, both = 0;
    for (size_t p = 0; p < c->n_people; p++) {
        const double l = c->left[p], r = c->right[p];
        ll += l * l;
        rr += r * r;
        lr += l * r;
        both += l * l * r * r;
    }
    return c->pairs ? (ll * ll - both) / 2 : ll * rr - both + lr * lr - both;
}

enum frt_status frt_dependence_at(const struct frt_comparisons *c, float threshold, struct frt_dependence *out,
                                  struct frt_error *err)
{
    const size_t n = count_at(c, threshold);
    struct frt_dependence d = {.errors = n, .effective = (double)n, .spread = 1};
    struct couple *couples = NULL;
    double *own = NULL;
    if (n == 0) {
        *out = d;
        return FRT_OK;
    }
    couples = frt_alloc_array(n, sizeof *couples);
    own = frt_alloc_zero(c->n_people, sizeof *own);
    if (couples == NULL || own == NULL) {
        frt_free(couples);
        frt_free(own);
        return frt_fail_nomem(err, "comparisons");
    }
    const double p = (double)n / (double)c->n;
    double of_people = 0, of_couples = p * p * squares_of_met(c), left = 0, right = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t a = c->top[i].a, b = c->top[i].b;
        couples[i] = (struct couple){a < b ? a : b, a < b ? b : a};
        own[a]++;
        own[b]++;
    }
    qsort(couples, n, sizeof *couples, by_couple);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && by_couple(&couples[i], &couples[end]) == 0; end++)
            ;
        const double errors = (double)(end - i);
        of_couples += errors * errors - 2 * p * errors * met(c, couples[i].a, couples[i].b);
    }
    for (size_t i = 0; i < c->n_people; i++) {
        left += c->left[i];
        right += c->right[i];
    }
    for (size_t i = 0; i < c->n_people; i++) {
        const double l = c->left[i], r = c->right[i];
        const double meets = c->pairs ? l * (left - l) : l * (right - r) + r * (left - l);
        of_people += (own[i] - p * meets) * (own[i] - p * meets);
    }
    const double least = (double)n * (1 - p), variance = fmax(of_people - of_couples, least);
    d.effective = fmin((double)n, (double)n * (double)n * (1 - p) / variance);
    d.spread = fmin(fmax(sqrt(variance / (of_people + of_couples)), least_spread), 1);
    frt_free(couples);
    frt_free(own);
    *out = d;
    return FRT_OK;
}

enum frt_status frt_open_set_rates(const struct frt_comparisons *searches, const double *weight, size_t people,
                                   const float *thresholds, size_t n, double *out, struct frt_error *err)
{
    const struct frt_comparisons *c = searches;
    double templates = 0, all = 0, sum = 0, most = 0;
    size_t n_probes = 0, at = 0;
    for (size_t p = 0; p < c->n_people; p++) {
        const double w = weight != NULL ? weight[p] : 1;
        templates += w * c->right[p];
        all += w * c->left[p];
        most += w;
        n_probes += c->left[p];
    }
    double *log_factorial = frt_alloc_array((size_t)most + 2, sizeof *log_factorial);
    double *above = frt_alloc_zero(n_probes + 1, sizeof *above);
    if (log_factorial == NULL || above == NULL) {
        frt_free(log_factorial);
        frt_free(above);
        return frt_fail_nomem(err, "searches");
    }
    for (size_t i = 0; i < (size_t)most + 2; i++)
        log_factorial[i] = lgamma((double)i + 1);
    for (size_t i = 0; i < n; i++) {
        for (; at < c->n_top && c->top[at].score >= thresholds[i]; at++) {
            const struct frt_comparison *x = &c->top[at];
            const double own = weight != NULL ? weight[x->a] : 1, w = weight != NULL ? weight[x->b] : 1;
            const size_t met_here = (size_t)(templates - own * c->right[x->a]);
            const size_t drawn = people < met_here ? people : met_here;
            if (own == 0 || w == 0 || drawn == 0)
                continue;
            /* no one of m among the `drawn` of `met_here`: C(met - m, drawn) / C(met, drawn) */
            double named[2];
            for (int k = 0; k < 2; k++) {
                const size_t m = (size_t)(above[x->probe] + (k == 1 ? w : 0));
                named[k] = m + drawn > met_here
                               ? 1
                               : -expm1(log_factorial[met_here - m] - log_factorial[met_here - m - drawn] -
                                        log_factorial[met_here] + log_factorial[met_here - drawn]);
            }
            above[x->probe] += w;
            sum += own * (named[1] - named[0]);
        }
        out[i] = all > 0 ? sum / all : (double)NAN;
    }
    frt_free(log_factorial);
    frt_free(above);
    return FRT_OK;
}

double frt_miss_rate(const struct frt_mates *mates, const double *weight, float threshold, double people,
                     double templates)
{
    double all = 0, found = 0;
    for (size_t i = 0; i < mates->n; i++) {
        const struct frt_mated *m = &mates->list[i];
        const double w = weight != NULL ? weight[m->person] : 1;
        all += w;
        if (m->score < threshold)
            continue;
        const double other = templates > 0 ? fmin(1, m->above / templates) : 0;
        found += w * (other < 1 ? exp(fmax(0, people - 1) * log1p(-other)) : 0);
    }
    return all > 0 ? 1 - found / all : (double)NAN;
}

void frt_non_match_rates(const struct frt_mates *mates, const double *weight, const double *thresholds,
                         size_t n, double *out)
{
    double below = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        for (; at < mates->n && (double)mates->list[at].score < thresholds[i]; at++)
            below += weight != NULL ? weight[mates->list[at].person] : 1;
        out[i] = below;
    }
    double all = below;
    for (; at < mates->n; at++)
        all += weight != NULL ? weight[mates->list[at].person] : 1;
    for (size_t i = 0; i < n; i++)
        out[i] = all > 0 ? out[i] / all : (double)NAN;
}

float frt_score_for_rate(const struct frt_comparisons *c, double rate)
{
    const double wanted = rate * (double)c->n;
    double above = 0;
    for (size_t i = FRT_SCORE_BINS; i > 0; i--) {
        const double here = (double)c->histogram[i - 1];
        if (above + here >= wanted && here > 0)
            return (float)(-1 + 2 * ((double)i - (wanted - above) / here) / FRT_SCORE_BINS);
        above += here;
    }
    return -1;
}

#include "engine/calibrate.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

enum { LEAST_SAMPLES = 20, MOST_SAMPLES = 10000, TAIL_MOST = 2000, TAIL_LEAST = 100, MAX_RATES = 64 };
static const double tail_share = 5e-4, coarse_share = 0.8, highest = 0.99;

static const double fmr_grid[] = {0.1,  0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4,
                                  1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6, 1e-7};
static const uint32_t enrolled_counts[FRT_TABLE_CURVES] = {1, 2, 3, 5};
static const uint64_t gallery_sizes[] = {10, 100, 1000, 10000, 100000};
static const double gallery_targets[FRT_CALIBRATE_TARGETS] = {1e-2, 1e-3};

void frt_calibration_deinit(struct frt_calibration *calibration)
{
    frt_eval_failures_free(calibration->failures, calibration->n_failures);
    *calibration = (struct frt_calibration){0};
}

/* ------------------------------------------------------------------- study */

/* Comparisons, what is known of people, and samples of people. */
struct study {
    const struct frt_labelled *labelled;
    const struct frt_calibrate_options *options;
    uint32_t samples;
    uint64_t state;
    size_t n_people;
    double *weights;      /* [samples][n_people]: how often each person was drawn */
    double *tail_weights; /* [TAIL_MOST] */
    float *tail_scores;
};

static void study_deinit(struct study *s)
{
    frt_free(s->weights);
    frt_free(s->tail_weights);
    frt_free(s->tail_scores);
}

static enum frt_status study_init(struct study *s, struct frt_error *err)
{
    size_t total = 0;
    s->n_people = (size_t)s->labelled->person[s->labelled->n - 1] + 1;
    if (frt_mul_size(s->n_people, s->samples, &total))
        s->weights = frt_alloc_zero(total, sizeof *s->weights);
    s->tail_weights = frt_alloc_array(TAIL_MOST, sizeof *s->tail_weights);
    s->tail_scores = frt_alloc_array(TAIL_MOST, sizeof *s->tail_scores);
    if (s->weights == NULL || s->tail_weights == NULL || s->tail_scores == NULL)
        return frt_fail_nomem(err, "samples of people");
    for (uint32_t b = 0; b < s->samples; b++)
        for (size_t i = 0; i < s->n_people; i++)
            s->weights[(size_t)b * s->n_people + frt_seeded_below(&s->state, s->n_people)]++;
    return FRT_OK;
}

static const double *sample(const struct study *s, uint32_t b)
{
    return s->weights + (size_t)b * s->n_people;
}

/* The tail of a sample (NULL: of the people themselves), begun where `errors` comparisons of the whole are
 * above. */
static bool fit(const struct study *s, const struct frt_comparisons *c, const double *weight,
                struct frt_tail *out)
{
    size_t n = (size_t)(tail_share * (double)c->n);
    n = n < TAIL_LEAST ? TAIL_LEAST : n > TAIL_MOST ? TAIL_MOST : n;
    if (n > c->n / 20)
        n = (size_t)(c->n / 20);
    if (n > c->n_top)
        n = c->n_top;
    for (size_t i = 0; i < n; i++) {
        s->tail_scores[i] = c->top[i].score;
        s->tail_weights[i] = weight != NULL ? weight[c->top[i].a] * weight[c->top[i].b] : 1;
    }
    return n > 0 && frt_tail_fit(s->tail_scores, s->tail_weights, n, (double)n / (double)c->n, out);
}

/* The same tail, begun further up: what lies above a score of a Pareto tail is one of the same shape. */
static void begin_tail_at(struct frt_tail *tail, double score, double share)
{
    tail->scale += tail->shape * fmax(0, score - tail->above);
    tail->above = score;
    tail->share = share;
}

/* Thresholds of several rates, with what is behind them. */
struct estimate {
    double rate, threshold, low, high, errors, effective;
    bool extrapolated, refused;
    bool coarse; /* beyond the top: from the histogram, so sure that no interval is needed */
};

/* The rates, descending, of which the first n_supported have FRT_CALIBRATE_ERRORS comparisons behind them, and
 * at [n_supported] the last such rate. */
struct rates {
    double rate[MAX_RATES + 1];
    size_t n, n_supported;
    bool has_tail;
    struct frt_tail tail; /* begun at the last supported rate */
};

static void support(const struct study *s, const struct frt_comparisons *c, const struct estimate *list,
                    size_t n, struct rates *out)
{
    const double last = FRT_CALIBRATE_ERRORS / (double)c->n;
    *out = (struct rates){.n = n};
    for (size_t i = 0; i < n && list[i].rate >= last * (1 - 1e-9); i++)
        out->rate[out->n_supported++] = list[i].rate;
    out->rate[out->n_supported] = last;
    out->has_tail = c->n_top > FRT_CALIBRATE_ERRORS && fit(s, c, NULL, &out->tail);
    if (out->has_tail)
        begin_tail_at(&out->tail, (double)frt_threshold_for_rate(c, last), last);
}

/* Thresholds in one sample of people. */
static void in_sample(const struct study *s, const struct frt_comparisons *c, const double *weight,
                      const struct rates *r, const struct estimate *list, double *out)
{
    double found[MAX_RATES + 1] = {0};
    struct frt_tail tail = r->tail;
    frt_thresholds_for_rates(c, weight, r->rate, r->n_supported + 1, found);
    if (r->n_supported < r->n && r->has_tail && fit(s, c, weight, &tail))
        begin_tail_at(&tail, found[r->n_supported], r->rate[r->n_supported]);
    for (size_t i = 0; i < r->n; i++)
        out[i] = i < r->n_supported ? found[i] : frt_tail_score(&tail, list[i].rate);
}

static enum frt_status dependence(const struct frt_comparisons *c, const struct rates *r, struct estimate *list,
                                  double *spread, struct frt_error *err)
{
    struct frt_dependence d = {.spread = 1};
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < r->n && status == FRT_OK; i++) {
        if (i < r->n_supported)
            status = frt_dependence_at(c, (float)list[i].threshold, &d, err);
        else if (i == r->n_supported && c->n_top > FRT_CALIBRATE_ERRORS)
            status = frt_dependence_at(c, frt_threshold_for_rate(c, r->rate[i]), &d, err);
        const double errors = list[i].rate * (double)c->n;
        list[i].errors = i < r->n_supported && !list[i].coarse ? (double)d.errors : errors;
        list[i].effective = d.errors > 0 ? list[i].errors * fmin(1, d.effective / (double)d.errors) : 0;
        spread[i] = d.spread;
    }
    return status;
}

/*
 * Thresholds for the rates of list[n], descending, with intervals.
 * drawn  out: f64[samples][n], the thresholds in each sample of people; owned by the caller.
 */
static enum frt_status estimate(const struct study *s, const struct frt_comparisons *c, struct estimate *list,
                                size_t n, double **drawn, struct frt_error *err)
{
    struct rates r;
    double spread[MAX_RATES] = {0};
    double *all = frt_alloc_array((size_t)s->samples * n, sizeof *all);
    double *one = frt_alloc_array(s->samples, sizeof *one);
    enum frt_status status = FRT_OK;
    if (all == NULL || one == NULL) {
        status = frt_fail_nomem(err, "thresholds");
        goto done;
    }
    support(s, c, list, n, &r);
    for (size_t i = 0; i < n; i++) {
        list[i].extrapolated = i >= r.n_supported;
        list[i].refused = list[i].extrapolated && (!r.has_tail || list[i].rate * FRT_CALIBRATE_REACH <
                                                                      r.rate[r.n_supported] * (1 - 1e-9));
        list[i].threshold = !list[i].extrapolated ? (double)frt_threshold_for_rate(c, list[i].rate)
                            : r.has_tail          ? frt_tail_score(&r.tail, list[i].rate)
                                                  : (double)NAN;
        list[i].coarse = c->n_top < c->n && list[i].rate * (double)c->n > coarse_share * (double)c->n_top;
        if (list[i].coarse)
            list[i].threshold = (double)frt_score_for_rate(c, list[i].rate);
    }
    status = dependence(c, &r, list, spread, err);
    for (uint32_t b = 0; b < s->samples && status == FRT_OK; b++)
        in_sample(s, c, sample(s, b), &r, list, all + (size_t)b * n);
    for (size_t i = 0; i < n && status == FRT_OK; i++) {
        for (uint32_t b = 0; b < s->samples; b++) {
            double *t = &all[(size_t)b * n + i];
            *t = fmin(list[i].threshold + (list[i].coarse ? 0 : spread[i]) * (*t - list[i].threshold), 1);
            one[b] = *t;
        }
        const struct frt_range95 middle = frt_middle(one, s->samples);
        list[i].low = fmin(middle.low, list[i].threshold);
        list[i].high = fmax(middle.high, list[i].threshold);
        if (list[i].extrapolated && list[i].threshold > highest) /* only the very same photo would pass */
            list[i].refused = true;
        if (list[i].refused)
            list[i].threshold = list[i].low = list[i].high = (double)NAN;
    }
done:
    frt_free(one);
    if (status == FRT_OK && drawn != NULL)
        *drawn = all;
    else
        frt_free(all);
    return status;
}

/* People with scores: of so many is certainly heard independently. */
static double independent(const struct frt_mates *mates, size_t n_people)
{
    double people = 0;
    bool *seen = frt_alloc_zero(n_people, sizeof *seen);
    for (size_t i = 0; seen != NULL && i < mates->n; i++) { /* no memory: the interval is that of no data */
        people += seen[mates->list[i].person] ? 0 : 1;
        seen[mates->list[i].person] = true;
    }
    frt_free(seen);
    return people;
}

/* Of a share of misses: the samples' middle, and where few misses are behind it that of independent people,
 * too. */
static struct frt_range95 of_misses(double share, double mates, double independent_people, double *drawn,
                                    uint32_t samples)
{
    struct frt_range95 out = frt_middle(drawn, samples);
    if (isnan(share) || !(independent_people > 0))
        return (struct frt_range95){0, 1};
    if (share * mates < 2 * FRT_CALIBRATE_ERRORS) {
        const struct frt_range95 exact = frt_rate_interval(share * independent_people, independent_people);
        out.low = fmin(out.low, exact.low);
        out.high = fmax(out.high, exact.high);
    }
    out.low = fmin(out.low, share);
    out.high = fmax(out.high, share);
    return out;
}

/* ------------------------------------------------------------ verification */

/* Rows for two photos, from estimates whose thresholds rise. */
static enum frt_status rows_of(const struct study *s, const struct frt_comparisons *c,
                               const struct frt_mates *mates, struct estimate *list, size_t n,
                               struct frt_table_row *out, struct frt_error *err)
{
    double *drawn = NULL, *missed = NULL, *one = NULL;
    double thresholds[MAX_RATES], shares[MAX_RATES];
    enum frt_status status = estimate(s, c, list, n, &drawn, err);
    if (status != FRT_OK)
        return status;
    missed = frt_alloc_array((size_t)s->samples * n, sizeof *missed);
    one = frt_alloc_array(s->samples, sizeof *one);
    if (missed == NULL || one == NULL) {
        status = frt_fail_nomem(err, "rates");
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        thresholds[i] = isnan(list[i].threshold) ? 1 : list[i].threshold;
    frt_non_match_rates(mates, NULL, thresholds, n, shares);
    for (uint32_t b = 0; b < s->samples; b++)
        frt_non_match_rates(mates, sample(s, b), drawn + (size_t)b * n, n, missed + (size_t)b * n);
    const double people = independent(mates, s->n_people);
    for (size_t i = 0; i < n; i++) {
        uint32_t k = 0;
        for (uint32_t b = 0; b < s->samples; b++)
            if (!isnan(missed[(size_t)b * n + i]))
                one[k++] = missed[(size_t)b * n + i];
        const struct frt_range95 interval = of_misses(shares[i], (double)mates->n, people, one, k);
        const bool refused = list[i].refused;
        out[i] = (struct frt_table_row){.fmr = list[i].rate,
                                        .threshold = (float)list[i].threshold,
                                        .low = (float)list[i].low,
                                        .high = (float)list[i].high,
                                        .errors = list[i].errors,
                                        .effective = list[i].effective,
                                        .extrapolated = list[i].extrapolated,
                                        .fnmr = refused ? (double)NAN : shares[i],
                                        .fnmr_low = refused ? (double)NAN : interval.low,
                                        .fnmr_high = refused ? (double)NAN : interval.high};
    }
done:
    frt_free(drawn);
    frt_free(missed);
    frt_free(one);
    return status;
}

static enum frt_status verification(struct study *s, struct frt_calibration *out, struct frt_error *err)
{
    struct frt_comparisons different = {0};
    struct frt_mates same = {0};
    struct estimate list[MAX_RATES] = {{0}};
    size_t n = 0;
    enum frt_status status = frt_compare_pairs(s->labelled, &different, &same, err);
    if (status != FRT_OK)
        return status;
    out->same = same.n;
    out->different = different.n;
    memcpy(out->same_histogram, same.histogram, sizeof same.histogram);
    memcpy(out->different_histogram, different.histogram, sizeof different.histogram);
    const double last = FRT_CALIBRATE_ERRORS / (double)different.n / FRT_CALIBRATE_REACH;
    for (size_t i = 0; i < sizeof fmr_grid / sizeof *fmr_grid; i++)
        if (fmr_grid[i] >= last)
            list[n++] = (struct estimate){.rate = fmr_grid[i]};
    status = rows_of(s, &different, &same, list, n, out->table.rows, err);
    out->table.n_rows = status == FRT_OK ? n : 0;
    while (out->table.n_rows > 0 && isnan(out->table.rows[out->table.n_rows - 1].threshold))
        out->table.n_rows--; /* no tail could be fitted */
    if (status == FRT_OK && s->options->fmr > 0) {
        list[0] = (struct estimate){.rate = s->options->fmr};
        status = rows_of(s, &different, &same, list, 1, &out->for_fmr, err);
    }
    frt_comparisons_deinit(&different);
    frt_mates_deinit(&same);
    return status;
}

/* ---------------------------------------------------------- identification */

static void add_point(struct frt_rate_curve *curve, float threshold, double rate)
{
    const struct frt_rate_point *last = curve->n_points > 0 ? &curve->points[curve->n_points - 1] : NULL;
    if (!isfinite(threshold) || curve->n_points == FRT_TABLE_POINTS ||
        (last != NULL && !(threshold > last->threshold + 1e-5f && rate < last->rate)))
        return;
    curve->points[curve->n_points++] = (struct frt_rate_point){threshold, rate};
}

static void make_curve(const struct study *s, const struct frt_comparisons *c, uint32_t k,
                       struct frt_rate_curve *out)
{
    static const double coarse[] = {0.99, 0.9, 0.7, 0.5, 0.3, 0.2};
    const double last = FRT_CALIBRATE_ERRORS / (double)c->n;
    *out = (struct frt_rate_curve){.enrolled = k, .comparisons = c->n};
    for (size_t p = 0; p < c->n_people; p++)
        out->people += c->right[p] > 0 ? 1u : 0u;
    for (size_t i = 0; i < sizeof coarse / sizeof *coarse; i++)
        add_point(out, frt_score_for_rate(c, coarse[i]), coarse[i]);
    for (size_t i = 0; i < sizeof fmr_grid / sizeof *fmr_grid && fmr_grid[i] > 1.2 * last; i++) {
        const float exact = frt_threshold_for_rate(c, fmr_grid[i]);
        add_point(out, isnan(exact) ? frt_score_for_rate(c, fmr_grid[i]) : exact, fmr_grid[i]);
    }
    add_point(out, frt_threshold_for_rate(c, last), last);
    if (out->n_points > 0 && fit(s, c, NULL, &out->tail))
        begin_tail_at(&out->tail, (double)out->points[out->n_points - 1].threshold,
                      out->points[out->n_points - 1].rate);
}

/* What the threshold of one row does, measured on these people. */
static enum frt_status measure_row(const struct study *s, const struct frt_comparisons *c,
                                   const struct frt_mates *mates, const double *drawn, size_t stride,
                                   double spread, struct frt_gallery_row *row, struct frt_error *err)
{
    double templates = 0;
    double *one = frt_alloc_array(s->samples, sizeof *one);
    enum frt_status status = FRT_OK;
    if (one == NULL)
        return frt_fail_nomem(err, "rates");
    for (size_t p = 0; p < c->n_people; p++)
        templates += c->right[p];
    row->measured_fpir = row->measured_low = row->measured_high = (double)NAN;
    row->fnir = row->fnir_low = row->fnir_high = (double)NAN;
    if (status == FRT_OK && (double)row->people <= templates) {
        status = frt_open_set_rates(c, NULL, row->people, &row->threshold, 1, &row->measured_fpir, err);
        for (uint32_t b = 0; b < s->samples && status == FRT_OK; b++) {
            status = frt_open_set_rates(c, sample(s, b), row->people, &row->threshold, 1, &one[b], err);
            one[b] = row->measured_fpir + spread * (one[b] - row->measured_fpir);
        }
        const struct frt_range95 middle = frt_middle(one, status == FRT_OK ? s->samples : 0);
        row->measured_low = fmax(0, fmin(middle.low, row->measured_fpir));
        row->measured_high = fmax(middle.high, row->measured_fpir);
        if (row->measured_fpir * (double)s->n_people <
            FRT_CALIBRATE_ERRORS) { /* few strangers raise an alarm */
            const struct frt_range95 exact =
                frt_rate_interval(row->measured_fpir * (double)s->n_people, (double)s->n_people);
            row->measured_low = fmin(row->measured_low, exact.low);
            row->measured_high = fmax(row->measured_high, exact.high);
        }
    }
    if (status == FRT_OK && mates->n > 0) {
        row->fnir = frt_miss_rate(mates, NULL, row->threshold, (double)row->people, templates - 1);
        uint32_t n = 0;
        for (uint32_t b = 0; b < s->samples; b++) {
            one[n] = frt_miss_rate(mates, sample(s, b), (float)drawn[(size_t)b * stride], (double)row->people,
                                   templates - 1);
            n += isnan(one[n]) ? 0 : 1;
        }
        const struct frt_range95 interval =
            of_misses(row->fnir, (double)mates->n, independent(mates, s->n_people), one, n);
        row->fnir_low = interval.low;
        row->fnir_high = interval.high;
    }
    frt_free(one);
    return status;
}

static int by_rate(const struct estimate *a, const struct estimate *b)
{
    return (a->rate < b->rate) - (a->rate > b->rate);
}

/* Rows [n], at most MAX_RATES, of galleries; people and fpir are read. */
static enum frt_status gallery_rows(const struct study *s, const struct frt_comparisons *c,
                                    const struct frt_mates *mates, struct frt_gallery_row *rows, size_t n,
                                    struct frt_error *err)
{
    struct estimate list[MAX_RATES] = {{0}};
    size_t place[MAX_RATES]; /* rows in the order of their rates, descending */
    double *drawn = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct estimate e = {.rate = frt_rate_for_gallery((double)rows[i].people, rows[i].fpir)};
        size_t k = i;
        for (; k > 0 && by_rate(&list[k - 1], &e) > 0; k--) {
            list[k] = list[k - 1];
            place[k] = place[k - 1];
        }
        list[k] = e;
        place[k] = i;
    }
    enum frt_status status = estimate(s, c, list, n, &drawn, err);
    for (size_t k = 0; k < n && status == FRT_OK; k++) {
        struct frt_gallery_row *row = &rows[place[k]];
        struct frt_dependence d = {.spread = 1};
        row->threshold = (float)list[k].threshold;
        row->low = (float)list[k].low;
        row->high = (float)list[k].high;
        row->errors = list[k].errors;
        row->effective = list[k].effective;
        row->extrapolated = list[k].extrapolated;
        row->refused = list[k].refused;
        if (row->refused) {
            row->measured_fpir = row->measured_low = row->measured_high = (double)NAN;
            row->fnir = row->fnir_low = row->fnir_high = (double)NAN;
            continue;
        }
        status = frt_dependence_at(c, row->threshold, &d, err);
        if (status == FRT_OK)
            status = measure_row(s, c, mates, drawn + k, n, d.spread, row, err);
    }
    frt_free(drawn);
    return status;
}

static enum frt_status galleries(const struct study *s, const struct frt_comparisons *c,
                                 const struct frt_mates *mates, struct frt_calibration *out,
                                 struct frt_error *err)
{
    const uint64_t asked = s->options->people > 0 ? s->options->people : out->people;
    uint64_t sizes[FRT_CALIBRATE_SIZES] = {0};
    size_t n = 0;
    bool placed = false;
    for (size_t i = 0; i < sizeof gallery_sizes / sizeof *gallery_sizes; i++) {
        if (!placed && asked <= gallery_sizes[i]) {
            sizes[n++] = asked;
            placed = true;
        }
        if (!(n > 0 && sizes[n - 1] == gallery_sizes[i]))
            sizes[n++] = gallery_sizes[i];
    }
    if (!placed)
        sizes[n++] = asked;
    out->n_gallery = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < FRT_CALIBRATE_TARGETS; k++)
            out->gallery[out->n_gallery++] =
                (struct frt_gallery_row){.people = sizes[i], .fpir = gallery_targets[k]};
    enum frt_status status = gallery_rows(s, c, mates, out->gallery, out->n_gallery, err);
    if (status == FRT_OK && s->options->fpir > 0) {
        out->for_fpir = (struct frt_gallery_row){.people = asked, .fpir = s->options->fpir};
        status = gallery_rows(s, c, mates, &out->for_fpir, 1, err);
    }
    return status;
}

/* Of the numbers of photos a template that enough people have, the nearest to that asked for. */
static uint32_t nearest_enrolled(double asked, const bool has[FRT_TABLE_CURVES])
{
    uint32_t best = 1;
    for (size_t i = 0; i < FRT_TABLE_CURVES; i++)
        if (has[i] && fabs(enrolled_counts[i] - asked) < fabs(best - asked))
            best = enrolled_counts[i];
    return best;
}

static enum frt_status identification(struct study *s, struct frt_calibration *out, struct frt_error *err)
{
    bool has[FRT_TABLE_CURVES] = {false};
    enum frt_status status = FRT_OK;
    for (size_t i = 0; i < FRT_TABLE_CURVES; i++) {
        size_t people = 0;
        for (size_t a = 0, b; a < s->labelled->n; a = b) {
            for (b = a + 1; b < s->labelled->n && s->labelled->person[b] == s->labelled->person[a]; b++)
                ;
            people += b - a >= enrolled_counts[i] ? 1 : 0;
        }
        has[i] = people >= FRT_CALIBRATE_PEOPLE;
    }
    out->enrolled = nearest_enrolled(s->options->enrolled > 0 ? s->options->enrolled : 1, has);
    for (size_t i = 0; i < FRT_TABLE_CURVES && status == FRT_OK; i++) {
        struct frt_comparisons different = {0};
        struct frt_mates same = {0};
        if (!has[i])
            continue;
        status = frt_compare_searches(s->labelled, enrolled_counts[i], &s->state, &different, &same, err);
        if (status == FRT_OK)
            make_curve(s, &different, enrolled_counts[i], &out->table.curves[out->table.n_curves++]);
        if (status == FRT_OK && enrolled_counts[i] == out->enrolled)
            status = galleries(s, &different, &same, out, err);
        frt_comparisons_deinit(&different);
        frt_mates_deinit(&same);
    }
    return status;
}

/* ---------------------------------------------------------------- sampling */

/* A part of the people and of their photos, when there are too many. */
struct part {
    float *vectors;
    uint32_t *person;
    struct frt_labelled labelled;
};

static enum frt_status take_part(const struct frt_labelled *all, uint64_t most, uint64_t *state,
                                 struct part *out, struct frt_error *err)
{
    const size_t people = (size_t)all->person[all->n - 1] + 1;
    size_t *first = frt_alloc_array(people + 1, sizeof *first), *order = frt_alloc_array(people, sizeof *order);
    size_t *photos = frt_alloc_array(all->n, sizeof *photos);
    bool *kept = frt_alloc_zero(all->n, sizeof *kept);
    size_t n = 0, total = 0;
    uint32_t who = 0;
    enum frt_status status = FRT_OK;
    if (first == NULL || order == NULL || photos == NULL || kept == NULL) {
        status = frt_fail_nomem(err, "a sample of photos");
        goto done;
    }
    for (size_t i = 0; i < all->n; i++)
        if (i == 0 || all->person[i] != all->person[i - 1])
            first[all->person[i]] = i;
    first[people] = all->n;
    for (size_t p = 0; p < people; p++)
        order[p] = p;
    frt_seeded_shuffle(order, people, state);
    for (size_t p = 0; p < people && n < most; p++) {
        const size_t begin = first[order[p]], count = first[order[p] + 1] - begin;
        for (size_t i = 0; i < count; i++)
            photos[i] = begin + i;
        if (count > FRT_CALIBRATE_PERSON)
            frt_seeded_shuffle(photos, count, state);
        for (size_t i = 0; i < count && i < FRT_CALIBRATE_PERSON && n < most; i++, n++)
            kept[photos[i]] = true;
    }
    if (frt_mul_size(n, all->dim, &total))
        out->vectors = frt_alloc_array(total, sizeof *out->vectors);
    out->person = frt_alloc_array(n, sizeof *out->person);
    if (out->vectors == NULL || out->person == NULL) {
        status = frt_fail_nomem(err, "a sample of photos");
        goto done;
    }
    n = 0;
    for (size_t p = 0; p < people; p++) {
        const size_t before = n;
        for (size_t i = first[p]; i < first[p + 1]; i++) {
            if (!kept[i])
                continue;
            memcpy(out->vectors + n * all->dim, all->vectors + i * all->dim, all->dim * sizeof *out->vectors);
            out->person[n++] = who;
        }
        who += n > before;
    }
    out->labelled = *all;
    out->labelled.vectors = out->vectors;
    out->labelled.person = out->person;
    out->labelled.n = n;
done:
    frt_free(first);
    frt_free(order);
    frt_free(photos);
    frt_free(kept);
    return status;
}

/* --------------------------------------------------------------- the whole */

static enum frt_status check(const struct frt_labelled *labelled, const struct frt_calibrate_options *o,
                             struct frt_error *err)
{
    if (o->samples != 0 && (o->samples < LEAST_SAMPLES || o->samples > MOST_SAMPLES))
        return frt_fail(err, FRT_EINVAL, "%u samples of people; %d to %d are right", o->samples, LEAST_SAMPLES,
                        MOST_SAMPLES);
    if (!(o->fmr >= 0 && o->fmr < 1) || !(o->fpir >= 0 && o->fpir < 1))
        return frt_fail(err, FRT_EINVAL, "a target of %g; more than 0 and less than 1 is right",
                        o->fmr >= 0 && o->fmr < 1 ? o->fpir : o->fmr);
    const size_t people = labelled->n > 0 ? (size_t)labelled->person[labelled->n - 1] + 1 : 0;
    if (people < FRT_CALIBRATE_PEOPLE)
        return frt_fail(
            err, FRT_EBAD_REQUEST,
            "photos with a face of %zu people; of fewer than %d nothing can be learnt about strangers", people,
            FRT_CALIBRATE_PEOPLE);
    return FRT_OK;
}

enum frt_status frt_calibrate_embedded(const struct frt_labelled *labelled,
                                       const struct frt_calibrate_options *options, struct frt_calibration *out,
                                       struct frt_error *err)
{
    const int64_t start = frt_now_ns();
    struct part part = {0};
    struct study study = {.labelled = &part.labelled,
                          .options = options,
                          .samples = options->samples > 0 ? options->samples : FRT_CALIBRATE_SAMPLES,
                          .state = options->seed};
    struct frt_calibration made = *out;
    enum frt_status status = check(labelled, options, err);
    if (status != FRT_OK)
        return status;
    made.photos = labelled->n;
    made.people = (uint64_t)labelled->person[labelled->n - 1] + 1;
    made.several_people = 0;
    for (size_t i = 1; i < labelled->n; i++)
        made.several_people += labelled->person[i] == labelled->person[i - 1] &&
                               (i == 1 || labelled->person[i - 2] != labelled->person[i]);
    made.seed = options->seed;
    made.samples = study.samples;
    made.table.n_curves = made.table.n_rows = 0;
    made.for_fmr = (struct frt_table_row){0};
    made.for_fpir = (struct frt_gallery_row){0};
    status = take_part(labelled, options->max_photos > 0 ? options->max_photos : FRT_CALIBRATE_PHOTOS,
                       &study.state, &part, err);
    if (status == FRT_OK)
        status = check(&part.labelled, options, err);
    if (status == FRT_OK)
        status = study_init(&study, err);
    if (status == FRT_OK)
        status = verification(&study, &made, err);
    if (status == FRT_OK)
        status = identification(&study, &made, err);
    if (status == FRT_OK) {
        made.table.photos = part.labelled.n;
        made.table.people = (uint64_t)part.labelled.person[part.labelled.n - 1] + 1;
        made.table.dim = labelled->dim;
        made.wall_ms = frt_elapsed_ms(start);
        *out = made;
    }
    study_deinit(&study);
    frt_free(part.vectors);
    frt_free(part.person);
    return status;
}

/* Calibration against the truth: people are made of whom it is known how often they are mistaken for one
 * another.
 *
 * A photo is a uniformly random direction in `dim` dimensions, so the similarity s of two people's photos has
 * (1 + s) / 2 ~ Beta((dim - 1) / 2, (dim - 1) / 2), whatever the photos of one person have in common, and a
 * stranger meets n people independently: FMR, FPIR and the tail beyond any sample are known exactly. The photos
 * of one person are alike, and so are families: what depends on each other in real photos does so here.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "engine/calibrate.h"

/* ------------------------------------------------------------------ people */

static double normal(uint64_t *state)
{
    const double a = ((double)(frt_seeded_next(state) >> 11) + 0.5) / 9007199254740992.0;
    const double b = (double)(frt_seeded_next(state) >> 11) / 9007199254740992.0;
    return sqrt(-2 * log(a)) * cos(2 * 3.14159265358979323846 * b);
}

struct made {
    float *vectors;
    uint32_t *person;
    size_t n;
};

/* `alike`: the variance that photos of one person share, 0..1. families of so many people share `related` of
 * it. */
static struct made make(uint64_t seed, size_t people, size_t photos, uint32_t dim, double alike, size_t family,
                        double related)
{
    struct made m = {.n = people * photos};
    uint64_t state = seed;
    double kin[64] = {0}, own[64];
    m.vectors = malloc(m.n * dim * sizeof *m.vectors);
    m.person = malloc(m.n * sizeof *m.person);
    assert_non_null(m.vectors);
    assert_non_null(m.person);
    for (size_t p = 0; p < people; p++) {
        for (uint32_t d = 0; d < dim && p % family == 0; d++)
            kin[d] = normal(&state);
        for (uint32_t d = 0; d < dim; d++)
            own[d] = sqrt(related) * kin[d] + sqrt(alike - related) * normal(&state);
        for (size_t k = 0; k < photos; k++) {
            float *v = m.vectors + (p * photos + k) * dim;
            double length = 0, x[64];
            for (uint32_t d = 0; d < dim; d++) {
                x[d] = own[d] + sqrt(1 - alike) * normal(&state);
                length += x[d] * x[d];
            }
            for (uint32_t d = 0; d < dim; d++)
                v[d] = (float)(x[d] / sqrt(length));
            m.person[p * photos + k] = (uint32_t)p;
        }
    }
    return m;
}

static void made_free(struct made *m)
{
    free(m->vectors);
    free(m->person);
}

/* Share of pairs of independent directions with a similarity of t or more: by Simpson's rule over the density
 * (1 - s²)^((dim - 3) / 2). */
static double true_rate(uint32_t dim, double t)
{
    enum { STEPS = 4000 };
    double part[2];
    for (int i = 0; i < 2; i++) {
        const double from = i == 0 ? t : -1, h = (1 - from) / STEPS;
        part[i] = 0;
        for (int k = 0; k <= STEPS; k++) {
            const double s = from + k * h, weight = k == 0 || k == STEPS ? 1 : k % 2 == 1 ? 4 : 2;
            part[i] += weight * pow(fmax(0, 1 - s * s), (dim - 3) / 2.0) * h / 3;
        }
    }
    return part[0] / part[1];
}

static double true_threshold(uint32_t dim, double rate)
{
    double low = -1, high = 1;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        if (true_rate(dim, middle) > rate)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static struct frt_calibration calibrated(const struct made *m, uint32_t dim,
                                         const struct frt_calibrate_options *o)
{
    const struct frt_labelled labelled = {.vectors = m->vectors, .person = m->person, .n = m->n, .dim = dim};
    struct frt_calibration c = {0};
    struct frt_error err = {0};
    if (frt_calibrate_embedded(&labelled, o, &c, &err) != FRT_OK)
        fail_msg("%s", err.text);
    return c;
}

/* -------------------------------------------------------------- statistics */

static void intervals_of_rates(void **state)
{
    (void)state;
    /* Clopper and Pearson, from tables: 0, 10 and 50 of 100, 10 of 1000 */
    const struct {
        double errors, n, low, high;
    } known[] = {
        {0, 100, 0, 0.0362}, {10, 100, 0.0490, 0.1762}, {50, 100, 0.3983, 0.6017}, {10, 1000, 0.0048, 0.0183}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const struct frt_range95 x = frt_rate_interval(known[i].errors, known[i].n);
        assert_true(fabs(x.low - known[i].low) < 6e-5 && fabs(x.high - known[i].high) < 6e-5);
    }
    /* nobody of n: the rule of three, with 3.69 for a two-sided interval */
    assert_true(fabs(frt_rate_interval(0, 1e6).high * 1e6 - 3.69) < 0.01);
    assert_true(frt_rate_interval(5, 5).high == 1 && frt_rate_interval(0, 0).high == 1);
}

static void tails_of_known_shape(void **state)
{
    (void)state;
    enum { N = 20000 };
    static float scores[N];
    struct frt_tail tail;
    static const double shapes[] = {0, 0.2, -0.3};
    for (size_t s = 0; s < 3; s++) {
        for (size_t i = 0; i < N; i++) { /* the distribution's own quantiles, highest first */
            const double above = ((double)i + 0.5) / N;
            const double x = shapes[s] == 0 ? -log(above) : (pow(above, -shapes[s]) - 1) / shapes[s];
            scores[i] = (float)(0.2 + 0.05 * x);
        }
        assert_true(frt_tail_fit(scores, NULL, N, 1e-3, &tail));
        assert_true(tail.shape >= 0 && fabs(tail.shape - fmax(shapes[s], 0)) < 0.02);
        if (shapes[s] >= 0)
            assert_true(fabs(tail.scale - 0.05) < 0.002);
        for (double share = 1e-3; share > 1e-9; share /= 10)
            assert_true(fabs(frt_tail_share(&tail, frt_tail_score(&tail, share)) / share - 1) < 1e-6);
    }
    assert_false(frt_tail_fit(scores, NULL, 19, 1e-3, &tail)); /* too few */
    for (size_t i = 0; i < 100; i++)
        scores[i] = 0.5f;
    assert_false(frt_tail_fit(scores, NULL, 100, 1e-3, &tail)); /* no two alike */
}

/* --------------------------------------------------------------- the truth */

/* Of many studies, in how many does the interval hold the truth? With related people and several photos of
 * each, so that an interval over comparisons would be far too narrow. */
static void intervals_hold_the_true_threshold(void **state)
{
    (void)state;
    enum { STUDIES = 24, DIM = 12, PEOPLE = 80 };
    static const double rates[] = {0.02, 1e-3};
    const double samples = 100;
    unsigned inside[2] = {0, 0}, low[2] = {0, 0};
    for (uint64_t i = 0; i < STUDIES; i++) {
        struct made m = make(1000 + i, PEOPLE, 3, DIM, 0.8, 1, 0);
        const struct frt_calibrate_options o = {.seed = i, .samples = (uint32_t)samples};
        struct frt_calibration c = calibrated(&m, DIM, &o);
        for (size_t r = 0; r < 2; r++) {
            const double truth = true_threshold(DIM, rates[r]);
            for (size_t k = 0; k < c.table.n_rows; k++) {
                if (c.table.rows[k].fmr != rates[r])
                    continue;
                inside[r] += (double)c.table.rows[k].low <= truth && truth <= (double)c.table.rows[k].high;
                low[r] += (double)c.table.rows[k].high < truth;
            }
        }
        frt_calibration_deinit(&c);
        made_free(&m);
    }
    for (size_t r = 0; r < 2; r++) {
        print_message("FMR %g: the interval holds the truth in %u of %d studies, ends below it in %u\n",
                      rates[r], inside[r], STUDIES, low[r]);
        /* 95 % wanted: 24 studies have 23 ± 1. (Of 120 there were 110 at either rate.) */
        assert_in_range(inside[r], 20, STUDIES);
        assert_in_range(low[r], 0, 4);
    }
}

/* A threshold for so many strangers named in a gallery of so many people holds in truth, also where it is
 * extrapolated, and what is measured there is what is true. */
static void searches_hold_their_promise(void **state)
{
    (void)state;
    enum { DIM = 24, PEOPLE = 400 };
    struct made m = make(77, PEOPLE, 3, DIM, 0.7, 1, 0);
    const struct frt_calibrate_options o = {
        .seed = 5, .samples = 100, .fmr = 1e-3, .fpir = 0.01, .people = 200};
    struct frt_calibration c = calibrated(&m, DIM, &o);
    /* photos of one person are random directions again, and so is a template of one: exact for one photo each
     */
    for (size_t i = 0; i < c.n_gallery; i++) {
        const struct frt_gallery_row *r = &c.gallery[i];
        if (r->refused)
            continue;
        const double truth = frt_gallery_rate((double)r->people, true_rate(DIM, (double)r->threshold));
        print_message("%llu people, FPIR %g: threshold %.4f has %.3g%s, measured %.3g\n",
                      (unsigned long long)r->people, r->fpir, (double)r->threshold, truth,
                      r->extrapolated ? " (extrapolated)" : "", r->measured_fpir);
        if (!r->extrapolated) {
            const double at_low = frt_gallery_rate((double)r->people, true_rate(DIM, (double)r->low));
            const double at_high = frt_gallery_rate((double)r->people, true_rate(DIM, (double)r->high));
            assert_true(at_high <= r->fpir * 1.05 && at_low >= r->fpir * 0.95);
        } else { /* a tail without an end errs to the safe side, and not without measure for two powers of ten
                  */
            assert_true(truth < 1.5 * r->fpir);
        }
        if (r->people < PEOPLE) {
            assert_true(r->measured_low <= truth * 1.1 && truth * 0.9 <= r->measured_high);
        } else {
            assert_true(isnan(r->measured_fpir));
        }
    }
    assert_true(c.for_fpir.fpir == 0.01 && c.for_fpir.people == 200 && !c.for_fpir.refused);
    assert_true(c.for_fmr.fmr == 1e-3 && !c.for_fmr.extrapolated);
    /* the curves tell the rate at any score; a template of these people is a random direction, too */
    assert_int_equal(c.table.n_curves, 3);
    for (double rate = 0.5; rate > 1e-4; rate /= 2) {
        const float t = frt_table_threshold(&c.table, 1, rate, NULL);
        assert_true(fabs(true_rate(DIM, (double)t) / rate - 1) < (rate > 1e-3 ? 0.15 : 0.35));
        assert_true(fabs(frt_table_rate(&c.table, 1, t) / rate - 1) < 1e-3);
        assert_true(fabs((double)frt_table_threshold(&c.table, 2.5, rate, NULL) - (double)t) < 0.02);
    }
    frt_calibration_deinit(&c);
    made_free(&m);
}

/* Strangers of families: a few are like many, so that alarms come together. The rates measured over galleries
 * then lie below what independence says, never above. */
static void families_raise_fewer_alarms(void **state)
{
    (void)state;
    enum { DIM = 24, PEOPLE = 300 };
    struct made m = make(9, PEOPLE, 2, DIM, 0.8, 15, 0.35);
    const struct frt_calibrate_options o = {.seed = 1, .samples = 50, .people = 250};
    struct frt_calibration c = calibrated(&m, DIM, &o);
    size_t measured = 0;
    for (size_t i = 0; i < c.n_gallery; i++) {
        const struct frt_gallery_row *r = &c.gallery[i];
        if (isnan(r->measured_fpir) || r->extrapolated)
            continue;
        measured++;
        assert_true(r->measured_fpir <= r->fpir * 1.001);
    }
    assert_true(measured >= 3);
    /* comparisons that depend on each other are worth fewer, and the interval is wider */
    for (size_t i = 0; i < c.table.n_rows; i++)
        assert_true(c.table.rows[i].effective <= c.table.rows[i].errors);
    assert_true(c.table.rows[3].effective < 0.2 * c.table.rows[3].errors);
    frt_calibration_deinit(&c);
    made_free(&m);
}

/* Found on half of the people, a threshold has, among the other half, the rate its interval allows. */
static void halves_agree(void **state)
{
    (void)state;
    enum { DIM = 16, PEOPLE = 160 };
    unsigned held = 0, tried = 0;
    for (uint64_t study = 0; study < 5; study++) {
        struct made m = make(500 + study, PEOPLE, 2, DIM, 0.7, 1, 0);
        struct made half[2];
        for (size_t h = 0; h < 2; h++)
            half[h] = (struct made){m.vectors + h * (m.n / 2) * DIM, m.person, m.n / 2};
        const struct frt_calibrate_options o = {.seed = study, .samples = 100, .fmr = 2e-3};
        struct frt_calibration a = calibrated(&half[0], DIM, &o), b = calibrated(&half[1], DIM, &o);
        held += a.for_fmr.low <= b.for_fmr.high && b.for_fmr.low <= a.for_fmr.high;
        tried++;
        frt_calibration_deinit(&a);
        frt_calibration_deinit(&b);
        made_free(&m);
    }
    assert_in_range(held, tried - 1, tried);
}

static void the_same_seed_gives_the_same(void **state)
{
    (void)state;
    enum { DIM = 16 };
    struct made m = make(3, 60, 4, DIM, 0.7, 1, 0);
    struct frt_buf text[2];
    for (size_t i = 0; i < 2; i++) {
        /* fewer photos than there are: people are drawn */
        const struct frt_calibrate_options o = {.seed = 8, .samples = 20, .max_photos = 150, .fpir = 0.01};
        struct frt_calibration c = calibrated(&m, DIM, &o);
        assert_int_equal(c.table.photos, 150);
        assert_int_equal(c.photos, 240);
        c.wall_ms = 0;
        frt_buf_init(&text[i], 1 << 20);
        frt_calibration_json(&c, &text[i]);
        assert_int_equal(frt_buf_status(&text[i]), FRT_OK);
        frt_calibration_deinit(&c);
    }
    assert_int_equal(text[0].size, text[1].size);
    assert_memory_equal(text[0].data, text[1].data, text[0].size);
    frt_buf_deinit(&text[0]);
    frt_buf_deinit(&text[1]);
    made_free(&m);
}

static void what_cannot_be_told_is_refused(void **state)
{
    (void)state;
    enum { DIM = 16 };
    struct frt_error err = {0};
    struct frt_calibration c = {0};
    struct made few = make(4, 19, 3, DIM, 0.7, 1, 0), some = make(5, 60, 2, DIM, 0.7, 1, 0);
    const struct frt_labelled labelled = {.vectors = few.vectors, .person = few.person, .n = few.n, .dim = DIM};
    const struct frt_calibrate_options o = {.samples = 20, .fmr = 1e-9, .fpir = 1e-4, .people = 1000000};
    assert_int_equal(frt_calibrate_embedded(&labelled, &o, &c, &err), FRT_EBAD_REQUEST);
    assert_non_null(strstr(err.text, "19 people"));
    c = calibrated(&some, DIM, &o);
    assert_true(isnan(c.for_fmr.threshold) && c.for_fpir.refused && isnan(c.for_fpir.threshold));
    struct frt_buf text;
    frt_buf_init(&text, 1 << 20);
    frt_calibration_text(&c, true, 80, &text);
    assert_int_equal(frt_buf_status(&text), FRT_OK);
    assert_non_null(strstr(text.data, "no threshold"));
    frt_buf_deinit(&text);
    frt_calibration_deinit(&c);
    const struct frt_calibrate_options bad = {.samples = 5};
    const struct frt_labelled enough = {
        .vectors = some.vectors, .person = some.person, .n = some.n, .dim = DIM};
    assert_int_equal(frt_calibrate_embedded(&enough, &bad, &c, &err), FRT_EINVAL);
    made_free(&few);
    made_free(&some);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_of_rates),
        cmocka_unit_test(tails_of_known_shape),
        cmocka_unit_test(intervals_hold_the_true_threshold),
        cmocka_unit_test(searches_hold_their_promise),
        cmocka_unit_test(families_raise_fewer_alarms),
        cmocka_unit_test(halves_agree),
        cmocka_unit_test(the_same_seed_gives_the_same),
        cmocka_unit_test(what_cannot_be_told_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Reports of a calibration: JSON for machines, plots, tables for people. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json_write.h"
#include "engine/calibrate.h"
#include "engine/plot.h"

/* ------------------------------------------------------------------ JSON */

static void number(struct frt_json_writer *w, const char *key, double value, int decimals)
{
    frt_json_key(w, key);
    if (isfinite(value))
        frt_json_fixed(w, value, decimals);
    else
        frt_json_null(w);
}

/* Rates span many powers of ten. */
static void rate(struct frt_json_writer *w, const char *key, double value)
{
    char digits[32];
    const int n = isfinite(value) ? snprintf(digits, sizeof digits, "%.4g", value) : 0;
    frt_json_key(w, key);
    if (n > 0)
        frt_json_raw(w, digits, (size_t)n);
    else
        frt_json_null(w);
}

static void integer(struct frt_json_writer *w, const char *key, uint64_t value)
{
    frt_json_key(w, key);
    frt_json_int(w, (int64_t)value);
}

static void truth(struct frt_json_writer *w, const char *key, bool value)
{
    frt_json_key(w, key);
    frt_json_bool(w, value);
}

static void pair_row(struct frt_json_writer *w, const struct frt_table_row *r)
{
    frt_json_object(w);
    rate(w, "fmr", r->fmr);
    number(w, "threshold", (double)r->threshold, 6);
    number(w, "low", (double)r->low, 6);
    number(w, "high", (double)r->high, 6);
    number(w, "errors", r->errors, 2);
    number(w, "effective_errors", r->effective, 2);
    truth(w, "extrapolated", r->extrapolated);
    truth(w, "refused", isnan(r->threshold));
    rate(w, "fnmr", r->fnmr);
    rate(w, "fnmr_low", r->fnmr_low);
    rate(w, "fnmr_high", r->fnmr_high);
    frt_json_end(w);
}

static void gallery_row(struct frt_json_writer *w, const struct frt_gallery_row *r)
{
    frt_json_object(w);
    integer(w, "people", r->people);
    rate(w, "fpir", r->fpir);
    number(w, "threshold", (double)r->threshold, 6);
    number(w, "low", (double)r->low, 6);
    number(w, "high", (double)r->high, 6);
    number(w, "errors", r->errors, 2);
    number(w, "effective_errors", r->effective, 2);
    truth(w, "extrapolated", r->extrapolated);
    truth(w, "refused", r->refused);
    rate(w, "measured_fpir", r->measured_fpir);
    rate(w, "measured_low", r->measured_low);
    rate(w, "measured_high", r->measured_high);
    rate(w, "fnir", r->fnir);
    rate(w, "fnir_low", r->fnir_low);
    rate(w, "fnir_high", r->fnir_high);
    frt_json_end(w);
}

static void write_table(struct frt_json_writer *w, const struct frt_threshold_table *table)
{
    struct frt_buf text;
    frt_buf_init(&text, FRT_TABLE_MAX_BYTES);
    frt_threshold_table_print(table, true, false, &text);
    frt_json_key(w, "table");
    if (frt_buf_status(&text) == FRT_OK)
        frt_json_raw(w, text.data, text.size);
    else
        frt_json_null(w);
    frt_buf_deinit(&text);
}

static void write_scores(struct frt_json_writer *w, const struct frt_calibration *c)
{
    frt_json_key(w, "scores"); /* [lower end of the bin, same, different] */
    frt_json_array(w);
    for (size_t i = 0; i < FRT_SCORE_BINS; i++) {
        if (c->same_histogram[i] == 0 && c->different_histogram[i] == 0)
            continue;
        frt_json_array(w);
        frt_json_fixed(w, -1 + 2.0 * (double)i / FRT_SCORE_BINS, 4);
        frt_json_int(w, (int64_t)c->same_histogram[i]);
        frt_json_int(w, (int64_t)c->different_histogram[i]);
        frt_json_end(w);
    }
    frt_json_end(w);
}

static void write_halves(struct frt_json_writer *w, const struct frt_calibration *c)
{
    if (c->n_halves == 0)
        return;
    frt_json_key(w, "halves");
    frt_json_array(w);
    for (size_t i = 0; i < c->n_halves; i++) {
        const struct frt_half_row *r = &c->halves[i];
        frt_json_object(w);
        if (r->people > 0)
            integer(w, "people", r->people);
        rate(w, r->people > 0 ? "fpir" : "fmr", r->target);
        number(w, "threshold", (double)r->threshold, 6);
        number(w, "low", (double)r->low, 6);
        number(w, "high", (double)r->high, 6);
        rate(w, "found", r->found);
        number(w, "other_threshold", (double)r->other, 6);
        number(w, "other_low", (double)r->other_low, 6);
        number(w, "other_high", (double)r->other_high, 6);
        truth(w, "agree", r->agree);
        frt_json_end(w);
    }
    frt_json_end(w);
}

static void write_recommended(struct frt_json_writer *w, const struct frt_calibration *c)
{
    frt_json_key(w, "recommended");
    frt_json_object(w);
    if (c->for_fmr.fmr > 0) {
        frt_json_key(w, "fmr");
        pair_row(w, &c->for_fmr);
    }
    if (c->for_fpir.fpir > 0) {
        frt_json_key(w, "fpir");
        gallery_row(w, &c->for_fpir);
    }
    frt_json_end(w);
}

void frt_calibration_json(const struct frt_calibration *calibration, struct frt_buf *out)
{
    const struct frt_calibration *c = calibration;
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, true);
    frt_json_object(&w);
    integer(&w, "photos", c->photos);
    integer(&w, "people", c->people);
    integer(&w, "people_with_several_photos", c->several_people);
    integer(&w, "photos_used", c->table.photos);
    integer(&w, "people_used", c->table.people);
    integer(&w, "same_pairs", c->same);
    integer(&w, "different_pairs", c->different);
    integer(&w, "samples", c->samples);
    integer(&w, "seed", c->seed);
    frt_json_key(&w, "failures");
    frt_json_array(&w);
    for (size_t i = 0; i < c->n_failures; i++) {
        frt_json_object(&w);
        frt_json_key(&w, "file");
        frt_json_string(&w, c->failures[i].file);
        frt_json_key(&w, "cause");
        frt_json_string(&w, c->failures[i].cause);
        frt_json_end(&w);
    }
    frt_json_end(&w);
    frt_json_key(&w, "verification");
    frt_json_array(&w);
    for (size_t i = 0; i < c->table.n_rows; i++)
        pair_row(&w, &c->table.rows[i]);
    frt_json_end(&w);
    frt_json_key(&w, "identification");
    frt_json_object(&w);
    integer(&w, "enrolled", c->enrolled);
    frt_json_key(&w, "galleries");
    frt_json_array(&w);
    for (size_t i = 0; i < c->n_gallery; i++)
        gallery_row(&w, &c->gallery[i]);
    frt_json_end(&w);
    frt_json_end(&w);
    write_recommended(&w, c);
    write_halves(&w, c);
    write_table(&w, &c->table);
    write_scores(&w, c);
    number(&w, "wall_seconds", c->wall_ms / 1e3, 3);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* ------------------------------------------------------------------ plots */

enum { TITLE = 256 };

/* "w600k_mbf 1 on lfw-dev: 1794 photos of 890 people" */
static void describe(const struct frt_calibration *c, char out[TITLE])
{
    (void)snprintf(out, TITLE, "%s %s on %s, %s: %llu photos of %llu people", c->table.embedder,
                   c->table.version, c->table.measured_on, c->table.date, (unsigned long long)c->table.photos,
                   (unsigned long long)c->table.people);
}

/* The DET curve: the rows of the table, measured ones first. */
struct det {
    double fmr[FRT_TABLE_ROWS], fnmr[FRT_TABLE_ROWS], low[FRT_TABLE_ROWS], high[FRT_TABLE_ROWS];
    size_t n, n_measured;
    char subtitle[TITLE];
    struct frt_plot plot;
};

static void det_add(struct det *d, const char *name, const double *y, size_t from, size_t n, bool marks)
{
    if (n - from > 1)
        d->plot.curves[d->plot.n_curves++] = (struct frt_plot_curve){
            .name = name, .x = d->fmr + from, .y = y + from, .n = n - from, .marks = marks};
}

static void make_det(const struct frt_calibration *c, struct det *d)
{
    double least = 1, most = 0;
    *d = (struct det){0};
    for (size_t i = 0; i < c->table.n_rows; i++) {
        const struct frt_table_row *r = &c->table.rows[i];
        if (!(r->fnmr >= 0))
            continue;
        d->fmr[d->n] = r->fmr;
        d->fnmr[d->n] = r->fnmr;
        d->low[d->n] = r->fnmr_low;
        d->high[d->n] = r->fnmr_high;
        least = r->fnmr > 0 ? fmin(least, r->fnmr) : least;
        most = fmax(most, r->fnmr_high);
        d->n++;
        d->n_measured += !r->extrapolated ? 1 : 0;
    }
    const double floor_y = pow(10, floor(log10(fmin(least, 0.1)) - 1e-9));
    describe(c, d->subtitle);
    d->plot =
        (struct frt_plot){.x = {"FMR: different people who match",
                                d->n > 0 ? pow(10, floor(log10(d->fmr[d->n - 1]) + 1e-9)) : 1e-3, 0.1, true},
                          .y = {"FNMR: same people who do not", floor_y,
                                fmax(pow(10, ceil(log10(fmax(most, floor_y * 10)))), floor_y * 10), true},
                          .title = "Detection error trade-off, two photos",
                          .subtitle = d->subtitle};
    det_add(d, "measured", d->fnmr, 0, d->n_measured, true);
    if (d->n_measured > 0)
        det_add(d, "threshold extrapolated", d->fnmr, d->n_measured - 1, d->n, true);
    det_add(d, "95 %, over people: from", d->low, 0, d->n, false);
    det_add(d, "to", d->high, 0, d->n, false);
}

void frt_calibration_det_svg(const struct frt_calibration *calibration, struct frt_buf *out)
{
    struct det d;
    make_det(calibration, &d);
    frt_plot_svg(&d.plot, out);
}

/* Shares of all scores in bins, of the range that holds any. */
struct shares {
    double at[FRT_SCORE_BINS + 2], same[FRT_SCORE_BINS + 2], different[FRT_SCORE_BINS + 2];
    double mark_at[2], mark[2]; /* where one pair of different people in a thousand passes */
    char mark_name[64], subtitle[TITLE];
    size_t n;
    struct frt_plot plot;
};

static void share_mark(const struct frt_calibration *c, struct shares *s)
{
    for (size_t i = 0; i < c->table.n_rows; i++) {
        const struct frt_table_row *r = &c->table.rows[i];
        if (fabs(r->fmr - 1e-3) > 1e-9)
            continue;
        s->mark_at[0] = s->mark_at[1] = (double)r->threshold;
        s->mark[1] = s->plot.y.high;
        (void)snprintf(s->mark_name, sizeof s->mark_name, "FMR 0.001 at %.3f", (double)r->threshold);
        s->plot.curves[s->plot.n_curves++] =
            (struct frt_plot_curve){.name = s->mark_name, .x = s->mark_at, .y = s->mark, .n = 2};
    }
}

static void make_shares(const struct frt_calibration *c, struct shares *s)
{
    enum { MERGE = 2, N = FRT_SCORE_BINS / MERGE };
    double same = 0, different = 0, most = 0;
    size_t first = N, last = 0;
    *s = (struct shares){0};
    for (size_t i = 0; i < FRT_SCORE_BINS; i++) {
        same += (double)c->same_histogram[i];
        different += (double)c->different_histogram[i];
        if (c->same_histogram[i] + c->different_histogram[i] > 0) {
            first = i / MERGE < first ? i / MERGE : first;
            last = i / MERGE;
        }
    }
    s->at[0] = -1 + 2.0 * (double)first / N;
    s->n = 1; /* begins at 0 */
    for (size_t i = first; i <= last; i++, s->n++) {
        s->at[s->n] = -1 + 2.0 * ((double)i + 0.5) / N;
        for (size_t k = 0; k < MERGE; k++) {
            s->same[s->n] += same > 0 ? (double)c->same_histogram[MERGE * i + k] / same : 0;
            s->different[s->n] += different > 0 ? (double)c->different_histogram[MERGE * i + k] / different : 0;
        }
        most = fmax(most, fmax(s->same[s->n], s->different[s->n]));
    }
    s->at[s->n] = -1 + 2.0 * (double)(last + 1) / N;
    s->n++;
    describe(c, s->subtitle);
    s->plot =
        (struct frt_plot){.x = {"cosine similarity", s->at[0], fmax(s->at[s->n - 1], s->at[0] + 0.1), false},
                          .y = {"share of the pairs, a hundredth wide", 0, fmax(most * 1.05, 1e-3), false},
                          .title = "Scores of two photos",
                          .subtitle = s->subtitle,
                          .curves = {{.name = "the same person", .x = s->at, .y = s->same, .n = s->n},
                                     {.name = "different people", .x = s->at, .y = s->different, .n = s->n}},
                          .n_curves = 2};
    share_mark(c, s);
}

void frt_calibration_scores_svg(const struct frt_calibration *calibration, struct frt_buf *out)
{
    struct shares s;
    make_shares(calibration, &s);
    frt_plot_svg(&s.plot, out);
}

/* ------------------------------------------------------------------ text */

static void braille_plots(const struct frt_calibration *c, unsigned columns, struct frt_buf *out)
{
    const unsigned width = columns < 52 ? 40 : columns - 12 > 84 ? 84 : columns - 12;
    struct shares s;
    struct det d;
    make_shares(c, &s);
    make_det(c, &d);
    d.plot.n_curves = d.plot.n_curves < 2 ? d.plot.n_curves : 2; /* the intervals would hide the curve */
    frt_buf_append_text(out, "\nscores: different people left, the same person right\n");
    frt_plot_braille(&s.plot, width, 10, out);
    frt_buf_append_text(out, "\nerrors: the further down and left, the better\n");
    frt_plot_braille(&d.plot, width, 10, out);
}

static const char *remark(double effective, bool extrapolated, bool refused)
{
    return refused                            ? "  refused: too far from the data"
           : extrapolated                     ? "  extrapolated"
           : effective < FRT_CALIBRATE_ERRORS ? "  few people behind it"
                                              : "";
}

static void pair_line(const struct frt_table_row *r, struct frt_buf *out)
{
    frt_buf_printf(out, "%10.3g  %7.4f  %7.4f to %7.4f %12.0f %12.1f  %.4f  %.4f to %.4f%s\n", r->fmr,
                   (double)r->threshold, (double)r->low, (double)r->high, r->errors, r->effective, r->fnmr,
                   r->fnmr_low, r->fnmr_high, remark(r->effective, r->extrapolated, isnan(r->threshold)));
}

static void gallery_line(const struct frt_gallery_row *r, struct frt_buf *out)
{
    char measured[64] = "-", missed[64] = "-";
    if (r->measured_fpir >= 0)
        (void)snprintf(measured, sizeof measured, "%.4f (%.4f to %.4f)", r->measured_fpir, r->measured_low,
                       r->measured_high);
    if (r->fnir >= 0)
        (void)snprintf(missed, sizeof missed, "%.4f (%.4f to %.4f)", r->fnir, r->fnir_low, r->fnir_high);
    frt_buf_printf(out, "%10llu  %6.4g  %7.4f  %7.4f to %7.4f  %-26s  %-26s%s\n", (unsigned long long)r->people,
                   r->fpir, (double)r->threshold, (double)r->low, (double)r->high, measured, missed,
                   remark(r->effective, r->extrapolated, r->refused));
}

/* Why a threshold is less sure than it looks. */
static void caution(double errors, double effective, bool extrapolated, bool refused, struct frt_buf *out)
{
    if (refused)
        frt_buf_printf(
            out,
            "  There is none: %.2g false matches would be behind it, and a fitted tail is trusted for a "
            "rate of a %dth of the last measured one at most. More people are needed.\n",
            errors, FRT_CALIBRATE_REACH);
    else if (extrapolated)
        frt_buf_printf(
            out,
            "  EXTRAPOLATED: %.2g false matches are behind it, fewer than %d; it is read from a Pareto tail "
            "fitted to the highest scores, and holds as far as that does.\n",
            errors, FRT_CALIBRATE_ERRORS);
    else if (effective < FRT_CALIBRATE_ERRORS)
        frt_buf_printf(
            out,
            "  Few people are behind it: %.0f false matches, which depend on each other as much as if there "
            "were %.1f. Believe the interval.\n",
            errors, effective);
}

static void half_lines(const struct frt_calibration *c, struct frt_buf *out)
{
    size_t agree = 0;
    if (c->n_halves == 0)
        return;
    frt_buf_append_text(
        out, "\nfound on half of the people, and among the other half\n      for            threshold    "
             "(95 %)          rate there  they would say  (95 %)\n");
    for (size_t i = 0; i < c->n_halves; i++) {
        const struct frt_half_row *r = &c->halves[i];
        char what[48];
        if (r->people > 0)
            (void)snprintf(what, sizeof what, "FPIR %g of %llu", r->target, (unsigned long long)r->people);
        else
            (void)snprintf(what, sizeof what, "FMR %g", r->target);
        agree += r->agree ? 1 : 0;
        frt_buf_printf(out, "  %-18s  %7.4f  %7.4f to %7.4f  %11.3g  %7.4f  %7.4f to %7.4f%s\n", what,
                       (double)r->threshold, (double)r->low, (double)r->high, r->found, (double)r->other,
                       (double)r->other_low, (double)r->other_high, r->agree ? "" : "  they disagree");
    }
    frt_buf_printf(out, "  the intervals overlap in %zu of %zu\n", agree, c->n_halves);
}

static void recommendations(const struct frt_calibration *c, struct frt_buf *out)
{
    const struct frt_table_row *m = &c->for_fmr;
    const struct frt_gallery_row *g = &c->for_fpir;
    if (m->fmr > 0) {
        frt_buf_printf(out, "\nfor one false match in %.0f comparisons of two photos: ", 1 / m->fmr);
        if (isnan(m->threshold))
            frt_buf_append_text(out, "no threshold\n");
        else
            frt_buf_printf(out, "threshold %.4f (95 %%: %.4f to %.4f), FNMR %.4f (%.4f to %.4f)\n",
                           (double)m->threshold, (double)m->low, (double)m->high, m->fnmr, m->fnmr_low,
                           m->fnmr_high);
        caution(m->errors, m->effective, m->extrapolated, isnan(m->threshold), out);
    }
    if (g->fpir > 0) {
        frt_buf_printf(
            out, "\nfor one false alarm in %.0f strangers, in a gallery of %llu people with %u photo%s: ",
            1 / g->fpir, (unsigned long long)g->people, c->enrolled, c->enrolled == 1 ? "" : "s each");
        if (g->refused)
            frt_buf_append_text(out, "no threshold\n");
        else
            frt_buf_printf(out, "threshold %.4f (95 %%: %.4f to %.4f)\n", (double)g->threshold, (double)g->low,
                           (double)g->high);
        if (!g->refused && g->fnir >= 0)
            frt_buf_printf(out, "  of the people in it %.2f %% are missed there (%.2f to %.2f %%)\n",
                           100 * g->fnir, 100 * g->fnir_low, 100 * g->fnir_high);
        caution(g->errors, g->effective, g->extrapolated, g->refused, out);
    }
}

void frt_calibration_text(const struct frt_calibration *calibration, bool plots, unsigned columns,
                          struct frt_buf *out)
{
    const struct frt_calibration *c = calibration;
    frt_buf_printf(out, "%s %s on %s: %llu photos of %llu people, %llu with several", c->table.embedder,
                   c->table.version, c->table.measured_on, (unsigned long long)c->photos,
                   (unsigned long long)c->people, (unsigned long long)c->several_people);
    if (c->table.photos < c->photos)
        frt_buf_printf(out, "; of them %llu photos of %llu people, drawn", (unsigned long long)c->table.photos,
                       (unsigned long long)c->table.people);
    frt_buf_printf(
        out,
        "\npairs: %llu of the same person, %llu of different people; intervals: 95 %%, %u samples of "
        "people, seed %llu\n",
        (unsigned long long)c->same, (unsigned long long)c->different, c->samples, (unsigned long long)c->seed);
    if (c->n_failures > 0)
        frt_buf_printf(out, "no face or unreadable: %zu photos, left out\n", c->n_failures);
    for (size_t i = 0; i < c->n_failures && i < 10; i++)
        frt_buf_printf(out, "  %s: %s\n", c->failures[i].file, c->failures[i].cause);
    if (plots)
        braille_plots(c, columns, out);
    frt_buf_append_text(out, "\ntwo photos\n       FMR  threshold    (95 %)          false matches  worth      "
                             "  FNMR    (95 %)\n");
    for (size_t i = 0; i < c->table.n_rows; i++)
        pair_line(&c->table.rows[i], out);
    frt_buf_printf(
        out,
        "\nsearches, %u photo%s a person\n    people    FPIR  threshold    (95 %%)         FPIR measured "
        "there          people missed (FNIR)\n",
        c->enrolled, c->enrolled == 1 ? "" : "s");
    for (size_t i = 0; i < c->n_gallery; i++)
        gallery_line(&c->gallery[i], out);
    half_lines(c, out);
    recommendations(c, out);
}

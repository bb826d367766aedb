/* Reports of errors over discarded photos: JSON, a plot, a few lines for people. */
#include <math.h>
#include <stdio.h>

#include "core/json_write.h"
#include "engine/eval_json.h"
#include "engine/eval_quality.h"
#include "engine/plot.h"

enum { PLOT_COLUMNS = 64, PLOT_ROWS = 16 };

static void write_measure(struct frt_json_writer *w, const struct frt_eval_quality_measure *m)
{
    frt_json_object(w);
    frt_eval_json_text(w, "by", m->name);
    frt_json_key(w, "discarded");
    frt_json_array(w);
    for (size_t p = 0; p < FRT_EVAL_QUALITY_POINTS; p++) {
        const struct frt_eval_quality_point *point = &m->points[p];
        frt_json_object(w);
        frt_eval_json_number(w, "share", point->discarded, 2);
        frt_eval_json_integer(w, "photos_left", point->photos);
        frt_eval_json_integer(w, "same_pairs", point->pairs);
        frt_eval_json_integer(w, "missed", point->misses);
        frt_eval_json_number(w, "fnmr", point->fnmr, 6);
        frt_eval_json_interval(w, "fnmr_interval", point->interval);
        frt_eval_json_number(w, "change", point->change, 6);
        frt_eval_json_interval(w, "change_interval", point->change_interval);
        frt_eval_json_number(w, "fnmr_at_same_fmr", point->fnmr_same_fmr, 6);
        frt_json_end(w);
    }
    frt_json_end(w);
    frt_json_key(w, "curve"); /* FNMR without 0, 1 … 20 % */
    frt_json_array(w);
    for (size_t i = 0; i < FRT_EVAL_QUALITY_CURVE; i++) {
        if (isfinite(m->curve[i]))
            frt_json_fixed(w, m->curve[i], 6);
        else
            frt_json_null(w);
    }
    frt_json_end(w);
    frt_json_end(w);
}

void frt_eval_quality_report_json(const struct frt_eval_quality_report *report, struct frt_buf *out)
{
    const struct frt_eval_quality_report *r = report;
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, true);
    frt_json_object(&w);
    frt_json_key(&w, "pack");
    frt_json_object(&w);
    frt_eval_json_text(&w, "name", r->pack);
    frt_eval_json_text(&w, "id", r->pack_id);
    frt_eval_json_text(&w, "embedder", r->embedder);
    frt_json_end(&w);
    frt_eval_json_integer(&w, "photos", r->n_photos);
    frt_eval_json_integer(&w, "people", r->n_people);
    frt_eval_json_integer(&w, "people_with_several_photos", r->n_several_people);
    frt_eval_json_integer(&w, "half", r->half);
    frt_eval_json_integer(&w, "same", r->n_same);
    frt_eval_json_integer(&w, "different", r->n_different);
    frt_eval_json_number(&w, "fmr", r->fmr, 8);
    frt_eval_json_number(&w, "fmr_found", r->fmr_found, 8);
    frt_eval_json_number(&w, "threshold", (double)r->threshold, 6);
    frt_json_key(&w, "score_quantiles"); /* 1, 5, 25, 50, 95 % */
    frt_json_array(&w);
    for (size_t i = 0; i < 5; i++)
        frt_json_fixed(&w, (double)r->score_quantiles[i], 4);
    frt_json_end(&w);
    frt_json_key(&w, "measures");
    frt_json_array(&w);
    for (size_t m = 0; m < FRT_EVAL_QUALITY_MEASURES; m++)
        write_measure(&w, &r->measures[m]);
    frt_json_end(&w);
    frt_json_key(&w, "failures");
    frt_json_array(&w);
    for (size_t i = 0; i < r->n_failures; i++) {
        frt_json_object(&w);
        frt_eval_json_text(&w, "file", r->failures[i].file);
        frt_eval_json_text(&w, "cause", r->failures[i].cause);
        frt_json_end(&w);
    }
    frt_json_end(&w);
    frt_eval_json_number(&w, "photo_ms", r->mean.total_ms, 3);
    frt_eval_json_integer(&w, "threads", r->threads);
    frt_eval_json_number(&w, "wall_seconds", r->wall_ms / 1e3, 3);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* ------------------------------------------------------------------- plot */

/* Above the highest curve, round. */
static double ceiling_of(const struct frt_eval_quality_report *r)
{
    static const double steps[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5};
    double highest = 0;
    for (size_t m = 0; m < FRT_EVAL_QUALITY_MEASURES; m++)
        for (size_t i = 0; i < FRT_EVAL_QUALITY_CURVE; i++)
            highest = fmax(highest, isfinite(r->measures[m].curve[i]) ? r->measures[m].curve[i] : 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (highest * 1.05 <= steps[i])
            return steps[i];
    return 1;
}

static void draw(const struct frt_eval_quality_report *r, struct frt_buf *out,
                 void (*render)(const struct frt_plot *plot, struct frt_buf *out))
{
    double x[FRT_EVAL_QUALITY_CURVE];
    char title[240], subtitle[160];
    (void)snprintf(title, sizeof title, "Errors over discarded photos, pack \xE2\x80\x9C%s\xE2\x80\x9D (%s)",
                   r->pack, r->embedder);
    (void)snprintf(subtitle, sizeof subtitle, "%zu photos of %zu people, threshold %.3f: FMR %.2g of all",
                   r->n_photos, r->n_people, (double)r->threshold, r->fmr_found);
    struct frt_plot plot = {
        .title = title,
        .subtitle = subtitle,
        .x = {.title = "Per cent of the photos discarded, the worst first", .low = 0, .high = 20},
        .y = {.title = "FNMR of the rest", .low = 0, .high = ceiling_of(r)},
        .n_curves = FRT_EVAL_QUALITY_MEASURES};
    for (size_t i = 0; i < FRT_EVAL_QUALITY_CURVE; i++)
        x[i] = (double)i;
    for (size_t m = 0; m < FRT_EVAL_QUALITY_MEASURES; m++)
        plot.curves[m] = (struct frt_plot_curve){
            .name = r->measures[m].name, .x = x, .y = r->measures[m].curve, .n = FRT_EVAL_QUALITY_CURVE};
    render(&plot, out);
}

static void as_text(const struct frt_plot *plot, struct frt_buf *out)
{
    frt_plot_text(plot, PLOT_COLUMNS, PLOT_ROWS, out);
}

void frt_eval_quality_report_svg(const struct frt_eval_quality_report *report, struct frt_buf *out)
{
    draw(report, out, frt_plot_svg);
}

/* ------------------------------------------------------------------- text */

void frt_eval_quality_report_text(const struct frt_eval_quality_report *report, struct frt_buf *out)
{
    const struct frt_eval_quality_report *r = report;
    frt_buf_printf(
        out, "pack %s (%s), %zu photos of %zu people, %zu with several; %llu same, %llu different pairs\n",
        r->pack, r->embedder, r->n_photos, r->n_people, r->n_several_people, (unsigned long long)r->n_same,
        (unsigned long long)r->n_different);
    if (r->n_failures > 0)
        frt_buf_printf(out, "no face or unreadable: %zu photos, e.g. %s: %s\n", r->n_failures,
                       r->failures[0].file, r->failures[0].cause);
    frt_buf_printf(out, "threshold %.4f: FMR %.3g over all; it stays while photos are discarded\n",
                   (double)r->threshold, r->fmr_found);
    frt_buf_printf(out, "quality scores: 1 %% below %.2f, 5 %% below %.2f, half below %.2f, 95 %% below %.2f\n",
                   (double)r->score_quantiles[0], (double)r->score_quantiles[1], (double)r->score_quantiles[3],
                   (double)r->score_quantiles[4]);
    for (size_t m = 0; m < FRT_EVAL_QUALITY_MEASURES; m++) {
        frt_buf_printf(out, "discarded by %s:\n", r->measures[m].name);
        for (size_t p = 0; p < FRT_EVAL_QUALITY_POINTS; p++) {
            const struct frt_eval_quality_point *point = &r->measures[m].points[p];
            if (m > 0 && point->discarded > 0 && point->discarded < 0.05)
                continue;
            frt_buf_printf(
                out,
                "  %2.0f %%  FNMR %.4f (95 %%: %.4f to %.4f)  change %+.4f (%+.4f to %+.4f)  at the same "
                "FMR %.4f  %zu of %zu pairs\n",
                100 * point->discarded, point->fnmr, point->interval.low, point->interval.high, point->change,
                point->change_interval.low, point->change_interval.high, point->fnmr_same_fmr, point->misses,
                point->pairs);
        }
    }
    draw(r, out, as_text);
    frt_buf_printf(out, "a photo takes %.1f ms; %u thread%s\n", r->mean.total_ms, r->threads,
                   r->threads == 1 ? "" : "s");
}

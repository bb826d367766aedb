/* Reports of a detector's evaluation: JSON, precision over recall, a few lines for people. */
#include <math.h>
#include <stdio.h>

#include "core/json_write.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "engine/eval_detect.h"
#include "engine/eval_json.h"
#include "engine/plot.h"

enum { MAX_LISTED = 20, PLOT_COLUMNS = 64, PLOT_ROWS = 16 };

/* ------------------------------------------------------------------ JSON */

static void write_ap(struct frt_json_writer *w, const struct frt_eval_detect_report *r)
{
    frt_json_key(w, "ap");
    frt_json_object(w);
    frt_eval_json_number(w, "at_050", r->ap[0], 6);
    frt_eval_json_interval(w, "at_050_interval", r->ap_interval);
    frt_eval_json_number(w, "at_050_11_points", r->ap_11, 6);
    frt_eval_json_number(w, "mean_050_095", r->ap_mean, 6);
    frt_json_key(w, "by_overlap");
    frt_json_array(w);
    for (int k = 0; k < FRT_EVAL_DETECT_OVERLAPS; k++) {
        frt_json_array(w);
        frt_json_fixed(w, 0.5 + 0.05 * k, 2);
        frt_json_fixed(w, r->ap[k], 6);
        frt_json_end(w);
    }
    frt_json_end(w);
    frt_json_end(w);
}

static void write_errors(struct frt_json_writer *w, const char *key, const struct frt_eval_detect_report *r,
                         const struct frt_eval_box_error *errors, size_t n, bool scored)
{
    frt_json_key(w, key);
    frt_json_array(w);
    for (size_t i = 0; i < n; i++) {
        const struct frt_eval_box_error *e = &errors[i];
        frt_json_object(w);
        frt_eval_json_text(w, "file", r->labels.photos[e->photo].file);
        frt_json_key(w, "box");
        frt_json_array(w);
        frt_json_fixed(w, (double)e->box.x, 1);
        frt_json_fixed(w, (double)e->box.y, 1);
        frt_json_fixed(w, (double)e->box.width, 1);
        frt_json_fixed(w, (double)e->box.height, 1);
        frt_json_end(w);
        if (scored)
            frt_eval_json_number(w, "confidence", (double)e->score, 6);
        frt_eval_json_number(w, "overlap", (double)e->iou, 4);
        frt_json_end(w);
    }
    frt_json_end(w);
}

static void write_at_confidence(struct frt_json_writer *w, const struct frt_eval_detect_report *r)
{
    frt_json_key(w, "at_confidence");
    frt_json_object(w);
    frt_eval_json_number(w, "confidence", (double)r->confidence, 6);
    frt_eval_json_integer(w, "found", r->n_hits);
    frt_eval_json_integer(w, "missed", r->n_misses);
    frt_eval_json_integer(w, "false_alarms", r->n_false_alarms);
    frt_eval_json_number(w, "precision", r->precision, 6);
    frt_eval_json_interval(w, "precision_interval", r->precision_interval);
    frt_eval_json_number(w, "recall", r->recall, 6);
    frt_eval_json_interval(w, "recall_interval", r->recall_interval);
    frt_eval_json_number(w, "mean_overlap", r->mean_iou, 4);
    write_errors(w, "missed_faces", r, r->misses, r->n_misses, false);
    write_errors(w, "false_alarm_boxes", r, r->false_alarms, r->n_false_alarms, true);
    frt_json_end(w);
}

static void write_failures(struct frt_json_writer *w, const struct frt_eval_detect_report *r)
{
    frt_json_key(w, "failures");
    frt_json_array(w);
    for (size_t i = 0; i < r->n_failures; i++) {
        frt_json_object(w);
        frt_eval_json_text(w, "file", r->failures[i].file);
        frt_eval_json_text(w, "cause", r->failures[i].cause);
        frt_json_end(w);
    }
    frt_json_end(w);
}

void frt_eval_detect_report_json(const struct frt_eval_detect_report *report, struct frt_buf *out)
{
    const struct frt_eval_detect_report *r = report;
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, true);
    frt_json_object(&w);
    frt_json_key(&w, "pack");
    frt_json_object(&w);
    frt_eval_json_text(&w, "name", r->pack);
    frt_eval_json_text(&w, "id", r->pack_id);
    frt_eval_json_text(&w, "detector", r->detector);
    frt_json_end(&w);
    frt_eval_json_integer(&w, "photos", r->labels.n_photos);
    frt_eval_json_integer(&w, "faces", r->n_faces);
    frt_eval_json_integer(&w, "ignored_faces", r->n_ignored);
    frt_eval_json_integer(&w, "detections", r->n_detections);
    frt_eval_json_number(&w, "lowest_confidence", (double)r->floor_confidence, 6);
    write_ap(&w, r);
    write_at_confidence(&w, r);
    frt_json_key(&w, "curve"); /* [confidence, recall, precision] */
    frt_json_array(&w);
    for (size_t i = 0; i < r->n_curve; i++) {
        frt_json_array(&w);
        frt_json_fixed(&w, (double)r->curve[i].score, 6);
        frt_json_fixed(&w, r->curve[i].recall, 6);
        frt_json_fixed(&w, r->curve[i].precision, 6);
        frt_json_end(&w);
    }
    frt_json_end(&w);
    write_failures(&w, r);
    frt_json_key(&w, "timing_ms");
    frt_json_object(&w);
    frt_eval_json_number(&w, "decode", r->mean.decode_ms, 3);
    frt_eval_json_number(&w, "detect", r->mean.detect_ms, 3);
    frt_eval_json_number(&w, "inference", r->mean.inference_ms, 3);
    frt_eval_json_number(&w, "total", r->mean.total_ms, 3);
    frt_json_end(&w);
    frt_eval_json_integer(&w, "threads", r->threads);
    frt_eval_json_number(&w, "wall_seconds", r->wall_ms / 1e3, 3);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* ------------------------------------------------------------------ plot */

/* The curve as two lists, x first; NULL without memory. Owned. */
static double *curve_values(const struct frt_eval_detect_report *r)
{
    double *values = frt_alloc_array(2 * r->n_curve + 1, sizeof *values);
    for (size_t i = 0; values != NULL && i < r->n_curve; i++) {
        values[i] = r->curve[i].recall;
        values[r->n_curve + i] = r->curve[i].precision;
    }
    return values;
}

static void draw(const struct frt_eval_detect_report *r, struct frt_buf *out,
                 void (*render)(const struct frt_plot *plot, struct frt_buf *out))
{
    char title[240], subtitle[160];
    double *values = curve_values(r);
    if (values == NULL) {
        out->failed = FRT_ENOMEM;
        return;
    }
    (void)snprintf(title, sizeof title, "Detection, pack \xE2\x80\x9C%s\xE2\x80\x9D (%s)", r->pack,
                   r->detector);
    (void)snprintf(subtitle, sizeof subtitle, "%zu faces in %zu photos; AP %.3f at IoU 0.5, %.3f over 0.5:0.95",
                   r->n_faces, r->labels.n_photos, r->ap[0], r->ap_mean);
    const double at[2] = {r->recall, isfinite(r->precision) ? r->precision : 0};
    const struct frt_plot plot = {
        .title = title,
        .subtitle = subtitle,
        .x = {.title = "Recall", .low = 0, .high = 1},
        .y = {.title = "Precision", .low = 0, .high = 1},
        .curves =
            {{.name = "at the pack's or the given confidence", .x = &at[0], .y = &at[1], .n = 1, .marks = true},
             {.name = "down to the lowest confidence", .x = values, .y = values + r->n_curve, .n = r->n_curve}},
        .n_curves = 2};
    render(&plot, out);
    frt_free(values);
}

static void as_text(const struct frt_plot *plot, struct frt_buf *out)
{
    frt_plot_text(plot, PLOT_COLUMNS, PLOT_ROWS, out);
}

void frt_eval_detect_report_svg(const struct frt_eval_detect_report *report, struct frt_buf *out)
{
    draw(report, out, frt_plot_svg);
}

/* ------------------------------------------------------------------ text */

static void list(const struct frt_eval_detect_report *r, const char *what,
                 const struct frt_eval_box_error *errors, size_t n, bool scored, struct frt_buf *out)
{
    frt_buf_printf(out, "%s: %zu\n", what, n);
    for (size_t i = 0; i < n && i < MAX_LISTED; i++) {
        char name[256];
        (void)snprintf(name, sizeof name, "%s", r->labels.photos[errors[i].photo].file);
        frt_utf8_sanitise(name);
        frt_buf_printf(out, "  %s  %.0f,%.0f %.0fx%.0f", name, (double)errors[i].box.x, (double)errors[i].box.y,
                       (double)errors[i].box.width, (double)errors[i].box.height);
        if (scored)
            frt_buf_printf(out, "  confidence %.3f", (double)errors[i].score);
        frt_buf_printf(out, "  best overlap %.2f\n", (double)errors[i].iou);
    }
    if (n > MAX_LISTED)
        frt_buf_printf(out, "  and %zu more\n", n - MAX_LISTED);
}

void frt_eval_detect_report_text(const struct frt_eval_detect_report *report, struct frt_buf *out)
{
    const struct frt_eval_detect_report *r = report;
    frt_buf_printf(out, "pack %s (%s), %zu faces in %zu photos, %zu ignored\n", r->pack, r->detector,
                   r->n_faces, r->labels.n_photos, r->n_ignored);
    if (r->n_failures > 0)
        frt_buf_printf(out, "unreadable: %zu photos, e.g. %s: %s\n", r->n_failures, r->failures[0].file,
                       r->failures[0].cause);
    frt_buf_printf(
        out, "AP %.4f at IoU 0.5 (95 %%: %.3f to %.3f; 11 points: %.4f), %.4f over 0.5:0.95, %.4f at 0.75\n",
        r->ap[0], r->ap_interval.low, r->ap_interval.high, r->ap_11, r->ap_mean, r->ap[5]);
    frt_buf_printf(
        out,
        "at confidence %.2f: recall %.4f (%.3f to %.3f), precision %.4f (%.3f to %.3f), mean overlap "
        "of what was found %.3f\n",
        (double)r->confidence, r->recall, r->recall_interval.low, r->recall_interval.high, r->precision,
        r->precision_interval.low, r->precision_interval.high, r->mean_iou);
    list(r, "missed", r->misses, r->n_misses, false, out);
    list(r, "false alarms", r->false_alarms, r->n_false_alarms, true, out);
    draw(r, out, as_text);
    frt_buf_printf(out, "a photo takes %.1f ms, of it decoding %.1f, detection %.1f; %u thread%s\n",
                   r->mean.total_ms, r->mean.decode_ms, r->mean.detect_ms, r->threads,
                   r->threads == 1 ? "" : "s");
}

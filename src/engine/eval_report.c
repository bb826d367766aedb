/* Reports of an evaluation: JSON for machines, a ROC plot, a few lines for people. */
#include <math.h>

#include "core/json_write.h"
#include "engine/eval_pairs.h"

/* ------------------------------------------------------------------ JSON */

static void number(struct frt_json_writer *w, const char *key, double value, int decimals)
{
    frt_json_key(w, key);
    if (isfinite(value))
        frt_json_fixed(w, value, decimals);
    else
        frt_json_null(w);
}

static void integer(struct frt_json_writer *w, const char *key, uint64_t value)
{
    frt_json_key(w, key);
    frt_json_int(w, (int64_t)value);
}

static void write_points(struct frt_json_writer *w, const char *key, const struct frt_eval_point *points,
                         size_t n)
{
    frt_json_key(w, key);
    frt_json_array(w);
    for (size_t i = 0; i < n; i++) {
        frt_json_object(w);
        number(w, "far", points[i].far, 6);
        number(w, "far_found", points[i].far_found, 8);
        number(w, "tar", points[i].tar, 6);
        number(w, "threshold", (double)points[i].threshold, 6);
        frt_json_end(w);
    }
    frt_json_end(w);
}

static void write_accuracy(struct frt_json_writer *w, const struct frt_eval_report *r)
{
    frt_json_key(w, "accuracy");
    frt_json_object(w);
    number(w, "mean", r->accuracy, 6);
    number(w, "std_error", r->accuracy_std_error, 6);
    frt_json_key(w, "folds");
    frt_json_array(w);
    for (uint32_t i = 0; i < r->n_folds; i++) {
        frt_json_object(w);
        integer(w, "same", r->folds[i].n_same);
        integer(w, "different", r->folds[i].n_different);
        number(w, "accuracy", r->folds[i].accuracy, 6);
        number(w, "threshold", (double)r->folds[i].threshold, 6);
        frt_json_end(w);
    }
    frt_json_end(w);
    frt_json_key(w, "at_default_threshold");
    frt_json_object(w);
    number(w, "threshold", (double)r->default_threshold, 6);
    number(w, "accuracy", r->accuracy_at_default, 6);
    number(w, "far", r->far_at_default, 8);
    number(w, "tar", r->tar_at_default, 6);
    frt_json_end(w);
    frt_json_end(w);
}

static void write_failures(struct frt_json_writer *w, const struct frt_eval_report *r)
{
    frt_json_key(w, "detection");
    frt_json_object(w);
    integer(w, "failed_photos", r->n_failures);
    integer(w, "failed_pairs", r->n_failed_pairs);
    integer(w, "photos_with_several_faces", r->n_several_faces);
    frt_json_key(w, "failures");
    frt_json_array(w);
    for (size_t i = 0; i < r->n_failures; i++) {
        frt_json_object(w);
        frt_json_key(w, "file");
        frt_json_string(w, r->failures[i].file);
        frt_json_key(w, "cause");
        frt_json_string(w, r->failures[i].cause);
        frt_json_end(w);
    }
    frt_json_end(w);
    frt_json_end(w);
}

static void write_all_pairs(struct frt_json_writer *w, const struct frt_eval_report *r)
{
    frt_json_key(w, "all_photos");
    if (r->all_different == 0 || r->all_same == 0) {
        frt_json_null(w);
        return;
    }
    frt_json_object(w);
    integer(w, "same", r->all_same);
    integer(w, "different", r->all_different);
    write_points(w, "tar_at_far", r->all_points, r->n_all_points);
    frt_json_key(w, "at_default_threshold");
    frt_json_object(w);
    number(w, "far", r->all_far_at_default, 8);
    number(w, "tar", r->all_tar_at_default, 6);
    frt_json_end(w);
    frt_json_key(w, "roc"); /* [threshold, far, tar] */
    frt_json_array(w);
    for (size_t i = 0; i < r->n_all_roc; i++) {
        frt_json_array(w);
        frt_json_fixed(w, (double)r->all_roc[i].threshold, 5);
        frt_json_fixed(w, r->all_roc[i].far, 8);
        frt_json_fixed(w, r->all_roc[i].tar, 6);
        frt_json_end(w);
    }
    frt_json_end(w);
    frt_json_end(w);
}

static void write_timing(struct frt_json_writer *w, const struct frt_eval_report *r)
{
    const struct frt_timing *t = &r->mean;
    frt_json_key(w, "timing_ms");
    frt_json_object(w);
    number(w, "decode", t->decode_ms, 3);
    number(w, "detect", t->detect_ms, 3);
    number(w, "align", t->align_ms, 3);
    number(w, "embed", t->embed_ms, 3);
    number(w, "inference", t->inference_ms, 3);
    number(w, "total", t->total_ms, 3);
    frt_json_end(w);
    integer(w, "threads", r->threads);
    number(w, "wall_seconds", r->wall_ms / 1e3, 3);
    number(w, "photos_per_second", r->wall_ms > 0 ? (double)r->n_photos / r->wall_ms * 1e3 : NAN, 2);
}

void frt_eval_report_json(const struct frt_eval_report *report, struct frt_buf *out)
{
    const struct frt_eval_report *r = report;
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, true);
    frt_json_object(&w);
    frt_json_key(&w, "pack");
    frt_json_object(&w);
    frt_json_key(&w, "name");
    frt_json_string(&w, r->pack);
    frt_json_key(&w, "id");
    frt_json_string(&w, r->pack_id);
    frt_json_key(&w, "embedder");
    frt_json_string(&w, r->embedder);
    integer(&w, "dim", r->dim);
    frt_json_end(&w);
    integer(&w, "photos", r->n_photos);
    integer(&w, "people", r->n_people);
    integer(&w, "pairs", r->n_pairs);
    integer(&w, "same", r->n_same);
    integer(&w, "different", r->n_different);
    write_failures(&w, r);
    write_accuracy(&w, r);
    write_points(&w, "tar_at_far", r->points, 2);
    number(&w, "eer", r->eer, 6);
    number(&w, "auc", r->auc, 6);
    write_all_pairs(&w, r);
    write_timing(&w, r);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* ------------------------------------------------------------------- SVG */

/* Plot area, pixels; x: FAR, 10^-decades to 1; y: TAR from `floor` to 1. */
struct plot {
    double left, top, width, height;
    int decades;
    double floor;
};

static double plot_x(const struct plot *p, double far)
{
    const double lowest = pow(10, -p->decades);
    return p->left + p->width * (log10(fmax(far, lowest)) / p->decades + 1);
}

static double plot_y(const struct plot *p, double tar)
{
    return p->top + p->height * (1 - (fmax(tar, p->floor) - p->floor) / (1 - p->floor));
}

/* A staircase: the rates hold from one threshold to the next. Starts at the left edge with the TAR that
 * no false accept costs. */
struct stairs {
    const struct plot *plot;
    struct frt_buf *out;
    double tar;
    bool begun;
};

static void stairs_to(struct stairs *s, double far, double tar)
{
    const struct plot *p = s->plot;
    if (far < pow(10, -p->decades)) {
        s->tar = tar;
        return;
    }
    if (!s->begun)
        frt_buf_printf(s->out, "M%.1f %.1f", p->left, plot_y(p, s->tar));
    s->begun = true;
    frt_buf_printf(s->out, "H%.1fV%.1f", plot_x(p, far), plot_y(p, tar));
    s->tar = tar;
}

static void draw_pairs_curve(const struct frt_eval_report *r, const struct plot *p, struct frt_buf *out)
{
    struct stairs s = {.plot = p, .out = out};
    size_t same = 0, different = 0;
    frt_buf_append_text(out, "<path class=\"pairs\" d=\"");
    for (size_t at = r->n_pairs; at > 0;) {
        const float score = r->scores[at - 1].score;
        for (; at > 0 && r->scores[at - 1].score == score; at--) {
            same += r->scores[at - 1].same;
            different += !r->scores[at - 1].same;
        }
        stairs_to(&s, (double)different / (double)r->n_different, (double)same / (double)r->n_same);
    }
    frt_buf_append_text(out, "\"/>\n");
}

static void draw_all_curve(const struct frt_eval_report *r, const struct plot *p, struct frt_buf *out)
{
    struct stairs s = {.plot = p, .out = out};
    frt_buf_append_text(out, "<path class=\"all\" d=\"");
    for (size_t i = 0; i < r->n_all_roc; i++)
        stairs_to(&s, r->all_roc[i].far, r->all_roc[i].tar);
    frt_buf_append_text(out, "\"/>\n");
}

static void draw_axes(const struct plot *p, struct frt_buf *out)
{
    const double bottom = p->top + p->height, right = p->left + p->width;
    for (int d = -p->decades; d <= 0; d++) {
        const double x = plot_x(p, pow(10, d));
        frt_buf_printf(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x,
                       p->top, x, bottom);
        if (d == 0)
            frt_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">1</text>\n", x,
                           bottom + 20);
        else
            frt_buf_printf(
                out,
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">10<tspan dy=\"-5\" font-size=\"9\">"
                "\xE2\x88\x92%d</tspan></text>\n",
                x, bottom + 20, -d);
    }
    for (int i = 0; i <= 5; i++) {
        const double tar = p->floor + (1 - p->floor) * i / 5, y = plot_y(p, tar);
        frt_buf_printf(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", p->left,
                       y, right, y);
        frt_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n", p->left - 8, y + 4,
                       p->floor >= 0.9 ? 3 : 2, tar);
    }
    frt_buf_printf(out, "<rect class=\"frame\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                   p->left, p->top, p->width, p->height);
    frt_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">False accept rate</text>\n",
                   p->left + p->width / 2, bottom + 44);
    frt_buf_printf(
        out,
        "<text transform=\"translate(20 %.1f) rotate(-90)\" text-anchor=\"middle\">True accept rate</text>\n",
        p->top + p->height / 2);
}

/* XML text; the pack's name comes from a manifest. */
static void escaped(const char *text, struct frt_buf *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '<')
            frt_buf_append_text(out, "&lt;");
        else if (*text == '&')
            frt_buf_append_text(out, "&amp;");
        else
            frt_buf_append_char(out, *text);
    }
}

static void draw_key(const struct frt_eval_report *r, const struct plot *p, struct frt_buf *out)
{
    const double x = p->left + p->width - 330, y = p->top + p->height - 40;
    frt_buf_printf(
        out,
        "<path class=\"pairs\" d=\"M%.1f %.1fh28\"/><text x=\"%.1f\" y=\"%.1f\">the %zu listed pairs</text>\n",
        x, y, x + 36, y + 4, r->n_pairs);
    if (r->n_all_roc > 0)
        frt_buf_printf(
            out,
            "<path class=\"all\" d=\"M%.1f %.1fh28\"/><text x=\"%.1f\" y=\"%.1f\">all photos: %llu same, %llu "
            "different</text>\n",
            x, y + 22, x + 36, y + 26, (unsigned long long)r->all_same, (unsigned long long)r->all_different);
}

/* Lowest TAR at the left edge, rounded down so that the curves use the height. */
static double choose_floor(const struct frt_eval_report *r, int decades)
{
    double lowest = 1;
    size_t same = 0;
    for (size_t at = r->n_pairs; at > 0 && r->scores[at - 1].same; at--)
        same++;
    lowest = fmin(lowest, (double)same / (double)r->n_same);
    double before = 0;
    for (size_t i = 0; i < r->n_all_roc && r->all_roc[i].far <= pow(10, -decades); i++)
        before = r->all_roc[i].tar;
    if (r->n_all_roc > 0)
        lowest = fmin(lowest, before);
    return lowest >= 0.95 ? 0.95 : lowest >= 0.9 ? 0.9 : lowest >= 0.75 ? 0.75 : lowest >= 0.5 ? 0.5 : 0;
}

void frt_eval_report_svg(const struct frt_eval_report *report, struct frt_buf *out)
{
    const struct frt_eval_report *r = report;
    if (r->n_same == 0 || r->n_different == 0) {
        frt_buf_append_text(
            out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 400 40\"><text x=\"10\" y=\"25\">"
                 "a ROC curve needs pairs of both kinds</text></svg>\n");
        return;
    }
    const double pairs_seen = r->n_all_roc > 0 ? (double)r->all_different / 10 : (double)r->n_different;
    const int decades = (int)fmin(6, fmax(2, floor(log10(pairs_seen) + 1e-9)));
    const struct plot p = {70, 62, 560, 380, decades, choose_floor(r, decades)};
    frt_buf_append_text(
        out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 510\" width=\"660\" height=\"510\" "
             "font-family=\"system-ui,sans-serif\" font-size=\"13\" fill=\"#222\">\n"
             "<style>.grid{stroke:#ddd}.frame{fill:none;stroke:#888}path{fill:none;stroke-width:2;stroke-"
             "linejoin:round}"
             ".pairs{stroke:#1f5fbf}.all{stroke:#c8501e}</style>\n<rect width=\"660\" height=\"510\" "
             "fill=\"#fff\"/>\n");
    frt_buf_append_text(out, "<text x=\"70\" y=\"26\" font-size=\"16\">Verification, pack \xE2\x80\x9C");
    escaped(r->pack, out);
    frt_buf_append_text(out, "\xE2\x80\x9D (");
    escaped(r->embedder, out);
    frt_buf_printf(
        out, ")</text>\n<text x=\"70\" y=\"46\">accuracy %.2f %%, equal error rate %.2f %%, area %.5f</text>\n",
        100 * r->accuracy, 100 * r->eer, r->auc);
    draw_axes(&p, out);
    if (r->n_all_roc > 0)
        draw_all_curve(r, &p, out);
    draw_pairs_curve(r, &p, out);
    draw_key(r, &p, out);
    frt_buf_append_text(out, "</svg>\n");
}

/* ------------------------------------------------------------------ text */

void frt_eval_report_text(const struct frt_eval_report *report, struct frt_buf *out)
{
    const struct frt_eval_report *r = report;
    frt_buf_printf(out, "pack %s (%s), %zu photos of %zu people, %zu pairs\n", r->pack, r->embedder,
                   r->n_photos, r->n_people, r->n_pairs);
    frt_buf_printf(out, "no face or unreadable: %zu photos, %zu pairs\n", r->n_failures, r->n_failed_pairs);
    for (size_t i = 0; i < r->n_failures && i < 10; i++)
        frt_buf_printf(out, "  %s: %s\n", r->failures[i].file, r->failures[i].cause);
    if (r->n_failures > 10)
        frt_buf_printf(out, "  and %zu more\n", r->n_failures - 10);
    if (r->n_folds > 1)
        frt_buf_printf(out, "accuracy %.2f %% \xC2\xB1 %.2f over %u folds (threshold from the other folds)\n",
                       100 * r->accuracy, 100 * r->accuracy_std_error, r->n_folds);
    else
        frt_buf_printf(out, "accuracy %.2f %% (threshold %.4f, the best for these pairs themselves)\n",
                       100 * r->accuracy, (double)r->folds[0].threshold);
    frt_buf_printf(out, "at the pack's threshold %.4f: accuracy %.2f %%, FAR %.2g, TAR %.4f\n",
                   (double)r->default_threshold, 100 * r->accuracy_at_default, r->far_at_default,
                   r->tar_at_default);
    for (size_t i = 0; i < 2; i++)
        frt_buf_printf(out, "TAR %.4f at FAR %g (threshold %.4f)\n", r->points[i].tar, r->points[i].far,
                       (double)r->points[i].threshold);
    frt_buf_printf(out, "equal error rate %.2f %%, area under the curve %.5f\n", 100 * r->eer, r->auc);
    if (r->all_different > 0 && r->all_same > 0) {
        frt_buf_printf(out, "all photos against all: %llu same, %llu different\n",
                       (unsigned long long)r->all_same, (unsigned long long)r->all_different);
        for (uint32_t i = 0; i < r->n_all_points; i++)
            frt_buf_printf(out, "  TAR %.4f at FAR %g (threshold %.4f)\n", r->all_points[i].tar,
                           r->all_points[i].far, (double)r->all_points[i].threshold);
        frt_buf_printf(out, "  at the pack's threshold: FAR %.2g, TAR %.4f\n", r->all_far_at_default,
                       r->all_tar_at_default);
    }
    frt_buf_printf(out,
                   "a photo takes %.1f ms: decode %.1f, detect %.1f, align %.1f, embed %.1f (inference %.1f); "
                   "%u thread%s, "
                   "%.1f photos a second\n",
                   r->mean.total_ms, r->mean.decode_ms, r->mean.detect_ms, r->mean.align_ms, r->mean.embed_ms,
                   r->mean.inference_ms, r->threads, r->threads == 1 ? "" : "s",
                   r->wall_ms > 0 ? (double)r->n_photos / r->wall_ms * 1e3 : 0);
}

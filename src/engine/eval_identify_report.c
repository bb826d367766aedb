/* Reports of an identification protocol: JSON for machines, FNIR over FPIR as a plot, a table for people. */
#include <math.h>

#include "core/json_write.h"
#include "engine/eval_identify.h"
#include "engine/eval_json.h"

/* ------------------------------------------------------------------ JSON */

static void write_points(struct frt_json_writer *w, const struct frt_eval_identify_result *r)
{
    frt_json_key(w, "fnir_at_fpir");
    frt_json_array(w);
    for (size_t i = 0; i < FRT_EVAL_IDENTIFY_POINTS; i++) {
        frt_json_object(w);
        frt_eval_json_number(w, "fpir", r->points[i].fpir, 6);
        frt_eval_json_number(w, "fpir_found", r->points[i].fpir_found, 8);
        frt_eval_json_number(w, "fnir", r->points[i].fnir, 6);
        frt_eval_json_number(w, "fnir_spread", r->points[i].fnir_spread, 6);
        frt_eval_json_number(w, "threshold", (double)r->points[i].threshold, 6);
        frt_json_end(w);
    }
    frt_json_end(w);
}

static void write_result(struct frt_json_writer *w, const struct frt_eval_identify_report *report,
                         const struct frt_eval_identify_result *r)
{
    frt_json_object(w);
    frt_eval_json_integer(w, "enrolled", r->enrolled);
    frt_eval_json_text(w, "score", r->fused ? "fused" : "best");
    frt_json_key(w, "gallery");
    frt_json_object(w);
    frt_eval_json_number(w, "people", r->mean_gallery_people, 1);
    frt_eval_json_number(w, "faces", r->mean_gallery_faces, 1);
    frt_json_end(w);
    frt_eval_json_integer(w, "mated_people", r->mated_people);
    frt_eval_json_integer(w, "mated_searches", r->n_mated);
    frt_eval_json_integer(w, "non_mated_searches", r->n_non_mated);
    frt_eval_json_number(w, "rank1", r->rank1, 6);
    write_points(w, r);
    frt_json_key(w, "at_default_threshold");
    frt_json_object(w);
    frt_eval_json_number(w, "threshold", (double)report->default_threshold, 6);
    frt_eval_json_number(w, "fpir", r->fpir_at_default, 6);
    frt_eval_json_number(w, "fnir", r->fnir_at_default, 6);
    frt_json_end(w);
    frt_json_key(w, "curve"); /* [threshold, fpir, fnir] */
    frt_json_array(w);
    for (size_t i = 0; i < r->n_curve; i++) {
        frt_json_array(w);
        frt_json_fixed(w, (double)r->curve[i].threshold, 5);
        frt_json_fixed(w, r->curve[i].fpir, 7);
        frt_json_fixed(w, r->curve[i].fnir, 6);
        frt_json_end(w);
    }
    frt_json_end(w);
    frt_json_end(w);
}

static void write_detection(struct frt_json_writer *w, const struct frt_eval_identify_report *r)
{
    frt_json_key(w, "detection");
    frt_json_object(w);
    frt_eval_json_integer(w, "failed_photos", r->n_failures);
    frt_eval_json_integer(w, "photos_with_several_faces", r->n_several_faces);
    frt_json_key(w, "failures");
    frt_json_array(w);
    for (size_t i = 0; i < r->n_failures; i++) {
        frt_json_object(w);
        frt_eval_json_text(w, "file", r->failures[i].file);
        frt_eval_json_text(w, "cause", r->failures[i].cause);
        frt_json_end(w);
    }
    frt_json_end(w);
    frt_json_end(w);
}

void frt_eval_identify_report_json(const struct frt_eval_identify_report *report, struct frt_buf *out)
{
    const struct frt_eval_identify_report *r = report;
    struct frt_json_writer w;
    frt_json_writer_init(&w, out, true);
    frt_json_object(&w);
    frt_json_key(&w, "pack");
    frt_json_object(&w);
    frt_eval_json_text(&w, "name", r->pack);
    frt_eval_json_text(&w, "id", r->pack_id);
    frt_eval_json_text(&w, "embedder", r->embedder);
    frt_eval_json_integer(&w, "dim", r->dim);
    frt_json_end(&w);
    frt_eval_json_integer(&w, "photos", r->n_photos);
    frt_eval_json_integer(&w, "people", r->n_people);
    frt_eval_json_integer(&w, "people_with_several_photos", r->n_several_people);
    frt_eval_json_integer(&w, "splits", r->splits);
    frt_eval_json_integer(&w, "seed", r->seed);
    write_detection(&w, r);
    frt_json_key(&w, "results");
    frt_json_array(&w);
    for (size_t i = 0; i < r->n_results; i++)
        write_result(&w, r, &r->results[i]);
    frt_json_end(&w);
    frt_eval_json_number(&w, "photo_ms", r->mean.total_ms, 3);
    frt_eval_json_integer(&w, "threads", r->threads);
    frt_eval_json_number(&w, "wall_seconds", r->wall_ms / 1e3, 3);
    frt_json_end(&w);
    frt_buf_append_char(out, '\n');
}

/* ------------------------------------------------------------------- SVG */

enum { LEFT = 70, TOP = 62, WIDTH = 560, HEIGHT = 380 };
static const char *const colours[FRT_EVAL_IDENTIFY_RESULTS / 2] = {"#888", "#1f5fbf", "#2c8c4b", "#c8501e"};

/* Axes: FPIR from 10^-decades to 1, FNIR from 0 to `ceiling`. */
struct plot {
    int decades;
    double ceiling;
};

static double plot_x(const struct plot *p, double fpir)
{
    return LEFT + WIDTH * (log10(fmax(fpir, pow(10, -p->decades))) / p->decades + 1);
}

static double plot_y(const struct plot *p, double fnir)
{
    return TOP + HEIGHT * (1 - fmin(fnir, p->ceiling) / p->ceiling);
}

static void draw_axes(const struct plot *p, struct frt_buf *out)
{
    for (int d = -p->decades; d <= 0; d++) {
        const double x = plot_x(p, pow(10, d));
        frt_buf_printf(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", x, TOP, x,
                       TOP + HEIGHT);
        frt_buf_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x,
                       TOP + HEIGHT + 20, pow(10, d));
    }
    for (int i = 0; i <= 5; i++) {
        const double fnir = p->ceiling * i / 5, y = plot_y(p, fnir);
        frt_buf_printf(out, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n", LEFT, y,
                       LEFT + WIDTH, y);
        frt_buf_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n", LEFT - 8, y + 4,
                       fnir);
    }
    frt_buf_printf(out, "<rect class=\"frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", LEFT, TOP,
                   WIDTH, HEIGHT);
    frt_buf_printf(
        out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">FPIR: strangers who are given a name</text>\n",
        LEFT + WIDTH / 2, TOP + HEIGHT + 44);
    frt_buf_printf(
        out,
        "<text transform=\"translate(20 %d) rotate(-90)\" text-anchor=\"middle\">FNIR: people who are "
        "not recognised</text>\n",
        TOP + HEIGHT / 2);
}

/* A staircase: the rates hold from one threshold to the next. */
static void draw_curve(const struct frt_eval_identify_result *r, size_t colour, const struct plot *p,
                       struct frt_buf *out)
{
    bool begun = false;
    frt_buf_printf(out, "<path stroke=\"%s\"%s d=\"", colours[colour],
                   r->fused ? "" : " stroke-dasharray=\"5 4\"");
    for (size_t i = 0; i < r->n_curve; i++) {
        const double x = plot_x(p, r->curve[i].fpir), y = plot_y(p, r->curve[i].fnir);
        if (begun)
            frt_buf_printf(out, "H%.1fV%.1f", x, y);
        else
            frt_buf_printf(out, "M%.1f %.1f", x, y);
        begun = true;
    }
    frt_buf_append_text(out, "\"/>\n");
}

/* XML text; the pack's name comes from a manifest. */
static void escaped(const char *name, struct frt_buf *out)
{
    for (; *name != '\0'; name++) {
        if (*name == '<')
            frt_buf_append_text(out, "&lt;");
        else if (*name == '&')
            frt_buf_append_text(out, "&amp;");
        else
            frt_buf_append_char(out, *name);
    }
}

/* The highest curve at the left edge, rounded up. */
static double choose_ceiling(const struct frt_eval_identify_report *r)
{
    static const double steps[] = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5};
    double highest = 0;
    for (size_t i = 0; i < r->n_results; i++)
        for (size_t k = 0; k < r->results[i].n_curve; k++)
            highest = fmax(highest, r->results[i].curve[k].fnir);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (highest <= steps[i])
            return steps[i];
    return 1;
}

void frt_eval_identify_report_svg(const struct frt_eval_identify_report *report, struct frt_buf *out)
{
    const struct frt_eval_identify_report *r = report;
    const double searches = r->n_results > 0 ? (double)r->results[0].n_non_mated : 100;
    const struct plot p = {.decades = (int)fmin(5, fmax(2, floor(log10(searches) + 1e-9))),
                           .ceiling = choose_ceiling(r)};
    frt_buf_append_text(
        out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 510\" width=\"660\" height=\"510\" "
             "font-family=\"system-ui,sans-serif\" font-size=\"13\" fill=\"#222\">\n"
             "<style>.grid{stroke:#ddd}.frame{fill:none;stroke:#888}path{fill:none;stroke-width:2;stroke-"
             "linejoin:round}</style>\n<rect width=\"660\" height=\"510\" fill=\"#fff\"/>\n");
    frt_buf_append_text(out, "<text x=\"70\" y=\"26\" font-size=\"16\">Identification, pack \xE2\x80\x9C");
    escaped(r->pack, out);
    frt_buf_append_text(out, "\xE2\x80\x9D (");
    escaped(r->embedder, out);
    frt_buf_printf(
        out,
        ")</text>\n<text x=\"70\" y=\"46\">%zu photos of %zu people, %u splits; dashed: best face, solid: "
        "fused template</text>\n",
        r->n_photos, r->n_people, r->splits);
    draw_axes(&p, out);
    for (size_t i = 0; i < r->n_results; i++)
        draw_curve(&r->results[i], i / 2, &p, out);
    for (size_t i = 0; i < r->n_results; i += 2)
        frt_buf_printf(
            out, "<path stroke=\"%s\" d=\"M%d %zuh28\"/><text x=\"%d\" y=\"%zu\">%u enrolled a person</text>\n",
            colours[i / 2], LEFT + WIDTH - 190, (size_t)TOP + 20 + i * 11, LEFT + WIDTH - 154,
            (size_t)TOP + 24 + i * 11, r->results[i].enrolled);
    frt_buf_append_text(out, "</svg>\n");
}

/* ------------------------------------------------------------------ text */

void frt_eval_identify_report_text(const struct frt_eval_identify_report *report, struct frt_buf *out)
{
    const struct frt_eval_identify_report *r = report;
    frt_buf_printf(out, "pack %s (%s), %zu photos of %zu people, %zu with several; %u splits, seed %llu\n",
                   r->pack, r->embedder, r->n_photos, r->n_people, r->n_several_people, r->splits,
                   (unsigned long long)r->seed);
    frt_buf_printf(out, "no face or unreadable: %zu photos\n", r->n_failures);
    for (size_t i = 0; i < r->n_failures && i < 10; i++)
        frt_buf_printf(out, "  %s: %s\n", r->failures[i].file, r->failures[i].cause);
    if (r->n_failures > 10)
        frt_buf_printf(out, "  and %zu more\n", r->n_failures - 10);
    frt_buf_printf(
        out,
        "                                  mated    strangers           FNIR at FPIR              at %.4f\n"
        "enrolled  score  gallery       searches     searches  rank-1  0.01 (threshold)  0.001 (threshold)"
        "  FPIR    FNIR\n",
        (double)r->default_threshold);
    for (size_t i = 0; i < r->n_results; i++) {
        const struct frt_eval_identify_result *x = &r->results[i];
        frt_buf_printf(
            out, "%8u  %-5s  %5.0f people %9zu %12zu  %.4f  %.4f  (%.3f)   %.4f  (%.3f)    %.4f  %.4f\n",
            x->enrolled, x->fused ? "fused" : "best", x->mean_gallery_people, x->n_mated, x->n_non_mated,
            x->rank1, x->points[0].fnir, (double)x->points[0].threshold, x->points[1].fnir,
            (double)x->points[1].threshold, x->fpir_at_default, x->fnir_at_default);
    }
    frt_buf_printf(out, "a photo takes %.1f ms; %u thread%s, %.1f photos a second\n", r->mean.total_ms,
                   r->threads, r->threads == 1 ? "" : "s",
                   r->wall_ms > 0 ? (double)r->n_photos / r->wall_ms * 1e3 : 0);
}

#include "cli/trace_draw.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "core/mem.h"

enum { NUMBERS = 2 * 10, GAP = 2, LEAST_BAR = 16, INDENT = 2, MOST_INDENT = 8 };

/* -------------------------------------------------------------------- reading */

/* Letters, digits and a few signs of a text; what else it holds is left out. */
static void plain(const char *text, char out[CLI_TRACE_NAME])
{
    size_t n = 0;
    for (; text != NULL && *text != '\0' && n < CLI_TRACE_NAME - 1; text++)
        if ((*text >= ' ' && *text < 0x7f) && strchr("<>&\"", *text) == NULL)
            out[n++] = *text;
    out[n] = '\0';
}

static bool read_step(const struct frt_json_value *v, struct cli_step *out)
{
    struct cli_step s = {.wait = frt_json_truth(frt_json_get(v, "wait"), false)};
    const double depth = frt_json_double(frt_json_get(v, "depth"), -1);
    s.start_ms = frt_json_double(frt_json_get(v, "start_ms"), -1);
    s.ms = frt_json_double(frt_json_get(v, "ms"), -1);
    plain(frt_json_text(frt_json_get(v, "name")), s.name);
    plain(frt_json_text(frt_json_get(v, "note")), s.note);
    if (s.name[0] == '\0' || !(depth >= 0 && depth < CLI_TRACE_DEPTH) ||
        !(s.start_ms >= 0 && s.start_ms < 1e9) || !(s.ms >= 0 && s.ms < 1e9))
        return false;
    s.depth = (unsigned)depth;
    *out = s;
    return true;
}

enum frt_status cli_timeline_read(const struct frt_json_value *trace, struct cli_timeline *out,
                                  struct frt_error *err)
{
    struct cli_timeline t = {0};
    const size_t n = frt_json_count(trace);
    if (!frt_json_is_array(trace) || n == 0 || n > CLI_TRACE_STEPS)
        return frt_fail(err, FRT_EBAD_REQUEST,
                        "the answer holds no timeline; does the service know X-FRT-Trace?");
    t.steps = frt_alloc_zero(n, sizeof *t.steps);
    if (t.steps == NULL)
        return frt_fail_nomem(err, "a timeline");
    for (const struct frt_json_value *v = frt_json_first(trace); v != NULL; v = frt_json_next(v)) {
        struct cli_step *s = &t.steps[t.n];
        if (!read_step(v, s)) {
            frt_free(t.steps);
            return frt_fail(err, FRT_EBAD_REQUEST, "step %zu of the timeline makes no sense", t.n);
        }
        if (t.n > 0 && s->depth > s[-1].depth)
            s[-1].outer = true;
        t.total_ms = fmax(t.total_ms, s->start_ms + s->ms);
        t.n++;
    }
    *out = t;
    return FRT_OK;
}

void cli_timeline_deinit(struct cli_timeline *timeline)
{
    frt_free(timeline->steps);
    timeline->steps = NULL;
    timeline->n = 0;
}

/* Waits, and work that is not within other work. */
static void sums(const struct cli_timeline *t, double *waits_ms, double *inference_ms)
{
    *waits_ms = *inference_ms = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (t->steps[i].wait)
            *waits_ms += t->steps[i].ms;
        if (strcmp(t->steps[i].name, "inference") == 0)
            *inference_ms += t->steps[i].ms;
    }
}

/* ----------------------------------------------------------------------- text */

static int indent(const struct cli_step *s)
{
    return INDENT * (int)(s->depth < MOST_INDENT ? s->depth : MOST_INDENT);
}

static int label_size(const struct cli_step *s)
{
    return indent(s) + (int)strlen(s->name) + (s->note[0] == '\0' ? 0 : 3 + (int)strlen(s->note));
}

static void bar(const struct cli_timeline *t, const struct cli_step *s, const struct cli_draw_style *style,
                unsigned columns, struct frt_buf *out)
{
    const double scale = t->total_ms > 0 ? columns / t->total_ms : 0;
    unsigned from = (unsigned)(s->start_ms * scale), to = (unsigned)ceil((s->start_ms + s->ms) * scale);
    from = from < columns ? from : columns - 1;
    to = to > columns ? columns : to <= from ? from + 1 : to;
    const char *mark = s->wait    ? (style->ascii ? "/" : "░")
                       : s->outer ? (style->ascii ? "-" : "─")
                                  : (style->ascii ? "#" : "█");
    frt_buf_printf(out, "%*s%s", (int)from, "",
                   !style->colours ? ""
                   : s->wait       ? "\033[33m"
                   : s->outer      ? "\033[2m"
                                   : "\033[36m");
    for (unsigned i = from; i < to; i++)
        frt_buf_append_text(out, mark);
    frt_buf_append_text(out, style->colours ? "\033[0m\n" : "\n");
}

void cli_timeline_text(const struct cli_timeline *timeline, const struct cli_draw_style *style,
                       struct frt_buf *out)
{
    int label = (int)strlen("step");
    double waits, inference;
    char total[32];
    for (size_t i = 0; i < timeline->n; i++)
        label = label_size(&timeline->steps[i]) > label ? label_size(&timeline->steps[i]) : label;
    const int rest = (int)style->width - label - NUMBERS - 2 * GAP;
    const unsigned columns = rest > LEAST_BAR ? (unsigned)rest : LEAST_BAR;
    (void)snprintf(total, sizeof total, "%.1f ms", timeline->total_ms);
    cli_append_name(out, timeline->title);
    frt_buf_printf(out, ", %s\n\n%-*s%10s%10s  0%*s\n", total, label, "step", "from ms", "ms", (int)columns - 1,
                   total);
    for (size_t i = 0; i < timeline->n; i++) {
        const struct cli_step *s = &timeline->steps[i];
        frt_buf_printf(out, "%*s%s%s%s%s%*s%10.2f%10.2f  ", indent(s), "", s->name,
                       s->note[0] == '\0' ? "" : " (", s->note, s->note[0] == '\0' ? "" : ")",
                       label - label_size(s), "", s->start_ms, s->ms);
        bar(timeline, s, style, columns, out);
    }
    sums(timeline, &waits, &inference);
    frt_buf_printf(out, "\nwaits %.1f ms, the rest %.1f ms, of that in the inference runtime %.1f ms\n", waits,
                   fmax(0, timeline->total_ms - waits), inference);
}

/* ------------------------------------------------------------------------ svg */

enum { SVG_WIDTH = 1000, SVG_MARGIN = 12, SVG_ROW = 22, SVG_HEAD = 56, SVG_TICKS = 10, SVG_LETTER = 7 };

/* One of a few fills, the same for the same name. */
static const char *fill_of(const struct cli_step *s)
{
    static const char *const fills[] = {"#8ecae6", "#a3d9a5", "#ffd6a5", "#cdb4db",
                                        "#f4a6a6", "#b8d8d8", "#e9d8a6"};
    unsigned sum = 0;
    if (s->wait)
        return "url(#wait)";
    for (const char *c = s->name; *c != '\0'; c++)
        sum = sum * 31 + (unsigned char)*c;
    return fills[sum % (sizeof fills / sizeof *fills)];
}

static void svg_text(struct frt_buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text == '<' || *text == '>' || *text == '&' || *text == '"')
            frt_buf_printf(out, "&#%d;", *text);
        else
            frt_buf_append(out, text, 1);
}

static void svg_step(const struct cli_timeline *t, const struct cli_step *s, struct frt_buf *out)
{
    const double scale = (SVG_WIDTH - 2.0 * SVG_MARGIN) / (t->total_ms > 0 ? t->total_ms : 1);
    const double x = SVG_MARGIN + s->start_ms * scale, width = fmax(s->ms * scale, 0.5);
    const double y = SVG_HEAD + (double)s->depth * SVG_ROW;
    frt_buf_printf(
        out,
        "<g><title>%s%s%s: %.3f ms from %.3f ms on</title><rect x=\"%.2f\" y=\"%.0f\" width=\"%.2f\" "
        "height=\"%d\" fill=\"%s\" stroke=\"#444\" stroke-width=\"0.5\"/>",
        s->name, s->note[0] == '\0' ? "" : ", ", s->note, s->ms, s->start_ms, x, y, width, SVG_ROW - 2,
        fill_of(s));
    if (width >= SVG_LETTER * (double)strlen(s->name) + 6)
        frt_buf_printf(out, "<text x=\"%.2f\" y=\"%.0f\">%s</text>", x + 3, y + SVG_ROW - 8, s->name);
    frt_buf_append_text(out, "</g>\n");
}

void cli_timeline_svg(const struct cli_timeline *timeline, struct frt_buf *out)
{
    unsigned depth = 0;
    struct frt_buf title;
    for (size_t i = 0; i < timeline->n; i++)
        depth = timeline->steps[i].depth > depth ? timeline->steps[i].depth : depth;
    const int height = SVG_HEAD + ((int)depth + 1) * SVG_ROW + SVG_MARGIN;
    frt_buf_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
        "font-family=\"monospace\" font-size=\"12\">\n<defs><pattern id=\"wait\" width=\"6\" height=\"6\" "
        "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" "
        "fill=\"#fff\"/><line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" stroke=\"#d08700\" stroke-width=\"3\"/>"
        "</pattern></defs>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"20\">",
        SVG_WIDTH, height, SVG_WIDTH, height, SVG_MARGIN);
    frt_buf_init(&title, 4096);
    cli_append_name(&title, timeline->title);
    svg_text(out, frt_buf_status(&title) == FRT_OK && title.size > 0 ? title.data : "");
    frt_buf_deinit(&title);
    frt_buf_printf(out, ", %.1f ms; hatched: waiting</text>\n", timeline->total_ms);
    for (int i = 0; i <= SVG_TICKS; i++) {
        const double x = SVG_MARGIN + (SVG_WIDTH - 2.0 * SVG_MARGIN) * i / SVG_TICKS;
        frt_buf_printf(
            out,
            "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%d\" "
            "fill=\"#666\" font-size=\"10\" text-anchor=\"%s\">%.1f</text>\n",
            x, SVG_HEAD - 10, x, height - SVG_MARGIN, x, SVG_HEAD - 14,
            i == 0           ? "start"
            : i == SVG_TICKS ? "end"
                             : "middle",
            timeline->total_ms * i / SVG_TICKS);
    }
    for (size_t i = 0; i < timeline->n; i++)
        svg_step(timeline, &timeline->steps[i], out);
    frt_buf_append_text(out, "</svg>\n");
}

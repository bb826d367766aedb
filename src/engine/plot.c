#include "engine/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEFT = 70, TOP = 62, WIDTH = 560, HEIGHT = 380, MAX_COLUMNS = 200, MAX_ROWS = 60, MAX_TICKS = 16 };

static const char *const colours[FRT_PLOT_MAX_CURVES] = {"#1f5fbf", "#c8501e", "#2c8c4b",
                                                         "#8a4fbf", "#888",    "#b3912a"};
static const char letters[FRT_PLOT_MAX_CURVES + 1] = "*o+x#@";

/* Where a value lies between the ends of its axis, 0..1 inside. */
static double place(const struct frt_plot_axis *axis, double value)
{
    if (!axis->logarithmic)
        return (value - axis->low) / (axis->high - axis->low);
    return log(fmax(value, axis->low) / axis->low) / log(axis->high / axis->low);
}

static double inside(double where)
{
    return fmin(fmax(where, 0), 1);
}

/* Values that get a line and a number: decades, or four to eleven round steps. */
static size_t ticks_of(const struct frt_plot_axis *axis, double out[MAX_TICKS])
{
    size_t n = 0;
    if (axis->logarithmic) {
        const int first = (int)ceil(log10(axis->low) - 1e-9), last = (int)floor(log10(axis->high) + 1e-9);
        for (int d = first; d <= last && n < MAX_TICKS; d++)
            out[n++] = pow(10, d);
        return n;
    }
    const double range = axis->high - axis->low, decade = pow(10, floor(log10(range)));
    const double step = range / decade > 5 ? decade : range / decade > 2 ? decade / 2 : decade / 5;
    const double first = ceil(axis->low / step - 1e-9);
    while (n < MAX_TICKS && (first + (double)n) * step <= axis->high + step * 1e-6) {
        out[n] = (first + (double)n) * step;
        n++;
    }
    return n;
}

static void number_text(double value, char *out, size_t size)
{
    (void)snprintf(out, size, "%.4g", fabs(value) < 1e-12 ? 0.0 : value);
}

/* ------------------------------------------------------------------- SVG */

/* XML text: names come from manifests and files. */
static void escaped(const char *text, struct frt_buf *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '<')
            frt_buf_append_text(out, "&lt;");
        else if (*text == '&')
            frt_buf_append_text(out, "&amp;");
        else
            frt_buf_append_char(out, (unsigned char)*text < 0x20 ? ' ' : *text);
    }
}

static double svg_x(const struct frt_plot *plot, double x)
{
    return LEFT + WIDTH * inside(place(&plot->x, x));
}

static double svg_y(const struct frt_plot *plot, double y)
{
    return TOP + HEIGHT * (1 - inside(place(&plot->y, y)));
}

static void svg_axes(const struct frt_plot *plot, struct frt_buf *out)
{
    double ticks[MAX_TICKS];
    char text[32];
    size_t n = ticks_of(&plot->x, ticks);
    for (size_t i = 0; i < n; i++) {
        const double x = svg_x(plot, ticks[i]);
        number_text(ticks[i], text, sizeof text);
        frt_buf_printf(out,
                       "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n"
                       "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                       x, TOP, x, TOP + HEIGHT, x, TOP + HEIGHT + 20, text);
    }
    n = ticks_of(&plot->y, ticks);
    for (size_t i = 0; i < n; i++) {
        const double y = svg_y(plot, ticks[i]);
        number_text(ticks[i], text, sizeof text);
        frt_buf_printf(out,
                       "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n"
                       "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                       LEFT, y, LEFT + WIDTH, y, LEFT - 8, y + 4, text);
    }
    frt_buf_printf(out, "<rect class=\"frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", LEFT, TOP,
                   WIDTH, HEIGHT);
    frt_buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", LEFT + WIDTH / 2, TOP + HEIGHT + 44);
    escaped(plot->x.title, out);
    frt_buf_printf(out, "</text>\n<text transform=\"translate(20 %d) rotate(-90)\" text-anchor=\"middle\">",
                   TOP + HEIGHT / 2);
    escaped(plot->y.title, out);
    frt_buf_append_text(out, "</text>\n");
}

static void svg_curve(const struct frt_plot *plot, size_t c, struct frt_buf *out)
{
    const struct frt_plot_curve *curve = &plot->curves[c];
    bool begun = false;
    frt_buf_printf(out, "<path stroke=\"%s\" d=\"", colours[c]);
    for (size_t i = 0; i < curve->n; i++) {
        const double x = svg_x(plot, curve->x[i]), y = svg_y(plot, curve->y[i]);
        if (!isfinite(curve->x[i]) || !isfinite(curve->y[i]) || place(&plot->x, curve->x[i]) > 1 + 1e-9)
            continue;
        if (!begun)
            frt_buf_printf(out, "M%.1f %.1f", x, y);
        else if (curve->stairs)
            frt_buf_printf(out, "H%.1fV%.1f", x, y);
        else
            frt_buf_printf(out, "L%.1f %.1f", x, y);
        begun = true;
    }
    frt_buf_append_text(out, "\"/>\n");
    for (size_t i = 0; curve->marks && i < curve->n; i++)
        if (isfinite(curve->x[i]) && isfinite(curve->y[i]) && place(&plot->x, curve->x[i]) <= 1 + 1e-9)
            frt_buf_printf(out, "<circle fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", colours[c],
                           svg_x(plot, curve->x[i]), svg_y(plot, curve->y[i]));
}

/* The key stands in the corner of the plot's four that fewest points lie in. */
static void svg_key(const struct frt_plot *plot, struct frt_buf *out)
{
    size_t points[4] = {0}, longest = 0, best = 0;
    for (size_t c = 0; c < plot->n_curves; c++) {
        const struct frt_plot_curve *curve = &plot->curves[c];
        longest = strlen(curve->name) > longest ? strlen(curve->name) : longest;
        for (size_t i = 0; i < curve->n; i++)
            points[(place(&plot->x, curve->x[i]) > 0.5 ? 1 : 0) +
                   (place(&plot->y, curve->y[i]) > 0.5 ? 2 : 0)]++;
    }
    for (size_t i = 1; i < 4; i++)
        if (points[i] < points[best])
            best = i;
    const double width = 50 + 6.8 * (double)longest;
    const double x = best & 1 ? fmax(LEFT + 12, LEFT + WIDTH - width) : LEFT + 12;
    const double y = best & 2 ? TOP + 22 : TOP + HEIGHT - 20 * (double)plot->n_curves;
    for (size_t c = 0; c < plot->n_curves; c++) {
        const double at = y + 20 * (double)c;
        frt_buf_printf(out, "<path stroke=\"%s\" d=\"M%.1f %.1fh28\"/><text x=\"%.1f\" y=\"%.1f\">", colours[c],
                       x, at, x + 36, at + 4);
        escaped(plot->curves[c].name, out);
        frt_buf_append_text(out, "</text>\n");
    }
}

void frt_plot_svg(const struct frt_plot *plot, struct frt_buf *out)
{
    frt_buf_append_text(
        out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 510\" width=\"660\" height=\"510\" "
             "font-family=\"system-ui,sans-serif\" font-size=\"13\" fill=\"#222\">\n"
             "<style>.grid{stroke:#ddd}.frame{fill:none;stroke:#888}path{fill:none;stroke-width:2;stroke-"
             "linejoin:round}</style>\n<rect width=\"660\" height=\"510\" fill=\"#fff\"/>\n");
    frt_buf_append_text(out, "<text x=\"70\" y=\"26\" font-size=\"16\">");
    escaped(plot->title != NULL ? plot->title : "", out);
    frt_buf_append_text(out, "</text>\n<text x=\"70\" y=\"46\">");
    escaped(plot->subtitle != NULL ? plot->subtitle : "", out);
    frt_buf_append_text(out, "</text>\n");
    svg_axes(plot, out);
    for (size_t c = 0; c < plot->n_curves; c++)
        svg_curve(plot, c, out);
    svg_key(plot, out);
    frt_buf_append_text(out, "</svg>\n");
}

/* -------------------------------------------------------------- terminal */

struct grid {
    uint32_t columns, rows;
    char cell[MAX_ROWS][MAX_COLUMNS];
};

static void put(struct grid *grid, double x, double y, char letter)
{
    if (!(x >= -1e-9 && x <= 1 + 1e-9) || !isfinite(y))
        return;
    const uint32_t column = (uint32_t)lround(inside(x) * (grid->columns - 1));
    const uint32_t row = (uint32_t)lround((1 - inside(y)) * (grid->rows - 1));
    grid->cell[row][column] = letter;
}

/* As many dots as letters could lie in between. */
static void put_line(struct grid *grid, double x0, double y0, double x1, double y1, char letter)
{
    const double dots = 2 * fmax(fabs(x1 - x0) * grid->columns, fabs(inside(y1) - inside(y0)) * grid->rows);
    const uint32_t n = (uint32_t)fmin(fmax(dots, 1), 4096);
    for (uint32_t i = 0; i <= n; i++) {
        const double t = (double)i / n;
        put(grid, x0 + t * (x1 - x0), y0 + t * (y1 - y0), letter);
    }
}

static void text_curve(const struct frt_plot *plot, size_t c, struct grid *grid)
{
    const struct frt_plot_curve *curve = &plot->curves[c];
    double before_x = NAN, before_y = NAN;
    for (size_t i = 0; i < curve->n; i++) {
        const double x = place(&plot->x, curve->x[i]), y = place(&plot->y, curve->y[i]);
        if (!isfinite(x) || !isfinite(y) || x > 1 + 1e-9)
            continue;
        if (isnan(before_x)) {
            put(grid, x, y, letters[c]);
        } else if (curve->stairs) {
            put_line(grid, before_x, before_y, x, before_y, letters[c]);
            put_line(grid, x, before_y, x, y, letters[c]);
        } else {
            put_line(grid, before_x, before_y, x, y, letters[c]);
        }
        before_x = x;
        before_y = y;
    }
}

/* The number at a row's height, or blanks. */
static void row_label(const struct frt_plot *plot, const struct grid *grid, uint32_t row, char out[32])
{
    double ticks[MAX_TICKS];
    const size_t n = ticks_of(&plot->y, ticks);
    out[0] = '\0';
    for (size_t i = 0; i < n; i++)
        if ((uint32_t)lround((1 - inside(place(&plot->y, ticks[i]))) * (grid->rows - 1)) == row)
            number_text(ticks[i], out, 32);
}

static void column_labels(const struct frt_plot *plot, const struct grid *grid, struct frt_buf *out)
{
    double ticks[MAX_TICKS];
    char line[MAX_COLUMNS + 64], text[32];
    size_t end = 0;
    const size_t n = ticks_of(&plot->x, ticks);
    memset(line, ' ', sizeof line);
    for (size_t i = 0; i < n; i++) {
        number_text(ticks[i], text, sizeof text);
        const size_t size = strlen(text);
        const size_t column = (size_t)lround(inside(place(&plot->x, ticks[i])) * (grid->columns - 1));
        const size_t begin = column > size / 2 ? column - size / 2 : 0;
        if (begin < end + (end > 0) || begin + size >= sizeof line)
            continue;
        for (size_t c = 0; c < size; c++)
            line[begin + c] = text[c];
        end = begin + size;
    }
    frt_buf_append_text(out, "         ");
    frt_buf_append(out, line, end);
    frt_buf_append_char(out, '\n');
}

void frt_plot_text(const struct frt_plot *plot, uint32_t columns, uint32_t rows, struct frt_buf *out)
{
    struct grid grid = {.columns = columns < 10            ? 10
                                   : columns > MAX_COLUMNS ? MAX_COLUMNS
                                                           : columns,
                        .rows = rows < 4          ? 4
                                : rows > MAX_ROWS ? MAX_ROWS
                                                  : rows};
    memset(grid.cell, ' ', sizeof grid.cell);
    for (size_t c = plot->n_curves; c-- > 0;) /* the first one on top */
        text_curve(plot, c, &grid);
    frt_buf_printf(out, "  %s\n", plot->y.title);
    for (uint32_t row = 0; row < grid.rows; row++) {
        char label[32];
        uint32_t width = grid.columns;
        while (width > 0 && grid.cell[row][width - 1] == ' ')
            width--;
        row_label(plot, &grid, row, label);
        frt_buf_printf(out, "%7s %c", label, label[0] == '\0' ? '|' : '+');
        frt_buf_append(out, grid.cell[row], width);
        frt_buf_append_char(out, '\n');
    }
    frt_buf_append_text(out, "        +");
    for (uint32_t i = 0; i < grid.columns; i++)
        frt_buf_append_char(out, '-');
    frt_buf_append_char(out, '\n');
    column_labels(plot, &grid, out);
    frt_buf_printf(out, "         %s\n", plot->x.title);
    for (size_t c = 0; c < plot->n_curves && plot->n_curves > 1; c++)
        frt_buf_printf(out, "         %c %s\n", letters[c], plot->curves[c].name);
}

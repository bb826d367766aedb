/* Plots in braille: 2 × 4 dots a character. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/plot.h"

enum { MAX_COLUMNS = 120, MAX_ROWS = 30 };

struct raster {
    int columns, rows; /* at most the above */
    unsigned char dots[MAX_ROWS][MAX_COLUMNS];
};

/* 0 at the low end of the axis, 1 at the high one; held inside. */
static double part(const struct frt_plot_axis *axis, double value)
{
    const double v = fmin(fmax(value, axis->low), axis->high);
    return axis->logarithmic ? log(v / axis->low) / log(axis->high / axis->low)
                             : (v - axis->low) / (axis->high - axis->low);
}

static void dot(struct raster *raster, long x, long y)
{
    /* U+2800 and eight bits: 1 4 / 2 5 / 3 6 / 7 8 */
    static const unsigned char bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    if (x < 0 || y < 0 || x >= 2L * raster->columns || y >= 4L * raster->rows)
        return;
    raster->dots[y / 4][x / 2] |= bits[y % 4][x % 2];
}

static void curve(struct raster *raster, const struct frt_plot *plot, const struct frt_plot_curve *c)
{
    const double width = 2.0 * raster->columns - 1, height = 4.0 * raster->rows - 1;
    for (size_t i = 0; i + 1 < c->n; i++) {
        const double x0 = width * part(&plot->x, c->x[i]), x1 = width * part(&plot->x, c->x[i + 1]);
        const double y0 = height * (1 - part(&plot->y, c->y[i])),
                     y1 = height * (1 - part(&plot->y, c->y[i + 1]));
        const int steps = (int)fmax(1, ceil(fmax(fabs(x1 - x0), fabs(y1 - y0))));
        for (int k = 0; k <= steps; k++)
            dot(raster, lround(x0 + (x1 - x0) * k / steps), lround(y0 + (y1 - y0) * k / steps));
    }
}

void frt_plot_braille(const struct frt_plot *plot, uint32_t columns, uint32_t rows, struct frt_buf *out)
{
    struct raster raster = {.columns = columns < MAX_COLUMNS ? (int)columns : MAX_COLUMNS,
                            .rows = rows < MAX_ROWS ? (int)rows : MAX_ROWS};
    char low[32], high[32];
    for (size_t i = 0; i < plot->n_curves; i++)
        curve(&raster, plot, &plot->curves[i]);
    frt_buf_printf(out, "%s\n", plot->y.title);
    for (int row = 0; row < raster.rows; row++) {
        if (row == 0)
            frt_buf_printf(out, "%9.3g ┤", plot->y.high);
        else if (row + 1 == raster.rows)
            frt_buf_printf(out, "%9.3g ┤", plot->y.low);
        else
            frt_buf_append_text(out, "          │");
        for (int column = 0; column < raster.columns; column++) {
            const unsigned code = 0x2800u + raster.dots[row][column];
            const char bytes[3] = {(char)(0xE0u | (code >> 12)), (char)(0x80u | ((code >> 6) & 0x3Fu)),
                                   (char)(0x80u | (code & 0x3Fu))};
            frt_buf_append(out, bytes, sizeof bytes);
        }
        frt_buf_append_char(out, '\n');
    }
    frt_buf_append_text(out, "          └");
    for (int column = 0; column < raster.columns; column++)
        frt_buf_append_text(out, "─");
    (void)snprintf(low, sizeof low, "%.3g", plot->x.low);
    (void)snprintf(high, sizeof high, "%.3g", plot->x.high);
    frt_buf_printf(out, "\n           %-12s%*s\n%*s%s\n", low,
                   raster.columns - 12 > 0 ? raster.columns - 12 : 0, high, 11, "", plot->x.title);
}

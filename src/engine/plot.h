/*
 * A plot of a few curves, as SVG and in letters for a terminal.
 *
 * Curves are drawn within the axes: what lies outside is cut off at the edge in y and left out in x. On a
 * logarithmic axis a value of 0 or less lies at the low end.
 *
 * Threading: pure functions.
 */
#ifndef FRT_ENGINE_PLOT_H
#define FRT_ENGINE_PLOT_H

#include "core/buf.h"

enum { FRT_PLOT_MAX_CURVES = 6 };

struct frt_plot_axis {
    const char *title;
    double low, high; /* low < high; of a logarithmic axis both > 0 */
    bool logarithmic;
};

struct frt_plot_curve {
    const char *name;
    const double *x, *y; /* [n], in the order of drawing; borrowed */
    size_t n;
    bool stairs; /* a value holds until the next x; else straight lines */
    bool marks;  /* a dot at each point */
};

struct frt_plot {
    const char *title, *subtitle; /* any text; NULL = none */
    struct frt_plot_axis x, y;
    struct frt_plot_curve curves[FRT_PLOT_MAX_CURVES];
    size_t n_curves;
};

/** A whole SVG document of 660 × 510. Failures stick to the buffer. */
void frt_plot_svg(const struct frt_plot *plot, struct frt_buf *out);
/** columns × rows letters of plot, and axes around it; curve i is drawn with the i-th of "*o+x#@". */
void frt_plot_text(const struct frt_plot *plot, uint32_t columns, uint32_t rows, struct frt_buf *out);
/** The same in braille, 2 × 4 dots a character, at most 120 × 30 characters, without names of curves
 * (plot_braille.c). */
void frt_plot_braille(const struct frt_plot *plot, uint32_t columns, uint32_t rows, struct frt_buf *out);

#endif

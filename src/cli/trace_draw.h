/*
 * A request's timeline, read from the member "trace" (docs/api.md) and drawn: for the terminal, a row a step,
 * and as an SVG, a row a depth. What the file says is not trusted: it may come from any service.
 *
 * Threading: one owner.
 */
#ifndef FRT_CLI_TRACE_DRAW_H
#define FRT_CLI_TRACE_DRAW_H

#include "core/buf.h"
#include "core/json_read.h"

enum { CLI_TRACE_STEPS = 1000, CLI_TRACE_DEPTH = 64, CLI_TRACE_NAME = 32 };

struct cli_step {
    char name[CLI_TRACE_NAME], note[CLI_TRACE_NAME]; /* printable ASCII; note "" = none */
    unsigned depth;
    bool wait, outer; /* outer: the next ones lie within it */
    double start_ms, ms;
};

struct cli_timeline {
    const char *title; /* borrowed */
    struct cli_step *steps;
    size_t n;
    double total_ms; /* the latest end */
};

/** trace  the array. Errors: FRT_EBAD_REQUEST (not such an array), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status cli_timeline_read(const struct frt_json_value *trace, struct cli_timeline *out,
                                                struct frt_error *err);
void cli_timeline_deinit(struct cli_timeline *timeline);

struct cli_draw_style {
    unsigned width; /* columns; 40 or more */
    bool ascii;     /* no characters beyond ASCII */
    bool colours;
};
void cli_timeline_text(const struct cli_timeline *timeline, const struct cli_draw_style *style,
                       struct frt_buf *out);
void cli_timeline_svg(const struct cli_timeline *timeline, struct frt_buf *out);

#endif

/*
 * From two photos to a crowd: how the threshold rises with the number of people.
 *
 * Over the range that matters, the share of false matches of a comparison falls about exponentially with the
 * threshold (measured: docs/eval.md), so a line through (threshold, log10 FMR) is enough; it errs on the side
 * of "unknown".
 *
 * Threading: pure functions. Source: FPIR = 1 - (1 - FMR)^n of ISO/IEC 19795-1, for small rates FMR times n.
 */
#ifndef FRT_ENGINE_SEARCH_THRESHOLD_H
#define FRT_ENGINE_SEARCH_THRESHOLD_H

#include <stdint.h>

struct frt_threshold_curve {
    float threshold; /* for two photos */
    float fmr;       /* there; 0 = not known */
    float decade;    /* rise for a tenth of it; 0 = not known */
};

/** frt_pack_search_threshold without the pack. */
float frt_search_threshold(const struct frt_threshold_curve *curve, uint64_t people, double target_fpir);

#endif

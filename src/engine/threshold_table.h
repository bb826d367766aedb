/*
 * A threshold table: how often faces of different people reach a score, as `frt calibrate` measured it.
 *
 *     curve k    share of the comparisons of a stranger's photo with a template of k photos that reach a score:
 *                points, log-linear between them; beyond the last the fitted tail (score_statistics.h)
 *     gallery    a stranger meets n people, so FPIR(n, t) = 1 - (1 - share(t))^n. Measured, that is right to a
 * few per cent at FPIR 0.01 and below and errs to the safe side (docs/design/thresholds.md)
 *
 * A template of several photos is nearer to everybody, so there is a curve for 1, 2, 3 and 5; between them,
 * thresholds are interpolated.
 *
 * On disk: docs/formats/thresholds-v1.md. Threading: immutable once read.
 */
#ifndef FRT_ENGINE_THRESHOLD_TABLE_H
#define FRT_ENGINE_THRESHOLD_TABLE_H

#include "core/buf.h"
#include "core/json_write.h"
#include "engine/score_statistics.h"

enum {
    FRT_TABLE_CURVES = 4,
    FRT_TABLE_POINTS = 40,
    FRT_TABLE_ROWS = 40,
    FRT_TABLE_NAME = 64,
    FRT_TABLE_MAX_BYTES = 65536
};

struct frt_rate_curve {
    uint32_t enrolled; /* photos a template */
    uint32_t people;   /* with a template */
    uint64_t comparisons;
    struct frt_rate_point {
        float threshold;
        double rate;
    } points[FRT_TABLE_POINTS]; /* thresholds ascending, rates descending */
    size_t n_points;
    struct frt_tail tail; /* begins at the last point; share 0 = there is none */
};

/** A threshold for comparing two photos, with 95 % intervals over people. */
struct frt_table_row {
    double fmr; /* asked for */
    float threshold, low, high;
    double errors, effective; /* behind it: comparisons, and how many independent ones that is worth */
    bool extrapolated;        /* from the tail: fewer than 10 comparisons are behind it */
    double fnmr, fnmr_low, fnmr_high;
};

struct frt_threshold_table {
    char embedder[FRT_TABLE_NAME], version[FRT_TABLE_NAME], sha256[65]; /* sha256 of the file; "" = not known */
    uint32_t dim;
    char measured_on[FRT_TABLE_NAME], date[11], pack[FRT_TABLE_NAME], detector[FRT_TABLE_NAME];
    uint64_t photos, people;
    struct frt_rate_curve curves[FRT_TABLE_CURVES]; /* by enrolled, ascending */
    size_t n_curves;
    struct frt_table_row rows[FRT_TABLE_ROWS]; /* by fmr, descending */
    size_t n_rows;
};

/** Read a table. Errors: FRT_EBAD_REQUEST (what is wrong, and where), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_threshold_table_parse(const char *text, size_t size,
                                                        struct frt_threshold_table *out, struct frt_error *err);
/** As JSON, one object. rows: with those for two photos. */
void frt_threshold_table_print(const struct frt_threshold_table *table, bool rows, bool pretty,
                               struct frt_buf *out);

/** Share of a stranger's comparisons with templates of `enrolled` photos (may be a fraction) that reach a
 * score. */
double frt_table_rate(const struct frt_threshold_table *table, double enrolled, float score);
/** Score that this share reaches, at most 0.99. extrapolated: said when fewer than 10 comparisons are behind
 * it; may be NULL. */
float frt_table_threshold(const struct frt_threshold_table *table, double enrolled, double rate,
                          bool *extrapolated);

/** Rate of one comparison at which of a gallery of n people the share `fpir` of strangers is named, and back.
 */
double frt_rate_for_gallery(double people, double fpir);
double frt_gallery_rate(double people, double rate);

#endif

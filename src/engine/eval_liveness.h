/*
 * Liveness over labelled photos: how often does an attack pass, and how often is a live face turned away?
 *
 *     photos, live or an attack of some type ─ spoof confidence of the largest face ─ rates at a threshold
 *
 *   APCER  of one type of attack: the share of its photos that count as live; over all types: the worst type's
 *   BPCER  the share of live photos that count as spoofs
 *   ACER   the mean of both
 * A photo without a face, or one that cannot be decoded, does not answer: it is listed, and counts in neither.
 *
 * Threading: as eval_embed.h.
 * Source: ISO/IEC 30107-3 (APCER, BPCER; non-response apart).
 */
#ifndef FRT_ENGINE_EVAL_LIVENESS_H
#define FRT_ENGINE_EVAL_LIVENESS_H

#include "core/buf.h"
#include "engine/eval_embed.h"
#include "engine/eval_interval.h"

enum { FRT_EVAL_MAX_ATTACKS = 32, FRT_EVAL_ATTACK_NAME = 64 };

struct frt_eval_liveness_sample {
    const char *file;   /* path; borrowed for the call */
    const char *attack; /* type of the attack; NULL = a live face. At most FRT_EVAL_MAX_ATTACKS types */
};

struct frt_eval_liveness_options {
    const struct frt_eval_liveness_sample *samples; /* [n]; n is 1 or more */
    size_t n;
    float threshold; /* spoof confidence from which a face is a spoof; 0 = the pack's */
    uint32_t threads;
    void (*progress)(void *arg, size_t done, size_t total);
    void *progress_arg;
    bool (*cancelled)(void *arg);
    void *cancelled_arg;
};

/* Of live photos, or of one type of attack. */
struct frt_eval_liveness_rate {
    char attack[FRT_EVAL_ATTACK_NAME]; /* "" = live */
    size_t n, wrong;                   /* photos that answered; of these, those that went wrong */
    size_t silent;                     /* photos that did not answer */
    double rate;                       /* APCER or BPCER; NaN when n is 0 */
    struct frt_interval interval;      /* Wilson, 95 % */
};

struct frt_eval_liveness_photo {
    char *file, *cause; /* owned; cause NULL when it answered */
    int attack;         /* of rates; 0 = live */
    float spoof;        /* NaN when it did not answer */
};

struct frt_eval_liveness_report {
    struct frt_eval_liveness_photo *photos; /* as given; owned */
    size_t n_photos;
    struct frt_eval_liveness_rate rates[FRT_EVAL_MAX_ATTACKS + 1]; /* live first; then types by name */
    size_t n_rates;
    float threshold, pack_threshold;
    double apcer, bpcer, acer; /* NaN without photos of the kind */
    size_t worst;              /* of rates: whose the APCER is; 0 = none */
    struct frt_timing mean;
    double wall_ms;
    uint32_t threads;
    char pack[64], pack_id[65], nets[256]; /* "a, b" */
};

/** Errors: FRT_EINVAL (options), FRT_EBAD_MODEL (no liveness model), FRT_ENOTFOUND, FRT_EIO, FRT_ENOMEM,
 *  FRT_ERUNTIME, FRT_ECANCELLED. `out` is owned by the caller. */
FRT_NODISCARD enum frt_status frt_eval_liveness(const struct frt_context *context, const struct frt_pack *pack,
                                                const struct frt_eval_liveness_options *options,
                                                struct frt_eval_liveness_report *out, struct frt_error *err);
void frt_eval_liveness_report_deinit(struct frt_eval_liveness_report *report);

/** The rates at a threshold, from the photos' spoof confidences: n, wrong, rate, APCER and so on. */
void frt_eval_liveness_rates(struct frt_eval_liveness_report *report, float threshold);

/** As the reports of eval_pairs.h: JSON (docs/eval.md), both rates over the threshold as SVG, lines for people.
 */
void frt_eval_liveness_report_json(const struct frt_eval_liveness_report *report, struct frt_buf *out);
void frt_eval_liveness_report_svg(const struct frt_eval_liveness_report *report, struct frt_buf *out);
void frt_eval_liveness_report_text(const struct frt_eval_liveness_report *report, struct frt_buf *out);

#endif

/*
 * INT8: from a float model and what it is fed with to one that computes in eight bits where that pays.
 *
 *     BatchNorm on its own → 1 × 1 convolution
 *     ranges ─ methods tried, all layers quantised ─ the best one
 *           ─ too far from the floats? layers that hurt back to floats, worst first, until it is near enough
 *           ─ slower in eight bits? first and last layers tried both ways; the whole against the floats
 *
 * Search: the drift (quantize_trial.h) with each layer alone kept wide, for at most `probes` layers, those with
 * the coarsest ranges; then layers are given back in the order of drift gained for each million
 * multiplications, with a measurement after each. Everything is bounded: at most FRT_RANGE_METHODS + 2 × probes
 * trials.
 *
 * Figures and what else was tried: docs/design/quantization.md.
 *
 * Threading: one owner; computes with the backend's threads.
 */
#ifndef FRT_MODEL_QUANTIZE_H
#define FRT_MODEL_QUANTIZE_H

#include "model/compile.h"
#include "model/quantize_plan.h"

/* Mean cosine and energy drift that the search stops at, as a share of what the bounds allow: other faces than
 * those calibrated on fare a little worse. */
#define FRT_Q_MARGIN 0.8
/* Energy drift of models that are no embedders. */
#define FRT_Q_MAX_ENERGY 0.02

struct frt_q_options {
    unsigned weight_bits; /* 8, 7; 0: 8 where the processor adds 8-bit products without saturating */
    int method;           /* of enum frt_range_method; -1: all are tried */
    uint32_t probes;      /* layers tried alone; 0 = 48 */
    uint32_t inputs;      /* run in a trial; 0 = 24 */
    bool any_speed;       /* do not ask whether it is faster */
};

/** frt_quantise_fn, with the defaults. */
frt_quantise_fn frt_quantise;
/** The same, with options; method is enum frt_range_method or -1. */
FRT_NODISCARD enum frt_status frt_quantise_with(struct frt_onnx_model *model,
                                                const struct frt_quantise_task *task,
                                                const struct frt_q_options *options,
                                                struct frt_quantise_report *report, struct frt_error *err);

/** Whether 8-bit weights are exact here: false on processors whose kernels add pairs of products in 16 bits. */
bool frt_q_wide_products(void);

#endif

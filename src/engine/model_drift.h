/*
 * How far a compiled model is from its original, and how much faster: both run on the same inputs, taking
 * turns.
 *
 * Threading: one owner.
 */
#ifndef FRT_ENGINE_MODEL_DRIFT_H
#define FRT_ENGINE_MODEL_DRIFT_H

#include "infer/infer.h"
#include "infer/model_spec.h"
#include "model/compile.h"

struct frt_model_drift {
    uint32_t inputs;     /* compared; 0: nothing is known */
    double max_relative; /* over all outputs: largest difference / largest value of that output on any input */
    double min_cosine, mean_cosine; /* embedders: of the embeddings, mapped as in use; else 1 */
    double before_ms, after_ms;     /* a run; the median over the inputs */
};

/**
 * spec  borrowed; of the original.
 * Errors: FRT_EBAD_MODEL (answers of other sizes; rows of a batch that are not what each input gives alone),
 *         FRT_ERUNTIME, FRT_ENOMEM, FRT_ECANCELLED.
 */
FRT_NODISCARD enum frt_status frt_model_drift_measure(const struct frt_model_spec *spec,
                                                      const struct frt_session *original,
                                                      const struct frt_session *compiled,
                                                      const struct frt_compile_inputs *inputs,
                                                      bool (*cancelled)(void *arg), void *cancelled_arg,
                                                      struct frt_model_drift *out, struct frt_error *err);

/** FRT_OK, or FRT_EBAD_MODEL and what is past which bound. */
FRT_NODISCARD enum frt_status frt_model_drift_judge(const struct frt_model_drift *drift,
                                                    const struct frt_compile_bounds *bounds,
                                                    struct frt_error *err);

#endif

/*
 * Trying a plan: the model is written out with it, opened, run over some of the inputs, and compared with what
 * the float model said.
 *
 * Drift: embedders (spec's role): 1 − mean cosine between the two embeddings, the spec's centre taken off where
 * it has one. Others: mean over inputs and outputs of Σ(a−b)² / Σa². Nothing but the model's own outputs counts
 * here; faces found and people told apart are judged by whoever compiles the pack.
 *
 * Threading: one owner; computes with the backend's threads.
 */
#ifndef FRT_MODEL_QUANTIZE_TRIAL_H
#define FRT_MODEL_QUANTIZE_TRIAL_H

#include "model/compile.h"
#include "model/quantize_plan.h"

struct frt_q_trials;

/** base: the float model's bytes; borrowed, as is task. `inputs`: at most so many of the task's are run.
 *  Errors: the backend's, FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_q_trials_new(const void *base, size_t size,
                                               const struct frt_quantise_task *task, uint32_t inputs,
                                               unsigned weight_bits, struct frt_q_trials **out,
                                               struct frt_error *err);
void frt_q_trials_free(struct frt_q_trials *trials);
/** Drift of a settled plan. Errors: the backend's, FRT_ENOMEM, FRT_ECANCELLED. */
FRT_NODISCARD enum frt_status frt_q_trial(struct frt_q_trials *trials, const struct frt_q_plan *plan,
                                          double *drift, struct frt_error *err);
/** The largest drift of one input in the last trial. */
double frt_q_trial_worst(const struct frt_q_trials *trials);
/**
 * Is a plan faster than another (NULL: than the float model with all its passes)? Both run in turns, `rounds`
 * each. ms  out: the lower quartile of either, [0] of plan.
 */
FRT_NODISCARD enum frt_status frt_q_trial_race(struct frt_q_trials *trials, const struct frt_q_plan *plan,
                                               const struct frt_q_plan *other, uint32_t rounds, double *ratio,
                                               struct frt_error *err);

#endif

/*
 * A model file in memory, rewritten for the runtime by the passes of passes.h: what the pack loader does with a
 * file that was not compiled (compile.h), so that it runs as fast. Results differ by rounding only.
 *
 * Threading: pure functions over their arguments.
 */
#ifndef FRT_MODEL_REWRITE_H
#define FRT_MODEL_REWRITE_H

#include "model/passes.h"

/** Whether it is worth reading this file for a rewrite: its bytes name an operator that a pass replaces. */
bool frt_rewrite_pays(const void *bytes, size_t size);

/**
 * All passes over a model file in memory.
 * out     owned (frt_free); NULL when nothing was to change.
 * counts  may be NULL.
 * Errors: FRT_EBAD_MODEL, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_rewrite_for_runtime(const void *bytes, size_t size, uint8_t **out,
                                                      size_t *out_size, struct frt_pass_counts *counts,
                                                      struct frt_error *err);

#endif

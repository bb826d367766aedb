/*
 * The passes that rewrite a model's graph: one function each, in a file of its own (pass_*.c), listed in one
 * table in the order in which they run.
 *
 * A pass does one thing, wherever it is exact (results differ by rounding of f32 sums only), says how often it
 * did, and leaves everything else as it is; run a second time it finds nothing to do. A new pass: a file, a
 * function here, a row in passes.c, a test in tests/model/test_passes.c. Measured: docs/design/inference.md.
 *
 * Threading: pure functions over their arguments.
 */
#ifndef FRT_MODEL_PASSES_H
#define FRT_MODEL_PASSES_H

#include "model/onnx_model.h"

/** `changed` counts up. Errors: FRT_ENOMEM, FRT_EBAD_MODEL. The model may be changed in part on failure. */
typedef enum frt_status frt_pass_fn(struct frt_onnx_model *model, uint32_t *changed, struct frt_error *err);

enum frt_pass_kind {
    FRT_PASS_PLAIN = 1,   /* less to compute, whatever runs it; before anything is quantised */
    FRT_PASS_BLOCKED = 2, /* f32 on the runtime's blocked layout; not for layers that become int8 */
};

enum { FRT_PASS_MAX = 16, FRT_PASS_SUMMARY_MAX = 256 };

struct frt_pass {
    const char *name; /* "prelu" */
    frt_pass_fn *run;
    enum frt_pass_kind kind;
    const char *says; /* what it does, for people */
};

/** The table; NULL past its end. */
const struct frt_pass *frt_pass_get(uint32_t i);

/** How often each pass of the table did something. */
struct frt_pass_counts {
    uint32_t changed[FRT_PASS_MAX];
};
/** 0 for a name that is not in the table. */
uint32_t frt_pass_count_of(const struct frt_pass_counts *counts, const char *name);
uint32_t frt_pass_counts_sum(const struct frt_pass_counts *counts);
/** "batchnorm 33, prelu 34"; "" when nothing was done. Cut to fit. */
void frt_pass_counts_text(const struct frt_pass_counts *counts, char out[FRT_PASS_SUMMARY_MAX]);

/** All passes of these kinds (enum frt_pass_kind, or-ed), in order. A model with graphs within its nodes is
 * left as it is. Counts are added to. Errors: as a pass. */
FRT_NODISCARD enum frt_status frt_passes_run(struct frt_onnx_model *model, unsigned kinds,
                                             struct frt_pass_counts *counts, struct frt_error *err);

frt_pass_fn frt_pass_constants, frt_pass_identity, frt_pass_gemm, frt_pass_clip, frt_pass_batchnorm,
    frt_pass_scale, frt_pass_dead, frt_pass_channels, frt_pass_prelu, frt_pass_groups;

#endif

/*
 * What a model of a pack is fed with when photos go through the pack; or, for a net without a pack, smooth
 * noise.
 *
 * Threading: one owner.
 */
#ifndef FRT_BENCH_INFER_INPUTS_H
#define FRT_BENCH_INFER_INPUTS_H

#include "infer/model_spec.h"
#include "model/compile.h"

struct bench_inputs {
    struct frt_compile_inputs calibrate, compare; /* parts of what was recorded: none in both */
    struct frt_model_spec spec;
    const void *model; /* the file's bytes */
    size_t model_size;
    void *owner;
};

/**
 * assets    folder of models and faces (FRT_TEST_ASSETS).
 * manifest  of share/packs, or a pack's folder.
 * Errors: FRT_ENOTFOUND and others, with what is missing; the case is then left out.
 */
FRT_NODISCARD enum frt_status bench_inputs_of_pack(struct frt_backend *backend, const char *assets,
                                                   const char *manifest, enum frt_model_role role,
                                                   uint32_t inputs, struct bench_inputs *out,
                                                   struct frt_error *err);
void bench_inputs_deinit(struct bench_inputs *inputs);

/** Pictures of 3 × side × side in -1..1, each a few waves: tensors[n], whose data is one block for frt_free
 * (that of the first). */
FRT_NODISCARD enum frt_status bench_waves(uint32_t n, int64_t side, struct frt_tensor *tensors,
                                          struct frt_error *err);

#endif

/*
 * Running a float model over real inputs to see what values its tensors take.
 *
 * The tensors are made outputs of the graph, FRT_RANGES_SLICE at a time, so that memory is bounded by that many
 * activations and not by the model's depth; each slice is one session and one pass over the inputs.
 *
 * Threading: one owner; computes with the backend's threads.
 */
#ifndef FRT_MODEL_RANGES_COLLECT_H
#define FRT_MODEL_RANGES_COLLECT_H

#include "model/compile.h"
#include "model/ranges.h"

enum { FRT_RANGES_SLICE = 16 };

struct frt_ranges_tensor {
    const char *name;              /* of a f32 value; the graph's input too */
    struct frt_onnx_shape shape;   /* out: as it was for the first input */
    struct frt_range_stats *stats; /* out: added to; NULL: not wanted */
    /* out: largest |value| of each channel (the second dimension), added up over the inputs; NULL: not wanted
     */
    float *channels;
    uint32_t n_channels;
};

/**
 * bytes    a model with one input.
 * tensors  stats zeroed by the caller.
 * task     backend, inputs, progress ("ranges"), cancelled.
 * Errors: the backend's; FRT_EBAD_MODEL (a tensor that is no f32), FRT_ECANCELLED, FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_ranges_collect(const void *bytes, size_t size,
                                                 struct frt_ranges_tensor *tensors, uint32_t n,
                                                 const struct frt_quantise_task *task, struct frt_error *err);

#endif

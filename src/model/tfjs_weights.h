/*
 * Weights as TensorFlow.js stores them: a list of groups in JSON, each with tensors in order and the
 * files that hold their bytes, one after the other, little-endian.
 *
 *     [{"paths":["x.bin"],"weights":[{"name","shape":[3,3,3,32],"dtype":"float32",
 *                                     "quantization"?:{"dtype":"uint8","scale","min"}}, …]}, …]
 *
 * Read: float32 and int32, plain or quantised as uint8 or uint16 (value = q × scale + min, in double,
 * rounded to float; whole numbers rounded to the nearest), and float32 stored as float16. Every byte of
 * the files must belong to a tensor and every tensor must have all its bytes.
 *
 * Threading: immutable after loading.
 */
#ifndef FRT_MODEL_TFJS_WEIGHTS_H
#define FRT_MODEL_TFJS_WEIGHTS_H

#include "core/json_read.h"
#include "model/onnx_graph.h"

struct frt_tfjs_tensor {
    char *name;
    struct frt_onnx_shape shape; /* filters are height, width, in, out */
    size_t n;
    float *f32;   /* for float32, else NULL */
    int32_t *i32; /* for int32, else NULL */
};

struct frt_tfjs_weights;

/**
 * Decode tensors from the bytes of all files of all groups, put together.
 *
 * groups     borrowed for the call; NULL or another type is refused.
 * out        owned; free with frt_tfjs_weights_free.
 * Errors: FRT_EBAD_MODEL (tensor, what was found, what would be right), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_tfjs_weights_parse(const struct frt_json_value *groups, const uint8_t *bytes,
                                                     size_t size, struct frt_tfjs_weights **out,
                                                     struct frt_error *err);
/** Read the files that `groups` names, all of them in `folder`, and parse. Further errors: FRT_ENOTFOUND,
 * FRT_EIO. */
FRT_NODISCARD enum frt_status frt_tfjs_weights_load(const char *folder, const struct frt_json_value *groups,
                                                    struct frt_tfjs_weights **out, struct frt_error *err);
void frt_tfjs_weights_free(struct frt_tfjs_weights *weights);

/** Tensor by name, NULL when there is none. Borrowed. */
const struct frt_tfjs_tensor *frt_tfjs_weights_find(const struct frt_tfjs_weights *weights, const char *name);

#endif

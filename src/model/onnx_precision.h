/* What numbers a model's weights are. Threading: a pure function over a file. */
#ifndef FRT_MODEL_ONNX_PRECISION_H
#define FRT_MODEL_ONNX_PRECISION_H

/**
 * "fp32", "fp16", "bf16", "int8", "fp64": the kind that most of the model's weights are. Static; NULL when the
 * file cannot be read, is no ONNX or has no weights of these kinds. Cost: one look at the head of each weight;
 * their values are skipped.
 */
const char *frt_onnx_precision(const char *path);

#endif

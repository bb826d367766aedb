/*
 * Tensors of the Open Inference protocol (KServe v2) over HTTP, as clients and servers write and read them:
 *
 *     {"name":"input","shape":[1,3,150,150],"datatype":"FP32",
 *      "parameters":{"binary_data_size":270000}}                 bytes behind the JSON, in the order of the
 * list or "data":[…]                                              numbers, flat or nested
 *
 * Source: docs/formats/kserve-v2.md, which names the specification. Threading: pure.
 */
#ifndef FRT_INFER_KSERVE_H
#define FRT_INFER_KSERVE_H

#include "core/json_read.h"
#include "core/json_write.h"
#include "infer/infer.h"

/* Numbers of a tensor in JSON: what a document may hold (core/json_read.h), so that a shape alone takes no
 * memory. */
enum { FRT_KSERVE_JSON_MAX = 262144 };

struct frt_kserve_tensor {
    const char *name; /* borrowed from the document */
    int64_t dims[FRT_TENSOR_MAX_DIMS];
    uint32_t n_dims;
    size_t count;                      /* floats */
    const uint8_t *bytes;              /* little-endian f32[count], where they lie; NULL: `data` */
    const struct frt_json_value *data; /* borrowed */
};

/**
 * The tensors of a list ("inputs", "outputs"), all FP32.
 *
 * bytes  what lies behind the JSON; has to be used up exactly.
 * Errors: FRT_EBAD_REQUEST (what is wrong, and of which tensor).
 */
FRT_NODISCARD enum frt_status frt_kserve_read_tensors(const struct frt_json_value *list, const void *bytes,
                                                      size_t size, struct frt_kserve_tensor *out, uint32_t max,
                                                      uint32_t *n, struct frt_error *err);
/** Its numbers: f32[count]. Errors: FRT_EBAD_REQUEST (too few, too many, not finite numbers in JSON). */
FRT_NODISCARD enum frt_status frt_kserve_values(const struct frt_kserve_tensor *tensor, float *out,
                                                struct frt_error *err);

/** A tensor's object. binary: with the size of its bytes, which the caller sends; else with its numbers. */
void frt_kserve_write_tensor(struct frt_json_writer *w, const char *name, const struct frt_tensor *tensor,
                             bool binary);
/** {"name","datatype","shape"} of a tensor in a model's metadata. */
void frt_kserve_write_info(struct frt_json_writer *w, const struct frt_tensor_info *info);

/** The value of Inference-Header-Content-Length; false: not a number of at most `size`. */
bool frt_kserve_header_length(const char *value, size_t size, size_t *out);

#endif

/*
 * Backend for tests: a C function in the place of a model. Not part of the library.
 * Threading: sessions are immutable; the function must be fit for as many threads as run it.
 */
#ifndef FRT_INFER_INFER_FAKE_H
#define FRT_INFER_INFER_FAKE_H

#include "infer/infer.h"

/** One output during a run: the function calls frt_fake_output_alloc and fills what it gets. */
struct frt_fake_output {
    float *data;
    int64_t dims[FRT_TENSOR_MAX_DIMS];
    uint32_t n_dims;
};

/** f32 memory for an output of this shape; freed when the outputs are released. NULL: no memory. */
float *frt_fake_output_alloc(struct frt_fake_output *output, const int64_t *dims, uint32_t n_dims);

struct frt_fake_model {
    const char *file; /* matched against the last component of the path that is opened */
    struct frt_session_info info;
    enum frt_status (*run)(void *arg, const struct frt_tensor *inputs, uint32_t n_inputs,
                           struct frt_fake_output *outputs, struct frt_error *err);
    void *arg;
};

/** models: borrowed array[n]; must outlive the backend and its sessions. */
FRT_NODISCARD enum frt_status frt_backend_fake_new(const struct frt_fake_model *models, size_t n,
                                                   struct frt_backend **out, struct frt_error *err);

#endif

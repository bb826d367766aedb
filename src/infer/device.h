/*
 * Names of what computes: "auto", "cpu", "cuda", "tensorrt", "webgpu", each but the first two with an index
 * behind a colon ("cuda:1"; without one it is 0).
 *
 * Threading: pure functions.
 */
#ifndef FRT_INFER_DEVICE_H
#define FRT_INFER_DEVICE_H

#include "core/status.h"

enum frt_device_kind {
    FRT_DEVICE_CPU = 0,
    FRT_DEVICE_AUTO,
    FRT_DEVICE_CUDA,
    FRT_DEVICE_TENSORRT,
    FRT_DEVICE_WEBGPU
};
enum { FRT_DEVICE_NAME_MAX = 32, FRT_DEVICE_MAX_INDEX = 63 };

struct frt_device {
    enum frt_device_kind kind;
    uint32_t index;
};

/** NULL and "" are the CPU. Letter case does not matter. Errors: FRT_EINVAL, with what was probably meant. */
FRT_NODISCARD enum frt_status frt_device_parse(const char *text, struct frt_device *out, struct frt_error *err);
/** "cpu", "auto", "cuda:0". Returns `out`. */
const char *frt_device_name(const struct frt_device *device, char out[FRT_DEVICE_NAME_MAX]);

#endif

/* What a device can do at most, measured on the spot. Threading: the caller has the device to himself. */
#ifndef FRT_INDEX_CUDA_MEASURE_H
#define FRT_INDEX_CUDA_MEASURE_H

#include "cuda_layer.h"
#include "index/gpu_plugin.h"

#if defined(__CUDACC__)
/** bytes  to read and copy; several times the device's cache. */
cudaError_t cuda_measure(uint32_t processors, uint64_t bytes, struct frt_gpu_ceilings *out);
#else
/* A stand-in has no ceilings. */
static inline cudaError_t cuda_measure(uint32_t, uint64_t, struct frt_gpu_ceilings *out)
{
    *out = frt_gpu_ceilings{};
    return cudaSuccess;
}
#endif

#endif

/*
 * The plug-in libfrt_cuda.so: gpu_plugin.h over the CUDA runtime. Compiled by nvcc; and by a C++ compiler with
 * the stand-in of the tests. What is where: cuda_device.h.
 */
#include "cuda_device.h"
#include "cuda_measure.h"

namespace
{

frt_gpu_result measure(frt_gpu_device *device, uint64_t bytes, frt_gpu_ceilings *out, frt_gpu_why *why)
{
    const frt_gpu_result result = frt_cuda::enter(device, why);
    if (result != FRT_GPU_OK)
        return result;
    const cudaError_t error = cuda_measure(device->processors, bytes, out);
    return error == cudaSuccess ? FRT_GPU_OK : frt_cuda::failed(device, error, "ceilings", why);
}

} // namespace

#if !defined(FRT_GPU_ABI_SAID)
#define FRT_GPU_ABI_SAID FRT_GPU_ABI
#endif

extern "C" __attribute__((visibility("default")))
const frt_gpu_module frt_gpu_module = {FRT_GPU_ABI_SAID,
                                       sizeof(struct frt_gpu_module),
                                       "cuda",
                                       frt_cuda::device_open,
                                       frt_cuda::device_close,
                                       frt_cuda::device_facts,
                                       frt_cuda::corpus_new,
                                       frt_cuda::corpus_free,
                                       frt_cuda::reserve,
                                       frt_cuda::append,
                                       frt_cuda::tombstone,
                                       frt_cuda::search,
                                       frt_cuda::synthesize,
                                       measure,
                                       frt_cuda::last_ms};

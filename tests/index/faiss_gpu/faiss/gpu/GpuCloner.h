/* In the place of FAISS's header of this name: see faiss_gpu_standin.cpp. */
#ifndef FRT_TESTS_INDEX_FAISS_GPU_CLONER_H
#define FRT_TESTS_INDEX_FAISS_GPU_CLONER_H

#include <faiss/Index.h>

#include "StandardGpuResources.h"

namespace faiss
{
namespace gpu
{

struct GpuClonerOptions {
    bool useFloat16 = true, useFloat16CoarseQuantizer = true; /* it is for the caller to say no */
};

faiss::Index *index_cpu_to_gpu(GpuResourcesProvider *resources, int device, const faiss::Index *index,
                               const GpuClonerOptions *options);

} // namespace gpu
} // namespace faiss

#endif

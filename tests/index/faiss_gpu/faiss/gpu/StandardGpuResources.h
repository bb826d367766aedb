/* In the place of FAISS's header of this name: see faiss_gpu_standin.cpp. */
#ifndef FRT_TESTS_INDEX_FAISS_GPU_RESOURCES_H
#define FRT_TESTS_INDEX_FAISS_GPU_RESOURCES_H

#include <cstddef>

namespace faiss
{
namespace gpu
{

struct GpuResourcesProvider {
    virtual ~GpuResourcesProvider() = default;
};

struct StandardGpuResources : GpuResourcesProvider {
    void setTempMemory(size_t size);
};

} // namespace gpu
} // namespace faiss

#endif

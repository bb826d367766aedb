/*
 * FAISS on a GPU, as far as src/index/faiss_gpu.h sees it, by FAISS on the processor: a copy is a clone of the
 * lists. It refuses what FAISS's GPU indexes refuse (half floats are not asked for, more than 2,048 candidates
 * or probes) and, like them, looks at no selector. For tests of what is chosen and what is done after a
 * failure; it says nothing of FAISS's kernels.
 */
#include "faiss_gpu_standin.h"

#include <cuda_runtime.h>
#include <faiss/IndexIVF.h>
#include <faiss/clone_index.h>
#include <faiss/gpu/GpuCloner.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>

static std::atomic<long> values[STANDIN_COUNT];
static std::atomic<long> inside;

extern "C" __attribute__((visibility("default"))) long frt_faiss_standin(int what, long value)
{
    return value < 0 ? values[what].load() : values[what].exchange(value);
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = values[STANDIN_NO_DEVICE] != 0 ? 0 : 1;
    return values[STANDIN_NO_DEVICE] != 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t cudaGetLastError()
{
    return cudaSuccess;
}

namespace
{

struct standin_index : faiss::Index {
    std::unique_ptr<faiss::IndexIVF> lists;

    explicit standin_index(const faiss::IndexIVF *of)
        : faiss::Index(of->d, of->metric_type), lists(dynamic_cast<faiss::IndexIVF *>(faiss::clone_index(of)))
    {
        values[STANDIN_LIVE]++;
    }
    ~standin_index() override
    {
        values[STANDIN_LIVE]--;
    }
    void add(idx_t, const float *) override
    {
        throw std::runtime_error("nothing is added to a copy");
    }
    void reset() override
    {
        throw std::runtime_error("a copy is not reset");
    }
    void search(idx_t n, const float *x, idx_t k, float *distances, idx_t *labels,
                const faiss::SearchParameters *parameters) const override
    {
        const auto *ivf = dynamic_cast<const faiss::SearchParametersIVF *>(parameters);
        const long now = ++inside;
        if (now > values[STANDIN_TOGETHER])
            values[STANDIN_TOGETHER] = now;
        values[STANDIN_SEARCHES]++;
        std::this_thread::sleep_for(std::chrono::milliseconds(values[STANDIN_DELAY_MS]));
        inside--;
        if (values[STANDIN_SEARCH_FAILS] != 0)
            throw std::runtime_error("the stand-in was told to fail a search");
        if (ivf == nullptr || ivf->sel != nullptr || ivf->nprobe > 2048 || k > 2048)
            throw std::runtime_error("a search that FAISS's GPU indexes do not have");
        lists->search(n, x, k, distances, labels, parameters);
    }
};

} // namespace

namespace faiss
{
namespace gpu
{

void StandardGpuResources::setTempMemory(size_t size)
{
    values[STANDIN_TEMP_BYTES] = static_cast<long>(size);
}

faiss::Index *index_cpu_to_gpu(GpuResourcesProvider *resources, int device, const faiss::Index *index,
                               const GpuClonerOptions *options)
{
    if (resources == nullptr || device != 0 || options->useFloat16 || options->useFloat16CoarseQuantizer)
        throw std::runtime_error("not the copy that was meant");
    if (values[STANDIN_CLONE_FAILS] != 0)
        throw std::runtime_error("the stand-in was told to fail a copy");
    return new standin_index(dynamic_cast<const faiss::IndexIVF *>(index));
}

} // namespace gpu
} // namespace faiss

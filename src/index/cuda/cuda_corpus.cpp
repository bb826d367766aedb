/*
 * A corpus on a device: slabs of rows and their scales. The writer, a stream with two pinned buffers, does one
 * append or tombstone at a time. See cuda_device.h.
 */
#include <algorithm>
#include <cstring>
#include <new>

#include "cuda_device.h"
#include "cuda_upkeep.h"

namespace frt_cuda
{

namespace
{

enum { BURY_AT_ONCE = 65536 };

} // namespace

frt_gpu_result corpus_new(frt_gpu_device *device, const frt_gpu_layout *layout, frt_gpu_corpus **out,
                          frt_gpu_why *why)
{
    const uint32_t rows = layout->slab_rows;
    if (layout->row_bytes == 0 || layout->row_bytes % 16 != 0 || layout->row_bytes > FRT_GPU_MAX_ROW_BYTES ||
        rows < FRT_GPU_MIN_SLAB_ROWS || (rows & (rows - 1)) != 0 || layout->max_slabs == 0 ||
        static_cast<uint64_t>(rows) * layout->max_slabs > 0xffffffffULL)
        return say(why, FRT_GPU_REFUSED, "a layout that the kernels do not have", "");
    frt_gpu_result result = enter(device, why);
    if (result != FRT_GPU_OK)
        return result;
    auto *corpus = new (std::nothrow) frt_gpu_corpus();
    auto **slabs = new (std::nothrow) unsigned char *[layout->max_slabs]();
    void *table = nullptr, *buried = nullptr;
    cudaError_t error = cudaMalloc(&table, layout->max_slabs * sizeof(unsigned char *));
    if (error == cudaSuccess)
        error = cudaMalloc(&buried, BURY_AT_ONCE * sizeof(uint32_t));
    if (corpus == nullptr || slabs == nullptr || error != cudaSuccess) {
        (void)cudaFree(table);
        (void)cudaFree(buried);
        delete corpus;
        delete[] slabs;
        return error != cudaSuccess ? failed(device, error, "a corpus", why)
                                    : say(why, FRT_GPU_NO_MEMORY, "a corpus", "");
    }
    corpus->device = device;
    corpus->layout = *layout;
    corpus->slabs = slabs;
    corpus->buried = static_cast<uint32_t *>(buried);
    corpus->view.slabs = static_cast<unsigned char *const *>(table);
    corpus->view.row_bytes = layout->row_bytes;
    corpus->view.slab_shift = static_cast<uint32_t>(__builtin_ctz(rows));
    corpus->view.scales_at = static_cast<size_t>(rows) * layout->row_bytes;
    *out = corpus;
    return FRT_GPU_OK;
}

namespace
{

/* Free memory, or leave it to the device. */
void give_up(frt_gpu_device *device, bool stuck, void *memory)
{
    if (!stuck) {
        (void)cudaFree(memory);
        return;
    }
    auto *o = new (std::nothrow) orphan();
    if (o == nullptr) /* then it is lost */
        return;
    (void)pthread_mutex_lock(&device->lock);
    *o = orphan{device->orphans, memory};
    device->orphans = o;
    (void)pthread_mutex_unlock(&device->lock);
}

} // namespace

void corpus_free(frt_gpu_corpus *corpus)
{
    frt_gpu_device *device = corpus->device;
    (void)cudaSetDevice(device->index);
    (void)pthread_mutex_lock(&device->lock);
    const bool stuck = is_stuck(device);
    (void)pthread_mutex_unlock(&device->lock);
    for (uint32_t i = 0; i < corpus->n_slabs; i++)
        give_up(device, stuck, corpus->slabs[i]);
    give_up(device, stuck, const_cast<unsigned char **>(corpus->view.slabs));
    give_up(device, stuck, corpus->buried);
    (void)cudaGetLastError();
    delete[] corpus->slabs;
    delete corpus;
}

namespace
{

/* Wait for what the writer was given. */
frt_gpu_result writer_done(frt_gpu_device *device, const char *what, frt_gpu_why *why)
{
    const cudaError_t error = cudaEventRecord(device->staged[0], device->writer);
    if (error != cudaSuccess)
        return failed(device, error, what, why);
    const frt_gpu_result result = await(device, device->staged[0], WRITE_TIMEOUT_MS, what, why);
    if (result == FRT_GPU_TIMEOUT) /* what it still does to the buffers nobody knows */
        device->dead = true;
    return result;
}

} // namespace

frt_gpu_result reserve(frt_gpu_corpus *corpus, uint64_t n_positions, frt_gpu_why *why)
{
    frt_gpu_device *device = corpus->device;
    const uint32_t rows = corpus->layout.slab_rows;
    const uint64_t wanted = (n_positions + rows - 1) / rows;
    if (wanted > corpus->layout.max_slabs)
        return say(why, FRT_GPU_REFUSED, "more positions than the corpus has room for", "");
    frt_gpu_result result = enter(device, why);
    while (result == FRT_GPU_OK && corpus->n_slabs < wanted) {
        void *slab = nullptr;
        const size_t scale_bytes = rows * sizeof(float);
        cudaError_t error = cudaMalloc(&slab, corpus->view.scales_at + scale_bytes);
        if (error != cudaSuccess)
            return failed(device, error, "a slab", why);
        error = cudaMemsetAsync(static_cast<unsigned char *>(slab) + corpus->view.scales_at, 0xff, scale_bytes,
                                device->writer);
        corpus->slabs[corpus->n_slabs] = static_cast<unsigned char *>(slab);
        if (error == cudaSuccess)
            error = cudaMemcpyAsync(const_cast<unsigned char **>(corpus->view.slabs) + corpus->n_slabs,
                                    &corpus->slabs[corpus->n_slabs], sizeof(unsigned char *),
                                    cudaMemcpyHostToDevice, device->writer);
        corpus->n_slabs++;
        result =
            error == cudaSuccess ? writer_done(device, "a slab", why) : failed(device, error, "a slab", why);
    }
    return result;
}

bool within(const frt_gpu_corpus *corpus, uint32_t first, uint32_t n)
{
    return static_cast<uint64_t>(first) + n <=
           static_cast<uint64_t>(corpus->n_slabs.load()) * corpus->layout.slab_rows;
}

namespace
{

/* Bring n items of `size` bytes from host memory to consecutive positions; `offset` as in scales_at. Through
 * the two pinned buffers in turn: one is filled while the other travels. */
frt_gpu_result bring(frt_gpu_corpus *corpus, uint32_t first, uint32_t n, const void *items, size_t size,
                     size_t offset, frt_gpu_why *why)
{
    frt_gpu_device *device = corpus->device;
    const uint32_t rows = corpus->layout.slab_rows, most = static_cast<uint32_t>(STAGING_BYTES / size);
    const auto *from = static_cast<const unsigned char *>(items);
    int turn = 0;
    bool used[2] = {false, false};
    for (uint32_t at = 0; at < n; turn ^= 1) {
        const uint32_t row = (first + at) % rows, count = std::min(std::min(n - at, rows - row), most);
        if (used[turn]) {
            const frt_gpu_result result =
                await(device, device->staged[turn], WRITE_TIMEOUT_MS, "an upload", why);
            if (result != FRT_GPU_OK) {
                device->dead = true;
                return result;
            }
        }
        memcpy(device->staging[turn], from + static_cast<size_t>(at) * size, static_cast<size_t>(count) * size);
        cudaError_t error = cudaMemcpyAsync(
            corpus->slabs[(first + at) / rows] + offset + static_cast<size_t>(row) * size,
            device->staging[turn], static_cast<size_t>(count) * size, cudaMemcpyHostToDevice, device->writer);
        if (error == cudaSuccess)
            error = cudaEventRecord(device->staged[turn], device->writer);
        if (error != cudaSuccess)
            return failed(device, error, "an upload", why);
        used[turn] = true;
        at += count;
    }
    return writer_done(device, "an upload", why);
}

} // namespace

frt_gpu_result append(frt_gpu_corpus *corpus, uint32_t first, uint32_t n, const void *rows, const float *scales,
                      frt_gpu_why *why)
{
    frt_gpu_result result = enter(corpus->device, why);
    if (result == FRT_GPU_OK && !within(corpus, first, n))
        result = say(why, FRT_GPU_REFUSED, "positions that are not reserved", "");
    if (result == FRT_GPU_OK)
        result = bring(corpus, first, n, rows, corpus->layout.row_bytes, 0, why);
    /* not before the rows are there: a position without a scale is not found */
    if (result == FRT_GPU_OK)
        result = bring(corpus, first, n, scales, sizeof *scales, corpus->view.scales_at, why);
    return result;
}

frt_gpu_result tombstone(frt_gpu_corpus *corpus, const uint32_t *positions, uint32_t n, frt_gpu_why *why)
{
    frt_gpu_device *device = corpus->device;
    frt_gpu_result result = enter(device, why);
    for (uint32_t i = 0; i < n && result == FRT_GPU_OK; i++) {
        if (!within(corpus, positions[i], 1))
            result = say(why, FRT_GPU_REFUSED, "positions that are not reserved", "");
    }
    for (uint32_t at = 0; at < n && result == FRT_GPU_OK; at += BURY_AT_ONCE) {
        const uint32_t count = std::min<uint32_t>(n - at, BURY_AT_ONCE);
        memcpy(device->staging[0], positions + at, count * sizeof *positions);
        cudaError_t error = cudaMemcpyAsync(corpus->buried, device->staging[0], count * sizeof *positions,
                                            cudaMemcpyHostToDevice, device->writer);
        if (error == cudaSuccess) {
            FRT_LAUNCH(bury, std::min<uint32_t>((count + 255) / 256, 1024), 8, 0, device->writer, corpus->view,
                       corpus->buried, count);
            error = cudaGetLastError();
        }
        result = error == cudaSuccess ? writer_done(device, "tombstones", why)
                                      : failed(device, error, "tombstones", why);
    }
    return result;
}

frt_gpu_result synthesize(frt_gpu_corpus *corpus, uint32_t first, uint32_t n, uint64_t seed, frt_gpu_why *why)
{
    frt_gpu_device *device = corpus->device;
    frt_gpu_result result = enter(device, why);
    if (result == FRT_GPU_OK && !within(corpus, first, n))
        result = say(why, FRT_GPU_REFUSED, "positions that are not reserved", "");
    if (result != FRT_GPU_OK || n == 0)
        return result;
    const uint32_t grid = std::min((n + 7) / 8, device->processors * 16);
    if (corpus->layout.format == FRT_GPU_F16)
        FRT_LAUNCH(make_up<true>, grid, 8, 0, device->writer, corpus->view, first, n, seed);
    else
        FRT_LAUNCH(make_up<false>, grid, 8, 0, device->writer, corpus->view, first, n, seed);
    const cudaError_t error = cudaGetLastError();
    return error == cudaSuccess ? writer_done(device, "made-up rows", why)
                                : failed(device, error, "made-up rows", why);
}

} // namespace frt_cuda

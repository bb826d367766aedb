/*
 * One search on a device. The kernels are in cuda_kernels.h; here is what launches them.
 *
 *     lane     a stream with scratch for FRT_GPU_MAX_QUERIES queries and pinned buffers: one search at a time
 *
 * Everything a search does is put into its stream at once, its rounds one behind the other; the host waits for
 * the end only, and looks at the clock while it does. See cuda_device.h.
 */
#include <time.h>

#include <algorithm>
#include <cstring>

#include "cuda_device.h"
#include "cuda_kernels.h"

static_assert(static_cast<int>(FRT_GPU_MAX_K) == static_cast<int>(SELECT_MAX),
              "select keeps what may be asked for");

namespace frt_cuda
{

namespace
{

enum {
    FIRST_ROUND = 4096,           /* positions at least */
    GROWTH = 7,                   /* a round is so much longer than all before it */
    ROUND = FRT_GPU_MIN_SLAB_ROWS /* rounds begin at multiples of it */
};
#if defined(__CUDACC__)
enum { SELECT_WARPS = 32 };
#else
enum { SELECT_WARPS = 2 }; /* threads of a processor cost more */
#endif

typedef void scan_one_fn(corpus_view, round_range, const unsigned char *, const float *, uint32_t, sink);
typedef void scan_many_fn(corpus_view, round_range, const unsigned char *, const float *, uint32_t, uint32_t,
                          sink);

struct many_variant {
    uint32_t nt;
    scan_many_fn *fn[2]; /* i8, f16 */
};
const many_variant many_variants[] = {{16, {scan_many<false, 16, 8>, scan_many<true, 16, 8>}},
                                      {32, {scan_many<false, 32, 8>, scan_many<true, 32, 8>}},
                                      {64, {scan_many<false, 64, 4>, scan_many<true, 64, 4>}},
                                      {128, {scan_many<false, 128, 2>, scan_many<true, 128, 2>}},
                                      {256, {scan_many<false, 256, 2>, scan_many<true, 256, 2>}}};
scan_one_fn *const one_variants[3][4] = {
    {scan_one<false, 1, 4>, scan_one<false, 1, 8>, scan_one<false, 1, 16>, scan_one<false, 1, 32>},
    {scan_one<false, 2, 4>, scan_one<false, 2, 8>, scan_one<false, 2, 16>, scan_one<false, 2, 32>},
    {scan_one<true, 1, 4>, scan_one<true, 1, 8>, scan_one<true, 1, 16>, scan_one<true, 1, 32>}};

/* The variant for `n` queries: the smallest that takes them all, else the largest that fits the device. */
const many_variant *many_for(const frt_gpu_device *device, uint32_t row_bytes, uint32_t n)
{
    const many_variant *best = nullptr;
    for (const many_variant &v : many_variants) {
        if (many_memory(query_pitch(row_bytes), v.nt) > device->block_memory)
            break;
        best = &v;
        if (v.nt >= n)
            break;
    }
    return best;
}

} // namespace

uint32_t queries_together(const frt_gpu_device *device, uint32_t row_bytes, uint32_t n)
{
    const many_variant *variant = many_for(device, row_bytes, n);
    return variant != nullptr ? variant->nt : 1;
}

cudaError_t allow_memory(const frt_gpu_device *device)
{
    cudaError_t error = cudaSuccess;
    for (const many_variant &v : many_variants) {
        for (int f = 0; f < 2 && error == cudaSuccess; f++)
            error = cudaFuncSetAttribute(v.fn[f], cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         static_cast<int>(device->block_memory));
    }
    return error;
}

namespace
{

thread_local double of_last_search_ms;

struct timespec at_us(int64_t us)
{
    struct timespec t = {};
    t.tv_sec = static_cast<time_t>(us / 1000000);
    t.tv_nsec = us % 1000000 * 1000;
    return t;
}

/* A lane of the caller's own; NULL: none became free in time (*stuck: nor will one, by the look of it). A stuck
 * one comes back without saying so: that is looked for now and then. */
lane *lane_take(frt_gpu_device *device, uint32_t wait_ms, bool *stuck)
{
    const int64_t end = now_us() + static_cast<int64_t>(wait_ms) * 1000;
    lane *found = nullptr;
    (void)pthread_mutex_lock(&device->lock);
    for (;;) {
        *stuck = true;
        for (uint32_t i = 0; i < device->n_lanes && found == nullptr; i++) {
            lane *l = &device->lanes[i];
            if (l->stuck && cudaEventQuery(l->done) == cudaSuccess)
                l->stuck = false;
            if (!l->busy && !l->stuck)
                found = l;
            *stuck = *stuck && l->stuck;
        }
        const int64_t now = now_us();
        if (found != nullptr || now >= end)
            break;
        const struct timespec until = at_us(std::min<int64_t>(end, now + 5000));
        (void)pthread_cond_timedwait(&device->freed, &device->lock, &until);
    }
    if (found != nullptr)
        found->busy = true;
    (void)pthread_mutex_unlock(&device->lock);
    return found;
}

void lane_give(frt_gpu_device *device, lane *l, bool stuck)
{
    (void)pthread_mutex_lock(&device->lock);
    l->busy = false;
    l->stuck = stuck;
    (void)pthread_cond_signal(&device->freed);
    (void)pthread_mutex_unlock(&device->lock);
}

uint32_t to_round(uint64_t positions)
{
    return static_cast<uint32_t>(
        std::min<uint64_t>(std::max<uint64_t>(positions / ROUND, 1) * ROUND, 1U << 31));
}

cudaError_t scan(frt_gpu_corpus *corpus, lane *l, const frt_gpu_search *s, const round_range &range,
                 uint32_t first, uint32_t n, const many_variant *many, const sink &to)
{
    frt_gpu_device *device = corpus->device;
    const uint32_t row_bytes = corpus->layout.row_bytes, length = range.end - range.first;
    const bool half = corpus->layout.format == FRT_GPU_F16;
    const unsigned char *queries = l->queries + static_cast<size_t>(first) * row_bytes;
    if (many != nullptr) {
        const uint32_t tiles = (length + TILE - 1) / TILE;
        int blocks = 1;
        const size_t memory = many_memory(query_pitch(row_bytes), many->nt);
        const cudaError_t error =
            cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, many->fn[half], MANY_WARPS * WARP, memory);
        if (error != cudaSuccess)
            return error;
        const uint32_t grid = std::min(tiles, device->processors * static_cast<uint32_t>(std::max(blocks, 1)));
        FRT_LAUNCH(many->fn[half], grid, static_cast<uint32_t>(MANY_WARPS), memory, l->stream, corpus->view,
                   range, queries, l->q_scales + first, n, first, to);
        return cudaGetLastError();
    }
    const uint32_t chunks = row_bytes / 16, which = chunks >= 32 ? 3 : chunks >= 16 ? 2 : chunks >= 8 ? 1 : 0;
    scan_one_fn *one = one_variants[half ? 2 : s->planes - 1][which];
    const uint32_t step = (WARP / (4U << which)) * ONE_ROWS * ONE_WARPS, most = device->processors * 4;
    const uint32_t grid = std::min((length + step - 1) / step, most);
    for (uint32_t i = 0; i < n; i++) {
        FRT_LAUNCH(one, grid, static_cast<uint32_t>(ONE_WARPS), static_cast<size_t>(row_bytes) * s->planes,
                   l->stream, corpus->view, range, queries + static_cast<size_t>(i) * row_bytes,
                   l->q_scales + first + i, first + i, to);
    }
    return cudaGetLastError();
}

/* All rounds for queries first..first + n. careful: rounds so short that every candidate has room. */
cudaError_t run_rounds(frt_gpu_corpus *corpus, lane *l, const frt_gpu_search *s, uint32_t first, uint32_t n,
                       bool careful, const many_variant *many)
{
    const uint32_t capacity = corpus->device->capacity;
    const uint64_t growth = std::max<uint64_t>(std::min<uint64_t>(GROWTH, capacity / 4 / s->k), 1);
    const sink to = {l->candidates, l->counts, l->floors, capacity};
    const sink of_group = {l->candidates + static_cast<size_t>(first) * capacity, l->counts + first,
                           l->floors + first, capacity};
    cudaError_t error = cudaSuccess;
    for (uint64_t seen = 0; seen < s->n_positions && error == cudaSuccess;) {
        uint64_t length = seen * growth;
        if (seen == 0)
            length =
                std::min<uint64_t>(std::max<uint64_t>(FIRST_ROUND, static_cast<uint64_t>(s->k) * 16), capacity);
        else if (careful)
            length = capacity - s->k;
        const auto end = static_cast<uint32_t>(std::min<uint64_t>(s->n_positions, seen + to_round(length)));
        const round_range range = {static_cast<uint32_t>(seen), end, seen == 0};
        error = scan(corpus, l, s, range, first, n, many, to);
        if (error != cudaSuccess)
            break;
        FRT_LAUNCH(select_best, n, static_cast<uint32_t>(SELECT_WARPS), sizeof(selection), l->stream, of_group,
                   s->k, range.direct ? end : 0, l->lost);
        error = cudaGetLastError();
        seen = end;
    }
    return error;
}

cudaError_t send_queries(const frt_gpu_corpus *corpus, lane *l, const frt_gpu_search *s)
{
    const size_t bytes = static_cast<size_t>(s->planes) * s->n * corpus->layout.row_bytes;
    memcpy(l->h_queries, s->queries, bytes);
    for (uint32_t i = 0; i < s->n; i++) {
        const float floor = s->floors[i] < -1.99F || !(s->floors[i] <= 1.99F) ? -1.99F : s->floors[i];
        l->h_scales[i] = s->q_scales[i];
        l->h_floors[i] = candidate_of(floor, 0xffffffffU); /* the position's part 0: equal scores are greater */
    }
    cudaError_t error = cudaEventRecord(l->begun, l->stream);
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(l->queries, l->h_queries, bytes, cudaMemcpyHostToDevice, l->stream);
    if (error == cudaSuccess)
        error =
            cudaMemcpyAsync(l->q_scales, l->h_scales, s->n * sizeof(float), cudaMemcpyHostToDevice, l->stream);
    if (error == cudaSuccess)
        error =
            cudaMemcpyAsync(l->floors, l->h_floors, s->n * sizeof(uint64_t), cudaMemcpyHostToDevice, l->stream);
    if (error == cudaSuccess)
        error = cudaMemsetAsync(l->counts, 0, s->n * sizeof(uint32_t), l->stream);
    if (error == cudaSuccess)
        error = cudaMemsetAsync(l->lost, 0, sizeof(uint32_t), l->stream);
    return error;
}

cudaError_t fetch_best(const frt_gpu_corpus *corpus, lane *l, const frt_gpu_search *s)
{
    const size_t width = s->k * sizeof(uint64_t);
    cudaError_t error =
        cudaMemcpy2DAsync(l->h_best, width, l->candidates, corpus->device->capacity * sizeof(uint64_t), width,
                          s->n, cudaMemcpyDeviceToHost, l->stream);
    if (error == cudaSuccess)
        error =
            cudaMemcpyAsync(l->h_counts, l->counts, s->n * sizeof(uint32_t), cudaMemcpyDeviceToHost, l->stream);
    if (error == cudaSuccess)
        error = cudaMemcpyAsync(l->h_lost, l->lost, sizeof(uint32_t), cudaMemcpyDeviceToHost, l->stream);
    if (error == cudaSuccess)
        error = cudaEventRecord(l->done, l->stream);
    return error;
}

void read_best(const lane *l, frt_gpu_search *s)
{
    for (uint32_t q = 0; q < s->n; q++) {
        s->counts[q] = std::min(l->h_counts[q], s->k);
        for (uint32_t i = 0; i < s->counts[q]; i++) {
            const uint64_t c = l->h_best[static_cast<size_t>(q) * s->k + i];
            const size_t at = static_cast<size_t>(q) * s->k + i;
            s->positions[at] = 0xffffffffU - static_cast<uint32_t>(c);
            s->scores[at] = static_cast<float>(static_cast<double>(c >> 32) / 1073741824.0 - 2.0);
        }
    }
}

/* One attempt. *lost: candidates found no room, and what came is not complete. */
frt_gpu_result attempt(frt_gpu_corpus *corpus, lane *l, frt_gpu_search *s, bool careful, int64_t end_us,
                       bool *lost, frt_gpu_why *why)
{
    cudaError_t error = send_queries(corpus, l, s);
    for (uint32_t first = 0; first < s->n && error == cudaSuccess;) {
        const many_variant *many =
            s->n > 1 ? many_for(corpus->device, corpus->layout.row_bytes, s->n - first) : nullptr;
        const uint32_t n = many != nullptr ? std::min(many->nt, s->n - first) : s->n - first;
        error = run_rounds(corpus, l, s, first, n, careful, many);
        first += n;
    }
    if (error == cudaSuccess)
        error = fetch_best(corpus, l, s);
    if (error != cudaSuccess)
        return failed(corpus->device, error, "a search", why);
    const int64_t left = (end_us - now_us()) / 1000;
    const frt_gpu_result result =
        await(corpus->device, l->done, static_cast<uint32_t>(std::max<int64_t>(left, 1)), "a search", why);
    if (result == FRT_GPU_OK)
        *lost = *l->h_lost != 0;
    return result;
}

} // namespace

frt_gpu_result search(frt_gpu_corpus *corpus, frt_gpu_search *s, frt_gpu_why *why)
{
    frt_gpu_device *device = corpus->device;
    const int64_t end_us = now_us() + static_cast<int64_t>(s->timeout_ms) * 1000;
    if (s->n == 0 || s->n > FRT_GPU_MAX_QUERIES || s->k == 0 || s->k > FRT_GPU_MAX_K || s->planes == 0 ||
        s->planes > 2 || (s->planes == 2 && (s->n > 1 || corpus->layout.format != FRT_GPU_I8)) ||
        !within(corpus, 0, s->n_positions))
        return say(why, FRT_GPU_REFUSED, "a search that the kernels do not have", "");
    frt_gpu_result result = enter(device, why);
    if (result != FRT_GPU_OK)
        return result;
    bool lost = false, stuck = false;
    lane *l = lane_take(device, s->timeout_ms / 4, &stuck);
    if (l == nullptr)
        return stuck ? say(why, FRT_GPU_TIMEOUT, "the device does not come back from earlier searches", "")
                     : say(why, FRT_GPU_BUSY, "all scratch is in use", "");
    result = attempt(corpus, l, s, false, end_us, &lost, why);
    if (result == FRT_GPU_OK && lost)
        result = attempt(corpus, l, s, true, end_us, &lost, why);
    if (result == FRT_GPU_OK && lost)
        result = say(why, FRT_GPU_LOST, "a search", "candidates found no room although they had it");
    if (result == FRT_GPU_OK) {
        float ms = 0;
        read_best(l, s);
        of_last_search_ms =
            cudaEventElapsedTime(&ms, l->begun, l->done) == cudaSuccess ? static_cast<double>(ms) : 0;
    }
    lane_give(device, l, result == FRT_GPU_TIMEOUT);
    return result;
}

double last_ms()
{
    return of_last_search_ms;
}

} // namespace frt_cuda

/*
 * The plug-in libfrt_cuda.so: gpu_plugin.h over the CUDA runtime. The kernels are in cuda_kernels.h; here is
 * what takes them to the device. Compiled by nvcc; and by a C++ compiler with the stand-in of the tests.
 *
 *     lane     a stream with scratch for FRT_GPU_MAX_QUERIES queries and pinned buffers: one search at a time
 *     writer   a stream with two pinned buffers: one append or tombstone at a time
 *
 * Everything a search does is put into its stream at once, its rounds one behind the other; the host waits for
 * the end only, and looks at the clock while it does. What is not done in time makes its lane stuck: the lane
 * comes back when the device says that it is done. A device that has failed once (`dead`) fails from then on;
 * opening it anew is the caller's business. Nothing here resets a device: others in the process use it, too.
 *
 * Locks: frt_gpu_device.lock guards the lanes' states and the orphans, left_behind_lock its list; both leaves.
 */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <new>

#include "cuda_kernels.h"
#include "cuda_measure.h"
#include "index/gpu_plugin.h"

static_assert(static_cast<int>(FRT_GPU_MAX_K) == static_cast<int>(SELECT_MAX),
              "select keeps what may be asked for");

namespace
{

enum {
    MAX_LANES = 8,
    CANDIDATES = 65536, /* of a query; fewer where scratch is short, down to */
    CANDIDATES_LEAST = 8192,
    FIRST_ROUND = 4096, /* positions at least */
    GROWTH = 7,         /* a round is so much longer than all before it */
    STAGING_BYTES = 8 << 20,
    WRITE_TIMEOUT_MS = 5000,
    ROUND = FRT_GPU_MIN_SLAB_ROWS /* rounds begin at multiples of it */
};
#if defined(__CUDACC__)
enum { SELECT_WARPS = 32 };
#else
enum { SELECT_WARPS = 2 }; /* threads of a processor cost more */
#endif

struct lane {
    cudaStream_t stream;
    cudaEvent_t begun, done;
    bool busy, stuck;
    unsigned char *scratch; /* of the device; holds: */
    uint64_t *candidates, *floors;
    float *q_scales;
    uint32_t *counts, *lost;
    unsigned char *queries;
    unsigned char *pinned; /* of the host; holds: */
    uint64_t *h_best, *h_floors;
    float *h_scales;
    uint32_t *h_counts, *h_lost;
    unsigned char *h_queries;
};

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

/* Memory of a corpus that went while the device was still at work, perhaps on it. */
struct orphan {
    orphan *next;
    void *memory;
};

} // namespace

struct frt_gpu_device {
    int index;
    uint32_t processors, n_lanes, capacity;
    size_t block_memory; /* a block may have at most */
    uint64_t scratch_bytes;
    char name[96];
    std::atomic<bool> dead;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    lane lanes[MAX_LANES];
    cudaStream_t writer;
    unsigned char *staging[2];
    cudaEvent_t staged[2];
    orphan *orphans;      /* guarded by lock */
    frt_gpu_device *next; /* among those left behind */
};

struct frt_gpu_corpus {
    frt_gpu_device *device;
    frt_gpu_layout layout;
    corpus_view view;
    unsigned char **slabs; /* [max_slabs], as on the device; the writer's */
    std::atomic<uint32_t> n_slabs;
    uint32_t *buried; /* on the device: positions for bury */
};

namespace
{

enum { BURY_AT_ONCE = 65536 };

int64_t now_us()
{
    struct timespec t = {};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<int64_t>(t.tv_sec) * 1000000 + t.tv_nsec / 1000;
}

frt_gpu_result say(frt_gpu_why *why, frt_gpu_result result, const char *what, const char *text)
{
    if (why != nullptr)
        (void)snprintf(why->text, sizeof why->text, "%.80s%s%.160s", what, text[0] != '\0' ? ": " : "", text);
    return result;
}

/* A failure of the runtime, in the plug-in's words. */
frt_gpu_result failed(frt_gpu_device *device, cudaError_t error, const char *what, frt_gpu_why *why)
{
    (void)cudaGetLastError();
    if (error == cudaErrorMemoryAllocation)
        return say(why, FRT_GPU_NO_MEMORY, what, "the device's memory is full");
    if (device != nullptr)
        device->dead = true;
    return say(why, FRT_GPU_LOST, what, cudaGetErrorString(error));
}

frt_gpu_result enter(frt_gpu_device *device, frt_gpu_why *why)
{
    if (device->dead)
        return say(why, FRT_GPU_LOST, "the device failed before", "");
    const cudaError_t error = cudaSetDevice(device->index);
    return error == cudaSuccess ? FRT_GPU_OK : failed(device, error, "the device", why);
}

/* Until the event is there, looking at the clock. Short waits are the rule: at first it looks again at once. */
frt_gpu_result await(frt_gpu_device *device, cudaEvent_t event, uint32_t timeout_ms, const char *what,
                     frt_gpu_why *why)
{
    const int64_t begun = now_us(), end = begun + static_cast<int64_t>(timeout_ms) * 1000;
    for (;;) {
        const cudaError_t error = cudaEventQuery(event);
        if (error == cudaSuccess)
            return FRT_GPU_OK;
        if (error != cudaErrorNotReady)
            return failed(device, error, what, why);
        const int64_t now = now_us();
        if (now >= end)
            return say(why, FRT_GPU_TIMEOUT, what, "the device did not answer in time");
        if (now - begun > 300)
            (void)usleep(
                static_cast<useconds_t>(std::min<int64_t>(std::max<int64_t>((now - begun) / 16, 20), 500)));
    }
}

/* -------------------------------------------------------------------- open */

uint64_t lane_bytes(uint32_t capacity)
{
    return static_cast<uint64_t>(FRT_GPU_MAX_QUERIES) *
               (capacity * sizeof(uint64_t) + sizeof(uint64_t) + sizeof(float) + sizeof(uint32_t) +
                FRT_GPU_MAX_ROW_BYTES) +
           4096;
}

uint64_t pinned_bytes()
{
    return static_cast<uint64_t>(FRT_GPU_MAX_QUERIES) *
               (FRT_GPU_MAX_K * sizeof(uint64_t) + sizeof(uint64_t) + sizeof(float) + sizeof(uint32_t) +
                FRT_GPU_MAX_ROW_BYTES) +
           4096;
}

template <typename T> T *carve(unsigned char **at, size_t count)
{
    T *out = static_cast<T *>(static_cast<void *>(*at));
    *at += (count * sizeof(T) + 255) / 256 * 256;
    return out;
}

cudaError_t lane_open(lane *l, uint32_t capacity)
{
    cudaError_t error = cudaStreamCreateWithFlags(&l->stream, cudaStreamNonBlocking);
    if (error == cudaSuccess)
        error = cudaEventCreateWithFlags(&l->begun, cudaEventDefault);
    if (error == cudaSuccess)
        error = cudaEventCreateWithFlags(&l->done, cudaEventDefault);
    if (error == cudaSuccess)
        error = cudaMalloc(reinterpret_cast<void **>(&l->scratch), lane_bytes(capacity));
    if (error == cudaSuccess)
        error = cudaHostAlloc(reinterpret_cast<void **>(&l->pinned), pinned_bytes(), cudaHostAllocDefault);
    if (error != cudaSuccess)
        return error;
    unsigned char *at = l->scratch;
    l->candidates = carve<uint64_t>(&at, static_cast<size_t>(FRT_GPU_MAX_QUERIES) * capacity);
    l->floors = carve<uint64_t>(&at, FRT_GPU_MAX_QUERIES);
    l->q_scales = carve<float>(&at, FRT_GPU_MAX_QUERIES);
    l->counts = carve<uint32_t>(&at, FRT_GPU_MAX_QUERIES);
    l->lost = carve<uint32_t>(&at, 1);
    l->queries = carve<unsigned char>(&at, FRT_GPU_MAX_QUERIES * FRT_GPU_MAX_ROW_BYTES);
    at = l->pinned;
    l->h_best = carve<uint64_t>(&at, static_cast<size_t>(FRT_GPU_MAX_QUERIES) * FRT_GPU_MAX_K);
    l->h_floors = carve<uint64_t>(&at, FRT_GPU_MAX_QUERIES);
    l->h_scales = carve<float>(&at, FRT_GPU_MAX_QUERIES);
    l->h_counts = carve<uint32_t>(&at, FRT_GPU_MAX_QUERIES);
    l->h_lost = carve<uint32_t>(&at, 1);
    l->h_queries = carve<unsigned char>(&at, FRT_GPU_MAX_QUERIES * FRT_GPU_MAX_ROW_BYTES);
    return cudaSuccess;
}

/* Devices that were closed with work still under way: they are freed when one is opened and they have come to
 * rest. */
pthread_mutex_t left_behind_lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */
frt_gpu_device *left_behind;

/* Does the device still work on a search that was given up? */
bool is_stuck(frt_gpu_device *device)
{
    bool stuck = false;
    for (uint32_t i = 0; i < device->n_lanes; i++)
        stuck = stuck || (device->lanes[i].stuck && cudaEventQuery(device->lanes[i].done) == cudaErrorNotReady);
    return stuck;
}

void device_free(frt_gpu_device *device)
{
    for (orphan *o = device->orphans, *next = nullptr; o != nullptr; o = next) {
        next = o->next;
        (void)cudaFree(o->memory);
        delete o;
    }
    for (uint32_t i = 0; i < device->n_lanes; i++) {
        lane *l = &device->lanes[i];
        (void)cudaFree(l->scratch);
        (void)cudaFreeHost(l->pinned);
        if (l->begun != nullptr)
            (void)cudaEventDestroy(l->begun);
        if (l->done != nullptr)
            (void)cudaEventDestroy(l->done);
        if (l->stream != nullptr)
            (void)cudaStreamDestroy(l->stream);
    }
    for (int i = 0; i < 2; i++) {
        (void)cudaFreeHost(device->staging[i]);
        if (device->staged[i] != nullptr)
            (void)cudaEventDestroy(device->staged[i]);
    }
    if (device->writer != nullptr)
        (void)cudaStreamDestroy(device->writer);
    (void)cudaGetLastError();
    (void)pthread_mutex_destroy(&device->lock);
    (void)pthread_cond_destroy(&device->freed);
    delete device;
}

/* Nobody uses it any more but, perhaps, the device itself. */
void device_close(frt_gpu_device *device)
{
    (void)cudaSetDevice(device->index);
    if (!is_stuck(device)) {
        device_free(device);
        return;
    }
    (void)pthread_mutex_lock(&left_behind_lock);
    device->next = left_behind;
    left_behind = device;
    (void)pthread_mutex_unlock(&left_behind_lock);
}

void bury_left_behind()
{
    (void)pthread_mutex_lock(&left_behind_lock);
    for (frt_gpu_device **at = &left_behind; *at != nullptr;) {
        frt_gpu_device *device = *at;
        (void)cudaSetDevice(device->index);
        if (is_stuck(device)) {
            at = &device->next;
        } else {
            *at = device->next;
            device_free(device);
        }
    }
    (void)pthread_mutex_unlock(&left_behind_lock);
}

/* Kernels that take more block memory than 48 KB say so beforehand. */
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

frt_gpu_result device_open(const frt_gpu_open *options, frt_gpu_device **out, frt_gpu_why *why)
{
    int n = 0;
    cudaDeviceProp properties;
    cudaError_t error = cudaGetDeviceCount(&n);
    if (error != cudaSuccess || n == 0) {
        (void)cudaGetLastError();
        return say(why, FRT_GPU_NONE, "there is no device",
                   error != cudaSuccess ? cudaGetErrorString(error) : "");
    }
    if (options->index >= static_cast<uint32_t>(n))
        return say(why, FRT_GPU_NONE, "there is no device of that number", "");
    bury_left_behind();
    const int number = static_cast<int>(options->index);
    error = cudaSetDevice(number);
    if (error == cudaSuccess)
        error = cudaGetDeviceProperties(&properties, number);
    if (error != cudaSuccess)
        return failed(nullptr, error, "the device", why);
    if (properties.major < 8)
        return say(why, FRT_GPU_NONE, properties.name, "compute capability 8.0 (Ampere) or later is needed");

    uint32_t capacity = CANDIDATES;
    while (capacity > CANDIDATES_LEAST && lane_bytes(capacity) > options->scratch_bytes)
        capacity /= 2;
    if (lane_bytes(capacity) > options->scratch_bytes)
        return say(why, FRT_GPU_REFUSED, "too little scratch for one search; 20 MiB are needed", "");
    auto *device = new (std::nothrow) frt_gpu_device();
    if (device == nullptr)
        return say(why, FRT_GPU_LOST, "no memory", "");
    device->index = number;
    device->processors = static_cast<uint32_t>(properties.multiProcessorCount);
    device->block_memory = properties.sharedMemPerBlockOptin;
    device->capacity = capacity;
    (void)snprintf(device->name, sizeof device->name, "%.95s", properties.name);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&device->freed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&device->lock, nullptr);
    const auto lanes =
        static_cast<uint32_t>(std::min<uint64_t>(options->scratch_bytes / lane_bytes(capacity), MAX_LANES));
    error = allow_memory(device);
    while (error == cudaSuccess && device->n_lanes < lanes) {
        error = lane_open(&device->lanes[device->n_lanes], capacity);
        device->n_lanes++;
    }
    device->scratch_bytes = device->n_lanes * lane_bytes(capacity);
    if (error == cudaSuccess)
        error = cudaStreamCreateWithFlags(&device->writer, cudaStreamNonBlocking);
    for (int i = 0; i < 2 && error == cudaSuccess; i++) {
        error =
            cudaHostAlloc(reinterpret_cast<void **>(&device->staging[i]), STAGING_BYTES, cudaHostAllocDefault);
        if (error == cudaSuccess)
            error = cudaEventCreateWithFlags(&device->staged[i], cudaEventDefault);
    }
    if (error != cudaSuccess) {
        const frt_gpu_result result = failed(device, error, "the device's scratch", why);
        device_close(device);
        return result;
    }
    *out = device;
    return FRT_GPU_OK;
}

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

frt_gpu_result device_facts(frt_gpu_device *device, frt_gpu_facts *out, frt_gpu_why *why)
{
    size_t free_bytes = 0, total = 0;
    frt_gpu_result result = enter(device, why);
    if (result != FRT_GPU_OK)
        return result;
    const cudaError_t error = cudaMemGetInfo(&free_bytes, &total);
    if (error != cudaSuccess)
        return failed(device, error, "the device", why);
    *out = frt_gpu_facts{};
    (void)snprintf(out->name, sizeof out->name, "%s", device->name);
    out->total_bytes = total;
    out->free_bytes = free_bytes;
    out->scratch_bytes = device->scratch_bytes;
    out->lanes = device->n_lanes;
    const many_variant *variant = many_for(device, 512, FRT_GPU_MAX_QUERIES);
    out->queries_together = variant != nullptr ? variant->nt : 1;
    return FRT_GPU_OK;
}

/* ------------------------------------------------------------------ corpus */

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

/* ------------------------------------------------------------------ search */

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

/* -------------------------------------------------------------- benchmarks */

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

frt_gpu_result measure(frt_gpu_device *device, uint64_t bytes, frt_gpu_ceilings *out, frt_gpu_why *why)
{
    const frt_gpu_result result = enter(device, why);
    if (result != FRT_GPU_OK)
        return result;
    const cudaError_t error = cuda_measure(device->processors, bytes, out);
    return error == cudaSuccess ? FRT_GPU_OK : failed(device, error, "ceilings", why);
}

} // namespace

#if !defined(FRT_GPU_ABI_SAID)
#define FRT_GPU_ABI_SAID FRT_GPU_ABI
#endif

extern "C" __attribute__((visibility("default")))
const frt_gpu_module frt_gpu_module = {FRT_GPU_ABI_SAID, sizeof(struct frt_gpu_module),
                                       "cuda",           device_open,
                                       device_close,     device_facts,
                                       corpus_new,       corpus_free,
                                       reserve,          append,
                                       tombstone,        search,
                                       synthesize,       measure,
                                       last_ms};

/*
 * Devices, opened and closed. See cuda_device.h.
 *
 * What is not done in time makes its lane stuck: the lane comes back when the device says that it is done. A
 * device that has failed once (`dead`) fails from then on; opening it anew is the caller's business. Nothing
 * here resets a device: others in the process use it, too.
 */
#include "cuda_device.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <new>

namespace frt_cuda
{

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

namespace
{

enum {
    CANDIDATES = 65536, /* of a query; fewer where scratch is short, down to */
    CANDIDATES_LEAST = 8192
};

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

} // namespace

bool is_stuck(frt_gpu_device *device)
{
    bool stuck = false;
    for (uint32_t i = 0; i < device->n_lanes; i++)
        stuck = stuck || (device->lanes[i].stuck && cudaEventQuery(device->lanes[i].done) == cudaErrorNotReady);
    return stuck;
}

namespace
{

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

} // namespace

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

namespace
{

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

} // namespace

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
    out->queries_together = queries_together(device, 512, FRT_GPU_MAX_QUERIES);
    return FRT_GPU_OK;
}

} // namespace frt_cuda

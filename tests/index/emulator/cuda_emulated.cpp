/* See cuda_emulated.h. Faults are set from outside: frt_emulator_set("name", value). */
#include "cuda_emulated.h"

#include <pthread.h>
#include <time.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "emulator_faults.h"

static std::atomic<long> faults[EMULATOR_FAULTS];
static std::mutex turns; /* operations on the device */
static std::mutex memory_lock;
static std::map<void *, size_t> device_memory;
static size_t device_used;

extern "C" __attribute__((visibility("default"))) void frt_emulator_set(int fault, long value)
{
    faults[fault] = value;
}

extern "C" __attribute__((visibility("default"))) long frt_emulator_get(int fault)
{
    if (fault == EMULATOR_USED_BYTES) {
        const std::lock_guard<std::mutex> hold(memory_lock);
        return static_cast<long>(device_used);
    }
    return faults[fault];
}

/* Counts down; true from when it reaches 0: a device that is lost stays lost until somebody says otherwise. */
static bool due(int fault)
{
    long left = faults[fault];
    while (left > 1 && !faults[fault].compare_exchange_weak(left, left - 1))
        ;
    return left == 1;
}

static thread_local cudaError_t last = cudaSuccess;
static cudaError_t said(cudaError_t error)
{
    if (error != cudaSuccess && error != cudaErrorNotReady)
        last = error;
    return error;
}

/* ------------------------------------------------------------------ launch */

struct pending_copy {
    void *to;
    const void *from;
    bool there;
};
static thread_local emulated_place place;
static thread_local std::vector<std::vector<pending_copy>> copies(1); /* the last: not committed */

emulated_place &emulator_place()
{
    return place;
}

void emulator_barrier()
{
    if (place.barrier != nullptr)
        (void)pthread_barrier_wait(static_cast<pthread_barrier_t *>(place.barrier));
}

void emulator_copy_async(void *to, const void *from, bool there)
{
    copies.back().push_back({to, from, there});
}

void emulator_copy_commit()
{
    copies.emplace_back();
}

void emulator_copy_wait(int groups)
{
    while (static_cast<int>(copies.size()) - 1 > groups) {
        for (const pending_copy &c : copies.front()) {
            if (c.there)
                memcpy(c.to, c.from, 16);
            else
                memset(c.to, 0, 16);
        }
        copies.erase(copies.begin());
    }
}

void emulator_launch(uint32_t grid, uint32_t warps, size_t shared, const std::function<void()> &kernel)
{
    const std::lock_guard<std::mutex> hold(turns);
    if (due(EMULATOR_FAIL_LAUNCH)) {
        (void)said(cudaErrorIllegalAddress);
        return;
    }
    pthread_barrier_t barrier;
    (void)pthread_barrier_init(&barrier, nullptr, warps);
    void *memory = nullptr;
    if (posix_memalign(&memory, 128, shared + 128) != 0)
        abort();
    const auto work = [&](uint32_t warp) {
        for (uint32_t block = 0; block < grid; block++) {
            if (warp == 0)
                memset(memory, 0xa5, shared);
            place = {
                block, grid, warp, warps, static_cast<unsigned char *>(memory), warps > 1 ? &barrier : nullptr};
            emulator_barrier();
            kernel();
            emulator_copy_wait(0);
            copies.resize(1);
            copies.front().clear();
            emulator_barrier();
        }
    };
    std::vector<std::thread> threads;
    for (uint32_t warp = 1; warp < warps; warp++)
        threads.emplace_back(work, warp);
    work(0);
    for (std::thread &thread : threads)
        thread.join();
    free(memory);
    (void)pthread_barrier_destroy(&barrier);
}

/* ----------------------------------------------------------------- runtime */

cudaError_t cudaGetLastError()
{
    const cudaError_t was = last;
    last = cudaSuccess;
    return was;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? "out of memory"
           : error == cudaErrorNoDevice       ? "no CUDA-capable device is detected"
           : error == cudaErrorIllegalAddress ? "an illegal memory access was encountered"
                                              : "another error";
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = faults[EMULATOR_NO_DEVICE] != 0 ? 0 : 1;
    return said(*n == 0 ? cudaErrorNoDevice : cudaSuccess);
}

cudaError_t cudaSetDevice(int)
{
    return cudaSuccess;
}

static size_t memory_size()
{
    const long said_size = faults[EMULATOR_MEMORY];
    return said_size > 0 ? static_cast<size_t>(said_size) : size_t(1) << 31;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int)
{
    memset(out, 0, sizeof *out);
    (void)snprintf(out->name, sizeof out->name, "stand-in");
    out->multiProcessorCount = 2;
    out->major = 9;
    out->sharedMemPerBlockOptin =
        faults[EMULATOR_SHARED] > 0 ? static_cast<size_t>(faults[EMULATOR_SHARED]) : 232448;
    out->totalGlobalMem = memory_size();
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    const std::lock_guard<std::mutex> hold(memory_lock);
    *total = memory_size();
    *free_bytes = *total > device_used ? *total - device_used : 0;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    const std::lock_guard<std::mutex> hold(memory_lock);
    if (due(EMULATOR_FAIL_MALLOC) || device_used + bytes > memory_size() ||
        posix_memalign(out, 256, bytes + 1) != 0)
        return said(cudaErrorMemoryAllocation);
    memset(*out, 0xa5, bytes);
    device_memory[*out] = bytes;
    device_used += bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    const std::lock_guard<std::mutex> hold(memory_lock);
    const auto found = device_memory.find(memory);
    if (memory == nullptr)
        return cudaSuccess;
    if (found == device_memory.end())
        abort();
    device_used -= found->second;
    device_memory.erase(found);
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned)
{
    *out = malloc(bytes);
    return *out == nullptr ? said(cudaErrorMemoryAllocation) : cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory)
{
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t)
{
    const std::lock_guard<std::mutex> hold(turns);
    if (due(EMULATOR_FAIL_COPY))
        return said(cudaErrorIllegalAddress);
    for (size_t i = 0; i < height; i++)
        memcpy(static_cast<char *>(to) + i * to_pitch, static_cast<const char *>(from) + i * from_pitch, width);
    if (kind == cudaMemcpyDeviceToHost && width >= 8 && faults[EMULATOR_WRONG_ANSWERS] != 0) {
        for (size_t i = 0; i < height; i++) { /* candidates: the score a little better than it was */
            uint64_t c;
            char *at = static_cast<char *>(to) + i * to_pitch;
            memcpy(&c, at, sizeof c);
            if (faults[EMULATOR_WRONG_ANSWERS] == 1)
                c += uint64_t(1) << 57;
            else /* a position that does not exist */
                c &= ~uint64_t(0xffffffff);
            memcpy(at, &c, sizeof c);
        }
    }
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t)
{
    const std::lock_guard<std::mutex> hold(turns);
    if (due(EMULATOR_FAIL_COPY))
        return said(cudaErrorIllegalAddress);
    memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t)
{
    const std::lock_guard<std::mutex> hold(turns);
    memset(at, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    *out = nullptr;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t)
{
    return cudaSuccess;
}

struct emulated_event {
    std::atomic<int64_t> ready_ns;
};

static int64_t now_ns()
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    *out = new emulated_event;
    (*out)->ready_ns = 0;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t)
{
    event->ready_ns = now_ns() + faults[EMULATOR_DELAY_MS] * 1000000;
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return now_ns() >= event->ready_ns ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    *ms = static_cast<float>(to->ready_ns - from->ready_ns) / 1e6F;
    return cudaSuccess;
}

/*
 * The names of src/index/cuda/cuda_layer.h, and of what src/index/cuda uses of the CUDA runtime, for a
 * processor: a stand-in for tests, never shipped. It says what the kernels and the code around them compute,
 * nothing about speed.
 *
 * A warp is a thread, its lanes a loop; the blocks of a launch run one after the other. Operations on the
 * device (copies, launches) take turns. Copies of copy16_async happen when they are waited for, as late as the
 * rules allow. Device memory begins with garbage, block memory too.
 */
#ifndef FRT_TESTS_INDEX_CUDA_EMULATED_H
#define FRT_TESTS_INDEX_CUDA_EMULATED_H

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#define FRT_KERNEL(threads, blocks) static inline void
#define FRT_FUNCTION static inline
#define FRT_BOTH static inline
#define FRT_UNROLL
#define FRT_LAUNCH(kernel, grid, warps, shared, stream, ...)                                                   \
    emulator_launch((grid), (warps), (shared), [&] { (kernel)(__VA_ARGS__); })
#define FOR_LANES(l) for (int l = 0; l < 32; l++)

template <typename T> struct per_lane {
    T v[32];
    T &operator[](int l)
    {
        return v[l];
    }
};

/** Where this thread is. */
struct emulated_place {
    uint32_t block, blocks, warp, warps;
    unsigned char *memory;
    void *barrier;
};
emulated_place &emulator_place();
void emulator_barrier();
void emulator_launch(uint32_t grid, uint32_t warps, size_t shared, const std::function<void()> &kernel);
void emulator_copy_async(void *to, const void *from, bool there);
void emulator_copy_commit();
void emulator_copy_wait(int groups);

FRT_FUNCTION uint32_t block_index()
{
    return emulator_place().block;
}
FRT_FUNCTION uint32_t block_count()
{
    return emulator_place().blocks;
}
FRT_FUNCTION uint32_t warp_index()
{
    return emulator_place().warp;
}
FRT_FUNCTION uint32_t warp_count()
{
    return emulator_place().warps;
}
FRT_FUNCTION unsigned char *block_memory()
{
    return emulator_place().memory;
}
FRT_FUNCTION void block_barrier()
{
    emulator_barrier();
}
FRT_FUNCTION void warp_barrier()
{
}

struct bytes16 {
    uint32_t w[4];
};
FRT_FUNCTION bytes16 load16(const void *at)
{
    bytes16 v;
    if (reinterpret_cast<uintptr_t>(at) % 16 != 0) /* a device ends the program for that */
        abort();
    memcpy(&v, at, sizeof v);
    return v;
}
FRT_FUNCTION bytes16 load16_once(const void *at)
{
    return load16(at);
}
FRT_FUNCTION void store16(void *at, bytes16 v)
{
    if (reinterpret_cast<uintptr_t>(at) % 16 != 0)
        abort();
    memcpy(at, &v, sizeof v);
}
FRT_FUNCTION void copy16_async(void *to, const void *from, bool there)
{
    if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0)
        abort();
    emulator_copy_async(to, from, there);
}
FRT_FUNCTION void copy_commit()
{
    emulator_copy_commit();
}
template <int N> FRT_FUNCTION void copy_wait()
{
    emulator_copy_wait(N);
}

template <int L, typename T> FRT_FUNCTION void lane_sum(per_lane<T> &x)
{
    for (int step = L / 2; step > 0; step /= 2) {
        per_lane<T> other = x;
        for (int l = 0; l < 32; l++)
            x[l] += other[l ^ step];
    }
}
FRT_FUNCTION void lane_running_sum(per_lane<uint32_t> &x)
{
    for (int l = 1; l < 32; l++)
        x[l] += x[l - 1];
}

FRT_FUNCTION int dot4(uint32_t a, uint32_t b, int c)
{
    for (int i = 0; i < 4; i++)
        c += static_cast<int8_t>(a >> 8 * i & 255) * static_cast<int8_t>(b >> 8 * i & 255);
    return c;
}
FRT_FUNCTION float half_value(uint32_t bits)
{
    const auto low = static_cast<uint16_t>(bits);
    _Float16 h;
    memcpy(&h, &low, sizeof h);
    return static_cast<float>(h);
}
FRT_FUNCTION float half_dot2(uint32_t a, uint32_t b, float c)
{
    return fmaf(half_value(a >> 16), half_value(b >> 16),
                fmaf(half_value(a & 0xffff), half_value(b & 0xffff), c));
}
FRT_FUNCTION uint16_t half_of(float x)
{
    const auto h = static_cast<_Float16>(x);
    uint16_t bits;
    memcpy(&bits, &h, sizeof bits);
    return bits;
}
FRT_FUNCTION uint32_t atomic_add(uint32_t *at, uint32_t n)
{
    return __atomic_fetch_add(at, n, __ATOMIC_RELAXED); /* as on the device */
}
FRT_FUNCTION float not_a_number()
{
    return NAN;
}

/* m16n8k32, bytes, and m16n8k16, halves: in both a register holds 4 bytes of a row of 32 bytes (PTX ISA):
 * g = lane / 4, t = lane % 4;  a0: row g, bytes 4t..; a1: row g + 8; a2, a3: the same 16 bytes on;
 * b0: column g, bytes 4t..; b1: 16 bytes on;  c0, c1: row g, columns 2t, 2t + 1; c2, c3: row g + 8. */
template <typename T, typename F>
static inline void emulated_mma(per_lane<T> (&c)[4], per_lane<uint32_t> (&a)[4], per_lane<uint32_t> (&b)[2],
                                F times)
{
    uint32_t rows[16][8], columns[8][8]; /* words of 4 bytes */
    for (int l = 0; l < 32; l++) {
        const int g = l / 4, t = l % 4;
        rows[g][t] = a[0][l];
        rows[g + 8][t] = a[1][l];
        rows[g][t + 4] = a[2][l];
        rows[g + 8][t + 4] = a[3][l];
        columns[g][t] = b[0][l];
        columns[g][t + 4] = b[1][l];
    }
    for (int l = 0; l < 32; l++) {
        for (int i = 0; i < 4; i++) {
            const int row = l / 4 + (i >= 2 ? 8 : 0), column = l % 4 * 2 + i % 2;
            for (int w = 0; w < 8; w++)
                c[i][l] = times(rows[row][w], columns[column][w], c[i][l]);
        }
    }
}
FRT_FUNCTION void mma(per_lane<int32_t> (&c)[4], per_lane<uint32_t> (&a)[4], per_lane<uint32_t> (&b)[2])
{
    emulated_mma(c, a, b, dot4);
}
FRT_FUNCTION void mma(per_lane<float> (&c)[4], per_lane<uint32_t> (&a)[4], per_lane<uint32_t> (&b)[2])
{
    emulated_mma(c, a, b, half_dot2);
}

/* ------------------------------------------------------------ the runtime */

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorMemoryAllocation = 2,
    cudaErrorNoDevice = 100,
    cudaErrorNotReady = 600,
    cudaErrorIllegalAddress = 700
};
struct emulated_event;
typedef void *cudaStream_t;
typedef emulated_event *cudaEvent_t;
struct cudaDeviceProp {
    char name[256];
    int multiProcessorCount, major, minor;
    size_t sharedMemPerBlockOptin, totalGlobalMem;
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum { cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaHostAllocDefault = 0 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total);
cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaGetLastError();
const char *cudaGetErrorString(cudaError_t error);
template <typename F> cudaError_t cudaFuncSetAttribute(F *, cudaFuncAttribute, int)
{
    return cudaSuccess;
}
template <typename F> cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *n, F *, int, size_t)
{
    *n = 1;
    return cudaSuccess;
}

#endif

/*
 * What the kernels of cuda_kernels.h are written in: warps, of which the 32 lanes are spoken of together.
 *
 *     per_lane<T> x            a value a lane has; x[l] inside FOR_LANES(l)
 *     FOR_LANES(l) { … }       every lane of the warp does this
 *     lane_sum<L>(x)           every lane gets the sum over its group of L neighbours
 *     mma(c, a, b)             one tensor-core step of the whole warp
 *     block_barrier()          all warps of the block
 *
 * Here a lane is a thread and the loop runs once, with nothing left of it after compilation. Without a CUDA
 * compiler cuda_emulated.h (a part of the tests) has the same names for a processor, where the loop runs over
 * 32 lanes and a warp is a thread: what the kernels compute is tested on machines without a device, and a
 * missing barrier is found by the thread sanitizer.
 *
 * Source of the fragments' layouts: PTX ISA, "Matrix Fragments for mma.m16n8k32" and "… mma.m16n8k16".
 */
#ifndef FRT_INDEX_CUDA_LAYER_H
#define FRT_INDEX_CUDA_LAYER_H

#include <cstddef>
#include <cstdint>

enum { WARP = 32 };

#if !defined(__CUDACC__)
#include "cuda_emulated.h"
#else
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define FRT_KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define FRT_FUNCTION static __device__ __forceinline__
#define FRT_BOTH static __host__ __device__ __forceinline__
#define FRT_UNROLL _Pragma("unroll")
#define FRT_LAUNCH(kernel, grid, warps, shared, stream, ...)                                                   \
    kernel<<<(grid), (warps)*WARP, (shared), (stream)>>>(__VA_ARGS__)

template <typename T> struct per_lane {
    T v;
    __device__ __forceinline__ T &operator[](int)
    {
        return v;
    }
};
#define FOR_LANES(l)                                                                                           \
    for (int l = static_cast<int>(threadIdx.x % WARP), l##_once = 1; l##_once != 0; l##_once = 0)

FRT_FUNCTION uint32_t block_index()
{
    return blockIdx.x;
}
FRT_FUNCTION uint32_t block_count()
{
    return gridDim.x;
}
FRT_FUNCTION uint32_t warp_index()
{
    return threadIdx.x / WARP;
}
FRT_FUNCTION uint32_t warp_count()
{
    return blockDim.x / WARP;
}
FRT_FUNCTION unsigned char *block_memory()
{
    extern __shared__ __align__(128) unsigned char frt_block_memory[];
    return frt_block_memory;
}
FRT_FUNCTION void block_barrier()
{
    __syncthreads();
}
FRT_FUNCTION void warp_barrier()
{
    __syncwarp();
}

/** 16 bytes, loaded at once. */
struct bytes16 {
    uint32_t w[4];
};
/* of rows: read once, so they need not stay in the cache */
FRT_FUNCTION bytes16 load16_once(const void *at)
{
    const uint4 v = __ldcs(static_cast<const uint4 *>(at));
    return {{v.x, v.y, v.z, v.w}};
}
FRT_FUNCTION bytes16 load16(const void *at)
{
    const uint4 v = *static_cast<const uint4 *>(at);
    return {{v.x, v.y, v.z, v.w}};
}
FRT_FUNCTION void store16(void *at, bytes16 v)
{
    *static_cast<uint4 *>(at) = make_uint4(v.w[0], v.w[1], v.w[2], v.w[3]);
}

/* 16 bytes from device to block memory behind the warp's back; zeros when there is nothing to copy. */
FRT_FUNCTION void copy16_async(void *to, const void *from, bool there)
{
    const auto at = static_cast<unsigned>(__cvta_generic_to_shared(to));
    const int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes) : "memory");
}
FRT_FUNCTION void copy_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* All but the last N groups of this lane have come. */
template <int N> FRT_FUNCTION void copy_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

template <int L, typename T> FRT_FUNCTION void lane_sum(per_lane<T> &x)
{
    FRT_UNROLL
    for (int step = L / 2; step > 0; step /= 2)
        x.v += __shfl_xor_sync(0xffffffffU, x.v, step);
}
/* Sums over lanes 0..l, for every l. */
FRT_FUNCTION void lane_running_sum(per_lane<uint32_t> &x)
{
    FRT_UNROLL
    for (int step = 1; step < WARP; step *= 2) {
        const uint32_t below = __shfl_up_sync(0xffffffffU, x.v, step);
        x.v += threadIdx.x % WARP >= static_cast<unsigned>(step) ? below : 0;
    }
}

FRT_FUNCTION int dot4(uint32_t a, uint32_t b, int c)
{
    return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
}
FRT_FUNCTION float half_dot2(uint32_t a, uint32_t b, float c)
{
    half2 x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    const float2 p = __half22float2(x), q = __half22float2(y);
    return fmaf(p.y, q.y, fmaf(p.x, q.x, c));
}
FRT_FUNCTION uint16_t half_of(float x)
{
    return __half_as_ushort(__float2half_rn(x));
}
FRT_FUNCTION uint32_t atomic_add(uint32_t *at, uint32_t n)
{
    return atomicAdd(at, n);
}
FRT_FUNCTION float not_a_number()
{
    return __int_as_float(-1);
}

FRT_FUNCTION void mma(per_lane<int32_t> (&c)[4], per_lane<uint32_t> (&a)[4], per_lane<uint32_t> (&b)[2])
{
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+r"(c[0].v), "+r"(c[1].v), "+r"(c[2].v), "+r"(c[3].v)
        : "r"(a[0].v), "r"(a[1].v), "r"(a[2].v), "r"(a[3].v), "r"(b[0].v), "r"(b[1].v));
}
FRT_FUNCTION void mma(per_lane<float> (&c)[4], per_lane<uint32_t> (&a)[4], per_lane<uint32_t> (&b)[2])
{
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(c[0].v), "+f"(c[1].v), "+f"(c[2].v), "+f"(c[3].v)
        : "r"(a[0].v), "r"(a[1].v), "r"(a[2].v), "r"(a[3].v), "r"(b[0].v), "r"(b[1].v));
}
#endif

#endif

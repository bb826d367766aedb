/*
 * What a device can do at most: bytes a second of a kernel that only reads, and of a copy; operations a second
 * of the tensor cores, by cuBLASLt's matrix product where that library is (looked for at run time, so that the
 * plug-in does not need it) and by mma.sync from registers, which is the instruction of scan_many.
 *
 * Compiled by nvcc only.
 */
#include "cuda_measure.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <type_traits>

namespace
{

enum { REPEATS = 20, SIDE = 8192, MMA_LOOPS = 4096, MMA_SUMS = 8 };

__global__ void __launch_bounds__(256) read_all(const uint4 *from, size_t n, uint32_t *out)
{
    const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
    uint32_t sum = 0;
    for (size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += 4 * stride) {
        uint4 v[4];
#pragma unroll
        for (int u = 0; u < 4; u++)
            v[u] = i + u * stride < n ? __ldcs(from + i + u * stride) : make_uint4(0, 0, 0, 0);
#pragma unroll
        for (int u = 0; u < 4; u++)
            sum ^= v[u].x ^ v[u].y ^ v[u].z ^ v[u].w;
    }
    if (sum == 0x12345678U) /* never so, but the compiler does not know */
        *out = sum;
}

/* Random bits: zeros would be multiplied faster than data. Halves among them are finite. */
__global__ void fill(uint32_t *at, size_t n, uint32_t mask)
{
    for (size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
         i += static_cast<size_t>(gridDim.x) * blockDim.x) {
        uint64_t x = i * 0x9e3779b97f4a7c15ULL;
        x = (x ^ x >> 32) * 0xd6e8feb86659fd93ULL;
        at[i] = static_cast<uint32_t>(x >> 32) & mask;
    }
}

template <typename T> __global__ void __launch_bounds__(256) multiply(T *out, uint32_t bits)
{
    per_lane<T> c[MMA_SUMS][4] = {};
    per_lane<uint32_t> a[4], b[2];
    for (int i = 0; i < 4; i++)
        a[i].v = (threadIdx.x * 2654435761U + i * 40503U) & bits;
    for (int i = 0; i < 2; i++)
        b[i].v = (threadIdx.x * 2246822519U + i * 3266489917U) & bits;
    for (int n = 0; n < MMA_LOOPS; n++) {
#pragma unroll
        for (int s = 0; s < MMA_SUMS; s++)
            mma(c[s], a, b);
    }
    T sum = 0;
    for (int s = 0; s < MMA_SUMS; s++)
        sum += c[s][0].v + c[s][1].v + c[s][2].v + c[s][3].v;
    if (sum == static_cast<T>(123456789))
        *out = sum;
}

struct stop_watch {
    cudaEvent_t from, to;
};

/* Milliseconds of the fastest of a few runs. */
template <typename F> cudaError_t fastest(const stop_watch &w, F work, int runs, double *ms)
{
    cudaError_t error = work(); /* warm */
    *ms = 1e30;
    for (int i = 0; i < runs && error == cudaSuccess; i++) {
        float once = 0;
        error = cudaEventRecord(w.from, nullptr);
        if (error == cudaSuccess)
            error = work();
        if (error == cudaSuccess)
            error = cudaEventRecord(w.to, nullptr);
        if (error == cudaSuccess)
            error = cudaEventSynchronize(w.to);
        if (error == cudaSuccess)
            error = cudaEventElapsedTime(&once, w.from, w.to);
        *ms = std::min(*ms, static_cast<double>(once));
    }
    return error;
}

template <typename T>
cudaError_t measure_mma(const stop_watch &w, uint32_t processors, void *memory, double *rate)
{
    const uint32_t blocks = processors * 2, k = std::is_same<T, float>::value ? 16 : 32;
    double ms = 0;
    const cudaError_t error = fastest(
        w,
        [&] {
            multiply<T><<<blocks, 256>>>(static_cast<T *>(memory),
                                         std::is_same<T, float>::value ? 0x3bff3bffU : 0xffffffffU);
            return cudaGetLastError();
        },
        REPEATS, &ms);
    if (error == cudaSuccess)
        *rate = 2.0 * 16 * 8 * k * MMA_SUMS * MMA_LOOPS * blocks * 8 / (ms / 1e3);
    return error;
}

/* cuBLASLt, by name. */
struct blas {
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtDestroy) destroy;
    decltype(&cublasLtMatmulDescCreate) desc_create;
    decltype(&cublasLtMatmulDescSetAttribute) desc_set;
    decltype(&cublasLtMatmulDescDestroy) desc_destroy;
    decltype(&cublasLtMatrixLayoutCreate) layout_create;
    decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
    decltype(&cublasLtMatmulPreferenceCreate) preference_create;
    decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
    decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
    decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
    decltype(&cublasLtMatmul) matmul;
};

template <typename F> bool find(void *library, const char *name, F *out)
{
    void *symbol = dlsym(library, name);
    memcpy(out, &symbol, sizeof symbol);
    return symbol != nullptr;
}

bool blas_open(blas *b)
{
    char name[32];
    void *library = nullptr;
    (void)snprintf(name, sizeof name, "libcublasLt.so.%d", CUBLAS_VER_MAJOR);
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    return library != nullptr && find(library, "cublasLtCreate", &b->create) &&
           find(library, "cublasLtDestroy", &b->destroy) &&
           find(library, "cublasLtMatmulDescCreate", &b->desc_create) &&
           find(library, "cublasLtMatmulDescSetAttribute", &b->desc_set) &&
           find(library, "cublasLtMatmulDescDestroy", &b->desc_destroy) &&
           find(library, "cublasLtMatrixLayoutCreate", &b->layout_create) &&
           find(library, "cublasLtMatrixLayoutDestroy", &b->layout_destroy) &&
           find(library, "cublasLtMatmulPreferenceCreate", &b->preference_create) &&
           find(library, "cublasLtMatmulPreferenceSetAttribute", &b->preference_set) &&
           find(library, "cublasLtMatmulPreferenceDestroy", &b->preference_destroy) &&
           find(library, "cublasLtMatmulAlgoGetHeuristic", &b->heuristic) &&
           find(library, "cublasLtMatmul", &b->matmul);
}

/* One SIDE³ product, both operands row after row (A transposed, B not): what a search of many queries is. */
bool measure_blas(const blas &b, const stop_watch &w, bool bytes, unsigned char *memory, size_t workspace,
                  double *rate)
{
    const cudaDataType_t in = bytes ? CUDA_R_8I : CUDA_R_16F, out = bytes ? CUDA_R_32I : CUDA_R_16F;
    const cublasComputeType_t compute = bytes ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const int32_t one_i = 1, zero_i = 0;
    const float one_f = 1, zero_f = 0;
    const size_t size = static_cast<size_t>(SIDE) * SIDE * (bytes ? 1 : 2);
    cublasLtHandle_t handle = nullptr;
    cublasLtMatmulDesc_t desc = nullptr;
    cublasLtMatrixLayout_t layout_in = nullptr, layout_out = nullptr;
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulHeuristicResult_t found = {};
    int n = 0;
    double ms = 0;
    bool good = b.create(&handle) == CUBLAS_STATUS_SUCCESS &&
                b.desc_create(&desc, compute, bytes ? CUDA_R_32I : CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
                b.desc_set(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) ==
                    CUBLAS_STATUS_SUCCESS &&
                b.layout_create(&layout_in, in, SIDE, SIDE, SIDE) == CUBLAS_STATUS_SUCCESS &&
                b.layout_create(&layout_out, out, SIDE, SIDE, SIDE) == CUBLAS_STATUS_SUCCESS &&
                b.preference_create(&preference) == CUBLAS_STATUS_SUCCESS &&
                b.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                 sizeof workspace) == CUBLAS_STATUS_SUCCESS &&
                b.heuristic(handle, desc, layout_in, layout_in, layout_out, layout_out, preference, 1, &found,
                            &n) == CUBLAS_STATUS_SUCCESS &&
                n > 0;
    if (good) {
        unsigned char *x = memory, *y = x + size, *c = y + size, *space = c + size * (bytes ? 4 : 1);
        const cudaError_t error = fastest(
            w,
            [&] {
                const cublasStatus_t status =
                    b.matmul(handle, desc, bytes ? static_cast<const void *>(&one_i) : &one_f, x, layout_in, y,
                             layout_in, bytes ? static_cast<const void *>(&zero_i) : &zero_f, c, layout_out, c,
                             layout_out, &found.algo, space, workspace, nullptr);
                return status == CUBLAS_STATUS_SUCCESS ? cudaSuccess : cudaErrorUnknown;
            },
            REPEATS, &ms);
        good = error == cudaSuccess;
    }
    if (good)
        *rate = 2.0 * SIDE * SIDE * SIDE / (ms / 1e3);
    if (preference != nullptr)
        (void)b.preference_destroy(preference);
    if (layout_in != nullptr)
        (void)b.layout_destroy(layout_in);
    if (layout_out != nullptr)
        (void)b.layout_destroy(layout_out);
    if (desc != nullptr)
        (void)b.desc_destroy(desc);
    if (handle != nullptr)
        (void)b.destroy(handle);
    return good;
}

} // namespace

cudaError_t cuda_measure(uint32_t processors, uint64_t bytes, frt_gpu_ceilings *out)
{
    const size_t workspace = 64 << 20, products = static_cast<size_t>(SIDE) * SIDE * 6 + workspace;
    const size_t half = std::max<size_t>(bytes / 2 / 16 * 16, products);
    unsigned char *memory = nullptr;
    stop_watch w = {};
    frt_gpu_ceilings found = {};
    double ms = 0;
    cudaError_t error = cudaMalloc(reinterpret_cast<void **>(&memory), 2 * half);
    if (error == cudaSuccess)
        error = cudaEventCreate(&w.from);
    if (error == cudaSuccess)
        error = cudaEventCreate(&w.to);
    if (error == cudaSuccess) {
        fill<<<processors * 8, 256>>>(static_cast<uint32_t *>(static_cast<void *>(memory)), half / 2,
                                      0x3bff3bffU);
        error = cudaGetLastError();
    }
    if (error == cudaSuccess)
        error = fastest(
            w,
            [&] {
                read_all<<<processors * 8, 256>>>(static_cast<const uint4 *>(static_cast<void *>(memory)),
                                                  2 * half / 16,
                                                  static_cast<uint32_t *>(static_cast<void *>(memory)));
                return cudaGetLastError();
            },
            REPEATS, &ms);
    if (error == cudaSuccess) {
        found.read_bytes_per_s = 2.0 * static_cast<double>(half) / (ms / 1e3);
        error = fastest(
            w, [&] { return cudaMemcpyAsync(memory + half, memory, half, cudaMemcpyDeviceToDevice, nullptr); },
            REPEATS, &ms);
    }
    if (error == cudaSuccess) {
        found.copy_bytes_per_s = 2.0 * static_cast<double>(half) / (ms / 1e3);
        error = measure_mma<int32_t>(w, processors, memory, &found.mma_i8_ops_per_s);
    }
    if (error == cudaSuccess)
        error = measure_mma<float>(w, processors, memory, &found.mma_f16_ops_per_s);
    blas b = {};
    if (error == cudaSuccess && !blas_open(&b))
        (void)snprintf(found.note, sizeof found.note, "libcublasLt.so.%d could not be loaded",
                       CUBLAS_VER_MAJOR);
    else if (error == cudaSuccess && (!measure_blas(b, w, true, memory, workspace, &found.i8_ops_per_s) ||
                                      !measure_blas(b, w, false, memory, workspace, &found.f16_ops_per_s)))
        (void)snprintf(found.note, sizeof found.note, "cuBLASLt did not multiply");
    (void)cudaFree(memory);
    if (w.from != nullptr)
        (void)cudaEventDestroy(w.from);
    if (w.to != nullptr)
        (void)cudaEventDestroy(w.to);
    if (error == cudaSuccess)
        *out = found;
    return error;
}

/* What src/index/faiss_gpu.h uses of the CUDA runtime, for tests of its choices: faiss_gpu_standin.cpp. */
#ifndef FRT_TESTS_INDEX_FAISS_GPU_CUDA_RUNTIME_H
#define FRT_TESTS_INDEX_FAISS_GPU_CUDA_RUNTIME_H

typedef int cudaError_t;
enum { cudaSuccess = 0, cudaErrorNoDevice = 100 };

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetLastError();

#endif

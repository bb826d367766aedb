/*
 * gpu.h over NVML, the library that comes with NVIDIA's driver. It is opened at run time: neither its header
 * nor the library is needed to build or run. What is called and the two structs are NVML's stable interface
 * (nvml.h, "NVML API Reference": nvmlInit_v2, nvmlDeviceGetHandleByIndex_v2, nvmlMemory_t, nvmlUtilization_t);
 * every function returns 0 for success.
 */
#include "metrics/gpu.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct memory {
    unsigned long long total, free, used;
};

struct utilization {
    unsigned gpu, memory; /* percent */
};

struct frt_gpu {
    void *library, *device;
    int (*init)(void);
    int (*shutdown)(void);
    int (*device_by_index)(unsigned index, void **device);
    int (*name)(void *device, char *name, unsigned size);
    int (*memory)(void *device, struct memory *out);
    int (*utilization)(void *device, struct utilization *out);
};

static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol); /* POSIX: a function's address fits */
    return symbol != NULL;
}

/* The driver counts all, whatever the variable lists. */
static unsigned driver_index(unsigned index)
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    char *end = NULL;
    for (unsigned i = 0; list != NULL && *list != '\0'; i++) {
        const unsigned long number = strtoul(list, &end, 10);
        if (end == list || (*end != ',' && *end != '\0') || number > 1023)
            break; /* not numbers: the driver's own names */
        if (i == index)
            return (unsigned)number;
        list = *end == ',' ? end + 1 : end;
    }
    return index;
}

struct frt_gpu *frt_gpu_open(const char *library, unsigned index)
{
    struct frt_gpu *gpu = frt_alloc_zero(1, sizeof *gpu);
    if (gpu == NULL)
        return NULL;
    gpu->library = dlopen(library != NULL ? library : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    bool good = gpu->library != NULL && find(gpu->library, "nvmlInit_v2", &gpu->init) &&
                find(gpu->library, "nvmlShutdown", &gpu->shutdown) &&
                find(gpu->library, "nvmlDeviceGetHandleByIndex_v2", &gpu->device_by_index) &&
                find(gpu->library, "nvmlDeviceGetName", &gpu->name) &&
                find(gpu->library, "nvmlDeviceGetMemoryInfo", &gpu->memory) &&
                find(gpu->library, "nvmlDeviceGetUtilizationRates", &gpu->utilization);
    good = good && gpu->init() == 0;
    if (good && gpu->device_by_index(driver_index(index), &gpu->device) == 0)
        return gpu;
    if (!good)
        gpu->shutdown = NULL; /* nothing was begun */
    frt_gpu_close(gpu);
    return NULL;
}

bool frt_gpu_read(struct frt_gpu *gpu, struct frt_gpu_reading *out)
{
    struct frt_gpu_reading reading = {0};
    struct memory memory = {0};
    struct utilization utilization = {0};
    if (gpu->name(gpu->device, reading.name, sizeof reading.name) != 0 ||
        gpu->memory(gpu->device, &memory) != 0)
        return false;
    reading.name[sizeof reading.name - 1] = '\0';
    reading.memory_used_bytes = memory.used;
    reading.memory_total_bytes = memory.total;
    if (gpu->utilization(gpu->device, &utilization) == 0) /* a slice of a GPU (MIG) has none */
        reading.utilization_percent = utilization.gpu;
    *out = reading;
    return true;
}

void frt_gpu_close(struct frt_gpu *gpu)
{
    if (gpu == NULL)
        return;
    if (gpu->shutdown != NULL)
        (void)gpu->shutdown();
    if (gpu->library != NULL)
        (void)dlclose(gpu->library);
    frt_free(gpu);
}

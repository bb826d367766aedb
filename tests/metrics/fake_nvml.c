/* Stands in for NVML: a GPU of round figures. FRT_FAKE_NVML: "none" = no device, "mig" = no utilisation, "gone"
 * = it stops answering after the first reading. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    unsigned long long total, free, used;
};
struct utilization {
    unsigned gpu, memory;
};

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetName(void *device, char *name, unsigned size);
int nvmlDeviceGetMemoryInfo(void *device, struct memory *out);
int nvmlDeviceGetUtilizationRates(void *device, struct utilization *out);

static int begun, readings, the_device;

static int is(const char *word)
{
    const char *value = getenv("FRT_FAKE_NVML");
    return value != NULL && strcmp(value, word) == 0;
}

int nvmlInit_v2(void)
{
    begun++;
    return 0;
}

int nvmlShutdown(void)
{
    if (begun-- <= 0)
        abort();
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (begun == 0 || index != 0 || is("none"))
        return 6; /* NVML_ERROR_NOT_FOUND */
    *device = &the_device;
    return 0;
}

int nvmlDeviceGetName(void *device, char *name, unsigned size)
{
    if (device != &the_device || (is("gone") && readings > 0))
        return 15; /* NVML_ERROR_GPU_IS_LOST */
    readings++;
    return snprintf(name, size, "Fake \"GPU\" 9000") < (int)size ? 0 : 7;
}

int nvmlDeviceGetMemoryInfo(void *device, struct memory *out)
{
    *out = (struct memory){8000, 5000, 3000};
    return device != &the_device;
}

int nvmlDeviceGetUtilizationRates(void *device, struct utilization *out)
{
    if (is("mig"))
        return 3; /* NVML_ERROR_NOT_SUPPORTED */
    *out = (struct utilization){42, 17};
    return device != &the_device;
}

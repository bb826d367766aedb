/*
 * A Vulkan loader before the real one, that fails as a driver does when a file says so: real failures for
 * WebGPU, in the place where a driver has them.
 *
 *     VULKAN_SHIM_REAL   the loader that does the work
 *     VULKAN_SHIM_FAULT  a file, read at each call: "lost" (work that is submitted loses the device),
 * "memory" (no device memory), "absent" (no devices); absent or empty: nothing fails
 *
 * Built as libvulkan.so.1 in a folder of its own, for LD_LIBRARY_PATH. Needs no header of Vulkan's: calls are
 * passed on with their arguments, which are words here (x86-64 and AArch64 pass them alike).
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef void (*function)(void);
typedef function (*get_address)(void *owner, const char *name);
typedef int32_t (*call)(uint64_t a, uint64_t b, uint64_t c, uint64_t d);

enum { OUT_OF_DEVICE_MEMORY = -2, INITIALIZATION_FAILED = -3, DEVICE_LOST = -4 };

static get_address real_instance, real_device;
static call real_submit, real_submit2, real_allocate, real_enumerate;

static bool fault_is(const char *wanted)
{
    char word[16] = "";
    const char *path = getenv("VULKAN_SHIM_FAULT");
    FILE *f = path != NULL ? fopen(path, "re") : NULL;
    if (f == NULL)
        return false;
    if (fscanf(f, "%15s", word) != 1)
        word[0] = '\0';
    (void)fclose(f);
    return strcmp(word, wanted) == 0;
}

static int32_t submit(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return fault_is("lost") ? DEVICE_LOST : real_submit(a, b, c, d);
}

static int32_t submit2(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return fault_is("lost") ? DEVICE_LOST : real_submit2(a, b, c, d);
}

static int32_t allocate(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return fault_is("memory") ? OUT_OF_DEVICE_MEMORY : real_allocate(a, b, c, d);
}

static int32_t enumerate(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return fault_is("absent") ? INITIALIZATION_FAILED : real_enumerate(a, b, c, d);
}

static function of_device(void *device, const char *name);

/* Ours in the place of the real one, which is kept. */
static function wrap(const char *name, function real)
{
    static const struct {
        const char *name;
        call mine, *real;
    } wrapped[] = {{"vkQueueSubmit", submit, &real_submit},
                   {"vkQueueSubmit2", submit2, &real_submit2},
                   {"vkQueueSubmit2KHR", submit2, &real_submit2},
                   {"vkAllocateMemory", allocate, &real_allocate},
                   {"vkEnumeratePhysicalDevices", enumerate, &real_enumerate}};
    if (real == NULL)
        return NULL;
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) {
        real_device = (get_address)real;
        return (function)of_device;
    }
    for (size_t i = 0; i < sizeof wrapped / sizeof *wrapped; i++)
        if (strcmp(name, wrapped[i].name) == 0) {
            *wrapped[i].real = (call)real;
            return (function)wrapped[i].mine;
        }
    return real;
}

static function of_device(void *device, const char *name)
{
    return wrap(name, real_device(device, name));
}

EXPORT function vkGetInstanceProcAddr(void *instance, const char *name);
EXPORT function vkGetInstanceProcAddr(void *instance, const char *name)
{
    if (real_instance == NULL) {
        const char *path = getenv("VULKAN_SHIM_REAL");
        void *library = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
        if (library == NULL)
            return NULL;
        *(void **)&real_instance = dlsym(library, "vkGetInstanceProcAddr");
        if (real_instance == NULL)
            return NULL;
    }
    return wrap(name, real_instance(instance, name));
}

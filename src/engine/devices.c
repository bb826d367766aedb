#include "engine/devices.h"

#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "infer/failover.h"

enum { COMMAND_PROBE_MS = 60000 };

/* What is needed to make the device's backend, now and again. */
struct recipe {
    struct frt_onnxruntime_options runtime;
    char *library_path, *cache_dir; /* NULL as in the options */
};

static void free_recipe(void *arg)
{
    struct recipe *recipe = arg;
    if (recipe == NULL)
        return;
    frt_free(recipe->library_path);
    frt_free(recipe->cache_dir);
    frt_free(recipe);
}

static enum frt_status make(void *arg, struct frt_backend **out, struct frt_error *err)
{
    return frt_backend_onnxruntime_new(&((const struct recipe *)arg)->runtime, out, err);
}

static struct recipe *new_recipe(const struct frt_onnxruntime_options *runtime)
{
    struct recipe *recipe = frt_alloc_zero(1, sizeof *recipe);
    if (recipe == NULL)
        return NULL;
    recipe->runtime = *runtime;
    recipe->library_path = frt_strdup(runtime->library_path);
    recipe->cache_dir = frt_strdup(runtime->cache_dir);
    recipe->runtime.library_path = recipe->library_path;
    recipe->runtime.cache_dir = recipe->cache_dir;
    if ((runtime->library_path != NULL && recipe->library_path == NULL) ||
        (runtime->cache_dir != NULL && recipe->cache_dir == NULL)) {
        free_recipe(recipe);
        return NULL;
    }
    return recipe;
}

/* Of answers in f16, which are next to those of f32 where all is well: a hundredth of what else may be. */
static const float half_agreement = 0.999F;

static enum frt_status parse_precision(const char *text, bool *half, struct frt_error *err)
{
    *half = text != NULL && strcasecmp(text, "fp16") == 0;
    if (*half || text == NULL || text[0] == '\0' || strcasecmp(text, "fp32") == 0)
        return FRT_OK;
    return frt_fail(err, FRT_EINVAL, "\"%s\" is no precision of a device: fp32 or fp16", text);
}

enum frt_status frt_devices_open(const struct frt_context_options *options,
                                 const struct frt_onnxruntime_options *runtime, struct frt_backend **out,
                                 struct frt_error *err)
{
    struct frt_onnxruntime_options plain = *runtime, wanted = *runtime;
    struct frt_failover_options failover = {.make = make, .free_arg = free_recipe};
    char name[FRT_DEVICE_NAME_MAX];
    enum frt_status status = frt_device_parse(options != NULL ? options->device : NULL, &wanted.device, err);
    if (status == FRT_OK && options != NULL)
        status = parse_precision(options->device_precision, &wanted.half, err);
    if (status != FRT_OK)
        return status;
    plain.device = (struct frt_device){FRT_DEVICE_CPU, 0};
    if (options != NULL) {
        wanted.memory_limit_bytes = options->gpu_memory_limit_bytes;
        wanted.cache_dir = options->device_cache;
    }
    if (wanted.memory_limit_bytes == 0)
        wanted.memory_limit_bytes = FRT_DEVICE_MEMORY_BYTES;
    if (wanted.device.kind == FRT_DEVICE_AUTO) {
        wanted.device.kind = FRT_DEVICE_CUDA;
        if (frt_onnxruntime_device_check(&wanted, &wanted.device, NULL) != FRT_OK)
            wanted.device.kind = FRT_DEVICE_CPU;
    }
    /* the CPU first: backends of a process share its threads */
    if (wanted.device.kind == FRT_DEVICE_CPU || options == NULL)
        return frt_backend_onnxruntime_new(&plain, out, err);
    status = frt_backend_onnxruntime_new(&plain, &failover.fallback, err);
    if (status != FRT_OK)
        return status;
    failover.arg = new_recipe(&wanted);
    if (failover.arg == NULL) {
        frt_backend_free(failover.fallback);
        return frt_fail_nomem(err, "a device");
    }
    /* a command is over before a device is back, and would wait for the look at its end */
    failover.first_probe_ms = options->stages != NULL ? 0 : COMMAND_PROBE_MS;
    failover.agreement = wanted.half ? half_agreement : 0;
    failover.device = frt_device_name(&wanted.device, name);
    /* engines take minutes to be built: a service answers from the CPU meanwhile */
    failover.later = wanted.device.kind == FRT_DEVICE_TENSORRT && options->stages != NULL;
    return frt_backend_failover_new(&failover, out, err);
}

void frt_devices_each(const char *runtime_path,
                      void (*tell)(void *arg, const char *name, bool usable, const char *why), void *arg)
{
    static const struct {
        const char *name;
        enum frt_device_kind kind;
    } kinds[] = {{"cuda", FRT_DEVICE_CUDA}, {"tensorrt", FRT_DEVICE_TENSORRT}, {"webgpu", FRT_DEVICE_WEBGPU}};
    const struct frt_onnxruntime_options runtime = {.threads = 1, .library_path = runtime_path};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct frt_device device = {.kind = kinds[i].kind};
        struct frt_error why = {0};
        const bool usable = frt_onnxruntime_device_check(&runtime, &device, &why) == FRT_OK;
        tell(arg, kinds[i].name, usable, usable ? "" : why.text);
    }
}

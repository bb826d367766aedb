#include "infer/infer_onnxruntime_device.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <onnxruntime_c_api.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"

/* Nobody waits longer for a turn; the CPU answers then. */
enum { TURN_WAIT_MS = 30000 };
#define MIB 1048576.0
enum { PATH_TEXT_MAX = 1024, NUMBER_TEXT_MAX = 24 };

/* y = relu(x), f32[1,4]: an ONNX file, IR version 8, operators' version 13. */
static const uint8_t one_node[] = {
    0x08, 0x08, 0x3a, 0x3b, 0x0a, 0x0c, 0x0a, 0x01, 0x78, 0x12, 0x01, 0x79, 0x22, 0x04, 0x52, 0x65, 0x6c,
    0x75, 0x12, 0x01, 0x74, 0x5a, 0x13, 0x0a, 0x01, 0x78, 0x12, 0x0e, 0x0a, 0x0c, 0x08, 0x01, 0x12, 0x08,
    0x0a, 0x02, 0x08, 0x01, 0x0a, 0x02, 0x08, 0x04, 0x62, 0x13, 0x0a, 0x01, 0x79, 0x12, 0x0e, 0x0a, 0x0c,
    0x08, 0x01, 0x12, 0x08, 0x0a, 0x02, 0x08, 0x01, 0x0a, 0x02, 0x08, 0x04, 0x42, 0x02, 0x10, 0x0d};

/* What is particular to a kind. */
struct kind {
    const char *provider;  /* as the library lists it */
    const char *file;      /* beside the library; NULL: built in */
    const char *allocator; /* name of its memory; NULL: no arena of our own */
    const char *pinned;    /* name of host memory that it copies from; NULL: plain */
    bool one_at_a_time;
};
static const struct kind kinds[] = {
    [FRT_DEVICE_CUDA] = {"CUDAExecutionProvider", "libonnxruntime_providers_cuda.so", "Cuda", "CudaPinned",
                         false},
    [FRT_DEVICE_TENSORRT] = {"TensorrtExecutionProvider", "libonnxruntime_providers_tensorrt.so", "Cuda",
                             "CudaPinned", false},
    [FRT_DEVICE_WEBGPU] = {"WebGpuExecutionProvider", NULL, NULL, NULL, true},
};

struct frt_ort_device {
    struct frt_ort_device_options options;
    const struct kind *kind;
    char name[FRT_DEVICE_NAME_MAX];
    char *cache_dir;
    OrtMemoryInfo *host; /* where inputs are staged and outputs come to */
    pthread_mutex_t lock;
    pthread_cond_t free_turn;
    /* under lock */
    bool taken;
    uint64_t charged;
};

/* What went wrong, without where in the runtime's sources: "/…/x.cc:1 f(…) … was false. WHAT\n". Returns `out`.
 */
static const char *message(const OrtApi *api, const OrtStatus *status, char out[FRT_ERROR_TEXT_MAX])
{
    static const char mark[] = " was false. ";
    const char *text = api->GetErrorMessage(status), *what = strstr(text, mark);
    (void)snprintf(out, FRT_ERROR_TEXT_MAX, "%s", what != NULL ? what + strlen(mark) : text);
    for (size_t n = strlen(out); n > 0 && (unsigned char)out[n - 1] <= ' '; n--)
        out[n - 1] = '\0';
    return out;
}

/* ---------------------------------------------------------------- checks */

static bool provider_listed(const OrtApi *api, const char *provider)
{
    char **names = NULL;
    int n = 0;
    bool found = false;
    OrtStatus *status = api->GetAvailableProviders(&names, &n);
    if (status != NULL) {
        api->ReleaseStatus(status);
        return false;
    }
    for (int i = 0; i < n; i++)
        found = found || strcmp(names[i], provider) == 0;
    status = api->ReleaseAvailableProviders(names, n);
    if (status != NULL)
        api->ReleaseStatus(status);
    return found;
}

/* The driver's own count, by three functions of its interface that never changed; nothing is set up by it. */
static enum frt_status check_driver(uint32_t index, struct frt_error *err)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    int (*init)(unsigned) = NULL, (*count)(int *) = NULL;
    int n = 0, code = 0;
    if (driver == NULL)
        return frt_fail(err, FRT_ERUNTIME,
                        "no NVIDIA driver: libcuda.so.1 is not here; install the driver, in a container "
                        "start it with its GPU runtime");
    *(void **)&init = dlsym(driver, "cuInit"); /* POSIX's way around the cast ISO C forbids */
    *(void **)&count = dlsym(driver, "cuDeviceGetCount");
    if (init == NULL || count == NULL)
        return frt_fail(err, FRT_ERUNTIME, "libcuda.so.1 is not NVIDIA's driver");
    if ((code = init(0)) != 0 || (code = count(&n)) != 0)
        return frt_fail(
            err, FRT_ERUNTIME,
            "the NVIDIA driver answers with error %d; nvidia-smi tells more (after a driver update: "
            "load the new module or restart the machine)",
            code);
    if ((uint32_t)n <= index) {
        return frt_fail(err, FRT_ERUNTIME,
                        "there is no device %u: the driver shows %d (CUDA_VISIBLE_DEVICES counts)", index, n);
    }
    return FRT_OK;
}

/* VkInstanceCreateInfo; its layout and the four functions' are Vulkan 1.0's, which do not change. */
struct instance_info {
    int32_t type; /* 1 */
    const void *next;
    uint32_t flags;
    const void *application;
    uint32_t n_layers;
    const char *const *layers;
    uint32_t n_extensions;
    const char *const *extensions;
};

typedef void (*vulkan_function)(void);
typedef vulkan_function (*vulkan_find)(void *instance, const char *name);

/* Devices of all drivers, or the driver's error (negative). */
static int32_t count_vulkan(vulkan_find find)
{
    int32_t (*create)(const struct instance_info *, const void *, void **);
    int32_t (*enumerate)(void *, uint32_t *, void **);
    void (*destroy)(void *, const void *);
    const struct instance_info info = {.type = 1};
    void *instance = NULL;
    uint32_t n = 0;
    create = (int32_t(*)(const struct instance_info *, const void *, void **))find(NULL, "vkCreateInstance");
    int32_t code = create == NULL ? -3 : create(&info, NULL, &instance);
    if (code != 0)
        return code;
    enumerate = (int32_t(*)(void *, uint32_t *, void **))find(instance, "vkEnumeratePhysicalDevices");
    destroy = (void (*)(void *, const void *))find(instance, "vkDestroyInstance");
    code = enumerate == NULL ? -3 : enumerate(instance, &n, NULL);
    if (destroy != NULL)
        destroy(instance, NULL);
    return code != 0 ? code : (int32_t)n;
}

/* Asked before the provider is: that one looks once in the life of the process, keeps what it did not find, and
 * complains on standard error. So a driver that comes later is found. */
static enum frt_status check_vulkan(const char *name, struct frt_error *err)
{
    void *loader = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    vulkan_find find = NULL;
    if (loader == NULL)
        return frt_fail(
            err, FRT_ERUNTIME,
            "%s: libvulkan.so.1 is not here; install libvulkan1 and the Vulkan driver of the device", name);
    *(void **)&find = dlsym(loader, "vkGetInstanceProcAddr");
    const int32_t n = find != NULL ? count_vulkan(find) : -3;
    (void)dlclose(loader);
    if (n > 0)
        return FRT_OK;
    return frt_fail(
        err, FRT_ERUNTIME,
        "%s: no Vulkan device (%s %d); install the device's driver, let the user open /dev/dri, or see "
        "what VK_DRIVER_FILES names",
        name, n < 0 ? "error" : "drivers show", (int)n);
}

enum frt_status frt_ort_device_check(const struct frt_ort_device_options *options, struct frt_error *err)
{
    const struct kind *kind = &kinds[options->device.kind];
    char path[PATH_TEXT_MAX], name[FRT_DEVICE_NAME_MAX];
    Dl_info where = {0};
    (void)frt_device_name(&options->device, name);
    if (!provider_listed(options->api, kind->provider))
        return frt_fail(err, FRT_ERUNTIME,
                        "%s: this ONNX Runtime is built without the %s; take one that lists it", name,
                        kind->provider);
    if (kind->file == NULL && options->device.index != 0)
        return frt_fail(err, FRT_ERUNTIME,
                        "%s: the graphics driver chooses the device; there is no index but 0 (VK_DRIVER_FILES "
                        "names another driver)",
                        name);
    if (kind->file == NULL)
        return check_vulkan(name, err);
    if (dladdr(options->symbol, &where) == 0 || where.dli_fname == NULL)
        return frt_fail(err, FRT_ERUNTIME, "%s: the runtime's folder is not known", name);
    const char *slash = strrchr(where.dli_fname, '/');
    const int folder = slash != NULL ? (int)(slash - where.dli_fname) : 0;
    (void)snprintf(path, sizeof path, "%.*s/%s", folder, where.dli_fname, kind->file);
    if (access(path, R_OK) != 0)
        return frt_fail(
            err, FRT_ERUNTIME,
            "%s: %s is not beside the runtime in %.*s; put the GPU build's provider libraries of the "
            "same version there (docs/accelerators.md)",
            name, kind->file, folder, where.dli_fname);
    return check_driver(options->device.index, err);
}

/* ------------------------------------------------------------- providers */

struct pairs {
    const char *keys[16], *values[16];
    size_t n;
};

static void pair(struct pairs *p, const char *key, const char *value)
{
    p->keys[p->n] = key;
    p->values[p->n++] = value;
}

static OrtStatus *append_cuda(const struct frt_ort_device *d, OrtSessionOptions *options, const char *index,
                              const char *limit)
{
    const OrtApi *api = d->options.api;
    OrtCUDAProviderOptionsV2 *cuda = NULL;
    struct pairs p = {.n = 0};
    pair(&p, "device_id", index);
    pair(&p, "gpu_mem_limit", limit);
    pair(&p, "arena_extend_strategy", "kSameAsRequested"); /* grows by what is asked for: no first grab */
    pair(&p, "cudnn_conv_algo_search", "HEURISTIC");       /* batches change size: no search for each */
    pair(&p, "do_copy_in_default_stream", "1");
    pair(&p, "use_tf32", "0"); /* eleven bits of a factor would not give the CPU's answers */
    OrtStatus *status = api->CreateCUDAProviderOptions(&cuda);
    if (status == NULL)
        status = api->UpdateCUDAProviderOptions(cuda, p.keys, p.values, p.n);
    if (status != NULL && cuda != NULL) { /* before 1.17: without the last one */
        api->ReleaseStatus(status);
        status = api->UpdateCUDAProviderOptions(cuda, p.keys, p.values, p.n - 1);
    }
    if (status == NULL)
        status = api->SessionOptionsAppendExecutionProvider_CUDA_V2(options, cuda);
    if (cuda != NULL)
        api->ReleaseCUDAProviderOptions(cuda);
    return status;
}

static OrtStatus *append_tensorrt(const struct frt_ort_device *d, OrtSessionOptions *options, const char *index,
                                  const char *limit, bool half)
{
    const OrtApi *api = d->options.api;
    OrtTensorRTProviderOptionsV2 *trt = NULL;
    struct pairs p = {.n = 0};
    pair(&p, "device_id", index);
    pair(&p, "trt_max_workspace_size", limit);
    pair(&p, "trt_engine_cache_enable", d->cache_dir != NULL ? "1" : "0");
    pair(&p, "trt_fp16_enable", half ? "1" : "0");
    pair(&p, "trt_timing_cache_enable", d->cache_dir != NULL ? "1" : "0");
    if (d->cache_dir != NULL)
        pair(&p, "trt_engine_cache_path", d->cache_dir);
    OrtStatus *status = api->CreateTensorRTProviderOptions(&trt);
    if (status == NULL)
        status = api->UpdateTensorRTProviderOptions(trt, p.keys, p.values, p.n);
    if (status == NULL)
        status = api->SessionOptionsAppendExecutionProvider_TensorRT_V2(options, trt);
    if (trt != NULL)
        api->ReleaseTensorRTProviderOptions(trt);
    return status;
}

static OrtStatus *append_provider(const struct frt_ort_device *d, bool half, OrtSessionOptions *options)
{
    char index[NUMBER_TEXT_MAX], limit[NUMBER_TEXT_MAX];
    const uint64_t most = d->options.memory_limit_bytes != 0 ? d->options.memory_limit_bytes : INT64_MAX;
    (void)snprintf(index, sizeof index, "%u", d->options.device.index);
    (void)snprintf(limit, sizeof limit, "%" PRIu64, most);
    if (d->options.device.kind == FRT_DEVICE_WEBGPU)
        return d->options.api->SessionOptionsAppendExecutionProvider(options, "WebGPU", NULL, NULL, 0);
    OrtStatus *status = NULL;
    if (d->options.device.kind == FRT_DEVICE_TENSORRT)
        status = append_tensorrt(d, options, index, limit, half);
    /* behind TensorRT too: what it does not take stays on the GPU */
    return status == NULL ? append_cuda(d, options, index, limit) : status;
}

/* One arena for all sessions, so that the limit is one for all of them. A second device of the process finds it
 * registered, which is as good; a runtime that cannot gives each session an arena within the same limit. */
static void share_arena(const struct frt_ort_device *d)
{
    const OrtApi *api = d->options.api;
    const size_t limit = d->options.memory_limit_bytes != 0 ? d->options.memory_limit_bytes : SIZE_MAX;
    const char *keys[] = {"max_mem", "arena_extend_strategy", "initial_chunk_size_bytes"};
    const size_t values[] = {limit, 1 /* as requested */, 1 << 20};
    const char *provider_keys[] = {"device_id"};
    char index[NUMBER_TEXT_MAX];
    const char *provider_values[] = {index};
    OrtMemoryInfo *memory = NULL;
    OrtArenaCfg *arena = NULL;
    if (d->kind->allocator == NULL)
        return;
    (void)snprintf(index, sizeof index, "%u", d->options.device.index);
    OrtStatus *status = api->CreateMemoryInfo(d->kind->allocator, OrtArenaAllocator,
                                              (int)d->options.device.index, OrtMemTypeDefault, &memory);
    if (status == NULL)
        status = api->CreateArenaCfgV2(keys, values, 3, &arena);
    if (status == NULL)
        status = api->CreateAndRegisterAllocatorV2(d->options.env, "CUDAExecutionProvider", memory, arena,
                                                   provider_keys, provider_values, 1);
    if (status != NULL)
        api->ReleaseStatus(status);
    if (arena != NULL)
        api->ReleaseArenaCfg(arena);
    if (memory != NULL)
        api->ReleaseMemoryInfo(memory);
}

enum frt_status frt_ort_device_session_options(struct frt_ort_device *d, bool half,
                                               struct OrtSessionOptions **out, struct frt_error *err)
{
    const OrtApi *api = d->options.api;
    OrtSessionOptions *options = NULL;
    char text[FRT_ERROR_TEXT_MAX];
    OrtStatus *status = api->CreateSessionOptions(&options);
    if (status == NULL)
        status = api->DisablePerSessionThreads(options);
    if (status == NULL)
        status = api->SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL);
    if (status == NULL) /* its failures come back as texts, and are said once: not by the runtime, too */
        status = api->SetSessionLogSeverityLevel(options, ORT_LOGGING_LEVEL_FATAL);
    if (status == NULL)
        status = api->DisableMemPattern(options);
    if (status == NULL) /* weights within the arena: they count against its limit */
        status = api->AddSessionConfigEntry(options, "session.use_env_allocators", "1");
    if (status == NULL)
        status = append_provider(d, half, options);
    if (status != NULL) {
        enum frt_status failed = frt_fail(err, FRT_ERUNTIME, "%s: %s", d->name, message(api, status, text));
        api->ReleaseStatus(status);
        if (options != NULL)
            api->ReleaseSessionOptions(options);
        return failed;
    }
    *out = options;
    return FRT_OK;
}

/* ----------------------------------------------------------------- turns */

enum frt_status frt_ort_device_enter(struct frt_ort_device *d, struct frt_error *err)
{
    const int64_t asked = frt_infer_deadline_get(), patience = frt_now_ns() / 1000000 + TURN_WAIT_MS;
    const int64_t until = asked != 0 && asked < patience ? asked : patience;
    const struct timespec t = {.tv_sec = until / 1000, .tv_nsec = (long)(until % 1000) * 1000000};
    int late = 0;
    if (!d->kind->one_at_a_time)
        return FRT_OK;
    (void)pthread_mutex_lock(&d->lock);
    while (d->taken && late == 0)
        late = pthread_cond_timedwait(&d->free_turn, &d->lock, &t);
    const bool mine = !d->taken;
    d->taken = true;
    (void)pthread_mutex_unlock(&d->lock);
    if (mine)
        return FRT_OK;
    if (until == asked)
        return frt_fail(err, FRT_ETIMEOUT, "the deadline passed while others used %s", d->name);
    return frt_fail(err, FRT_EOVERLOADED, "%s was busy for %d s", d->name, TURN_WAIT_MS / 1000);
}

void frt_ort_device_leave(struct frt_ort_device *d)
{
    if (!d->kind->one_at_a_time)
        return;
    (void)pthread_mutex_lock(&d->lock);
    d->taken = false;
    (void)pthread_cond_signal(&d->free_turn);
    (void)pthread_mutex_unlock(&d->lock);
}

enum frt_status frt_ort_device_charge(struct frt_ort_device *d, uint64_t bytes, struct frt_error *err)
{
    const uint64_t limit = d->options.memory_limit_bytes;
    (void)pthread_mutex_lock(&d->lock);
    const uint64_t now = d->charged;
    const bool fits = limit == 0 || (now <= limit && bytes <= limit - now);
    if (fits)
        d->charged += bytes;
    (void)pthread_mutex_unlock(&d->lock);
    if (fits)
        return FRT_OK;
    return frt_fail(
        err, FRT_ENOMEM,
        "%s: a model of %.1f MiB does not fit: %.1f of %.1f MiB are taken by other models (gpu_memory_limit)",
        d->name, (double)bytes / MIB, (double)now / MIB, (double)limit / MIB);
}

void frt_ort_device_give_back(struct frt_ort_device *d, uint64_t bytes)
{
    (void)pthread_mutex_lock(&d->lock);
    d->charged -= bytes;
    (void)pthread_mutex_unlock(&d->lock);
}

/* ------------------------------------------------------------------ runs */

/* The input in memory that the device copies from at once. */
static OrtStatus *stage(struct frt_ort_device *d, OrtAllocator *pinned, const struct frt_tensor *input,
                        OrtValue **out)
{
    const OrtApi *api = d->options.api;
    const size_t bytes = frt_tensor_size(input) * sizeof(float);
    void *data = NULL;
    if (pinned == NULL) /* the API takes void * for memory that it only reads */
        return api->CreateTensorWithDataAsOrtValue(d->host, (void *)(uintptr_t)input->data, bytes, input->dims,
                                                   input->n_dims, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, out);
    OrtStatus *status = api->CreateTensorAsOrtValue(pinned, input->dims, input->n_dims,
                                                    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, out);
    if (status == NULL)
        status = api->GetTensorMutableData(*out, &data);
    if (status == NULL)
        memcpy(data, input->data, bytes);
    return status;
}

struct OrtStatus *frt_ort_device_run(struct frt_ort_device *d, struct OrtSession *session,
                                     const char *const *input_names, const struct frt_tensor *inputs,
                                     uint32_t n_inputs, const char *const *output_names, uint32_t n_outputs,
                                     struct OrtValue **values)
{
    const OrtApi *api = d->options.api;
    OrtIoBinding *binding = NULL;
    OrtAllocator *pinned = NULL, *plain = NULL;
    OrtValue *in[FRT_SESSION_MAX_INPUTS] = {NULL}, **bound = NULL;
    size_t n_bound = 0;
    OrtStatus *status = api->CreateIoBinding(session, &binding);
    if (status == NULL)
        status = api->GetAllocatorWithDefaultOptions(&plain);
    if (status == NULL && d->kind->pinned != NULL)
        status = api->CreateAllocator(session, d->host, &pinned);
    for (uint32_t i = 0; i < n_inputs && status == NULL; i++) {
        status = stage(d, pinned, &inputs[i], &in[i]);
        if (status == NULL)
            status = api->BindInput(binding, input_names[i], in[i]);
    }
    for (uint32_t i = 0; i < n_outputs && status == NULL; i++)
        status = api->BindOutputToDevice(binding, output_names[i], d->host);
    if (status == NULL)
        status = api->RunWithBinding(session, NULL, binding);
    if (status == NULL) /* copies to the host run on the session's stream */
        status = api->SynchronizeBoundOutputs(binding);
    if (status == NULL)
        status = api->GetBoundOutputValues(binding, plain, &bound, &n_bound);
    for (size_t i = 0; i < n_bound; i++) {
        if (i < n_outputs)
            values[i] = bound[i];
        else
            api->ReleaseValue(bound[i]);
    }
    if (bound != NULL) {
        OrtStatus *freed = api->AllocatorFree(plain, bound);
        if (freed != NULL)
            api->ReleaseStatus(freed);
    }
    for (uint32_t i = 0; i < n_inputs; i++)
        if (in[i] != NULL)
            api->ReleaseValue(in[i]);
    if (binding != NULL)
        api->ReleaseIoBinding(binding);
    if (pinned != NULL)
        api->ReleaseAllocator(pinned);
    return status;
}

/* The one-node model, opened and run. */
static enum frt_status try_device(struct frt_ort_device *d, struct frt_error *err)
{
    static const float numbers[4] = {-1, 2, -3, 4};
    static const char *const x[] = {"x"}, *const y[] = {"y"};
    const struct frt_tensor input = {.data = numbers, .dims = {1, 4}, .n_dims = 2};
    const OrtApi *api = d->options.api;
    OrtSessionOptions *options = NULL;
    OrtSession *session = NULL;
    OrtValue *value = NULL;
    void *out = NULL;
    char text[FRT_ERROR_TEXT_MAX];
    enum frt_status result = frt_ort_device_session_options(d, false, &options, err);
    if (result != FRT_OK)
        return result;
    OrtStatus *status =
        api->CreateSessionFromArray(d->options.env, one_node, sizeof one_node, options, &session);
    if (status == NULL)
        status = frt_ort_device_run(d, session, x, &input, 1, y, 1, &value);
    if (status == NULL)
        status = api->GetTensorMutableData(value, &out);
    if (status != NULL)
        result = frt_fail(err, FRT_ERUNTIME, "%s does not answer: %s", d->name, message(api, status, text));
    else if (((const float *)out)[0] != 0 || ((const float *)out)[3] != 4)
        result = frt_fail(err, FRT_ERUNTIME, "%s answers wrongly: relu(4) is not %g", d->name,
                          (double)((const float *)out)[3]);
    if (status != NULL)
        api->ReleaseStatus(status);
    if (value != NULL)
        api->ReleaseValue(value);
    if (session != NULL)
        api->ReleaseSession(session);
    api->ReleaseSessionOptions(options);
    return result;
}

enum frt_status frt_ort_device_judge(struct frt_ort_device *d, struct OrtStatus *ort, const char *what,
                                     struct frt_error *err)
{
    const OrtApi *api = d->options.api;
    char text[FRT_ERROR_TEXT_MAX];
    (void)message(api, ort, text);
    const OrtErrorCode code = api->GetErrorCode(ort);
    api->ReleaseStatus(ort);
    if (code == ORT_NOT_IMPLEMENTED || code == ORT_INVALID_GRAPH || code == ORT_INVALID_PROTOBUF ||
        code == ORT_NO_MODEL)
        return frt_fail(err, FRT_EBAD_MODEL, "%s: %s: %s", d->name, what, text);
    /* the device is well: what failed was too much for it, which may change */
    const enum frt_status status = try_device(d, NULL) == FRT_OK ? FRT_ENOMEM : FRT_ERUNTIME;
    return frt_fail(err, status, "%s: %s: %s", d->name, what, text);
}

/* -------------------------------------------------------------- lifetime */

static enum frt_status make_host_memory(struct frt_ort_device *d, struct frt_error *err)
{
    const OrtApi *api = d->options.api;
    char text[FRT_ERROR_TEXT_MAX];
    OrtStatus *status =
        d->kind->pinned != NULL
            ? api->CreateMemoryInfo(d->kind->pinned, OrtDeviceAllocator, 0, OrtMemTypeCPUOutput, &d->host)
            : api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &d->host);
    if (status == NULL)
        return FRT_OK;
    enum frt_status failed = frt_fail(err, FRT_ERUNTIME, "%s: %s", d->name, message(api, status, text));
    api->ReleaseStatus(status);
    return failed;
}

enum frt_status frt_ort_device_new(const struct frt_ort_device_options *options, struct frt_ort_device **out,
                                   struct frt_error *err)
{
    pthread_condattr_t attributes;
    enum frt_status status = frt_ort_device_check(options, err);
    if (status != FRT_OK)
        return status;
    struct frt_ort_device *d = frt_alloc_zero(1, sizeof *d);
    if (d == NULL)
        return frt_fail_nomem(err, "a device");
    d->options = *options;
    d->kind = &kinds[options->device.kind];
    (void)frt_device_name(&options->device, d->name);
    (void)pthread_mutex_init(&d->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&d->free_turn, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    d->cache_dir = frt_strdup(options->cache_dir);
    d->options.cache_dir = NULL;
    if (d->cache_dir == NULL && options->cache_dir != NULL)
        status = frt_fail_nomem(err, "a device");
    if (status == FRT_OK)
        status = make_host_memory(d, err);
    if (status == FRT_OK) {
        share_arena(d);
        status = try_device(d, err);
    }
    if (status != FRT_OK) {
        frt_ort_device_free(d);
        return status;
    }
    *out = d;
    return FRT_OK;
}

void frt_ort_device_free(struct frt_ort_device *d)
{
    if (d == NULL)
        return;
    if (d->host != NULL)
        d->options.api->ReleaseMemoryInfo(d->host);
    (void)pthread_cond_destroy(&d->free_turn);
    (void)pthread_mutex_destroy(&d->lock);
    frt_free(d->cache_dir);
    frt_free(d);
}

const char *frt_ort_device_name(const struct frt_ort_device *d)
{
    return d->name;
}

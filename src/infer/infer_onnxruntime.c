/*
 * Adapter over ONNX Runtime's C API, the only file that includes its header.
 *
 * The library is loaded at run time, so that one `frt` runs with the system's package, an unpacked
 * release or the npm package's copy, and says what to install when there is none. It is never
 * unloaded: it registers thread-local destructors and at-exit handlers that must find their code.
 *
 * Memory and threads: one environment with one thread pool and one CPU arena, shared by all sessions
 * (a pool and an arena for each of eight models would cost idle threads and several times the memory).
 * The pool does not spin: an idle service uses no CPU. For narrow runs (infer.h) a model has a second session
 * without a pool; both read their weights from one optimised graph in memory. Figures:
 * docs/design/inference.md.
 *
 * Privacy: official builds since 1.2x carry a telemetry client. Left alone it makes a device id and a
 * database below the home folder, writes to /tmp, reads the command line, and starts a thread that sends.
 * It is switched off before the library is loaded, and again through the API.
 *
 * Denormals are flushed to zero in the pool's threads by the runtime and in the calling thread around
 * each run by us: a vanishing activation costs a hundred times a normal one otherwise.
 *
 * Threading: OrtSession::Run is thread-safe; everything else here is immutable after creation.
 */
#include "infer/infer.h"

#include <dlfcn.h>
#include <malloc.h>
#include <onnxruntime_c_api.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/cores.h"
#include "core/mem.h"
#include "infer/infer_onnxruntime_device.h"
#include "infer/infer_onnxruntime_ops.h"
#include "infer/runtime_library.h"
#include "infer/stderr_filter.h"

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)
#define DEBIAN_SONAME "libonnxruntime.so.1." STRING(ORT_API_VERSION)

/* The newest call that is used here, CreateArenaCfgV2, came with API version 7; 12 is the oldest
 * release that was tried. */
#define OLDEST_API 12
#define LOOKED_TEXT_MAX 1400

struct ort_backend {
    struct frt_backend base;
    const OrtApi *api;
    OrtEnv *env;
    OrtMemoryInfo *memory; /* describes the caller's memory, for zero-copy inputs */
    char version[32];
    bool narrow_too;               /* and a wide run has more than one thread */
    bool half;                     /* of a device: graphs in f16 where there are any */
    void *library;                 /* never closed */
    struct frt_ort_device *device; /* owned; NULL: the CPU */
    struct frt_backend_ops device_ops;
};

struct ort_session {
    struct frt_session base;
    const struct ort_backend *backend;
    OrtSession *session;
    OrtSession *narrow; /* NULL: narrow runs are as wide as the others */
    void *graph;        /* optimised, in ONNX Runtime's own format; both sessions' weights lie in it */
    size_t graph_bytes;
    uint64_t charged; /* against a device's limit */
    char *input_names[FRT_SESSION_MAX_INPUTS];
    char *output_names[FRT_SESSION_MAX_OUTPUTS];
};

/* ---------------------------------------------------- thread sanitizer */

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
/* The runtime is not instrumented: its locks and atomics are invisible to the sanitizer, which would
 * see races and unlocked mutexes in every run. Only our own code is judged. */
FRT_API const char *__tsan_default_options(void);
FRT_API const char *__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1:report_mutex_bugs=0";
}
#endif

/* ------------------------------------------------------------- denormals */

/* State of the calling thread's floating-point unit with denormals flushed, and how to put it back. */
static uint64_t denormals_off(void)
{
#if defined(__x86_64__)
    unsigned int old = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(old | 0x8040u); /* FTZ | DAZ */
    return old;
#elif defined(__aarch64__)
    uint64_t old;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(old | (UINT64_C(1) << 24))); /* FZ */
    return old;
#else
    return 0;
#endif
}

static void denormals_restore(uint64_t old)
{
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr((unsigned int)old);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(old));
#else
    (void)old;
#endif
}

/* ---------------------------------------------------------------- errors */

/* Consume a runtime status: FRT_OK for NULL, else its text behind `what`. */
static enum frt_status check(const OrtApi *api, OrtStatus *ort, enum frt_status otherwise, const char *what,
                             struct frt_error *err)
{
    enum frt_status status = FRT_OK;
    if (ort != NULL) {
        status = api->GetErrorCode(ort) == ORT_NO_SUCHFILE ? FRT_ENOTFOUND : otherwise;
        status = frt_fail(err, status, "%s: %s", what, api->GetErrorMessage(ort));
        api->ReleaseStatus(ort);
    }
    return status;
}

/* For settings that an older runtime may lack and that only tune: their failure is no failure. */
static void forgive(const OrtApi *api, OrtStatus *ort)
{
    if (ort != NULL)
        api->ReleaseStatus(ort);
}

/* --------------------------------------------------------------- loading */

/* The API table of a loaded library. Asked for by the library's own minor version: asking for a newer
 * one than it has makes it complain on stderr. */
static enum frt_status find_api(void *library, const OrtApi **api, char *version, size_t version_size,
                                struct frt_error *err)
{
    const OrtApiBase *(*get_base)(void);
    *(void **)&get_base = dlsym(library, "OrtGetApiBase"); /* POSIX's way around the cast ISO C forbids */
    if (get_base == NULL)
        return frt_fail(err, FRT_ERUNTIME, "the library found is not ONNX Runtime: it has no OrtGetApiBase");
    const OrtApiBase *base = get_base();
    const char *text = base->GetVersionString();
    unsigned major = 0, minor = 0;
    if (sscanf(text, "%u.%u", &major, &minor) != 2 || major != 1 || minor < OLDEST_API)
        return frt_fail(err, FRT_ERUNTIME, "ONNX Runtime %s found; 1.%d or later is needed", text, OLDEST_API);
    const OrtApi *found = base->GetApi(minor < ORT_API_VERSION ? minor : ORT_API_VERSION);
    if (found == NULL)
        return frt_fail(err, FRT_ERUNTIME, "ONNX Runtime %s does not offer API version %u", text,
                        minor < ORT_API_VERSION ? minor : ORT_API_VERSION);
    (void)snprintf(version, version_size, "%s", text);
    frt_ort_ops_init(found, minor < ORT_API_VERSION ? minor : ORT_API_VERSION);
    *api = found;
    return FRT_OK;
}

/* --------------------------------------------------------------- session */

static void ort_session_free(struct frt_session *session)
{
    struct ort_session *self = (struct ort_session *)session;
    if (self->session != NULL)
        self->backend->api->ReleaseSession(self->session);
    if (self->narrow != NULL)
        self->backend->api->ReleaseSession(self->narrow);
    if (self->graph != NULL)
        (void)munmap(self->graph, self->graph_bytes);
    if (self->charged > 0)
        frt_ort_device_give_back(self->backend->device, self->charged);
    for (uint32_t i = 0; i < FRT_SESSION_MAX_INPUTS; i++)
        frt_free(self->input_names[i]);
    for (uint32_t i = 0; i < FRT_SESSION_MAX_OUTPUTS; i++)
        frt_free(self->output_names[i]);
    frt_free(self);
}

static enum frt_status read_tensor(const struct ort_backend *backend, const OrtTensorTypeAndShapeInfo *shape,
                                   int64_t *dims, uint32_t *n_dims, bool *is_float, struct frt_error *err)
{
    const OrtApi *api = backend->api;
    size_t n = 0;
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    enum frt_status status = check(api, api->GetDimensionsCount(shape, &n), FRT_ERUNTIME, "tensor shape", err);
    if (status == FRT_OK && n > FRT_TENSOR_MAX_DIMS)
        status = frt_fail(err, FRT_EBAD_MODEL, "a tensor has %zu dimensions; at most %d fit", n,
                          FRT_TENSOR_MAX_DIMS);
    if (status == FRT_OK)
        status = check(api, api->GetDimensions(shape, dims, n), FRT_ERUNTIME, "tensor shape", err);
    if (status == FRT_OK)
        status = check(api, api->GetTensorElementType(shape, &type), FRT_ERUNTIME, "tensor type", err);
    if (status == FRT_OK) {
        *n_dims = (uint32_t)n;
        *is_float = type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    }
    return status;
}

static enum frt_status read_info(struct ort_session *self, size_t i, bool input, struct frt_error *err)
{
    const OrtApi *api = self->backend->api;
    struct frt_tensor_info *info = input ? &self->base.info.inputs[i] : &self->base.info.outputs[i];
    char **kept = input ? &self->input_names[i] : &self->output_names[i];
    OrtAllocator *allocator = NULL;
    OrtTypeInfo *type = NULL;
    const OrtTensorTypeAndShapeInfo *shape = NULL; /* borrowed from type */
    char *name = NULL;
    enum frt_status status;

    status = check(api, api->GetAllocatorWithDefaultOptions(&allocator), FRT_ERUNTIME, "allocator", err);
    if (status != FRT_OK)
        return status;
    status = check(api,
                   input ? api->SessionGetInputName(self->session, i, allocator, &name)
                         : api->SessionGetOutputName(self->session, i, allocator, &name),
                   FRT_ERUNTIME, "tensor name", err);
    if (status != FRT_OK)
        return status;
    *kept = frt_strdup(name);
    (void)snprintf(info->name, sizeof info->name, "%s", name);
    forgive(api, api->AllocatorFree(allocator, name));
    if (*kept == NULL)
        return frt_fail_nomem(err, "a tensor's name");
    status = check(api,
                   input ? api->SessionGetInputTypeInfo(self->session, i, &type)
                         : api->SessionGetOutputTypeInfo(self->session, i, &type),
                   FRT_ERUNTIME, "tensor type", err);
    if (status == FRT_OK)
        status = check(api, api->CastTypeInfoToTensorInfo(type, &shape), FRT_ERUNTIME, "tensor type", err);
    if (status == FRT_OK && shape == NULL)
        status = frt_fail(err, FRT_EBAD_MODEL, "\"%s\" is a sequence or map; tensors fit", info->name);
    if (status == FRT_OK)
        status = read_tensor(self->backend, shape, info->dims, &info->n_dims, &info->is_float, err);
    if (type != NULL)
        api->ReleaseTypeInfo(type);
    return status;
}

static void ort_release(const struct frt_session *session, struct frt_outputs *out)
{
    const OrtApi *api = ((const struct ort_session *)session)->backend->api;
    for (uint32_t i = 0; i < out->n; i++) {
        if (out->owner[i] != NULL)
            api->ReleaseValue(out->owner[i]);
    }
}

static enum frt_status read_output(const struct ort_backend *backend, OrtValue *value, struct frt_tensor *out,
                                   struct frt_error *err)
{
    const OrtApi *api = backend->api;
    OrtTensorTypeAndShapeInfo *shape = NULL;
    struct frt_tensor tensor = {0};
    bool is_float = false;
    void *data = NULL;
    enum frt_status status = check(api, api->GetTensorTypeAndShape(value, &shape), FRT_ERUNTIME, "output", err);
    if (status != FRT_OK)
        return status;
    status = read_tensor(backend, shape, tensor.dims, &tensor.n_dims, &is_float, err);
    api->ReleaseTensorTypeAndShapeInfo(shape);
    if (status == FRT_OK && is_float) {
        status = check(api, api->GetTensorMutableData(value, &data), FRT_ERUNTIME, "output", err);
        tensor.data = data;
    }
    if (status == FRT_OK)
        *out = tensor;
    return status;
}

/* Takes the inputs where they lie, and computes on the calling thread or the pool. */
static OrtStatus *run_here(const struct ort_session *self, const struct frt_tensor *inputs, uint32_t n_inputs,
                           OrtValue *results[FRT_SESSION_MAX_OUTPUTS])
{
    const OrtApi *api = self->backend->api;
    const char *const *input_names = (const char *const *)self->input_names;
    const char *const *output_names = (const char *const *)self->output_names;
    OrtValue *in[FRT_SESSION_MAX_INPUTS] = {NULL};
    OrtStatus *ort = NULL;
    for (uint32_t i = 0; i < n_inputs && ort == NULL; i++) {
        /* The API takes void * for memory that it only reads. */
        void *data = (void *)(uintptr_t)inputs[i].data;
        ort = api->CreateTensorWithDataAsOrtValue(
            self->backend->memory, data, frt_tensor_size(&inputs[i]) * sizeof(float), inputs[i].dims,
            inputs[i].n_dims, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &in[i]);
    }
    if (ort == NULL) {
        uint64_t fpu = denormals_off();
        bool narrow = self->narrow != NULL && frt_infer_width_get() == FRT_INFER_NARROW;
        ort = api->Run(narrow ? self->narrow : self->session, NULL, input_names, (const OrtValue *const *)in,
                       n_inputs, output_names, self->base.info.n_outputs, results);
        denormals_restore(fpu);
    }
    for (uint32_t i = 0; i < n_inputs; i++) {
        if (in[i] != NULL)
            api->ReleaseValue(in[i]);
    }
    return ort;
}

static enum frt_status run_on_device(const struct ort_session *self, const struct frt_tensor *inputs,
                                     uint32_t n_inputs, OrtValue *results[FRT_SESSION_MAX_OUTPUTS],
                                     struct frt_error *err)
{
    struct frt_ort_device *device = self->backend->device;
    enum frt_status status = frt_ort_device_enter(device, err);
    if (status != FRT_OK)
        return status;
    OrtStatus *ort =
        frt_ort_device_run(device, self->session, (const char *const *)self->input_names, inputs, n_inputs,
                           (const char *const *)self->output_names, self->base.info.n_outputs, results);
    if (ort != NULL)
        status = frt_ort_device_judge(device, ort, "inference", err);
    frt_ort_device_leave(device);
    return status;
}

static enum frt_status ort_run(const struct frt_session *session, const struct frt_tensor *inputs,
                               uint32_t n_inputs, struct frt_outputs *out, struct frt_error *err)
{
    const struct ort_session *self = (const struct ort_session *)session;
    OrtValue *results[FRT_SESSION_MAX_OUTPUTS] = {NULL};
    struct frt_outputs filled = {.n = session->info.n_outputs, .session = session};
    int64_t start = frt_now_ns();
    enum frt_status status = self->backend->device != NULL
                                 ? run_on_device(self, inputs, n_inputs, results, err)
                                 : check(self->backend->api, run_here(self, inputs, n_inputs, results),
                                         FRT_ERUNTIME, "inference", err);
    filled.run_ms = frt_elapsed_ms(start);
    for (uint32_t i = 0; i < filled.n; i++) {
        filled.owner[i] = results[i];
        if (status == FRT_OK)
            status = read_output(self->backend, results[i], &filled.tensors[i], err);
    }
    if (status == FRT_OK)
        *out = filled;
    else
        ort_release(session, &filled);
    return status;
}

static const struct frt_session_ops ort_session_ops = {
    .run = ort_run, .release = ort_release, .free = ort_session_free};

/* --------------------------------------------------------------- backend */

static enum frt_status make_options(const OrtApi *api, enum frt_infer_width width, OrtSessionOptions **out,
                                    struct frt_error *err)
{
    OrtSessionOptions *options = NULL;
    enum frt_status status =
        check(api, api->CreateSessionOptions(&options), FRT_ERUNTIME, "session options", err);
    if (status != FRT_OK)
        return status;
    /* a session of its own one thread makes no pool: it runs on its caller's */
    status = check(api,
                   width == FRT_INFER_NARROW ? api->SetIntraOpNumThreads(options, 1)
                                             : api->DisablePerSessionThreads(options),
                   FRT_ERUNTIME, "session threads", err);
    if (status == FRT_OK)
        status = check(api, api->SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL), FRT_ERUNTIME,
                       "session options", err);
    if (status == FRT_OK)
        status = check(api, api->SetSessionLogSeverityLevel(options, ORT_LOGGING_LEVEL_ERROR), FRT_ERUNTIME,
                       "session options", err);
    /* A memory pattern sets one block aside for a whole run's activations; without it the arena's
     * regions are reused from layer to layer: 35 MB less with the default pack, and no slower. */
    if (status == FRT_OK)
        status = check(api, api->DisableMemPattern(options), FRT_ERUNTIME, "session options", err);
    if (status != FRT_OK) {
        api->ReleaseSessionOptions(options);
        return status;
    }
    OrtCustomOpDomain *own = frt_ort_ops_domain(); /* a model that needs them says so if they are not there */
    if (own != NULL)
        forgive(api, api->AddCustomOpDomain(options, own));
    forgive(api, api->AddSessionConfigEntry(options, "session.use_env_allocators", "1"));
    /* weights from plain malloc: in the arena they would keep a region's slack for ever */
    forgive(api, api->AddSessionConfigEntry(options, "session.use_device_allocator_for_initializers", "1"));
    *out = options;
    return FRT_OK;
}

/* Parsing and optimising a graph leaves the heap full of holes: 45 MB after the default pack's SSD and
 * embedder. Costs 1 to 4 ms. */
static void give_memory_back(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

/* Debian 13's runtime (1.21) uses the distribution's libonnx, and both register the operators: the first
 * session of a process prints 567 lines "Schema error: …" of no consequence. `first_session` is held while that
 * one is made. */
static pthread_mutex_t first_session = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool schemas_registered;

/* Where a model comes from: a file, or bytes. */
struct source {
    const char *path; /* NULL: bytes */
    const void *bytes;
    size_t size;
};

static OrtStatus *create(struct ort_backend *self, const struct source *from, const OrtSessionOptions *options,
                         OrtSession **out)
{
    if (from->path != NULL)
        return self->api->CreateSession(self->env, from->path, options, out);
    return self->api->CreateSessionFromArray(self->env, from->bytes, from->size, options, out);
}

static OrtStatus *create_session(struct ort_backend *self, const struct source *from,
                                 const OrtSessionOptions *options, OrtSession **out)
{
    struct frt_stderr_filter filter = {-1, -1};
    OrtStatus *status = NULL;
    bool first = false;
    if (!atomic_load(&schemas_registered)) {
        (void)pthread_mutex_lock(&first_session);
        void *onnx = dlopen("libonnx.so.1", RTLD_LAZY | RTLD_NOLOAD);
        first = onnx != NULL && !atomic_load(&schemas_registered);
        if (first) {
            frt_stderr_hold(&filter);
            status = create(self, from, options, out);
            frt_stderr_release(&filter, "Schema error: Trying to register schema");
        }
        if (onnx != NULL)
            (void)dlclose(onnx);
        atomic_store(&schemas_registered, true);
        (void)pthread_mutex_unlock(&first_session);
    }
    return first ? status : create(self, from, options, out);
}

/* Optimises the model and leaves the graph in `fd`, in the runtime's own format. */
static OrtStatus *save_optimised(struct ort_backend *self, const struct source *from, int fd)
{
    const OrtApi *api = self->api;
    OrtSessionOptions *options = NULL;
    OrtSession *session = NULL;
    char name[64];
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (make_options(api, FRT_INFER_NARROW, &options, NULL) != FRT_OK)
        return api->CreateStatus(ORT_FAIL, "session options");
    OrtStatus *status = api->SetOptimizedModelFilePath(options, name);
    if (status == NULL)
        status = api->AddSessionConfigEntry(options, "session.save_model_format", "ORT");
    if (status == NULL)
        status = create_session(self, from, options, &session);
    if (session != NULL)
        api->ReleaseSession(session);
    api->ReleaseSessionOptions(options);
    give_memory_back();
    return status;
}

/* A session over the optimised graph; its weights stay where they are. */
static OrtStatus *create_over(struct ort_session *session, enum frt_infer_width width, OrtSession **out)
{
    static const char *const entries[] = {"session.use_ort_model_bytes_directly",
                                          "session.use_ort_model_bytes_for_initializers"};
    const OrtApi *api = session->backend->api;
    OrtSessionOptions *options = NULL;
    if (make_options(api, width, &options, NULL) != FRT_OK)
        return api->CreateStatus(ORT_FAIL, "session options");
    OrtStatus *status = api->SetSessionGraphOptimizationLevel(options, ORT_DISABLE_ALL);
    for (size_t i = 0; i < sizeof entries / sizeof *entries && status == NULL; i++)
        status = api->AddSessionConfigEntry(options, entries[i], "1");
    if (status == NULL)
        status = api->CreateSessionFromArray(session->backend->env, session->graph, session->graph_bytes,
                                             options, out);
    api->ReleaseSessionOptions(options);
    return status;
}

/* Both sessions over one graph, or none: a model that does not go this way has one session, as ever. */
static void open_both(struct ort_backend *self, const struct source *from, struct ort_session *session)
{
    const OrtApi *api = self->api;
    struct stat st = {0};
    OrtStatus *status = NULL;
    int fd = memfd_create("frt-model", MFD_CLOEXEC);
    if (fd < 0)
        return;
    status = save_optimised(self, from, fd);
    if (status == NULL && fstat(fd, &st) == 0 && st.st_size > 0) {
        void *graph = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        session->graph = graph != MAP_FAILED ? graph : NULL;
        session->graph_bytes = (size_t)st.st_size;
    }
    (void)close(fd);
    if (session->graph != NULL)
        status = create_over(session, FRT_INFER_NARROW, &session->narrow);
    if (status == NULL && session->narrow != NULL)
        status = create_over(session, FRT_INFER_WIDE, &session->session);
    forgive(api, status);
    if (session->session != NULL)
        return;
    if (session->narrow != NULL)
        api->ReleaseSession(session->narrow);
    if (session->graph != NULL)
        (void)munmap(session->graph, session->graph_bytes);
    session->narrow = NULL;
    session->graph = NULL;
}

static enum frt_status open_on_device(struct ort_backend *self, const struct source *from,
                                      struct ort_session *session, struct frt_error *err)
{
    OrtSessionOptions *options = NULL;
    struct stat st = {.st_size = 0};
    const uint64_t size = from->path == NULL           ? from->size
                          : stat(from->path, &st) == 0 ? (uint64_t)st.st_size
                                                       : 0;
    enum frt_status status = frt_ort_device_charge(self->device, size, err);
    if (status != FRT_OK)
        return status;
    session->charged = size;
    /* bytes are what was made for it: a graph in f16 */
    status = frt_ort_device_session_options(self->device, self->half && from->path == NULL, &options, err);
    if (status == FRT_OK) {
        status = frt_ort_device_enter(self->device, err);
        if (status == FRT_OK) {
            OrtStatus *ort = create_session(self, from, options, &session->session);
            if (ort != NULL)
                status = frt_ort_device_judge(self->device, ort, "the model is refused", err);
            frt_ort_device_leave(self->device);
        }
        self->api->ReleaseSessionOptions(options);
    }
    return status;
}

static enum frt_status open_source(struct frt_backend *backend, const struct source *from,
                                   struct frt_session **out, struct frt_error *err)
{
    struct ort_backend *self = (struct ort_backend *)backend;
    const OrtApi *api = self->api;
    OrtSessionOptions *options = NULL;
    struct ort_session *session = NULL;
    size_t n_inputs = 0, n_outputs = 0;
    enum frt_status status;

    session = frt_alloc_zero(1, sizeof *session);
    if (session == NULL)
        return frt_fail_nomem(err, "a session");
    session->base.ops = &ort_session_ops;
    session->base.device = self->base.ops->device;
    session->backend = self;

    if (self->device != NULL) {
        status = open_on_device(self, from, session, err);
    } else {
        if (self->narrow_too)
            open_both(self, from, session);
        status = make_options(api, FRT_INFER_WIDE, &options, err);
        if (status == FRT_OK && session->session == NULL)
            status = check(api, create_session(self, from, options, &session->session), FRT_EBAD_MODEL,
                           "the runtime refuses the model", err);
    }
    if (status == FRT_OK)
        status =
            check(api, api->SessionGetInputCount(session->session, &n_inputs), FRT_ERUNTIME, "inputs", err);
    if (status == FRT_OK)
        status =
            check(api, api->SessionGetOutputCount(session->session, &n_outputs), FRT_ERUNTIME, "outputs", err);
    if (status == FRT_OK && (n_inputs == 0 || n_inputs > FRT_SESSION_MAX_INPUTS || n_outputs == 0 ||
                             n_outputs > FRT_SESSION_MAX_OUTPUTS))
        status = frt_fail(err, FRT_EBAD_MODEL,
                          "the model has %zu inputs and %zu outputs; 1 to %d inputs and 1 to %d outputs fit",
                          n_inputs, n_outputs, FRT_SESSION_MAX_INPUTS, FRT_SESSION_MAX_OUTPUTS);
    for (size_t i = 0; i < n_inputs && status == FRT_OK; i++)
        status = read_info(session, i, true, err);
    for (size_t i = 0; i < n_outputs && status == FRT_OK; i++)
        status = read_info(session, i, false, err);
    if (options != NULL)
        api->ReleaseSessionOptions(options);
    give_memory_back();
    if (status == FRT_OK) {
        session->base.info.n_inputs = (uint32_t)n_inputs;
        session->base.info.n_outputs = (uint32_t)n_outputs;
        *out = &session->base;
    } else {
        ort_session_free(&session->base);
    }
    return status;
}

static enum frt_status ort_open(struct frt_backend *backend, const char *path, struct frt_session **out,
                                struct frt_error *err)
{
    const struct source from = {.path = path};
    if (access(path, R_OK) != 0)
        return frt_fail(err, FRT_ENOTFOUND, "the model file %s is not there or not readable", path);
    return open_source(backend, &from, out, err);
}

static enum frt_status ort_open_bytes(struct frt_backend *backend, const void *bytes, size_t size,
                                      struct frt_session **out, struct frt_error *err)
{
    const struct source from = {.bytes = bytes, .size = size};
    return open_source(backend, &from, out, err);
}

static const char *ort_version(const struct frt_backend *backend)
{
    return ((const struct ort_backend *)backend)->version;
}

static void ort_backend_free(struct frt_backend *backend)
{
    struct ort_backend *self = (struct ort_backend *)backend;
    frt_ort_device_free(self->device);
    if (self->memory != NULL)
        self->api->ReleaseMemoryInfo(self->memory);
    if (self->env != NULL)
        self->api->ReleaseEnv(self->env);
    frt_free(self);
}

static const struct frt_backend_ops ort_ops = {.name = "onnxruntime",
                                               .device = "cpu",
                                               .version = ort_version,
                                               .open = ort_open,
                                               .open_bytes = ort_open_bytes,
                                               .free = ort_backend_free};

static enum frt_status make_env(struct ort_backend *self, uint32_t threads, struct frt_error *err)
{
    const OrtApi *api = self->api;
    OrtThreadingOptions *threading = NULL;
    int n_threads = threads > 0 && threads <= 1024 ? (int)threads : (int)frt_usable_cores();
    self->narrow_too = self->narrow_too && n_threads > 1;
    enum frt_status status =
        check(api, api->CreateThreadingOptions(&threading), FRT_ERUNTIME, "thread options", err);
    if (status != FRT_OK)
        return status;
    status = check(api, api->SetGlobalIntraOpNumThreads(threading, n_threads), FRT_ERUNTIME, "threads", err);
    if (status == FRT_OK)
        status = check(api, api->SetGlobalInterOpNumThreads(threading, 1), FRT_ERUNTIME, "threads", err);
    if (status == FRT_OK) {
        forgive(api, api->SetGlobalSpinControl(threading, 0));
        forgive(api, api->SetGlobalDenormalAsZero(threading));
        status = check(
            api, api->CreateEnvWithGlobalThreadPools(ORT_LOGGING_LEVEL_FATAL, "frt", threading, &self->env),
            FRT_ERUNTIME, "environment", err);
    }
    api->ReleaseThreadingOptions(threading);
    return status;
}

/* One arena for all sessions, growing by what is asked for (the default doubles). A second backend of
 * the process finds it registered already, which is as good. */
static void share_arena(struct ort_backend *self)
{
    static const char *const keys[] = {"arena_extend_strategy", "initial_chunk_size_bytes"};
    static const size_t values[] = {1 /* as requested */, 1 << 20};
    const OrtApi *api = self->api;
    OrtMemoryInfo *arena_memory = NULL;
    OrtArenaCfg *arena = NULL;
    OrtStatus *status = api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &arena_memory);
    if (status == NULL)
        status = api->CreateArenaCfgV2(keys, values, sizeof values / sizeof values[0], &arena);
    if (status == NULL)
        status = api->CreateAndRegisterAllocator(self->env, arena_memory, arena);
    forgive(api, status);
    if (arena != NULL)
        api->ReleaseArenaCfg(arena);
    if (arena_memory != NULL)
        api->ReleaseMemoryInfo(arena_memory);
}

/* The library reads this variable when an environment is made. setenv is no call for a process with
 * many threads, so it is made only when the value is not there yet: once. */
static void telemetry_off(void)
{
    const char *now = getenv("ORT_DISABLE_TELEMETRY");
    if (now == NULL || strcmp(now, "1") != 0)
        (void)setenv("ORT_DISABLE_TELEMETRY", "1", 1);
}

static struct frt_ort_device_options device_options(const struct ort_backend *self,
                                                    const struct frt_onnxruntime_options *options,
                                                    const struct frt_device *device)
{
    return (struct frt_ort_device_options){.api = self->api,
                                           .env = self->env,
                                           .symbol = dlsym(self->library, "OrtGetApiBase"),
                                           .device = *device,
                                           .memory_limit_bytes = options->memory_limit_bytes,
                                           .cache_dir = options->cache_dir};
}

/* The device that was asked for; for `auto` CUDA where it is there, else it stays the CPU. WebGPU is not chosen
 * by itself: a software driver or a laptop's shared GPU answers to it, too, and is slower than the CPU. */
static enum frt_status take_device(struct ort_backend *self, const struct frt_onnxruntime_options *options,
                                   struct frt_error *err)
{
    struct frt_device device = options->device;
    if (device.kind == FRT_DEVICE_AUTO)
        device.kind = FRT_DEVICE_CUDA;
    const struct frt_ort_device_options asked = device_options(self, options, &device);
    if (options->device.kind == FRT_DEVICE_AUTO && frt_ort_device_check(&asked, NULL) != FRT_OK)
        return FRT_OK;
    enum frt_status status = frt_ort_device_new(&asked, &self->device, err);
    if (status != FRT_OK)
        return status;
    self->narrow_too = false;
    self->device_ops = ort_ops;
    self->device_ops.device = frt_ort_device_name(self->device);
    self->half = options->half;
    self->device_ops.graph = options->half ? FRT_GRAPH_HALF : FRT_GRAPH_PLAIN;
    self->base.ops = &self->device_ops;
    return FRT_OK;
}

enum frt_status frt_onnxruntime_device_check(const struct frt_onnxruntime_options *options,
                                             const struct frt_device *device, struct frt_error *err)
{
    struct frt_onnxruntime_options plain = *options;
    struct frt_backend *backend = NULL;
    plain.device = (struct frt_device){FRT_DEVICE_CPU, 0};
    enum frt_status status = frt_backend_onnxruntime_new(&plain, &backend, err);
    if (status != FRT_OK || backend == NULL)
        return status;
    const struct frt_ort_device_options asked = device_options((struct ort_backend *)backend, options, device);
    status = frt_ort_device_check(&asked, err);
    frt_backend_free(backend);
    return status;
}

enum frt_status frt_backend_onnxruntime_new(const struct frt_onnxruntime_options *options,
                                            struct frt_backend **out, struct frt_error *err)
{
    static const struct frt_onnxruntime_options defaults = {0};
    struct frt_buf looked;
    struct ort_backend *self = NULL;
    enum frt_status status;

    if (options == NULL)
        options = &defaults;
    frt_buf_init(&looked, LOOKED_TEXT_MAX);
    telemetry_off();
    void *library = frt_runtime_library_open(options->library_path, DEBIAN_SONAME, &looked);
    if (library == NULL) {
        status =
            frt_fail(err, FRT_ERUNTIME,
                     "ONNX Runtime not found; install the package libonnxruntime or set FRT_RUNTIME to its "
                     "library (%s)",
                     looked.data != NULL ? looked.data : "no place to look");
        goto done;
    }
    self = frt_alloc_zero(1, sizeof *self);
    if (self == NULL) {
        status = frt_fail_nomem(err, "the inference backend");
        goto done;
    }
    self->base.ops = &ort_ops;
    self->library = library;
    status = find_api(library, &self->api, self->version, sizeof self->version, err);
    if (status != FRT_OK) {
        frt_free(self);
        self = NULL;
        goto done;
    }
    self->narrow_too = options->narrow_too;
    status = make_env(self, options->threads, err);
    if (status != FRT_OK)
        goto done;
    forgive(self->api, self->api->DisableTelemetryEvents(self->env));
    share_arena(self);
    status =
        check(self->api, self->api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &self->memory),
              FRT_ERUNTIME, "memory description", err);
    if (status == FRT_OK && options->device.kind != FRT_DEVICE_CPU)
        status = take_device(self, options, err);
done:
    frt_buf_deinit(&looked);
    if (status == FRT_OK)
        *out = &self->base;
    else if (self != NULL)
        ort_backend_free(&self->base);
    return status;
}
